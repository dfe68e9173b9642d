package outbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// A service, as the audit sees it now.
type audited struct {
	*rig
	now incident.Coverage
}

// drive sends what Next asks for, every request accepted, and returns what was sent.
func (a *audited) drive(service, key string) []incident.Action {
	a.t.Helper()
	id := incident.ID(service, key)
	var sent []incident.Action
	for range 20 {
		in, ok := a.Get(id)
		if !ok {
			return sent
		}
		ev := evidence()
		if service == "infra" {
			ev.Coverage, ev.Fallback = a.now, "catch-all"
		}
		d := incident.Next(in, ev, a.Policy(), time.Now())
		switch d.Kind {
		case incident.Send:
			sent = append(sent, d.Action)
			begun, err := a.Begin(a.t.Context(), id, in.Version, d, "k1")
			if err != nil {
				a.t.Fatalf("Begin: %v", err)
			}
			if err := a.Finish(a.t.Context(), id, *begun.Intent, "k1", incident.Outcome{Kind: incident.OutcomeAccepted}); err != nil {
				a.t.Fatalf("Finish: %v", err)
			}
		case incident.Perform:
			if err := a.Perform(a.t.Context(), id, in.Version, d, "catch-all"); err != nil {
				a.t.Fatalf("Perform: %v", err)
			}
		case incident.Idle, incident.Wait, incident.Ask:
			return sent
		}
	}
	a.t.Fatalf("incident %s of %s never comes to rest", key, service)
	return nil
}

func hole(reason string) incident.Coverage {
	return incident.Coverage{State: incident.CoverageUncovered, Reason: reason, Maintenance: reason == "maintenance"}
}

func covered() incident.Coverage { return incident.Coverage{State: incident.CoverageFull} }

func (a *audited) wantStatus(key, want string) {
	a.t.Helper()
	if in := a.get(key); in.Status() != want {
		a.t.Errorf("status is %s, want %s: %+v", in.Status(), want, in)
	}
}

// What fell into a hole goes to the fallback, too, and is paged where it belongs
// once somebody hears of it.
func TestPageIntoAHole(t *testing.T) {
	for _, reopen := range []bool{false, true} {
		s := &audited{rig: open(t, t.TempDir(), incident.Policy{}), now: hole("nobody is on call on infra")}
		s.observe(alert{fp: "a"})
		wantActions(t, s.drive("infra", "a"), incident.Trigger)
		s.wantStatus("a", "uncovered")
		wantActions(t, s.drive("catch-all", "a"), incident.Trigger)
		c, _ := s.Get(incident.ID("catch-all", "a"))
		if v := c.View(); v.FallbackFrom != "infra" || v.FallbackReason != "nobody is on call on infra" {
			t.Errorf("the copy stands in for %q because %q, want infra, because nobody is on call there", v.FallbackFrom, v.FallbackReason)
		}
		if reopen {
			s.rig = s.reopen()
		}
		wantActions(t, s.drive("infra", "a")) // nothing, while it lasts.
		s.now = covered()
		wantActions(t, s.drive("infra", "a"), incident.Resolve, incident.Trigger)
		s.wantStatus("a", "open")
		wantActions(t, s.drive("infra", "a"))
		s.observe(alert{fp: "a"}) // a group update.
		wantActions(t, s.drive("infra", "a"))
		wantActions(t, s.drive("catch-all", "a"))

		s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
		wantActions(t, s.drive("infra", "a"), incident.Resolve)
		wantActions(t, s.drive("catch-all", "a"), incident.Resolve) // an incident of its own, that resolves, too.
		s.gone("a")
	}
}

// An alert that fires anew in the hole is copied anew.
func TestNewEpochInAHole(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), incident.Policy{}), now: hole("disabled")}
	s.observe(alert{fp: "a"})
	wantActions(t, s.drive("infra", "a"), incident.Trigger)
	wantActions(t, s.drive("catch-all", "a"), incident.Trigger)
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute}, alert{fp: "a", starts: 2 * time.Minute})
	wantActions(t, s.drive("infra", "a"), incident.Resolve, incident.Trigger)
	wantActions(t, s.drive("catch-all", "a"), incident.Resolve, incident.Trigger)
	s.wantStatus("a", "uncovered")
}

// A maintenance window swallows resolves: what was open before it is resolved after it.
func TestResolveIntoMaintenance(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), incident.Policy{}), now: covered()}
	s.observe(alert{fp: "a"})
	wantActions(t, s.drive("infra", "a"), incident.Trigger)
	s.now = hole("maintenance")
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	wantActions(t, s.drive("infra", "a"), incident.Resolve)
	s.wantStatus("a", "uncovered")
	s.rig = s.reopen()
	wantActions(t, s.drive("infra", "a"))
	s.now = covered()
	wantActions(t, s.drive("infra", "a"), incident.Resolve)
	s.gone("a")
}

