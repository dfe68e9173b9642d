package outbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/outbox"
)

// A service, as the audit sees it now.
type audited struct {
	*rig
	now outbox.Coverage
}

// drive sends what Next asks for, every request accepted, and returns what was sent.
func (a *audited) drive(service, key string) []outbox.Action {
	a.t.Helper()
	id := outbox.IncidentID(service, key)
	var sent []outbox.Action
	for range 20 {
		in, ok := a.Get(id)
		if !ok {
			return sent
		}
		ev := evidence()
		if service == "infra" {
			ev.Coverage, ev.Fallback = a.now, "catch-all"
		}
		d := outbox.Next(in, ev, a.Policy(), time.Now())
		switch d.Kind {
		case outbox.Send:
			sent = append(sent, d.Action)
			begun, err := a.Begin(a.t.Context(), id, in.Version, d, "k1")
			if err != nil {
				a.t.Fatalf("Begin: %v", err)
			}
			if err := a.Finish(a.t.Context(), id, *begun.Intent, "k1", outbox.Outcome{Kind: outbox.OutcomeAccepted}); err != nil {
				a.t.Fatalf("Finish: %v", err)
			}
		case outbox.Perform:
			if err := a.Perform(a.t.Context(), id, in.Version, d, "catch-all"); err != nil {
				a.t.Fatalf("Perform: %v", err)
			}
		case outbox.Idle, outbox.Wait, outbox.Ask:
			return sent
		}
	}
	a.t.Fatalf("incident %s of %s never comes to rest", key, service)
	return nil
}

func hole(reason string) outbox.Coverage {
	return outbox.Coverage{State: outbox.CoverageHole, Reason: reason, Maintenance: reason == "maintenance"}
}

func covered() outbox.Coverage { return outbox.Coverage{State: outbox.CoverageFull} }

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
		s := &audited{rig: open(t, t.TempDir(), outbox.Policy{}), now: hole("nobody is on call on infra")}
		s.observe(alert{fp: "a"})
		wantActions(t, s.drive("infra", "a"), outbox.Trigger)
		s.wantStatus("a", "uncovered")
		wantActions(t, s.drive("catch-all", "a"), outbox.Trigger)
		c, _ := s.Get(outbox.IncidentID("catch-all", "a"))
		if v := c.View(); v.FallbackFrom != "infra" || v.FallbackReason != "nobody is on call on infra" {
			t.Errorf("the copy stands in for %q because %q, want infra, because nobody is on call there", v.FallbackFrom, v.FallbackReason)
		}
		if reopen {
			s.rig = s.reopen()
		}
		wantActions(t, s.drive("infra", "a")) // nothing, while it lasts.
		s.now = covered()
		wantActions(t, s.drive("infra", "a"), outbox.Resolve, outbox.Trigger)
		s.wantStatus("a", "open")
		wantActions(t, s.drive("infra", "a"))
		s.observe(alert{fp: "a"}) // a group update.
		wantActions(t, s.drive("infra", "a"))
		wantActions(t, s.drive("catch-all", "a"))

		s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
		wantActions(t, s.drive("infra", "a"), outbox.Resolve)
		wantActions(t, s.drive("catch-all", "a"), outbox.Resolve) // an incident of its own, that resolves, too.
		s.gone("a")
	}
}

// An alert that fires anew in the hole is copied anew.
func TestNewEpochInAHole(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), outbox.Policy{}), now: hole("disabled")}
	s.observe(alert{fp: "a"})
	wantActions(t, s.drive("infra", "a"), outbox.Trigger)
	wantActions(t, s.drive("catch-all", "a"), outbox.Trigger)
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute}, alert{fp: "a", starts: 2 * time.Minute})
	wantActions(t, s.drive("infra", "a"), outbox.Resolve, outbox.Trigger)
	wantActions(t, s.drive("catch-all", "a"), outbox.Resolve, outbox.Trigger)
	s.wantStatus("a", "uncovered")
}

// A maintenance window swallows resolves: what was open before it is resolved after it.
func TestResolveIntoMaintenance(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), outbox.Policy{}), now: covered()}
	s.observe(alert{fp: "a"})
	wantActions(t, s.drive("infra", "a"), outbox.Trigger)
	s.now = hole("maintenance")
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	wantActions(t, s.drive("infra", "a"), outbox.Resolve)
	s.wantStatus("a", "uncovered")
	s.rig = s.reopen()
	wantActions(t, s.drive("infra", "a"))
	s.now = covered()
	wantActions(t, s.drive("infra", "a"), outbox.Resolve)
	s.gone("a")
}

