package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

// act is an alert of the demonstration, and the incident that it must become.
type act struct {
	name, severity, summary string

	urgency string
	state   emulator.Status
}

func acts() []act {
	return []act{
		{"CheckoutDown", "critical", "Nobody can pay", "high", emulator.Triggered},
		{"CertificateExpires", "warning", "The certificate ends in 3 days", "low", emulator.Triggered},
		{"BackupDone", "info", "The nightly backup is done", "low", emulator.Acknowledged},
	}
}

// show fires the alerts and resolves them, and watches what PagerDuty makes of them.
func (d *demo) show(ctx context.Context) error {
	d.say("\nFiring a critical, a warning and an info alert in Alertmanager:")
	for _, a := range acts() {
		if err := d.tool(ctx, "alert", "add", a.name, "severity="+a.severity, "instance=shop-1", "--annotation=summary="+a.summary); err != nil {
			return err
		}
	}
	d.say("\nThey become incidents: the critical one pages with high urgency, the warning with low,")
	d.say("the info one is acknowledged at once: on record, and nobody has to act.\n")
	w := newWatch(d)
	if err := w.until(ctx, "the incidents to open", d.opened); err != nil {
		return err
	}

	d.say("\nResolving them in Alertmanager:")
	for _, a := range acts() {
		now := time.Now().UTC().Format(time.RFC3339Nano)
		if err := d.tool(ctx, "alert", "add", a.name, "severity="+a.severity, "instance=shop-1", "--end="+now); err != nil {
			return err
		}
	}
	d.say("\nThe incidents close:\n")
	if err := w.until(ctx, "the incidents to close", closed); err != nil {
		return err
	}

	requests, counts, err := d.pd.Requests(ctx)
	if err != nil {
		return err
	}
	if counts.Refused+counts.Throttled > 0 {
		return fmt.Errorf("PagerDuty refused %d requests and throttled %d of %d", counts.Refused, counts.Throttled, len(requests))
	}
	return nil
}

// opened says what is missing until each alert has its one incident as announced,
// with a link that opens a silence for it.
func (d *demo) opened(list []emulator.Incident) error {
	if len(list) != len(acts()) {
		return fmt.Errorf("%d of %d incidents", len(list), len(acts()))
	}
	for _, a := range acts() {
		in, err := find(list, a)
		switch {
		case err != nil:
			return err
		case in.Urgency != a.urgency || in.Severity != a.severity || in.Status != a.state:
			return fmt.Errorf("%s is %s %s %s, announced was %s %s %s",
				a.name, in.Urgency, in.Severity, in.Status, a.urgency, a.severity, a.state)
		case !slices.ContainsFunc(in.Alerts[0].Links, func(l emulator.Link) bool { return strings.HasPrefix(l.Href, d.amURL+"/#/silences/new?") }):
			return fmt.Errorf("%s has no link for a silence in Alertmanager", a.name)
		}
	}
	return nil
}

// closed says what is missing until the same incidents are closed.
func closed(list []emulator.Incident) error {
	if len(list) != len(acts()) {
		return fmt.Errorf("%d incidents, not %d", len(list), len(acts()))
	}
	for _, a := range acts() {
		if in, err := find(list, a); err != nil {
			return err
		} else if in.Open() {
			return fmt.Errorf("%s is %s", a.name, in.Status)
		}
	}
	return nil
}

// find is the incident of an alert: pagerelay's dedup keys show the alert's name.
func find(list []emulator.Incident, a act) (emulator.Incident, error) {
	for _, in := range list {
		if strings.Contains(in.DedupKey, "/"+a.name+"/") {
			return in, nil
		}
	}
	return emulator.Incident{}, fmt.Errorf("no incident for %s", a.name)
}

// watch prints incidents as they change, as the rows of a table.
type watch struct {
	d       *demo
	started time.Time
	seen    map[string]emulator.Status
	headed  bool
}

func newWatch(d *demo) *watch {
	return &watch{d: d, started: time.Now(), seen: map[string]emulator.Status{}}
}

const row = "  %-7s %-8s %-8s %-13s %s"

// until prints what changes until check is content.
func (w *watch) until(ctx context.Context, what string, check func([]emulator.Incident) error) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var missing error
	for {
		list, err := w.d.pd.Incidents(ctx)
		if err == nil {
			w.print(list)
			if err = check(list); err == nil {
				return nil
			}
		}
		if ctx.Err() == nil {
			missing = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("waited %s for %s: %w", stepTimeout, what, missing)
			}
			return ctx.Err()
		}
	}
}

func (w *watch) print(list []emulator.Incident) {
	for _, in := range list {
		if w.seen[in.ID] == in.Status {
			continue
		}
		w.seen[in.ID] = in.Status
		if !w.headed {
			w.headed = true
			w.d.say(row, "AFTER", "URGENCY", "SEVERITY", "STATE", "DEDUP KEY")
		}
		after := fmt.Sprintf("%.1fs", time.Since(w.started).Seconds())
		w.d.say(row, after, in.Urgency, in.Severity, state(in.Status), in.DedupKey)
	}
}

// state is PagerDuty's word for people who do not use it daily.
func state(s emulator.Status) string {
	switch s {
	case emulator.Triggered:
		return "open"
	case emulator.Acknowledged:
		return "acknowledged"
	case emulator.Resolved:
		return "closed"
	}
	return string(s)
}
