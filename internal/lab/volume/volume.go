// Package volume gives a test file systems of its own, that fill up, freeze, turn
// read-only or lose what was not flushed. It mounts them, so it needs root.
package volume

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// required: 1 makes a test fail that would else be skipped.
const required = "PAGERELAY_REQUIRE_MOUNTS"

// Need skips the test where no file system can be mounted, or fails it if
// PAGERELAY_REQUIRE_MOUNTS is 1. A test calls it before anything else of this package.
func Need(t *testing.T) {
	t.Helper()
	err := possible()
	switch {
	case err == nil:
	case os.Getenv(required) == "1":
		t.Fatalf("%v; "+required+" is 1", err)
	default:
		t.Skipf("%v: this test mounts file systems (root, loop devices, ext4)", err)
	}
}

// possible tries all that the tests do, in a folder that is thrown away.
var possible = sync.OnceValue(func() (err error) { //nolint:gochecknoglobals // asked once a process.
	dir, err := os.MkdirTemp("", "pagerelay-volume-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		return fmt.Errorf("mount a tmpfs: %w", err)
	}
	defer func() { err = errors.Join(err, syscall.Unmount(dir, 0)) }()
	image, mnt := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	if err := errors.Join(os.Mkdir(mnt, 0o700), os.WriteFile(image, nil, 0o600), os.Truncate(image, 8<<20)); err != nil {
		return err
	}
	defer func() { _ = syscall.Unmount(mnt, 0) }() // if one of these fails, and it is mounted.
	for _, args := range [][]string{
		{"mkfs.ext4", "-q", "-F", image},
		{"mount", "-o", "loop", image, mnt},
		{"fsfreeze", "--freeze", mnt},
		{"fsfreeze", "--unfreeze", mnt},
		{"umount", mnt},
	} {
		if err := run(args); err != nil {
			return err
		}
	}
	return nil
})

// Tmpfs mounts a file system in memory until the test ends, and returns its
// folder. options are mount's, such as size=512k.
func Tmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { Unmount(t, dir) })
	return dir
}

// Remount changes the options of a Tmpfs.
func Remount(t *testing.T, dir string, flags uintptr, options string) {
	t.Helper()
	if err := unlessBusy(func() error { return syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, options) }); err != nil {
		t.Fatalf("remount: %v", err)
	}
}

// Image makes a file of size bytes, all of it a hole, that holds an ext4.
func Image(t *testing.T, path string, size int64, options ...string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
		t.Fatal(err)
	}
	Run(t, append(append([]string{"mkfs.ext4", "-q", "-F"}, options...), path)...)
}

// Mount mounts an Image on a folder, which it makes, until the test ends or
// Unmount is called.
func Mount(t *testing.T, image, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	Run(t, "mount", "-o", "loop", image, dir)
	t.Cleanup(func() { Unmount(t, dir) })
}

// patience is how long a file may keep its file system busy.
const patience = 10 * time.Second

// unlessBusy does f again and again while a file that is open keeps the file system
// busy. That may be one that was closed: a program that another test has just begun to
// run has all our files for a moment.
func unlessBusy(f func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
			return err
		}
		<-time.After(time.Millisecond)
	}
}

// Unmount unmounts the folder, if anything is mounted there. A file that is open
// there only now and then does not hinder it for long.
func Unmount(t *testing.T, dir string) {
	t.Helper()
	for {
		err := unlessBusy(func() error { return syscall.Unmount(dir, 0) })
		if errors.Is(err, syscall.EINVAL) {
			return // no, or no more.
		}
		if err != nil {
			t.Errorf("unmount %s: %v", dir, err)
			return
		}
	}
}

// Freeze makes every write to the file system on the folder hang, until thaw is
// called or the test ends.
func Freeze(t *testing.T, dir string) (thaw func()) {
	t.Helper()
	Run(t, "fsfreeze", "--freeze", dir)
	thaw = sync.OnceFunc(func() { Run(t, "fsfreeze", "--unfreeze", dir) })
	t.Cleanup(thaw)
	return thaw
}

// Run runs a program, which must succeed.
func Run(t *testing.T, args ...string) {
	t.Helper()
	if err := run(args); err != nil {
		t.Error(err) // not Fatal: cleanups call this, too, and go on.
	}
}

func run(args []string) error {
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
