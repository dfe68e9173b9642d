// Package bubble runs tests in virtual time.
package bubble

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// one lets one bubble run at a time: the number of processors is the process's.
var one sync.Mutex //nolint:gochecknoglobals // guards what is global itself.

// Test is synctest.Test on one processor. On several, Go 1.26's race detector may
// crash the test binary: a bubble has one context of the detector for all its
// timers, which two goroutines use at once when each finds a timer expired
// (runtime.timer.unlockAndRun). It sees races on one processor, too: it judges by
// what happens before what, not by what ran at the same time.
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	one.Lock()
	defer one.Unlock()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, f) //nolint:forbidigo // this is what bubble.Test is made of.
}
