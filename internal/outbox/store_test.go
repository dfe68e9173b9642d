package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

// t0 is half a day before virtual time begins: alerts of tests are of the past.
var t0 = time.Date(1999, 12, 31, 12, 0, 0, 0, time.UTC)

// rig is a running store.
type rig struct {
	*outbox.Store
	t    *testing.T
	dir  string
	stop func()
}

func open(t *testing.T, dir string, p incident.Policy) *rig {
	t.Helper()
	return openFailing(t, dir, p, nil)
}

// openFailing is open with a disk that fails when fail says so.
func openFailing(t *testing.T, dir string, p incident.Policy, fail func() error) *rig {
	t.Helper()
	return openOn(t, dir, p, outbox.Config{}, func(s *outbox.Store) { s.FailCommits(fail) })
}

// openClocked is open with a wall clock.
func openClocked(t *testing.T, p incident.Policy, now func() time.Time) *rig {
	t.Helper()
	return openOn(t, t.TempDir(), p, outbox.Config{Now: now}, func(*outbox.Store) {})
}

// openOn is open with a disk as prepare makes it.
func openOn(t *testing.T, dir string, p incident.Policy, cfg outbox.Config, prepare func(*outbox.Store)) *rig {
	t.Helper()
	s, err := outbox.Open(dir, cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	prepare(s)
	s.SetPolicy(p)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return &rig{Store: s, t: t, dir: dir, stop: stop}
}

// reopen ends the store and opens its file again, as a restart does.
func (r *rig) reopen() *rig {
	r.t.Helper()
	p := r.Policy()
	r.stop()
	return open(r.t, r.dir, p)
}

type alert struct {
	fp       string
	key      string // default: the fingerprint.
	service  string // default infra.
	urgency  mapping.Urgency
	resolved bool
	starts   time.Duration
	ends     time.Duration
	from     string
	reason   string
	shared   bool
	bare     bool
	origin   mapping.Origin
}

func (a alert) observation() mapping.Observation {
	o := mapping.Observation{
		Service: or(a.service, "infra"), DedupKey: or(a.key, a.fp), Rule: "r", Tier: "critical",
		Urgency: mapping.Urgency(or(string(a.urgency), "high")), Severity: "critical", Shared: a.shared, BareKey: a.bare,
		Alert: template.Alert{
			Status: mapping.Firing, Fingerprint: a.fp, Labels: template.KV{"alertname": a.fp}, StartsAt: t0.Add(a.starts),
		},
		Origin: mapping.Origin(or(string(a.origin), string(mapping.OriginAlertmanager))), ExternalURL: or(a.from, "http://am-1"), Reason: or(a.reason, "new alerts added"),
	}
	if a.resolved {
		o.Alert.Status = mapping.Resolved
	}
	if a.resolved || a.origin == mapping.OriginTest {
		o.Alert.EndsAt = t0.Add(a.ends)
	}
	return o
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func (r *rig) observe(alerts ...alert) {
	r.t.Helper()
	var obs []mapping.Observation
	for _, a := range alerts {
		obs = append(obs, a.observation())
	}
	if err := r.Observe(r.t.Context(), obs); err != nil {
		r.t.Fatalf("Observe: %v", err)
	}
}

func (r *rig) get(key string) *incident.Incident {
	r.t.Helper()
	in, ok := r.Get(incident.ID("infra", key))
	if !ok {
		r.t.Fatalf("incident %q is not in the outbox", key)
	}
	return in
}

func (r *rig) gone(key string) {
	r.t.Helper()
	if in, ok := r.Get(incident.ID("infra", key)); ok {
		r.t.Errorf("incident %q is still in the outbox: %+v", key, in)
	}
}

func evidence() incident.Evidence { return incident.Evidence{Known: true, KeyHash: "k1"} }

func (r *rig) next(in *incident.Incident) incident.Decision {
	return incident.Next(in, evidence(), r.Policy(), time.Now())
}

// drive does what Next says about an incident until there is nothing more to do
// now, with every request answered by kind; it returns what was sent.
func (r *rig) drive(id string, kind incident.OutcomeKind) []incident.Action {
	r.t.Helper()
	var sent []incident.Action
	for range 20 {
		in, ok := r.Get(id)
		if !ok {
			return sent
		}
		d := r.next(in)
		switch d.Kind {
		case incident.Send:
			sent = append(sent, d.Action)
			begun, err := r.Begin(r.t.Context(), id, in.Version, d, "k1")
			if err != nil {
				r.t.Fatalf("Begin: %v", err)
			}
			if err := r.Finish(r.t.Context(), id, *begun.Intent, "k1", incident.Outcome{Kind: kind, RetryAt: time.Now().Add(time.Second)}); err != nil {
				r.t.Fatalf("Finish: %v", err)
			}
		case incident.Perform:
			if err := r.Perform(r.t.Context(), id, in.Version, d, "catch-all"); err != nil {
				r.t.Fatalf("Perform: %v", err)
			}
		case incident.Idle, incident.Wait, incident.Ask:
			return sent
		}
	}
	r.t.Fatalf("incident %s never comes to rest", id)
	return nil
}

func (r *rig) accept(key string) []incident.Action {
	r.t.Helper()
	return r.drive(incident.ID("infra", key), incident.OutcomeAccepted)
}

func wantActions(t *testing.T, got []incident.Action, want ...incident.Action) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

func TestObserveEpisodes(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	wantActions(t, s.accept("a"), incident.Trigger)

	s.observe(alert{fp: "a"}, alert{fp: "a", from: "http://am-2", starts: 20 * time.Second})
	wantActions(t, s.accept("a")) // a group update and another replica join.

	s.observe(alert{fp: "a", starts: time.Minute})
	wantActions(t, s.accept("a"), incident.Trigger) // the same Alertmanager, a later start: its resolve was lost.

	s.observe(alert{fp: "a", resolved: true, starts: time.Minute, ends: 2 * time.Minute})
	wantActions(t, s.accept("a"), incident.Resolve)
	s.gone("a")

	s.observe(alert{fp: "a", resolved: true, starts: time.Minute, ends: 2 * time.Minute})
	s.gone("a") // Alertmanager's retry of a resolve that is known.

	s.observe(alert{fp: "a", starts: 3 * time.Minute})
	wantActions(t, s.accept("a"), incident.Trigger)
}

func TestSharedIncidentResolvesWithItsLastMember(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a", key: "k", shared: true}, alert{fp: "b", key: "k", shared: true})
	wantActions(t, s.accept("k"), incident.Trigger)
	s.observe(alert{fp: "a", key: "k", resolved: true, ends: time.Minute})
	wantActions(t, s.accept("k"))
	s.observe(alert{fp: "a", key: "k", starts: 2 * time.Minute})
	wantActions(t, s.accept("k"), incident.Trigger) // a new episode of a member is a trigger of its own.
	s.observe(alert{fp: "a", key: "k", resolved: true, ends: 3 * time.Minute}, alert{fp: "b", key: "k", resolved: true, ends: 3 * time.Minute})
	wantActions(t, s.accept("k"), incident.Resolve)
}

func TestNewEpochBeforeTheResolveWasSent(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	wantActions(t, s.accept("a"), incident.Trigger)
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	s.observe(alert{fp: "a", starts: 2 * time.Minute})
	wantActions(t, s.accept("a"), incident.Resolve, incident.Trigger) // never folded in silently.
}

// What another replica may have opened is resolved once, also if that takes a
// second try.
func TestOverBeforeItWasSentIsResolvedOnce(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{Alertmanagers: 2})
	s.observe(alert{fp: "a"}, alert{fp: "a", resolved: true, ends: time.Minute})
	id := incident.ID("infra", "a")
	s.once(id, incident.OutcomeUnknown)
	if err := s.Retry(t.Context(), id); err != nil { // no backoff.
		t.Fatal(err)
	}
	wantActions(t, s.accept("a"), incident.Resolve)
	s.gone("a")
}

// A trigger that timed out may land after the resolve. It fires again before that
// was resolved once more, and is over before it is sent.
func TestTriggerThatMayLandOutlivesAnEpochThatWasNotSent(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	id := incident.ID("infra", "a")
	s.once(id, incident.OutcomeUnknown)
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	wantActions(t, s.accept("a"), incident.Resolve)
	s.observe(alert{fp: "a", starts: 2 * time.Minute})
	s.observe(alert{fp: "a", starts: 2 * time.Minute, resolved: true, ends: 3 * time.Minute})
	wantActions(t, s.accept("a"), incident.Resolve)
}

func TestOverBeforeItWasSentIsNotPaged(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	wantActions(t, s.accept("a"))
	s.gone("a")
	var kinds []string
	if err := s.Ledger(func(in *incident.Incident) bool {
		for _, e := range in.History {
			kinds = append(kinds, e.What)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(kinds), "[received resolved superseded closed]"; got != want {
		t.Errorf("ledger says %s, want %s", got, want)
	}
}

// The mark is durable: after a restart nobody knows any more what the lane was like.
func TestGuaranteedPageIsSentThoughOver(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.SetLimited(map[string]bool{"infra": true})
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	s = s.reopen()
	wantActions(t, s.accept("a"), incident.Trigger, incident.Resolve)
}

func TestPageIsGuaranteedIfTheLaneIsAtItsLimitWhenItEnds(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	all := []alert{{fp: "high"}, {fp: "low", urgency: mapping.Low}, {fp: "other", service: "catch-all"}, {fp: "earlier"}, {fp: "later"}, {fp: "sent"}}
	s.observe(all...)
	s.accept("sent")
	end := func(from, to int) {
		for _, a := range all[from:to] {
			a.resolved, a.ends = true, time.Minute
			s.observe(a)
		}
	}
	end(3, 4)
	s.SetLimited(map[string]bool{"infra": true})
	end(0, 3)
	end(5, 6)
	s.SetLimited(nil)
	end(4, 5)
	for _, tc := range []struct {
		name, service, key string
		want               int
	}{
		{"a high page", "infra", "high", 1},
		{"not a low one", "infra", "low", 0},
		{"not one of another service", "catch-all", "other", 0},
		{"not one that ends before", "infra", "earlier", 0},
		{"not one that ends when the lane has room", "infra", "later", 0},
		{"not one that PagerDuty has accepted", "infra", "sent", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in, ok := s.Get(incident.ID(tc.service, tc.key))
			if !ok {
				t.Fatal("there is no such incident")
			}
			if in.Guaranteed != tc.want {
				t.Errorf("guaranteed is revision %d, want %d", in.Guaranteed, tc.want)
			}
		})
	}
}

func TestRefusedIsSentMinimalThenDivertedAndBlocked(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	id := incident.ID("infra", "a")
	wantActions(t, s.drive(id, incident.OutcomeRefused), incident.Trigger, incident.Trigger)
	in := s.get("a")
	if !in.Minimal || in.Blocked == nil || in.Have != incident.StateClosed {
		t.Fatalf("after two refusals: minimal %v, blocked %v, have %s; want true, a reason, closed", in.Minimal, in.Blocked, in.Have)
	}
	ev := evidence()
	ev.Fallback = "catch-all"
	d := incident.Next(in, ev, s.Policy(), time.Now())
	if d.Step != incident.StepFallback {
		t.Fatalf("Next says %+v, want a copy to the fallback", d)
	}
	if err := s.Perform(t.Context(), id, in.Version, d, "catch-all"); err != nil {
		t.Fatal(err)
	}
	copyID := incident.ID("catch-all", "a")
	c, ok := s.Get(copyID)
	if !ok || c.FallbackFrom != "infra" {
		t.Fatalf("copy on the fallback: %+v", c)
	}
	wantActions(t, s.drive(copyID, incident.OutcomeAccepted), incident.Trigger)
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	wantActions(t, s.drive(copyID, incident.OutcomeAccepted), incident.Resolve) // the copy resolves too.
	wantActions(t, s.accept("a"))
	s.gone("a")
}

func TestRetryLiftsABlock(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"}, alert{fp: "b"})
	for _, key := range []string{"a", "b"} {
		s.drive(incident.ID("infra", key), incident.OutcomeRefused)
	}
	if err := s.Retry(t.Context(), incident.ID("infra", "a")); err != nil {
		t.Fatal(err)
	}
	wantActions(t, s.accept("a"), incident.Trigger)
	if n, err := s.RetryBlocked(t.Context(), "reload"); err != nil || n != 1 {
		t.Errorf("RetryBlocked: %d, %v; want 1, nil", n, err)
	}
	wantActions(t, s.accept("b"), incident.Trigger)
	if err := s.Retry(t.Context(), "nobody"); !errors.Is(err, outbox.ErrNotFound) {
		t.Errorf("Retry of an unknown incident: %v, want ErrNotFound", err)
	}
}

func TestCrashWithARequestInFlight(t *testing.T) {
	for _, tc := range []struct {
		name string
		act  incident.Action
		want []incident.Action
	}{
		{"trigger is sent again", incident.Trigger, []incident.Action{incident.Trigger}},
		{"resolve is sent again", incident.Resolve, []incident.Action{incident.Resolve}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t, t.TempDir(), incident.Policy{})
			s.observe(alert{fp: "a"})
			if tc.act == incident.Resolve {
				s.accept("a")
				s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
			}
			in := s.get("a")
			if _, err := s.Begin(t.Context(), in.ID, in.Version, s.next(in), "k1"); err != nil {
				t.Fatal(err)
			}
			s = s.reopen()
			if got := s.get("a").Have; got != incident.StateUnknown {
				t.Errorf("have after the crash is %s, want unknown", got)
			}
			wantActions(t, s.accept("a"), tc.want...)
		})
	}
}

// refuseRepeat has PagerDuty refuse the repeat that is planned, when it is due.
func (r *rig) refuseRepeat(key string) {
	r.t.Helper()
	in := r.get(key)
	r.say(key, incident.Next(in, evidence(), r.Policy(), in.FollowUp().Due), "k1", incident.OutcomeRefused)
}

// A planned repeat of a trigger that PagerDuty refuses is not lost: the resolve may have landed.
func TestRefusedRepeatOfATriggerIsKept(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	wantActions(t, s.accept("a"), incident.Trigger)
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	id := incident.ID("infra", "a")
	s.once(id, incident.OutcomeUnknown)
	s.observe(alert{fp: "a", starts: 2 * time.Minute})
	wantActions(t, s.accept("a"), incident.Resolve, incident.Trigger)
	s.refuseRepeat("a")
	wantActions(t, s.accept("a"), incident.Trigger) // as the minimal event.
}

// So with that of a resolve: the trigger may have landed.
func TestRefusedRepeatOfAResolveIsKept(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	id := incident.ID("infra", "a")
	s.drive(id, incident.OutcomeUnknown)
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	wantActions(t, s.accept("a"), incident.Resolve)
	s.refuseRepeat("a")
	wantActions(t, s.accept("a"))
	if in := s.get("a"); in.Blocked == nil {
		t.Error("it is not blocked")
	}
	if err := s.Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	wantActions(t, s.accept("a"), incident.Resolve)
}

func TestResolveIsRepeatedAfterAnAmbiguousTrigger(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	wantActions(t, s.drive(incident.ID("infra", "a"), incident.OutcomeUnknown), incident.Trigger)
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	wantActions(t, s.accept("a"), incident.Resolve)
	in := s.get("a") // not forgotten: the resolve is due once more.
	if in.FollowUp() == nil || in.FollowUp().FollowUp != incident.Resolve {
		t.Fatalf("echo is %+v, want a resolve", in.FollowUp())
	}
	s.observe(alert{fp: "a", starts: 2 * time.Minute})
	if in := s.get("a"); in.FollowUp() != nil {
		t.Errorf("the echo %+v outlived the new epoch", in.FollowUp())
	}
}

func TestTriggerIsRepeatedAfterAnAmbiguousResolve(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.accept("a")
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	wantActions(t, s.drive(incident.ID("infra", "a"), incident.OutcomeUnknown), incident.Resolve)
	s.observe(alert{fp: "a", starts: 2 * time.Minute})
	wantActions(t, s.accept("a"), incident.Resolve, incident.Trigger)
	if in := s.get("a"); in.FollowUp() == nil || in.FollowUp().FollowUp != incident.Trigger {
		t.Errorf("echo is %+v, want a trigger", in.FollowUp())
	}
}

// A page that is accepted when the old resolve cannot land any more needs no repeat.
func TestPlannedTriggerIsNotSentAfterAnother(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), incident.Policy{})
		s.observe(alert{fp: "a", key: "k", shared: true})
		s.accept("k")
		s.observe(alert{fp: "a", key: "k", shared: true, resolved: true, ends: time.Minute})
		s.once(incident.ID("infra", "k"), incident.OutcomeUnknown)
		s.observe(alert{fp: "a", key: "k", shared: true, starts: 2 * time.Minute})
		time.Sleep(2 * time.Second)
		wantActions(t, s.accept("k"), incident.Resolve, incident.Trigger)
		if in := s.get("k"); in.FollowUp() == nil {
			t.Error("no repeat is planned: the test tests nothing")
		}
		time.Sleep(5 * time.Minute)
		s.observe(alert{fp: "b", key: "k", shared: true})
		wantActions(t, s.accept("k"), incident.Trigger)
	})
}

