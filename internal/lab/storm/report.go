package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// What PagerDuty documents for a routing key (Events API v2, "Rate limits").
const (
	windowEvents = 120
	window       = 60 * time.Second
)

// What is wanted of pagerelay.
const (
	wantHalf    = 500 * time.Millisecond // of the critical pages, from webhook to acceptance.
	wantAll     = 2 * time.Second
	wantRefused = 0.01 // of the requests.
	wantLast    = 310 * time.Second
)

// figures are what a storm came to on one side.
type figures struct {
	scenario, side string

	// Of the critical alerts, from firing to PagerDuty's acceptance, and from the
	// webhook's arrival; the latter is zero where there is no webhook.
	fromFiring, fromWebhook spread

	requests, refused int           // of all requests, those answered 429.
	lastWarning       time.Duration // since the storm began.
	missing           int           // alerts that PagerDuty never took, ...
	missingCritical   int           // ... and the critical ones among them.
}

// spread is the median and the maximum of those that arrived.
type spread struct {
	n            int
	median, most time.Duration
}

func newSpread(samples []time.Duration) spread {
	if len(samples) == 0 {
		return spread{}
	}
	samples = slices.Sorted(slices.Values(samples))
	return spread{n: len(samples), median: samples[(len(samples)-1)/2], most: samples[len(samples)-1]}
}

func isCritical(name string) bool { return strings.HasPrefix(name, severityCritical) }

// figures sums a side up. Nothing of it may be running.
func (s *side) figures(scenario string, storm []volley) figures {
	counts := s.pd.Counts()
	s.mu.Lock()
	defer s.mu.Unlock()
	f := figures{scenario: scenario, side: s.name, requests: counts.Total, refused: counts.Throttled}
	var began time.Time
	var fromFiring, fromWebhook []time.Duration
	for _, v := range storm {
		for _, a := range v.alerts {
			name := a.Labels["alertname"]
			if fired := s.fired[name]; began.IsZero() || fired.Before(began) {
				began = fired
			}
		}
	}
	for _, v := range storm {
		for _, a := range v.alerts {
			name := a.Labels["alertname"]
			at, ok := s.accepted[name]
			switch {
			case !ok:
				f.missing++
				if isCritical(name) {
					f.missingCritical++
				}
			case isCritical(name):
				fromFiring = append(fromFiring, at.Sub(s.fired[name]))
				if arrived, ok := s.arrived[name]; ok {
					fromWebhook = append(fromWebhook, at.Sub(arrived))
				}
			default:
				f.lastWarning = max(f.lastWarning, at.Sub(began))
			}
		}
	}
	f.fromFiring, f.fromWebhook = newSpread(fromFiring), newSpread(fromWebhook)
	return f
}

// theory is the best that anything could do that knows the future: every critical
// alert at once, the warnings in the places that are left, no request refused.
func theory(scenario string, storm []volley) figures {
	f := figures{scenario: scenario, side: "best possible"}
	var reserved []time.Duration
	warnings := 0
	for _, v := range storm {
		for _, a := range v.alerts {
			f.requests++
			if isCritical(a.Labels["alertname"]) {
				f.fromFiring.n++
				reserved = append(reserved, v.after)
				continue
			}
			warnings++
		}
	}
	f.fromWebhook = f.fromFiring
	// A window after the other, as full as it may be.
	for at := time.Duration(0); warnings > 0; at += window {
		free := windowEvents
		for _, r := range reserved {
			if r >= at && r < at+window {
				free--
			}
		}
		warnings -= max(0, free)
		f.lastWarning = at
	}
	return f
}

func printTable(w io.Writer, all []figures, limit time.Duration) {
	fmt.Fprintf(w, "| storm | through | critical, from firing: p50 | max | from the webhook: p50 | max | requests | refused (429) | last warning | never within %s |\n", limit)
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, f := range all {
		never := fmt.Sprint(f.missing)
		if f.missing > 0 {
			never += fmt.Sprintf(" (%d critical)", f.missingCritical)
		}
		fmt.Fprintln(w, "| "+strings.Join([]string{
			f.scenario, f.side,
			seconds(f.fromFiring, f.fromFiring.median), seconds(f.fromFiring, f.fromFiring.most),
			seconds(f.fromWebhook, f.fromWebhook.median), seconds(f.fromWebhook, f.fromWebhook.most),
			fmt.Sprint(f.requests), fmt.Sprintf("%d (%.1f %%)", f.refused, 100*f.share()),
			fmt.Sprintf("%.1f s", f.lastWarning.Seconds()), never,
		}, " | ")+" |")
	}
	fmt.Fprintln(w)
	for _, f := range all {
		if f.side == sidePagerelay {
			for _, v := range f.verdicts() {
				fmt.Fprintf(w, "%s: %s\n", f.scenario, v)
			}
		}
	}
}

func (f figures) share() float64 { return float64(f.refused) / float64(max(1, f.requests)) }

// verdicts hold what was measured against what is wanted of pagerelay.
func (f figures) verdicts() []string {
	verdict := func(met bool, format string, args ...any) string {
		return map[bool]string{true: "met: ", false: "MISSED: "}[met] + fmt.Sprintf(format, args...)
	}
	return []string{
		verdict(f.missing == 0, "every alert is delivered (%d are not)", f.missing),
		verdict(f.missingCritical == 0 && f.fromWebhook.most <= wantAll, "every critical page within %s of its webhook (%s)", wantAll, f.fromWebhook.most.Round(time.Millisecond)),
		verdict(f.fromWebhook.n > 0 && f.fromWebhook.median <= wantHalf, "half of them within %s (%s)", wantHalf, f.fromWebhook.median.Round(time.Millisecond)),
		verdict(f.share() < wantRefused, "fewer than %.0f %% of the requests refused (%.1f %%)", 100*wantRefused, 100*f.share()),
		verdict(f.lastWarning <= wantLast, "the last warning within %s (%.1fs)", wantLast, f.lastWarning.Seconds()),
	}
}

func seconds(s spread, d time.Duration) string {
	if s.n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f s", d.Seconds())
}

func describeMachine() string {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("unknown kernel")
	}
	return fmt.Sprintf("%s, %d cores, %s/%s, %s, %s", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH,
		strings.TrimSpace(string(kernel)), runtime.Version())
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}
