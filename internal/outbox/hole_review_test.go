package outbox_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/outbox"
)

// one does what Next says about an incident of infra, once, some time from now, with
// the given outcome.
func (a *audited) one(key, keyHash string, kind incident.OutcomeKind, later time.Duration, edit func(*incident.Evidence)) incident.Decision {
	a.t.Helper()
	in := a.get(key)
	ev := evidence()
	ev.KeyHash, ev.Coverage, ev.Fallback = keyHash, a.now, "catch-all"
	if edit != nil {
		edit(&ev)
	}
	d := incident.Next(in, ev, a.Policy(), time.Now().Add(later))
	switch d.Kind {
	case incident.Send:
		begun, err := a.Begin(a.t.Context(), in.ID, in.Version, d, keyHash)
		if err != nil {
			a.t.Fatalf("Begin: %v", err)
		}
		if err := a.Finish(a.t.Context(), in.ID, *begun.Intent, keyHash, incident.Outcome{Kind: kind}); err != nil {
			a.t.Fatalf("Finish: %v", err)
		}
	case incident.Perform:
		if err := a.Perform(a.t.Context(), in.ID, in.Version, d, "catch-all"); err != nil {
			a.t.Fatalf("Perform: %v", err)
		}
	case incident.Idle, incident.Wait, incident.Ask:
	}
	return d
}

func (a *audited) paged(key string, now incident.Coverage) {
	a.t.Helper()
	a.now = now
	a.observe(alert{fp: key})
	wantActions(a.t, a.drive("infra", key), incident.Trigger)
}

func cannotTell() incident.Coverage { return incident.Coverage{State: incident.CoverageUnknown} }

func repeated(key string) alert { return alert{fp: key, reason: "repeat interval elapsed"} }

// The trigger after a hole is a page like any other: one whose answer is lost is sent
// again, and joins; it is not resolved each time.
func TestTriggerAfterAHoleIsRetriedAsAnyOther(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), incident.Policy{})}
	s.paged("a", hole("nobody"))
	s.now = covered()
	var sent []incident.Action
	for i := range 4 {
		kind := incident.OutcomeAccepted
		if i == 1 || i == 2 {
			kind = incident.OutcomeUnknown
		}
		sent = append(sent, s.one("a", "k1", kind, 0, nil).Action)
		if i < 3 {
			s.wantStatus("a", "pending")
		}
	}
	wantActions(t, sent, incident.Resolve, incident.Trigger, incident.Trigger, incident.Trigger)
	s.wantStatus("a", "open")
}

// The hole may begin anew between the two.
func TestHoleBeginsAnewBeforeTheTrigger(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), incident.Policy{})}
	s.paged("a", hole("nobody"))
	s.now = covered()
	s.one("a", "k1", incident.OutcomeAccepted, 0, nil)
	s.now = hole("nobody")
	wantActions(t, s.drive("infra", "a"), incident.Trigger)
	s.wantStatus("a", "uncovered")
}

// Alertmanager may repeat it before an audit can tell.
func TestRepeatKeepsTheDoubt(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), incident.Policy{})}
	s.paged("a", cannotTell())
	s.observe(repeated("a"))
	if d := s.one("a", "k1", incident.OutcomeAccepted, 2*time.Minute, nil); d.Action != incident.Trigger {
		t.Fatalf("got %+v, want the repeat to be passed on", d)
	}
	s.now = hole("disabled")
	wantActions(t, s.drive("infra", "a"))
	s.wantStatus("a", "uncovered")
	wantActions(t, s.drive("catch-all", "a"), incident.Trigger)
}

