package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/mapping"
)

const (
	fewRules      = 10
	manyRules     = 10_000
	maxRoute      = 3 * time.Microsecond
	maxRouteRatio = 3.0
)

// route is figure 3: what one alert costs that the rule in the middle takes. It
// counts processor time, garbage collection included: a pure function waits for
// nothing, and what others do on the machine is left out.
func route(ctx context.Context, o options) ([]row, error) {
	few, err := newRouting(fewRules)
	if err != nil {
		return nil, err
	}
	many, err := newRouting(manyRules)
	if err != nil {
		return nil, err
	}
	var fews, walls, manys, ratios []float64
	for range o.rounds(7) {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		a, wall, err := few.cost()
		if err != nil {
			return nil, err
		}
		b, _, err := many.cost()
		if err != nil {
			return nil, err
		}
		fews, walls, manys, ratios = append(fews, a), append(walls, wall), append(manys, b), append(ratios, b/a)
	}
	us := func(ns float64) string { return fmt.Sprintf("%.2f µs", ns/1000) }
	return []row{
		{
			figure: "route one alert, 10 rules", measured: us(median(fews)), peer: "by the clock " + us(median(walls)),
			limit: maxRoute.String(), met: median(fews) <= float64(maxRoute.Nanoseconds()),
		},
		{
			figure: "route one alert, 10,000 rules", measured: us(median(manys)), peer: "with 10 rules " + us(median(fews)),
			ratio: fmt.Sprintf("%.2f", median(ratios)), limit: fmt.Sprintf("%g × that", maxRouteRatio), met: median(ratios) <= maxRouteRatio,
		},
	}, nil
}

type routing struct {
	mapper *mapping.Mapper
	group  *mapping.Group
}

// newRouting makes rules with an equality matcher each.
func newRouting(rules int) (*routing, error) {
	cfg := mapping.Config{Services: []string{"infra"}}
	name := func(i int) string { return fmt.Sprintf("team-%d", i) }
	for i := range rules {
		cfg.Rules = append(cfg.Rules, mapping.Rule{Name: name(i), Matchers: []string{`team="` + name(i) + `"`}, Service: "infra"})
	}
	mapper, err := mapping.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("compile %d rules: %w", rules, err)
	}
	r := &routing{mapper: mapper, group: &mapping.Group{GroupKey: `{}:{alertname="DiskFull"}`, Data: template.Data{
		Receiver: "default", ExternalURL: "http://am.example.test:9093",
		Alerts: template.Alerts{{
			Status: mapping.Firing, StartsAt: time.Now(), Fingerprint: "1f9cfbd33f2c2530",
			Labels: template.KV{
				"alertname": "DiskFull", "cluster": "eu-1", "instance": "db-1:9100", "job": "node",
				"severity": "critical", "team": name(rules / 2),
			},
			Annotations: template.KV{"summary": "Disk 97% full on db-1"},
		}},
	}}}
	if got := mapper.Route(r.group); len(got) != 1 || got[0].Rule != name(rules/2) || len(got[0].Faults) > 0 {
		return nil, errors.New("the alert was not taken by the rule in the middle")
	}
	return r, nil
}

// cost is the processor time and the time by the clock of one Route, in nanoseconds.
func (r *routing) cost() (processor, clock float64, err error) {
	var used time.Duration
	result := testing.Benchmark(func(b *testing.B) {
		before, fault := processorTime()
		for b.Loop() {
			r.mapper.Route(r.group)
		}
		after, again := processorTime()
		used, err = after-before, errors.Join(fault, again)
	})
	n := float64(result.N)
	return float64(used.Nanoseconds()) / n, float64(result.T.Nanoseconds()) / n, err
}

// processorTime is what this process has used.
func processorTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
