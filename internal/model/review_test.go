package model_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/emulator"
)

// A peer that could not deliver "resolved" for two minutes delivers it after the
// alert has fired again: what fires stays open at PagerDuty.
func TestPeersOldResolveClosesNothing(t *testing.T) {
	for _, peers := range []int{0, 2} {
		dir := newDir(t)
		t.Run(fmt.Sprint(peers, " Alertmanagers to ask"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(dir, peers, pagerDuty(120), alertmanager.Reconcile{})
				defer w.stop()
				first := time.Now()
				w.setFiring(0, true)
				w.sayAs(0, "first notification", 0, true, first, time.Time{})
				time.Sleep(10 * time.Minute)
				end := time.Now()
				w.setFiring(0, false)
				w.sayAs(0, "all alerts resolved", 0, false, first, end)
				time.Sleep(time.Minute)
				again := time.Now()
				w.setFiring(0, true)
				w.sayAs(0, "first notification", 0, true, again, time.Time{})
				time.Sleep(time.Minute)
				w.sayAs(1, "all alerts resolved", 0, false, first, end)
				time.Sleep(time.Hour)
				open := 0
				for _, in := range w.pd.Incidents() {
					for _, a := range in.Alerts {
						if a.Status != emulator.Resolved {
							open++
						}
					}
				}
				if open != 1 {
					t.Errorf("with %d Alertmanagers to ask: %d incidents are open at PagerDuty an hour later, want the one that fires", peers, open)
				}
			})
		})
	}
}
