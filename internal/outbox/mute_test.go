package outbox_test

import (
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/mapping"
)

func (r *rig) mute(fp string, do incident.MuteAction) int {
	r.t.Helper()
	n, err := r.Mute(r.t.Context(), []incident.Muting{{Fingerprint: fp, LastSeen: r.lastSeen(fp), Mute: &incident.Mute{By: "silence", Do: do}}})
	if err != nil {
		r.t.Fatalf("Mute: %v", err)
	}
	return n
}

func (r *rig) unmute(fp string) int {
	r.t.Helper()
	n, err := r.Mute(r.t.Context(), []incident.Muting{{Fingerprint: fp}})
	if err != nil {
		r.t.Fatalf("Mute: %v", err)
	}
	return n
}

// The routing key is changed, the page under the new one does not get through, and
// the alert is muted for a while: it is paged once after that, under the new key.
func TestMuteThatEndsPagesUnderTheNewKeyAlone(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.accept("a")
	ev := incident.Evidence{Known: true, KeyHash: "k2", OldKeys: []string{"k1"}, KeySince: s.get("a").LastTrigger}
	s.observe(alert{fp: "a"})
	in := s.get("a")
	begun, err := s.Begin(t.Context(), in.ID, in.Version, incident.Next(in, ev, s.Policy(), time.Now()), "k2")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context(), in.ID, *begun.Intent, "k2", incident.Outcome{Kind: incident.OutcomeUnknown}); err != nil {
		t.Fatal(err)
	}
	s.mute("a", incident.MuteResolve)
	for _, id := range []string{in.ID, in.ID + "-k1"} {
		in, _ := s.Get(id)
		begun, err := s.Begin(t.Context(), id, in.Version, incident.Decision{Kind: incident.Send, Action: incident.Resolve}, in.KeyHash)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Finish(t.Context(), id, *begun.Intent, in.KeyHash, incident.Outcome{Kind: incident.OutcomeAccepted}); err != nil {
			t.Fatal(err)
		}
	}
	s.unmute("a")
	if d := incident.Next(s.get("a"), ev, s.Policy(), time.Now()); d.Kind != incident.Send {
		t.Errorf("Next about the new key's says %+v, want a request", d)
	}
	old, _ := s.Get(in.ID + "-k1")
	if d := incident.Next(old, ev, s.Policy(), time.Now()); d.Action == incident.Trigger {
		t.Errorf("Next about what the old key holds says %+v, want no trigger", d)
	}
}

func TestMutes(t *testing.T) {
	const ack, resolve = incident.MuteAcknowledge, incident.MuteResolve
	type actions = []incident.Action
	shared := func(fp string) alert { return alert{fp: fp, key: "k", shared: true} }
	for _, tc := range []struct {
		name string
		do   func(s *rig)
		want actions // after the first trigger.
	}{
		{"acknowledge", func(s *rig) { s.mute("a", ack) }, actions{incident.Acknowledge}},
		{"acknowledge, then it ends: pages again", func(s *rig) { s.mute("a", ack); s.accept("k"); s.unmute("a") }, actions{incident.Resolve, incident.Trigger}},
		{"acknowledge, then it ends before that was sent", func(s *rig) { s.mute("a", ack); s.unmute("a") }, actions{incident.Resolve, incident.Trigger}},
		{"acknowledge, then the alert is over", func(s *rig) {
			s.mute("a", ack)
			s.accept("k")
			s.observe(alert{fp: "a", key: "k", resolved: true, ends: time.Minute})
		}, actions{incident.Resolve}},
		{"acknowledge, then it is absent", func(s *rig) {
			s.mute("a", ack)
			s.accept("k")
			s.absent(1, incident.Absence{Fingerprint: "a", LastSeen: s.lastSeen("a")})
		}, actions{incident.Resolve}},
		{"acknowledge, then Alertmanager notifies of it", func(s *rig) { s.mute("a", ack); s.accept("k"); s.observe(shared("a")) }, actions{incident.Resolve, incident.Trigger}},
		{"acknowledge, then another one fires: it is not swallowed", func(s *rig) { s.mute("a", ack); s.accept("k"); s.observe(shared("b")) }, actions{incident.Resolve, incident.Trigger}},
		{"acknowledge one of two", func(s *rig) { s.observe(shared("b")); s.accept("k"); s.mute("a", ack) }, nil},
		{"acknowledge both", func(s *rig) { s.observe(shared("b")); s.accept("k"); s.mute("a", ack); s.mute("b", ack) }, actions{incident.Acknowledge}},
		{"acknowledge one, the other is over", func(s *rig) {
			s.observe(shared("b"))
			s.accept("k")
			s.mute("a", ack)
			s.observe(alert{fp: "b", key: "k", resolved: true, ends: time.Minute})
		}, actions{incident.Acknowledge}},
		{"a repeat that was seen before the mute is not passed on", func(s *rig) {
			s.observe(alert{fp: "a", key: "k", shared: true, reason: "repeat interval elapsed"})
			s.mute("a", ack)
			if !s.get("k").RepeatAt.IsZero() {
				s.t.Error("the repeat is still to be sent")
			}
		}, actions{incident.Acknowledge}},

		{"resolve", func(s *rig) { s.mute("a", resolve) }, actions{incident.Resolve}},
		{"resolve, then it ends: pages again", func(s *rig) { s.mute("a", resolve); s.accept("k"); s.unmute("a") }, actions{incident.Trigger}},
		{"resolve, then it ends before that was sent", func(s *rig) { s.mute("a", resolve); s.unmute("a") }, actions{incident.Resolve, incident.Trigger}},
		{"resolve, then Alertmanager notifies of it", func(s *rig) { s.mute("a", resolve); s.accept("k"); s.observe(shared("a")) }, actions{incident.Trigger}},
		{"resolve, then it is absent", func(s *rig) {
			s.mute("a", resolve)
			s.accept("k")
			s.absent(1, incident.Absence{Fingerprint: "a", LastSeen: s.lastSeen("a")})
		}, nil},
		{"resolve one of two", func(s *rig) { s.observe(shared("b")); s.accept("k"); s.mute("a", resolve) }, nil},
		{"resolve one, the other is over", func(s *rig) {
			s.observe(shared("b"))
			s.accept("k")
			s.mute("a", resolve)
			s.observe(alert{fp: "b", key: "k", resolved: true, ends: time.Minute})
		}, actions{incident.Resolve}},
		{"resolved and then to be acknowledged: it stays resolved", func(s *rig) { s.mute("a", resolve); s.accept("k"); s.mute("a", ack) }, nil},
		{"acknowledged and then to be resolved", func(s *rig) { s.mute("a", ack); s.accept("k"); s.mute("a", resolve) }, actions{incident.Resolve}},
		{"after a restart it is remembered", func(s *rig) { s.mute("a", resolve); s.accept("k"); *s = *s.reopen(); s.unmute("a") }, actions{incident.Trigger}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t, t.TempDir(), incident.Policy{})
			s.observe(shared("a"))
			wantActions(t, s.accept("k"), incident.Trigger)
			tc.do(s)
			wantActions(t, s.accept("k"), tc.want...)
		})
	}
}

