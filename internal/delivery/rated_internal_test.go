package delivery

import (
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// A page that nothing but the rate limit holds back is owed, also where nobody can say
// yet when there will be a place; but not for a 429 of long ago, since which PagerDuty
// has not answered.
func TestRated(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		limit     int
		inFlight  int
		throttled time.Duration // ago; 0: never.
		want      bool
	}{
		"throttled, and the probe is in flight":    {limit: 120, inFlight: 1, throttled: highProbe + time.Second, want: true},
		"throttled long ago, no answer since":      {limit: 120, inFlight: 1, throttled: window, want: false},
		"all of the limit is in flight":            {limit: 10, inFlight: 10, want: true},
		"all connections are taken, not the limit": {limit: 120, inFlight: maxInFlight, want: false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLane("k")
			l.limit = test.limit
			if test.throttled > 0 {
				l.throttle(0, now.Add(-test.throttled))
			}
			for range test.inFlight {
				l.start(true, now)
			}
			l.push(&item{id: "p", class: incident.ClassHighTrigger, since: now})
			if it, _, rated := l.pick(now); it != nil || rated != test.want {
				t.Errorf("got %v, rated: %t; want nothing and %t", it, rated, test.want)
			}
		})
	}
}
