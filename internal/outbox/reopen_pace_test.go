package outbox_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/mapping"
)

// To open the file may mean to read all of it, or to wait for its lock: whatever
// comes in, nine times of what a try took lies between its end and the next one.
func TestFileThatCannotBeOpenedIsNotTriedAllTheTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		dir := filepath.Join(quickDir(t), "data")
		if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the folder should be.
			t.Fatal(err)
		}
		r := open(t, dir, incident.Policy{})
		defer r.stop()
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		other, err := bolt.Open(filepath.Join(dir, "outbox.db"), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		commit := func() { r.observe(alert{fp: "a", urgency: mapping.None}) } // it waits for nobody.
		began := time.Now()
		commit()
		took := time.Since(began)
		if took < time.Second {
			t.Errorf("the first try took %v: it did not wait for the lock, the test tests nothing", took)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			commit()
			if !r.Direct() {
				t.Fatalf("the file is open %v after the first try's end, want no other try yet", time.Since(began)-took)
			}
			time.Sleep(2 * took)
		}
		time.Sleep(2 * took)
		commit()
		if r.Direct() {
			t.Errorf("the file is not open %v after the first try's end", time.Since(began)-took)
		}
	})
}
