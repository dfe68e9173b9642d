package model_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/emulator"
)

// Alerts end in the very moment in which their triggers, held back by a 429,
// leave: either goes first, but no trigger leaves after its resolve was answered
// 200. Which goes first is the scheduler's choice, so the moment comes often.
func TestResolvesMeetTheirTriggers(t *testing.T) {
	dir := newDir(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(dir, 0, pagerDuty(0), alertmanager.Reconcile{})
		time.Sleep(time.Second)
		for range 40 {
			if err := w.pd.SetFaults([]emulator.Fault{{Do: emulator.DoAnswer, Status: 429, First: 1}}); err != nil {
				t.Fatal(err)
			}
			all := []int{0, 1, 2, 3}
			for _, i := range all {
				w.begin(i)
			}
			each(all, func(i int) { w.say("first notification", i) })
			time.Sleep(2 * time.Second) // after that high is tried again.
			for _, i := range all {
				w.setFiring(i, false)
				w.ends[i] = time.Now()
			}
			each(all, func(i int) { w.sayAs(0, "all alerts resolved", i, false, w.starts[i], w.ends[i]) })
			time.Sleep(10 * time.Minute)
			w.pd.ClearFaults()
		}
		for _, p := range w.finish() {
			t.Errorf("%.2000s", p)
		}
	})
}

// each calls f for all at once.
func each(all []int, f func(int)) {
	var done sync.WaitGroup
	for _, i := range all {
		done.Go(func() { f(i) })
	}
	done.Wait()
}
