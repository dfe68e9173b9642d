// Package backoff says how long to wait before something is tried again.
//
// It keeps no state: whoever counts its tries on disk, as an incident does, asks with
// the count. cenkalti/backoff counts for itself, in memory.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Backoff waits longer after each failure, at random between half of and all of the
// time, so that what failed together is not tried together.
type Backoff struct {
	First  time.Duration // after the first failure.
	Max    time.Duration
	Factor int // by which each is longer than the one before; at least 2.
}

// After is how long to wait after so many failures in a row, 1 or more.
func (b Backoff) After(failures int) time.Duration {
	d := b.First
	for ; failures > 1 && d < b.Max; failures-- {
		d *= time.Duration(b.Factor)
	}
	d = min(d, b.Max)
	return d/2 + rand.N(d/2+1)
}
