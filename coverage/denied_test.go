package coverage_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// A token that may not read people is reported; what depends on people stays open for a
// day, and is resolved then, whatever restarts in between.
func TestPeopleMayNotBeRead(t *testing.T) {
	const (
		denied      = "people_unreadable warning since"
		unreachable = "user_unreachable critical since"
		nobody      = "policy_nobody_now critical since"
	)
	deny := func(w *scene) {
		for _, id := range []string{"UANN", "UBEN", "UCAT", "UDAN"} {
			w.Users[id] = &coverage.User{ID: id}
			w.Unread = append(w.Unread, coverage.Unread{Kind: coverage.KindUser, ID: id, Reason: "403 Forbidden", Denied: true})
		}
	}
	for _, tc := range []struct {
		name   string
		change func(w *scene) // of what is read from the second audit on.
		muted  bool
		// fires is what is open of the three after the second audit, and a day later.
		soon, later string
		heard       coverage.Heard // a day later.
	}{
		{"not by the token", deny, false, "denied unreachable nobody", "denied", coverage.Hears},
		{"nor what is hidden of them", func(w *scene) {
			w.Unread = append(w.Unread, coverage.Unread{Check: coverage.UserUnreachable, Kind: coverage.KindUser, ID: "UANN", Reason: "hidden", Denied: true})
		}, false, "denied unreachable", "denied", coverage.Hears},
		{"not by the token, which nobody wants to be told", deny, true, "", "", coverage.Hears},
		{"because PagerDuty fails", func(w *scene) {
			w.Unread = append(w.Unread, coverage.Unread{Kind: coverage.KindUser, Reason: "503"})
		}, false, "unreachable nobody", "unreachable nobody", coverage.NotKnown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(healthy().now))
				sink := &sink{firing: map[string]template.Alert{}}
				audit := func(auditor *coverage.Auditor, w *scene) string {
					t.Helper()
					if tc.muted {
						w.cfg.People.Mute = []string{"people_unreadable"}
					}
					auditor.Apply(coverage.Settings{Config: w.cfg, Source: source(func() *scene { return w }), Router: router(t)})
					if _, err := auditor.Audit(t.Context()); err != nil {
						t.Fatal(err)
					}
					var got []string
					for name, prefix := range map[string]string{"denied": denied, "unreachable": unreachable, "nobody": nobody} {
						if slices.ContainsFunc(sink.lines(), func(line string) bool { return strings.HasPrefix(line, prefix) }) {
							got = append(got, name)
						}
					}
					slices.SortFunc(got, func(a, b string) int { return strings.Index(tc.soon, a) - strings.Index(tc.soon, b) })
					return strings.Join(got, " ")
				}
				// Ann can be reached by nothing, and nobody is on call now.
				bad := healthy()
				bad.Users["UANN"].Rules = nil
				for _, s := range []string{"PPROD", "PLEAD"} {
					bad.shifts(s, "UANN 2026-11-23 12:00/2026-12-07 08:00")
				}
				auditor := coverage.NewAuditor(sink, coverage.AuditorConfig{})
				if got := audit(auditor, bad); !strings.Contains(got, "unreachable") || !strings.Contains(got, "nobody") {
					t.Fatalf("got %q firing (%q), want that Ann cannot be reached and nobody is on call", got, sink.lines())
				}
				unread := func() *scene {
					w := healthy()
					tc.change(w)
					w.At = time.Now()
					return w
				}
				for _, later := range []time.Duration{time.Hour, 23 * time.Hour} {
					time.Sleep(later)
					if got := audit(auditor, unread()); got != tc.soon {
						t.Errorf("%v later: got %q firing (%q), want %q", later, got, sink.lines(), tc.soon)
					}
				}
				time.Sleep(time.Hour)
				auditor = coverage.NewAuditor(sink, coverage.AuditorConfig{}) // it has restarted.
				if got := audit(auditor, unread()); got != tc.later {
					t.Errorf("a day later: got %q firing (%q), want %q", got, sink.lines(), tc.later)
				}
				if heard, _ := auditor.Heard("infra-core", time.Now()); heard != tc.heard {
					t.Errorf("a day later: got %q, want %q", heard, tc.heard)
				}
				if whole := auditor.Last().Whole(); whole != (tc.heard == coverage.Hears) {
					t.Errorf("a day later: got %t, want the audit complete where nothing can be done about the rest", whole)
				}
				again := healthy()
				again.At = time.Now()
				again.Users["UANN"].Rules = nil
				if got := audit(auditor, again); got != "unreachable" {
					t.Errorf("once the token may: got %q firing (%q), want that Ann cannot be reached", got, sink.lines())
				}
			})
		})
	}
}
