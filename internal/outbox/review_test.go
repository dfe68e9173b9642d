package outbox_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

// The end of a test alert that was never seen firing, as `amtool alert add --end` in
// the past makes it, is said and forgotten; Next never asks to be called again at
// a time that is over, which would have the deliverer's loop spin for ever.
func TestEndOfATestAlertNeverSeenFiring(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a", origin: mapping.OriginTest, resolved: true, ends: -time.Minute})
	wantActions(t, s.accept("a"), incident.Resolve)
	if in, ok := s.Get(incident.ID("infra", "a")); ok {
		now := in.Members["a"].ExpiresAt.Add(time.Hour)
		if d := incident.Next(in, evidence(), s.Policy(), now); d.Kind == incident.Wait && !d.Until.After(now) {
			t.Errorf("Next asks to be called again at %v, which is %v ago", d.Until, now.Sub(d.Until))
		}
	}
	s.gone("a")
}

// HA: a peer's resolve of the last episode that comes after the next episode has
// begun does not end the new one.
func TestLateResolveOfAnOlderEpisodeEndsNothing(t *testing.T) {
	for name, pause := range map[string]time.Duration{"a minute later": time.Minute, "a second later": time.Second, "at once": 0} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), incident.Policy{})
			s.observe(alert{fp: "a"})
			wantActions(t, s.accept("a"), incident.Trigger)
			s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
			wantActions(t, s.accept("a"), incident.Resolve)
			s.observe(alert{fp: "a", starts: time.Minute + pause + time.Nanosecond})
			wantActions(t, s.accept("a"), incident.Trigger)
			s.observe(alert{fp: "a", from: "http://am-2", starts: 3 * time.Second, resolved: true, ends: time.Minute}) // what am-2 had been retrying.
			wantActions(t, s.accept("a"))
			if n, _ := s.get("a").Counts(); n != 1 {
				t.Error("the alert fires and is not a firing member any more")
			}
		})
	}
}

// An episode that another sidecar opened is resolved here, although this one
// remembers an earlier episode of the same alert.
func TestResolveOfAnotherSidecarsEpisodeIsSentDespiteATombstone(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.accept("a")
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	s.accept("a")
	s.gone("a")
	// The next episode, from 10 m on, went to the other sidecar; its end comes here.
	s.observe(alert{fp: "a", starts: 10 * time.Minute, resolved: true, ends: 11 * time.Minute})
	wantActions(t, s.accept("a"), incident.Resolve)
}

// An alert that goes to two services and was never seen firing here is resolved on both.
func TestUnseenResolveIsSentToEveryRoute(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a", key: "one", resolved: true, ends: time.Minute}, alert{fp: "a", key: "two", resolved: true, ends: time.Minute})
	wantActions(t, s.accept("one"), incident.Resolve)
	wantActions(t, s.accept("two"), incident.Resolve)
}

// A test alert with the labels of one that fires neither ends it nor lets it expire.
func TestTestDoorDoesNotTouchWhatAlertmanagerSaid(t *testing.T) {
	t.Run("a firing test alert that ends", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			s := open(t, quickDir(t), incident.Policy{})
			defer s.stop()
			s.observe(alert{fp: "a"})
			wantActions(t, s.accept("a"), incident.Trigger)
			o := alert{fp: "a", origin: mapping.OriginTest}.observation()
			o.ExternalURL = ""
			o.Alert.EndsAt = time.Now().Add(5 * time.Minute)
			if err := s.Observe(t.Context(), []mapping.Observation{o}); err != nil {
				t.Fatal(err)
			}
			s.accept("a")
			time.Sleep(10 * time.Minute) // virtual time.
			for _, a := range s.accept("a") {
				if a == incident.Resolve {
					t.Error("the page was resolved at the test alert's end although Alertmanager's alert fires")
				}
			}
		})
	})
	t.Run("a resolved test alert", func(t *testing.T) {
		s := open(t, t.TempDir(), incident.Policy{})
		s.observe(alert{fp: "a"})
		wantActions(t, s.accept("a"), incident.Trigger)
		s.observe(alert{fp: "a", origin: mapping.OriginTest, resolved: true, ends: time.Minute})
		wantActions(t, s.accept("a"))
	})
	t.Run("a test alert that was there first", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			s := open(t, quickDir(t), incident.Policy{})
			defer s.stop()
			o := alert{fp: "a", origin: mapping.OriginTest}.observation()
			o.Alert.EndsAt = time.Now().Add(5 * time.Minute)
			if err := s.Observe(t.Context(), []mapping.Observation{o}); err != nil {
				t.Fatal(err)
			}
			s.accept("a")
			s.observe(alert{fp: "a"})
			s.accept("a")
			time.Sleep(10 * time.Minute) // virtual time.
			s.accept("a")
			if in, ok := s.Get(incident.ID("infra", "a")); !ok || in.Want() != incident.StateOpen {
				t.Error("Alertmanager's alert fires and is not wanted open any more")
			}
		})
	})
}

