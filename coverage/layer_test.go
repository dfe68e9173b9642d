package coverage_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/coverage"
)

// A layer's end is less severe where others have its turns; that somebody on call
// could not be read, and may have no account, makes it no less severe.
func TestLayerEndOfTheUnread(t *testing.T) {
	w := healthy()
	w.Schedules["PPROD"].Layers = []coverage.Layer{{Name: "days", End: instant("2026-12-01 08:00")}}
	layer := coverage.Subject{Kind: coverage.KindSchedule, ID: "PPROD", Name: "prod-monitoring"}
	for _, tc := range []struct {
		unread string
		judged bool
	}{{"", true}, {"UCAT", true}, {"UBEN", false}} { // Cat is on call in another one.
		if tc.unread != "" {
			w.Unread = []coverage.Unread{{Kind: coverage.KindUser, ID: tc.unread, Reason: "403"}}
		}
		r := w.check()
		if diff := cmp.Diff([]string{"info layer_ends_soon schedule PPROD 2026-12-01 08:00/2026-12-07 08:00"}, showAll(r)); diff != "" {
			t.Errorf("%q not read: findings (-want +got):\n%s", tc.unread, diff)
		}
		if got := r.Judged(coverage.LayerEndsSoon, layer); got != tc.judged {
			t.Errorf("%q not read: got judged %v, want %v", tc.unread, got, tc.judged)
		}
	}
}