// Nor does a new epoch join, unheard, what such a resolve did not close.
func TestNewEpochAfterAResolveIntoMaintenance(t *testing.T) {
	for _, tc := range []struct {
		name  string
		after incident.Coverage // when it fires anew.
		want  []incident.Action // once the window is over.
	}{
		{"within the window", hole("maintenance"), []incident.Action{incident.Resolve, incident.Trigger}},
		{"after it", covered(), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &audited{rig: open(t, t.TempDir(), incident.Policy{}), now: covered()}
			s.observe(alert{fp: "a"})
			wantActions(t, s.drive("infra", "a"), incident.Trigger)
			s.now = hole("maintenance")
			s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
			wantActions(t, s.drive("infra", "a"), incident.Resolve)
			s.now = tc.after
			s.observe(alert{fp: "a", starts: 2 * time.Minute})
			wantActions(t, s.drive("infra", "a"), incident.Resolve, incident.Trigger)
			s.now = covered()
			wantActions(t, s.drive("infra", "a"), tc.want...)
			s.wantStatus("a", "open")
		})
	}
}

// What nobody heard of before it was over is told.
func TestOverInAHoleIsTold(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), incident.Policy{}), now: hole("disabled")}
	s.observe(alert{fp: "a"})
	in := s.get("a")
	d := incident.Next(in, incident.Evidence{Known: true, KeyHash: "k1", Coverage: s.now}, s.Policy(), time.Now()) // no fallback.
	begun, err := s.Begin(t.Context(), in.ID, in.Version, d, "k1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context(), in.ID, *begun.Intent, "k1", incident.Outcome{Kind: incident.OutcomeAccepted}); err != nil {
		t.Fatal(err)
	}
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	wantActions(t, s.drive("infra", "a"), incident.Resolve)
	s.gone("a")
	digest := s.get("infra/missed")
	if digest.Digest == nil || digest.Digest.Count != 1 {
		t.Errorf("the digest is %+v, want one alert in it", digest.Digest)
	}
	if err := s.Ledger(func(in *incident.Incident) bool {
		var text []string
		for _, e := range in.History {
			text = append(text, e.Text)
		}
		if all := strings.Join(text, "\n"); !strings.Contains(all, "trigger without effect: disabled") {
			t.Errorf("the ledger does not say that nobody heard of it:\n%s", all)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
}

// A page that moved to a service where nobody hears of it does not leave the one
// where somebody does.
func TestMoveIntoAHole(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), incident.Policy{}), now: hole("disabled")}
	s.observe(alert{fp: "a", key: "old", service: "before"})
	wantActions(t, s.drive("before", "old"), incident.Trigger)
	s.observe(alert{fp: "a", key: "new"})
	in := s.get("new")
	d := incident.Next(in, incident.Evidence{Known: true, KeyHash: "k1", Coverage: s.now}, s.Policy(), time.Now())
	begun, err := s.Begin(t.Context(), in.ID, in.Version, d, "k1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context(), in.ID, *begun.Intent, "k1", incident.Outcome{Kind: incident.OutcomeAccepted}); err != nil {
		t.Fatal(err)
	}
	wantActions(t, s.drive("before", "old"))
	s.now = covered()
	wantActions(t, s.drive("infra", "new"), incident.Resolve, incident.Trigger)
	wantActions(t, s.drive("before", "old"), incident.Resolve)
}

// A page that was accepted before the first audit after a start is not forgotten
// when that says that nobody heard of it.
func TestPageBeforeTheAuditCouldTell(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), incident.Policy{}), now: incident.Coverage{State: incident.CoverageUnknown}}
	s.observe(alert{fp: "a"}, alert{fp: "b"})
	wantActions(t, s.drive("infra", "a"), incident.Trigger)
	wantActions(t, s.drive("infra", "b"), incident.Trigger)
	s.rig = s.reopen()
	s.now = hole("disabled")
	wantActions(t, s.drive("infra", "a"))
	s.wantStatus("a", "uncovered")
	wantActions(t, s.drive("catch-all", "a"), incident.Trigger)
	s.now = covered()
	wantActions(t, s.drive("infra", "a"), incident.Resolve, incident.Trigger)
	s.wantStatus("a", "open")

	// The other one was looked at only when somebody heard of it again: it was open all along.
	wantActions(t, s.drive("infra", "b"))
	s.now = hole("disabled")
	wantActions(t, s.drive("infra", "b"))
	s.wantStatus("b", "open")
}

