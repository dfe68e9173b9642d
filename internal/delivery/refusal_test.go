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
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

const nextKey = "fedcba9876543210fedcba9876543210" // after a rotation.

func (r *rig) incident(name string) *incident.Incident {
	r.t.Helper()
	in, ok := r.Get(incident.ID("infra", name))
	if !ok {
		r.t.Fatalf("no incident %s in the outbox", name)
	}
	return in
}

// keyed lists what was sent for a dedup key, as `old|new action code`.
func keyed(pd *fakePagerDuty, dedup string) string {
	var out []string
	for _, s := range pd.requests() {
		if s.dedup == dedup {
			name := map[string]string{testKey: "old", nextKey: "new"}[s.key]
			out = append(out, fmt.Sprint(name, " ", s.action, " ", s.code))
		}
	}
	return strings.Join(out, ", ")
}

// A change event has a minimal form, too.
func TestRefusedChangeEventIsAcceptedAsTheMinimalOne(t *testing.T) {
	pd := &fakePagerDuty{}
	pd.answer = func(_ int, e *pagerduty.Event) error {
		if e.Payload.Source != "minimal" {
			return refusal()
		}
		return nil
	}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(alert{name: "a", urgency: mapping.Change})
		synctest.Wait()
		r.want("a", "change 400", "change 202")
	})
}

func TestRefusedFullEventIsAcceptedAsTheMinimalOne(t *testing.T) {
	for name, refuse := range map[string]func() error{
		"400": refusal,
		"413": func() error { return &pagerduty.StatusError{Code: 413} },
	} {
		t.Run(name, func(t *testing.T) {
			pd := &fakePagerDuty{}
			pd.answer = func(_ int, e *pagerduty.Event) error {
				if e.Action == "trigger" && e.Payload.Source != "minimal" {
					return refuse()
				}
				return nil
			}
			inBubble(t, pd, withFallback, func(r *rig) {
				r.observe(alert{name: "a"})
				r.want("a", "trigger "+name, "trigger 202")
				if in := r.incident("a"); in.Have != incident.StateOpen || in.Blocked != nil {
					t.Errorf("have %s, blocked %v, want open and not blocked", in.Have, in.Blocked)
				}
				if n := len(r.List()); n != 1 {
					t.Errorf("%d incidents, want 1: the fallback is not needed", n)
				}
			})
		})
	}
}

func TestRefusedWithoutFallbackIsKeptAndCanBeRetried(t *testing.T) {
	pd := &fakePagerDuty{}
	mended := false
	pd.answer = func(_ int, e *pagerduty.Event) error {
		if e.DedupKey == "a" && !mended {
			return refusal()
		}
		return nil
	}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(alert{name: "a"}, alert{name: "b"})
		time.Sleep(24 * time.Hour)
		r.want("a", "trigger 400", "trigger 400")
		r.want("b", "trigger 202")
		in := r.incident("a")
		if in.Status() != "blocked" || !strings.Contains(in.Blocked.Reason, "Event object is invalid") {
			t.Errorf("status %s, blocked %+v, want blocked with PagerDuty's words", in.Status(), in.Blocked)
		}
		pd.mu.Lock()
		mended = true
		pd.mu.Unlock()
		if err := r.Retry(r.t.Context(), in.ID); err != nil {
			t.Fatal(err)
		}
		r.want("a", "trigger 400", "trigger 400", "trigger 202")
	})
}

// A new firing is tried in full again: the next text may be fine.
func TestNewEpochOfARefusedIncidentIsTried(t *testing.T) {
	pd := &fakePagerDuty{}
	pd.answer = func(n int, _ *pagerduty.Event) error {
		if n < 2 {
			return refusal()
		}
		return nil
	}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(alert{name: "a"})
		synctest.Wait()
		r.observe(alert{name: "a", resolved: true})
		time.Sleep(time.Second)
		r.observe(alert{name: "a"})
		r.want("a", "trigger 400", "trigger 400", "trigger 202")
	})
}