func TestBeginRefusesWhatHasChanged(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	in := s.get("a")
	d := s.next(in)
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute}) // commits between the decision and the request.
	if _, err := s.Begin(t.Context(), in.ID, in.Version, d, "k1"); !errors.Is(err, outbox.ErrChanged) {
		t.Errorf("Begin of an outdated trigger: %v, want ErrChanged", err)
	}
}

func TestMovedAlertLeavesItsIncidentOnceTheNewOneIsAccepted(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a", key: "old"})
	s.accept("old")
	s.observe(alert{fp: "a", key: "new"})
	wantActions(t, s.accept("old")) // it stays open until then.
	wantActions(t, s.accept("new"), incident.Trigger)
	wantActions(t, s.accept("old"), incident.Resolve)
	s.gone("old")
	s.observe(alert{fp: "a", key: "old", resolved: true, ends: time.Minute}) // whatever the rules say now:
	wantActions(t, s.accept("new"), incident.Resolve)                        // closed where it is.
	s.gone("old")
}

// asking is the policy of who can ask Alertmanager about a late firing.
func asking() incident.Policy { return incident.Policy{Alertmanagers: 1, StaleAfter: time.Hour} }

// heldFiring opens a store in which an alert has fired and ended, under a key, and both
// were told to PagerDuty; it fires again with the same start, which is late, and held.
func heldFiring(t *testing.T, again alert) *rig {
	t.Helper()
	s := open(t, t.TempDir(), asking())
	first := alert{fp: again.fp, key: again.key}
	s.observe(first)
	key := or(first.key, first.fp)
	s.accept(key)
	first.resolved, first.ends = true, time.Minute
	s.observe(first)
	s.accept(key)
	s.observe(again)
	s.wantHeld(key)
	return s
}

