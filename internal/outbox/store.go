// Package outbox is the durable table of incidents. It takes observations in,
// hands incidents out, and stores what became of each request; package incident
// says what any of that does to an incident. It sends nothing and asks nobody.
//
// Nothing outside this package knows how the table is stored.
package outbox

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/promslog"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/mutant"
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
	pruneFirst       = time.Minute // after the start.
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
	db   atomic.Pointer[handle] // nil while the file cannot be opened; written by the committer.
	// damaged is the name of a file that was moved aside; "" if none was.
	damaged atomic.Pointer[string]

	ops    chan *op
	closed chan struct{} // closed when Run has ended.
	policy atomic.Pointer[incident.Policy]
	// limited are the services that SetLimited names.
	limited atomic.Pointer[map[string]bool]

	// Direct mode, owned by the committer but for the flag: what is in memory only.
	direct  atomic.Bool
	unsaved unsaved
	hanging chan answer // what the disk has not answered yet; nil if it does.
	waits   error       // why not.
	stalled atomic.Bool // the same for everybody: hanging is not nil.
	// loaded: memory holds all that the file does, and more; an older one is not merged.
	loaded   bool
	took     map[string]struct{}           // incidents taken from a file that is to be read again.
	doubted  *handle                       // was in use: it is to be written anew, and closed.
	unopened error                         // why the file could not be opened last.
	refused  error                         // why it could not be written to, when all that only memory knows was to be.
	caught   int                           // how often in a row much of that was written beside the commits.
	landing  map[string]*incident.Incident // closed ones that a request of unknown outcome can still land in, by id.
	tried    time.Time                     // when either was tried last,
	rest     time.Duration                 // and for how long it is not again.
	// These stand in for a disk that fails or hangs, in tests.
	failCommit   func() error
	beforeRead   func()
	beforeEncode func()

	mu        sync.RWMutex
	open      map[string]*incident.Incident
	index     map[string][]string // fingerprint -> ids; a superset of the truth.
	published chan struct{}       // closed, and replaced, whenever the two above change.

	changedMu sync.Mutex
	changed   map[string]struct{}
	notify    chan struct{}
}

type op struct {
	apply func(tx *transaction) error
	done  chan error
}

// errDirect: the change is made, but only in memory.
var errDirect = errors.New("the disk does not take the commit")

// Open opens or creates the outbox in the folder dir. It refuses a file that
// another process has locked or that a newer version wrote, and says what to do.
// A damaged file is moved aside (Damaged names it) and an empty one takes its
// place. Where the file cannot be opened otherwise, as on a full or read-only
// disk, the store starts in direct mode and opens it later.
func Open(dir string, cfg Config) (*Store, error) {
	if cfg.Retention == 0 {
		cfg.Retention = defaultRetention
	}
	if cfg.MaxQueue == 0 {
		cfg.MaxQueue = defaultQueue
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{
		cfg: cfg, log: nopLogger(cfg.Logger), path: filepath.Join(dir, fileName),
		ops: make(chan *op, cfg.MaxQueue), closed: make(chan struct{}),
		open: map[string]*incident.Incident{}, index: map[string][]string{}, published: make(chan struct{}),
		changed: map[string]struct{}{}, notify: make(chan struct{}, 1),
	}
	s.SetPolicy(incident.Policy{})
	s.met = newMetrics(cfg.Registerer, s)
	o, err := openAndLoad(s.path, s.cfg.Now(), s.log)
	s.adopt(o)
	if refuse := (*refusal)(nil); errors.As(err, &refuse) {
		return nil, err
	}
	if err != nil {
		s.enterDirect(newTransaction(s, s.cfg.Now()), err)
	}
	return s, nil
}

// SetPolicy replaces the policy that observations are taken in by.
func (s *Store) SetPolicy(p incident.Policy) { s.policy.Store(&p) }

// Policy returns what SetPolicy set.
func (s *Store) Policy() incident.Policy { return *s.policy.Load() }

// Observe takes in the observations of one webhook. It returns nil only when all
// of them are committed to disk (fsync) or, in direct mode, when PagerDuty holds
// what they ask for. After any error they must be sent again.
func (s *Store) Observe(ctx context.Context, obs []mapping.Observation) error {
	err := s.do(ctx, false, func(tx *transaction) error {
		incident.Observe(tx, obs, s.Policy(), tx.now)
		return nil
	})
	if errors.Is(err, errDirect) {
		return s.awaitPagerDuty(ctx, obs)
	}
	return err
}

// Get returns an open incident.
func (s *Store) Get(id string) (*incident.Incident, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	in, ok := s.open[id]
	return in, ok
}

// List returns the open incidents, in no order.
func (s *Store) List() []*incident.Incident {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Values(s.open))
}

// FiringOf returns the alerts of an origin that fire, once for each incident that holds them.
func (s *Store) FiringOf(origin mapping.Origin) []template.Alert {
	var list []template.Alert
	for _, in := range s.List() {
		for fingerprint, m := range in.Members {
			if m.Origin == origin && m.Firing {
				alert := m.Alert.Unpack()
				alert.Fingerprint = fingerprint
				list = append(list, alert)
			}
		}
	}
	return list
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
		if mutant.On(mutant.AnswerBeforeStored) && errors.Is(err, errDirect) {
			return nil
		}
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
