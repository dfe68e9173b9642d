package outbox_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/internal/outbox"
)

// A resolve whose trigger is on its way is known to nobody but memory: after a kill that
// trigger would be all that PagerDuty has heard.
func TestResolveIsNotAnsweredWhileItsTriggerIsOnItsWay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &disk{}
		s := openFailing(t, quickDir(t), incident.Policy{}, d.fail)
		defer s.stop()
		s.observe(alert{fp: "a"})
		d.full.Store(true)
		in := s.get("a")
		if _, err := s.Begin(t.Context(), in.ID, in.Version, s.next(in), "k1"); err != nil {
			t.Fatal(err)
		}
		if err := <-s.observing(alert{fp: "a", resolved: true, ends: time.Minute}); !errors.Is(err, outbox.ErrBusy) {
			t.Errorf("Observe of a resolve while its trigger is in flight: %v, want ErrBusy", err)
		}
	})
}

// A disk that is slow, and changes that never cease: what only memory knows is written
// all the same, and direct mode ends.
func TestDirectModeEndsThoughMuchChangesAllTheTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &disk{}
		s := openFailing(t, quickDir(t), incident.Policy{}, func() error {
			if err := d.fail(); err != nil {
				return err
			}
			time.Sleep(time.Second)
			return nil
		})
		defer s.stop()
		alerts := many(600)
		work := func() {
			s.observe(alerts...)
			time.Sleep(200 * time.Millisecond)
		}
		work()
		if s.Direct() {
			t.Fatal("in direct mode although the disk takes commits in time")
		}
		d.full.Store(true)
		work()
		d.full.Store(false)
		for began := time.Now(); s.Direct(); work() {
			if took := time.Since(began); took > time.Minute {
				t.Fatalf("in direct mode %v after the disk takes commits again", took)
			}
		}
	})
}

// A disk that answers each question just in time keeps a page waiting for as long as
// one that hangs, and no longer.
func TestSlowReadsDoNotHoldUpAPage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		s := openOn(t, quickDir(t), incident.Policy{}, outbox.Config{}, func(s *outbox.Store) {
			s.BeforeReads(func() {
				if slow.Load() {
					time.Sleep(1900 * time.Millisecond)
				}
			})
		})
		defer s.stop()
		slow.Store(true)
		answer := s.observing(many(300)...)
		time.Sleep(time.Millisecond)
		began := time.Now()
		page := s.observing(alert{fp: "page"})
		for {
			if _, ok := s.Get(incident.ID("infra", "page")); ok {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("delivery sees a page after %v, want 10s at most", took)
		}
		if err := <-answer; err != nil && !errors.Is(err, outbox.ErrBusy) {
			t.Errorf("Observe of many alerts: %v", err)
		}
		s.acceptSoon("page")
		if err := <-page; err != nil {
			t.Errorf("Observe of a page: %v", err)
		}
	})
}

// What an older file knows of firings that nobody was told of is told with what
// memory knows.
func TestLateOpenedFileKeepsWhatIsToBeTold(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		dir := filepath.Join(quickDir(t), "data")
		s := open(t, dir, incident.Policy{})
		told := func() (n int) {
			for _, in := range s.List() {
				if in.Digest != nil {
					n += in.Digest.Count
				}
			}
			return n
		}
		for i := range 5 {
			fp := fmt.Sprint("m", i)
			s.observe(alert{fp: fp})
			s.observe(alert{fp: fp, resolved: true, ends: time.Minute})
			s.accept(fp)
		}
		s.observe(alert{fp: "z"}) // it waits, and will be over before the file is open.
		if n := told(); n != 5 {
			t.Fatalf("%d firings are to be told, want 5", n)
		}
		s.stop()
		if err := errors.Join(os.Rename(dir, dir+".away"), os.WriteFile(dir, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir, incident.Policy{})
		defer func() { s.stop() }()
		s.observing(alert{fp: "n"})
		time.Sleep(time.Second)
		s.observing(alert{fp: "n", resolved: true, ends: time.Minute}, alert{fp: "z", resolved: true, ends: time.Minute})
		time.Sleep(time.Second)
		s.accept("n")
		memory := told()
		if err := errors.Join(os.Remove(dir), os.Rename(dir+".away", dir)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s.Direct() {
			t.Fatal("still in direct mode")
		}
		if memory != 1 || told() < 6 {
			t.Errorf("%d firings are to be told, %d of them known to memory; want 6 and 1", told(), memory)
		}
	})
}

// To prune takes longer than the disk is given, and nothing comes in after it: the
// ledger can be read as soon as the disk has answered.
func TestSlowPruneDoesNotCloseTheLedger(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		began := time.Now()
		s := openFailing(t, quickDir(t), incident.Policy{}, func() error {
			if since := time.Since(began); since > 30*time.Second && since < 2*time.Minute {
				time.Sleep(3 * time.Second)
			}
			return nil
		})
		defer s.stop()
		s.observe(alert{fp: "a"})
		time.Sleep(time.Hour - time.Second)
		if err := s.Ledger(func(*incident.Incident) bool { return true }); err != nil {
			t.Errorf("Ledger: %v, want none 59 minutes after the prune", err)
		}
	})
}

// What can still land is remembered while the disk is too busy to be asked for it.
func TestWhatCanStillLandIsKnownWhileMuchIsWritten(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		slow, d := &hangingDisk{}, &disk{}
		s := openFailing(t, quickDir(t), incident.Policy{}, func() error {
			if err := d.fail(); err != nil {
				return err
			}
			return slow.ask()
		})
		s.observe(alert{fp: "a"})
		s.accept("a")
		s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
		id := incident.ID("infra", "a")
		s.once(id, incident.OutcomeUnknown) // a resolve that timed out.
		if err := s.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		s.accept("a")
		s.gone("a")
		d.full.Store(true)
		s.observe(many(2_000)...)
		d.full.Store(false)
		goOn := slow.hang() // what only memory knows takes long to be written.
		time.Sleep(30 * time.Second)
		s.observing(alert{fp: "a", starts: 2 * time.Minute})
		time.Sleep(time.Second)
		s.accept("a")
		if s.get("a").FollowUp() == nil {
			t.Error("the resolve that timed out can still land on this page, and nothing repeats it")
		}
		close(goOn)
		s.stop()
	})
}
