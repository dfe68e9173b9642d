package delivery

import (
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/mutant"
)

// Limits of waiting.
const (
	agedAfter      = 5 * time.Minute // a class that has waited this long ...
	agedSlot       = 10              // ... gets one slot in ten.
	digestPatience = time.Hour       // a digest counts as waiting only after this.
)

// lane delivers for one value of a routing key. It holds no clock and starts
// nothing: the Deliverer asks it what may leave now.
type lane struct {
	hash  string
	limit int // events in a window; 0 until a service says.

	ready [incident.NumClasses]heapOf[*item]

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
	failure           string          // what the last of them was.
	failing           bool
	failures          int
	backoffUntil      time.Time
	fault             string // what PagerDuty said of the key.
	faultUntil        time.Time

	shown laneHolds // as others know it.
}

func newLane(hash string) *lane {
	return &lane{hash: hash, lowFactor: 1, failed: map[string]bool{}}
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
	limited := used >= l.limit || now.Sub(l.lastThrottle) < window // a 429 says no more of the limit after that.
	rated = !away && !high && limited && len(l.ready[incident.ClassHighTrigger]) > 0
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
	if (l.slots+1)%agedSlot == 0 && !mutant.On(mutant.NoAging) {
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
		if incident.Class(c).High() {
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
		if may := (incident.Class(c).High() && high) || (!incident.Class(c).High() && low); !may {
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

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
