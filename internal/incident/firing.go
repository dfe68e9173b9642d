package incident

import (
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/internal/mutant"
	"github.com/pagerelay/pagerelay/mapping"
)

// join takes in a firing of a member that fires already.
func (in *Incident) join(t Table, o *mapping.Observation, m *Member, repeat bool, now time.Time) {
	fp := o.Alert.Fingerprint
	c := *m
	c.LastSeen, c.MovedTo = now, ""
	switch {
	case o.Origin == m.Origin && o.Origin.EndsByItself():
		c.ExpiresAt = o.Alert.EndsAt
	case o.Origin.KnownToAlertmanager() && m.Origin.EndsByItself(): // a real one: it ends when Alertmanager says so.
		c.Origin, c.ExpiresAt, c.ExternalURL, in.Origin = o.Origin, time.Time{}, o.ExternalURL, o.Origin
	case o.Origin != m.Origin: // a test of an alert that really fires changes nothing.
		t.Count(CountedJoined)
		return
	}
	again := o.Alert.StartsAt.After(m.Alert.StartsAt) // which an unknown start is not. Its resolve was never sent: silenced, inhibited or lost.
	if o.ExternalURL != m.ExternalURL {
		again = o.Alert.StartsAt.After(m.Alert.StartsAt.Add(replicaSkew))
	}
	again = again || m.Muted != nil // Alertmanager notifies of it: it is muted no longer.
	starts := m.Alert.StartsAt
	c.Alert = Pack(o.Alert)
	if again {
		c.ExternalURL = o.ExternalURL
	} else {
		c.Alert.StartsAt = starts
	}
	if again && m.Muted == nil {
		in.miss(o.Alert.StartsAt, fp)
	}
	raise := o.Urgency.Rank() < in.Urgency.Rank() // only Alertmanager's bare keys hold several urgencies.
	in.Put(fp, &c)
	if raise {
		in.describe(o)
	}
	switch {
	case again:
		in.describe(o)
		in.begin(t, fp, now)
		in.Note(now, "received", receivedText(o)+", again")
		return
	case raise:
		in.Revision++
		in.Note(now, "received", fp+" rises to "+string(o.Urgency)+faultsText(o.Faults))
	case repeat:
		in.RepeatAt = now
		in.Note(now, "repeat", "from "+o.ExternalURL)
		t.Count(CountedRepeat)
		return
	}
	t.Count(CountedJoined)
	in.settle(now)
}

// describe takes what Render and the lanes need from the newest observation. An
// urgency never goes down while members fire, nor before PagerDuty has been told
// that they ended: its own does not either.
func (in *Incident) describe(o *mapping.Observation) {
	if (in.Firing() > 0 || in.Have != StateClosed) && o.Urgency.Rank() > in.Urgency.Rank() {
		return
	}
	in.Rule, in.Tier, in.Urgency, in.Severity = o.Rule, o.Tier, o.Urgency, o.Severity
	in.Receiver, in.ExternalURL, in.GroupKey, in.GroupLabels = o.Receiver, o.ExternalURL, o.GroupKey, PairsOf(o.GroupLabels)
	in.Shared = in.Shared || o.Shared
}

// begin starts a firing of a member.
func (in *Incident) begin(t Table, fp string, now time.Time) {
	if in.loud() == 0 {
		in.Epoch++
		if d := in.FollowUp(); d != nil && d.FollowUp == Resolve && in.Have == StateClosed { // what it was for may have landed.
			in.Have = StateUnknown
		}
		in.wantChanged()
		in.Attempted, in.Retry = false, Retry{}
		in.RepeatAt = time.Time{}
		in.PendingSince = now
		in.Guaranteed = 0 // of the epoch before it was told that it was missed.
	}
	c := *in.Members[fp]
	c.Firing, c.Epoch, c.Revision, c.Late, c.MovedTo, c.Muted = true, in.Epoch, in.Revision+1, nil, "", nil
	in.Put(fp, &c)
	in.Revision++
	t.Count(CountedFiring)
	in.settle(now)
}

// End closes a member where it is. limited: high pages of the service wait for the
// rate limit.
func (in *Incident) End(fp string, e Ended, limited bool, now time.Time) {
	c := *in.Members[fp]
	c.Firing, c.Late, c.ExpiresAt, c.MovedTo, c.Muted = false, nil, time.Time{}, "", nil
	c.LastSeen = now
	if !e.At.Before(c.Ended.At) {
		c.Ended = e
	}
	was := in.Firing()
	in.Put(fp, &c)
	if mutant.On(mutant.FirstResolveCloses) {
		for other, m := range in.Members {
			n := *m
			n.Firing = false
			in.Put(other, &n)
		}
	}
	in.lapse(was, limited, now)
	if in.Firing() == 0 && !in.guaranteed() { // else it is paged all the same, if only as a member.
		if was > 0 {
			in.missAll(now)
		} else { // of the others note was taken before.
			in.miss(now, fp)
		}
	}
	in.settle(now)
}

// disregard takes back the firings of an epoch that nothing has left for: a peer told
// of them late, and another replica has sent their resolve. Their end, when it is told
// here, is news all the same: that replica may have died before it could say so.
func (in *Incident) disregard(t Table, now time.Time) {
	was := in.Firing()
	for fp, m := range in.Members {
		if !m.Firing {
			continue
		}
		c := *m
		c.Firing, c.Revision, c.MovedTo, c.Muted = false, 0, "", nil
		in.Put(fp, &c)
		if m.Ended.At.IsZero() {
			delete(in.Members, fp) // it does not count any more.
		}
		t.Count(CountedDismissed)
	}
	in.AcceptedRevision = in.Revision // there is nothing to say, nor to resolve that another replica might have opened.
	in.lapse(was, false, now)
}

// lapse follows a change after which fewer members than before make the incident
// one that should be open.
func (in *Incident) lapse(was int, limited bool, now time.Time) {
	if in.Firing() == 0 && was > 0 {
		in.guarantee(limited, now)
		in.wantChanged()
		in.Attempts, in.NotBefore = 0, time.Time{}
		in.PendingSince = now
		if in.Have != StateClosed { // a refused refresh does not keep the resolve from leaving.
			in.Blocked = nil
		}
	}
}

// guarantee marks what is over and was not paged, if nothing but the rate limit held it
// back. A request in flight is in no limit's way: its answer decides.
func (in *Incident) guarantee(limited bool, now time.Time) {
	sent := in.AcceptedRevision
	if in.Intent != nil {
		sent = max(sent, in.Intent.Revision)
	}
	if limited && in.Urgency.First() && in.Revision > sent && in.Blocked == nil && in.KeyFault == "" && in.NotBefore.IsZero() {
		in.Guaranteed = in.Revision
		in.Note(now, "guaranteed", "only waited for the rate limit: paged although it is over")
	}
}

// trim forgets the oldest resolved members beyond what is kept.
func (in *Incident) trim() {
	var over []string
	for fp, m := range in.Members {
		if !m.Firing && m.Late == nil {
			over = append(over, fp)
		}
	}
	if len(over) <= maxResolved {
		return
	}
	slices.SortFunc(over, func(a, b string) int { return in.Members[a].LastSeen.Compare(in.Members[b].LastSeen) })
	in.miss(time.Time{}, over[:len(over)-maxResolved]...)
	for _, fp := range over[:len(over)-maxResolved] {
		delete(in.Members, fp) // none of them fires.
	}
}
