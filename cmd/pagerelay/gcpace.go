package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// paceGarbageCollection lets the heap grow by gcPercent of what is alive before it is
// collected again: what Go does by itself makes 100,000 open incidents, which hardly
// change, take twice the memory that they need. It looks after each collection. Who
// has set GOGC decides for himself.
func paceGarbageCollection() {
	if os.Getenv("GOGC") == "" {
		afterEachCollection(func() { debug.SetGCPercent(gcPercent(liveHeap())) })
	}
}

// gcPercent is how much of the live heap, in bytes, may be added to it. A small heap
// is collected less often, for the sake of the processor; a large one more often.
func gcPercent(live uint64) int {
	switch {
	case live < 16<<20:
		return 200
	case live < 64<<20:
		return 100
	default:
		return 40
	}
}

// liveHeap is what the last collection found to be in use, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// afterEachCollection calls f once a collection has ended: it then finds that nobody
// uses what was made for it to find.
func afterEachCollection(f func()) {
	runtime.AddCleanup(new([16]byte), func(f func()) {
		f()
		afterEachCollection(f)
	}, f)
}