// A routing key that was changed by mistake and changed back: what is open under
// it stays open.
func TestRotatedKeyThatIsTakenBack(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	wantActions(t, s.accept("a"), incident.Trigger) // under k1.
	in := s.get("a")
	wrong := incident.Evidence{Known: true, KeyHash: "k2", OldKeys: []string{"k1"}, KeySince: in.LastTrigger}
	s.observe(alert{fp: "a"}) // seen firing under the wrong key.
	in = s.get("a")
	d := incident.Next(in, wrong, s.Policy(), time.Now())
	begun, err := s.Begin(t.Context(), in.ID, in.Version, d, "k2")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context(), in.ID, *begun.Intent, "k2", incident.Outcome{Kind: incident.OutcomeBadKey, Message: "Invalid routing key"}); err != nil {
		t.Fatal(err)
	}
	s.accept("a") // the key is k1 again.
	// Whatever else the outbox holds now, all of it is under k1 and the same dedup key.
	for _, other := range s.List() {
		for _, a := range s.drive(other.ID, incident.OutcomeAccepted) {
			if a == incident.Resolve {
				t.Errorf("a resolve of %q left under k1 although the alert fires", other.DedupKey)
			}
		}
	}
}

// PagerDuty refuses the resolve of the epoch before, as when the integration of an
// old routing key has been deleted: the page that waits for it leaves all the same.
func TestRefusedResolveDoesNotKeepThePageFromLeaving(t *testing.T) {
	for _, guaranteed := range []bool{false, true} {
		t.Run(fmt.Sprintf("guaranteed: %v", guaranteed), func(t *testing.T) {
			s := open(t, t.TempDir(), incident.Policy{})
			s.observe(alert{fp: "a"})
			s.accept("a")
			s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
			s.observe(alert{fp: "a", starts: 2 * time.Minute})
			if guaranteed {
				s.SetLimited(map[string]bool{"infra": true})
				s.observe(alert{fp: "a", starts: 2 * time.Minute, resolved: true, ends: 3 * time.Minute})
			}
			rotated := incident.Evidence{Known: true, KeyHash: "k2", OldKeys: []string{"k1"}}
			if d := incident.Next(s.get("a"), rotated, s.Policy(), time.Now()); d.Action != incident.Resolve {
				t.Fatalf("Next says %+v, want a resolve first", d)
			}
			s.say("a", sending(incident.Resolve), "k1", incident.OutcomeRefused)
			if d := incident.Next(s.get("a"), rotated, s.Policy(), time.Now()); d.Action != incident.Trigger {
				t.Fatalf("Next after the refusal says %+v, want a trigger", d)
			}
			s.say("a", sending(incident.Trigger), "k2", incident.OutcomeAccepted)
			if in := s.get("a"); in.KeyHash != "k2" || in.AcceptedRevision != in.Revision {
				t.Errorf("under key %s revision %d of %d is accepted, want the last one under k2", in.KeyHash, in.AcceptedRevision, in.Revision)
			}
			old, ok := s.Get(incident.ID("infra", "a") + "-k1")
			if !ok || old.Have != incident.StateOpen {
				t.Errorf("what the old key holds is forgotten: %+v", old)
			}
		})
	}
}

