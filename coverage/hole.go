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

// Hole says whether a page to pagerelay's service, sent at the given time, opens
// nothing, as far as the snapshot knows; where it does not know, it says no. What is
// required or muted does not matter to it: a page is lost at any hour.
//
// The service's own joins count first (Service.Relay), then those of the
// configuration. Where there are several, as behind a routing key that leads to more
// than one service, all of them must have a hole, and it ends with the first.
func (s *Snapshot) Hole(c Config, service string, at time.Time) (Hole, bool) {
	if s == nil || service == "" || !s.Window.contains(at) {
		return Hole{}, false
	}
	c = c.WithDefaults()
	policies := byName(s.Policies, func(p *Policy) string { return p.Name })
	audited := map[string]bool{} // those of which all on-calls were asked for.
	var joined []string
	for _, pc := range c.Policies {
		if p := policies(pc.Name); p != nil && !s.unread(KindPolicy, p.ID, p.Name, pc.Name) {
			audited[p.ID] = true
			if slices.Contains(pc.Services, service) {
				joined = append(joined, p.ID)
			}
		} else if slices.Contains(pc.Services, service) {
			joined = append(joined, "") // of which nothing is known.
		}
	}

	var holes []Hole
	relayed := false
	for _, id := range sortedKeys(s.Services) {
		svc := s.Services[id]
		if svc.Relay != service {
			continue
		}
		relayed = true
		h, ok := Hole{}, false
		if !s.unread(KindService, svc.ID, svc.Name) {
			h, ok = svc.hole(at)
		}
		if !ok && audited[svc.Policy] {
			h, ok = s.nobody(c, svc.Policy, at)
		}
		if !ok {
			return Hole{}, false
		}
		holes = append(holes, h)
	}
	if !relayed {
		for _, id := range joined {
			h, ok := Hole{}, false
			if audited[id] {
				h, ok = s.nobody(c, id, at)
			}
			if !ok {
				return Hole{}, false
			}
			holes = append(holes, h)
		}
	}
	if len(holes) == 0 {
		return Hole{}, false
	}
	first := holes[0]
	for _, h := range holes[1:] {
		if first.Until.IsZero() || !h.Until.IsZero() && h.Until.Before(first.Until) {
			first = h
		}
	}
	return first, true
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
