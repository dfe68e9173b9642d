package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestGCPercentFallsAsTheHeapGrows(t *testing.T) {
	for _, tc := range []struct {
		live uint64
		want int
	}{
		{0, 200},
		{16<<20 - 1, 200},
		{16 << 20, 100},
		{64<<20 - 1, 100},
		{64 << 20, 40},
		{1 << 40, 40},
	} {
		if got := gcPercent(tc.live); got != tc.want {
			t.Errorf("with %d bytes alive: %d, want %d", tc.live, got, tc.want)
		}
	}
}

// Of a heap that has become large, the collector is told: and again after every
// collection, as it may have become small since.
func TestEachCollectionIsFollowed(t *testing.T) {
	seen := make(chan uint64, 1)
	stop := make(chan struct{})
	defer close(stop)
	afterEachCollection(func() {
		select {
		case seen <- liveHeap():
		case <-stop:
		}
	})
	large := make([]byte, 64<<20)
	runtime.GC()
	for live := range seen {
		if live >= 64<<20 {
			break
		}
		runtime.GC()
	}
	runtime.KeepAlive(large)
	runtime.GC()
	for live := range seen {
		if live < 64<<20 {
			break
		}
		runtime.GC()
	}
}

func TestGOGCIsObeyed(t *testing.T) {
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "77")
	paceGarbageCollection()
	for range 3 {
		runtime.GC()
	}
	if got := debug.SetGCPercent(77); got != 77 {
		t.Errorf("the percentage is %d, want the 77 that was asked for", got)
	}
}
