package outbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/pagerelay/pagerelay/internal/mutant"
)

const (
	directRetry  = time.Second     // how often the disk is tried in direct mode.
	diskPatience = 2 * time.Second // a commit that takes longer makes direct mode begin.
	lastPatience = 5 * time.Second // at the end, with what only memory knows.
)

var (
	errHanging    = errors.New("the disk does not answer")
	errCatchingUp = errors.New("what only memory knows is being written")
	errNotOpen    = errors.New("the outbox's file is not open")
)

// Run commits what comes in until ctx ends, then closes the file. Operations
// that arrive together share one transaction: a lone one waits for nobody.
func (s *Store) Run(ctx context.Context) error {
	defer func() {
		s.lastTry()
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
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-prune.C:
			prune.Reset(pruneEvery)
			if err := s.prune(s.cfg.Now()); err != nil {
				s.log.Error("Pruning the ledger failed", "err", err)
			}
		case <-retry.C:
			if mutant.On(mutant.DiskIsNotTriedAgain) {
				continue
			}
			if s.behind() || len(s.hanging) > 0 { // a late answer is there.
				s.commit(nil)
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

// behind says that the file lacks something that memory knows, or is not open.
func (s *Store) behind() bool {
	return s.direct.Load() || s.unsaved.all || s.db.Load() == nil
}

// lastTry writes what only memory knows before the end, if the disk takes it in time.
func (s *Store) lastTry() {
	over := time.After(lastPatience)
	for range 3 { // what is late, what is much, and the rest.
		if !s.behind() {
			return
		}
		s.refused, s.unopened = nil, nil // no rest before the end.
		s.commit(nil)
		if s.hanging == nil {
			return // it is written, or refused.
		}
		select {
		case a := <-s.hanging:
			s.answered(a)
		case <-over:
			return
		}
	}
}

// commit applies a batch in one transaction and answers each operation. What the
// disk does not take is kept in memory, and goes along with the next commit.
func (s *Store) commit(batch []*op) {
	began := time.Now()
	err := s.ready() // before anything is decided upon: the file may know more.
	tx := newTransaction(s, s.cfg.Now())
	errs := make([]error, len(batch))
	for i, o := range batch {
		errs[i] = o.apply(tx)
	}
	tx.tellAll()
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

// store writes a transaction, and all that is in memory only, to the file. If the
// file cannot be trusted after that, everything goes to a new one, at once.
func (s *Store) store(tx *transaction) error {
	err := s.write(tx)
	if err == nil || s.hanging != nil || s.db.Load() != nil {
		return err
	}
	if again := s.ready(); again != nil {
		return errors.Join(err, again)
	}
	return s.write(tx)
}

func (s *Store) write(tx *transaction) error {
	if s.hanging != nil {
		return s.waits // a look for a tombstone hangs.
	}
	if s.unsaved.records(len(s.open)) > maxBatch && s.caught < maxCaught {
		return s.catchUp()
	}
	s.caught = 0
	r, err := s.encode(tx.pending())
	if err != nil {
		return err
	}
	db, commit := s.db.Load(), s.unsaved.commits+1 // its number, if it is not taken in time.
	return s.ask(func() (func(), error) { return s.save(db, r, commit) })
}

// save writes what memory knew at a commit, as the disk is asked for it. It counts
// also when it is answered late.
func (s *Store) save(db *handle, r *records, commit uint64) (then func(), err error) {
	if then, err = s.updateFile(db, r.write); err != nil {
		return then, err
	}
	return func() { s.unsaved.stored(commit) }, nil
}

// update changes the file in one transaction of bbolt's. After an error the file
// is as good as it was, or it is closed and not written to again.
func (s *Store) update(change func(*bolt.Tx) error) error {
	db := s.db.Load()
	return s.ask(func() (func(), error) { return s.updateFile(db, change) })
}

// updateFile is update, as the disk is asked for it.
func (s *Store) updateFile(db *handle, change func(*bolt.Tx) error) (then func(), err error) {
	err = guard(func() error {
		return db.Update(func(tx *bolt.Tx) error {
			if err := change(tx); err != nil || s.failCommit == nil {
				return err
			}
			return s.failCommit()
		})
	})
	if err == nil || foundNoRoom(err) {
		return nil, err
	}
	return func() { s.distrust(err) }, err
}

// foundNoRoom says whether a commit ended because there was no room for what it
// wrote: bbolt has undone it then, and nothing that it stands on was touched. Of no
// other error is that known, nor of this one when it is fsync that gives it: the
// kernel may drop what it could not flush, take it for flushed, and never try again.
func foundNoRoom(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Op == "write" && (errors.Is(p.Err, syscall.ENOSPC) || errors.Is(p.Err, syscall.EDQUOT))
}

func (s *Store) closeFile() error {
	if s.hanging != nil {
		select {
		case a := <-s.hanging:
			s.hanging = nil
			_ = a.take() // it was reported when it was late.
		case <-time.After(diskPatience):
			return errHanging // the end of the process closes it.
		}
	}
	db := s.db.Swap(nil)
	if db == nil {
		return nil
	}
	// A reader that hangs keeps the file from being closed.
	return s.ask(func() (func(), error) { return nil, guard(db.Close) })
}