// Such a page may have joined what a person has acknowledged: it is paged once more.
func TestRefusedResolveOfTheEpochBeforeIsSentOnceMore(t *testing.T) {
	for _, tc := range []struct {
		name  string
		again incident.OutcomeKind
		then  []incident.Action
	}{
		{"accepted then", incident.OutcomeAccepted, []incident.Action{incident.Resolve, incident.Trigger}},
		{"refused for good", incident.OutcomeRefused, []incident.Action{incident.Resolve}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := open(t, quickDir(t), incident.Policy{})
				defer s.stop()
				id := incident.ID("infra", "k")
				s.observe(alert{fp: "a", key: "k", shared: true})
				s.accept("k")
				s.observe(alert{fp: "a", key: "k", shared: true, resolved: true, ends: time.Minute})
				s.once(id, incident.OutcomeRefused)
				s.observe(alert{fp: "a", key: "k", shared: true, starts: 2 * time.Minute})
				s.once(id, incident.OutcomeRefused)
				wantActions(t, s.accept("k"), incident.Trigger)
				time.Sleep(59 * time.Second) // virtual time.
				wantActions(t, s.accept("k"))
				time.Sleep(time.Second)
				wantActions(t, s.drive(id, tc.again), tc.then...)
				time.Sleep(time.Hour)
				wantActions(t, s.accept("k"))
				s.observe(alert{fp: "b", key: "k", shared: true}) // whatever became of that, this one is paged.
				wantActions(t, s.accept("k"), incident.Trigger)
				time.Sleep(time.Hour)
				wantActions(t, s.accept("k"))
			})
		})
	}
}

// Nothing is, if the next resolve was accepted before any page.
func TestRefusedResolveThatIsMadeUpForPlansNothing(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	id := incident.ID("infra", "a")
	s.observe(alert{fp: "a"})
	s.accept("a")
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute}, alert{fp: "a", starts: 2 * time.Minute})
	s.once(id, incident.OutcomeRefused)
	s.observe(alert{fp: "a", starts: 2 * time.Minute, resolved: true, ends: 3 * time.Minute}, alert{fp: "a", starts: 4 * time.Minute})
	wantActions(t, s.accept("a"), incident.Resolve, incident.Trigger)
	if echo := s.get("a").FollowUp(); echo != nil {
		t.Errorf("%s is planned: %s", echo.FollowUp, echo.Reason)
	}
}

// It does not follow the page to a new routing key, where nothing was refused.
func TestRefusedResolveUnderTheOldKeyPlansNothingUnderTheNew(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.accept("a")
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	s.observe(alert{fp: "a", starts: 2 * time.Minute})
	s.say("a", sending(incident.Resolve), "k1", incident.OutcomeRefused)
	s.say("a", sending(incident.Trigger), "k2", incident.OutcomeAccepted)
	if echo := s.get("a").FollowUp(); echo != nil {
		t.Errorf("%s is planned: %s", echo.FollowUp, echo.Reason)
	}
}

// A planned repeat that PagerDuty throttled, or that never left, is still due.
func TestEchoThatWasNotTakenIsStillDue(t *testing.T) {
	for _, kind := range []incident.OutcomeKind{incident.OutcomeThrottled, incident.OutcomeUnsent} {
		t.Run("resolve "+string(kind), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := open(t, quickDir(t), incident.Policy{})
				defer s.stop()
				id := incident.ID("infra", "a")
				s.observe(alert{fp: "a"})
				s.drive(id, incident.OutcomeUnknown) // the trigger can still land.
				s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
				wantActions(t, s.accept("a"), incident.Resolve)
				time.Sleep(time.Minute)
				s.once(id, kind)
				time.Sleep(time.Minute)
				wantActions(t, s.accept("a"), incident.Resolve)
			})
		})
		t.Run("trigger "+string(kind), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := open(t, quickDir(t), incident.Policy{})
				defer s.stop()
				id := incident.ID("infra", "a")
				s.observe(alert{fp: "a"})
				s.accept("a")
				s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
				s.drive(id, incident.OutcomeUnknown) // the resolve can still land.
				s.observe(alert{fp: "a", starts: 2 * time.Minute})
				time.Sleep(time.Second)
				wantActions(t, s.accept("a"), incident.Resolve, incident.Trigger)
				time.Sleep(time.Minute)
				s.once(id, kind)
				time.Sleep(time.Minute)
				wantActions(t, s.accept("a"), incident.Trigger)
			})
		})
	}
}

