package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/promslog"
	bolt "go.etcd.io/bbolt"

	"github.com/pagerelay/pagerelay/mapping"
)

// Errors that callers tell apart.
var (
	// ErrBusy: the store cannot take the observation now; it is not stored.
	ErrBusy = errors.New("outbox is busy")
	// ErrClosed: the store is shutting down; the observation is not stored.
	ErrClosed = errors.New("outbox is closed")
	// ErrChanged: the incident is not what the caller decided upon; decide again.
	ErrChanged = errors.New("incident has changed")
	// ErrNotFound: there is no such incident.
	ErrNotFound = errors.New("no such incident")
)

// Config is what a Store may be told. Its zero value works.
type Config struct {
	// Retention is how long the ledger keeps resolved incidents. Default 15 days.
	Retention time.Duration
	// MaxQueue is how many commits may wait; over it Observe answers ErrBusy. Default 4096.
	MaxQueue   int
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Now is the wall clock, by which everything that is stored is dated. Default time.Now.
	Now func() time.Time
}

const (
	defaultRetention = 15 * 24 * time.Hour
	defaultQueue     = 4096
	tombstoneFor     = 7 * 24 * time.Hour // a late trigger is recognised this long.
	pruneFirst       = time.Minute        // after the start.
	pruneEvery       = time.Hour
	maxBatch         = 512 // operations in one transaction.
)

// Store is the outbox. Its methods are safe for concurrent use. Run must be
// running for anything that changes it.
type Store struct {
	cfg  Config
	log  *slog.Logger
	met  *metrics
	path string
	db   atomic.Pointer[bolt.DB] // nil while the file cannot be opened; written by the committer.
	// damaged is the name of a file that was moved aside; "" if none was.
	damaged atomic.Pointer[string]

	ops    chan *op
	closed chan struct{} // closed when Run has ended.
	policy atomic.Pointer[Policy]
	// limited are the services that SetLimited names.
	limited atomic.Pointer[map[string]bool]

	// Direct mode, owned by the committer but for the flag: what is in memory only.
	direct  atomic.Bool
	unsaved unsaved
	hanging chan answer // what the disk has not answered yet; nil if it does.
	stalled atomic.Bool // the same for everybody: hanging is not nil.
	// loaded: memory holds all that the file does, and more; an older one is not merged.
	loaded   bool
	took     map[string]struct{} // incidents taken from a file that is to be read again.
	doubted  *bolt.DB            // was in use, and is to be closed.
	unopened error               // why the file could not be opened last, when it was
	tried    time.Time           // tried.
	// failCommit stands in for a disk that fails, in tests.
	failCommit func() error

	mu        sync.RWMutex
	open      map[string]*Incident
	index     map[string][]string // fingerprint -> ids; a superset of the truth.
	published chan struct{}       // closed, and replaced, whenever the two above change.

	changedMu sync.Mutex
	changed   map[string]struct{}
	notify    chan struct{}
}

type op struct {
	apply func(tx *transaction) error
	done  chan error
	// patient: it goes along with the next commit, and has one of its own only
	// when none comes. It is applied in its turn all the same.
	patient bool
}

// errDirect: the change is made, but only in memory.
var errDirect = errors.New("the disk does not take the commit")

// SetPolicy replaces the policy that observations are taken in by.
func (s *Store) SetPolicy(p Policy) { s.policy.Store(&p) }

// Policy returns what SetPolicy set.
func (s *Store) Policy() Policy { return *s.policy.Load() }

// Observe takes in the observations of one webhook. It returns nil only when all
// of them are committed to disk (fsync) or, in direct mode, when PagerDuty holds
// what they ask for. After any error they must be sent again.
func (s *Store) Observe(ctx context.Context, obs []mapping.Observation) error {
	err := s.do(ctx, false, &op{apply: func(tx *transaction) error {
		observe(tx, obs, s.Policy(), tx.now)
		return nil
	}})
	if errors.Is(err, errDirect) {
		return s.awaitPagerDuty(ctx, obs)
	}
	return err
}

// change runs an operation that is good enough in memory: what PagerDuty has
// been told is better known there than not at all.
func (s *Store) change(ctx context.Context, apply func(*transaction) error) error {
	return s.changeBy(ctx, &op{apply: apply})
}

func (s *Store) changeBy(ctx context.Context, o *op) error {
	if err := s.do(ctx, true, o); !errors.Is(err, errDirect) {
		return err
	}
	return nil
}

