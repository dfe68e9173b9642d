package incident_test

import (
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// A page that was guaranteed and that the fallback has taken is not paged again when it is over.
func TestGuaranteedPageThatTheFallbackTookIsForgotten(t *testing.T) {
	in := fresh(over, func(in *incident.Incident) {
		in.Guaranteed, in.FallbackRevision, in.Blocked = 1, 1, &incident.Blocked{Reason: "no"}
	})
	if d := incident.Next(in, evidence(), incident.Policy{}, at(time.Minute)); d.Step != incident.StepForget {
		t.Errorf("Next says %+v, want it forgotten", d)
	}
}

// With several Alertmanagers, what is over on a service that is gone does not stay for ever.
func TestOverOnAServiceThatIsGone(t *testing.T) {
	in := fresh(over)
	d := incident.Next(in, incident.Evidence{}, incident.Policy{Alertmanagers: 2}, at(time.Minute))
	if d.Kind == incident.Idle {
		t.Errorf("Next says idle (%s) of an incident that is over, closed, and of which nothing was sent", d.Reason)
	}
}

// A clock that was ahead when the outbox was last written holds no page back for
// longer than any backoff lasts.
func TestBackoffFromAClockThatWasAhead(t *testing.T) {
	in := fresh(func(in *incident.Incident) { in.NotBefore = at(3 * time.Hour) })
	if d := incident.Next(in, evidence(), incident.Policy{}, at(0)); d.Kind == incident.Wait && d.Until.After(at(time.Minute)) {
		t.Errorf("the page waits until %v, in %v", d.Until, d.Until.Sub(at(0)))
	}
}
