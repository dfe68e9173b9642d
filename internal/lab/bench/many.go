package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	boundedOpen   = 100_000   // open incidents that the limits of figure 8 are for.
	maxManyMemory = 350 << 20 // bytes.
	maxManyReady  = 1500 * time.Millisecond
	manyWebhooks  = 20_000
	manyAlerts    = 500     // that these tell again and again.
	firstPosted   = 1 << 40 // their numbers are none of those that the outbox was filled with.
)

// many is figure 8: what a start with many open incidents takes, and what resident
// memory and the answer to a webhook are after it.
func many(ctx context.Context, o options) (rows []row, err error) {
	dir, err := storage(o, "many")
	if err != nil {
		return nil, err
	}
	sizes := []int{10_000, boundedOpen, 300_000}
	if o.quick {
		sizes = sizes[:2]
	}
	filled := 0
	for i, n := range sizes {
		if err := fill(ctx, dir, filled, 0, n-filled-i*manyAlerts); err != nil {
			return nil, fmt.Errorf("fill outbox: %w", err)
		}
		filled = n
		got, err := manyRow(ctx, o, dir, n)
		if err != nil {
			return nil, err
		}
		rows = append(rows, got...)
	}
	return rows, nil
}

// manyRow measures with n incidents open. What it posts stays open.
func manyRow(ctx context.Context, o options, dir string, n int) ([]row, error) {
	var seconds []float64
	for range o.rounds(5) {
		took, err := manyStart(ctx, o, dir, n, nil)
		if err != nil {
			return nil, err
		}
		seconds = append(seconds, took)
	}
	var m manyMeasured
	if _, err := manyStart(ctx, o, dir, n, &m); err != nil {
		return nil, err
	}
	half, most := median(seconds), max(m.rest, m.busy)
	r := row{
		figure:   fmt.Sprintf("%d incidents open: ready after start", n),
		measured: fmt.Sprintf("%.2f s (%d starts)", half, len(seconds)),
	}
	mem := row{
		figure:   "the same, resident memory",
		measured: fmt.Sprintf("%s at rest, %s at most while posting", mebibytes(m.rest), mebibytes(m.busy)),
		peer:     fmt.Sprintf("%.1f KiB an incident", float64(most)/1024/float64(n+manyAlerts)),
	}
	if n == boundedOpen {
		r.limit, r.met = maxManyReady.String(), half <= maxManyReady.Seconds()
		mem.limit, mem.met = mebibytes(maxManyMemory), most <= maxManyMemory
	}
	return []row{r, mem, {
		figure:   "the same, webhook with one alert, one client, p50 of the answer",
		measured: fmt.Sprintf("%s (p99 %s)", milliseconds(quantile(m.took, 0.5)), milliseconds(quantile(m.took, 0.99))),
	}}, nil
}

type manyMeasured struct {
	rest, busy uint64 // resident memory, in bytes.
	took       []time.Duration
}

// manyStart starts pagerelay once and returns how long it took to be ready. If m is not
// nil it measures further.
func manyStart(ctx context.Context, o options, dir string, n int, m *manyMeasured) (seconds float64, err error) {
	s := newSink()
	defer s.Close()
	p, err := start(ctx, o, dir, s.URL, unlimitedRate)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	seconds = time.Since(p.started).Seconds()
	open, err := p.metric(ctx, `pagerelay_outbox_incidents{state="open"}`)
	if err != nil {
		return 0, err
	}
	if int(open) != n {
		return 0, fmt.Errorf("%g incidents are open, want %d", open, n)
	}
	if m == nil {
		return seconds, nil
	}
	if err := wait(ctx, 10*time.Second); err != nil {
		return 0, err
	}
	if m.rest, _, err = p.resident(); err != nil {
		return 0, err
	}
	hooks, err := newWebhooks("critical")
	if err != nil {
		return 0, err
	}
	c, err := newClient(p.addr, hooks)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	r := rig{process: p}
	for i := range manyWebhooks {
		if i%manyAlerts == 0 {
			hooks.next.Store(firstPosted)
		}
		_, took, err := c.post()
		if err = errors.Join(err, context.Cause(ctx)); err != nil {
			return 0, err
		}
		m.took = append(m.took, took)
		if m.busy, err = r.higher(m.busy); err != nil {
			return 0, err
		}
	}
	return seconds, nil
}
