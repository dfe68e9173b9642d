package outbox_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// counted is a rig that counts its commits.
func counted(t *testing.T) (*rig, *atomic.Int64) {
	t.Helper()
	var commits atomic.Int64
	s := openFailing(t, t.TempDir(), incident.Policy{}, func() error { commits.Add(1); return nil })
	s.observe(alert{fp: "a"})
	commits.Store(0)
	return s, &commits
}

// owe marks the incident, and gives the outcome when it is committed.
func (r *rig) owe() <-chan error {
	done := make(chan error, 1)
	go func() { done <- r.Owe(r.t.Context(), []string{incident.ID("infra", "a")}) }()
	synctest.Wait()
	return done
}

func TestOweSharesTheNextCommit(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, commits := counted(t)
		defer s.stop()
		done := s.owe()
		if got := commits.Load(); got != 0 {
			t.Errorf("got %d commits for a mark alone, want it to wait for another", got)
		}
		s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
		if err := <-done; err != nil {
			t.Errorf("Owe: %v", err)
		}
		if got := commits.Load(); got != 1 {
			t.Errorf("got %d commits for the mark and the resolve, want 1", got)
		}
		wantActions(t, s.accept("a"), incident.Trigger, incident.Resolve) // the mark came first.
	})
}

func TestOweIsSoonCommittedAlone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, commits := counted(t)
		defer s.stop()
		began := time.Now()
		if err := <-s.owe(); err != nil {
			t.Errorf("Owe: %v", err)
		}
		if took := time.Since(began); commits.Load() != 1 || took > 100*time.Millisecond {
			t.Errorf("got %d commits after %v, want 1 within 100ms", commits.Load(), took)
		}
	})
}

func TestOweIsCommittedAtShutdown(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, _ := counted(t)
		done := s.owe()
		s = s.reopen()
		defer s.stop()
		if err := <-done; err != nil {
			t.Errorf("Owe: %v", err)
		}
		if got := s.get("a"); got.Owed != got.Revision {
			t.Errorf("owed is revision %d after a restart, want %d", got.Owed, got.Revision)
		}
	})
}
