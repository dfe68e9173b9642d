package delivery_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// jumps runs f with the wall clock of the whole machine, Alertmanager's included,
// leaping by hours either way.
func jumps(t *testing.T, f func(t *testing.T, by time.Duration)) {
	t.Helper()
	for _, by := range []time.Duration{6 * time.Hour, -6 * time.Hour} {
		t.Run(fmt.Sprint(by), func(t *testing.T) { f(t, by) })
	}
}

// leap moves the wall clock; what the deliverer waits for is not told.
func (r *rig) leap(by time.Duration) {
	synctest.Wait()
	r.jump.Add(int64(by))
}

// wake makes the deliverer look at everything anew, as a reload does.
func (r *rig) wake() { r.d.Apply(r.settings) }

func TestClockJumpWhileBackingOff(t *testing.T) {
	jumps(t, func(t *testing.T, by time.Duration) {
		pd := &fakePagerDuty{}
		pd.answer = func(n int, _ *pagerduty.Event) error {
			if n < 3 {
				return &pagerduty.StatusError{Code: 503}
			}
			return nil
		}
		inBubble(t, pd, nil, func(r *rig) {
			r.observe(alert{name: "a"})
			r.leap(by)
			r.wake() // the backoff is read again from what is stored.
			time.Sleep(15 * time.Second)
			r.want("a", "trigger 503", "trigger 503", "trigger 503", "trigger 202")
		})
	})
}

func TestClockJumpWhileARepeatOfARequestIsPlanned(t *testing.T) {
	jumps(t, func(t *testing.T, by time.Duration) {
		pd := &fakePagerDuty{}
		pd.answer = func(n int, _ *pagerduty.Event) error {
			if n == 0 {
				return context.DeadlineExceeded
			}
			return nil
		}
		inBubble(t, pd, nil, func(r *rig) {
			r.observe(alert{name: "a"})
			time.Sleep(2 * time.Second)
			r.observe(alert{name: "a", resolved: true})
			r.leap(by)
			r.wake()
			time.Sleep(time.Minute)
			r.want("a", "trigger 0", "trigger 202", "resolve 202", "resolve 202")
			time.Sleep(12 * time.Hour)
			r.want("a", "trigger 0", "trigger 202", "resolve 202", "resolve 202")
		})
	})
}

func TestClockJumpWhileALateFiringIsHeld(t *testing.T) {
	jumps(t, func(t *testing.T, by time.Duration) {
		inBubble(t, &fakePagerDuty{}, func(r *rig) {
			r.SetPolicy(incident.Policy{StaleAfter: 2 * time.Minute, Alertmanagers: 1})
			r.settings.Asker = hanging{}
		}, func(r *rig) {
			r.observe(alert{name: "a"})
			synctest.Wait()
			r.observe(alert{name: "a", resolved: true})
			r.want("a", "trigger 202", "resolve 202")
			r.observe(alert{name: "a", starts: -time.Second})
			r.leap(by)
			r.wake()
			time.Sleep(incident.LateHold)
			r.want("a", "trigger 202", "resolve 202", "trigger 202")
		})
	})
}

func TestClockJumpWhileARefreshWaits(t *testing.T) {
	jumps(t, func(t *testing.T, by time.Duration) {
		inBubble(t, &fakePagerDuty{}, nil, func(r *rig) {
			r.observe(alert{name: "a"})
			time.Sleep(10 * time.Second)
			r.repeat("a")
			r.leap(by)
			r.wake()
			time.Sleep(time.Minute)
			r.want("a", "trigger 202", "trigger 202")
			time.Sleep(12 * time.Hour) // and never again.
			r.want("a", "trigger 202", "trigger 202")
		})
	})
}

// repeat is Alertmanager's.
func (r *rig) repeat(name string) {
	r.t.Helper()
	in, ok := r.Get(incident.ID("infra", name))
	if !ok {
		r.t.Fatalf("no incident %s to repeat", name)
	}
	err := r.Observe(r.t.Context(), []mapping.Observation{{
		Service: "infra", DedupKey: name, Urgency: in.Urgency, Severity: "critical", Origin: mapping.OriginAlertmanager,
		ExternalURL: "http://am", Reason: "repeat interval elapsed", Alert: in.Members[name].Alert.Unpack(),
	}})
	if err != nil {
		r.t.Fatal(err)
	}
}

// A repeat pages again what a person has resolved: it must not be lost either.
func TestRepeatAfterAClockJumpIsPassedOn(t *testing.T) {
	jumps(t, func(t *testing.T, by time.Duration) {
		inBubble(t, &fakePagerDuty{}, nil, func(r *rig) {
			r.observe(alert{name: "a"})
			r.leap(by)
			time.Sleep(2 * time.Minute)
			r.repeat("a")
			time.Sleep(time.Minute)
			r.want("a", "trigger 202", "trigger 202")
			time.Sleep(12 * time.Hour)
			r.want("a", "trigger 202", "trigger 202")
		})
	})
}