// A gap that was over when an audit could tell is judged by when the page was sent.
func TestDoubtIsAboutWhenItWasSent(t *testing.T) {
	for name, tc := range map[string]struct {
		then, now incident.Coverage
		want      []incident.Action
	}{
		"a gap that is over":       {hole("nobody"), covered(), []incident.Action{incident.Resolve, incident.Trigger}},
		"a gap that began since":   {covered(), hole("nobody"), nil},
		"nobody can tell of then":  {cannotTell(), covered(), nil},
		"heard then and heard now": {covered(), covered(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := &audited{rig: open(t, t.TempDir(), incident.Policy{})}
			s.paged("a", cannotTell())
			s.now = tc.now
			var sent []incident.Action
			for range 5 {
				d := s.one("a", "k1", incident.OutcomeAccepted, 0, func(ev *incident.Evidence) { ev.Then = tc.then })
				if d.Kind == incident.Send {
					sent = append(sent, d.Action)
				}
			}
			wantActions(t, sent, tc.want...)
			s.wantStatus("a", "open")
		})
	}
}

// What a new routing key opens nothing for does not close what the old one holds.
func TestRekeyedIntoAHole(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), incident.Policy{})}
	s.paged("a", covered())
	s.now = hole("nobody")
	since := time.Now()
	s.observe(alert{fp: "a"})
	rekeyed := func(ev *incident.Evidence) { ev.KeySince, ev.OldKeys, ev.Fallback = since, []string{"k1"}, "" }
	if d := s.one("a", "k2-23456789", incident.OutcomeAccepted, 0, rekeyed); d.Uncovered == nil {
		t.Errorf("got %+v, want a trigger into a hole", d)
	}
	for _, in := range s.List() {
		if firing, _ := in.Counts(); firing == 0 {
			t.Errorf("%s was left although its successor opened nothing", in.ID)
		}
	}
}

// What was open before a maintenance window is repeated within it, and stays as it is.
func TestRepeatInMaintenanceJoinsWhatWasOpen(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), incident.Policy{})}
	s.paged("a", covered())
	s.now = hole("maintenance")
	s.now.Since = time.Now()
	s.observe(repeated("a"))
	if d := s.one("a", "k1", incident.OutcomeAccepted, 2*time.Minute, nil); d.Action != incident.Trigger || d.Uncovered != nil {
		t.Fatalf("got %+v, want the repeat to be passed on", d)
	}
	wantActions(t, s.drive("infra", "a"))
	s.wantStatus("a", "open")
	s.now = covered()
	wantActions(t, s.drive("infra", "a"))
}

// Nobody is paged elsewhere for what is muted.
func TestMutedPageIsNotCopied(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), incident.Policy{})}
	s.paged("a", cannotTell())
	s.mute("a", incident.MuteAcknowledge)
	wantActions(t, s.drive("infra", "a"), incident.Acknowledge)
	s.now = hole("disabled")
	wantActions(t, s.drive("infra", "a"))
	wantActions(t, s.drive("catch-all", "a"))
}

// A service that is taken away does not leave behind what waits for its window.
func TestServiceTakenAwayInAHole(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), incident.Policy{})}
	s.paged("a", covered())
	s.now = hole("maintenance")
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	wantActions(t, s.drive("infra", "a"), incident.Resolve)
	if d := incident.Next(s.get("a"), incident.Evidence{}, s.Policy(), time.Now()); d.Step != incident.StepBlock {
		t.Errorf("got %+v, want it blocked, with the reason", d)
	}
}

// In direct mode, an acceptance into a hole is none: only the copy's counts.
func TestDirectModeIntoAHole(t *testing.T) {
	d := &disk{}
	s := openFailing(t, t.TempDir(), incident.Policy{}, d.fail)
	s.observe(alert{fp: "before"})
	s.accept("before")
	d.full.Store(true)
	a := &audited{rig: s, now: hole("nobody")}
	answer := s.observing(alert{fp: "a"})
	for range 10_000 {
		if _, ok := s.Get(incident.ID("infra", "a")); ok {
			break
		}
		time.Sleep(time.Millisecond)
	}
	wantActions(t, a.drive("infra", "a"), incident.Trigger) // the copy has not left.
	if err := <-answer; !errors.Is(err, outbox.ErrBusy) {
		t.Errorf("got %v although nobody heard of it and nothing is stored, want ErrBusy", err)
	}
}
