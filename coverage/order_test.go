package coverage_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/coverage"
)

// TestOrder: findings come by severity, check and name, whatever order things were
// read and configured in; and not in the configuration's.
func TestOrder(t *testing.T) {
	world := func() *scene {
		w := healthy()
		w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-27 17:00", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
		w.shifts("PLEAD", "UANN 2026-11-22 08:00/2026-11-25 08:00", "UDAN 2026-11-26 08:00/2026-12-07 08:00")
		w.Services["PCORE"].Status = "disabled"
		w.Services["PCORE"].Urgency = "high"
		w.Services["PAUX"] = &coverage.Service{ID: "PAUX", Name: "Aux", Policy: "PINFRA", Status: "disabled", Urgency: "low", Relays: []string{"aux"}}
		w.Users["UBEN"].Contacts = nil
		w.Users["UANN"].Contacts[0].Type = "email"
		return w
	}
	w := world()
	first := w.check()
	slices.Reverse(w.cfg.Schedules)
	slices.Reverse(w.OnCalls)
	for _, s := range w.Schedules {
		slices.Reverse(s.Shifts)
		slices.Reverse(s.Engineers)
	}
	second := w.check()
	if diff := cmp.Diff(showAll(first), showAll(second)); diff != "" {
		t.Errorf("in another order (-first +second):\n%s", diff)
	}
	want := []string{
		"critical user_unreachable user UBEN 2026-11-30 08:00/2026-12-07 08:00",
		"critical urgency_rule_ignores_severity service PAUX",
		"critical service_disabled service PAUX",
		"critical service_disabled service PCORE",
		"warning schedule_gap schedule PLEAD 2026-11-25 08:00/2026-11-26 08:00",
		"warning schedule_gap schedule PPROD 2026-11-27 17:00/2026-11-30 08:00",
		"warning below_min_people policy PINFRA 2026-11-22 08:00/2026-11-26 08:00 2026-11-27 17:00/2026-11-30 08:00",
		"warning same_person_on_levels policy PINFRA 2026-11-22 08:00/2026-11-25 08:00",
		"warning predicted_collision user UANN 2026-11-23 08:00/2026-11-25 08:00",
		"warning user_unreachable user UANN 2026-11-23 08:00/2026-11-27 17:00",
		"warning urgency_rule_ignores_severity service PCORE",
	}
	if diff := cmp.Diff(want, showAll(first)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}
