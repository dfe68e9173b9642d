package oncall

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

// keyed is a service and the services of pagerelay that have a key of it.
type keyed struct {
	*coverage.Service
	relays []string
	hidden bool // none of its keys is shown.
}

// services reads the services that the policies serve and those that pagerelay pages,
// and joins the two.
func (p *pass) services(ctx context.Context, relays, policies map[string]string) {
	served := map[string]bool{}
	for _, policy := range p.snap.Policies {
		for _, id := range policy.Services {
			served[id] = true
		}
	}
	for _, id := range p.cfg.Services.IDs {
		served[id] = true
	}
	if len(served)+len(relays) == 0 {
		return
	}
	names := map[string]bool{}
	for _, relay := range relays {
		names[relay] = true
	}
	for _, c := range p.cfg.Policies {
		for _, relay := range c.Services {
			names[relay] = true
		}
	}
	p.expect(1)
	var kept []keyed
	err := p.eachService(ctx, func(s *pagerduty.Service) {
		k := p.service(s, relays)
		if served[s.ID] || p.snap.Policies[k.Policy] != nil || len(k.relays) > 0 || k.hidden && names[s.Name] {
			kept = append(kept, k)
			p.snap.Services[s.ID] = k.Service
			delete(served, s.ID)
		}
	})
	switch {
	case err != nil:
		p.unread(coverage.KindService, "", err)
	default:
		for _, id := range slices.Sorted(maps.Keys(served)) {
			p.unread(coverage.KindService, id, errors.New("it is not among the services that PagerDuty lists for this token"))
		}
	}
	p.join(kept, names, policies)
	p.step(1)
	p.maintenance(ctx)
}

func (p *pass) eachService(ctx context.Context, visit func(*pagerduty.Service)) error {
	for offset := 0; ; {
		var page pagerduty.Page[pagerduty.Service]
		err := p.call(ctx, func(ctx context.Context) (err error) {
			page, err = p.api.Services(ctx, offset)
			return err
		})
		if err != nil {
			return err
		}
		for i := range page.Items {
			visit(&page.Items[i])
		}
		p.step(0)
		if offset = page.Next; offset == 0 {
			return nil
		}
	}
}

func (p *pass) service(s *pagerduty.Service, relays map[string]string) keyed {
	k := keyed{hidden: true, Service: &coverage.Service{
		ID: s.ID, Name: s.Name, URL: s.HTMLURL, Policy: p.own(s.EscalationPolicy.ID), Status: s.Status,
	}}
	k.Urgency, k.Outside = urgency(s.IncidentUrgencyRule)
	for _, i := range s.Integrations {
		if i.Key == "" {
			continue
		}
		k.hidden = false
		if relay, ok := relays[string(i.Key)]; ok && !slices.Contains(k.relays, relay) {
			k.relays = append(k.relays, relay)
		}
	}
	slices.Sort(k.relays)
	return k
}

// urgency is how a service makes the urgency of its incidents, and how outside support
// hours where that differs; "" if it does not say, of both.
func urgency(r *pagerduty.UrgencyRule) (urgency, outside string) {
	switch {
	case r == nil:
		return "", ""
	case r.Type != "use_support_hours":
		return r.Urgency, ""
	case r.During == nil || r.Outside == nil || r.During.Urgency == "" || r.Outside.Urgency == "":
		return "", ""
	case r.During.Urgency == r.Outside.Urgency:
		return r.During.Urgency, ""
	}
	return r.During.Urgency, r.Outside.Urgency
}

// join says which service of pagerelay pages which of PagerDuty's: by the routing key;
// by the id that the configuration gives; where PagerDuty hides the keys, by the same
// name; and otherwise by the policy that
// the configuration says it pages, if that serves one service.
func (p *pass) join(kept []keyed, names map[string]bool, policies map[string]string) {
	joined := map[string]bool{}
	add := func(s *coverage.Service, relay string) {
		joined[relay] = true
		s.Relays = append(s.Relays, relay)
	}
	for _, k := range kept {
		for _, relay := range k.relays {
			add(k.Service, relay)
		}
	}
	for _, relay := range slices.Sorted(maps.Keys(p.cfg.Services.IDs)) {
		if s := p.snap.Services[p.cfg.Services.IDs[relay]]; s != nil && !joined[relay] {
			add(s, relay)
		}
	}
	for _, k := range kept {
		if k.hidden && names[k.Name] && !joined[k.Name] {
			add(k.Service, k.Name)
		}
	}
	for _, c := range p.cfg.Policies {
		policy := p.snap.Policies[policies[c.Name]]
		if policy == nil || len(policy.Services) != 1 {
			continue
		}
		service := p.snap.Services[policy.Services[0]]
		for _, relay := range c.Services {
			if service != nil && !joined[relay] {
				add(service, relay)
			}
		}
	}
}

// maintenance reads the maintenance windows of the services that were kept.
func (p *pass) maintenance(ctx context.Context) {
	if len(p.snap.Services) == 0 {
		return
	}
	p.expect(1)
	defer p.step(1)
	var windows []pagerduty.MaintenanceWindow
	err := p.call(ctx, func(ctx context.Context) (err error) {
		windows, err = pagerduty.All(ctx, p.api.OpenMaintenanceWindows)
		return err
	})
	// What else is known of the services stands: a disabled one is.
	unread := func(service string, err error) {
		p.snap.Unread = append(p.snap.Unread, coverage.Unread{
			Check: coverage.ServiceInMaintenance, Kind: coverage.KindService, ID: service, Reason: err.Error(),
		})
	}
	if err != nil {
		unread("", err)
		return
	}
	for _, w := range windows {
		start, err := pagerduty.ParseTime(w.StartTime)
		end, endErr := pagerduty.ParseTime(w.EndTime)
		if err == nil {
			err = endErr
		}
		for _, ref := range w.Services {
			s := p.snap.Services[ref.ID]
			switch {
			case s == nil:
			case err != nil:
				unread(s.ID, fmt.Errorf("maintenance window %s: %w", w.ID, err))
			case end.After(start) && end.After(p.snap.At):
				s.Maintenance = append(s.Maintenance, coverage.Span{Start: start, End: end})
			}
		}
	}
}
