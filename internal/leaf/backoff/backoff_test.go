package backoff_test

import (
	"math"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/leaf/backoff"
)

func TestAfter(t *testing.T) {
	b := backoff.Backoff{First: time.Second, Max: 30 * time.Second, Factor: 4}
	for failures, whole := range map[int]time.Duration{
		1: time.Second, 2: 4 * time.Second, 3: 16 * time.Second, 4: 30 * time.Second, 5: 30 * time.Second, math.MaxInt: 30 * time.Second,
	} {
		seen := map[time.Duration]bool{}
		for range 100 {
			d := b.After(failures)
			if d < whole/2 || d > whole {
				t.Fatalf("after %d failures: got %v, want %v to %v", failures, d, whole/2, whole)
			}
			seen[d] = true
		}
		if len(seen) < 50 {
			t.Errorf("after %d failures: got %d different times of 100, want them at random", failures, len(seen))
		}
	}
}