func (r *rig) wantHeld(key string) {
	r.t.Helper()
	if in := r.get(key); in.Held() == "" {
		r.t.Fatalf("the late firing is not held: %+v", in)
	}
}

// admit takes a late firing in that was held.
func (r *rig) admit(key string) {
	r.t.Helper()
	in := r.get(key)
	d := incident.Decision{Kind: incident.Perform, Step: incident.StepAdmit, Reason: "Alertmanager says firing: page"}
	if err := r.Perform(r.t.Context(), in.ID, in.Version, d, ""); err != nil {
		r.t.Fatal(err)
	}
}

// The route is changed back, and Alertmanager has to be asked whether the alert
// really fires there: it leaves the other incident all the same.
func TestMovedAlertThatWasHeld(t *testing.T) {
	for _, stays := range []bool{false, true} {
		s := open(t, t.TempDir(), asking())
		s.observe(alert{fp: "a", key: "new"})
		s.accept("new")
		s.observe(alert{fp: "a", key: "new", resolved: true, ends: time.Minute})
		s.accept("new")
		s.observe(alert{fp: "a", key: "old"}) // with the same start.
		wantActions(t, s.accept("old"), incident.Trigger)
		if stays {
			s.observe(alert{fp: "a", key: "new"}, alert{fp: "a", key: "old"})
		} else {
			s.observe(alert{fp: "a", key: "new"})
		}
		wantActions(t, s.accept("old"))
		s.admit("new")
		wantActions(t, s.accept("old")) // it stays open until the new one is accepted.
		wantActions(t, s.accept("new"), incident.Trigger)
		if stays { // it is routed to both.
			wantActions(t, s.accept("old"))
		} else {
			wantActions(t, s.accept("old"), incident.Resolve)
		}
	}
}

