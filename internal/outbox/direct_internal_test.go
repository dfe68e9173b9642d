package outbox

import (
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

func full() error { return &fs.PathError{Op: "write", Path: "a file", Err: syscall.ENOSPC} }

// commitAlone does what Run does with one webhook.
func commitAlone(s *Store, obs []mapping.Observation) {
	s.commit([]*op{{done: make(chan error, 1), apply: func(tx *transaction) error {
		incident.Observe(tx, obs, incident.Policy{}, tx.now)
		return nil
	}}})
}

// closeUnsaved gives a store n incidents that end before it can store them; the id of the
// last is that of the first.
func closeUnsaved(s *Store, n int) {
	tx := newTransaction(s, time.Now())
	for i := range n {
		in := incident.NewIncident(fmt.Sprint(i), &mapping.Observation{}, tx.now)
		if i == n-1 {
			in.ID = "0"
		}
		tx.closed = append(tx.closed, in)
	}
	s.enterDirect(tx, full())
}

// What ended while the disk takes no commits is found by its id, not by going through
// all that did, and no more of it is kept than there is room for.
func TestUnsavedClosingsAreFoundById(t *testing.T) {
	s, err := Open(t.TempDir(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.closeFile() }()
	const over = 100
	closeUnsaved(s, maxUnsaved+over)
	u := &s.unsaved
	if len(u.closed) != maxUnsaved || len(u.ended) != maxUnsaved || u.lost != over {
		t.Errorf("%d are kept, %d can be found and %d are lost; want %d, %d and %d", len(u.closed), len(u.ended), u.lost, maxUnsaved, maxUnsaved, over)
	}
	if u.ended["0"] != u.closed[maxUnsaved-1].Incident {
		t.Error("the newest of an id is not the one that is found")
	}
	u.stored(u.commits)
	if len(u.closed) != 0 || len(u.ended) != 0 {
		t.Errorf("%d are kept and %d can be found once all are stored", len(u.closed), len(u.ended))
	}
}

// A webhook of 1,000 new alerts in direct mode, beside as many closings as are kept.
func BenchmarkObserveBesideUnsavedClosings(b *testing.B) {
	s, err := Open(b.TempDir(), Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.closeFile() }()
	closeUnsaved(s, maxUnsaved)
	var obs []mapping.Observation
	for i := range 1000 {
		obs = append(obs, sight(fmt.Sprint(i), fmt.Sprint(i), mapping.Firing, time.Now()))
	}
	for b.Loop() {
		incident.Observe(newTransaction(s, time.Now()), obs, incident.Policy{}, time.Now())
	}
}

// A commit in direct mode, with all incidents unsaved because the file was opened
// late, or lost, and is full.
func BenchmarkDirectCommit(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("%d incidents", n), func(b *testing.B) {
			s, err := Open(b.TempDir(), Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.closeFile() }()
			s.failCommit = full
			commit := func(obs ...mapping.Observation) { commitAlone(s, obs) }
			began := time.Now()
			var obs []mapping.Observation
			for i := range n {
				obs = append(obs, sight(fmt.Sprint(i), fmt.Sprint(i), mapping.Firing, began))
			}
			commit(obs...)
			s.unsaved.all = true
			i := 0
			for b.Loop() {
				i++
				commit(sight(fmt.Sprint("new", i), fmt.Sprint("new", i), mapping.Firing, began))
			}
		})
	}
}
