package coverage_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// A report that only the policy hears that it is about is told of, if only PagerDuty
// knows: the configuration lists the service under no policy.
func TestReportToThePolicyThatItIsAbout(t *testing.T) {
	service := func(w *scene, id, policy string, relays ...string) {
		w.Services[id] = &coverage.Service{ID: id, Name: id, Policy: policy, Status: "active", Urgency: "severity_based", Relays: relays}
	}
	for _, tc := range []struct {
		name     string
		change   func(w *scene)
		fallback map[string]string
		want     bool
	}{
		{"to another policy", func(w *scene) { service(w, "PSAME", "PELSE", "same") }, nil, false},
		{"to the audited one", func(*scene) {}, nil, true},
		{"with a fallback that pages another", func(w *scene) { service(w, "PBACK", "PELSE", "back") }, map[string]string{"same": "back"}, false},
		{"with a fallback that pages it, too", func(w *scene) { service(w, "PBACK", "PINFRA", "back") }, map[string]string{"same": "back"}, true},
		{"whose fallback's fallback pages another", func(w *scene) {
			service(w, "PBACK", "PINFRA", "back")
			service(w, "PLAST", "PELSE", "last")
		}, map[string]string{"same": "back", "back": "last"}, false},
		{"with fallbacks that lead back", func(w *scene) { service(w, "PBACK", "PINFRA", "back") }, map[string]string{"same": "back", "back": "same"}, true},
		{"with a fallback of which nothing is known", func(*scene) {}, map[string]string{"same": "back"}, false},
		{"to two services, one of another policy", func(w *scene) { service(w, "PTWO", "PELSE", "same") }, nil, false},
		{"to a service of which nothing is known", func(w *scene) { delete(w.Services, "PSAME") }, nil, false},
		{"to where the rules say", func(w *scene) { w.cfg.Report.Service = "" }, nil, false},
		{"about a policy that was not found", func(w *scene) { w.cfg.Policies[0].Name = "other" }, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w := healthy()
				service(w, "PSAME", "PINFRA", "same")
				w.cfg.Report.Service = "same"
				tc.change(w)
				time.Sleep(time.Until(w.now))
				log := &bytes.Buffer{}
				auditor := coverage.NewAuditor(&sink{firing: map[string]template.Alert{}}, coverage.AuditorConfig{Logger: slog.New(slog.NewTextHandler(log, nil))})
				auditor.Apply(coverage.Settings{Config: w.cfg, Source: source(func() *scene { return w }), Router: router(t), Fallback: tc.fallback})
				if _, err := auditor.Audit(t.Context()); err != nil {
					t.Fatal(err)
				}
				const text = "to that policy alone"
				_, warnings := auditor.Notices()
				told := slices.ContainsFunc(warnings, func(s string) bool { return strings.Contains(s, text) })
				if logged := strings.Contains(log.String(), text); told != tc.want || logged != tc.want {
					t.Errorf("got troubles %q and logged %t, want %t", warnings, logged, tc.want)
				}
			})
		})
	}
}
