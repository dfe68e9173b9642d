package incident_test

import (
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

// What opens nothing at PagerDuty is recorded, never open.
func TestStatusOfWhatOpensNothing(t *testing.T) {
	for _, tc := range []struct {
		name    string
		urgency mapping.Urgency
		change  func(*incident.Incident)
		want    string
	}{
		{"none", mapping.None, told, "recorded"},
		{"none, over", mapping.None, func(in *incident.Incident) { over(in); in.PendingSince = time.Time{} }, "recorded"},
		{"change, told", mapping.Change, told, "recorded"},
		{"change, to be told", mapping.Change, func(in *incident.Incident) { in.PendingSince = t0 }, "pending"},
		{"change, refused", mapping.Change, func(in *incident.Incident) { in.Blocked = &incident.Blocked{} }, "blocked"},
		{"high, told", mapping.High, told, "open"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := fresh(func(in *incident.Incident) { in.Urgency = tc.urgency })
			tc.change(in)
			if got := in.Status(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
