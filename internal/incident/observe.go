package incident

import (
	"slices"
	"strings"
	"time"

	"github.com/pagerelay/pagerelay/mapping"
)

// Notification reasons and times of Alertmanager.
const (
	reasonRepeat = "repeat interval elapsed" // since Alertmanager 0.32; before it the field is absent.
	// An unchanged whole group that comes again after this is a repeat where the
	// reason is absent: HA duplicates and retries come within a minute or two.
	silentRepeat = 5 * time.Minute
	// Another replica's startsAt may differ by an evaluation interval or two.
	replicaSkew = 5 * time.Minute
	// Without Alertmanager to ask, a firing from another replica this soon after
	// the resolve is taken for a late duplicate (peers wait 15 s a position).
	lateDuplicate = 60 * time.Second

	// An end that was given in whole seconds, as with amtool's --end, may lie this
	// much before the start of what it ends.
	endRounding = 2 * time.Second

	// In place of an externalURL.
	endedByMove    = "moved"
	endedByAbsence = "absent"
)

// Table is what a transaction sees: incidents that may be replaced, the index of
// fingerprints, and the tombstones of closed incidents.
type Table interface {
	// incident returns the open incident, or nil. edit returns a copy of it that
	// the transaction owns; create adds one.
	Incident(id string) *Incident
	Edit(id string) *Incident
	Create(in *Incident)
	// archive puts an incident that the transaction owns into the ledger.
	Archive(in *Incident, reason string)
	// holding lists the ids of open incidents that have had the alert as a member.
	Holding(fingerprint string) []string
	// hold says that an incident has an alert as a member.
	Hold(fingerprint, id string)
	// tombstone returns what is remembered of a closed incident, or nil.
	Tombstone(id string) *Tombstone
	// limited says whether a high page of the service waits for the rate limit.
	Limited(service string) bool
	Count(what Counted)
}

// Counted names something that happened to an observation. It is a metric's label.
type Counted string

// What is counted.
const (
	CountedFiring     Counted = "firing"     // a new firing.
	CountedJoined     Counted = "joined"     // firing already known: a group update, a retry or another replica.
	CountedRepeat     Counted = "repeat"     // Alertmanager's repeat.
	CountedResolved   Counted = "resolved"   // the end of a known firing.
	CountedUnknown    Counted = "unknown"    // the end of a firing never seen here.
	CountedDuplicate  Counted = "duplicate"  // an end that was known.
	CountedHeld       Counted = "held"       // a late firing, to be checked.
	CountedDismissed  Counted = "dismissed"  // a late duplicate, dropped.
	CountedMoved      Counted = "moved"      // left its incident because the route changed.
	CountedSuperseded Counted = "superseded" // over before anything was accepted.
	CountedUnsent     Counted = "unsent"     // the resolve of a shared key never seen here, not sent.
	CountedAbsent     Counted = "absent"     // no Alertmanager lists it any more: its resolve was lost.
)

// CountedAll lists all that is counted, to initialise metrics with.
func CountedAll() []Counted {
	return []Counted{
		CountedFiring, CountedJoined, CountedRepeat, CountedResolved, CountedUnknown, CountedDuplicate,
		CountedHeld, CountedDismissed, CountedMoved, CountedSuperseded, CountedUnsent,
		CountedAbsent,
	}
}

// Observe applies the observations of one webhook.
func Observe(t Table, obs []mapping.Observation, p Policy, now time.Time) {
	routed := map[string][]string{} // fingerprint -> incidents this webhook maps it to.
	for _, o := range obs {
		fp := o.Alert.Fingerprint
		routed[fp] = append(routed[fp], ID(o.Service, o.DedupKey))
	}
	repeat := isRepeat(t, obs, now)
	ended := map[string]bool{}
	touched := map[string]bool{}
	for i := range obs {
		o := &obs[i]
		fp := o.Alert.Fingerprint
		touched[ID(o.Service, o.DedupKey)] = true
		if o.Alert.Status == mapping.Resolved {
			known, before := ended[fp]
			if !before { // a resolve is applied wherever the alert is, once.
				known = endHolders(t, o, touched, now)
				ended[fp] = known
			}
			if !known {
				observeUnknownEnd(t, o, now)
			}
			continue
		}
		observeFiring(t, o, repeat, p, now)
		observeMoves(t, o, routed[fp], now)
	}
	for id := range touched {
		if in := t.Incident(id); in != nil && len(in.Members) > maxResolved {
			t.Edit(id).trim()
		}
	}
}