// Begin commits the intent of a request that Next decided upon for the given
// version of an incident, and returns that version with its intent. ErrChanged
// means that the request must not leave. A disk that takes no commit is no error:
// the request leaves all the same.
func (s *Store) Begin(ctx context.Context, id string, version uint64, d Decision, keyHash string) (*Incident, error) {
	var begun *Incident
	err := s.change(ctx, func(tx *transaction) error {
		in := tx.incident(id)
		if in == nil || in.Version != version || in.Intent != nil {
			return ErrChanged
		}
		in = tx.edit(id)
		if d.Action == Trigger && in.KeyHash != "" && in.KeyHash != keyHash && (in.Have != StateClosed || in.triggerCanLand(tx.now)) {
			part(tx, in, tx.now)
		}
		if d.Action == Trigger {
			absorb(tx, in, keyHash)
		}
		in.started(d, keyHash, tx.now)
		// A copy: later operations of the same commit edit the same value, and what
		// is sent must be what was decided upon.
		begun = in.clone()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return begun, nil
}

// Finish commits what became of the request in flight. sent is that request; it
// stands in where its intent could not be stored before it left.
func (s *Store) Finish(ctx context.Context, id string, sent Intent, keyHash string, o Outcome) error {
	return s.change(ctx, func(tx *transaction) error {
		in := tx.edit(id)
		if in == nil {
			return ErrNotFound
		}
		if in.Intent == nil {
			in.Intent, in.KeyHash, in.Attempted = &sent, keyHash, true
		}
		in.finished(o, tx.now)
		leaveMoved(tx, in, tx.now)
		return nil
	})
}

// Perform applies a step that Next decided upon for the given version. For
// StepFallback, fallback is the service that gets the copy.
func (s *Store) Perform(ctx context.Context, id string, version uint64, d Decision, fallback string) error {
	return s.change(ctx, func(tx *transaction) error {
		in := tx.incident(id)
		if in == nil || in.Version != version {
			return ErrChanged
		}
		switch d.Step {
		case StepForget:
			in = tx.edit(id)
			tx.archive(in, d.Reason)
		case StepFallback:
			copyTo(tx, tx.edit(id), fallback, d.Reason, tx.now)
		case StepDrop:
			in = tx.edit(id)
			perform(tx, in, d, s.Policy(), tx.now)
			tx.archive(in, d.Reason)
		case StepAdmit, StepDismiss, StepSupersede, StepExpire, StepBlock, StepUnheard, StepHeard:
			in = tx.edit(id)
			perform(tx, in, d, s.Policy(), tx.now)
			leaveMoved(tx, in, tx.now)
		}
		return nil
	})
}

// Owe marks high-urgency incidents whose present episode waits for nothing but
// the rate limit: they are paged even if they end meanwhile.
func (s *Store) Owe(ctx context.Context, ids []string) error {
	// In a storm every page would else cost two commits. Only a resolve needs the
	// mark, and that is applied and committed after it.
	return s.changeBy(ctx, &op{patient: true, apply: func(tx *transaction) error {
		for _, id := range ids {
			if in := tx.incident(id); in != nil && in.Urgency == mapping.High && in.firing() > 0 && in.Owed < in.Revision {
				tx.edit(id).owe(tx.now)
			}
		}
		return nil
	}})
}

// SetLimited says for which services a high page waits for nothing but the rate
// limit now: those taken in meanwhile are owed from the start, which spares each
// the commit of a mark of its own.
func (s *Store) SetLimited(services map[string]bool) { s.limited.Store(&services) }

// Retry lifts what blocks an incident, and its backoff.
func (s *Store) Retry(ctx context.Context, id string) error {
	return s.change(ctx, func(tx *transaction) error {
		in := tx.edit(id)
		if in == nil {
			return ErrNotFound
		}
		in.retry("asked for", tx.now)
		return nil
	})
}

// RetryBlocked does what Retry does for every blocked incident, as after a reload.
func (s *Store) RetryBlocked(ctx context.Context, reason string) (int, error) {
	n := 0
	err := s.change(ctx, func(tx *transaction) error {
		for _, in := range s.List() {
			if in.Blocked != nil || in.KeyFault != "" {
				if in = tx.edit(in.ID); in != nil {
					in.retry(reason, tx.now)
					n++
				}
			}
		}
		return nil
	})
	return n, err
}

func (in *Incident) retry(reason string, now time.Time) {
	in.Blocked, in.KeyFault, in.Minimal = nil, "", false
	in.Attempts, in.NotBefore = 0, time.Time{}
	in.note(now, "retry", reason)
	in.settle(now)
}

// Drop moves an incident into the ledger without telling PagerDuty anything more.
func (s *Store) Drop(ctx context.Context, id, reason string) error {
	return s.change(ctx, func(tx *transaction) error {
		in := tx.edit(id)
		switch {
		case in == nil:
			return ErrNotFound
		case in.Intent != nil:
			return fmt.Errorf("drop incident: a request is in flight: %w", ErrChanged)
		}
		in.note(tx.now, "dropped", reason)
		tx.archive(in, "dropped")
		return nil
	})
}

// Get returns an open incident.
func (s *Store) Get(id string) (*Incident, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	in, ok := s.open[id]
	return in, ok
}

// List returns the open incidents, in no order.
func (s *Store) List() []*Incident {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Values(s.open))
}

// Changes is written to when incidents have changed; Changed takes their ids.
func (s *Store) Changes() <-chan struct{} { return s.notify }

// Changed returns the ids of the incidents that have changed since the last call.
func (s *Store) Changed() []string {
	s.changedMu.Lock()
	defer s.changedMu.Unlock()
	ids := slices.Collect(maps.Keys(s.changed))
	clear(s.changed)
	return ids
}

// do runs an operation in a transaction. wait: the caller would rather wait for
// room in the queue than be refused.
func (s *Store) do(ctx context.Context, wait bool, o *op) error {
	o.done = make(chan error, 1)
	if wait {
		select {
		case s.ops <- o:
		case <-s.closed:
			return ErrClosed
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	} else {
		select {
		case s.ops <- o:
		default:
			return ErrBusy
		}
	}
	// Once queued, the outcome is awaited even if the caller has gone: it is
	// bounded by one commit, and only then can it be told what became of it.
	select {
	case err := <-o.done:
		return err
	case <-s.closed:
		select {
		case err := <-o.done:
			return err
		default:
			return ErrClosed
		}
	}
}

func nopLogger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return promslog.NewNopLogger()
	}
	return l
}
