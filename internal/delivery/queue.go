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

func (it *item) place() *int { return &it.index }

func (it *item) before(other *item) bool {
	if !it.since.Equal(other.since) {
		return it.since.Before(other.since)
	}
	return it.seq < other.seq
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
