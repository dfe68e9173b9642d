package delivery_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// A page that waits says why: on the incident at once, and after 10 s in the log, once
// when it begins and once when it ends, on the metric, and on the status page.
func TestWaitingSaysWhy(t *testing.T) {
	const file = "open /etc/keys/infra: permission denied"
	for _, tc := range []struct {
		name  string
		setup func(r *rig, broken *atomic.Bool)
		cause delivery.Cause
		text  string
	}{
		{
			"a routing key file that cannot be read", func(r *rig, broken *atomic.Bool) {
				s := service("infra")
				s.Key = func() (string, error) {
					if broken.Load() {
						return "", errors.New(file)
					}
					return testKey, nil
				}
				r.settings.Services["infra"] = s
			}, delivery.CauseKeyUnreadable, file,
		},
		{
			"PagerDuty is away", func(r *rig, broken *atomic.Bool) {
				r.pd.answer = func(int, *pagerduty.Event) error {
					if broken.Load() {
						return &pagerduty.StatusError{Code: 503}
					}
					return nil
				}
			}, delivery.CauseBackoff, "503",
		},
		{
			"PagerDuty does not know the key", func(r *rig, broken *atomic.Bool) {
				r.pd.answer = func(int, *pagerduty.Event) error {
					if broken.Load() {
						return &pagerduty.StatusError{Code: 400, Body: []byte("Invalid routing key")}
					}
					return nil
				}
			}, delivery.CauseKeyRefused, "routing key",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var broken atomic.Bool
			broken.Store(true)
			inBubble(t, &fakePagerDuty{}, func(r *rig) { tc.setup(r, &broken) }, func(r *rig) {
				r.observe(alert{name: "a"})
				time.Sleep(8 * time.Second)
				for _, got := range r.d.Waiting() {
					if got.Incidents != 0 {
						t.Errorf("after 8 s: got %+v, want no incident", got)
					}
				}
				if cause, got := r.d.Why(incident.ID("infra", "a")); cause != string(tc.cause) || !strings.Contains(got, tc.text) {
					t.Errorf("the incident says %s, %q, want %s, and %q in it", cause, got, tc.cause, tc.text)
				}
				time.Sleep(22 * time.Second)
				r.observe(alert{name: "b"}) // another one for the same reason is no news.
				time.Sleep(30 * time.Second)
				got := r.d.Waiting()
				if len(got) != 1 || got[0].Service != "infra" || got[0].Cause != tc.cause || got[0].Incidents != 2 || !strings.Contains(got[0].Text, tc.text) {
					t.Errorf("got %+v, want 2 that wait for %s with %q", got, tc.cause, tc.text)
				}
				want := `
# HELP pagerelay_waiting_incidents Incidents that PagerDuty should have been told something of more than 10 seconds ago, by what they wait for.
# TYPE pagerelay_waiting_incidents gauge
`
				for _, cause := range delivery.Causes() {
					n := "0"
					if cause == tc.cause {
						n = "2"
					}
					want += `pagerelay_waiting_incidents{cause="` + string(cause) + `",service="infra"} ` + n + "\n"
				}
				if err := testutil.GatherAndCompare(r.reg, strings.NewReader(want), "pagerelay_waiting_incidents"); err != nil {
					t.Error(err)
				}
				broken.Store(false)
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				if got := r.d.Waiting(); len(got) != 0 {
					t.Errorf("in the end: got %+v, want nothing", got)
				}
				r.stop()
				log := r.log.String()
				if n := strings.Count(log, `msg="Pages wait" service=infra cause=`+string(tc.cause)); n != 1 {
					t.Errorf("the log tells %d times that it began, want once:\n%s", n, log)
				}
				if n := strings.Count(log, `msg="Pages no longer wait" service=infra cause=`+string(tc.cause)); n != 1 {
					t.Errorf("the log tells %d times that it ended, want once:\n%s", n, log)
				}
			})
		})
	}
}

// What is queued waits for whatever holds its lane: while PagerDuty is away that is no
// rate limit, though most of it has not been tried.
func TestWhatIsQueuedWaitsForItsLane(t *testing.T) {
	flood := func(n int, u mapping.Urgency) []alert {
		var list []alert
		for i := range n {
			list = append(list, alert{name: fmt.Sprintf("%s%d", u, i), urgency: u})
		}
		return list
	}
	for _, tc := range []struct {
		name  string
		pd    *fakePagerDuty
		flood []alert
		want  delivery.Cause
		text  string
		pages bool
	}{
		{
			"PagerDuty is away",
			&fakePagerDuty{answer: func(int, *pagerduty.Event) error { return &pagerduty.StatusError{Code: 503} }},
			flood(40, mapping.High), delivery.CauseBackoff, "503", true,
		},
		{
			"PagerDuty throttles",
			&fakePagerDuty{limit: 1},
			flood(40, mapping.Low), delivery.CauseQueue, "is throttled: PagerDuty answers 429", false,
		},
		{"our own limit", &fakePagerDuty{}, flood(200, mapping.Low), delivery.CauseQueue, "rate limit of the routing key is used up", false},
		{
			"PagerDuty is slow",
			&fakePagerDuty{latency: 20 * time.Second},
			flood(60, mapping.High), delivery.CauseConnections, "answers slowly", true,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, tc.pd, nil, func(r *rig) {
				r.observe(tc.flood...)
				time.Sleep(18 * time.Second)
				synctest.Wait()
				said := 0
				for _, a := range tc.flood { // which of them have left is chance.
					if cause, text := r.d.Why(incident.ID("infra", a.name)); cause == string(tc.want) && strings.Contains(text, tc.text) {
						said++
					}
				}
				if said < 2 {
					t.Errorf("%d incidents say %s and %q, want several", said, tc.want, tc.text)
				}
				for _, w := range r.d.Waiting() {
					if w.Cause == tc.want && strings.Contains(w.Text, tc.text) && w.Incidents > 1 && w.Pages == tc.pages {
						return
					}
				}
				t.Errorf("got %+v, want several that wait for %s with %q, pages %t", r.d.Waiting(), tc.want, tc.text, tc.pages)
			})
		})
	}
}