// One incident that PagerDuty never takes, in every way that it can be, among
// others that it takes: they are not held up.
func TestPoisonNeverHoldsUpItsLane(t *testing.T) {
	const latency = 50 * time.Millisecond
	// After a 429 one request leaves every 2 s, and the poison may be first: two such
	// pauses, each after an answer. All of that is virtual time.
	const throttled = 2 * (2*time.Second + latency)
	for _, tc := range []struct {
		name   string
		answer func() error
		most   time.Duration // that a page waits before it leaves.
	}{
		{"refused", refusal, 0},
		{"too large", func() error { return &pagerduty.StatusError{Code: 413} }, 0},
		{"500 for ever", func() error { return &pagerduty.StatusError{Code: 500} }, 0},
		{"a proxy's 403", func() error { return &pagerduty.StatusError{Code: 403} }, 0},
		{"a page of HTML", func() error { return &pagerduty.StatusError{Code: 200, Body: []byte("<html>login</html>")} }, 0},
		{"never an answer", func() error { return context.DeadlineExceeded }, 0},
		{"always 429 for it", func() error { return &pagerduty.StatusError{Code: 429} }, throttled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pd := &fakePagerDuty{latency: latency}
			pd.answer = func(_ int, e *pagerduty.Event) error {
				if strings.HasPrefix(e.DedupKey, "poison") {
					return tc.answer()
				}
				return nil
			}
			inBubble(t, pd, nil, func(r *rig) {
				r.observe(alert{name: "poison-high"}, alert{name: "poison-low", urgency: mapping.Low})
				worst := time.Duration(0)
				for i := range 60 {
					fired := time.Now()
					fine := fmt.Sprint("fine", i)
					r.observe(alert{name: fine})
					time.Sleep(throttled + latency) // it has left and was answered.
					synctest.Wait()
					all := pd.requests()
					left := slices.IndexFunc(all, func(s sent) bool { return s.dedup == fine && s.code == 202 })
					if left < 0 {
						t.Fatalf("%s has waited for %v and not left, sent %q", fine, time.Since(fired), pd.actions(""))
					}
					worst = max(worst, all[left].at.Sub(fired))
					time.Sleep(5*time.Second - throttled - latency)
				}
				if worst > tc.most {
					t.Errorf("a page left after %v, want it after %v at most", worst, tc.most)
				}
				t.Logf("60 pages beside 2 poisonous ones: each left, after %v at most", worst)
			})
		})
	}
}

