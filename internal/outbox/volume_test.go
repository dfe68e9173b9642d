package outbox_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/volume"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

// paged takes in a firing and has PagerDuty accept its page; it must be answered 200 then.
func (r *rig) paged(a alert) {
	r.t.Helper()
	began := time.Now()
	answer := r.observing(a)
	r.acceptSoon(a.fp)
	if err := <-answer; err != nil {
		r.t.Fatalf("Observe %s, which PagerDuty has accepted: %v", a.fp, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		r.t.Errorf("%s was answered after %v, want 5s at most", a.fp, took)
	}
}

// pagedUntilDirect pages until a disk that fails from now on was noticed.
func (r *rig) pagedUntilDirect(prefix string) (fps []string) {
	r.t.Helper()
	for i := 0; !r.Direct(); i++ {
		if i > 100 {
			r.t.Fatal("not in direct mode after 100 pages")
		}
		fps = append(fps, fmt.Sprint(prefix, i))
		r.paged(alert{fp: fps[i]})
	}
	return fps
}

// recovered waits until the disk takes commits again, by itself.
func (r *rig) recovered() {
	r.t.Helper()
	for range 10 { // each waits for eight seconds at most.
		answer := r.observing(alert{fp: "recovered"})
		if err := <-answer; err == nil && !r.Direct() {
			return
		} else if err != nil && !errors.Is(err, outbox.ErrBusy) {
			r.t.Fatalf("Observe: %v", err)
		}
	}
	r.t.Fatal("still in direct mode although the disk takes commits")
}

// holds says what of the incidents is missing, or not known to be open at PagerDuty.
func (r *rig) holds(fps ...string) {
	r.t.Helper()
	if r.Damaged() != "" {
		r.t.Errorf("the file was found damaged: %s", r.Damaged())
	}
	for _, fp := range fps {
		if in, ok := r.Get(incident.ID("infra", fp)); !ok {
			r.t.Errorf("%s was answered 200 and is gone", fp)
		} else if in.Have != incident.StateOpen {
			r.t.Errorf("have of %s is %s, want open", fp, in.Have)
		}
	}
}

// fill writes a file until there is no room, and returns its path.
func fill(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return path
}

func stat(t *testing.T, dir string) os.FileInfo {
	t.Helper()
	fi, err := os.Stat(filepath.Join(dir, "outbox.db"))
	if err != nil {
		t.Fatal(err)
	}
	return fi
}

// A disk that takes writes and then fails to flush them, as a thinly provisioned or
// a broken one does: an ext4 without a journal on an image full of holes, on a file
// system that is full. The kernel takes what it could not flush for flushed. The
// power is cut after the disk has recovered: nothing that was answered 200 is missing.
func TestFailingFsync(t *testing.T) {
	t.Parallel()
	volume.Need(t)
	small := volume.Tmpfs(t, "size=16m")
	image, work := filepath.Join(small, "image"), quickDir(t)
	mnt := filepath.Join(work, "mnt")
	volume.Image(t, image, 64<<20, "-O", "^has_journal", "-E", "nodiscard,lazy_itable_init=0")
	volume.Mount(t, image, mnt)
	s := open(t, mnt, incident.Policy{})
	var fps []string
	for i := range 20 {
		fps = append(fps, fmt.Sprint("before", i))
		s.paged(alert{fp: fps[i]})
	}
	s.observe(alert{fp: "before0", resolved: true, ends: time.Minute})
	s.accept("before0")
	fps = fps[1:]

	filler := fill(t, small)
	probe, err := os.Create(filepath.Join(mnt, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	if _, err := probe.Write(make([]byte, 64<<10)); err != nil {
		t.Fatalf("write: %v, want nothing to fail before fsync", err)
	}
	if err := probe.Sync(); err == nil {
		t.Fatal("fsync succeeds although there is no room for it")
	}
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	big := "http://" + strings.Repeat("x", 32<<10) // needs pages that the image has no room for.
	for i := 0; !s.Direct(); i++ {
		if i > 100 {
			t.Fatal("not in direct mode after 100 pages")
		}
		fps = append(fps, fmt.Sprint("during", i))
		s.paged(alert{fp: fps[len(fps)-1], from: big})
	}
	answer := s.observing(alert{fp: "before1", resolved: true, ends: time.Minute})
	s.acceptSoon("before1")
	if err := <-answer; err != nil {
		t.Errorf("Observe of an accepted resolve: %v", err)
	}
	fps = fps[1:]

	suspect := stat(t, mnt)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.recovered()
	if os.SameFile(suspect, stat(t, mnt)) {
		t.Error("a file of which the kernel may have dropped pages is still in use")
	}
	for i := range 20 {
		fps = append(fps, fmt.Sprint("after", i))
		s.paged(alert{fp: fps[len(fps)-1]})
	}

	found := filepath.Join(work, "found")
	volume.Run(t, "cp", "--sparse=always", image, found) // what the disk holds, and no cache.
	volume.Mount(t, found, filepath.Join(work, "after"))
	s = open(t, filepath.Join(work, "after"), incident.Policy{})
	s.holds(fps...)
	s.gone("before0")
	s.gone("before1")
	closed := map[string]bool{}
	if err := s.Ledger(func(in *incident.Incident) bool { closed[in.ID] = true; return true }); err != nil {
		t.Error(err)
	}
	for _, fp := range []string{"before0", "before1"} {
		if !closed[incident.ID("infra", fp)] {
			t.Errorf("%s is not on the ledger", fp)
		}
	}
}

// openExt4 opens a store on an ext4 of its own, an image mounted on a folder, with a
// page "before" in it.
func openExt4(t *testing.T) (s *rig, image, mnt string) {
	t.Helper()
	work := quickDir(t)
	image, mnt = filepath.Join(work, "image"), filepath.Join(work, "mnt")
	volume.Image(t, image, 32<<20)
	volume.Mount(t, image, mnt)
	s = open(t, mnt, incident.Policy{})
	s.paged(alert{fp: "before"})
	return s, image, mnt
}

// An ext4 that turns read-only when its disk fails is unmounted, mended and mounted
// again, without a restart of ours: it must not be kept busy, and nothing may be
// begun in the empty folder meanwhile.
func TestDiskThatTurnsReadOnly(t *testing.T) {
	t.Parallel()
	volume.Need(t)
	s, image, mnt := openExt4(t)
	volume.Run(t, "mount", "-o", "remount,abort", mnt) // what the kernel does to it itself.
	fps := append(s.pagedUntilDirect("during"), "before", "unmounted")

	volume.Unmount(t, mnt)
	s.paged(alert{fp: "unmounted"})
	if err := <-s.observing(alert{fp: "unpaged"}); !errors.Is(err, outbox.ErrBusy) {
		t.Errorf("Observe of a page that nobody has: %v, want ErrBusy", err)
	}
	if files, err := os.ReadDir(mnt); err != nil || len(files) > 0 {
		t.Errorf("in the folder without its volume: %v, %v; want nothing", files, err)
	}
	volume.Mount(t, image, mnt)
	s.recovered()
	s = s.reopen()
	s.holds(fps...)
	s.stop()
}

// A restart on a disk that is read-only: what was answered 200 before is delivered,
// and what comes in meanwhile; all of it is stored when the disk can be written to.
func TestReadOnlyAtStart(t *testing.T) {
	t.Parallel()
	volume.Need(t)
	dir := volume.Tmpfs(t, "size=16m")
	s := open(t, dir, incident.Policy{})
	s.paged(alert{fp: "open"})
	s.paged(alert{fp: "over"})
	s.observe(alert{fp: "owed"}) // answered 200, and not yet paged.
	s.stop()
	volume.Remount(t, dir, syscall.MS_RDONLY, "")
	s = open(t, dir, incident.Policy{})
	if !s.Direct() {
		t.Fatal("not in direct mode although the file cannot be written to")
	}
	wantActions(t, s.accept("owed"), incident.Trigger)
	s.paged(alert{fp: "new"})
	answer := s.observing(alert{fp: "over", resolved: true, ends: time.Minute})
	s.acceptSoon("over")
	if err := <-answer; err != nil {
		t.Errorf("Observe of an accepted resolve: %v", err)
	}
	volume.Remount(t, dir, 0, "")
	s.recovered()
	s.gone("over")
	s = s.reopen()
	s.holds("open", "owed", "new")
	s.gone("over")
	s.stop()
}

// A disk that is full before there is an outbox: what was begun of it is not taken
// for a damaged one.
func TestFullAtStart(t *testing.T) {
	t.Parallel()
	volume.Need(t)
	for _, size := range []string{"4k", "8k", "16k"} { // room for one of the four pages of a new file, for two, and for these alone.
		t.Run(size, func(t *testing.T) {
			dir := volume.Tmpfs(t, "size="+size)
			s := open(t, dir, incident.Policy{})
			if !s.Direct() {
				t.Fatal("not in direct mode although there is no room")
			}
			s.paged(alert{fp: "a"})
			s.paged(alert{fp: "b"})
			volume.Remount(t, dir, 0, "size=16m")
			s.recovered()
			s = s.reopen()
			s.holds("a", "b")
			s.stop()
			if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
				t.Errorf("in the folder: %v, %v; want the outbox alone", files, err)
			}
		})
	}
}

// A disk that hangs: a file system that is frozen, and thawed.
func TestFrozenDisk(t *testing.T) {
	t.Parallel()
	volume.Need(t)
	s, _, mnt := openExt4(t)
	thaw := volume.Freeze(t, mnt)
	for _, fp := range []string{"a", "b"} { // one that finds out, one that knows.
		s.paged(alert{fp: fp})
	}
	if !s.Direct() {
		t.Error("not in direct mode although the disk hangs")
	}
	if err := <-s.observing(alert{fp: "c"}); !errors.Is(err, outbox.ErrBusy) {
		t.Errorf("Observe of a page that nobody has: %v, want ErrBusy", err)
	}
	s.observe(alert{fp: "n", urgency: mapping.None}) // it asks for nothing.
	thaw()
	s.recovered()
	s = s.reopen()
	s.holds("before", "a", "b")
	s.stop()
}
