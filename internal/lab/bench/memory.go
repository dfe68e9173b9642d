package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	openIncidents = 10_000
	maxIdle       = 40 << 20  // bytes.
	maxOpen       = 120 << 20 // bytes.
	openTimeout   = 5 * time.Minute
)

// memory is figure 5: resident memory at rest, without incidents and with many
// that PagerDuty has accepted.
func memory(ctx context.Context, o options) (rows []row, err error) {
	rest := 10 * time.Second
	if o.quick {
		rest = 2 * time.Second
	}
	r, err := newRig(ctx, o, unlimitedRate)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := wait(ctx, rest); err != nil {
		return nil, err
	}
	anonymous, file, err := r.resident()
	if err != nil {
		return nil, err
	}
	rows = append(rows, row{
		figure: "resident memory, idle", measured: mebibytes(anonymous), peer: "file pages " + mebibytes(file),
		limit: mebibytes(maxIdle), met: anonymous <= maxIdle,
	})

	c, err := newClient(r.addr, r.hooks)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	var peak uint64
	for range openIncidents {
		if _, _, err := c.post(); err != nil {
			return nil, err
		}
		if peak, err = r.higher(peak); err != nil {
			return nil, err
		}
	}
	if peak, err = r.allOpen(ctx, peak); err != nil {
		return nil, err
	}
	if err := wait(ctx, rest); err != nil {
		return nil, err
	}
	if anonymous, file, err = r.resident(); err != nil {
		return nil, err
	}
	return append(rows, row{
		figure: "resident memory, 10,000 open incidents", measured: mebibytes(anonymous) + " (highest on the way " + mebibytes(peak) + ")",
		peer: "file pages " + mebibytes(file), limit: mebibytes(maxOpen), met: anonymous <= maxOpen,
	}), nil
}

func (r *rig) higher(peak uint64) (uint64, error) {
	anonymous, _, err := r.resident()
	return max(peak, anonymous), err
}

// allOpen waits until PagerDuty has accepted every incident.
func (r *rig) allOpen(ctx context.Context, peak uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	for {
		open, err := r.metric(ctx, `pagerelay_outbox_incidents{state="open"}`)
		if err != nil {
			return 0, err
		}
		if peak, err = r.higher(peak); err != nil {
			return 0, err
		}
		if open == openIncidents && r.sink.count() == openIncidents {
			return peak, nil
		}
		if err := wait(ctx, 200*time.Millisecond); err != nil {
			return 0, fmt.Errorf("wait for %d open incidents (%g are, %d were sent): %w", openIncidents, open, r.sink.count(), err)
		}
	}
}
