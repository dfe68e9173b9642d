package outbox

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// opened is what came of opening the file, also where it ended in an error.
type opened struct {
	db        *handle              // nil if there is none.
	incidents []*incident.Incident // what could be read of it.
	complete  bool                 // that is all there is.
	aside     string               // where a damaged file was moved; "" if none was.
	damage    error                // why.
}

// openAndLoad opens the file and reads the open incidents. A damaged one is moved
// aside, and an empty one takes its place.
func openAndLoad(path string, now time.Time, log *slog.Logger) (*opened, error) {
	o := &opened{}
	err := o.open(path, now, log)
	if isDamage(err) {
		err = o.replace(path, now, log, err)
	}
	return o, err
}

func (o *opened) open(path string, now time.Time, log *slog.Logger) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the outbox's folder: %w", err)
	}
	h, err := openFile(path, log)
	if errors.Is(err, syscall.EROFS) {
		return errors.Join(err, o.peek(path, now))
	}
	if err != nil {
		return err
	}
	return o.use(h, path, now)
}

// use takes an open file into use, or closes it.
func (o *opened) use(h *handle, path string, now time.Time) error {
	err := o.load(h, path, now)
	if err == nil {
		err = prepare(h)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("load outbox %s: %w", path, err), guard(h.Close))
	}
	o.db = h
	return nil
}

func (o *opened) load(h *handle, path string, now time.Time) error {
	incidents, err := load(h, path, now)
	if err == nil || isDamage(err) { // what has a valid checksum is as good as ever.
		o.incidents = append(o.incidents, incidents...)
	}
	o.complete = err == nil
	return err
}

// peek reads a file that cannot be written to: what is in it is still to be delivered.
func (o *opened) peek(path string, now time.Time) error {
	return guard(func() error {
		if err := checkLength(path); err != nil {
			return err
		}
		db, err := bolt.Open(path, 0, &bolt.Options{Timeout: lockTimeout, ReadOnly: true})
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return errors.Join(o.load(&handle{DB: db}, path, now), db.Close())
	})
}

// replace moves a damaged file aside and starts an empty one.
func (o *opened) replace(path string, now time.Time, log *slog.Logger, damage error) error {
	aside := fmt.Sprintf("%s.damaged-%s", path, now.UTC().Format("20060102T150405.000"))
	if err := moveAside(path, aside); err != nil {
		return errors.Join(damage, fmt.Errorf("move the damaged outbox aside: %w", err))
	}
	o.aside, o.damage, o.complete = aside, damage, false
	return o.open(path, now, log)
}

// moveAside renames the file, unless another process is at work on it, or has put
// one of its own in the place.
func moveAside(path, aside string) error {
	f, is, err := lock(path)
	if err != nil {
		return err
	}
	defer f.Close()
	here, err := os.Stat(path)
	if err == nil && !os.SameFile(here, is) {
		err = lockedByAnother(path)
	}
	if err != nil {
		return err
	}
	return os.Rename(path, aside)
}

// rewrite makes a new file of one that cannot be trusted to hold what was written to
// it: every page is written and flushed again. The incidents in it are not looked
// at, those in memory are newer. h is that file, if it is still open; it is closed in
// any case, so that its file system can be unmounted and mended.
func rewrite(path string, h *handle, now time.Time, log *slog.Logger) (*opened, error) {
	o := &opened{}
	h, err := copyAnew(path, h, log)
	if err == nil {
		err = o.use(h, path, now)
	}
	if isDamage(err) {
		err = o.replace(path, now, log, err)
	}
	o.incidents = nil
	return o, err
}

func copyAnew(path string, h *handle, log *slog.Logger) (*handle, error) {
	here, err := os.Stat(path)
	if err != nil || h != nil && !os.SameFile(here, h.is) {
		h.discard(log)
		h = nil
	}
	// The folder may be there and the volume in it not: an outbox that began in its
	// place would be hidden by it, and forgotten.
	if err != nil {
		return nil, fmt.Errorf("the outbox is gone: bring its volume back, or restart to begin an empty one: %w", err)
	}
	if h == nil {
		if h, err = openBolt(path); err != nil {
			return nil, err
		}
	} // else it stays locked from its last commit until the new one has its place.
	if err = guard(func() error { return h.View(verify(path)) }); err == nil {
		if h, err = compact(h, path); err != nil {
			err = fmt.Errorf("write outbox %s anew: %w", path, err)
		}
	}
	if err != nil {
		h.discard(log)
		return nil, err
	}
	return h, nil
}

// discard closes a file that is not used any more, if there is one.
func (h *handle) discard(log *slog.Logger) {
	if h == nil {
		return
	}
	if err := guard(h.Close); err != nil {
		log.Warn("Closing the outbox failed", "err", err)
	}
}

// ready says whether the disk can be asked for a commit. It takes a late answer,
// and opens the file if it is not open.
func (s *Store) ready() error {
	if s.hanging != nil {
		select {
		case a := <-s.hanging:
			s.answered(a)
		default:
			return s.waits
		}
	}
	if s.db.Load() != nil {
		return nil
	}
	if s.unopened != nil && time.Since(s.tried) < s.rest {
		return s.unopened
	}
	began := time.Now()
	defer func() { s.rested(time.Since(began)) }()
	path, now, log := s.path, s.cfg.Now(), s.log
	old, doubted := s.doubted, s.loaded
	s.doubted = nil
	s.unopened = s.ask(func() (func(), error) {
		var o *opened
		var err error
		if doubted {
			o, err = rewrite(path, old, now, log)
		} else {
			old.discard(log)
			o, err = openAndLoad(path, now, log)
		}
		return func() { s.adopt(o); s.unsaved.all = true }, err
	})
	return s.unopened
}

// distrust stops the use of the file: what is in memory is to be written to a new one.
func (s *Store) distrust(cause error) {
	s.log.Error("The outbox's file may not hold what was written to it; it is written anew", "err", cause, "file", s.path)
	s.doubted = s.db.Swap(nil)
}

// adopt takes over what came of opening the file.
func (s *Store) adopt(o *opened) {
	s.take(o.incidents)
	s.took = nil
	if !o.complete && o.aside == "" { // it is read again, as it was.
		s.took = map[string]struct{}{}
		for _, in := range o.incidents {
			s.took[in.ID] = struct{}{}
		}
	}
	if o.aside != "" {
		s.damaged.Store(&o.aside)
		s.met.damaged.Inc()
		s.log.Error("THE OUTBOX WAS DAMAGED and has been moved aside; it starts anew with what is known in memory, and what Alertmanager says",
			"err", o.damage, "moved_to", o.aside)
		s.loaded, s.unsaved.all = false, true
	}
	if o.complete {
		s.loaded = true
	}
	if o.db != nil {
		s.db.Store(o.db)
	}
}

// Damaged is the name under which a damaged file was moved aside; "" if none was.
func (s *Store) Damaged() string {
	if name := s.damaged.Load(); name != nil {
		return *name
	}
	return ""
}
