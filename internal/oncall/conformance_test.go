package oncall_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/internal/lab/conformance"
)

// Every request that the reader makes is one that PagerDuty describes, and it takes
// the answers of an emulator that is held to the same description.
func TestConformanceOfReading(t *testing.T) {
	spec := conformance.REST(t)
	for _, many := range []bool{false, true} { // one by one, and by listing.
		bubble.Test(t, func(t *testing.T) {
			schedules, policies := []string{"prod-monitoring", "platform-sre", "PCSAMEA"}, []string{"infra policy", "PPBATCH"}
			for i := 0; many && i < 12; i++ {
				schedules, policies = append(schedules, fmt.Sprint("none ", i)), append(policies, fmt.Sprint("none ", i))
			}
			e := newEmulator(t, account)
			got, err := readerOver(t, conformance.Validate(t, spec, e.Transport())).Read(t.Context(), config(schedules, policies), map[string]string{hashOf(key): "infra-core"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantUnread(t, got, nil)
			if len(got.Schedules) != 3 || len(got.OnCalls) == 0 || !slices.Equal(got.Services["PSINFRA"].Relays, []string{"infra-core"}) {
				t.Errorf("got %d schedules, %d on-calls", len(got.Schedules), len(got.OnCalls))
			}
		})
	}
	if requests, answers := spec.Checked(); requests < 20 || answers < 20 {
		t.Errorf("checked %d requests and %d answers, want 20 at least", requests, answers)
	}
}
