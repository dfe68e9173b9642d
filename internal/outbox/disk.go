package outbox

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
)

// answer is what became of what the disk was asked to do: its error, and what
// the committer is to do about it, if anything.
type answer struct {
	err  error
	then func()
}

// ask has the disk do something. A disk that does not answer in time is taken for
// one that fails; nothing else is asked of it until it has answered, which ready
// finds out. f may touch nothing that is the committer's.
func (s *Store) ask(f func() (then func(), err error)) error {
	if s.hanging != nil {
		return s.waits
	}
	done := begin(f)
	timer := time.NewTimer(diskPatience)
	defer timer.Stop()
	select {
	case a := <-done:
		return a.take()
	case <-timer.C:
		return s.await(done, errHanging)
	}
}

func begin(f func() (then func(), err error)) chan answer {
	done := make(chan answer, 1)
	go func() {
		then, err := f()
		done <- answer{err, then}
	}()
	return done
}

// await leaves an answer for later, and says why.
func (s *Store) await(done chan answer, why error) error {
	s.hanging, s.waits = done, why
	s.stalled.Store(true)
	return why
}

// answered takes what await has left for later.
func (s *Store) answered(a answer) {
	s.hanging = nil
	s.stalled.Store(false)
	if err := a.take(); errors.Is(s.waits, errHanging) {
		s.log.Warn("The disk answers again", "err", err)
	}
}

func (a answer) take() error {
	if a.then != nil {
		a.then()
	}
	return a.err
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

// look reads the file for the committer. It is mapped: what of it is not in memory is
// read from the disk, which may hang.
func (s *Store) look(f func(tx *bolt.Tx) error) error {
	db := s.db.Load()
	if db == nil {
		return errNotOpen
	}
	return s.ask(func() (func(), error) {
		if s.beforeRead != nil {
			s.beforeRead()
		}
		return nil, guard(func() error { return db.View(f) })
	})
}

// view reads the file for anybody else. While the disk hangs it does not: bbolt
// writes its meta page under a lock that every reader needs.
func (s *Store) view(f func(tx *bolt.Tx) error) error {
	if s.stalled.Load() {
		return errHanging
	}
	db := s.db.Load()
	if db == nil {
		return errNotOpen
	}
	return guard(func() error { return db.View(f) })
}