func TestMuteIsKeptUntilItIsOver(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.accept("a")
	s.mute("a", incident.MuteResolve)
	s.accept("a")
	if got := s.get("a").Have; got != incident.StateClosed {
		t.Errorf("have is %s, want closed", got)
	}
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	wantActions(t, s.accept("a"))
	s.gone("a")
}

func TestWhatCannotBeMuted(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	for _, tc := range []struct {
		urgency mapping.Urgency
		do      incident.MuteAction
		want    int
	}{
		{mapping.High, incident.MuteAcknowledge, 1},
		{mapping.Low, incident.MuteAcknowledge, 1},
		{mapping.Acknowledged, incident.MuteAcknowledge, 0}, // it is already.
		{mapping.Acknowledged, incident.MuteResolve, 1},
		{mapping.Change, incident.MuteResolve, 0},
		{mapping.None, incident.MuteResolve, 0},
	} {
		fp := string(tc.urgency) + string(tc.do)
		s.observe(alert{fp: fp, urgency: tc.urgency})
		if got := s.mute(fp, tc.do); got != tc.want {
			t.Errorf("%s, %s: %d muted, want %d", tc.urgency, tc.do, got, tc.want)
		}
		if got := s.mute(fp, tc.do); got != 0 {
			t.Errorf("%s, %s, again: %d muted, want 0", tc.urgency, tc.do, got)
		}
		if got := s.unmute(fp); got != tc.want {
			t.Errorf("%s, %s: %d unmuted, want %d", tc.urgency, tc.do, got, tc.want)
		}
	}
	s.observe(alert{fp: "test", origin: mapping.OriginTest, ends: 24 * 365 * 100 * time.Hour})
	if got := s.mute("test", incident.MuteResolve); got != 0 {
		t.Error("an alert of another origin was muted")
	}
}

func TestMuteLosesAgainstAWebhook(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	seen := s.lastSeen("a")
	s.observe(alert{fp: "a"})
	n, err := s.Mute(t.Context(), []incident.Muting{{Fingerprint: "a", LastSeen: seen, Mute: &incident.Mute{By: "silence", Do: incident.MuteResolve}}})
	if err != nil || n != 0 {
		t.Errorf("Mute: %d, %v; want 0, nil", n, err)
	}
}

func TestOwnAlertEndsAtItsEndsAt(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	o := alert{fp: "a", origin: mapping.OriginSelf}.observation()
	o.Alert.EndsAt = time.Now().Add(-time.Nanosecond)
	if err := s.Observe(t.Context(), []mapping.Observation{o}); err != nil {
		t.Fatal(err)
	}
	if d := s.next(s.get("a")); d.Step != incident.StepExpire {
		t.Errorf("Next says %+v, want expire", d)
	}
}

