package alertmanager

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

const adoptBatch = 100 // alerts that go through the door together.

// seeUnknown takes in a line about an alert that the outbox does not hold.
func (p *pass) seeUnknown(ctx context.Context, l *Listing) error {
	if l.Fingerprint == "" || !l.heard() {
		return nil
	}
	if _, twice := p.unknown[l.Fingerprint]; twice {
		return nil
	}
	starts, err := time.Parse(time.RFC3339Nano, l.StartsAt)
	now := p.began
	if l.later.After(now) { // too early is an early page, too late is none.
		now = l.later
	}
	if err != nil || now.Sub(starts) < p.after {
		return nil // its webhook may be under way.
	}
	var receivers []string
	for _, r := range l.Receivers {
		if _, ours := p.ours[r.Name]; ours && !slices.Contains(receivers, r.Name) {
			receivers = append(receivers, r.Name)
		}
	}
	if len(receivers) == 0 {
		return nil
	}
	if !p.adopting {
		p.unknown[l.Fingerprint] = struct{}{}
		return nil
	}
	alert, err := l.alert()
	if err != nil { // not for Alertmanager's own answers; the next line may be fine.
		p.unknown[l.Fingerprint] = struct{}{}
		p.r.log.Error("An unknown alert cannot be adopted", "fingerprint", l.Fingerprint, "err", err)
		return nil
	}
	seen := map[string]bool{}
	for _, receiver := range receivers {
		for _, o := range p.settings.Router.Route(p.group(alert, receiver, starts)) {
			if id := incident.ID(o.Service, o.DedupKey); !seen[id] {
				seen[id] = true
				o.Reason, o.AsOf = incident.ReasonAdopted, p.began
				p.batch = append(p.batch, o)
			}
		}
	}
	p.index[l.Fingerprint] = -1 // another member lists it as well.
	if p.batched++; p.batched >= adoptBatch {
		return p.adopt(ctx)
	}
	return nil
}

// adopt puts what was found through the door that webhooks come in by.
func (p *pass) adopt(ctx context.Context) error {
	if p.batched == 0 {
		return nil
	}
	if err := p.r.store.Observe(ctx, p.batch); err != nil {
		return fmt.Errorf("adopt alerts: %w", err)
	}
	for i := range p.batch {
		for _, f := range p.batch[i].Faults {
			p.r.cfg.OnFault(f)
		}
	}
	p.report.Adopted += p.batched
	p.batch, p.batched = nil, 0
	return nil
}

// group is the webhook that would have brought the alert to a receiver, as far as
// can be known: the API names no group keys, but an open incident of the same
// group does.
func (p *pass) group(alert Alert, receiver string, starts time.Time) *mapping.Group {
	g := group(alert, receiver)
	// The API cuts times to milliseconds. A webhook of the same episode must not
	// seem to start later.
	g.Alerts[0].StartsAt = starts.Add(time.Millisecond - 1)
	g.ExternalURL = p.ours[receiver]
	if p.shapes == nil {
		p.shapes = shapes(p.open)
	}
	best := 0
	for _, s := range p.shapes[receiver] {
		if in := s.groups[s.key(alert.Labels)]; in != nil && (g.GroupKey == "" || len(s.names) > best) {
			best = len(s.names)
			g.GroupKey, g.GroupLabels, g.ExternalURL = in.GroupKey, in.GroupLabels.KV(), in.ExternalURL
		}
	}
	return g
}

// groupShape is a receiver's groups whose labels have the same names.
type groupShape struct {
	names  []string // sorted.
	groups map[string]*incident.Incident
}

func (s *groupShape) key(labels map[string]string) string {
	var b strings.Builder
	for _, name := range s.names {
		fmt.Fprintf(&b, "%d:%s", len(labels[name]), labels[name])
	}
	return b.String()
}

// shapes indexes the groups of the open incidents, by receiver.
func shapes(open []*incident.Incident) map[string][]*groupShape {
	out := map[string][]*groupShape{}
	for _, in := range open {
		if !in.Origin.KnownToAlertmanager() || in.GroupKey == "" {
			continue
		}
		labels := in.GroupLabels.KV()
		names := slices.Sorted(maps.Keys(labels))
		at := slices.IndexFunc(out[in.Receiver], func(s *groupShape) bool { return slices.Equal(s.names, names) })
		if at < 0 {
			out[in.Receiver] = append(out[in.Receiver], &groupShape{names: names, groups: map[string]*incident.Incident{}})
			at = len(out[in.Receiver]) - 1
		}
		s := out[in.Receiver][at]
		s.groups[s.key(labels)] = in
	}
	return out
}

// Learn is a sink that tells the reconciler of what passes through it to another.
type Learn struct {
	Sink interface {
		Observe(ctx context.Context, obs []mapping.Observation) error
	}
	Reconciler *Reconciler
}

// Observe hands the observations on.
func (l Learn) Observe(ctx context.Context, obs []mapping.Observation) error {
	for i := range obs {
		if obs[i].Origin.KnownToAlertmanager() {
			l.Reconciler.Heard(obs[i].Receiver, obs[i].ExternalURL)
		}
	}
	return l.Sink.Observe(ctx, obs)
}
