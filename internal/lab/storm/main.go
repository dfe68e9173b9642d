// Command storm measures an alert storm: several hundred alerts at once, a few of
// them critical, against the limit that PagerDuty documents for a routing key. A
// real Alertmanager pages once through pagerelay and once through its own
// pagerduty_configs, nearly at the same time, each with an emulated PagerDuty of its own.
// docs/benchmarks.md says how to read what it prints.
//
// It prints verdicts and asserts nothing: a slow machine is no failure. It exits
// with 1 only when something could not be measured.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pagerelay/pagerelay/internal/lab/e2e/stack"
)

func main() {
	var o options
	app := kingpin.New("storm", "Measure an alert storm through pagerelay and through Alertmanager's own notifier.")
	app.Flag("alertmanager", "Path of alertmanager.").Required().ExistingFileVar(&o.alertmanager)
	app.Flag("pagerelay", "Path of pagerelay.").Default("bin/pagerelay").ExistingFileVar(&o.pagerelay)
	app.Flag("scenario", "Which storm: at-once (everything fires at the same moment) or middle (the critical ones fire one by one while the warnings are worked off); may be repeated; default: both.").EnumsVar(&o.scenarios, scenarios()...)
	app.Flag("only", "Only this way: pagerelay or native.").EnumVar(&o.only, sidePagerelay, sideNative)
	app.Flag("duration-limit", "How long after the first alert a page may come; later is never.").Default("8m").DurationVar(&o.limit)
	app.Flag("warnings", "Warnings that fire.").Default("588").IntVar(&o.warnings)
	app.Flag("criticals", "Critical alerts that fire.").Default("12").IntVar(&o.criticals)
	app.Flag("group-interval", "Alertmanager's; it bounds for how long its own notifier retries.").Default("5m").DurationVar(&o.groupInterval)
	app.Flag("alerts-last", "When the alerts end by themselves; Alertmanager's resolve_timeout is 5m.").Default("1h").DurationVar(&o.alertsLast)
	kingpin.MustParse(app.Parse(os.Args[1:]))

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout, os.Stderr)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

type options struct {
	alertmanager, pagerelay string
	scenarios               []string
	only                    string
	limit                   time.Duration
	warnings, criticals     int
	groupInterval           time.Duration
	alertsLast              time.Duration
}

// The storms.
const (
	atOnce = "at-once"
	middle = "middle"
)

func scenarios() []string { return []string{atOnce, middle} }

const (
	middleFrom  = 30 * time.Second // the first critical alert in the middle of the flood, ...
	middleEvery = 15 * time.Second // ... and then one after the other.
	apart       = 20 * time.Second // between the two ways: their first moments must not compete for the processor.
	progress    = 15 * time.Second // between two lines that say how far it is.
)

// run measures one storm after the other and prints a table of all.
func run(ctx context.Context, o options, out, say io.Writer) (err error) {
	if o.warnings < 1 || o.criticals < 1 {
		return errors.New("there must be at least one warning and one critical alert")
	}
	for _, p := range []*string{&o.alertmanager, &o.pagerelay} {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	before := describeMachine()
	load := loadAverage()
	var all []figures
	for _, scenario := range scenarios() {
		if len(o.scenarios) > 0 && !slices.Contains(o.scenarios, scenario) {
			continue
		}
		got, err := measure(ctx, o, scenario, say)
		if err != nil {
			return fmt.Errorf("measure storm %s: %w", scenario, err)
		}
		all = append(all, got...)
	}
	fmt.Fprintf(out, "%s; load average %s before, %s after\n\n", before, load, loadAverage())
	printTable(out, all, o.limit)
	return nil
}

// measure lets one storm loose on every way that is to be measured.
func measure(ctx context.Context, o options, scenario string, say io.Writer) (_ []figures, err error) {
	dir, err := os.MkdirTemp("", "pagerelay-storm-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	var sides []*side
	defer func() {
		for _, s := range sides {
			s.close()
		}
	}()
	for _, name := range []string{sidePagerelay, sideNative} {
		if o.only != "" && o.only != name {
			continue
		}
		s, err := startSide(ctx, name, filepath.Join(dir, name), o)
		if s != nil {
			sides = append(sides, s)
		}
		if err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(say, "storm %s: %d warnings, %d critical\n", scenario, o.warnings, o.criticals)

	storm := plan(o, scenario)
	var wg sync.WaitGroup
	errs := make([]error, len(sides))
	for i, s := range sides {
		wg.Go(func() { errs[i] = s.loose(ctx, time.Duration(i)*apart, o.limit, storm) })
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	tick := time.NewTicker(progress)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-tick.C:
			var text []string
			for _, s := range sides {
				text = append(text, s.progress())
			}
			fmt.Fprintln(say, "  "+strings.Join(text, "; "))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, errors.New("interrupted")
	}
	var got []figures
	for _, s := range sides {
		got = append(got, s.figures(scenario, storm))
	}
	return append(got, theory(scenario, storm)), nil
}

// volley is what fires at one moment of a storm, by name.
type volley struct {
	after  time.Duration // since the storm began.
	alerts []stack.Alert
}

// plan says what fires when.
func plan(o options, scenario string) []volley {
	first := volley{}
	for i := range o.warnings {
		first.alerts = append(first.alerts, alert(fmt.Sprintf("warning-%d", i), severityWarning))
	}
	storm := []volley{first}
	for i := range o.criticals {
		a := alert(fmt.Sprintf("critical-%d", i), severityCritical)
		if scenario == middle {
			storm = append(storm, volley{after: middleFrom + time.Duration(i)*middleEvery, alerts: []stack.Alert{a}})
			continue
		}
		// Spread over the warnings, so that nothing but their severity favours them.
		at := i * (o.warnings + o.criticals) / o.criticals
		storm[0].alerts = slices.Insert(storm[0].alerts, at, a)
	}
	return storm
}

const (
	severityWarning  = "warning"
	severityCritical = "critical"
)

func alert(name, severity string) stack.Alert {
	return stack.Alert{
		Labels:      map[string]string{"alertname": name, "severity": severity},
		Annotations: map[string]string{"summary": name},
	}
}