// A maintenance window that was begun between two audits has swallowed resolves that
// were taken for applied.
func TestResolveIntoMaintenanceThatNobodyKnewOf(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), incident.Policy{}), now: covered()}
	page := func(key string) {
		s.observe(alert{fp: key})
		wantActions(t, s.drive("infra", key), incident.Trigger)
		s.observe(alert{fp: key, resolved: true, ends: time.Minute})
		wantActions(t, s.drive("infra", key), incident.Resolve)
		s.gone(key)
	}
	page("before")
	s.observe(alert{fp: "muted before"})
	wantActions(t, s.drive("infra", "muted before"), incident.Trigger)
	s.mute("muted before", incident.MuteResolve)
	wantActions(t, s.drive("infra", "muted before"), incident.Resolve)
	s.observe(alert{fp: "kept"})
	wantActions(t, s.drive("infra", "kept"), incident.Trigger)
	s.mute("kept", incident.MuteResolve)
	wantActions(t, s.drive("infra", "kept"), incident.Resolve)
	s.observe(alert{fp: "moved"})
	wantActions(t, s.drive("infra", "moved"), incident.Trigger)
	began := time.Now()
	s.observe(alert{fp: "kept", resolved: true, ends: time.Minute}) // resolved before, and only forgotten in it.
	wantActions(t, s.drive("infra", "kept"))
	s.gone("kept")
	s.observe(alert{fp: "moved", service: "catch-all"}) // under the same routing key, where it is one alert.
	wantActions(t, s.drive("catch-all", "moved"), incident.Trigger)
	wantActions(t, s.drive("infra", "moved"))
	s.gone("moved")
	page("a")
	s.observe(alert{fp: "flapped"})
	wantActions(t, s.drive("infra", "flapped"), incident.Trigger)
	s.observe(alert{fp: "flapped", resolved: true, ends: time.Minute})
	s.observe(alert{fp: "flapped", starts: 2 * time.Minute}) // over again before either was sent.
	s.observe(alert{fp: "flapped", starts: 2 * time.Minute, resolved: true, ends: 3 * time.Minute})
	wantActions(t, s.drive("infra", "flapped"), incident.Resolve)
	s.gone("flapped")
	s.observe(alert{fp: "unsent"}, alert{fp: "unsent", resolved: true, ends: time.Minute})
	wantActions(t, s.drive("infra", "unsent"))
	s.observe(alert{fp: "muted"}) // this one is kept until it is over.
	wantActions(t, s.drive("infra", "muted"), incident.Trigger)
	s.mute("muted", incident.MuteResolve)
	wantActions(t, s.drive("infra", "muted"), incident.Resolve)
	s.observe(alert{fp: "other", service: "catch-all"}, alert{fp: "still"})
	wantActions(t, s.drive("catch-all", "other"), incident.Trigger)
	s.observe(alert{fp: "other", service: "catch-all", resolved: true, ends: time.Minute})
	wantActions(t, s.drive("catch-all", "other"), incident.Resolve)
	wantActions(t, s.drive("infra", "still"), incident.Trigger)

	s.now = hole("maintenance")
	for i, want := range []int{3, 0} { // every audit says so, as long as it lasts.
		n, err := s.ReopenResolved(t.Context(), "infra", began, incident.Uncovered{Reason: "maintenance"})
		if err != nil || n != want {
			t.Errorf("call %d: %d came back (%v), want %d", i+1, n, err, want)
		}
	}
	wantActions(t, s.drive("infra", "a"))
	s.wantStatus("a", "uncovered")
	s.rig = s.reopen()
	s.wantStatus("a", "uncovered")
	s.now = covered()
	wantActions(t, s.drive("infra", "a"), incident.Resolve)
	wantActions(t, s.drive("infra", "flapped"), incident.Resolve)
	wantActions(t, s.drive("infra", "muted"), incident.Resolve)
	s.gone("a")
	s.gone("before")
}

// The routing key was changed in such a window: both keys hold what nobody resolved.
func TestResolveIntoMaintenanceUnderTwoKeys(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	id, began := incident.ID("infra", "a"), time.Now()
	say := func(action incident.Action, key string) {
		t.Helper()
		begun, err := s.Begin(t.Context(), id, s.get("a").Version, incident.Decision{Kind: incident.Send, Action: action}, key)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Finish(t.Context(), id, *begun.Intent, key, incident.Outcome{Kind: incident.OutcomeAccepted}); err != nil {
			t.Fatal(err)
		}
	}
	for i, key := range []string{"k1", "k2"} {
		at := time.Duration(i) * time.Hour
		s.observe(alert{fp: "a", starts: at})
		say(incident.Trigger, key)
		s.observe(alert{fp: "a", starts: at, resolved: true, ends: at + time.Minute})
		say(incident.Resolve, key)
		s.accept("a") // it is forgotten.
		s.gone("a")
	}
	if n, err := s.ReopenResolved(t.Context(), "infra", began, incident.Uncovered{Reason: "maintenance"}); err != nil || n != 2 {
		t.Errorf("%d came back (%v), want 2", n, err)
	}
	for id, key := range map[string]string{id: "k2", id + "-k1": "k1"} {
		if in, ok := s.Get(id); !ok || in.KeyHash != key || in.Have != incident.StateUnknown {
			t.Errorf("%s: got %+v, want one that %s may hold", id, in, key)
		}
	}
	if n, err := s.ReopenResolved(t.Context(), "infra", began, incident.Uncovered{Reason: "maintenance"}); err != nil || n != 0 {
		t.Errorf("%d came back again (%v), want none", n, err)
	}
}
