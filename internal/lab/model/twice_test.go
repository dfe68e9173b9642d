package model_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// lands is how long a request that timed out is reckoned with.
const lands = 2 * time.Minute

// twice holds each request against promise 7. Whatever leaves uses up the reasons
// there are for it by then; what happens since gives new ones. It knows what the
// world has said, done and answered, and of pagerelay only what its requests are
// about. The caller holds the world's lock.
type twice struct {
	lines map[lineKey]*line
	heard map[string]map[int]*heard // by dedup key and alert.
}

// lineKey is what one incident of PagerDuty's stands for.
type lineKey struct{ routingKey, dedupKey string }

type line struct {
	why  map[incident.Action]map[reason]*cause
	last map[incident.Action]*last
	// closed: PagerDuty holds nothing, as far as anybody can know.
	closed bool
	// unsent: an episode began that only another replica can have triggered so far.
	unsent bool
	// kept: PagerDuty may hold what it has not resolved, in a maintenance window or as it
	// refused to. That is a reason to trigger anew what may have joined it.
	kept reason
}

// cause is when a reason came up.
type cause struct {
	// from: what leaves before it may be about something else.
	from time.Time
	// told counts the webhooks that tell of it and are not answered yet.
	told int
}

// last is the newest request of its kind.
type last struct {
	returned time.Time
	inFlight int
	refused  bool
	about    string    // which epoch, and whether it fires.
	unclear  time.Time // when its outcome became unknown, if it is.
	fell     *hole     // that it was accepted in, and that the audit does not know of.
	copied   string    // which copy of a page the fallback's was about.
}

// heard is the firing of an alert that was told last. The starts of two peers
// that belong to one firing are one start.
type heard struct {
	start time.Time
	over  time.Time
	here  bool // told to fire under this key, not only to be over.
}

func newTwice() *twice {
	return &twice{lines: map[lineKey]*line{}, heard: map[string]map[int]*heard{}}
}

func (t *twice) line(routingKey, dedupKey string) *line {
	k := lineKey{routingKey, dedupKey}
	l := t.lines[k]
	if l == nil {
		l = &line{why: map[incident.Action]map[reason]*cause{}, last: map[incident.Action]*last{}, closed: true}
		for _, a := range incident.Actions() {
			l.why[a], l.last[a] = map[reason]*cause{}, &last{}
		}
		t.lines[k] = l
	}
	return l
}

func (t *twice) everywhere(dedupKey string) []*line {
	return []*line{t.line(keyInfra, dedupKey), t.line(keyNext, dedupKey), t.line(keyOther, dedupKey)}
}

// recently says whether a request may still land whose outcome is not known.
func (l *line) recently(a incident.Action, now time.Time) bool {
	at := l.last[a].unclear
	return !at.IsZero() && now.Sub(at) <= lands
}

// allow gives a reason.
func (l *line) allow(r reason, from time.Time, actions ...incident.Action) {
	for _, a := range actions {
		c := l.why[a][r]
		if c == nil {
			c = &cause{}
			l.why[a][r] = c
		}
		if from.After(c.from) {
			c.from = from
		}
	}
}

// allow gives a reason for a dedup key, wherever it goes: to the fallback, too, or
// under another routing key.
func (t *twice) allow(dedupKey string, r reason, from time.Time, actions ...incident.Action) {
	for _, l := range t.everywhere(dedupKey) {
		l.allow(r, from, actions...)
	}
}

// begins gives the reasons that an episode is.
func (t *twice) begins(dedupKey string, r reason, from time.Time, peers int) {
	for _, l := range t.everywhere(dedupKey) {
		l.allow(r, from, incident.Trigger)
		if !l.closed {
			l.allow(olderOpen, from, incident.Resolve)
		}
		if peers > 1 {
			l.allow(onlyItsEnd, from, incident.Resolve)
			l.unsent = true
		}
	}
}

