package delivery

import (
	"container/heap"
	"time"

	"github.com/pagerelay/pagerelay/internal/outbox"
)

// Limits of a lane.
const (
	window         = 60 * time.Second // PagerDuty's sliding window (Events API v2, "Rate limits").
	reservedShare  = 10               // a tenth of the window is kept for high pages: 12 of 120.
	maxInFlight    = 16               // requests at once, ...
	maxInFlightLow = 12               // ... of which this many may be other than high.
	agedAfter      = 5 * time.Minute  // a class that has waited this long ...
	digestPatience = time.Hour        // a digest counts as waiting only after this.
	agedSlot       = 10               // ... gets one slot in ten.
	highProbe      = 2 * time.Second  // after a 429, high tries again this often.
	lowPause       = 10 * time.Second // after a 429 that names no time, the others wait this long.
	maxRetryAfter  = 5 * time.Minute  // a Retry-After beyond this is not waited for: the window is one minute.
	recoverEvery   = time.Minute      // the rate of the low classes, once halved, grows by a quarter this often.
	minLowFactor   = 1.0 / 16
	failingFrom    = 3 // different incidents that failed in a row make the lane back off.
	laneBackoffMax = 30 * time.Second
	faultProbe     = 60 * time.Second // a refused routing key is tried again this often.
)