// once sends the one request that Next asks for.
func (r *rig) once(id string, kind incident.OutcomeKind) {
	r.t.Helper()
	in, ok := r.Get(id)
	if !ok {
		r.t.Fatal("the incident is gone")
	}
	d := r.next(in)
	if d.Kind != incident.Send {
		r.t.Fatalf("Next says %+v, want a request", d)
	}
	begun, err := r.Begin(r.t.Context(), id, in.Version, d, "k1")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.Finish(r.t.Context(), id, *begun.Intent, "k1", incident.Outcome{Kind: kind, RetryAt: time.Now().Add(time.Second)}); err != nil {
		r.t.Fatal(err)
	}
}

// Alertmanager's bare key: a less urgent alert that takes over before the resolve
// of the more urgent one was sent does not make that resolve vanish.
func TestBareKeyThatFallsToUrgencyNoneIsStillResolved(t *testing.T) {
	for _, u := range []mapping.Urgency{mapping.None, mapping.Change} {
		t.Run(string(u), func(t *testing.T) {
			s := open(t, t.TempDir(), incident.Policy{})
			s.observe(alert{fp: "a", key: "k", bare: true, shared: true})
			wantActions(t, s.accept("k"), incident.Trigger)
			s.observe( // one webhook.
				alert{fp: "a", key: "k", bare: true, shared: true, resolved: true, ends: time.Minute},
				alert{fp: "b", key: "k", bare: true, shared: true, urgency: u, starts: time.Minute},
			)
			sent := s.accept("k")
			s.observe(alert{fp: "b", key: "k", bare: true, shared: true, urgency: u, resolved: true, starts: time.Minute, ends: 2 * time.Minute})
			sent = append(sent, s.accept("k")...)
			resolved := false
			for _, a := range sent {
				resolved = resolved || a == incident.Resolve
			}
			if _, open := s.Get(incident.ID("infra", "k")); !resolved && !open {
				t.Errorf("sent %v, and the incident was forgotten although PagerDuty holds it open", sent)
			}
		})
	}
}

// A configuration that is changed and changed back within a minute loses no alert.
func TestMovedAndMovedBackAtOnce(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	const long = -1000 * 24 * time.Hour // before now, whenever that is.
	a, b := alert{fp: "a", key: "k", shared: true, starts: long}, alert{fp: "b", key: "k", shared: true, starts: long}
	s.observe(a, b)
	wantActions(t, s.accept("k"), incident.Trigger)
	s.observe(alert{fp: "a", key: "elsewhere", starts: long})
	wantActions(t, s.accept("elsewhere"), incident.Trigger)
	s.accept("k")
	s.observe(a, b) // the change was taken back.
	s.accept("k")
	s.accept("elsewhere")
	for _, in := range s.List() {
		if m := in.Members["a"]; m != nil && m.Firing {
			return
		}
	}
	t.Error("the alert fires and no incident holds it as firing")
}

// A refresh that PagerDuty refuses does not keep the resolve from leaving.
func TestRefusedRefreshDoesNotBlockTheResolve(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := open(t, quickDir(t), incident.Policy{})
		defer s.stop()
		s.observe(alert{fp: "a"})
		s.accept("a")
		time.Sleep(2 * time.Minute)
		s.observe(alert{fp: "a", reason: "repeat interval elapsed"})
		wantActions(t, s.drive(incident.ID("infra", "a"), incident.OutcomeRefused), incident.Trigger, incident.Trigger)
		s.observe(alert{fp: "a", resolved: true, ends: 3 * time.Minute})
		wantActions(t, s.accept("a"), incident.Resolve)
	})
}

// A file that could not be opened at the start, and is opened by the very commit
// that touches one of its incidents: nothing of that incident is lost.
func TestLateOpenedFileKeepsWhatTheFirstCommitTouches(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, incident.Policy{})
	s.observe(alert{fp: "a", key: "k", shared: true}, alert{fp: "b", key: "k", shared: true}) // answered 200, not yet paged.
	s.stop()
	aside := dir + "-aside"
	if err := os.Rename(dir, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the folder should be.
		t.Fatal(err)
	}
	s = open(t, dir, incident.Policy{})
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, dir); err != nil { // the volume is there at last.
		t.Fatal(err)
	}
	s.observe(alert{fp: "a", key: "k", shared: true, resolved: true, ends: time.Minute})
	in, ok := s.Get(incident.ID("infra", "k"))
	if !ok || in.Members["b"] == nil || !in.Members["b"].Firing {
		t.Fatalf("b was answered 200, was never paged, and is gone: %+v", in)
	}
}