// The route is changed while a firing under the old one is held: once admitted, it
// takes the alert from no incident that has taken it in since.
func TestHeldFiringOfAnOldRouteMovesNothing(t *testing.T) {
	s := heldFiring(t, alert{fp: "a", key: "old"})
	s.observe(alert{fp: "a", key: "new"})
	wantActions(t, s.accept("new"), incident.Trigger)
	s.wantHeld("old")
	s.admit("old")
	wantActions(t, s.accept("old"), incident.Trigger)
	wantActions(t, s.accept("new")) // it is where the alert is now.
}

func TestMoveToUrgencyNone(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a", key: "old"})
	s.accept("old")
	s.observe(alert{fp: "a", key: "new", urgency: mapping.None})
	wantActions(t, s.accept("old"), incident.Resolve)
}

func TestContinueKeepsBothIncidents(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	both := []alert{{fp: "a", key: "one"}, {fp: "a", key: "two"}}
	s.observe(both...)
	wantActions(t, s.accept("one"), incident.Trigger)
	wantActions(t, s.accept("two"), incident.Trigger)
	s.observe(both...)
	wantActions(t, s.accept("one"))
	s.observe(alert{fp: "a", key: "one", resolved: true, ends: time.Minute}, alert{fp: "a", key: "two", resolved: true, ends: time.Minute})
	wantActions(t, s.accept("one"), incident.Resolve)
	wantActions(t, s.accept("two"), incident.Resolve)
}

