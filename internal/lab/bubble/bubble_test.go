package bubble

import (
	"sync"
	"testing"
	"time"
)

// With synctest.Test in place of Test this crashes the binary in one run of three,
// with -race on two processors.
func TestTimersThatExpireAtOnce(t *testing.T) {
	for range 500 {
		Test(t, func(*testing.T) {
			var expiring sync.WaitGroup
			for range 8 {
				expiring.Go(func() {
					for range 50 {
						<-time.NewTimer(0).C
					}
				})
			}
			expiring.Wait()
		})
	}
}
