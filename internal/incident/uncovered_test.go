package incident_test

import (
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// A trigger that is repeated because a resolve may have landed may be the one that
// opens the incident: into a hole it opens nothing, known then or later.
func TestRepeatedTriggerIntoAHole(t *testing.T) {
	in := fresh(told, func(in *incident.Incident) {
		in.Doubts = []incident.Doubt{{About: incident.Resolve, Cause: incident.CauseLost, At: t0, FollowUp: incident.Trigger, Due: t0, Reason: "an earlier resolve timed out and can still land"}}
	})
	ev := evidence()
	ev.Coverage = hole("nobody on call")
	d := incident.Next(in, ev, incident.Policy{}, t0.Add(time.Minute))
	if d.Action != incident.Trigger || !d.FollowUp || d.Uncovered == nil {
		t.Errorf("Next says %+v, want the repeat, and what it falls into", d)
	}
}