func TestRotatedKeyOpensUnderTheNewOneThenLeavesTheOld(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.accept("a")
	before := s.get("a")
	ev := incident.Evidence{Known: true, KeyHash: "k2", OldKeys: []string{"k1"}, KeySince: before.LastTrigger}
	s.observe(alert{fp: "a"})
	in := s.get("a")
	d := incident.Next(in, ev, s.Policy(), time.Now())
	if d.Action != incident.Trigger {
		t.Fatalf("Next says %+v, want a trigger under the new key", d)
	}
	begun, err := s.Begin(t.Context(), in.ID, in.Version, d, "k2")
	if err != nil {
		t.Fatal(err)
	}
	if begun.KeyHash != "k2" {
		t.Errorf("key hash is %q, want k2", begun.KeyHash)
	}
	oldID := in.ID + "-k1"
	if o, ok := s.Get(oldID); !ok || o.KeyHash != "k1" || o.Have != incident.StateOpen {
		t.Fatalf("what the old key holds: %+v", o)
	}
	if err := s.Finish(t.Context(), in.ID, *begun.Intent, "k2", incident.Outcome{Kind: incident.OutcomeAccepted}); err != nil {
		t.Fatal(err)
	}
	o, _ := s.Get(oldID)
	if d := incident.Next(o, ev, s.Policy(), time.Now()); d.Action != incident.Resolve {
		t.Errorf("Next about the old one says %+v, want a resolve", d)
	}
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	if d := incident.Next(s.get("a"), ev, s.Policy(), time.Now()); d.Action != incident.Resolve {
		t.Errorf("Next about the new one says %+v, want a resolve", d)
	}
}

