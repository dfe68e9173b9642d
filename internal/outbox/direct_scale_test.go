package outbox_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

// While the disk is full, page after page goes out and is answered; once there is
// room, all of them are in the file.
func TestPagesGoOutWhileTheDiskIsFull(t *testing.T) {
	const pages = 300
	d := &disk{}
	s := openFailing(t, t.TempDir(), incident.Policy{}, d.fail)
	s.observe(alert{fp: "before"})
	d.full.Store(true)
	for i := range pages {
		a := alert{fp: fmt.Sprint("a", i)}
		answer := s.observing(a)
		s.acceptSoon(a.fp)
		if err := <-answer; err != nil {
			t.Fatalf("page %d: %v", i, err)
		}
	}
	if !s.Direct() {
		t.Error("the disk takes no commit, and this is not direct mode")
	}
	d.full.Store(false)
	for s.Direct() {
		s.observe(alert{fp: "after"})
	}
	s = s.reopen()
	if got := len(s.List()); got != pages+2 {
		t.Errorf("%d incidents after reopening, want %d", got, pages+2)
	}
	t.Logf("%d pages with a full disk: all accepted by PagerDuty before they were answered, all stored afterwards", pages)
}

// many are the alerts of a big webhook that asks PagerDuty for nothing.
func many(n int) []alert {
	var alerts []alert
	for i := range n {
		alerts = append(alerts, alert{fp: fmt.Sprint("many", i), urgency: mapping.None})
	}
	return alerts
}

// What a page costs while the disk is full does not grow with what only memory knows:
// that is written now and then, beside the pages. Counted is what is encoded.
func TestCommitInDirectModeDoesNotGrowWithTheTable(t *testing.T) {
	const pages = 100
	work := func(t *testing.T, unsaved int) int64 {
		var encoded atomic.Int64
		bubble.Test(t, func(t *testing.T) {
			d := &disk{}
			s := openOn(t, quickDir(t), incident.Policy{}, outbox.Config{}, func(s *outbox.Store) {
				s.FailCommits(d.fail)
				s.BeforeEncodes(func() { encoded.Add(1) })
			})
			d.full.Store(true)
			s.observe(many(unsaved)...)
			began := time.Now()
			encoded.Store(0)
			for i := range pages {
				s.paged(alert{fp: fmt.Sprint("page", i)})
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("%d pages took %v", pages, took)
			}
			synctest.Wait()
			tries := encoded.Load()
			d.full.Store(false)
			time.Sleep(time.Minute) // no further webhook comes.
			if s.Direct() {
				t.Error("still in direct mode although the disk takes commits")
			}
			encoded.Store(0)
			s.observe(alert{fp: "after"})
			if got := encoded.Load(); got != 1 {
				t.Errorf("%d records are encoded for one alert afterwards, want 1", got)
			}
			s = s.reopen()
			if got, want := len(s.List()), unsaved+pages+1; got != want {
				t.Errorf("%d incidents after reopening, want %d", got, want)
			}
			encoded.Store(tries)
			s.stop()
		})
		return encoded.Load()
	}
	for _, unsaved := range []int{2_000, 8_000} {
		got := work(t, unsaved)
		t.Logf("%d pages beside %d incidents that only memory knows: %d records encoded", pages, unsaved, got)
		// No time passes, so that there is one try.
		if limit := int64(unsaved + 10*pages); got > limit {
			t.Errorf("%d records were encoded for %d pages beside %d incidents, want %d at most", got, pages, unsaved, limit)
		}
	}
}