// isRepeat says whether a webhook is Alertmanager's repeat.
func isRepeat(t Table, obs []mapping.Observation, now time.Time) bool {
	for i := range obs {
		o := &obs[i]
		if o.Reason != "" {
			return o.Reason == reasonRepeat
		}
		in := t.Incident(ID(o.Service, o.DedupKey))
		if o.Alert.Status == mapping.Resolved || in == nil {
			return false
		}
		m := in.Members[o.Alert.Fingerprint]
		if m == nil || !m.Firing || now.Sub(m.LastSeen) <= silentRepeat {
			return false
		}
	}
	return len(obs) > 0
}

// endHolders closes an alert in every incident that holds it, and says whether
// there is one.
func endHolders(t Table, o *mapping.Observation, touched map[string]bool, now time.Time) bool {
	fp := o.Alert.Fingerprint
	known := false
	for _, id := range t.Holding(fp) {
		in := t.Incident(id)
		if in == nil || in.Members[fp] == nil {
			continue
		}
		known = true
		m := in.Members[fp]
		if m.Origin != o.Origin { // a test does not end what really fires.
			continue
		}
		over := !m.Firing && m.Late == nil
		if over || endsEarlier(o, m) {
			t.Count(CountedDuplicate)
			continue
		}
		in = t.Edit(id)
		touched[id] = true
		in.End(fp, ended(o, m, now), t.Limited(in.Service), now)
		in.Note(now, "resolved", fp+" by "+o.ExternalURL)
		t.Count(CountedResolved)
	}
	return known
}

// endsEarlier says whether what a resolve ends is a firing before the member's
// present one: a peer may be late with it.
func endsEarlier(o *mapping.Observation, m *Member) bool {
	now := m.Alert.StartsAt
	if !o.Origin.KnownToAlertmanager() || !o.Alert.StartsAt.Before(now) {
		return false
	}
	if o.Alert.StartsAt.Before(now.Add(-endRounding)) { // a rounded end would be the start, too.
		return !o.Alert.EndsAt.After(now)
	}
	return o.Alert.EndsAt.Before(now.Add(-endRounding))
}

// observeUnknownEnd takes in the end of an alert that no incident holds.
func observeUnknownEnd(t Table, o *mapping.Observation, now time.Time) {
	id, fp := ID(o.Service, o.DedupKey), o.Alert.Fingerprint
	ts := t.Tombstone(id)
	if ts != nil {
		if e, ok := ts.Ends[fp]; ok && !o.Alert.EndsAt.After(e.told()) {
			t.Count(CountedDuplicate)
			return
		}
	}
	t.Count(CountedUnknown)
	in := t.Edit(id)
	if in == nil {
		in = NewIncident(id, o, now)
		in.Have = StateUnknown
		if ts != nil {
			in.Doubts = slices.Clone(ts.Lost)
		}
		t.Create(in)
	}
	m := newMember(o, now)
	m.ExpiresAt = time.Time{}
	m.Ended = ended(o, m, now)
	in.Put(fp, m)
	t.Hold(fp, id)
	in.Note(now, "resolved", fp+" by "+o.ExternalURL+", never seen firing here")
	in.settle(now)
}

func observeFiring(t Table, o *mapping.Observation, repeat bool, p Policy, now time.Time) {
	id, fp := ID(o.Service, o.DedupKey), o.Alert.Fingerprint
	in := t.Edit(id)
	var last Ended
	var grave *Tombstone
	if in == nil || in.Members[fp] == nil {
		if grave = t.Tombstone(id); grave != nil {
			last = grave.Ends[fp]
		}
	} else {
		m := in.Members[fp]
		if m.Firing {
			in.join(t, o, m, repeat, now)
			return
		}
		last = m.Ended
		if m.Late != nil && last.late(o) { // already being checked: the newest text counts.
			c := *m
			c.Alert, c.LastSeen = Pack(o.Alert), now
			c.Late = &Late{Until: m.Late.Until, As: o, Routes: m.Late.Routes}
			in.Put(fp, &c)
			t.Count(CountedHeld)
			return
		}
	}
	if last.By == endedByMove || last.By == endedByAbsence { // Alertmanager never said that it ended.
		last = Ended{}
	}
	late := last.late(o) && o.Origin.KnownToAlertmanager()
	if late && p.Alertmanagers == 0 {
		// After a jump of the clock nobody knows how long ago that was: it pages.
		if since := now.Sub(last.Seen); o.ExternalURL != last.By && since >= 0 && since <= lateDuplicate {
			t.Count(CountedDismissed)
			return
		}
		late = false
	}
	if late && !o.AsOf.IsZero() && !last.Seen.Before(o.AsOf) && !last.Seen.After(now) { // its end came in since the list was read.
		t.Count(CountedDismissed)
		return
	}
	if in == nil {
		in = NewIncident(id, o, now)
		if grave != nil {
			in.Doubts = slices.Clone(grave.Lost)
		}
		t.Create(in)
	}
	in.miss(now, fp)
	m := newMember(o, now)
	m.Ended = last
	in.Put(fp, m)
	t.Hold(fp, id)
	if late {
		m.Late = &Late{Until: now.Add(LateHold), As: o}
		in.Note(now, "held", fp+" fires although its resolve was seen; Alertmanager is asked"+faultsText(o.Faults))
		t.Count(CountedHeld)
		return
	}
	in.describe(o)
	in.begin(t, fp, now)
	in.Note(now, "received", receivedText(o))
}

