package model_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

// life is pagerelay from a start to a kill. What it does after that is seen by
// nobody, and the next one finds the file as it was at the kill.
//
// A kill falls between two commits: before one, when all that followed from those
// before it has been seen, or after one, when nothing that follows from it has.
type life struct {
	*world
	file   string
	killed chan struct{}

	mu    sync.Mutex
	cut   time.Time // of the kill.
	kept  bool      // the file is.
	left  int       // commits until the kill, that one included; 0: none is planned.
	after bool
}

var errKilled = errors.New("killed")

func newLife(w *world) *life {
	return &life{world: w, file: filepath.Join(w.dir, "outbox.db"), killed: make(chan struct{})}
}

// killIn plans a kill before or after the nth commit from now.
func (l *life) killIn(n int, after bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left, l.after = n, after
}

// committing is called before each commit, while nothing is written.
func (l *life) committing() {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.over():
		l.keep()
	case l.left == 1 && !l.after:
		l.keep()
		l.end()
	case l.left == 1:
		l.end() // this one is made, and seen by nobody: the file is kept before the next.
	case l.left > 1:
		l.left--
	}
}

// kill ends it now, with the file as it is if no kill came before. Nothing may be
// under way in the outbox.
func (l *life) kill() (cut time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep()
	if !l.over() {
		l.end()
	}
	return l.cut
}

func (l *life) end() {
	l.cut = time.Now()
	close(l.killed)
}

func (l *life) over() bool {
	select {
	case <-l.killed:
		return true
	default:
		return false
	}
}

// keep copies the file.
func (l *life) keep() {
	if l.kept {
		return
	}
	l.kept = true
	b, err := os.ReadFile(l.file)
	if err == nil {
		err = os.WriteFile(l.file+".kept", b, 0o600)
	}
	if err != nil {
		panic(err)
	}
}

// Enqueue sends to PagerDuty, if it is alive. Else the next one may find that the
// request was about to leave.
func (l *life) Enqueue(ctx context.Context, region string, e *pagerduty.Event) error {
	if l.over() {
		l.checkTwice(e, l.incident(e))(errKilled)
		return errKilled
	}
	return l.world.Enqueue(ctx, region, e)
}

// EnqueueChange sends a change event, if it is alive.
func (l *life) EnqueueChange(ctx context.Context, region string, e *pagerduty.ChangeEvent) error {
	if l.over() {
		return errKilled
	}
	return l.world.EnqueueChange(ctx, region, e)
}

// Ask asks Alertmanager, if it is alive.
func (l *life) Ask(ctx context.Context, q incident.Question, in *incident.Incident) (incident.Verdict, string) {
	if l.over() {
		l.world.mu.Lock()
		defer l.world.mu.Unlock()
		l.mayAdmit(q, in)
		return incident.VerdictUncertain, "killed"
	}
	return l.world.Ask(ctx, q, in)
}

// Survey reads Alertmanager's lists, if it is alive.
func (l *life) Survey(ctx context.Context, each func(int, *alertmanager.Listing) error) (alertmanager.Standing, error) {
	if l.over() {
		return alertmanager.Standing{}, errKilled
	}
	return l.world.Survey(ctx, each)
}

// crash kills pagerelay and starts it; the audit looks after a while.
func (w *world) crash(audited time.Duration) {
	synctest.Wait() // nothing is under way in the outbox.
	w.disturb()
	cut := w.life.kill()
	w.stop()
	w.mu.Lock()
	w.twice.killed(cut, time.Now())
	w.mu.Unlock()
	if err := os.Rename(w.life.file+".kept", w.life.file); err != nil {
		panic(err)
	}
	w.forgetAudit(audited)
	w.begins()
}

// crashInCommit kills pagerelay before or after one of the next commits: of those
// that come of an alert that begins or ends, or of whatever pagerelay stores by
// itself (a look at Alertmanager's list, what is sent once more after a minute, a
// digest of what was missed).
func (w *world) crashInCommit(s step) {
	w.life.killIn(s.N, s.Delay/time.Second%2 == 0)
	told, within := make(chan struct{}), 20*time.Second
	if s.Group {
		within = 3 * time.Minute
		close(told)
	} else {
		go func() {
			defer close(told)
			w.toggle(s)
		}()
	}
	select {
	case <-w.life.killed:
	case <-time.After(within): // there were not so many.
	}
	w.crash(s.Delay)
	<-told
}
