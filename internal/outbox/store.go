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
}

const (
	defaultRetention = 15 * 24 * time.Hour
	defaultQueue     = 4096
	tombstoneFor     = 7 * 24 * time.Hour // a late trigger is recognised this long.
	pruneEvery       = time.Hour
	maxBatch         = 512 // operations in one transaction.
)

// Store is the outbox. Its methods are safe for concurrent use. Run must be
// running for anything that changes it.
type Store struct {
	cfg Config
	log *slog.Logger
	db  *bolt.DB
	met *metrics

	ops    chan *op
	closed chan struct{} // closed when Run has ended.
	policy atomic.Pointer[Policy]
	// failing: the last commit was not stored.
	failing atomic.Bool

	mu    sync.RWMutex
	open  map[string]*Incident
	index map[string][]string // fingerprint -> ids; a superset of the truth.

	changedMu sync.Mutex
	changed   map[string]struct{}
	notify    chan struct{}
}

type op struct {
	apply func(tx *transaction) error
	done  chan error
}

// SetPolicy replaces the policy that observations are taken in by.
func (s *Store) SetPolicy(p Policy) { s.policy.Store(&p) }

// Policy returns what SetPolicy set.
func (s *Store) Policy() Policy { return *s.policy.Load() }

// Observe takes in the observations of one webhook. It returns nil only when all
// of them are committed to disk (fsync); after any error nothing of them is kept.
func (s *Store) Observe(ctx context.Context, obs []mapping.Observation) error {
	return s.do(ctx, false, func(tx *transaction) error {
		observe(tx, obs, s.Policy(), tx.now)
		return nil
	})
}

// Begin commits the intent of a request that Next decided upon for the given
// version of an incident, and returns the incident as it is then. ErrChanged
// means that the request must not leave. Any other error means that the intent
// could not be stored.
func (s *Store) Begin(ctx context.Context, id string, version uint64, d Decision, keyHash string) (*Incident, error) {
	err := s.do(ctx, true, func(tx *transaction) error {
		in := tx.incident(id)
		if in == nil || in.Version != version || in.Intent != nil {
			return ErrChanged
		}
		in = tx.edit(id)
		if d.Action == Trigger && in.KeyHash != "" && in.KeyHash != keyHash && in.Have != StateClosed {
			part(tx, in, tx.now)
		}
		in.started(d, keyHash, tx.now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	in, ok := s.Get(id)
	if !ok {
		return nil, ErrChanged
	}
	return in, nil
}

// Finish commits what became of the request in flight. sent is that request; it
// stands in where its intent could not be stored before it left.
func (s *Store) Finish(ctx context.Context, id string, sent Intent, keyHash string, o Outcome) error {
	return s.do(ctx, true, func(tx *transaction) error {
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
	return s.do(ctx, true, func(tx *transaction) error {
		in := tx.incident(id)
		if in == nil || in.Version != version {
			return ErrChanged
		}
		switch d.Step {
		case StepForget:
			tx.archive(tx.edit(id), d.Reason)
		case StepFallback:
			copyTo(tx, tx.edit(id), fallback, tx.now)
		case StepDrop:
			in = tx.edit(id)
			perform(tx, in, d, s.Policy(), tx.now)
			tx.archive(in, d.Reason)
		case StepAdmit, StepDismiss, StepSupersede, StepExpire, StepBlock:
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
	return s.do(ctx, true, func(tx *transaction) error {
		for _, id := range ids {
			if in := tx.incident(id); in != nil && in.Urgency == mapping.High && in.firing() > 0 && in.Owed < in.Revision {
				in = tx.edit(id)
				in.Owed = in.Revision
				in.note(tx.now, "owed", "waits for the rate limit")
			}
		}
		return nil
	})
}

// Retry lifts what blocks an incident, and its backoff.
func (s *Store) Retry(ctx context.Context, id string) error {
	return s.do(ctx, true, func(tx *transaction) error {
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
	err := s.do(ctx, true, func(tx *transaction) error {
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
	return s.do(ctx, true, func(tx *transaction) error {
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
func (s *Store) do(ctx context.Context, wait bool, apply func(*transaction) error) error {
	o := &op{apply: apply, done: make(chan error, 1)}
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

// Run commits what comes in until ctx ends, then closes the file. Operations
// that arrive together share one transaction: a lone one waits for nobody.
func (s *Store) Run(ctx context.Context) error {
	defer func() {
		close(s.closed)
		if err := s.db.Close(); err != nil {
			s.log.Error("Closing the outbox failed", "err", err)
		}
	}()
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	batch := make([]*op, 0, maxBatch)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-prune.C:
			if err := s.prune(time.Now()); err != nil {
				s.log.Error("Pruning the ledger failed", "err", err)
			}
		case o := <-s.ops:
			batch = append(batch[:0], o)
			for more := true; more && len(batch) < maxBatch; {
				select {
				case o := <-s.ops:
					batch = append(batch, o)
				default:
					more = false
				}
			}
			s.commit(batch)
		}
	}
}

// commit applies a batch in one transaction and answers each operation.
func (s *Store) commit(batch []*op) {
	began := time.Now()
	tx := newTransaction(s, began)
	errs := make([]error, len(batch))
	for i, o := range batch {
		errs[i] = o.apply(tx)
	}
	err := s.db.Update(tx.write)
	s.met.commits.Observe(time.Since(began).Seconds())
	s.failing.Store(err != nil)
	if err != nil {
		s.met.commitErrors.Inc()
		s.log.Error("Committing to the outbox failed", "err", err)
		err = fmt.Errorf("commit to the outbox: %w", err)
	} else {
		tx.publish()
	}
	for i, o := range batch {
		if errs[i] == nil {
			errs[i] = err
		}
		o.done <- errs[i]
	}
}

func nopLogger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return promslog.NewNopLogger()
	}
	return l
}
