package outbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/mapping"
)

// Every way in which an alert pages names what mapping had to make do without.
func TestFaultsAreOnTheLedger(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), incident.Policy{Alertmanagers: 1})
		defer s.stop()
		observe := func(a alert, faults ...mapping.Fault) {
			t.Helper()
			o := a.observation()
			o.Faults = faults
			if err := s.Observe(t.Context(), []mapping.Observation{o}); err != nil {
				t.Fatal(err)
			}
		}
		wantLast := func(key, what, end string) {
			t.Helper()
			history := s.get(key).History
			if last := history[len(history)-1]; last.What != what || !strings.HasSuffix(last.Text, end) {
				t.Errorf("the last entry: got %q %q, want %q with the end %q", last.What, last.Text, what, end)
			}
		}
		bare := alert{fp: "a", key: "k", bare: true, shared: true, urgency: mapping.Low}
		observe(bare, mapping.FaultUnknownTier, mapping.FaultTemplate)
		wantLast("k", "received", ", from http://am-1, fault unknown_tier, fault template")
		bare.urgency = mapping.High
		observe(bare, mapping.FaultUnknownTier)
		wantLast("k", "received", "a rises to high, fault unknown_tier")
		bare.starts, bare.from = time.Minute, "http://am-2"
		time.Sleep(2 * time.Minute) // virtual time.
		observe(alert{fp: "a", key: "k", bare: true, shared: true, resolved: true, ends: 90 * time.Second})
		observe(bare, mapping.FaultNoRule)
		wantLast("k", "held", "Alertmanager is asked, fault no_rule")
	})
}
