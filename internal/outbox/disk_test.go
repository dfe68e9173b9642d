package outbox_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/internal/lab/volume"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

// disk fails while it is full.
type disk struct{ full atomic.Bool }

func (d *disk) fail() error {
	if d.full.Load() {
		return &fs.PathError{Op: "write", Path: "a file", Err: syscall.ENOSPC}
	}
	return nil
}

// observing runs Observe beside the test and returns where its error will come.
func (r *rig) observing(alerts ...alert) <-chan error {
	done := make(chan error, 1)
	var obs []mapping.Observation
	for _, a := range alerts {
		obs = append(obs, a.observation())
	}
	go func() { done <- r.Observe(r.t.Context(), obs) }()
	return done
}

// acceptSoon drives an incident until PagerDuty has accepted something of it.
func (r *rig) acceptSoon(key string) {
	r.t.Helper()
	for range 10_000 {
		if len(r.accept(key)) > 0 {
			return
		}
		<-r.Changes()
	}
	r.t.Fatalf("nothing was ever sent for %q", key)
}

func TestFullDiskAnswersWhenPagerDutyHasAccepted(t *testing.T) {
	d := &disk{}
	s := openFailing(t, t.TempDir(), incident.Policy{}, d.fail)
	s.observe(alert{fp: "before"})
	s.accept("before")
	d.full.Store(true)

	answer := s.observing(alert{fp: "a"})
	s.acceptSoon("a")
	if err := <-answer; err != nil {
		t.Errorf("Observe of an accepted page: %v, want nil", err)
	}
	if !s.Direct() {
		t.Error("not in direct mode although the disk is full")
	}
	s.observe(alert{fp: "a"}) // Alertmanager's retry repeats nothing.
	wantActions(t, s.accept("a"))

	answer = s.observing(alert{fp: "before", resolved: true, ends: time.Minute})
	s.acceptSoon("before")
	if err := <-answer; err != nil {
		t.Errorf("Observe of an accepted resolve: %v, want nil", err)
	}

	s.observe(alert{fp: "n", urgency: mapping.None}) // it asks for nothing.

	d.full.Store(false)
	s.observe(alert{fp: "b"}) // the next commit takes everything along.
	if s.Direct() {
		t.Error("still in direct mode although the disk takes commits")
	}
	s = s.reopen()
	if in := s.get("a"); in.Have != incident.StateOpen {
		t.Errorf("have of what was accepted in direct mode is %s, want open", in.Have)
	}
	s.gone("before")
}

func TestFullDiskAndNoAcceptanceIsNotAnswered(t *testing.T) {
	d := &disk{}
	s := openFailing(t, t.TempDir(), incident.Policy{}, d.fail)
	s.observe(alert{fp: "a", key: "k", shared: true}, alert{fp: "b", key: "k", shared: true})
	s.accept("k")
	d.full.Store(true)
	for name, a := range map[string]alert{
		"a page that PagerDuty has not accepted":     {fp: "c"},
		"a partial resolve, which nobody is told of": {fp: "a", key: "k", shared: true, resolved: true, ends: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			if err := <-s.observing(a); !errors.Is(err, outbox.ErrBusy) {
				t.Errorf("Observe: %v, want ErrBusy", err)
			}
		})
	}
}

func TestDiskRecoversByItself(t *testing.T) {
	d := &disk{}
	s := openFailing(t, t.TempDir(), incident.Policy{}, d.fail)
	d.full.Store(true)
	answer := s.observing(alert{fp: "a"})
	for !s.Direct() {
		<-s.Changes()
	}
	d.full.Store(false) // no further webhook comes.
	if err := <-answer; err != nil {
		t.Errorf("Observe: %v, want nil once the disk has taken it", err)
	}
	s = s.reopen()
	s.get("a")
}

func TestUnopenableFolderIsDirectModeUntilItOpens(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "data")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the folder should be.
		t.Fatal(err)
	}
	s := open(t, dir, incident.Policy{})
	answer := s.observing(alert{fp: "a"})
	s.acceptSoon("a")
	if err := <-answer; err != nil || !s.Direct() {
		t.Fatalf("Observe: %v, direct %v; want nil, true", err, s.Direct())
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	for s.Direct() {
		s.observe(alert{fp: "a"})
	}
	s = s.reopen()
	if in := s.get("a"); in.Have != incident.StateOpen {
		t.Errorf("have is %s, want open", in.Have)
	}
}

func TestNewerVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, incident.Policy{}).stop()
	db, err := bolt.Open(filepath.Join(dir, "outbox.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("\x77\xc8\xac\xe3"+"99"))
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = outbox.Open(dir, outbox.Config{})
	wantError(t, err, "newer pagerelay")
}

func TestTwoProcessesOnOneFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, incident.Policy{})
	_, err := outbox.Open(dir, outbox.Config{})
	wantError(t, err, "another process has it locked; one folder serves one pagerelay (--storage.path)")
	s.observe(alert{fp: "a"}) // the first one goes on.
	s = s.reopen()            // and gives it back.
	s.get("a")
}

