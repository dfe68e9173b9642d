package outbox

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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

func openFile(path string, log *slog.Logger) (*bolt.DB, error) {
	readAhead(path)
	db, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	free, size := db.Stats().FreePageN*db.Info().PageSize, fileSize(path)
	if size < compactAbove || int64(free) < size/2 {
		return db, nil
	}
	if err := guard(func() error { return compact(db, path) }); err != nil {
		log.Warn("The outbox could not be compacted; it is used as it is", "err", err)
	}
	return openBolt(path)
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

func openBolt(path string) (db *bolt.DB, err error) {
	err = guard(func() error {
		if err := checkLength(path); err != nil {
			return err
		}
		var locked *os.File
		empty := fileSize(path) == 0
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: lockTimeout, FreelistType: bolt.FreelistMapType,
			OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
				locked, err = os.OpenFile(name, flag, mode)
				return locked, err
			},
		})
		if err != nil {
			if empty && !errors.Is(err, bolterrors.ErrTimeout) {
				_ = os.Truncate(path, 0) // there was no room for its first pages: it is not a damaged one.
			}
			return err
		}
		// While we waited for the lock, its holder may have put another file there.
		here, err := os.Stat(path)
		is, statErr := locked.Stat()
		if err = errors.Join(err, statErr); err == nil && !os.SameFile(here, is) {
			err = bolterrors.ErrTimeout
		}
		if err != nil {
			return errors.Join(err, db.Close())
		}
		return nil
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, &refusal{fmt.Errorf("open outbox %s: another process has it locked; one folder serves one pagerelay (--storage.path)", path)}
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, &damageError{fmt.Errorf("open outbox %s: %w", path, err)}
	case err != nil:
		return nil, fmt.Errorf("open outbox %s: %w", path, err)
	}
	return db, nil
}

// compact copies db into a fresh file that takes its place, and closes db. After
// an error the old file is as it was.
func compact(db *bolt.DB, path string) (err error) {
	tmp := path + ".compact"
	defer func() {
		err = errors.Join(err, db.Close())
		if err != nil {
			_ = os.Remove(tmp) // a next try does it otherwise.
		}
	}()
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	dst, err := bolt.Open(tmp, 0o600, &bolt.Options{Timeout: lockTimeout})
	if err != nil {
		return err
	}
	err = bolt.Compact(dst, db, 16<<20)
	if err == nil {
		err = dst.Sync()
	}
	if err := errors.Join(err, dst.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
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