// observed notes what a webhook is about to tell, and returns what is to be called
// once it has been answered 200.
func (t *twice) observed(peer int, o *mapping.Observation, i, peers int, muted bool, now time.Time) (answered func()) {
	if t.heard[o.DedupKey] == nil {
		t.heard[o.DedupKey] = map[int]*heard{}
	}
	start := o.Alert.StartsAt.Add(-time.Duration(peer) * peerSkew)
	h := t.heard[o.DedupKey][i]
	known := h != nil && !start.After(h.start)
	if !known {
		h = &heard{start: start}
		t.heard[o.DedupKey][i] = h
	}
	given := map[reason]incident.Action{}
	if o.Alert.Status == mapping.Resolved {
		if !known || h.over.IsZero() {
			given[onlyItsEnd] = incident.Resolve
		}
		for _, alerts := range t.heard { // wherever it was routed before.
			if h := alerts[i]; h != nil && h.over.IsZero() && !start.Before(h.start) {
				h.over = now
			}
		}
	} else {
		switch back := known && start.Equal(h.start) && !h.over.IsZero(); {
		case back && !h.here: // its end is remembered under the key that it had before a reload.
			given[elsewhere] = incident.Trigger
		case back && peer == 0: // Alertmanager had let it expire.
			h.over = time.Time{}
			given[newEpisode] = incident.Trigger
		case back && peers == 0 && now.Sub(h.over) > time.Minute:
			given[lateInDoubt] = incident.Trigger
		case !known, muted:
			given[newEpisode] = incident.Trigger
		}
		h.here = true
		if o.Reason == "repeat interval elapsed" {
			given[repeated] = incident.Trigger
		}
	}
	var causes []*cause
	for r, a := range given {
		if r != repeated && r != onlyItsEnd {
			t.begins(o.DedupKey, r, time.Time{}, peers)
		}
		for _, l := range t.everywhere(o.DedupKey) {
			l.allow(r, time.Time{}, a)
			c := l.why[a][r]
			c.told++
			causes = append(causes, c)
		}
	}
	return func() {
		for _, c := range causes {
			c.told--
		}
	}
}

// departure is a request on its way.
type departure struct {
	line     *line
	key      lineKey
	action   incident.Action
	minimal  bool
	planned  bool  // it was but the repeat of one whose answer, or whose predecessor's, is doubtful.
	anew     bool  // it followed a resolve for the sake of an acknowledge that may land.
	hole     *hole // that the service is in.
	believed bool  // and the audit knows it.
}

// leaves notes a request, and says whether there is a reason for it.
func (t *twice) leaves(e *pagerduty.Event, in *incident.Incident, h *hole, told incident.Coverage, now time.Time) (*departure, bool) {
	d := &departure{key: lineKey{e.RoutingKey, e.DedupKey}, action: incident.Action(e.Action), minimal: e.Payload == nil || e.Payload.Details == nil, hole: h}
	d.line = t.line(e.RoutingKey, e.DedupKey)
	d.believed = told.State == incident.CoverageUncovered && (d.action == incident.Trigger || told.Maintenance)
	if in != nil && in.FallbackOf != "" && (d.action == incident.Trigger || !d.line.closed) {
		// A copy is pagerelay's own doing: nobody but its ledger tells of it.
		if made := fmt.Sprint(in.CreatedAt, in.Revision); d.line.last[d.action].copied != made {
			d.line.last[d.action].copied = made
			d.line.allow(elsewhere, time.Time{}, d.action)
		}
	}
	about := ""
	if in != nil {
		loud := slices.ContainsFunc(slices.Collect(maps.Values(in.Members)), func(m *incident.Member) bool { return m.Firing && m.Muted == nil })
		about = fmt.Sprint(in.Epoch, loud)
	}
	if last := d.line.last[d.action]; last.refused && last.about != about {
		d.line.allow(askedFor, time.Time{}, d.action)
	}
	d.line.last[d.action].about = about
	why := maps.Clone(d.line.why[d.action])
	if d.believed {
		delete(why, inWindow)
		delete(why, unheard)
	}
	d.planned = true
	for r := range why {
		d.planned = d.planned && slices.Contains([]reason{noProof, resolveLate, triggerLate, ackLate}, r)
	}
	d.anew = d.action == incident.Trigger && why[ackLate] != nil
	if in == nil || in.Intent == nil || (in.Revision == in.Intent.Revision && in.RepeatAt.Equal(in.Intent.RepeatAt)) {
		maps.DeleteFunc(d.line.why[d.action], func(_ reason, c *cause) bool { return c.told == 0 && now.After(c.from) })
	} // else something was stored after the decision, and is another's reason.
	if in != nil && in.Intent != nil && in.Intent.Uncovered != nil {
		d.believed = true // as the audit said before the last start.
	}
	d.line.last[d.action].inFlight++
	d.line.last[d.action].refused = false
	d.line.closed = d.line.closed && d.action != incident.Trigger && d.action != incident.Resolve // until one is accepted.
	if d.action == incident.Trigger {
		d.line.unsent = false
		d.line.allow(triggered, time.Time{}, incident.Acknowledge, incident.Resolve)
		for _, old := range t.everywhere(e.DedupKey) { // what may still be held, or land, under another key.
			if old != d.line && (!old.closed || old.recently(incident.Trigger, now)) {
				old.allow(newKey, time.Time{}, incident.Resolve)
			}
		}
	}
	return d, len(why) > 0
}

