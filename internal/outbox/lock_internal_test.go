package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

// thief tries to take the file all the time, as a second pagerelay would, and says
// how often it has had the one that has the place.
func thief(t *testing.T, path string) (stop func() (had, tries int)) {
	t.Helper()
	over, counted := make(chan struct{}), make(chan [2]int, 1)
	go func() {
		had, tries := 0, 0
		for {
			select {
			case <-over:
				counted <- [2]int{had, tries}
				return
			default:
			}
			tries++
			f, is, err := lock(path)
			if err != nil {
				continue
			}
			if here, err := os.Stat(path); err == nil && os.SameFile(here, is) {
				had++
			}
			_ = f.Close()
		}
	}()
	return func() (int, int) {
		close(over)
		c := <-counted
		return c[0], c[1]
	}
}

// While a file is written anew, at the start or after a commit that failed, no other
// process finds it free at any moment: two would page, and one would lose what it took.
func TestFileIsNeverFreeWhileItIsWrittenAnew(t *testing.T) {
	log := promslog.NewNopLogger()
	for _, tc := range []struct {
		name string
		anew func(h *handle, path string) (*handle, error)
	}{
		{"compacted at the start", compact},
		{"after a failed commit", func(h *handle, path string) (*handle, error) {
			o, err := rewrite(path, h, time.Now(), log)
			return o.db, err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), fileName)
			o, err := openAndLoad(path, time.Now(), log)
			if err != nil {
				t.Fatal(err)
			}
			stop := thief(t, path)
			h := o.db
			for range 30 {
				before := h.is
				if h, err = tc.anew(h, path); err != nil {
					t.Fatal(err)
				}
				if os.SameFile(before, h.is) {
					t.Fatal("the file was not written anew")
				}
			}
			had, tries := stop()
			if had > 0 || tries == 0 {
				t.Errorf("another process had the file %d times in %d tries, want never", had, tries)
			}
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			if f, _, err := lock(path); err != nil {
				t.Errorf("after it was closed: %v, want it free", err)
			} else {
				_ = f.Close()
			}
		})
	}
}

// A whole store, whose commits fail now and then: what is in the file is written anew
// each time, and nobody else gets it meanwhile.
func TestFailedCommitsKeepTheLock(t *testing.T) {
	s, err := Open(t.TempDir(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.closeFile() }()
	fails := false
	s.failCommit = func() error {
		if fails = !fails; fails {
			return errors.New("input/output error")
		}
		return nil
	}
	stop := thief(t, s.path)
	for i := range 20 {
		o := &op{done: make(chan error, 1), apply: func(tx *transaction) error {
			incident.Observe(tx, []mapping.Observation{sight("a", fmt.Sprint(i), mapping.Firing, tx.now)}, incident.Policy{}, tx.now)
			return nil
		}}
		s.commit([]*op{o})
		if err := <-o.done; err != nil {
			t.Fatal(err)
		}
	}
	if had, tries := stop(); had > 0 || tries == 0 {
		t.Errorf("another process had the file %d times in %d tries, want never", had, tries)
	}
}

// A file is emptied or moved aside only if it is the one that was found wanting.
func TestAnotherProcessesFileIsLeftAlone(t *testing.T) {
	begun := []byte("one page of four")
	whole := make([]byte, firstPages*os.Getpagesize())
	for _, tc := range []struct {
		name     string
		contents []byte
		other    func(t *testing.T, path string) // what another process does meanwhile.
		emptied  bool
		moved    bool
	}{
		{"nobody else", begun, func(*testing.T, string) {}, true, true},
		{"it is locked", begun, func(t *testing.T, path string) {
			f, _, err := lock(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() })
		}, false, false},
		{"another file has its place", begun, func(t *testing.T, path string) {
			if err := errors.Join(os.WriteFile(path+".new", begun, 0o600), os.Rename(path+".new", path)); err != nil {
				t.Fatal(err)
			}
		}, false, true},
		{"it was begun since", whole, func(*testing.T, string) {}, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), fileName)
			if err := os.WriteFile(path, tc.contents, 0o600); err != nil {
				t.Fatal(err)
			}
			was, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			tc.other(t, path)
			err = unbegin(path, was)
			if fileSize(path) == 0 != tc.emptied {
				t.Errorf("%d bytes are left (%v), want it emptied: %v", fileSize(path), err, tc.emptied)
			}
			err = moveAside(path, path+".aside")
			if _, gone := os.Stat(path); (gone != nil) != tc.moved {
				t.Errorf("move aside: %v, want it moved: %v", err, tc.moved)
			}
		})
	}
}