// A request that is not answered says so, whatever held the incident before.
func TestRequestWithoutAnAnswer(t *testing.T) {
	inBubble(t, &fakePagerDuty{latency: time.Minute}, nil, func(r *rig) {
		r.observe(alert{name: "a"})
		time.Sleep(30 * time.Second)
		synctest.Wait()
		got := r.d.Waiting()
		if len(got) != 1 || got[0].Cause != delivery.CauseBackoff || !strings.Contains(got[0].Text, "has not answered") {
			t.Errorf("got %+v, want one that waits for an answer", got)
		}
	})
}

// One page that is answered 429 over and over waits since it came, and that is told once.
func TestThrottledPageWaitsSinceItCame(t *testing.T) {
	pd := &fakePagerDuty{answer: func(int, *pagerduty.Event) error { return &pagerduty.StatusError{Code: 429} }}
	inBubble(t, pd, nil, func(r *rig) {
		began := r.wall()
		r.observe(alert{name: "a"})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		got := r.d.Waiting()
		if len(got) != 1 || got[0].Cause != delivery.CauseQueue || !got[0].Pages || got[0].Since.Sub(began) > time.Second {
			t.Errorf("got %+v, want the page that waits for the rate limit since %s", got, began)
		}
		r.stop()
		if n := strings.Count(r.log.String(), `msg="Pages wait"`); n != 1 {
			t.Errorf("the log tells of it %d times, want once:\n%s", n, &r.log)
		}
	})
}

// A routing key that cannot be read is told at once, at the start and after a reload,
// before any page needs it; and again when it can be read, or its service is gone.
func TestUnreadableKeyIsToldBeforeAPageNeedsIt(t *testing.T) {
	const file = "open /etc/keys/infra: permission denied"
	var broken atomic.Bool
	broken.Store(true)
	setup := func(r *rig) {
		s := service("infra")
		s.Key = func() (string, error) {
			if broken.Load() {
				return "", errors.New(file)
			}
			return testKey, nil
		}
		r.settings.Services["infra"] = s
	}
	readable := func(r *rig, want string) {
		t.Helper()
		if err := testutil.GatherAndCompare(r.reg, strings.NewReader(`
# HELP pagerelay_routing_key_readable 1 if the service's routing key could be read when it was last looked at, else 0.
# TYPE pagerelay_routing_key_readable gauge
`+want), "pagerelay_routing_key_readable"); err != nil {
			t.Error(err)
		}
	}
	told := func(r *rig, begin, end int) {
		t.Helper()
		r.stop()
		if n := strings.Count(r.log.String(), `msg="A routing key cannot be read; no page of its service can leave" service=infra err="`+file); n != begin {
			t.Errorf("the log tells %d times that it began, want %d:\n%s", n, begin, &r.log)
		}
		if n := strings.Count(r.log.String(), `msg="The routing key can be read again" service=infra`); n != end {
			t.Errorf("the log tells %d times that it ended, want %d:\n%s", n, end, &r.log)
		}
	}
	t.Run("until it can be read", func(t *testing.T) {
		inBubble(t, &fakePagerDuty{}, setup, func(r *rig) {
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			got := r.d.Waiting()
			if len(got) != 1 || got[0].Service != "infra" || got[0].Cause != delivery.CauseKeyUnreadable || got[0].Text != file || got[0].Incidents != 0 {
				t.Errorf("got %+v, want the key, and no incident", got)
			}
			readable(r, "pagerelay_routing_key_readable{service=\"infra\"} 0\n")
			broken.Store(false)
			time.Sleep(16 * time.Second) // it is looked at by itself.
			synctest.Wait()
			if got := r.d.Waiting(); len(got) != 0 {
				t.Errorf("got %+v, want nothing", got)
			}
			readable(r, "pagerelay_routing_key_readable{service=\"infra\"} 1\n")
			told(r, 1, 1)
		})
	})
	t.Run("until its service is gone", func(t *testing.T) {
		broken.Store(true)
		inBubble(t, &fakePagerDuty{}, setup, func(r *rig) {
			synctest.Wait()
			r.settings.Services = map[string]delivery.Service{"other": service("other")}
			r.d.Apply(r.settings)
			synctest.Wait()
			if got := r.d.Waiting(); len(got) != 0 {
				t.Errorf("got %+v, want nothing", got)
			}
			readable(r, "pagerelay_routing_key_readable{service=\"other\"} 1\n")
			told(r, 1, 0)
		})
	})
}
