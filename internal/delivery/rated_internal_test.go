package delivery

import (
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/outbox"
)

// A page that nothing but the rate limit holds back is owed, also where nobody can say
// yet when there will be a place.
func TestRated(t *testing.T) {
	now := time.Now()
	for name, prepare := range map[string]func(*lane){
		"throttled, and the probe is in flight": func(l *lane) {
			l.limit = 120
			l.throttle(0, now.Add(-highProbe-time.Second))
			l.start(true, now)
		},
		"all of the limit is in flight": func(l *lane) {
			l.limit = 10
			for range l.limit {
				l.start(true, now)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLane("k")
			prepare(l)
			l.push(&item{id: "p", class: outbox.ClassHighTrigger, since: now})
			if it, _, rated := l.pick(now); it != nil || !rated {
				t.Errorf("got %v, rated: %t; want nothing and true", it, rated)
			}
		})
	}
}