// Whatever a proxy in the way answers is temporary: nothing is blocked, nothing
// diverted, and everything is paged once the proxy lets it through.
func TestProxyInTheWay(t *testing.T) {
	for name, answer := range map[string]*pagerduty.StatusError{
		"401":                      {Code: 401, Body: []byte(`{"error":"no"}`)},
		"403":                      {Code: 403},
		"404":                      {Code: 404, Body: []byte("404 page not found")},
		"407":                      {Code: 407},
		"200 with a page of HTML":  {Code: 200, Body: []byte("<html>log in first</html>")},
		"202 with a page of HTML":  {Code: 202, Body: []byte("<html>log in first</html>")},
		"302":                      {Code: 302},
		"400 with a page of HTML":  {Code: 400, Body: []byte("<html>bad request</html>")},
		"400 with somebody's JSON": {Code: 400, Body: []byte(`{"error":"bad request"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			pd := &fakePagerDuty{}
			inTheWay := true
			pd.answer = func(int, *pagerduty.Event) error {
				if inTheWay {
					return answer
				}
				return nil
			}
			inBubble(t, pd, withFallback, func(r *rig) {
				r.observe(many("a", 10, mapping.High)...)
				time.Sleep(time.Hour)
				for _, in := range r.List() {
					if in.Blocked != nil || in.KeyFault != "" || in.FallbackOf != "" {
						t.Errorf("%s on %s: blocked %+v, key fault %q, want neither and no copy", in.DedupKey, in.Service, in.Blocked, in.KeyFault)
					}
				}
				pd.mu.Lock()
				inTheWay = false
				pd.mu.Unlock()
				time.Sleep(time.Minute)
				for i := range 10 {
					if in := r.incident(fmt.Sprint("a", i)); in.Have != incident.StateOpen {
						t.Errorf("%s: have %s, want open", in.DedupKey, in.Have)
					}
				}
			})
		})
	}
}

// rotating makes the key of service infra one that changes, with or without the
// old one among the previous keys.
func rotating(key *atomic.Value, previous *atomic.Bool) func(*rig) {
	return func(r *rig) {
		key.Store(testKey)
		s := service("infra")
		s.Key = func() (string, error) { return key.Load().(string), nil }
		s.PreviousKeys = func() []string {
			if previous.Load() {
				return []string{testKey}
			}
			return nil
		}
		r.settings.Services = map[string]delivery.Service{"infra": s}
	}
}

func TestKeyRotatedWithIncidentsOpen(t *testing.T) {
	var key atomic.Value
	var previous atomic.Bool
	previous.Store(true)
	pd := &fakePagerDuty{}
	inBubble(t, pd, rotating(&key, &previous), func(r *rig) {
		info := alert{name: "info", urgency: mapping.Acknowledged}
		r.observe(alert{name: "over"}, alert{name: "goes on"}, info)
		synctest.Wait()
		key.Store(nextKey)
		time.Sleep(40 * time.Second)
		r.observe(alert{name: "over", resolved: true}, alert{name: "new"})
		r.repeat("goes on")
		time.Sleep(2 * time.Minute)
		for name, want := range map[string]string{
			"over":    "old trigger 202, old resolve 202",
			"new":     "new trigger 202",
			"goes on": "old trigger 202, new trigger 202, old resolve 202", // seen again: it moves, and never a moment without.
			"info":    "old trigger 202, old acknowledge 202, old acknowledge 202",
		} {
			if got := keyed(pd, name); got != want {
				t.Errorf("%s: sent %q, want %q", name, got, want)
			}
		}
		r.observe(alert{name: "goes on", resolved: true})
		synctest.Wait()
		if got, want := keyed(pd, "goes on"), "old trigger 202, new trigger 202, old resolve 202, new resolve 202"; got != want {
			t.Errorf("goes on, over: sent %q, want %q", got, want)
		}
	})
}

func TestKeyRotatedWithoutThePreviousOne(t *testing.T) {
	var key atomic.Value
	var previous atomic.Bool
	pd := &fakePagerDuty{}
	inBubble(t, pd, rotating(&key, &previous), func(r *rig) {
		r.observe(alert{name: "a"})
		synctest.Wait()
		key.Store(nextKey)
		time.Sleep(5 * time.Second)
		r.observe(alert{name: "a", resolved: true}, alert{name: "b"})
		time.Sleep(time.Minute)
		if got, want := keyed(pd, "a"), "old trigger 202"; got != want {
			t.Errorf("sent %q, want %q: the resolve matches only under the key of the trigger", got, want)
		}
		if got, want := keyed(pd, "b"), "new trigger 202"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
		in := r.incident("a")
		if in.Blocked == nil || !strings.Contains(in.Blocked.Reason, "previous_routing_key_files") {
			t.Fatalf("blocked %+v, want it to say what to do", in.Blocked)
		}
		previous.Store(true) // as told, and a reload.
		r.wake()
		if _, err := r.RetryBlocked(r.t.Context(), "reload"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if got, want := keyed(pd, "a"), "old trigger 202, old resolve 202"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

// A key that PagerDuty has never known, or no longer knows, without a fallback:
// the pages wait, and leave as soon as the file holds a key that works.
func TestRevokedKeyWithoutFallback(t *testing.T) {
	var key atomic.Value
	var previous atomic.Bool
	pd := &fakePagerDuty{}
	revoked := false
	pd.answer = func(_ int, e *pagerduty.Event) error {
		if revoked && e.RoutingKey == testKey {
			return &pagerduty.StatusError{Code: 400, Body: []byte("Invalid routing key")}
		}
		return nil
	}
	inBubble(t, pd, rotating(&key, &previous), func(r *rig) {
		r.observe(alert{name: "before"})
		synctest.Wait()
		pd.mu.Lock()
		revoked = true
		pd.mu.Unlock()
		r.observe(many("a", 20, mapping.High)...)
		time.Sleep(10 * time.Minute)
		n := len(pd.requests())
		if n > 1+16+10 {
			t.Errorf("%d requests in ten minutes, want one a minute after the first", n)
		}
		if in := r.incident("a0"); in.Status() != "blocked" && in.Status() != "pending" {
			t.Errorf("status %s, want blocked or pending", in.Status())
		}
		key.Store(nextKey)
		time.Sleep(2 * time.Minute)
		for i := range 20 {
			if in := r.incident(fmt.Sprint("a", i)); in.Have != incident.StateOpen || in.KeyFault != "" {
				t.Errorf("%s: have %s, key fault %q, want open and none", in.DedupKey, in.Have, in.KeyFault)
			}
		}
	})
}