// Without Alertmanager to ask, a firing is dropped for a late duplicate only if
// the resolve has just been seen, and by a clock that has jumped nobody knows that.
func TestClockJumpBackTurnsNoPageIntoALateDuplicate(t *testing.T) {
	inBubble(t, &fakePagerDuty{}, nil, func(r *rig) {
		r.observe(alert{name: "a"})
		synctest.Wait()
		r.observe(alert{name: "a", resolved: true})
		r.want("a", "trigger 202", "resolve 202")
		r.leap(-6 * time.Hour)
		time.Sleep(10 * time.Minute)
		err := r.Observe(r.t.Context(), []mapping.Observation{{
			Service: "infra", DedupKey: "a", Urgency: mapping.High, Severity: "critical", Origin: mapping.OriginAlertmanager,
			ExternalURL: "http://another-am", Reason: "first notification",
			Alert: template.Alert{Status: mapping.Firing, Fingerprint: "a", StartsAt: r.wall()},
		}})
		if err != nil {
			t.Fatal(err)
		}
		r.want("a", "trigger 202", "resolve 202", "trigger 202")
	})
}

// What waits for the rate limit keeps its order, and its turn.
func TestClockJumpInAFlood(t *testing.T) {
	jumps(t, func(t *testing.T, by time.Duration) {
		pd := &fakePagerDuty{limit: 120, latency: 50 * time.Millisecond}
		inBubble(t, pd, nil, func(r *rig) {
			began := time.Now()
			r.observe(alert{name: "change", urgency: mapping.Change})
			r.observe(many("early", 400, mapping.Low)...)
			time.Sleep(30 * time.Second)
			r.leap(by)
			r.observe(many("later", 200, mapping.Low)...)
			fired := time.Now()
			r.observe(many("high", 12, mapping.High)...)
			time.Sleep(8 * time.Minute)
			var order []string
			for _, s := range pd.requests() {
				if s.code != 202 {
					t.Errorf("%s %s was answered %d", s.action, s.dedup, s.code)
				}
				if strings.HasPrefix(s.dedup, "high") {
					if d := s.at.Sub(fired); d > time.Second {
						t.Errorf("%s left %v after its webhook", s.dedup, d)
					}
					continue
				}
				if s.dedup != "change" {
					order = append(order, s.dedup[:5])
				}
			}
			// Those in flight at the same time may arrive in any order.
			first := slices.Index(order, "later")
			if first < 0 || slices.Contains(order[min(len(order), first+16):], "early") {
				t.Fatalf("got the order %q, want the early ones first", order)
			}
			if len(order) != 600 {
				t.Errorf("got %d warnings, want 600", len(order))
			}
			r.want("change", "change 202")
			t.Logf("all sent after %v", pd.requests()[len(pd.requests())-1].at.Sub(began))
		})
	})
}

func TestClockJumpLeavesNothingStarving(t *testing.T) {
	jumps(t, func(t *testing.T, by time.Duration) {
		pd := &fakePagerDuty{limit: 120, latency: 50 * time.Millisecond}
		inBubble(t, pd, nil, func(r *rig) {
			r.observe(alert{name: "change", urgency: mapping.Change})
			r.observe(many("low", 2000, mapping.Low)...)
			r.leap(by)
			time.Sleep(10 * time.Minute)
			r.want("change", "change 202")
		})
	})
}

// The same random life twice, with a leaping clock and without: what PagerDuty is
// sent is the same, request by request, with more to say than the limit allows.
func TestClockJumpsChangeNothingOfWhatIsSent(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			still, _ := limitedLife(t, seed, false)
			leaping, leaps := limitedLife(t, seed, true)
			if leaps == 0 || len(still) < 100 {
				t.Errorf("the clock jumped %d times, and %d requests were sent: this shows nothing", leaps, len(still))
			}
			if diff := gocmp.Diff(still, leaping); diff != "" {
				t.Errorf("(-clock that stands still +leaping):\n%s", diff)
			}
		})
	}
}

