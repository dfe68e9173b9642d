package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

const (
	ledgerEntries = 90_000
	maxReady      = time.Second
	webhookSize   = 500 // alerts in a webhook that fills the outbox.
	writers       = 256 // that share commits while it is filled.
)

// ready is figure 6: from the start of the process to the first 200 of /-/ready,
// with a full outbox: with its file in the page cache, as after a restart, and
// without, as after one of the machine.
func ready(ctx context.Context, o options) ([]row, error) {
	dir, err := storage(o, "full")
	if err != nil {
		return nil, err
	}
	if err = fill(ctx, dir, 0, ledgerEntries, openIncidents); err != nil {
		return nil, fmt.Errorf("fill outbox: %w", err)
	}
	path := filepath.Join(dir, "outbox.db")
	file, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	s := newSink()
	defer s.Close()
	begin := func() (seconds float64, err error) {
		p, err := start(ctx, o, dir, s.URL, usualRate)
		if err != nil {
			return 0, err
		}
		seconds = time.Since(p.started).Seconds()
		open, err := p.metric(ctx, `pagerelay_outbox_incidents{state="open"}`)
		if err == nil && open != openIncidents {
			err = fmt.Errorf("%g incidents are open, want %d", open, openIncidents)
		}
		return seconds, errors.Join(err, p.stop())
	}
	var warm, cold []float64
	for range o.rounds(10) {
		if err := evict(path); err != nil {
			return nil, fmt.Errorf("evict %s from the page cache: %w", path, err)
		}
		seconds, err := begin()
		if err != nil {
			return nil, err
		}
		cold = append(cold, seconds)
		if seconds, err = begin(); err != nil {
			return nil, err
		}
		warm = append(warm, seconds)
	}
	if n := s.count(); n > 0 {
		return nil, fmt.Errorf("%d incidents were sent again after a start", n)
	}
	half := median(warm)
	return []row{
		{
			figure:   "ready after start, 10,000 open incidents and 90,000 on the ledger",
			measured: fmt.Sprintf("%.2f s (%d starts)", half, len(warm)), peer: "file of " + mebibytes(uint64(file.Size())),
			limit: maxReady.String(), met: half <= maxReady.Seconds(),
		},
		{
			figure:   "the same, file not in the page cache",
			measured: fmt.Sprintf("%.2f s (%d starts)", median(cold), len(cold)),
		},
	}, nil
}

// fill adds open incidents that PagerDuty has accepted to an outbox, and closed ones to
// its ledger. It numbers their alerts from first on.
func fill(ctx context.Context, dir string, first, closed, open int) (err error) {
	store, err := outbox.Open(dir, outbox.Config{})
	if err != nil {
		return err
	}
	store.SetPolicy(incident.Policy{StaleAfter: 2 * time.Minute})
	run, cancel := context.WithCancel(ctx)
	var ran sync.WaitGroup
	var ended error
	ran.Go(func() { ended = store.Run(run) })
	defer func() {
		cancel()
		ran.Wait()
		err = errors.Join(err, ended)
	}()
	mapper, err := mapping.New(mapping.Config{
		Services: []string{"infra"},
		Tiers:    []mapping.Tier{{Name: "critical", Urgency: mapping.High}, {Name: "none", Urgency: mapping.None}},
		Defaults: mapping.Defaults{Options: mapping.Options{Dedup: &mapping.Dedup{By: mapping.DedupBy{Mode: "alert"}}}},
	})
	if err != nil {
		return err
	}
	now, before := time.Now(), len(store.List())
	for n := 0; n < closed+open; n += webhookSize {
		severity := "none"
		if n >= closed {
			severity = "critical"
		}
		if err := fillGroup(ctx, store, mapper, severity, first+n, now); err != nil {
			return err
		}
	}
	if got := len(store.List()) - before; got != open {
		return fmt.Errorf("%d more incidents are open, want %d", got, open)
	}
	return nil
}

// fillGroup stores a webhook of alerts and does all that follows from it. Alerts
// of severity none are resolved at once: they go to the ledger without a request.
func fillGroup(ctx context.Context, store *outbox.Store, mapper *mapping.Mapper, severity string, first int, now time.Time) error {
	g := &mapping.Group{Version: "4", GroupKey: `{}:{alertname="DiskFull"}`, Data: template.Data{
		Receiver: "default", ExternalURL: "http://am.example.test:9093", NotificationReason: "first notification",
		GroupLabels: template.KV{"alertname": "DiskFull"},
	}}
	for i := range webhookSize {
		instance := fmt.Sprintf("%016x:9100", first+i)
		g.Alerts = append(g.Alerts, template.Alert{
			Status: mapping.Firing, StartsAt: now.Add(-time.Minute), Fingerprint: fmt.Sprintf("%016x", first+i),
			Labels: template.KV{"alertname": "DiskFull", "cluster": "eu-1", "instance": instance, "job": "node", "severity": severity},
			Annotations: template.KV{
				"description": "/var is full", "runbook_url": "https://runbooks.example.test/DiskFull", "summary": "Disk 97% full on " + instance,
			},
			GeneratorURL: "http://prometheus.example.test/graph?g0.expr=node_filesystem_avail_bytes+%3C+1e9&g0.tab=1",
		})
	}
	observations := mapper.Route(g)
	if err := store.Observe(ctx, observations); err != nil {
		return err
	}
	if severity == "none" {
		for i := range g.Alerts {
			g.Alerts[i].Status, g.Alerts[i].EndsAt = mapping.Resolved, now
		}
		if err := store.Observe(ctx, mapper.Route(g)); err != nil {
			return err
		}
	}
	return settle(ctx, store, observations)
}

// settle does what Next says about each incident, with every request accepted.
func settle(ctx context.Context, store *outbox.Store, observations []mapping.Observation) error {
	ids := make(chan string)
	var mu sync.Mutex
	var fault error
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for id := range ids {
				if err := settleOne(ctx, store, id); err != nil {
					mu.Lock()
					fault = errors.Join(fault, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range observations {
		ids <- incident.ID(observations[i].Service, observations[i].DedupKey)
	}
	close(ids)
	wg.Wait()
	return fault
}

func settleOne(ctx context.Context, store *outbox.Store, id string) error {
	const keyHash = "bench"
	for {
		in, ok := store.Get(id)
		if !ok {
			return nil
		}
		d := incident.Next(in, incident.Evidence{Known: true, KeyHash: keyHash}, store.Policy(), time.Now())
		switch d.Kind {
		case incident.Idle, incident.Wait, incident.Ask:
			return nil
		case incident.Perform:
			if err := store.Perform(ctx, id, in.Version, d, ""); err != nil {
				return err
			}
		case incident.Send:
			begun, err := store.Begin(ctx, id, in.Version, d, keyHash)
			if err != nil {
				return err
			}
			if err := store.Finish(ctx, id, *begun.Intent, keyHash, incident.Outcome{Kind: incident.OutcomeAccepted}); err != nil {
				return err
			}
		}
	}
}
