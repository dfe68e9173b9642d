package delivery_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// between counts the requests from one time to another after the first.
func (f *fakePagerDuty) between(from, to time.Duration) int {
	n := 0
	all := f.requests()
	for _, s := range all {
		if since := s.at.Sub(all[0].at); since >= from && since < to {
			n++
		}
	}
	return n
}

// Others may use the routing key: what PagerDuty has refused once is sent at half
// the rate, not before the time it names, and the rate grows again slowly.
func TestLowIsHalvedAfterA429(t *testing.T) {
	const pause = 7 * time.Second
	pd := &fakePagerDuty{answer: func(n int, _ *pagerduty.Event) error {
		if n == 0 {
			return &pagerduty.StatusError{Code: 429, Header: http.Header{"Retry-After": {"7"}}}
		}
		return nil
	}}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(alert{name: "first", urgency: mapping.Low})
		synctest.Wait()
		r.observe(many("low", 400, mapping.Low)...)
		time.Sleep(10 * time.Minute)
		if n := pd.between(time.Nanosecond, pause); n != 0 {
			t.Errorf("%d requests within the %v that PagerDuty asked to wait, want none", n, pause)
		}
		// 108 in a minute are for low events, half of it after a 429.
		if n := pd.between(pause, pause+50*time.Second); n < 50 || n > 54 {
			t.Errorf("%d requests in the minute after the 429, want half of 108", n)
		}
		if n := pd.between(4*time.Minute, 5*time.Minute); n < 80 {
			t.Errorf("%d requests in the fifth minute, want the rate to have grown again", n)
		}
		if n := len(pd.requests()); n != 402 {
			t.Errorf("%d requests, want each of 401 alerts once and the one again", n)
		}
	})
}

// A flood that PagerDuty throttles is told of when it begins, not with each answer.
func TestThrottlingIsLoggedOnce(t *testing.T) {
	var throttles atomic.Bool
	pd := &fakePagerDuty{latency: time.Second}
	pd.answer = func(int, *pagerduty.Event) error {
		if throttles.Load() {
			return &pagerduty.StatusError{Code: 429}
		}
		return nil
	}
	inBubble(t, pd, nil, func(r *rig) {
		want := func(n int, when string) {
			t.Helper()
			synctest.Wait()
			if got := strings.Count(r.log.String(), "PagerDuty throttles"); got != n {
				t.Errorf("%s: got %d lines, want %d, in\n%s", when, got, n, r.log.String())
			}
		}
		throttles.Store(true)
		r.observe(many("high", 20, mapping.High)...)
		time.Sleep(5 * time.Minute)
		want(1, "five minutes of it")
		throttles.Store(false)
		time.Sleep(10 * time.Minute)
		throttles.Store(true)
		r.observe(many("later", 20, mapping.High)...)
		time.Sleep(time.Minute)
		want(2, "again, after all was well")
	})
}

// While PagerDuty throttles, one high page at a time finds out whether it still does.
func TestOneProbeAtATimeWhileThrottled(t *testing.T) {
	until := time.Time{}
	pd := &fakePagerDuty{}
	pd.answer = func(int, *pagerduty.Event) error {
		if time.Now().Before(until) {
			return &pagerduty.StatusError{Code: 429}
		}
		return nil
	}
	inBubble(t, pd, nil, func(r *rig) {
		until = time.Now().Add(9 * time.Second)
		r.observe(alert{name: "first"})
		synctest.Wait()
		r.observe(many("high", 20, mapping.High)...)
		time.Sleep(time.Minute)
		if n := pd.between(time.Nanosecond, 9*time.Second); n != 4 {
			t.Errorf("%d requests in the 9 s after the first 429, want one every 2 s", n)
		}
		if n := len(pd.requests()); n != 5+21 {
			t.Errorf("%d requests, want 5 refused and 21 accepted", n)
		}
	})
}

// A repeat that comes while a trigger is on its way is passed on after it.
func TestRepeatDuringARequestIsPassedOn(t *testing.T) {
	pd := &fakePagerDuty{latency: time.Second}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(alert{name: "a"})
		time.Sleep(500 * time.Millisecond)
		r.repeat("a")
		time.Sleep(10 * time.Minute)
		r.want("a", "trigger 202", "trigger 202")
	})
}

// Services that share a routing key share its limit: the lowest that is configured.
func TestSharedKeyHasTheLowestLimit(t *testing.T) {
	pd := &fakePagerDuty{}
	inBubble(t, pd, func(r *rig) {
		one, other := service("infra"), service("other")
		other.EventsPerMinute = 60
		r.settings.Services = map[string]delivery.Service{"infra": one, "other": other}
	}, func(r *rig) {
		r.observe(alert{name: "first", urgency: mapping.Low})
		synctest.Wait()
		r.observe(alert{name: "o", service: "other", urgency: mapping.Low})
		synctest.Wait()
		r.observe(many("low", 200, mapping.Low)...)
		time.Sleep(50 * time.Second)
		if n := len(pd.requests()); n != 54 {
			t.Errorf("%d requests in the first minute, want nine tenths of 60", n)
		}
	})
}

// A reload may have mended the key: it is tried at once.
func TestReloadTriesARefusedKey(t *testing.T) {
	bad := true
	pd := &fakePagerDuty{}
	pd.answer = func(int, *pagerduty.Event) error {
		if bad {
			return &pagerduty.StatusError{Code: 400, Body: []byte("Invalid routing key")}
		}
		return nil
	}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(alert{name: "a"})
		synctest.Wait()
		pd.mu.Lock()
		bad = false
		pd.mu.Unlock()
		time.Sleep(time.Second)
		r.d.Apply(r.settings)
		synctest.Wait()
		r.want("a", "trigger 400", "trigger 202")
		if in, _ := r.Get(incident.ID("infra", "a")); in.Have != incident.StateOpen || in.KeyFault != "" {
			t.Errorf("have is %s, key fault %q; want open and none", in.Have, in.KeyFault)
		}
	})
}