// Nor does a new epoch join, unheard, what such a resolve did not close.
func TestNewEpochAfterAResolveIntoMaintenance(t *testing.T) {
	for _, tc := range []struct {
		name  string
		after outbox.Coverage // when it fires anew.
		want  []outbox.Action // once the window is over.
	}{
		{"within the window", hole("maintenance"), []outbox.Action{outbox.Resolve, outbox.Trigger}},
		{"after it", covered(), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &audited{rig: open(t, t.TempDir(), outbox.Policy{}), now: covered()}
			s.observe(alert{fp: "a"})
			wantActions(t, s.drive("infra", "a"), outbox.Trigger)
			s.now = hole("maintenance")
			s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
			wantActions(t, s.drive("infra", "a"), outbox.Resolve)
			s.now = tc.after
			s.observe(alert{fp: "a", starts: 2 * time.Minute})
			wantActions(t, s.drive("infra", "a"), outbox.Resolve, outbox.Trigger)
			s.now = covered()
			wantActions(t, s.drive("infra", "a"), tc.want...)
			s.wantStatus("a", "open")
		})
	}
}

// What nobody heard of before it was over is told.
func TestOverInAHoleIsTold(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), outbox.Policy{}), now: hole("disabled")}
	s.observe(alert{fp: "a"})
	in := s.get("a")
	d := outbox.Next(in, outbox.Evidence{Known: true, KeyHash: "k1", Coverage: s.now}, s.Policy(), time.Now()) // no fallback.
	begun, err := s.Begin(t.Context(), in.ID, in.Version, d, "k1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context(), in.ID, *begun.Intent, "k1", outbox.Outcome{Kind: outbox.OutcomeAccepted}); err != nil {
		t.Fatal(err)
	}
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	wantActions(t, s.drive("infra", "a"), outbox.Resolve)
	s.gone("a")
	digest := s.get("infra/missed")
	if digest.Digest == nil || digest.Digest.Count != 1 {
		t.Errorf("the digest is %+v, want one alert in it", digest.Digest)
	}
	if err := s.Ledger(func(in *outbox.Incident) bool {
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
	s := &audited{rig: open(t, t.TempDir(), outbox.Policy{}), now: hole("disabled")}
	s.observe(alert{fp: "a", key: "old", service: "before"})
	wantActions(t, s.drive("before", "old"), outbox.Trigger)
	s.observe(alert{fp: "a", key: "new"})
	in := s.get("new")
	d := outbox.Next(in, outbox.Evidence{Known: true, KeyHash: "k1", Coverage: s.now}, s.Policy(), time.Now())
	begun, err := s.Begin(t.Context(), in.ID, in.Version, d, "k1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context(), in.ID, *begun.Intent, "k1", outbox.Outcome{Kind: outbox.OutcomeAccepted}); err != nil {
		t.Fatal(err)
	}
	wantActions(t, s.drive("before", "old"))
	s.now = covered()
	wantActions(t, s.drive("infra", "new"), outbox.Resolve, outbox.Trigger)
	wantActions(t, s.drive("before", "old"), outbox.Resolve)
}

// A page that was accepted before the first audit after a start is not forgotten
// when that says that nobody heard of it.
func TestPageBeforeTheAuditCouldTell(t *testing.T) {
	s := &audited{rig: open(t, t.TempDir(), outbox.Policy{}), now: outbox.Coverage{State: outbox.CoverageUnknown}}
	s.observe(alert{fp: "a"}, alert{fp: "b"})
	wantActions(t, s.drive("infra", "a"), outbox.Trigger)
	wantActions(t, s.drive("infra", "b"), outbox.Trigger)
	s.rig = s.reopen()
	s.now = hole("disabled")
	wantActions(t, s.drive("infra", "a"))
	s.wantStatus("a", "uncovered")
	wantActions(t, s.drive("catch-all", "a"), outbox.Trigger)
	s.now = covered()
	wantActions(t, s.drive("infra", "a"), outbox.Resolve, outbox.Trigger)
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
	s := &audited{rig: open(t, t.TempDir(), outbox.Policy{}), now: covered()}
	page := func(key string) {
		s.observe(alert{fp: key})
		wantActions(t, s.drive("infra", key), outbox.Trigger)
		s.observe(alert{fp: key, resolved: true, ends: time.Minute})
		wantActions(t, s.drive("infra", key), outbox.Resolve)
		s.gone(key)
	}
	page("before")
	s.observe(alert{fp: "muted before"})
	wantActions(t, s.drive("infra", "muted before"), outbox.Trigger)
	s.mute("muted before", outbox.MuteResolve)
	wantActions(t, s.drive("infra", "muted before"), outbox.Resolve)
	s.observe(alert{fp: "kept"})
	wantActions(t, s.drive("infra", "kept"), outbox.Trigger)
	s.mute("kept", outbox.MuteResolve)
	wantActions(t, s.drive("infra", "kept"), outbox.Resolve)
	s.observe(alert{fp: "moved"})
	wantActions(t, s.drive("infra", "moved"), outbox.Trigger)
	began := time.Now()
	s.observe(alert{fp: "kept", resolved: true, ends: time.Minute}) // resolved before, and only forgotten in it.
	wantActions(t, s.drive("infra", "kept"))
	s.gone("kept")
	s.observe(alert{fp: "moved", service: "catch-all"}) // under the same routing key, where it is one alert.
	wantActions(t, s.drive("catch-all", "moved"), outbox.Trigger)
	wantActions(t, s.drive("infra", "moved"))
	s.gone("moved")
	page("a")
	s.observe(alert{fp: "flapped"})
	wantActions(t, s.drive("infra", "flapped"), outbox.Trigger)
	s.observe(alert{fp: "flapped", resolved: true, ends: time.Minute})
	s.observe(alert{fp: "flapped", starts: 2 * time.Minute}) // over again before either was sent.
	s.observe(alert{fp: "flapped", starts: 2 * time.Minute, resolved: true, ends: 3 * time.Minute})
	wantActions(t, s.drive("infra", "flapped"), outbox.Resolve)
	s.gone("flapped")
	s.observe(alert{fp: "unsent"}, alert{fp: "unsent", resolved: true, ends: time.Minute})
	wantActions(t, s.drive("infra", "unsent"))
	s.observe(alert{fp: "muted"}) // this one is kept until it is over.
	wantActions(t, s.drive("infra", "muted"), outbox.Trigger)
	s.mute("muted", outbox.MuteResolve)
	wantActions(t, s.drive("infra", "muted"), outbox.Resolve)
	s.observe(alert{fp: "other", service: "catch-all"}, alert{fp: "still"})
	wantActions(t, s.drive("catch-all", "other"), outbox.Trigger)
	s.observe(alert{fp: "other", service: "catch-all", resolved: true, ends: time.Minute})
	wantActions(t, s.drive("catch-all", "other"), outbox.Resolve)
	wantActions(t, s.drive("infra", "still"), outbox.Trigger)

	s.now = hole("maintenance")
	for i, want := range []int{3, 0} { // every audit says so, as long as it lasts.
		n, err := s.Unresolve(t.Context(), "infra", began, outbox.Hole{Reason: "maintenance"})
		if err != nil || n != want {
			t.Errorf("call %d: %d came back (%v), want %d", i+1, n, err, want)
		}
	}
	wantActions(t, s.drive("infra", "a"))
	s.wantStatus("a", "uncovered")
	s.rig = s.reopen()
	s.wantStatus("a", "uncovered")
	s.now = covered()
	wantActions(t, s.drive("infra", "a"), outbox.Resolve)
	wantActions(t, s.drive("infra", "flapped"), outbox.Resolve)
	wantActions(t, s.drive("infra", "muted"), outbox.Resolve)
	s.gone("a")
	s.gone("before")
}

// The routing key was changed in such a window: both keys hold what nobody resolved.
func TestResolveIntoMaintenanceUnderTwoKeys(t *testing.T) {
	s := open(t, t.TempDir(), outbox.Policy{})
	id, began := outbox.IncidentID("infra", "a"), time.Now()
	say := func(action outbox.Action, key string) {
		t.Helper()
		begun, err := s.Begin(t.Context(), id, s.get("a").Version, outbox.Decision{Kind: outbox.Send, Action: action}, key)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Finish(t.Context(), id, *begun.Intent, key, outbox.Outcome{Kind: outbox.OutcomeAccepted}); err != nil {
			t.Fatal(err)
		}
	}
	for i, key := range []string{"k1", "k2"} {
		at := time.Duration(i) * time.Hour
		s.observe(alert{fp: "a", starts: at})
		say(outbox.Trigger, key)
		s.observe(alert{fp: "a", starts: at, resolved: true, ends: at + time.Minute})
		say(outbox.Resolve, key)
		s.accept("a") // it is forgotten.
		s.gone("a")
	}
	if n, err := s.Unresolve(t.Context(), "infra", began, outbox.Hole{Reason: "maintenance"}); err != nil || n != 2 {
		t.Errorf("%d came back (%v), want 2", n, err)
	}
	for id, key := range map[string]string{id: "k2", id + "-k1": "k1"} {
		if in, ok := s.Get(id); !ok || in.KeyHash != key || in.Have != outbox.StateUnknown {
			t.Errorf("%s: got %+v, want one that %s may hold", id, in, key)
		}
	}
	if n, err := s.Unresolve(t.Context(), "infra", began, outbox.Hole{Reason: "maintenance"}); err != nil || n != 0 {
		t.Errorf("%d came back again (%v), want none", n, err)
	}
}

// A trigger that is repeated because a resolve may have landed may be the one that
// opens the incident: into a hole it opens nothing, known then or later.
func TestRepeatedTriggerIntoAHole(t *testing.T) {
	in := incident(told, func(in *outbox.Incident) {
		in.Echo = &outbox.Echo{Action: outbox.Trigger, Due: t0, Reason: "an earlier resolve timed out and can still land"}
	})
	ev := evidence()
	ev.Coverage = hole("nobody on call")
	d := outbox.Next(in, ev, outbox.Policy{}, t0.Add(time.Minute))
	if d.Action != outbox.Trigger || !d.Echo || d.Hole == nil {
		t.Errorf("Next says %+v, want the repeat, and what it falls into", d)
	}
}