func TestMuteIsOwedToPagerDuty(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.accept("a")
	s.mute("a", incident.MuteAcknowledge)
	if got := s.get("a").Status(); got != "pending" {
		t.Errorf("status is %s, want pending", got)
	}
	s.accept("a")
	if got := s.get("a").Status(); got != "acknowledged" {
		t.Errorf("status is %s, want acknowledged", got)
	}
}

// A backoff is about what was to be said before.
func TestMuteEndsABackoff(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.drive(incident.ID("infra", "a"), incident.OutcomeUnknown)
	s.mute("a", incident.MuteResolve)
	wantActions(t, s.accept("a"), incident.Resolve)
}

func TestMuteEndsWhileItsAcknowledgeIsInFlight(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.accept("a")
	s.mute("a", incident.MuteAcknowledge)
	in := s.get("a")
	begun, err := s.Begin(t.Context(), in.ID, in.Version, s.next(in), "k1")
	if err != nil {
		t.Fatal(err)
	}
	s.unmute("a")
	if err := s.Finish(t.Context(), in.ID, *begun.Intent, "k1", incident.Outcome{Kind: incident.OutcomeAccepted}); err != nil {
		t.Fatal(err)
	}
	if e := s.get("a").FollowUp(); e != nil {
		t.Errorf("an acknowledge is planned for what fires: %+v", e)
	}
	wantActions(t, s.accept("a"), incident.Resolve, incident.Trigger)
}

func TestMuteEndsWithItsAlert(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a", key: "k", shared: true}, alert{fp: "b", key: "k", shared: true})
	s.mute("a", incident.MuteResolve)
	s.observe(alert{fp: "a", key: "k", resolved: true, ends: time.Minute})
	if m := s.get("k").Members["a"].Muted; m != nil {
		t.Errorf("it is over and still muted: %+v", m)
	}
}

// An acknowledge that timed out may reach the page of the next epoch and silence it.
func TestLateAcknowledgeDoesNotSilenceTheNextPage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), incident.Policy{})
		defer s.stop()
		s.observe(alert{fp: "a"})
		s.accept("a")
		s.mute("a", incident.MuteAcknowledge)
		wantActions(t, s.drive(incident.ID("infra", "a"), incident.OutcomeUnknown), incident.Acknowledge)
		s.unmute("a")
		wantActions(t, s.accept("a"), incident.Resolve, incident.Trigger)
		time.Sleep(59 * time.Second) // virtual time.
		wantActions(t, s.accept("a"))
		time.Sleep(time.Second)
		wantActions(t, s.accept("a"), incident.Resolve, incident.Trigger)
		time.Sleep(time.Hour)
		wantActions(t, s.accept("a"))
	})
}

func TestAcknowledgeLongAgoIsForgotten(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), incident.Policy{})
		defer s.stop()
		s.observe(alert{fp: "a"})
		s.accept("a")
		s.mute("a", incident.MuteAcknowledge)
		s.drive(incident.ID("infra", "a"), incident.OutcomeUnknown)
		time.Sleep(3 * time.Minute) // virtual time.
		s.unmute("a")
		wantActions(t, s.accept("a"), incident.Resolve, incident.Trigger)
		time.Sleep(2 * time.Minute)
		wantActions(t, s.accept("a"))
	})
}

func TestThePageAfterALateAcknowledgeSurvivesThrottling(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), incident.Policy{})
		defer s.stop()
		s.observe(alert{fp: "a"})
		s.accept("a")
		s.mute("a", incident.MuteAcknowledge)
		s.drive(incident.ID("infra", "a"), incident.OutcomeUnknown)
		s.unmute("a")
		s.accept("a")
		time.Sleep(time.Minute) // virtual time.
		in := s.get("a")
		begun, err := s.Begin(t.Context(), in.ID, in.Version, s.next(in), "k1")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Finish(t.Context(), in.ID, *begun.Intent, "k1", incident.Outcome{Kind: incident.OutcomeThrottled}); err != nil {
			t.Fatal(err)
		}
		wantActions(t, s.accept("a"), incident.Resolve, incident.Trigger)
	})
}

func TestMutedAgainBeforeItIsPagedOnceMore(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), incident.Policy{})
		defer s.stop()
		s.observe(alert{fp: "a"})
		s.accept("a")
		s.mute("a", incident.MuteAcknowledge)
		s.drive(incident.ID("infra", "a"), incident.OutcomeUnknown)
		s.unmute("a")
		s.accept("a")
		s.mute("a", incident.MuteAcknowledge)
		wantActions(t, s.accept("a"), incident.Acknowledge)
		time.Sleep(2 * time.Minute) // virtual time.
		wantActions(t, s.accept("a"), incident.Acknowledge)
	})
}
