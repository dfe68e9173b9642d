package outbox

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	directRetry  = time.Second     // how often the disk is tried in direct mode.
	diskPatience = 2 * time.Second // a commit that takes longer makes direct mode begin.
)

var errHanging = errors.New("the disk does not answer")

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
	prune := time.NewTimer(pruneFirst)
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
			prune.Reset(pruneEvery)
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
	var err error
	if s.db.Load() == nil { // before anything is decided upon: the file may know more.
		err = s.openLate()
	}
	tx := newTransaction(s, s.cfg.Now())
	errs := make([]error, len(batch))
	for i, o := range batch {
		errs[i] = o.apply(tx)
	}
	if err == nil {
		err = s.store(tx)
	}
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
	r, err := tx.records()
	if err != nil {
		return err
	}
	err = s.update(r)
	if !isDamage(err) {
		return err
	}
	if err := s.replaceDamaged(err); err != nil {
		return err
	}
	if r, err = tx.records(); err != nil { // now with all that survived.
		return err
	}
	return s.update(r)
}

// update writes records to the file. A disk that does not answer in time is taken
// for one that fails; nothing else is tried until it has answered.
func (s *Store) update(r *records) error {
	if s.hanging != nil {
		select {
		case <-s.hanging:
			s.hanging = nil
		default:
			return errHanging
		}
	}
	db := s.db.Load()
	done := make(chan error, 1)
	go func() {
		done <- guard(func() error {
			if s.failCommit != nil {
				if err := s.failCommit(); err != nil {
					return err
				}
			}
			return db.Update(r.write)
		})
	}()
	timer := time.NewTimer(diskPatience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		answered := make(chan struct{})
		go func() {
			err := <-done // whatever it says: all of it is written again.
			s.log.Warn("The disk answers again", "err", err)
			close(answered)
		}()
		s.hanging = answered
		return errHanging
	}
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
	if s.hanging != nil {
		select {
		case <-s.hanging:
		case <-time.After(diskPatience):
			return errHanging // the end of the process closes it.
		}
	}
	db := s.db.Swap(nil)
	if db == nil {
		return nil
	}
	return guard(db.Close)
}