func TestLateFirings(t *testing.T) {
	late := alert{fp: "a", from: "http://am-2", starts: 10 * time.Second}
	for _, tc := range []struct {
		name   string
		p      incident.Policy
		firing alert
		after  time.Duration
		want   string // dropped, held or paged.
	}{
		{"another replica, at once, nobody to ask", incident.Policy{}, late, 30 * time.Second, "dropped"},
		{"another replica, after a minute", incident.Policy{}, late, 61 * time.Second, "paged"},
		{"the same replica: Alertmanager expired it", incident.Policy{}, alert{fp: "a", starts: 10 * time.Second}, time.Second, "paged"},
		{"Alertmanager can be asked", incident.Policy{Alertmanagers: 1}, late, time.Second, "held"},
		{"Alertmanager can be asked, the same replica", incident.Policy{Alertmanagers: 1}, alert{fp: "a"}, time.Hour, "held"},
		{"a later start is no late firing", incident.Policy{Alertmanagers: 1}, alert{fp: "a", from: "http://am-2", starts: 61 * time.Second}, time.Second, "paged"},
	} {
		for _, closed := range []bool{false, true} {
			name := tc.name + ", while it is open"
			if closed {
				name = tc.name + ", after it was closed"
			}
			t.Run(name, func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					s := open(t, t.TempDir(), tc.p)
					defer s.stop()
					s.observe(alert{fp: "a"})
					s.accept("a")
					s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
					if closed {
						s.accept("a")
						s.gone("a")
					}
					time.Sleep(tc.after) // virtual time.
					s.observe(tc.firing)
					got := "dropped"
					if in, ok := s.Get(incident.ID("infra", "a")); ok {
						if n, _ := in.Counts(); n > 0 {
							got = "paged"
						} else if m := in.Members["a"]; m.Late != nil {
							got = "held"
						}
					}
					if got != tc.want {
						t.Errorf("the firing is %s, want %s", got, tc.want)
					}
				})
			})
		}
	}
}

// A shared incident that closes again with fewer members than before still knows
// what ended before: a peer may be late with the others.
func TestEndsOutliveFurtherIncidentsOfTheKey(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	member := func(fp string) alert { return alert{fp: fp, key: "k", shared: true} }
	over := func(a alert, ends time.Duration) alert {
		a.resolved, a.ends = true, ends
		return a
	}
	s.observe(member("a"), member("b"))
	s.accept("k")
	s.observe(over(member("a"), time.Minute), over(member("b"), time.Minute))
	s.accept("k")
	s.gone("k")
	again := member("a")
	again.starts = 2 * time.Minute
	s.observe(again)
	s.accept("k")
	s.observe(over(again, 3*time.Minute))
	s.accept("k")
	s.gone("k")
	s = s.reopen()
	late := member("b")
	late.from = "http://am-2"
	s.observe(late)
	s.gone("k")
	s.observe(over(late, time.Minute))
	s.gone("k")
}

func TestRepeats(t *testing.T) {
	for _, tc := range []struct {
		name   string
		reason string // "-": the field is absent, as before Alertmanager 0.32.
		after  time.Duration
		want   []incident.Action
	}{
		{"Alertmanager says so", "repeat interval elapsed", 2 * time.Minute, []incident.Action{incident.Trigger}},
		{"another reason is none", "new alerts added", time.Hour, nil},
		{"no reason, unchanged after more than five minutes", "-", 5*time.Minute + time.Second, []incident.Action{incident.Trigger}},
		{"no reason, unchanged, soon", "-", 4 * time.Minute, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := open(t, t.TempDir(), incident.Policy{})
				defer s.stop()
				a := alert{fp: "a", reason: tc.reason}
				obs := a.observation()
				if tc.reason == "-" {
					obs.Reason = ""
				}
				s.observe(alert{fp: "a"})
				s.accept("a")
				time.Sleep(tc.after) // virtual time.
				if err := s.Observe(t.Context(), []mapping.Observation{obs}); err != nil {
					t.Fatal(err)
				}
				wantActions(t, s.accept("a"), tc.want...)
			})
		})
	}
}