func receivedText(o *mapping.Observation) string {
	text := o.Alert.Fingerprint + " fires"
	if o.Rule != "" {
		text += ", rule " + o.Rule
	}
	text += ", tier " + o.Tier
	if o.ExternalURL != "" {
		text += ", from " + o.ExternalURL
	}
	return text + faultsText(o.Faults)
}

// faultsText names what mapping had to make do without, for the ledger: there are
// a handful of faults, so that equal entries stay equal.
func faultsText(faults []mapping.Fault) string {
	var text strings.Builder
	for _, f := range faults {
		text.WriteString(", fault " + string(f))
	}
	return text.String()
}

// observeMoves marks the incidents that a changed route has taken the alert from.
func observeMoves(t Table, o *mapping.Observation, routed []string, now time.Time) {
	fp, to := o.Alert.Fingerprint, ID(o.Service, o.DedupKey)
	in := t.Incident(to)
	switch {
	case in == nil || in.Members[fp] == nil:
		return // dropped: it has not arrived there.
	case in.Members[fp].Late != nil: // nor yet.
		c := *in.Members[fp]
		c.Late = &Late{Until: c.Late.Until, As: c.Late.As, Routes: routed}
		t.Edit(to).Put(fp, &c)
		return
	case !in.Members[fp].Firing:
		return
	}
	arrived := in.Members[fp].LastSeen // long ago if it was held.
	for _, id := range t.Holding(fp) {
		in := t.Incident(id)
		if in == nil || slices.Contains(routed, id) || slices.Contains(routed, in.FallbackOf) {
			continue
		}
		m := in.Members[fp]
		if m == nil || !m.Firing || m.Origin != o.Origin || m.MovedTo == to || m.LastSeen.After(arrived) {
			continue
		}
		in = t.Edit(id)
		c := *m
		c.MovedTo = to
		in.Put(fp, &c)
		in.Note(now, "moved", fp+" is now routed to "+o.Service+" "+o.DedupKey)
	}
	if in := t.Incident(to); in != nil {
		leaveMoved(t, in, now)
	}
}

// leaveMoved closes the members that moved to in, once in is accepted or needs no acceptance.
func leaveMoved(t Table, in *Incident, now time.Time) {
	target := in.ID
	if in.FallbackOf != "" {
		target = in.FallbackOf
	}
	if in.Urgency.Sends() && in.AcceptedRevision < in.Revision || in.uncovered() != nil {
		return
	}
	for fp, m := range in.Members {
		if !m.Firing {
			continue
		}
		for _, id := range t.Holding(fp) {
			old := t.Incident(id)
			if old == nil || id == target || old.Members[fp] == nil || old.Members[fp].MovedTo != target {
				continue
			}
			old = t.Edit(id)
			old.End(fp, Ended{At: now, Seen: now, By: endedByMove}, t.Limited(old.Service), now)
			t.Count(CountedMoved)
			if old.DedupKey == in.DedupKey && old.KeyHash == in.KeyHash && old.Firing() == 0 {
				old.wantChanged()
				old.Have, old.Guaranteed = StateClosed, 0 // one alert at PagerDuty: it stays, as the new one's.
				old.settle(now)
			}
		}
	}
}

// NewIncident makes the incident that an observation is the first of.
func NewIncident(id string, o *mapping.Observation, now time.Time) *Incident {
	in := &Incident{
		ID: id, Subject: Subject{Service: o.Service, DedupKey: o.DedupKey, BareKey: o.BareKey, Origin: o.Origin},
		Told: Told{Have: StateClosed}, Members: map[string]*Member{}, CreatedAt: now,
	}
	if o.Reason == ReasonAdopted {
		// PagerDuty may hold this very epoch: then the trigger joins it, and if it
		// is over before that, a resolve is due.
		in.Have, in.HaveEpoch = StateUnknown, 1
	}
	in.describe(o)
	return in
}

func newMember(o *mapping.Observation, now time.Time) *Member {
	m := &Member{Alert: Pack(o.Alert), Urgency: o.Urgency, Origin: o.Origin, ExternalURL: o.ExternalURL, LastSeen: now}
	if m.Alert.StartsAt.IsZero() { // nobody knows: the webhook held no time that could be read.
		m.Alert.StartsAt = now
	}
	if o.Origin.EndsByItself() {
		m.ExpiresAt = o.Alert.EndsAt
	}
	return m
}
