package coverage

import (
	"slices"
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

// Heard says whether a page to pagerelay's service, sent at the given time, opens an
// incident, and if nobody hears of it, why. What is required or muted does not matter to
// it: a page is lost at any hour.
//
// The service's own joins count first (Service.Relay), then those of the
// configuration. Where there are several, as behind a routing key that leads to more
// than one service, all of them must have a hole, and it ends with the first.
func (s *Snapshot) Heard(c Config, service string, at time.Time) (Heard, Hole) {
	c = c.WithDefaults()
	audited, joined := s.joins(c, service)
	if !s.Window.contains(at) {
		return NotKnown, Hole{}
	}
	var all []heard
	for _, id := range sortedKeys(s.Services) {
		if svc := s.Services[id]; svc.Relay == service {
			all = append(all, s.heardBy(c, svc, audited, at))
		}
	}
	if len(all) == 0 {
		for _, id := range joined {
			all = append(all, s.heardOn(c, id, audited, at))
		}
	}
	switch {
	case len(all) > 0:
		return together(all)
	case s.unread(KindService):
		return NotKnown, Hole{}
	}
	return NotAudited, Hole{}
}

// heard is what is known of one PagerDuty service or policy.
type heard struct {
	state Heard
	hole  Hole
}

// together is what is known of a page that goes to all of them.
func together(all []heard) (Heard, Hole) {
	first := all[0]
	for _, h := range all {
		switch {
		case h.state == Hears:
			return Hears, Hole{}
		case h.state == NotKnown:
			first = h
		case first.state == NobodyHears && (first.hole.Until.IsZero() || !h.hole.Until.IsZero() && h.hole.Until.Before(first.hole.Until)):
			first = h
		}
	}
	return first.state, first.hole
}

// joins finds the policies of which all on-calls were asked for, whether one that is
// to be was not read, and the ids of those that the configuration puts behind a
// service ("" for one of which nothing is known).
func (s *Snapshot) joins(c Config, service string) (audited map[string]bool, joined []string) {
	audited = map[string]bool{}
	policies := byName(s.Policies, func(p *Policy) string { return p.Name })
	for _, pc := range c.Policies {
		id := ""
		if p := policies(pc.Name); p != nil && !s.unread(KindPolicy, p.ID, p.Name, pc.Name) {
			id = p.ID
		}
		audited[id] = true
		if slices.Contains(pc.Services, service) {
			joined = append(joined, id)
		}
	}
	return audited, joined
}

// heardBy is what is known of a PagerDuty service.
func (s *Snapshot) heardBy(c Config, svc *Service, audited map[string]bool, at time.Time) heard {
	unread := s.unread(KindService, svc.ID, svc.Name)
	if h, ok := svc.hole(at); ok && !unread {
		return heard{NobodyHears, h}
	}
	if h := s.heardOn(c, svc.Policy, audited, at); h.state == NobodyHears || !unread {
		return h
	}
	return heard{state: NotKnown}
}

// heardOn is what is known of a policy. One that nobody wants to have audited is
// taken to have somebody.
func (s *Snapshot) heardOn(c Config, id string, audited map[string]bool, at time.Time) heard {
	switch {
	case id == "", !audited[id] && audited[""]: // it may be the one that was not read.
		return heard{state: NotKnown}
	case !audited[id]:
		return heard{state: Hears}
	}
	if h, ok := s.nobody(c, id, at); ok {
		return heard{NobodyHears, h}
	}
	return heard{state: Hears}
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

// nobody says whether nobody is on call on the policy, whose on-calls were read.
func (s *Snapshot) nobody(c Config, policy string, at time.Time) (Hole, bool) {
	var spans []Span
	for _, o := range s.OnCalls {
		if o.Policy == policy && s.live(o.User) {
			spans = append(spans, o.Span)
		}
	}
	read := Span{s.Window.Start.UTC(), s.Window.End.UTC()}
	for _, g := range atLeast(subtract([]Span{read}, normalise(spans, read)), time.Duration(c.IgnoreShorterThan)) {
		if !g.contains(at) {
			continue
		}
		h := Hole{Reason: NobodyOnCall, Policy: s.Policies[policy].Name}
		if g.End.Before(read.End) {
			h.Until = g.End
		}
		return h, true
	}
	return Hole{}, false
}
