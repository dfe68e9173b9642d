package delivery

import (
	"time"

	"github.com/pagerelay/pagerelay/internal/leaf/backoff"
)

// What may leave after a 429, failures, or a refused routing key.
const (
	highProbe      = 2 * time.Second  // after a 429, high tries again this often.
	lowPause       = 10 * time.Second // after a 429 that names no time, the others wait this long.
	maxRetryAfter  = 5 * time.Minute  // a Retry-After beyond this is not waited for: the window is one minute.
	recoverEvery   = time.Minute      // the rate of the low classes, once halved, grows by a quarter this often.
	minLowFactor   = 1.0 / 16
	failingFrom    = 3 // different incidents that failed in a row make the lane back off.
	laneBackoffMax = 30 * time.Second
	faultProbe     = 60 * time.Second // a refused routing key is tried again this often.
)

// answered records that PagerDuty itself answered, other than by a 429.
func (l *lane) answered() {
	l.throttled = false
	clear(l.failed)
	l.failing, l.failures, l.backoffUntil = false, 0, time.Time{}
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

// fail records a temporary failure and what it was.
func (l *lane) fail(id, what string, now time.Time) {
	l.failed[id], l.failure = true, what
	if len(l.failed) < failingFrom && !l.failing {
		return
	}
	l.failing = true
	l.failures++
	l.backoffUntil = now.Add(backoff.Backoff{First: backoffFirst, Max: laneBackoffMax, Factor: 2}.After(l.failures))
}

// refuseKey records that PagerDuty does not know the key.
func (l *lane) refuseKey(message string, now time.Time) {
	l.fault, l.faultUntil = message, now.Add(faultProbe)
}

// hold says what keeps the high classes, or the others, from leaving. It names no time,
// so that it changes only with what is the matter.
func (l *lane) hold(high bool, now time.Time) hold {
	limit, slots, inFlight := l.limit, maxInFlight, l.inFlight
	if !high {
		limit, slots, inFlight = l.lowLimit(), maxInFlightLow, l.inFlightLow
	}
	switch {
	case l.fault != "":
		return hold{CauseKeyRefused, "PagerDuty does not know the routing key: " + l.fault}
	case l.failing:
		return hold{CauseBackoff, "requests to PagerDuty fail: " + l.failure}
	case l.throttled, !high && now.Before(l.lowFrom):
		return hold{CauseQueue, "the routing key is throttled: PagerDuty answers 429"}
	case l.used(now) >= limit:
		return hold{CauseQueue, "the rate limit of the routing key is used up"}
	case l.inFlight >= maxInFlight || inFlight >= slots:
		return hold{CauseConnections, "PagerDuty answers slowly: all requests that may be open at once are"}
	}
	return hold{CauseQueue, "more urgent ones go first"}
}
