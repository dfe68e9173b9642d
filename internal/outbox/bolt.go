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
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	lockTimeout = time.Second
	// The file is compacted at start when it is larger than compactAbove bytes
	// and more than half of it is free.
	compactAbove = 64 << 20
)

// handle is the open file, and which one it is. While it is open it is locked.
type handle struct {
	*bolt.DB
	is os.FileInfo
}

func openFile(path string, log *slog.Logger) (*handle, error) {
	readAhead(path)
	h, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	free, size := h.Stats().FreePageN*h.Info().PageSize, fileSize(path)
	if size < compactAbove || int64(free) < size/2 {
		return h, nil
	}
	if h, err = compact(h, path); err != nil {
		log.Warn("The outbox could not be compacted; it is used as it is", "err", err)
	}
	return h, nil
}

// readAhead brings the file into the page cache, from one end to the other. All
// of it is about to be read, by page faults in no order that a disk likes: bbolt
// maps it for random access.
func readAhead(path string) {
	f, err := os.Open(path)
	if err != nil {
		return // whoever needs the file finds out why.
	}
	defer f.Close()
	for buf := make([]byte, 1<<20); err == nil; {
		_, err = f.Read(buf)
	}
}

func openBolt(path string) (h *handle, err error) {
	err = guard(func() error {
		if err := checkLength(path); err != nil {
			return err
		}
		if h, err = openDB(path); err != nil {
			return err
		}
		// While we waited for the lock, its holder may have put another file there.
		here, err := os.Stat(path)
		if err == nil && !os.SameFile(here, h.is) {
			err = bolterrors.ErrTimeout
		}
		if err != nil {
			return errors.Join(err, h.Close())
		}
		return nil
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, lockedByAnother(path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, &damageError{fmt.Errorf("open outbox %s: %w", path, err)}
	case err != nil:
		return nil, fmt.Errorf("open outbox %s: %w", path, err)
	}
	return h, nil
}

func lockedByAnother(path string) error {
	return &refusal{fmt.Errorf("open outbox %s: another process has it locked; one folder serves one pagerelay (--storage.path)", path)}
}

// openDB locks and maps a database, and begins one where there is none.
func openDB(path string) (*handle, error) {
	h := &handle{}
	var file *os.File
	defer func() {
		if h.DB == nil && file != nil { // a panic of bbolt's leaves it open, mapped and locked.
			_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN) // the mapping would hold the lock.
			_ = file.Close()
		}
	}()
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout: lockTimeout, FreelistType: bolt.FreelistMapType,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			if file, err = os.OpenFile(name, flag, mode); err == nil {
				h.is, err = file.Stat()
			}
			return file, err
		},
	})
	if err != nil {
		if h.is != nil && h.is.Size() == 0 && !errors.Is(err, bolterrors.ErrTimeout) {
			err = errors.Join(err, unbegin(path, h.is))
		}
		return nil, err
	}
	h.DB = db
	return h, nil
}

// unbegin empties a file that was empty and had no room for its first pages, so that
// it is not taken for a damaged one. bbolt has closed it: by now another process may
// be at work on it, or another file may have its name.
func unbegin(path string, begun os.FileInfo) error {
	f, is, err := lock(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if !os.SameFile(is, begun) || is.Size() >= int64(firstPages*os.Getpagesize()) {
		return nil
	}
	return f.Truncate(0)
}

// firstPages are written when a database is begun: no whole one has fewer.
const firstPages = 4

// lock opens the file and locks it as bbolt does, if nobody else has. Closing it
// gives it back.
func lock(path string) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = lockedByAnother(path)
	}
	is, statErr := f.Stat()
	if err = errors.Join(err, statErr); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, is, nil
}

// compact copies the database into a fresh file that takes its place. It returns the
// one that has the place then, and has closed the other. Both are locked until the
// one is there: at no moment could another process take the file. After an error the
// old one is as it was, unless it is the folder that could not be flushed.
func compact(old *handle, path string) (*handle, error) {
	tmp := path + ".compact"
	if err := removeIfThere(tmp); err != nil {
		return old, err
	}
	fresh, err := openDB(tmp)
	if err != nil {
		return old, errors.Join(err, removeIfThere(tmp))
	}
	err = guard(func() error {
		if err := bolt.Compact(fresh.DB, old.DB, 16<<20); err != nil {
			return err
		}
		return fresh.Sync()
	})
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return old, errors.Join(err, guard(fresh.Close), removeIfThere(tmp))
	}
	return fresh, errors.Join(guard(old.Close), syncFolder(filepath.Dir(path)))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func fileSize(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return fi.Size()
}