// What changes while much is being written, and has not been seen by that write, is
// not taken for stored; nor is what was seen by one that failed.
func TestWhatChangesWhileMuchIsWritten(t *testing.T) {
	for name, failure := range map[string]error{"and is written": nil, "and is not": errors.New("input/output error")} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				d := &disk{}
				slow := &hangingDisk{}
				var fail atomic.Bool
				s := openOn(t, quickDir(t), incident.Policy{}, outbox.Config{}, func(s *outbox.Store) {
					s.FailCommits(func() error {
						if err := d.fail(); err != nil {
							return err
						}
						_ = slow.ask()
						if fail.Swap(false) {
							return failure
						}
						return nil
					})
				})
				s.observe(alert{fp: "ends"}, alert{fp: "stays"})
				s.accept("ends")
				s.accept("stays")
				d.full.Store(true)
				s.observe(many(2_000)...)
				for _, a := range many(600) { // closed before the write that is to succeed; more than a commit would take along.
					a.resolved, a.ends = true, time.Minute
					s.observe(a)
					s.accept(a.fp)
				}
				time.Sleep(time.Second)
				d.full.Store(false)
				goOn := slow.hang()
				fail.Store(failure != nil)
				time.Sleep(time.Minute) // the write has begun, and does not end.
				answer := s.observing(alert{fp: "ends", resolved: true, ends: time.Minute})
				s.acceptSoon("ends")
				if err := <-answer; err != nil {
					t.Errorf("Observe of an accepted resolve: %v", err)
				}
				s.gone("ends")
				s.paged(alert{fp: "new"})
				_ = s.observing(alert{fp: "ends", from: "http://am-2"}) // a late duplicate, by what only memory knows.
				synctest.Wait()
				s.gone("ends")
				if err := <-s.observing(alert{fp: "unpaged"}); !errors.Is(err, outbox.ErrBusy) {
					t.Errorf("Observe of a page that nobody has, while the disk is at work: %v, want ErrBusy", err)
				}
				close(goOn)
				time.Sleep(time.Minute)
				if s.Direct() {
					t.Error("still in direct mode although the disk takes commits")
				}
				s = s.reopen()
				defer s.stop()
				s.gone("ends")
				s.gone("many599")
				s.holds("stays", "new")
				s.get("unpaged")
				s.get("many1999")
				closed := map[string]int{}
				if err := s.Ledger(func(in *incident.Incident) bool { closed[in.DedupKey]++; return true }); err != nil {
					t.Fatal(err)
				}
				if closed["ends"] != 1 || closed["many0"] != 1 || len(closed) != 601 {
					t.Errorf("on the ledger are %d, want 601: ends, and those of many that did", len(closed))
				}
			})
		})
	}
}

// An end while much is only in memory: all of it is written before.
func TestMuchIsWrittenAtTheEnd(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &disk{}
		s := openFailing(t, quickDir(t), incident.Policy{}, d.fail)
		d.full.Store(true)
		s.observe(many(2_000)...)
		s.observe(alert{fp: "n", urgency: mapping.None})
		d.full.Store(false)
		s = s.reopen()
		defer s.stop()
		if got := len(s.List()); got != 2_001 {
			t.Errorf("%d incidents after reopening, want 2001", got)
		}
	})
}

// A commit that the disk takes late, because it is much, is not written again.
func TestLateAnswerIsHeard(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var encoded atomic.Int64
		d := &hangingDisk{}
		s := openOn(t, quickDir(t), incident.Policy{}, outbox.Config{}, func(s *outbox.Store) {
			s.FailCommits(d.ask)
			s.BeforeEncodes(func() { encoded.Add(1) })
		})
		answers := d.hang()
		s.observe(many(2_000)...)
		time.Sleep(time.Second)
		if !s.Direct() {
			t.Error("not in direct mode although the disk hangs")
		}
		s.observe(alert{fp: "meanwhile", urgency: mapping.None})
		close(answers)
		time.Sleep(2 * time.Second) // no further webhook comes.
		if s.Direct() {
			t.Error("still in direct mode although the disk has taken it")
		}
		if got := encoded.Load(); got != 2_001 {
			t.Errorf("%d records were encoded, want each of 2001 once", got)
		}
		s = s.reopen()
		defer s.stop()
		if got := len(s.List()); got != 2_001 {
			t.Errorf("%d incidents after reopening, want 2001", got)
		}
	})
}
