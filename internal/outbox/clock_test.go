package outbox_test

import (
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/mapping"
)

// A sender whose clock is ahead ends an alert in the future. What fires after that was told
// is a new firing, whoever tells it, and pages: an end is never later than the moment at
// which it was told.
func TestResolveFromAClockThatIsAhead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := open(t, quickDir(t), incident.Policy{}) // nobody to ask.
		defer s.stop()
		now := func() time.Duration { return time.Since(t0) }
		ahead := now() + 590*time.Second
		s.observe(alert{fp: "a", starts: ahead, from: "http://am-a"})
		wantActions(t, s.accept("a"), incident.Trigger)
		s.observe(alert{fp: "a", starts: ahead, resolved: true, ends: ahead + 10*time.Second, from: "http://am-a"})
		wantActions(t, s.accept("a"), incident.Resolve)
		time.Sleep(30 * time.Second)
		s.observe(alert{fp: "a", starts: now() - time.Second, from: "http://am-b"})
		wantActions(t, s.accept("a"), incident.Trigger)
	})
}

// The same firing told late by a peer is still known as the one that ended, although its
// start lies after the moment at which the end was told.
func TestLateFiringFromAClockThatIsAhead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := open(t, quickDir(t), incident.Policy{})
		defer s.stop()
		ahead := time.Since(t0) + 590*time.Second
		s.observe(alert{fp: "a", starts: ahead, from: "http://am-a"})
		wantActions(t, s.accept("a"), incident.Trigger)
		s.observe(alert{fp: "a", starts: ahead, resolved: true, ends: ahead + 10*time.Second, from: "http://am-a"})
		wantActions(t, s.accept("a"), incident.Resolve)
		s.observe(alert{fp: "a", starts: ahead, from: "http://am-b"})
		wantActions(t, s.accept("a"))
	})
}

// An alert whose start could not be read fires from when it came in; what tells of it again
// is the same firing, and after its resolve it is a new one.
func TestUnknownStart(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := open(t, quickDir(t), incident.Policy{Alertmanagers: 1})
		defer s.stop()
		fires := alert{fp: "a"}.observation()
		fires.Alert.StartsAt = time.Time{}
		see := func() {
			t.Helper()
			if err := s.Observe(t.Context(), []mapping.Observation{fires}); err != nil {
				t.Fatal(err)
			}
		}
		see()
		wantActions(t, s.accept("a"), incident.Trigger)
		if got := s.get("a").Members["a"].Alert.StartsAt; !got.Equal(time.Now()) {
			t.Errorf("got start %v, want now", got)
		}
		time.Sleep(time.Minute)
		see()
		wantActions(t, s.accept("a"))
		s.observe(alert{fp: "a", resolved: true, ends: time.Since(t0)})
		wantActions(t, s.accept("a"), incident.Resolve)
		see()
		wantActions(t, s.accept("a"), incident.Trigger)
	})
}
