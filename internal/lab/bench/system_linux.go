package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func flush(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// evict takes a file that nobody has open out of the page cache.
func evict(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}