// returned notes what became of a request.
func (t *twice) returned(d *departure, kind pagerduty.Kind, now time.Time) {
	l, a := d.line, d.action
	s := l.last[a]
	s.inFlight--
	s.returned = now
	switch kind {
	case pagerduty.Accepted:
		t.accepted(d, now)
	case pagerduty.Throttled, pagerduty.Unsent:
		l.allow(notTaken, time.Time{}, a)
	case pagerduty.Failed, pagerduty.Ambiguous:
		s.unclear = now
		l.allow(unclear, time.Time{}, a)
	case pagerduty.Refused, pagerduty.TooLarge, pagerduty.BadKey:
		s.refused = true
		if a == incident.Trigger && !d.minimal {
			l.allow(asMinimal, time.Time{}, a)
		}
		if a == incident.Resolve && l.kept == "" {
			l.kept = olderOpen
		}
	}
}

func (t *twice) accepted(d *departure, now time.Time) {
	l := d.line
	// A closed incident's memory of this does not tell routing keys apart.
	recently := func(a incident.Action) bool {
		planned := d.planned && !(d.anew && a == incident.Resolve) // what is opened anew is none's repeat.
		return !planned && slices.ContainsFunc(t.everywhere(d.key.dedupKey), func(l *line) bool { return l.recently(a, now) })
	}
	last := l.last[d.action]
	last.fell = nil
	switch d.action {
	case incident.Trigger:
		if recently(incident.Resolve) {
			l.allow(resolveLate, time.Time{}, incident.Trigger)
		}
		if recently(incident.Acknowledge) {
			l.allow(ackLate, time.Time{}, incident.Trigger)
		}
		if l.kept != "" {
			l.allow(l.kept, time.Time{}, incident.Trigger)
		}
		last.fell = d.hole
	case incident.Resolve:
		l.closed = !recently(incident.Trigger)
		if l.unsent { // this one was for what came before it.
			l.allow(onlyItsEnd, time.Time{}, incident.Resolve)
			l.unsent = false
		}
		if recently(incident.Trigger) {
			l.allow(triggerLate, time.Time{}, incident.Resolve)
		}
		if d.hole != nil && d.hole.what == maintenance {
			last.fell, l.closed = d.hole, false
		} else {
			l.kept = ""
		}
	case incident.Acknowledge:
		if !d.planned {
			l.allow(noProof, time.Time{}, incident.Acknowledge)
		}
	case incident.Change:
	}
	if d.believed {
		t.fell(d.key, d.action)
	}
}

// fell notes that a request had no effect, as the audit says.
func (t *twice) fell(k lineKey, a incident.Action) {
	l := t.lines[k]
	l.last[a].fell = nil
	switch a {
	case incident.Trigger:
		l.allow(unheard, time.Time{}, incident.Trigger)
		t.line(keyOther, k.dedupKey).allow(elsewhere, time.Time{}, incident.Trigger)
	case incident.Resolve:
		l.closed, l.kept = false, unheard
		l.allow(inWindow, time.Time{}, incident.Resolve)
	case incident.Acknowledge, incident.Change:
	}
}

// audited notes that the audit knows of a hole now.
func (t *twice) audited(h *hole) {
	for k, l := range t.lines {
		for _, a := range incident.Actions() {
			if l.last[a].fell == h {
				t.fell(k, a)
			}
		}
	}
}

// killed notes that nothing was stored from a moment on.
func (t *twice) killed(cut, now time.Time) {
	for _, l := range t.lines {
		for a, s := range l.last {
			if s.inFlight > 0 || (!s.returned.IsZero() && !s.returned.Before(cut)) {
				s.unclear = now
				l.allow(unclear, time.Time{}, a)
			}
		}
	}
}

// lifted notes that what PagerDuty refused may be tried again.
func (t *twice) lifted() {
	for _, l := range t.lines {
		for a, s := range l.last {
			if s.refused {
				l.allow(askedFor, time.Time{}, a)
			}
		}
	}
}

// reloaded notes that routes or keys have changed.
func (t *twice) reloaded() {
	for _, l := range t.lines {
		l.allow(newKey, time.Time{}, incident.Trigger, incident.Resolve)
		l.allow(elsewhere, time.Time{}, incident.Trigger, incident.Resolve)
	}
}

// checkTwice holds a request against promise 7, and returns what is to be called
// with PagerDuty's answer.
func (w *world) checkTwice(e *pagerduty.Event, in *incident.Incident) func(error) {
	service := serviceOf(e)
	told := w.coverageAt(service, time.Now())
	w.mu.Lock()
	defer w.mu.Unlock()
	d, ok := w.twice.leaves(e, in, w.holes[service], told, time.Now())
	if !ok {
		says := "nothing"
		if in != nil && in.Intent != nil {
			says = in.Intent.Reason
		}
		w.problems = append(w.problems, fmt.Sprintf("at %s: %s of %s on %s again, and nothing since that the contract names; its ledger says: %s",
			time.Now().Format(time.TimeOnly), e.Action, e.DedupKey, service, says))
	}
	return func(err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.twice.returned(d, pagerduty.Classify(err).Kind, time.Now())
	}
}