// What ended while the file could not be opened does not come back with it.
func TestLateOpenedFileDoesNotBringBackWhatEnded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir, incident.Policy{})
	s.observe(alert{fp: "a"}, alert{fp: "b", key: "k", shared: true}, alert{fp: "c", key: "k", shared: true})
	s.accept("a")
	s.accept("k")
	s.stop()
	aside := dir + "-aside"
	if err := errors.Join(os.Rename(dir, aside), os.WriteFile(dir, nil, 0o600)); err != nil { // a file where the folder should be.
		t.Fatal(err)
	}
	s = open(t, dir, incident.Policy{})
	answer := s.observing(alert{fp: "a", resolved: true, ends: time.Minute})
	s.acceptSoon("a")
	if err := <-answer; err != nil {
		t.Errorf("Observe of an accepted resolve: %v", err)
	}
	if err := errors.Join(os.Remove(dir), os.Rename(aside, dir)); err != nil { // the volume is there at last.
		t.Fatal(err)
	}
	s.observe(alert{fp: "d"})
	for s.Direct() {
		s.observe(alert{fp: "d"})
	}
	s.gone("a")
	s = s.reopen()
	s.gone("a")
	s.get("k")
}

// What PagerDuty holds by a file that opens late is resolved, though memory closed
// the incident meanwhile: it had not told PagerDuty, or under another routing key.
func TestLateOpenedFileResolvesWhatWasClosedUntold(t *testing.T) {
	id := incident.ID("infra", "a")
	for _, tc := range []struct {
		name   string
		shared bool
		do     func(r *rig)
	}{
		{"it was not seen firing again", true, func(*rig) {}},
		{"its trigger did not leave", false, func(r *rig) {
			r.observingUntilIn(alert{fp: "a"})
			r.once(id, incident.OutcomeUnsent)
		}},
		{"it was paged under a new key", false, func(r *rig) {
			r.observingUntilIn(alert{fp: "a"})
			r.say("a", sending(incident.Trigger), "k2", incident.OutcomeAccepted)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s := open(t, dir, incident.Policy{})
			s.observe(alert{fp: "a", shared: tc.shared})
			s.accept("a")
			s.stop()
			aside := dir + "-aside"
			if err := errors.Join(os.Rename(dir, aside), os.WriteFile(dir, nil, 0o600)); err != nil { // a file where the folder should be.
				t.Fatal(err)
			}
			s = open(t, dir, incident.Policy{})
			tc.do(s)
			s.observingUntilIn(alert{fp: "a", shared: tc.shared, resolved: true, ends: time.Minute})
			if in := s.get("a"); in.KeyHash == "k2" {
				s.say("a", sending(incident.Resolve), "k2", incident.OutcomeAccepted)
			}
			wantActions(t, s.accept("a"))
			s.gone("a")
			if err := errors.Join(os.Remove(dir), os.Rename(aside, dir)); err != nil { // the volume is there at last.
				t.Fatal(err)
			}
			for s.Direct() {
				s.observe(alert{fp: "n", urgency: mapping.None})
			}
			s = s.reopen()
			wantActions(t, s.accept("a"), incident.Resolve)
			s.gone("a")
		})
	}
}

// observingUntilIn runs Observe beside the test, whatever comes of it, and returns
// once the incident of the alert shows it.
func (r *rig) observingUntilIn(a alert) {
	r.t.Helper()
	_ = r.observing(a)
	for {
		in, ok := r.Get(incident.ID("infra", a.fp))
		if ok && in.Members[a.fp].Firing != a.resolved {
			return
		}
		<-r.Changes()
	}
}