func TestBareKeyRisesInPlaceAndNeverFalls(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a", key: "k", bare: true, shared: true, urgency: mapping.Low})
	wantActions(t, s.accept("k"), incident.Trigger)
	s.observe(alert{fp: "a", key: "k", bare: true, shared: true, urgency: mapping.High})
	if got := s.get("k").Urgency; got != mapping.High {
		t.Errorf("urgency is %s, want high", got)
	}
	wantActions(t, s.accept("k"), incident.Trigger)
	s.observe(alert{fp: "b", key: "k", bare: true, shared: true, urgency: mapping.Low})
	if got := s.get("k").Urgency; got != mapping.High {
		t.Errorf("urgency fell to %s", got)
	}
}

func TestTestDoorAlertEndsAtItsEndsAt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), incident.Policy{})
		defer s.stop()
		o := alert{fp: "a", origin: mapping.OriginTest}.observation()
		o.Alert.EndsAt = time.Now().Add(5 * time.Minute)
		if err := s.Observe(t.Context(), []mapping.Observation{o}); err != nil {
			t.Fatal(err)
		}
		wantActions(t, s.accept("a"), incident.Trigger)
		time.Sleep(5 * time.Minute) // virtual time.
		wantActions(t, s.accept("a"), incident.Resolve)
	})
}

func TestEverythingSurvivesAReopen(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	for i := range 50 {
		s.observe(alert{fp: fmt.Sprint("a", i)})
	}
	s.accept("a1")
	before := map[string]string{}
	for _, in := range s.List() {
		before[in.ID] = fmt.Sprintf("%+v", *in.Members[in.DedupKey]) + in.Status()
	}
	s = s.reopen()
	if got := len(s.List()); got != 50 {
		t.Fatalf("%d incidents after reopening, want 50", got)
	}
	for _, in := range s.List() {
		if got := fmt.Sprintf("%+v", *in.Members[in.DedupKey]) + in.Status(); got != before[in.ID] {
			t.Errorf("incident %s is %s after reopening, was %s", in.DedupKey, got, before[in.ID])
		}
	}
	s.observe(alert{fp: "a7", resolved: true, ends: time.Minute}) // the index is there again.
	wantActions(t, s.accept("a7"))
	s.gone("a7")
}

func TestOpenRefuses(t *testing.T) {
	t.Run("a locked file", func(t *testing.T) {
		dir := t.TempDir()
		open(t, dir, incident.Policy{})
		_, err := outbox.Open(dir, outbox.Config{})
		wantError(t, err, "another process has it locked")
	})
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got error %v, want one that says %q", err, text)
	}
}

// What is sent must be what was decided upon, though the next commit may already
// be there when Begin returns.
func TestBeginReturnsTheVersionItCommitted(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	for i := range 50 {
		fp := fmt.Sprint("a", i)
		s.observe(alert{fp: fp})
		in := s.get(fp)
		done := make(chan struct{})
		go func() { // arrives with the intent, or right after it.
			defer close(done)
			o := alert{fp: fp, resolved: true, ends: time.Minute}.observation()
			if err := s.Observe(t.Context(), []mapping.Observation{o}); err != nil {
				t.Errorf("Observe: %v", err)
			}
		}()
		begun, err := s.Begin(t.Context(), in.ID, in.Version, s.next(in), "k1")
		<-done
		if errors.Is(err, outbox.ErrChanged) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := begun.Counts(); n != 1 || begun.Version != in.Version+1 {
			t.Errorf("Begin returned version %d with %d firing, want version %d with 1", begun.Version, n, in.Version+1)
		}
	}
}

func TestNewEpisodeWhileALateFiringIsHeld(t *testing.T) {
	s := heldFiring(t, alert{fp: "a", from: "http://am-2"})
	s.observe(alert{fp: "a", starts: 2 * time.Minute}) // this one is no late duplicate.
	wantActions(t, s.accept("a"), incident.Trigger)
}

