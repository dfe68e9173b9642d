package coverage_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// source reads what a scene is.
type source func() *scene

func (f source) Read(context.Context) (*coverage.Snapshot, error) { return f().Snapshot, nil }

// Somebody without an account does not get it back because nobody could be asked.
func TestGoneAndThenNotRead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		gone := func() *scene {
			w := healthy()
			w.shifts("PPROD", "UBEN 2026-11-22 08:00/2026-12-07 08:00")
			w.shifts("PLEAD", "UBEN 2026-11-22 08:00/2026-12-07 08:00")
			w.Users["UBEN"].Gone = true
			return w
		}
		unread := func() *scene {
			w := gone()
			w.Users["UBEN"] = &coverage.User{ID: "UBEN", Name: "Ben"}
			w.Unread = []coverage.Unread{{Kind: coverage.KindUser, ID: "UBEN", Reason: "403"}}
			return w
		}
		time.Sleep(time.Until(healthy().now))
		sink := &sink{firing: map[string]template.Alert{}}
		var auditor *coverage.Auditor
		var reg *prometheus.Registry
		restart := func() {
			reg = prometheus.NewRegistry()
			auditor = coverage.NewAuditor(sink, coverage.AuditorConfig{Registerer: reg})
		}
		audit := func(f source) []string {
			t.Helper()
			auditor.Apply(coverage.Settings{Config: healthy().cfg, Source: f, Router: router(t)})
			if _, err := auditor.Audit(t.Context()); err != nil {
				t.Fatal(err)
			}
			return sink.lines()
		}
		expect := func(what string, got, lines []string, heard coverage.Heard, series int) {
			t.Helper()
			if !slices.Equal(got, lines) {
				t.Errorf("%s: got %q firing, want %q", what, got, lines)
			}
			if got, _ := auditor.Heard("infra-core", time.Now()); got != heard {
				t.Errorf("%s: got %q, want %q", what, got, heard)
			}
			if n, err := testutil.GatherAndCount(reg, "pagerelay_coverage_schedule_engineers", "pagerelay_coverage_schedule_coverage_ratio"); err != nil || n != series {
				t.Errorf("%s: got %d series of schedules (%v), want %d", what, n, err, series)
			}
		}
		restart()
		first := audit(gone)
		if !slices.Contains(first, "policy_nobody_now critical since 08:00") {
			t.Fatalf("got %q firing, want that nobody is on call", first)
		}
		expect("read", first, first, coverage.NobodyHears, 4)
		for range 2 { // what is remembered is remembered again.
			expect("not read", audit(unread), first, coverage.NobodyHears, 4)
		}
		restart()
		// Taken to be there, they seem to do too much; but nothing is over.
		taken := audit(unread)
		for _, line := range first {
			if !slices.Contains(taken, line) {
				t.Errorf("not read, after a restart: got %q firing, want %q too", taken, line)
			}
		}
		expect("not read, after a restart", taken, taken, coverage.NotKnown, 1)
		expect("read, and somebody else is on call", audit(healthy), []string{}, coverage.Hears, 4)
	})
}