// say sends a request under a routing key, whatever Next says.
func (r *rig) say(key string, d incident.Decision, keyHash string, kind incident.OutcomeKind) {
	r.t.Helper()
	in := r.get(key)
	begun, err := r.Begin(r.t.Context(), in.ID, in.Version, d, keyHash)
	if err != nil {
		r.t.Fatalf("Begin: %v", err)
	}
	if err := r.Finish(r.t.Context(), in.ID, *begun.Intent, keyHash, incident.Outcome{Kind: kind, Message: "no"}); err != nil {
		r.t.Fatalf("Finish: %v", err)
	}
}

// sending is the decision to send something.
func sending(a incident.Action) incident.Decision {
	return incident.Decision{Kind: incident.Send, Action: a}
}

// A file that cannot be compacted, as on a full disk, is used as it is.
func TestFileThatCannotBeCompactedIsUsedAsItIs(t *testing.T) {
	dir := quickDir(t)
	s := open(t, dir, incident.Policy{})
	s.observe(alert{fp: "a"})
	s.stop()
	path := filepath.Join(dir, "outbox.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []func(tx *bolt.Tx) error{
		func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket([]byte("junk"))
			for i := 0; err == nil && i < 80; i++ {
				err = b.Put([]byte(fmt.Sprint(i)), make([]byte, 1<<20))
			}
			return err
		},
		func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("junk")) },
		func(tx *bolt.Tx) error { return nil },
	} {
		if err := db.Update(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(path+".compact/in the way", 0o700); err != nil { // stands in for a disk without room for the copy.
		t.Fatal(err)
	}
	s = open(t, dir, incident.Policy{})
	s.get("a")
	if s.Direct() {
		t.Error("in direct mode although the file takes commits")
	}
}

// One big group does not hold up the commits of everybody else for long.
func TestBigSharedGroupIsTakenInQuickly(t *testing.T) {
	// Some 0.5 s as it is, 2 s on a busy machine with the race detector; work that
	// grows with the square of the group took 10 s and more without it.
	const enough = 8 * time.Second
	s := open(t, quickDir(t), incident.Policy{})
	var obs []mapping.Observation
	for i := range 10_000 {
		obs = append(obs, alert{fp: fmt.Sprintf("%016x", i), key: "k", shared: true}.observation())
	}
	began := time.Now()
	if err := s.Observe(t.Context(), obs); err != nil {
		t.Fatal(err)
	}
	t.Logf("10,000 alerts of one incident: %v", time.Since(began))
	if took := time.Since(began); took > enough {
		t.Errorf("took %v, want less than %v", took, enough)
	}
	for i := range obs {
		obs[i].Alert.Status, obs[i].Alert.EndsAt = mapping.Resolved, t0.Add(time.Minute)
	}
	began = time.Now()
	if err := s.Observe(t.Context(), obs); err != nil {
		t.Fatal(err)
	}
	t.Logf("their ends: %v", time.Since(began))
	if took := time.Since(began); took > enough {
		t.Errorf("took %v, want less than %v", took, enough)
	}
}

// A 200 in direct mode means that PagerDuty has accepted it: also of a late firing
// that is held, on an incident that others keep open.
func TestFullDiskDoesNotAnswerForAHeldFiring(t *testing.T) {
	d := &disk{}
	s := openFailing(t, t.TempDir(), asking(), d.fail)
	s.observe(alert{fp: "a", key: "k", shared: true}, alert{fp: "b", key: "k", shared: true})
	s.accept("k")
	s.observe(alert{fp: "a", key: "k", shared: true, resolved: true, ends: time.Minute})
	d.full.Store(true)
	err := <-s.observing(alert{fp: "a", key: "k", shared: true}) // late: held, and in memory only.
	if in := s.get("k"); err == nil && in.Members["a"].Late != nil && s.Direct() {
		t.Error("answered 200 although the firing is neither on disk nor at PagerDuty")
	}
}

// A disk that neither takes a commit nor refuses it does not stop a page: it leaves
// within seconds, also while the ledger is to be pruned; when the disk answers
// again, all of it is in the file.
func TestHangingDiskDoesNotHoldUpAPage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &hangingDisk{}
		s := openFailing(t, quickDir(t), incident.Policy{}, d.ask)
		defer func() { s.stop() }()
		s.observe(alert{fp: "before"})
		s.accept("before")
		answers := d.hang()
		for i := range 100 { // over the first pruning, a minute after the start.
			a := alert{fp: fmt.Sprint("a", i)}
			began := time.Now()
			answer := s.observing(a)
			s.acceptSoon(a.fp)
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("page %d left after %v, want 3s at most", i, took)
			}
			if err := <-answer; err != nil {
				t.Errorf("Observe of page %d, which PagerDuty has accepted: %v", i, err)
			}
			time.Sleep(time.Second)
		}
		if err := <-s.observing(alert{fp: "b"}); !errors.Is(err, outbox.ErrBusy) {
			t.Errorf("Observe of a page that PagerDuty has not accepted: %v, want ErrBusy", err)
		}
		// A reader would wait for the lock under which bbolt writes its meta page.
		if err := s.Ledger(func(*incident.Incident) bool { return true }); err == nil {
			t.Error("the file is read while the disk hangs")
		}
		close(answers)
		time.Sleep(2 * time.Second) // no further webhook comes.
		if s.Direct() {
			t.Error("still in direct mode although the disk answers")
		}
		s = s.reopen()
		for i := range 100 {
			if in := s.get(fmt.Sprint("a", i)); in.Have != incident.StateOpen {
				t.Errorf("have of a%d is %s, want open", i, in.Have)
			}
		}
		s.get("b")
	})
}

