package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Limits of the figures.
const (
	maxOneClient  = 5.0 // times one append and flush of the raw disk.
	minRate       = 1.0 // times the flushes of the raw disk in a second ...
	wantedRate    = 1.5
	maxTail       = 60 * time.Millisecond // at most, for 99 of 100 webhooks.
	maxToWire     = 3 * time.Millisecond
	clients       = 128
	usualRate     = 120    // events a minute and routing key, PagerDuty's default.
	unlimitedRate = 10_000 // the most that the configuration takes.
)

// rig is pagerelay with an empty outbox, the stand-in for PagerDuty and webhooks to post.
type rig struct {
	*process
	sink  *sink
	hooks *webhooks
}

func newRig(ctx context.Context, o options, perMinute int) (*rig, error) {
	dir, err := storage(o, "outbox")
	if err != nil {
		return nil, err
	}
	hooks, err := newWebhooks("critical")
	if err != nil {
		return nil, err
	}
	s := newSink()
	p, err := start(ctx, o, dir, s.URL, perMinute)
	if err != nil {
		s.Close()
		return nil, err
	}
	return &rig{process: p, sink: s, hooks: hooks}, nil
}

func (r *rig) close() error {
	err := r.stop()
	r.sink.Close()
	return err
}

// oneClient is figure 1: one client, each webhook waits for the one before.
// Blocks of webhooks and blocks of the raw disk take turns.
func oneClient(ctx context.Context, o options) (rows []row, err error) {
	const each, warmUp = 200, 50
	r, err := newRig(ctx, o, usualRate)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	d, err := newDisk(o.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	c, err := newClient(r.addr, r.hooks)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	post := func(n int) ([]time.Duration, error) {
		took := make([]time.Duration, 0, n)
		for range n {
			_, t, err := c.post()
			if err = errors.Join(err, context.Cause(ctx)); err != nil {
				return nil, err
			}
			took = append(took, t)
		}
		return took, nil
	}
	if _, err := post(warmUp); err != nil {
		return nil, err
	}
	if _, err := d.block(ctx, warmUp); err != nil {
		return nil, err
	}
	profiled := r.profile(ctx, o, "one-client.pprof", 5*time.Second)
	var hooks, raws, ratios []float64
	var all []time.Duration
	for range o.rounds(30) {
		raw, err := d.block(ctx, each)
		if err != nil {
			return nil, err
		}
		hook, err := post(each)
		if err != nil {
			return nil, err
		}
		a, b := quantile(hook, 0.5), quantile(raw, 0.5)
		hooks, raws, ratios = append(hooks, a.Seconds()*1000), append(raws, b.Seconds()*1000), append(ratios, a.Seconds()/b.Seconds())
		all = append(all, hook...)
	}
	ratio := median(ratios)
	return []row{{
		figure:   "webhook with one alert, one client, p50 of the answer",
		measured: fmt.Sprintf("%.2f ms (p99 %s)", median(hooks), milliseconds(quantile(all, 0.99))),
		peer:     fmt.Sprintf("append+fdatasync of 2 KiB, p50 %.2f ms", median(raws)),
		ratio:    fmt.Sprintf("%.1f", ratio), limit: fmt.Sprintf("%g × the flush", maxOneClient), met: ratio <= maxOneClient,
	}}, profiled()
}

// manyClients is figure 2: as many webhooks as 128 clients can post. Each round
// has an outbox of its own and follows one of the raw disk.
func manyClients(ctx context.Context, o options) (rows []row, err error) {
	d, err := newDisk(o.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	var rates, raws, ratios, tails, halves, costs []float64
	for i := range o.rounds(7) {
		raw, err := d.rate(ctx, 2*time.Second)
		if err != nil {
			return nil, err
		}
		st, err := storm(ctx, o, 3*time.Second, fmt.Sprintf("many-clients-%d.pprof", i))
		if err != nil {
			return nil, err
		}
		rate := float64(len(st.took)) / st.elapsed.Seconds()
		rates, raws, ratios = append(rates, rate), append(raws, raw), append(ratios, rate/raw)
		halves = append(halves, quantile(st.took, 0.5).Seconds()*1000)
		costs = append(costs, float64(st.processor.Microseconds())/float64(len(st.took)))
		tails = append(tails, quantile(st.took, 0.99).Seconds()*1000)
	}
	ratio, tail := median(ratios), median(tails)
	return []row{
		{
			figure:   "webhooks a second, 128 clients",
			measured: fmt.Sprintf("%.0f/s", median(rates)), peer: fmt.Sprintf("%.0f flushes/s", median(raws)),
			ratio: fmt.Sprintf("%.2f", ratio), limit: fmt.Sprintf("%g × the flushes, %g × wanted", minRate, wantedRate), met: ratio >= minRate,
		},
		{
			figure:   "the same, p99 of the answer",
			measured: fmt.Sprintf("%.1f ms (p50 %.1f ms)", tail, median(halves)),
			peer:     fmt.Sprintf("%.0f µs of processor time a webhook", median(costs)),
			limit:    fmt.Sprintf("%v", maxTail), met: tail <= maxTail.Seconds()*1000,
		},
	}, nil
}

// stormed is what many clients saw.
type stormed struct {
	took      []time.Duration // of each answer.
	elapsed   time.Duration
	processor time.Duration // that pagerelay used.
}

// storm posts from many clients for a time.
func storm(ctx context.Context, o options, over time.Duration, profile string) (st stormed, err error) {
	r, err := newRig(ctx, o, usualRate)
	if err != nil {
		return st, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	var all []*client
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.close())
		}
	}()
	for range clients {
		c, err := newClient(r.addr, r.hooks)
		if err != nil {
			return st, err
		}
		all = append(all, c)
	}
	before, err := r.processor()
	if err != nil {
		return st, err
	}
	profiled := r.profile(ctx, o, profile, over)
	var mu sync.Mutex
	var fault error
	var wg sync.WaitGroup
	began := time.Now()
	for _, c := range all {
		wg.Go(func() {
			var took []time.Duration
			var err error
			for err == nil && time.Since(began) < over && ctx.Err() == nil {
				var t time.Duration
				if _, t, err = c.post(); err == nil {
					took = append(took, t)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			st.took = append(st.took, took...)
			fault = errors.Join(fault, err)
		})
	}
	wg.Wait()
	st.elapsed = time.Since(began)
	after, err := r.processor()
	st.processor = after - before
	return st, errors.Join(err, fault, context.Cause(ctx), profiled())
}

// latency is figure 4: from the answer to a webhook to the arrival of its page,
// with nothing else in the lane.
func latency(ctx context.Context, o options) (rows []row, err error) {
	const gap = 30 * time.Millisecond
	r, err := newRig(ctx, o, unlimitedRate)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	r.sink.watched.Store(true)
	c, err := newClient(r.addr, r.hooks)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	var took []time.Duration
	for range o.rounds(1000) {
		name, _, err := c.post()
		if err != nil {
			return nil, err
		}
		answered := time.Now()
		timeout, cancel := context.WithTimeout(ctx, requestTimeout)
		select {
		case a := <-r.sink.arrivals:
			if !strings.Contains(a.body, name) {
				err = errors.New("another page arrived than the one awaited")
			}
			took = append(took, a.at.Sub(answered))
		case <-timeout.Done():
			err = fmt.Errorf("wait for the page: %w", timeout.Err())
		}
		cancel()
		// The lane is idle again once the answer is stored.
		if err = errors.Join(err, wait(ctx, gap)); err != nil {
			return nil, err
		}
	}
	half := quantile(took, 0.5)
	return []row{{
		figure:   "webhook stored → request at PagerDuty, idle lane, p50",
		measured: fmt.Sprintf("%s (p99 %s, %d pages)", milliseconds(half), milliseconds(quantile(took, 0.99)), len(took)),
		limit:    fmt.Sprintf("%v", maxToWire), met: half <= maxToWire,
	}}, nil
}