// item is an incident that waits in a lane.
type item struct {
	id    string
	class outbox.Class
	since time.Time // order within a class.
	seq   uint64    // of equal times.
	owed  bool      // marked as owed, or being marked.
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

// ended is a request that has left, and when its answer came.
type ended struct {
	at   time.Time
	high bool
}

// lane delivers for one value of a routing key. It holds no clock and starts
// nothing: the Deliverer asks it what may leave now.
type lane struct {
	hash  string
	limit int // events in a window; 0 until a service says.

	ready [outbox.NumClasses]itemHeap

	inFlight, inFlightLow int
	done                  []ended   // requests of the last window, oldest first; ...
	doneHigh              int       // ... the high ones of them.
	slots                 int       // given so far, for aging.
	rated                 bool      // what pick last said.
	lowStarted            time.Time // the last one other than high.

	// After a 429.
	throttled         bool
	lastThrottle      time.Time
	highFrom, lowFrom time.Time
	lowFactor         float64
	lastRecover       time.Time
	failed            map[string]bool // incidents that failed since the last answer of PagerDuty's.
	failing           bool
	backoff           time.Duration
	backoffUntil      time.Time
	fault             string // what PagerDuty said of the key.
	faultUntil        time.Time
}

func newLane(hash string) *lane {
	return &lane{hash: hash, lowFactor: 1, failed: map[string]bool{}}
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

// used counts what PagerDuty's window may hold now. A request counts from its
// start until a window after its end: nobody knows when in between it was counted.
func (l *lane) used(now time.Time) int {
	n := 0
	for n < len(l.done) && now.Sub(l.done[n].at) >= window {
		if l.done[n].high {
			l.doneHigh--
		}
		n++
	}
	l.done = l.done[n:]
	return l.inFlight + len(l.done)
}

// pace is how far apart events other than high leave: not at all, unless more high
// ones than are provided for have left within the window. Then what the others
// hold comes free at any moment and not all at once, a minute after they left.
func (l *lane) pace() time.Duration {
	if high := l.inFlight - l.inFlightLow + l.doneHigh; high <= l.limit/reservedShare {
		return 0
	}
	return window / time.Duration(l.lowLimit())
}

func (l *lane) lowLimit() int {
	return max(1, int(float64(l.limit-l.limit/reservedShare)*l.lowFactor))
}

// pick takes the most urgent item that may leave now, or says when to ask again
// (zero: only when something changes). rated is true when nothing but the rate
// limit, PagerDuty's or our own, holds the most urgent high page back: not while
// PagerDuty is away, nor for want of a connection, were the limit not reached.
func (l *lane) pick(now time.Time) (it *item, again time.Time, rated bool) {
	if l.empty() {
		return nil, time.Time{}, false
	}
	l.recover(now)
	used := l.used(now)
	high, highAgain := l.mayHigh(now, used)
	away := l.failing || l.fault != ""
	rated = !away && !highAgain.IsZero() && len(l.ready[outbox.ClassHighTrigger]) > 0
	if l.inFlight >= maxInFlight {
		if rated {
			again = highAgain // from then on it waits for a connection.
		}
		return nil, again, rated
	}
	if away { // one at a time finds out whether it is over.
		until := l.backoffUntil
		if l.fault != "" && l.faultUntil.After(until) {
			until = l.faultUntil
		}
		if l.inFlight > 0 {
			return nil, time.Time{}, false
		}
		if now.Before(until) {
			return nil, until, false
		}
		if it := l.untried(now); l.fault == "" && it != nil {
			return l.take(it), time.Time{}, false
		}
	}
	low, lowAgain := l.mayLow(now, used, l.lowLimit())
	if (l.slots+1)%agedSlot == 0 {
		// Its place may be one of those kept for high: high ones may come without end.
		if may, _ := l.mayLow(now, used, l.lowLimit()+l.limit/reservedShare); may {
			if it := l.aged(now); it != nil {
				return l.take(it), time.Time{}, rated
			}
		}
	}
	for c := range l.ready {
		if len(l.ready[c]) == 0 {
			continue
		}
		may, at := low, lowAgain
		if outbox.Class(c).High() {
			may, at = high, highAgain
		}
		if may {
			return l.take(l.ready[c][0]), time.Time{}, rated
		}
		again = earliest(again, at)
	}
	return nil, again, rated
}

// untried is the most urgent item that may leave and has not failed since PagerDuty
// last answered: a few that always fail must not be all that is tried.
func (l *lane) untried(now time.Time) *item {
	used := l.used(now)
	high, _ := l.mayHigh(now, used)
	low, _ := l.mayLow(now, used, l.lowLimit())
	for c := range l.ready {
		if may := (outbox.Class(c).High() && high) || (!outbox.Class(c).High() && low); !may {
			continue
		}
		var best *item
		for i, it := range l.ready[c] {
			if !l.failed[it.id] && (best == nil || l.ready[c].Less(i, best.index)) {
				best = it
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// mayHigh says whether a high event may leave, else when to ask again.
func (l *lane) mayHigh(now time.Time, used int) (bool, time.Time) {
	switch {
	case l.throttled && now.Before(l.highFrom):
		return false, l.highFrom
	case l.throttled && l.inFlight > 0:
		return false, time.Time{}
	case used >= l.limit:
		return false, l.freeAt(used - l.limit)
	}
	return true, time.Time{}
}

// mayLow is mayHigh for the others, of which limit may be in the window.
func (l *lane) mayLow(now time.Time, used, limit int) (bool, time.Time) {
	switch {
	case now.Before(l.lowFrom):
		return false, l.lowFrom
	case l.inFlightLow >= maxInFlightLow, l.throttled && l.inFlight > 0:
		return false, time.Time{}
	case used >= limit:
		return false, l.freeAt(used - limit)
	}
	if due := l.lowStarted.Add(l.pace()); now.Before(due) {
		return false, due
	}
	return true, time.Time{}
}

// freeAt is when the window has one more free place, over being how many beyond
// the limit are in use. Zero: only once a request in flight has ended.
func (l *lane) freeAt(over int) time.Time {
	if over >= len(l.done) {
		return time.Time{}
	}
	return l.done[over].at.Add(window)
}

// aged returns the oldest item of a class that has waited too long.
func (l *lane) aged(now time.Time) *item {
	var oldest *item
	for c := range l.ready {
		if outbox.Class(c).High() || len(l.ready[c]) == 0 {
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

// start takes a place in the window.
func (l *lane) start(high bool, now time.Time) {
	l.inFlight++
	l.slots++
	if !high {
		l.inFlightLow++
		l.lowStarted = now
	}
}

// end gives the place back; counted says whether PagerDuty may have seen the request.
func (l *lane) end(high, counted bool, now time.Time) {
	l.inFlight--
	if !high {
		l.inFlightLow--
	}
	if counted {
		l.done = append(l.done, ended{at: now, high: high})
		if high {
			l.doneHigh++
		}
	} else {
		l.slots--
	}
}

// answered records that PagerDuty itself answered, other than by a 429.
func (l *lane) answered() {
	l.throttled = false
	clear(l.failed)
	l.failing, l.backoff, l.backoffUntil = false, 0, time.Time{}
}

// throttle records a 429. Several that arrive together count once.
func (l *lane) throttle(retryAfter time.Duration, now time.Time) {
	if now.Sub(l.lastThrottle) < time.Second {
		l.throttled = true
		return
	}
	l.throttled, l.lastThrottle, l.lastRecover = true, now, now
	l.lowFactor = max(minLowFactor, l.lowFactor/2)
	if retryAfter <= 0 || retryAfter > maxRetryAfter {
		retryAfter = lowPause
	}
	l.lowFrom = now.Add(retryAfter)
	l.highFrom = now.Add(highProbe)
}

func (l *lane) recover(now time.Time) {
	for l.lowFactor < 1 && now.Sub(l.lastRecover) >= recoverEvery {
		l.lowFactor = min(1, l.lowFactor*1.25)
		l.lastRecover = l.lastRecover.Add(recoverEvery)
	}
}

// fail records a temporary failure; jitter is between 0 and 1.
func (l *lane) fail(id string, jitter float64, now time.Time) {
	l.failed[id] = true
	if len(l.failed) < failingFrom && !l.failing {
		return
	}
	l.failing = true
	l.backoff = min(laneBackoffMax, max(time.Second, 2*l.backoff))
	l.backoffUntil = now.Add(time.Duration(float64(l.backoff) * (0.5 + jitter/2)))
}

// refuseKey records that PagerDuty does not know the key.
func (l *lane) refuseKey(message string, now time.Time) {
	l.fault, l.faultUntil = message, now.Add(faultProbe)
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