func TestTestDoorAndAlertmanagerMeet(t *testing.T) {
	t.Run("a test does not end what really fires", func(t *testing.T) {
		s := open(t, t.TempDir(), incident.Policy{})
		s.observe(alert{fp: "a"})
		s.observe(alert{fp: "a", origin: mapping.OriginTest, ends: -time.Hour})
		wantActions(t, s.accept("a"), incident.Trigger)
		s.observe(alert{fp: "a", origin: mapping.OriginTest, resolved: true})
		wantActions(t, s.accept("a"))
	})
	t.Run("what really fires takes a test over", func(t *testing.T) {
		s := open(t, t.TempDir(), incident.Policy{})
		s.observe(alert{fp: "a", origin: mapping.OriginTest, ends: 100 * 365 * 24 * time.Hour})
		s.observe(alert{fp: "a"})
		wantActions(t, s.accept("a"), incident.Trigger)
		if m := s.get("a").Members["a"]; m.Origin != mapping.OriginAlertmanager || !m.ExpiresAt.IsZero() {
			t.Errorf("origin %s, expires %v; want alertmanager and never", m.Origin, m.ExpiresAt)
		}
		s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
		wantActions(t, s.accept("a"), incident.Resolve)
	})
}

func TestAdmittedLateFiringDescribesTheIncident(t *testing.T) {
	s := open(t, t.TempDir(), asking())
	s.observe(alert{fp: "high", key: "k", bare: true, shared: true}, alert{fp: "low", key: "k", bare: true, shared: true, urgency: mapping.Low})
	s.accept("k")
	s.observe(alert{fp: "high", key: "k", bare: true, shared: true, resolved: true, ends: time.Minute}, alert{fp: "low", key: "k", bare: true, shared: true, urgency: mapping.Low, resolved: true, ends: time.Minute})
	s.accept("k")
	s.observe(alert{fp: "low", key: "k", bare: true, shared: true, urgency: mapping.Low, starts: 2 * time.Minute})
	wantActions(t, s.accept("k"), incident.Trigger)
	s.observe(alert{fp: "high", key: "k", bare: true, shared: true, starts: 2 * time.Minute}) // a new start: not late.
	wantActions(t, s.accept("k"), incident.Trigger)
	if got := s.get("k").Urgency; got != mapping.High {
		t.Errorf("urgency is %s, want high", got)
	}
	s.observe(alert{fp: "high", key: "k", bare: true, shared: true, resolved: true, starts: 2 * time.Minute, ends: 3 * time.Minute})
	s.observe(alert{fp: "low", key: "k", bare: true, shared: true, urgency: mapping.Low, resolved: true, starts: 2 * time.Minute, ends: 3 * time.Minute})
	s.accept("k")
	s.observe(alert{fp: "low", key: "k", bare: true, shared: true, urgency: mapping.Low, starts: 4 * time.Minute})
	s.observe(alert{fp: "high", key: "k", bare: true, shared: true, starts: 2 * time.Minute}) // it expired and is back.
	in := s.get("k")
	ev := evidence()
	ev.Answers = map[incident.Question]incident.Answer{incident.QuestionLate: {Verdict: incident.VerdictFiring, At: time.Now(), Revision: in.Revision, About: in.Held()}}
	d := incident.Next(in, ev, s.Policy(), time.Now())
	if d.Step != incident.StepAdmit {
		t.Fatalf("Next says %+v, want to admit the held one", d)
	}
	if err := s.Perform(t.Context(), in.ID, in.Version, d, ""); err != nil {
		t.Fatal(err)
	}
	if got := s.get("k").Urgency; got != mapping.High {
		t.Errorf("urgency after admitting is %s, want high", got)
	}
}

func TestRouteThatGoesBackLeavesOneIncident(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a", key: "one"})
	s.accept("one")
	s.observe(alert{fp: "a", key: "two"})
	s.observe(alert{fp: "a", key: "one"}) // back before "two" was accepted.
	s.accept("two")
	s.accept("one")
	if in := s.get("one"); in.Want() != incident.StateOpen || in.Have != incident.StateOpen {
		t.Errorf("the incident it is routed to is want %s, have %s; want open, open", in.Want(), in.Have)
	}
	s.gone("two")
}

func TestTrimmedMembersLeaveTheIndex(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "stays", key: "k", shared: true})
	for i := range 150 {
		fp := fmt.Sprint("pod-", i)
		s.observe(alert{fp: fp, key: "k", shared: true})
		s.observe(alert{fp: fp, key: "k", shared: true, resolved: true, ends: time.Minute})
	}
	if n := len(s.get("k").Members); n > 101 {
		t.Errorf("%d members are kept, want at most 101", n)
	}
	if n := s.Indexed(); n > 101 {
		t.Errorf("%d fingerprints are indexed, want at most 101", n)
	}
}

func TestEndInWholeSecondsEndsWhatBeganInThatSecond(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a", starts: 700 * time.Millisecond})
	s.accept("a")
	s.observe(alert{fp: "a", resolved: true}) // amtool alert add a --end="$(date -u +%FT%TZ)", at once.
	wantActions(t, s.accept("a"), incident.Resolve)
}
