package outbox_test

import (
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// What is repeated because a request that timed out can still land meets a gap: if it
// has landed, PagerDuty holds nothing that anybody hears of, and will not before the
// gap is over. So the fallback gets a copy, once, and it is paged again after the gap.
// It was heard of once: if it is over before that, it is not told as missed.
func TestRepeatThatMeetsAGapIsCopiedOnce(t *testing.T) {
	for _, tc := range []struct {
		name string
		late func(s *audited)  // something of infra's may land late, and it fires anew.
		sent []incident.Action // in the gap.
	}{
		{"a resolve that timed out", func(s *audited) {
			s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
			s.one("a", "k1", incident.OutcomeUnknown, 0, nil)
			s.observe(alert{fp: "a", starts: 2 * time.Minute})
		}, []incident.Action{incident.Trigger}},
		{"an acknowledge that timed out", func(s *audited) {
			s.mute("a", incident.MuteAcknowledge)
			s.one("a", "k1", incident.OutcomeUnknown, 0, nil)
			s.unmute("a")
		}, []incident.Action{incident.Resolve, incident.Trigger}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := &audited{rig: open(t, quickDir(t), incident.Policy{})}
				defer s.stop()
				s.paged("a", covered())
				tc.late(s)
				wantActions(t, s.drive("infra", "a"), incident.Resolve, incident.Trigger)
				s.wantStatus("a", "open")

				s.now = hole("nobody is on call")
				wantActions(t, s.drive("catch-all", "a"))
				time.Sleep(time.Minute)
				wantActions(t, s.drive("infra", "a"), tc.sent...)
				s.wantStatus("a", "uncovered")
				wantActions(t, s.drive("catch-all", "a"), incident.Trigger)
				for range 3 { // an audit each, and Alertmanager's repeat.
					time.Sleep(time.Hour)
					s.observe(repeated("a"))
					s.drive("infra", "a")
					wantActions(t, s.drive("catch-all", "a"))
				}
				s.now = covered()
				wantActions(t, s.drive("infra", "a"), incident.Resolve, incident.Trigger)
				s.wantStatus("a", "open")
				wantActions(t, s.drive("catch-all", "a"))
			})
		})
		t.Run(tc.name+", and no fallback", func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := &audited{rig: open(t, quickDir(t), incident.Policy{})}
				defer s.stop()
				s.paged("a", covered())
				tc.late(s)
				s.drive("infra", "a")
				s.now = hole("nobody is on call")
				time.Sleep(time.Minute)
				alone := func(ev *incident.Evidence) { ev.Fallback = "" }
				for range tc.sent {
					s.one("a", "k1", incident.OutcomeAccepted, 0, alone)
				}
				s.wantStatus("a", "uncovered")
				s.observe(alert{fp: "a", starts: 2 * time.Minute, resolved: true, ends: time.Hour})
				if d := s.one("a", "k1", incident.OutcomeAccepted, 0, alone); d.Action != incident.Resolve {
					t.Errorf("Next says %+v, want it resolved", d)
				}
				s.gone("infra/missed")
			})
		})
	}
}
