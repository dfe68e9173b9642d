package delivery

import (
	"container/heap"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// item is an incident that waits in a lane.
type item struct {
	id    string
	class incident.Class
	since time.Time // order within a class.
	seq   uint64    // of equal times.
	index int       // in its heap; -1 when taken out.
}

type itemHeap []*item

func (h itemHeap) Len() int { return len(h) }
func (h itemHeap) Less(i, j int) bool {
	if !h[i].since.Equal(h[j].since) {
		return h[i].since.Before(h[j].since)
	}
	return h[i].seq < h[j].seq
}

func (h itemHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *itemHeap) Push(x any) {
	it, _ := x.(*item)
	it.index = len(*h)
	*h = append(*h, it)
}

func (h *itemHeap) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	it.index = -1
	return it
}

func (l *lane) push(it *item) { heap.Push(&l.ready[it.class], it) }

func (l *lane) remove(it *item) {
	if it.index >= 0 {
		heap.Remove(&l.ready[it.class], it.index)
	}
}

func (l *lane) empty() bool {
	for c := range l.ready {
		if len(l.ready[c]) > 0 {
			return false
		}
	}
	return true
}

// aged returns the oldest item of a class that has waited too long.
func (l *lane) aged(now time.Time) *item {
	var oldest *item
	for c := range l.ready {
		if incident.Class(c).High() || len(l.ready[c]) == 0 {
			continue
		}
		if it := l.ready[c][0]; now.Sub(it.since) >= agedAfter && (oldest == nil || it.since.Before(oldest.since)) {
			oldest = it
		}
	}
	return oldest
}

func (l *lane) take(it *item) *item {
	heap.Remove(&l.ready[it.class], it.index)
	return it
}