// One process waits for the lock while another puts a new file in place of the
// locked one: it must not work on the old file, which nobody will ever read again.
func TestFileIsReplacedWhileItsLockIsAwaited(t *testing.T) {
	dir := quickDir(t)
	path := filepath.Join(dir, "outbox.db")
	open(t, dir, incident.Policy{}).stop()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", file, 0o600); err != nil {
		t.Fatal(err)
	}
	bubble.Test(t, func(t *testing.T) {
		holder, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		opened := make(chan error, 1)
		go func() {
			_, err := outbox.Open(dir, outbox.Config{})
			opened <- err
		}()
		synctest.Wait() // it waits for its next try.
		if err := errors.Join(os.Rename(path+".new", path), holder.Close()); err != nil {
			t.Fatal(err)
		}
		wantError(t, <-opened, "another process has it locked")
	})
}

// quickDir is a folder in memory where the machine has one: damage is the same there.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "pagerelay") //nolint:usetesting // t.TempDir is on a disk.
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A file that is cut short or has bytes flipped never makes the store panic. What
// it can still read it keeps, and anything else is moved aside.
func TestDamagedFile(t *testing.T) {
	sound := quickDir(t)
	s := open(t, sound, incident.Policy{})
	const n = 60
	for i := range n {
		s.observe(alert{fp: fmt.Sprintf("needle-%d", i)})
		if i%2 == 0 {
			s.accept(fmt.Sprintf("needle-%d", i))
		}
	}
	s.stop()
	file, err := os.ReadFile(filepath.Join(sound, "outbox.db"))
	if err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T, damaged []byte, mustMove bool, mustKeep int) {
		t.Helper()
		dir := quickDir(t)
		if err := os.WriteFile(filepath.Join(dir, "outbox.db"), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir, incident.Policy{})
		kept := len(s.List())
		switch {
		case s.Damaged() == "" && kept != n:
			t.Errorf("%d of %d incidents are left and nobody was told", kept, n)
		case s.Damaged() == "" && mustMove:
			t.Error("the damage went unnoticed")
		case kept < mustKeep:
			t.Errorf("%d incidents are left, want the %d that can be read", kept, mustKeep)
		case s.Damaged() != "":
			if b, err := os.ReadFile(s.Damaged()); err != nil || !bytes.Equal(b, damaged) {
				t.Errorf("the damaged file is not kept as it was: %v", err)
			}
		}
		s.observe(alert{fp: "new"})
		s = s.reopen()
		s.get("new")
		if got := len(s.List()); got != kept+1 {
			t.Errorf("%d incidents after reopening, want %d", got, kept+1)
		}
	}
	for _, size := range []int{1, 100, 4096, 8192, len(file) / 4} {
		t.Run(fmt.Sprintf("cut to %d bytes", size), func(t *testing.T) { check(t, file[:size], true, 0) })
	}
	t.Run("an incident's bytes", func(t *testing.T) {
		b := bytes.Clone(file)
		i := bytes.Index(b, []byte(`"needle-7"`))
		if i < 0 {
			t.Fatal("no such incident in the file")
		}
		for ; i >= 0; i = bytes.Index(b, []byte(`"needle-7"`)) {
			b[i+1] = 'N'
		}
		check(t, b, true, n-1)
	})
	t.Run("not a database", func(t *testing.T) { check(t, bytes.Repeat([]byte("garbage\n"), 4096), true, 0) })
	for _, at := range []int{20, os.Getpagesize() + 20} { // one of them holds the last commit.
		b := bytes.Clone(file)
		b[at] ^= 1
		t.Run(fmt.Sprintf("a bit of the meta page, at %d", at), func(t *testing.T) { check(t, b, true, n-1) })
	}
	t.Run("the list of free pages", func(t *testing.T) { // at which bbolt panics as it opens the file.
		newest := file[16:] // its meta page, after the page's header.
		if other := file[os.Getpagesize()+16:]; binary.NativeEndian.Uint64(other[48:]) > binary.NativeEndian.Uint64(newest[48:]) {
			newest = other
		}
		b := bytes.Clone(file)
		copy(b[binary.NativeEndian.Uint64(newest[32:])*uint64(os.Getpagesize()):], "garbage in place of a header")
		check(t, b, true, 0)
	})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 40 {
		b := bytes.Clone(file)
		at, size := rnd.IntN(len(b)), 1+rnd.IntN(4096)
		for i := at; i < min(len(b), at+size); i++ {
			b[i] = byte(rnd.Uint32())
		}
		t.Run(fmt.Sprintf("%d bytes at %d", size, at), func(t *testing.T) { check(t, b, false, 0) })
	}
}

// A file on a small file system that fills up.
func TestFullTmpfs(t *testing.T) {
	volume.Need(t)
	dir := volume.Tmpfs(t, "size=512k")
	s := open(t, dir, incident.Policy{})
	big := strings.Repeat("x", 32<<10)
	paged := 0
	for i := 0; !s.Direct(); i++ {
		if i > 100 {
			t.Fatal("the file system never fills up")
		}
		a := alert{fp: fmt.Sprint("a", i), from: "http://" + big}
		answer := s.observing(a)
		s.acceptSoon(a.fp)
		if err := <-answer; err != nil {
			t.Fatalf("Observe: %v", err)
		}
		paged++
	}
	t.Logf("full after %d pages, all of them accepted", paged)
	file := stat(t, dir)
	volume.Remount(t, dir, 0, "size=64m")
	s.observe(alert{fp: "after"})
	for s.Direct() {
		s.observe(alert{fp: "after"})
	}
	if !os.SameFile(file, stat(t, dir)) {
		t.Error("the file was written anew, for which a disk that fills up has no room")
	}
	s = s.reopen()
	if got := len(s.List()); got != paged+1 {
		t.Errorf("%d incidents after reopening, want %d", got, paged+1)
	}
	s.stop()
}
