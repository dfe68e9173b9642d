package coverage_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// edges is an Auditor that runs over a scene, from eight o'clock on.
type edges struct {
	t       *testing.T
	auditor *coverage.Auditor
	sink    *sink

	mtx    sync.Mutex
	scene  *scene
	reads  []string
	failed error // of the next read.
	panics bool  // whoever judges.
}

func (e *edges) judge(s *coverage.Snapshot, c coverage.Config, now time.Time) coverage.Result {
	e.mtx.Lock()
	defer e.mtx.Unlock()
	if e.panics {
		panic("no such level")
	}
	return coverage.Check(s, c, now)
}

func (e *edges) panic(whether bool) {
	e.mtx.Lock()
	defer e.mtx.Unlock()
	e.panics = whether
}

func (e *edges) Read(context.Context) (*coverage.Snapshot, error) {
	e.mtx.Lock()
	defer e.mtx.Unlock()
	e.reads = append(e.reads, time.Now().UTC().Format("15:04"))
	return e.scene.Snapshot, e.failed
}

// until lets time go by, to a time of the day.
func (e *edges) until(at string) {
	time.Sleep(time.Until(instant("2026-11-23 " + at)))
	synctest.Wait()
}

// audit audits on demand what was changed.
func (e *edges) audit(change func()) {
	e.mtx.Lock()
	change()
	e.mtx.Unlock()
	_, _ = e.auditor.Audit(e.t.Context()) // it fails in some of the cases.
}

// expect compares whether nobody is on call, and when was read.
func (e *edges) expect(what string, nobody bool, reads ...string) {
	e.t.Helper()
	got := slices.ContainsFunc(e.sink.lines(), func(line string) bool { return strings.HasPrefix(line, "policy_nobody_now ") })
	if got != nobody {
		e.t.Errorf("%s: got %q firing, want policy_nobody_now %t", what, e.sink.lines(), nobody)
	}
	e.mtx.Lock()
	defer e.mtx.Unlock()
	if !slices.Equal(e.reads, reads) {
		e.t.Errorf("%s: got read at %q, want %q", what, e.reads, reads)
	}
}

// A gap that begins or ends between two audits is told when it does, and PagerDuty not
// asked; but not by what was read before an audit that failed.
func TestNobodyNowByTheClock(t *testing.T) {
	for _, tc := range []struct {
		name string
		test func(*edges)
	}{
		{"a gap between two audits", func(e *edges) {
			e.expect("before", false, "08:00")
			rest := len(e.sink.lines())
			e.until("09:59")
			e.expect("just before", false, "08:00")
			e.until("10:00:00")
			e.expect("in it", true, "08:00")
			if n := e.auditor.Last().Count(coverage.Critical); n != 4 { // a policy and two schedules have gaps, too.
				e.t.Errorf("got %d critical findings of the last audit, want 4", n)
			}
			e.until("11:29")
			e.expect("at its end", true, "08:00")
			e.until("11:30:00")
			e.expect("after it", false, "08:00")
			if got := e.sink.lines(); len(got) != rest {
				e.t.Errorf("got %q firing, want all else as it was", got)
			}
			e.until("13:59")
			e.expect("in the next", true, "08:00")
		}},
		{"an audit failed since", func(e *edges) {
			e.until("08:10")
			e.audit(func() { e.failed = errors.New("402") })
			e.until("10:30")
			e.expect("in a gap as of before", false, "08:00", "08:10")
		}},
		{"an audit failed in the gap", func(e *edges) {
			e.until("10:30")
			e.audit(func() { e.failed = errors.New("402") })
			e.until("11:31")
			e.expect("after it, as of before", true, "08:00", "10:30")
		}},
		{"an audit on demand that finds another gap", func(e *edges) {
			e.until("08:30")
			e.audit(func() {
				e.scene = gaps("2026-11-23 09:00", "2026-11-23 09:30", "2026-11-23 13:00", "2026-11-23 15:00")
			})
			e.until("09:10")
			e.expect("in it", true, "08:00", "08:30")
			e.until("09:40")
			e.expect("after it", false, "08:00", "08:30")
		}},
		{"who was on call before it and is after it could not be read", func(e *edges) {
			e.until("10:30")
			e.audit(func() {
				w := *e.scene.Snapshot
				w.Unread = []coverage.Unread{{Kind: coverage.KindUser, Reason: "403"}}
				e.scene.Snapshot = &w
			})
			e.until("11:30:30")
			e.expect("after it", true, "08:00", "10:30")
		}},
		{"judging panics", func(e *edges) {
			e.panic(true)
			e.until("10:00:00")
			e.expect("at first", false, "08:00", "10:00")
			e.panic(false)
			e.until("10:01:00")
			e.expect("a minute later", true, "08:00", "10:00", "10:01")
		}},
		{"it cannot be stored", func(e *edges) {
			e.sink.fail(errors.New("outbox is busy"))
			e.until("10:00:00")
			e.expect("at first", false, "08:00", "10:00")
			e.sink.fail(nil)
			e.until("10:01:00")
			e.expect("a minute later", true, "08:00", "10:00", "10:01")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				e := &edges{t: t, sink: &sink{firing: map[string]template.Alert{}}}
				e.scene = gaps("2026-11-23 10:00", "2026-11-23 11:30", "2026-11-23 13:00", "2026-11-23 15:00")
				e.auditor = coverage.NewAuditor(e.sink, coverage.AuditorConfig{Judge: e.judge})
				time.Sleep(time.Until(e.scene.now))
				e.auditor.Apply(coverage.Settings{Config: e.scene.cfg, Source: e, Router: router(t)})
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- e.auditor.Run(ctx) }()
				synctest.Wait()
				tc.test(e)
				cancel()
				if err := <-ended; err != nil {
					t.Errorf("Run: got %v, want no error", err)
				}
			})
		})
	}
}

// gaps is a scene in which nobody is on call at two times.
func gaps(from1, to1, from2, to2 string) *scene {
	w := healthy()
	w.cfg.Policies[0].MinPeople = 1
	for schedule, user := range map[string]string{"PPROD": "UANN", "PLEAD": "UCAT"} {
		w.shifts(schedule, user+" 2026-11-22 08:00/"+from1, user+" "+to1+"/"+from2, user+" "+to2+"/2026-12-07 08:00")
	}
	return w
}
