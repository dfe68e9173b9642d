package coverage_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/coverage"
)

// A routing key that cannot be read leaves one service unknown, and no others.
func TestRoutingKeyCannotBeRead(t *testing.T) {
	// Two services of pagerelay, of which Core is known by its key and Spare was.
	two := func() *scene {
		w := healthy()
		w.Services["PSPARE"] = &coverage.Service{ID: "PSPARE", Name: "Spare", Policy: "PINFRA", Status: "disabled", Urgency: "severity_based", Relays: []string{"spare"}}
		return w
	}
	keyless := func(w *scene) {
		w.Keyless = []string{"spare"}
		delete(w.Services, "PSPARE") // no policy of the configuration leads to it.
	}
	for _, tc := range []struct {
		name        string
		change      func(w *scene)
		unknown     []string
		core, spare coverage.Heard
	}{
		{"both keys can be read", func(*scene) {}, nil, coverage.Hears, coverage.NobodyHears},
		{"one cannot", keyless, []string{
			"* service spare: its routing key cannot be read: which of PagerDuty's services it pages is not known",
		}, coverage.Hears, coverage.NotKnown},
		{"one cannot, and the configuration says which policy it pages", func(w *scene) {
			keyless(w)
			w.cfg.Policies[0].Services = append(w.cfg.Policies[0].Services, "spare")
		}, []string{
			"* service spare: its routing key cannot be read: which of PagerDuty's services it pages is not known",
			"escalation_ladder_differs policy PINFRA: which policy its services use was not read of all",
		}, coverage.Hears, coverage.NotKnown},
		{"one cannot, but its service is known by its id", func(w *scene) { w.Keyless = []string{"spare"} }, nil, coverage.Hears, coverage.NobodyHears},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := two()
			tc.change(w)
			r := w.check()
			if diff := cmp.Diff(tc.unknown, showUnknown(r)); diff != "" {
				t.Errorf("unknown (-want +got):\n%s", diff)
			}
			if !r.Judged(coverage.ServiceDisabled, coverage.Subject{Kind: coverage.KindService, ID: "PCORE", Name: "Core"}) {
				t.Error("the service whose key can be read: got not judged")
			}
			h := coverage.NewHearing(w.Snapshot, w.cfg)
			for service, want := range map[string]coverage.Heard{"infra-core": tc.core, "spare": tc.spare} {
				if got, _ := h.Heard(service, w.now); got != want {
					t.Errorf("%s: got %q, want %q", service, got, want)
				}
			}
		})
	}

	t.Run("what was found stays open", func(t *testing.T) {
		sink := &sink{firing: map[string]template.Alert{}}
		auditor := coverage.NewAuditor(sink, coverage.AuditorConfig{
			Judge: func(s *coverage.Snapshot, c coverage.Config, _ time.Time) coverage.Result {
				return coverage.Check(s, c, healthy().now)
			},
		})
		audit := func(w *scene) int {
			t.Helper()
			auditor.Apply(coverage.Settings{Config: w.cfg, Source: source(func() *scene { return w }), Router: router(t)})
			if _, err := auditor.Audit(t.Context()); err != nil {
				t.Fatal(err)
			}
			return len(sink.Firing())
		}
		both := func() *scene {
			w := two()
			w.Services["PCORE"].Status = "disabled"
			return w
		}
		if got := audit(both()); got != 2 {
			t.Fatalf("got %q firing, want that both are disabled", sink.lines())
		}
		w := both()
		keyless(w)
		w.Services["PCORE"].Status = "active"
		if got := audit(w); got != 1 {
			t.Errorf("got %q firing, want that Core is over, and Spare is not known to be", sink.lines())
		}
		w = two()
		w.Services["PSPARE"].Status = "active"
		if got := audit(w); got != 0 {
			t.Errorf("got %q firing, want nothing", sink.lines())
		}
	})
}
