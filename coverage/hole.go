package coverage

import (
	"slices"
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

// How far a hole reaches beyond what was read. PagerDuty judges a page by its own clock,
// when it gets to it: seconds from ours, and later than we sent it. A page that is taken
// for lost costs a copy to the fallback, one that is taken for heard may cost the page.
// The end has more room, because who is on call again must be so for sure when what was
// missed is sent once more.
const (
	holeBefore = 5 * time.Second
	holeAfter  = time.Minute
)

// Hole is a time in which PagerDuty accepts a page and opens no incident.
type Hole struct {
	Reason HoleReason
	// Since is when a maintenance window began, five seconds before what was read; zero
	// for other reasons. Until is when the hole is over, a minute after what was read;
	// zero where that is not known.
	Since, Until time.Time
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
	gaps    []Span   // at which nobody may be on call, normal; none where that is not known.
	doubts  []Span   // gaps, and at which whoever is on call may have no account.
	unknown bool     // nobody knows that pages are heard outside the gaps.
}

// NewHearing works out the holes of all services, so that asking is quick.
//
// What PagerDuty says of a service (Service.Relays) counts before what the
// configuration joins. What is required or muted does not matter: a page is lost at
// any hour, and in the shortest gap. A policy that is not to be audited is taken to
// have somebody. Whether people hear who were not read is not known.
//
// A gap or maintenance window counts from five seconds before its start to a minute
// after its end, by which PagerDuty's clock may differ from ours and a page may take.
func NewHearing(s *Snapshot, c Config) *Hearing {
	c = c.WithDefaults()
	h := &Hearing{ways: map[string][]way{}, window: Span{s.Window.Start.UTC(), s.Window.End.UTC()}, partial: s.unread(KindService)}
	policies := byName(s.Policies, func(p *Policy) string { return p.Name })
	onCalls := s.byPolicy()
	doubted := s.doubted()
	certain := func(user string) bool { return s.live(user) && !doubted(user) }
	audited := map[string]way{} // by the policy: of others the on-calls were not asked for.
	joined := map[string][]way{}
	keyless := s.keyless()
	other := way{} // of a policy that is not audited, or may be one that was not read.
	for _, pc := range c.Policies {
		w := way{unknown: true}
		if p := policies(pc.Name); p != nil && !s.unread(KindPolicy, p.ID, p.Name, pc.Name) {
			w = way{policy: p.Name, gaps: s.nobody(onCalls[p.ID], h.window, s.live)}
			if s.Unread != nil {
				w.doubts = s.nobody(onCalls[p.ID], h.window, certain)
			}
			audited[p.ID] = w
		}
		other.unknown = other.unknown || w.unknown
		if p := policies(pc.Name); p != nil && (s.unread(KindService, p.Services...) || s.lacks(ServiceInMaintenance, KindService, p.Services...)) {
			w.unknown = true // the service behind it may take no pages.
		}
		for _, name := range pc.Services {
			way := w
			way.unknown = w.unknown || slices.Contains(keyless, name) // the service behind it may take no pages.
			joined[name] = append(joined[name], way)
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
		w.unknown = w.unknown || s.lacks(ServiceInMaintenance, KindService, svc.ID)
		for _, relay := range svc.Relays {
			h.ways[relay] = append(h.ways[relay], w)
		}
	}
	for _, name := range keyless {
		if len(joined[name]) == 0 {
			joined[name] = []way{{unknown: true}}
		}
	}
	for name, ways := range joined {
		if len(h.ways[name]) == 0 {
			h.ways[name] = ways
		}
	}
	return h
}

// nobody is when none of the on-calls of people that are live may be running.
func (s *Snapshot) nobody(onCalls []int32, window Span, live func(user string) bool) []Span {
	laps := make([]lap, 0, len(onCalls))
	for _, at := range onCalls {
		o := &s.OnCalls[at]
		if l, ok := o.lap(window); ok && live(o.User) {
			laps = append(laps, l)
		}
	}
	return widened(subtract([]Span{window}, asSpans(merge(laps), window)), window)
}

// widened is the normal list of spans with the margins of a hole, cut to w.
func widened(spans []Span, w Span) []Span {
	wide := make([]Span, len(spans))
	for i, s := range spans {
		wide[i] = s
		if !s.Start.IsZero() {
			wide[i].Start = s.Start.Add(-holeBefore)
		}
		if !s.End.IsZero() {
			wide[i].End = s.End.Add(holeAfter)
		}
	}
	return normalise(wide, w)
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
		case !ok:
			if _, doubt := covering(w.doubts, at); !doubt && !w.unknown {
				return Hears, Hole{}
			}
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
	gap, ok := covering(w.gaps, at)
	if !ok {
		return Hole{}, false
	}
	h := Hole{Reason: NobodyOnCall, Policy: w.policy}
	if gap.End.Before(window.End) {
		h.Until = gap.End
	}
	return h, true
}

// covering is the span of a normal list that contains a time.
func covering(spans []Span, at time.Time) (Span, bool) {
	i := sort.Search(len(spans), func(i int) bool { return spans[i].End.After(at) })
	if i == len(spans) || !spans[i].contains(at) {
		return Span{}, false
	}
	return spans[i], true
}

// hole says whether the service itself takes no pages.
func (s *Service) hole(at time.Time) (Hole, bool) {
	if s.Status == statusDisabled {
		return Hole{Reason: DisabledService}, true
	}
	// A window without an end is one that is not known to end.
	far := Span{Start: at.Add(-maxHorizon), End: at.Add(100 * maxHorizon)}
	for _, w := range widened(s.Maintenance, far) {
		if w.contains(at) {
			h := Hole{Reason: UnderMaintenance, Since: w.Start}
			if w.End.Before(far.End) {
				h.Until = w.End
			}
			return h, true
		}
	}
	// The windows tell more than the status, which is as old as the snapshot.
	return Hole{Reason: UnderMaintenance}, s.Status == statusMaintenance && len(s.Maintenance) == 0
}