// A disk that hangs when what is mapped of the file is read, before a commit has found
// out, does not hold up a page any longer than one that hangs in a commit.
func TestHangingReadDoesNotHoldUpAPage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &hangingDisk{}
		s := openOn(t, quickDir(t), incident.Policy{}, outbox.Config{}, func(s *outbox.Store) { s.BeforeReads(func() { _ = d.ask() }) })
		defer func() { s.stop() }()
		s.observe(alert{fp: "over"})
		s.accept("over")
		s.observe(alert{fp: "over", resolved: true, ends: time.Minute})
		answers := d.hang()
		s.accept("over") // what was remembered of it before is read as it closes.
		s.gone("over")
		for i := range 3 {
			a := alert{fp: fmt.Sprint("a", i)}
			began := time.Now()
			answer := s.observing(a, alert{fp: fmt.Sprint("other", i), urgency: mapping.None})
			s.acceptSoon(a.fp)
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("page %d left after %v, want 3s at most", i, took)
			}
			if err := <-answer; err != nil {
				t.Errorf("Observe of page %d, which PagerDuty has accepted: %v", i, err)
			}
		}
		if !s.Direct() {
			t.Error("not in direct mode although the disk hangs")
		}
		close(answers)
		time.Sleep(2 * time.Second) // no further webhook comes.
		if s.Direct() {
			t.Error("still in direct mode although the disk answers")
		}
		s = s.reopen()
		s.get("a0")
		s.gone("over")
		s.observe(alert{fp: "over", from: "http://am-2"}) // a late duplicate is known by what was stored.
		s.gone("over")
	})
}

// One who reads the ledger and does not come to an end does not keep the outbox from
// ending.
func TestReaderDoesNotKeepTheFileFromBeingClosed(t *testing.T) {
	s := open(t, quickDir(t), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.accept("a")
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	s.accept("a")
	reading, read, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.Ledger(func(*incident.Incident) bool { close(reading); <-read; return false })
	}()
	<-reading
	s.stop()
	close(read)
	if err := <-done; err != nil {
		t.Errorf("Ledger: %v", err)
	}
}

// hangingDisk may keep a commit waiting, in the middle of it.
type hangingDisk struct{ answers atomic.Pointer[chan struct{}] }

func (d *hangingDisk) ask() error {
	if c := d.answers.Load(); c != nil {
		<-*c
	}
	return nil
}

// hang has it keep all waiting until what it returns is closed.
func (d *hangingDisk) hang() chan struct{} {
	c := make(chan struct{})
	d.answers.Store(&c)
	return c
}

