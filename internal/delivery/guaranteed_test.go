package delivery_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// guaranteed lists the incidents that are to be paged although they are over, in order.
func (r *rig) guaranteed() []string {
	r.t.Helper()
	synctest.Wait()
	var names []string
	for _, in := range r.List() {
		if in.Guaranteed > in.AcceptedRevision {
			names = append(names, in.DedupKey)
		}
	}
	slices.Sort(names)
	return names
}

func (r *rig) over(alerts []alert) {
	r.t.Helper()
	alerts = slices.Clone(alerts)
	for i := range alerts {
		alerts[i].resolved = true
	}
	r.observe(alerts...)
	synctest.Wait()
}

// More high pages than there are connections come in as an outage begins. They wait
// for a connection, and then for PagerDuty, and not for the rate limit: what is over
// when it is back is told, and none of it is paged.
func TestWaitingForPagerDutyGuaranteesNothing(t *testing.T) {
	for _, tc := range []struct {
		name    string
		latency time.Duration
		fail    func() error
	}{
		{"hangs", 5 * time.Second, func() error { return context.DeadlineExceeded }},
		{"answers 503", 100 * time.Millisecond, func() error { return &pagerduty.StatusError{Code: 503} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var down atomic.Bool
			down.Store(true)
			pd := &fakePagerDuty{latency: tc.latency, answer: func(int, *pagerduty.Event) error {
				if down.Load() {
					return tc.fail()
				}
				return nil
			}}
			inBubble(t, pd, nil, func(r *rig) {
				all := many("high", 60, mapping.High)
				r.observe(append(all, alert{name: "early"})...)
				synctest.Wait()
				r.over([]alert{{name: "early"}})
				if got := r.guaranteed(); len(got) > 0 {
					t.Errorf("guaranteed while all connections are taken: %q, want none", got)
				}
				r.observe(alert{name: "late"}) // no connection was free before it.
				time.Sleep(time.Hour)
				r.over(append(all, alert{name: "late"}))
				if got := r.guaranteed(); len(got) > 0 {
					t.Errorf("guaranteed after an hour of outage: %q, want none", got)
				}
				n := len(pd.requests())
				down.Store(false)
				time.Sleep(3 * time.Hour)
				var told []string
				for _, s := range pd.requests()[n:] {
					switch {
					case s.action == "trigger" && s.code == 202:
						t.Errorf("%s was paged after the outage, though it was over", s.dedup)
					case s.action == "change":
						told = append(told, s.dedup)
					}
				}
				want := "62 firings were over before PagerDuty confirmed them or anybody could be paged: high (60), early (1), late (1)"
				if len(told) != 1 || told[0] != want {
					t.Errorf("told %q, want %q", told, want)
				}
			})
		})
	}
}

// PagerDuty is slow and all connections are taken: what is over before one comes
// free is not guaranteed, if the limit would have let it leave.
func TestWaitingForAConnectionGuaranteesNothing(t *testing.T) {
	pd := &fakePagerDuty{latency: 4 * time.Second}
	inBubble(t, pd, nil, func(r *rig) {
		all := many("high", 40, mapping.High)
		r.observe(all...)
		time.Sleep(time.Second)
		r.over(all)
		time.Sleep(time.Hour)
		paged := 0
		for _, s := range pd.requests() {
			if s.action == "trigger" {
				paged++
			}
		}
		if paged != 16 {
			t.Errorf("%d were paged, want the 16 that were on their way when they ended", paged)
		}
	})
}

// What finds both the limit reached and all connections taken waits for the limit:
// a connection that came free would be of no use.
func TestLimitReachedWithAllConnectionsTakenGuarantees(t *testing.T) {
	pd := &fakePagerDuty{limit: 32, latency: time.Second}
	inBubble(t, pd, func(r *rig) {
		s := service("infra")
		s.EventsPerMinute = 32
		r.settings.Services = map[string]delivery.Service{"infra": s}
	}, func(r *rig) {
		all := many("high", 33, mapping.High)
		r.observe(all...)
		time.Sleep(500 * time.Millisecond) // 16 in flight, 16 places left.
		r.observe(alert{name: "early"})
		synctest.Wait()
		r.over([]alert{{name: "early"}})
		if got := r.guaranteed(); len(got) > 0 {
			t.Errorf("guaranteed before the limit was reached: %q, want none", got)
		}
		time.Sleep(time.Second) // the other 16 are in flight.
		pd.mu.Lock()
		inFlight, sent := pd.now, len(pd.log)
		pd.mu.Unlock()
		if inFlight != 16 || sent != 32 {
			r.t.Fatalf("%d of %d requests are in flight, want 16 of 32", inFlight, sent)
		}
		r.over(all)
		got := r.guaranteed()
		if len(got) != 1 {
			r.t.Fatalf("guaranteed with the limit reached: %q, want the one that has not left", got)
		}
		time.Sleep(10 * time.Minute)
		r.want(got[0], "trigger 202", "resolve 202")
	})
}

// The limit is reached, all connections hang, and the limit has places again before
// they do: what comes in then waits for a connection alone.
func TestPlacesWithinTheLimitGuaranteeNothing(t *testing.T) {
	pd := &fakePagerDuty{}
	inBubble(t, pd, func(r *rig) {
		s := service("infra")
		s.EventsPerMinute = 20
		r.settings.Services = map[string]delivery.Service{"infra": s}
	}, func(r *rig) {
		r.observe(many("before", 4, mapping.High)...)
		time.Sleep(30 * time.Second)
		pd.mu.Lock()
		pd.latency = time.Minute
		pd.mu.Unlock()
		r.observe(many("high", 16, mapping.High)...)
		synctest.Wait()
		r.observe(alert{name: "full"})
		synctest.Wait()
		r.over([]alert{{name: "full"}})
		time.Sleep(40 * time.Second) // the first four are no longer in the window.
		r.observe(alert{name: "free"})
		synctest.Wait()
		r.over([]alert{{name: "free"}})
		if got := fmt.Sprint(r.guaranteed()); got != "[full]" {
			t.Errorf("guaranteed: %s, want the one that ended while the limit was reached", got)
		}
	})
}

// While PagerDuty is known to be away, nothing waits for the limit alone, even if
// what failed has filled the window.
func TestFullWindowInAnOutageGuaranteesNothing(t *testing.T) {
	var down atomic.Bool
	pd := &fakePagerDuty{answer: func(int, *pagerduty.Event) error {
		if down.Load() {
			return &pagerduty.StatusError{Code: 503}
		}
		return nil
	}}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(many("before", 117, mapping.High)...)
		synctest.Wait()
		down.Store(true)
		r.observe(many("high", 3, mapping.High)...)
		time.Sleep(5 * time.Second)
		r.observe(alert{name: "short"})
		time.Sleep(40 * time.Second)
		r.over([]alert{{name: "short"}})
		if got := r.guaranteed(); len(got) > 0 {
			t.Errorf("guaranteed: %q, want none", got)
		}
		down.Store(false)
		time.Sleep(time.Hour)
		if got := strings.Join(pd.actions("short"), ", "); strings.Contains(got, "trigger 202") {
			t.Errorf("short was sent %q, want no page: it was over", got)
		}
	})
}
