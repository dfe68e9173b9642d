// Package intake is the one door into the outbox: it says which incidents the
// alerts of a group belong to, checks that none is lost on the way, has them
// stored, and counts what the rules could not do as asked. Whoever observes
// something posts it here, as the webhook that Alertmanager would have sent.
//
// It decides nothing: which incident is the mapping's business, what becomes of
// it the outbox's.
package intake

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/pagerelay/pagerelay/mapping"
)

// Sink stores observations, all or none; nil means that they are durable.
type Sink interface {
	Observe(ctx context.Context, obs []mapping.Observation) error
}

// Router says which incidents the alerts of a group belong to: at least one
// observation for each alert. mapping.Mapper is one.
type Router interface {
	Route(g *mapping.Group) []mapping.Observation
}

// ErrNoRules says that Apply has not been called yet. It is temporary.
var ErrNoRules = errors.New("no configuration is in force yet")

// ErrUnrouted says that the rules made fewer observations than there were alerts.
// It is a fault of pagerelay; to go on would lose a page.
var ErrUnrouted = errors.New("the rules returned fewer observations than alerts")

// Config is what a Door may be told. Its zero value works.
type Config struct {
	// OnFault is told each mapping fault of what was stored. It must not block.
	OnFault func(mapping.Fault)
}

// Door is the door. Its methods are safe for concurrent use.
type Door struct {
	sink   Sink
	cfg    Config
	router atomic.Pointer[Router]
}

// New makes a Door; until Apply has given it rules, Post refuses.
func New(sink Sink, cfg Config) *Door {
	if cfg.OnFault == nil {
		cfg.OnFault = func(mapping.Fault) {}
	}
	return &Door{sink: sink, cfg: cfg}
}

// Apply replaces the rules, as a reload does. A Post under way ends by the rules
// that it began with.
func (d *Door) Apply(r Router) { d.router.Store(&r) }

// Post takes groups in, in one transaction. Nil means that all of their alerts are
// durable. After an error none is, or none is known to be: post them again, which
// is harmless.
func (d *Door) Post(ctx context.Context, groups ...*mapping.Group) error {
	router := d.router.Load()
	if router == nil {
		return ErrNoRules
	}
	var obs []mapping.Observation
	for _, g := range groups {
		routed := (*router).Route(g)
		if len(routed) < len(g.Alerts) {
			return fmt.Errorf("route %d alerts to %d observations: %w", len(g.Alerts), len(routed), ErrUnrouted)
		}
		obs = append(obs, routed...)
	}
	if len(obs) == 0 {
		return nil
	}
	if err := d.sink.Observe(ctx, obs); err != nil {
		return fmt.Errorf("store observations: %w", err)
	}
	for i := range obs {
		for _, f := range obs[i].Faults {
			d.cfg.OnFault(f)
		}
	}
	return nil
}
