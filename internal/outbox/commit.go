package outbox

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// directRetry is how often the disk is tried in direct mode.
const directRetry = time.Second

// maxPatience is how long a patient operation waits for another one to share the
// commit with.
const maxPatience = 20 * time.Millisecond

// Run commits what comes in until ctx ends, then closes the file. Operations
// that arrive together share one transaction: a lone one waits for nobody, unless
// it is patient.
func (s *Store) Run(ctx context.Context) error {
	defer func() {
		if s.direct.Load() {
			s.commit(nil) // a last try.
		}
		close(s.closed)
		if err := s.closeFile(); err != nil {
			s.log.Error("Closing the outbox failed", "err", err)
		}
	}()
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	retry := time.NewTicker(directRetry)
	defer retry.Stop()
	batch := make([]*op, 0, maxBatch)
	patience := time.NewTimer(maxPatience)
	patience.Stop()
	for {
		select {
		case <-ctx.Done():
			if len(batch) > 0 {
				s.commit(batch)
			}
			return nil
		case <-patience.C:
			s.commit(batch)
			batch = batch[:0]
		case <-prune.C:
			if err := s.prune(s.cfg.Now()); err != nil {
				s.log.Error("Pruning the ledger failed", "err", err)
			}
		case <-retry.C:
			if s.direct.Load() {
				s.commit(nil)
			}
		case o := <-s.ops:
			waited := len(batch) > 0
			batch = append(batch, o)
			for more := true; more && len(batch) < maxBatch; {
				select {
				case o := <-s.ops:
					batch = append(batch, o)
				default:
					more = false
				}
			}
			if len(batch) < maxBatch && !slices.ContainsFunc(batch, func(o *op) bool { return !o.patient }) {
				if !waited {
					patience.Reset(maxPatience)
				}
				continue
			}
			patience.Stop()
			s.commit(batch)
			batch = batch[:0]
		}
	}
}

// commit applies a batch in one transaction and answers each operation. What the
// disk does not take is kept in memory, and goes along with the next commit.
func (s *Store) commit(batch []*op) {
	began := time.Now()
	tx := newTransaction(s, s.cfg.Now())
	errs := make([]error, len(batch))
	for i, o := range batch {
		errs[i] = o.apply(tx)
	}
	err := s.store(tx)
	s.met.commits.Observe(time.Since(began).Seconds())
	if err == nil {
		s.leaveDirect()
	} else {
		s.met.commitErrors.Inc()
		s.enterDirect(tx, err)
		err = fmt.Errorf("commit to the outbox: %w: %w", errDirect, err)
	}
	tx.publish()
	for i, o := range batch {
		if errs[i] == nil {
			errs[i] = err
		}
		o.done <- errs[i]
	}
}

// store writes a transaction, and all that is in memory only, to the file. A file
// that turns out to be damaged is moved aside, and everything is written to a new one.
func (s *Store) store(tx *transaction) error {
	db := s.db.Load()
	if db == nil {
		var err error
		if db, err = s.openLate(); err != nil {
			return err
		}
	}
	if s.failCommit != nil {
		if err := s.failCommit(); err != nil {
			return err
		}
	}
	err := guard(func() error { return db.Update(tx.write) })
	if !isDamage(err) {
		return err
	}
	if err := s.replaceDamaged(err); err != nil {
		return err
	}
	return guard(func() error { return s.db.Load().Update(tx.write) })
}

// guard turns a panic or a memory fault into an error: bbolt maps the file, and
// a short or damaged one makes it do either.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &damageError{fmt.Errorf("%v", r)}
		}
	}()
	return f()
}

// view reads the file, if there is one.
func (s *Store) view(f func(tx *bolt.Tx) error) error {
	db := s.db.Load()
	if db == nil {
		return nil
	}
	return guard(func() error { return db.View(f) })
}

func (s *Store) closeFile() error {
	db := s.db.Swap(nil)
	if db == nil {
		return nil
	}
	return guard(db.Close)
}
