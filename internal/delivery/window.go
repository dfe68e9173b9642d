package delivery

import (
	"time"

	"github.com/pagerelay/pagerelay/internal/mutant"
)

// What may leave while all is well: PagerDuty's limit, and connections.
const (
	window         = 60 * time.Second // PagerDuty's sliding window (Events API v2, "Rate limits").
	reservedShare  = 10               // a tenth of the window is kept for high pages: 12 of 120.
	maxInFlight    = 16               // requests at once, ...
	maxInFlightLow = 12               // ... of which this many may be other than high.
)

// ended is a request that has left, and when its answer came.
type ended struct {
	at   time.Time
	high bool
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
	reserve := l.limit / reservedShare
	if mutant.On(mutant.NoReserve) {
		reserve = 0
	}
	return max(1, int(float64(l.limit-reserve)*l.lowFactor))
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
