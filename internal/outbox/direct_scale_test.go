package outbox_test

import (
	"fmt"
	"testing"

	"github.com/pagerelay/pagerelay/internal/outbox"
)

// While the disk is full, page after page goes out and is answered; once there is
// room, all of them are in the file.
func TestPagesGoOutWhileTheDiskIsFull(t *testing.T) {
	const pages = 300
	d := &disk{}
	s := openFailing(t, t.TempDir(), outbox.Policy{}, d.fail)
	s.observe(alert{fp: "before"})
	d.full.Store(true)
	for i := range pages {
		a := alert{fp: fmt.Sprint("a", i)}
		answer := s.observing(a)
		s.acceptSoon(a.fp)
		if err := <-answer; err != nil {
			t.Fatalf("page %d: %v", i, err)
		}
	}
	if !s.Direct() {
		t.Error("the disk takes no commit, and this is not direct mode")
	}
	d.full.Store(false)
	for s.Direct() {
		s.observe(alert{fp: "after"})
	}
	s = s.reopen()
	if got := len(s.List()); got != pages+2 {
		t.Errorf("%d incidents after reopening, want %d", got, pages+2)
	}
	t.Logf("%d pages with a full disk: all accepted by PagerDuty before they were answered, all stored afterwards", pages)
}
