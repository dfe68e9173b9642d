package coverage

import (
	"sort"
	"time"
)

// HoleReason is why a page opens nothing.
type HoleReason string

// The reasons.
const (
	NobodyOnCall     HoleReason = "nobody_on_call"
	DisabledService  HoleReason = "service_disabled"
	UnderMaintenance HoleReason = "service_in_maintenance"
)

// PagerDuty's status of a service that takes no pages (REST API, GET /services).
const (
	statusDisabled    = "disabled"
	statusMaintenance = "maintenance"
)

// Hole is a time in which PagerDuty accepts a page and opens no incident.
type Hole struct {
	Reason HoleReason
	// Until is when it ends; zero where that is not known.
	Until time.Time
	// Policy is the name of the escalation policy that has nobody on call.
	Policy string
}

// Heard is what is known of whether a page opens an incident.
type Heard string

// What may be known.
const (
	NotAudited  Heard = ""        // no policy or PagerDuty service is known to be behind it.
	NotKnown    Heard = "unknown" // what tells could not be read, or speaks of other times.
	Hears       Heard = "somebody"
	NobodyHears Heard = "nobody"
)

// Hearing says when pages open an incident, as far as a snapshot knows. It does not
// change once made.
type Hearing struct {
	window  Span
	ways    map[string][]way // by pagerelay's service.
	partial bool             // services were not read: one that is not named may be among them.
}

// way is where a service's pages may go.
type way struct {
	service *Service // nil where it is not known or was not read.
	policy  string   // name.
	gaps    []Span   // at which nobody is on call, normal; none where that is not known.
	unknown bool     // nobody knows that pages are heard outside the gaps.
}

// NewHearing works out the holes of all services, so that asking is quick.
//
// What PagerDuty says of a service (Service.Relays) counts before what the
// configuration joins. What is required or muted does not matter: a page is lost at
// any hour. A gap shorter than ignore_shorter_than is none. A policy that is not to
// be audited is taken to have somebody.
func NewHearing(s *Snapshot, c Config) *Hearing {
	c = c.WithDefaults()
	h := &Hearing{ways: map[string][]way{}, window: Span{s.Window.Start.UTC(), s.Window.End.UTC()}, partial: s.unread(KindService)}
	policies := byName(s.Policies, func(p *Policy) string { return p.Name })
	onCalls := s.byPolicy()
	audited := map[string]way{} // by the policy: of others the on-calls were not asked for.
	joined := map[string][]way{}
	other := way{} // of a policy that is not audited, or may be one that was not read.
	for _, pc := range c.Policies {
		w := way{unknown: true}
		if p := policies(pc.Name); p != nil && !s.unread(KindPolicy, p.ID, p.Name, pc.Name) {
			w = way{policy: p.Name, gaps: s.nobody(onCalls[p.ID], h.window, time.Duration(c.IgnoreShorterThan))}
			audited[p.ID] = w
		}
		other.unknown = other.unknown || w.unknown
		for _, name := range pc.Services {
			joined[name] = append(joined[name], w)
		}
	}
	for _, id := range sortedKeys(s.Services) {
		svc := s.Services[id]
		w, ok := audited[svc.Policy]
		if !ok {
			w = other
		}
		if w.service = svc; s.unread(KindService, svc.ID, svc.Name) {
			w.service, w.unknown = nil, true
		}
		for _, relay := range svc.Relays {
			h.ways[relay] = append(h.ways[relay], w)
		}
	}
	for name, ways := range joined {
		if len(h.ways[name]) == 0 {
			h.ways[name] = ways
		}
	}
	return h
}

// nobody is when none of the on-calls is running.
func (s *Snapshot) nobody(onCalls []int32, window Span, ignore time.Duration) []Span {
	laps := make([]lap, 0, len(onCalls))
	for _, at := range onCalls {
		o := &s.OnCalls[at]
		if l, ok := o.lap(window); ok && s.live(o.User) {
			laps = append(laps, l)
		}
	}
	return atLeast(subtract([]Span{window}, asSpans(merge(laps), window)), ignore)
}

// Heard says whether a page to pagerelay's service, sent at the given time, opens an
// incident, and if nobody hears of it, why. Where pages may go several ways, as behind a
// routing key that leads to more than one service, all of them must have a hole, and it
// ends with the first.
func (h *Hearing) Heard(service string, at time.Time) (Heard, Hole) {
	ways := h.ways[service]
	switch {
	case !h.window.contains(at), len(ways) == 0 && h.partial:
		return NotKnown, Hole{}
	case len(ways) == 0:
		return NotAudited, Hole{}
	}
	var first Hole
	known := true
	for _, w := range ways {
		hole, ok := w.hole(at, h.window)
		switch {
		case !ok && !w.unknown:
			return Hears, Hole{}
		case !ok:
			known = false
		case first.Until.IsZero() || !hole.Until.IsZero() && hole.Until.Before(first.Until):
			first = hole
		}
	}
	if !known {
		return NotKnown, Hole{}
	}
	return NobodyHears, first
}

func (w way) hole(at time.Time, window Span) (Hole, bool) {
	if w.service != nil {
		if h, ok := w.service.hole(at); ok {
			return h, true
		}
	}
	i := sort.Search(len(w.gaps), func(i int) bool { return w.gaps[i].End.After(at) })
	if i == len(w.gaps) || !w.gaps[i].contains(at) {
		return Hole{}, false
	}
	h := Hole{Reason: NobodyOnCall, Policy: w.policy}
	if w.gaps[i].End.Before(window.End) {
		h.Until = w.gaps[i].End
	}
	return h, true
}

// hole says whether the service itself takes no pages.
func (s *Service) hole(at time.Time) (Hole, bool) {
	if s.Status == statusDisabled {
		return Hole{Reason: DisabledService}, true
	}
	// A window without an end is one that is not known to end.
	far := Span{Start: at.Add(-maxHorizon), End: at.Add(100 * maxHorizon)}
	for _, w := range normalise(s.Maintenance, far) {
		if w.contains(at) {
			h := Hole{Reason: UnderMaintenance}
			if w.End.Before(far.End) {
				h.Until = w.End
			}
			return h, true
		}
	}
	// The windows tell more than the status, which is as old as the snapshot.
	return Hole{Reason: UnderMaintenance}, s.Status == statusMaintenance && len(s.Maintenance) == 0
}