// limitedLife lets alerts fire and resolve faster than they can be told, and returns
// what PagerDuty was sent, in its order, and how often the clock leapt.
func limitedLife(t *testing.T, seed uint64, leap bool) (order []string, leaps int) {
	t.Helper()
	const limit = 30
	pd := &fakePagerDuty{limit: limit, latency: 50 * time.Millisecond}
	inBubble(t, pd, func(r *rig) {
		s := service("infra")
		s.EventsPerMinute = limit
		r.settings.Services = map[string]delivery.Service{"infra": s}
		if seed%2 == 0 {
			return
		}
		r.SetPolicy(incident.Policy{StaleAfter: 2 * time.Minute, Alertmanagers: 1})
		r.settings.Asker = asker(func(_ incident.Question, in *incident.Incident) incident.Verdict {
			return []incident.Verdict{incident.VerdictFiring, incident.VerdictUncertain}[len(in.DedupKey)%2]
		})
	}, func(r *rig) {
		rng := rand.New(rand.NewPCG(seed, 10))
		firing := map[string]bool{}
		for range 400 {
			a := alert{name: fmt.Sprint("high", rng.IntN(10)), urgency: mapping.High}
			if rng.IntN(4) > 0 {
				a = alert{name: fmt.Sprint("low", rng.IntN(60)), urgency: mapping.Low}
			}
			what, by := rng.IntN(20), time.Duration(rng.IntN(13)-6)*time.Hour
			switch {
			case what == 0 && leap:
				r.leap(by)
				leaps++
			case what == 1:
				synctest.Wait()
				r.wake()
			case what > 1:
				a.resolved = firing[a.name]
				firing[a.name] = !firing[a.name]
				r.observe(a)
			}
			time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		all := pd.requests()
		// Those that leave at the same moment may arrive in any order.
		slices.SortStableFunc(all, func(a, b sent) int {
			return cmp.Or(a.at.Compare(b.at), strings.Compare(a.dedup, b.dedup))
		})
		for _, s := range all {
			order = append(order, fmt.Sprintf("%s %s %d", s.action, s.dedup, s.code))
		}
	})
	return order, leaps
}

// A random life with a leaping clock: whatever fires is open in the end, nothing
// else is, and no trigger follows the resolve that superseded it.
func TestClockJumpsChangeNoOrderAndLoseNoPage(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 8))
			pd := &fakePagerDuty{}
			rough := true
			var rolls sync.Mutex
			source := rand.New(rand.NewPCG(seed, 9))
			faults := func(n int) int { // both PagerDuty and Alertmanager roll it.
				rolls.Lock()
				defer rolls.Unlock()
				return source.IntN(n)
			}
			pd.answer = func(int, *pagerduty.Event) error {
				if !rough {
					return nil
				}
				switch faults(8) {
				case 0:
					return &pagerduty.StatusError{Code: 503}
				case 1:
					return &pagerduty.StatusError{Code: 429}
				case 2:
					return context.DeadlineExceeded
				}
				return nil
			}
			inBubble(t, pd, func(r *rig) {
				if seed%2 == 0 {
					return
				}
				r.SetPolicy(incident.Policy{StaleAfter: 2 * time.Minute, Alertmanagers: 1})
				r.settings.Asker = asker(func(_ incident.Question, in *incident.Incident) incident.Verdict {
					if faults(3) == 0 {
						return incident.VerdictUncertain
					}
					return incident.VerdictFiring // a late firing is one that fires.
				})
			}, func(r *rig) {
				var names []string
				firing := map[string]bool{}
				for i := range 8 {
					names = append(names, fmt.Sprint("n", i))
				}
				leaps := 0
				for range 200 {
					pd.mu.Lock()
					n := rng.IntN(10)
					pd.mu.Unlock()
					switch {
					case n < 7:
						name := names[rng.IntN(len(names))]
						u := mapping.High
						if name > "n3" {
							u = mapping.Low
						}
						r.observe(alert{name: name, urgency: u, resolved: firing[name]})
						firing[name] = !firing[name]
					case n < 8:
						r.leap(time.Duration(rng.IntN(13)-6) * time.Hour)
						leaps++
					case n < 9:
						r.wake()
					}
					time.Sleep(time.Duration(rng.IntN(20_000)) * time.Millisecond)
				}
				pd.mu.Lock()
				rough = false
				pd.mu.Unlock()
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				last := map[string]string{}
				for _, s := range pd.requests() {
					if s.code == 202 {
						last[s.dedup] = s.action
					}
				}
				for _, name := range names {
					if open := last[name] == "trigger"; open != firing[name] {
						t.Errorf("%s: fires %v, PagerDuty was last told %q; %q", name, firing[name], last[name], pd.actions(name))
					}
				}
				for _, in := range r.List() {
					if !in.PendingSince.IsZero() {
						t.Errorf("%s is still pending: %+v", in.DedupKey, in)
					}
				}
				if leaps == 0 {
					t.Error("the clock never jumped: this shows nothing")
				}
			})
		})
	}
}

// A digest tells what was missed, also when the clock jumped while it gathered or
// while the alert fired.
func TestClockJumpWhileADigestGathers(t *testing.T) {
	jumps(t, func(t *testing.T, by time.Duration) {
		pd := &fakePagerDuty{}
		down := true
		pd.answer = func(int, *pagerduty.Event) error {
			if down {
				return &pagerduty.StatusError{Code: 429} // low ones are not owed.
			}
			return nil
		}
		inBubble(t, pd, nil, func(r *rig) {
			r.observe(alert{name: "a", urgency: mapping.Low})
			r.leap(by)
			time.Sleep(time.Second)
			r.observe(alert{name: "a", urgency: mapping.Low, resolved: true})
			r.leap(by)
			pd.mu.Lock()
			down = false
			pd.mu.Unlock()
			r.wake()
			time.Sleep(2 * time.Minute)
			const told = "1 firing was over before PagerDuty confirmed it or anybody could be paged: a (1)"
			r.want(told, "change 202")
		})
	})
}