// A request that timed out can land in what fires after the incident was closed and
// forgotten: that page is sent once more.
func TestWhatCanStillLandOutlivesItsIncident(t *testing.T) {
	id := incident.ID("infra", "a")
	answer := func(s *rig, action incident.Action, kind incident.OutcomeKind) {
		t.Helper()
		begun, err := s.Begin(t.Context(), id, s.get("a").Version, incident.Decision{Kind: incident.Send, Action: action}, "k1")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Finish(t.Context(), id, *begun.Intent, "k1", incident.Outcome{Kind: kind}); err != nil {
			t.Fatal(err)
		}
	}
	for action, want := range map[incident.Action]incident.Action{
		incident.Resolve:     incident.Trigger,
		incident.Acknowledge: incident.Resolve, // and then the page: an acknowledged one is not heard of.
	} {
		for between, told := range map[string]func(s *rig){
			"nothing between": func(*rig) {},
			"the end of an episode between that another sidecar had": func(s *rig) {
				s.observe(alert{fp: "a", starts: 80 * time.Second, resolved: true, ends: 90 * time.Second})
				wantActions(s.t, s.accept("a"), incident.Resolve)
				s.gone("a")
			},
		} {
			t.Run(string(action)+", "+between, func(t *testing.T) {
				s := open(t, t.TempDir(), incident.Policy{})
				s.observe(alert{fp: "a"})
				s.accept("a")
				if action == incident.Acknowledge {
					mute := incident.Muting{Fingerprint: "a", LastSeen: s.get("a").Members["a"].LastSeen, Mute: &incident.Mute{By: "silence", Do: incident.MuteAcknowledge}}
					if _, err := s.Mute(t.Context(), []incident.Muting{mute}); err != nil {
						t.Fatal(err)
					}
					answer(s, incident.Acknowledge, incident.OutcomeUnknown)
				}
				s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
				if action == incident.Resolve {
					answer(s, incident.Resolve, incident.OutcomeUnknown)
				}
				answer(s, incident.Resolve, incident.OutcomeAccepted)
				s.accept("a")
				s.gone("a")
				s = s.reopen()
				told(s)
				s.observe(alert{fp: "a", starts: 2 * time.Minute})
				wantActions(t, s.accept("a"), incident.Trigger)
				if in := s.get("a"); in.FollowUp() == nil || in.FollowUp().FollowUp != want {
					t.Errorf("echo is %+v, want a %s", in.FollowUp(), want)
				}
			})
		}
	}
}

// A page that nobody heard waits for a resolve that is to make way for it: it leaves
// also where PagerDuty refuses that.
func TestRefusedResolveAfterAHoleDoesNotBlockThePage(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	step := func(state incident.CoverageState, kind incident.OutcomeKind) incident.Action {
		t.Helper()
		in := s.get("a")
		ev := evidence()
		ev.Coverage = incident.Coverage{State: state}
		d := incident.Next(in, ev, s.Policy(), time.Now())
		if d.Kind != incident.Send {
			t.Fatalf("got %v, want something sent: %s", d, in.Status())
		}
		b, err := s.Begin(t.Context(), in.ID, in.Version, d, "k1")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Finish(t.Context(), in.ID, *b.Intent, "k1", incident.Outcome{Kind: kind}); err != nil {
			t.Fatal(err)
		}
		return d.Action
	}
	got := []incident.Action{
		step(incident.CoverageUncovered, incident.OutcomeAccepted),
		step(incident.CoverageFull, incident.OutcomeRefused), // the resolve.
		step(incident.CoverageFull, incident.OutcomeAccepted),
	}
	wantActions(t, got, incident.Trigger, incident.Resolve, incident.Trigger)
}

// What was over before it was sent has changed nothing at PagerDuty: the resolve
// before it is still the one that a window swallowed.
func TestUnresolveLooksBehindWhatWasNeverSent(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	since := time.Now()
	s.observe(alert{fp: "a"})
	s.accept("a")
	s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	s.accept("a")
	s.gone("a")
	s.observe(alert{fp: "a", starts: 2 * time.Minute})
	s.once(incident.ID("infra", "a"), incident.OutcomeUnsent)
	s.observe(alert{fp: "a", starts: 2 * time.Minute, resolved: true, ends: 3 * time.Minute})
	wantActions(t, s.accept("a"))
	s.gone("a")
	n, err := s.ReopenResolved(t.Context(), "infra", since, incident.Uncovered{Reason: "maintenance"})
	if n != 1 || err != nil {
		t.Errorf("%d came back, %v; want 1", n, err)
	}
}
