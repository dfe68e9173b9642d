package delivery_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// A resolved test alert that was never seen firing does not stop delivery. In real
// time: a loop that spins stands still in a bubble, and cannot be stopped.
func TestEndOfATestAlertDoesNotStopDelivery(t *testing.T) {
	store, err := outbox.Open(quickDir(t), outbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	pd := &fakePagerDuty{}
	d := delivery.New(store, delivery.Config{})
	d.Apply(delivery.Settings{Services: map[string]delivery.Service{"infra": service("infra")}, Renderer: render{}, Sender: pd})
	ctx, cancel := context.WithCancel(context.Background())
	storeCtx, cancelStore := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	ended := make(chan struct{})
	wg.Go(func() { _ = store.Run(storeCtx) })
	go func() { _ = d.Run(ctx); close(ended) }()
	defer func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(20 * time.Second): // it spins: leave it behind.
			t.Error("the deliverer's loop does not end")
		}
		cancelStore()
		wg.Wait()
	}()
	r := &rig{}
	over := r.observations([]alert{{name: "test", resolved: true}})
	over[0].Origin, over[0].ExternalURL = mapping.OriginTest, ""
	over[0].Alert.EndsAt = time.Now().Add(-time.Minute) // amtool alert add ... --end in the past.
	if err := store.Observe(t.Context(), over); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	if err := store.Observe(t.Context(), r.observations([]alert{{name: "critical"}})); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if len(pd.actions("critical")) > 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("a critical page did not leave within 5s")
}

// Three events that PagerDuty answers 500 for ever do not keep others of the same
// urgency from leaving.
func TestThreePoisonousPagesDoNotBlockTheirLane(t *testing.T) {
	pd := &fakePagerDuty{}
	pd.answer = func(_ int, e *pagerduty.Event) error {
		if len(e.DedupKey) > 6 && e.DedupKey[:6] == "poison" {
			return &pagerduty.StatusError{Code: 500}
		}
		return nil
	}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(many("poison", 3, mapping.High)...)
		time.Sleep(5 * time.Minute)
		r.observe(alert{name: "fine"})
		time.Sleep(30 * time.Minute)
		r.want("fine", "trigger 202")
	})
}

// What waits in the lane of a routing key that was changed meanwhile leaves under
// the new one when its turn comes, although nothing else happens.
func TestChangedKeyTakesAlongWhatWaits(t *testing.T) {
	const services = 8
	var rotated atomic.Bool
	pd := &fakePagerDuty{}
	pd.answer = func(_ int, e *pagerduty.Event) error {
		if e.RoutingKey[0] == 'x' { // the wrong key: it has a typing error.
			return &pagerduty.StatusError{Code: 400, Body: []byte("Invalid routing key")}
		}
		return nil
	}
	inBubble(t, pd, func(r *rig) {
		for i := range services {
			name := fmt.Sprint("s", i)
			s := service(name)
			s.Key = func() (string, error) {
				if rotated.Load() {
					return fmt.Sprint("good", i), nil
				}
				return fmt.Sprint("x", i), nil
			}
			r.settings.Services[name] = s
		}
	}, func(r *rig) {
		for i := range services {
			r.observe(alert{name: fmt.Sprint("page", i), service: fmt.Sprint("s", i)})
		}
		time.Sleep(10 * time.Second)
		rotated.Store(true) // the files are mended; nothing is reloaded, and no webhook comes.
		time.Sleep(3 * time.Hour)
		for i := range services {
			got := pd.actions(fmt.Sprint("page", i))
			if got[len(got)-1] != "trigger 202" {
				t.Errorf("page%d was sent %q three hours after its key was mended", i, got)
			}
		}
	})
}

// Many questions that Alertmanager does not answer hold up neither a late page nor
// a copy to the fallback.
func TestUnansweredQuestionsHoldUpNoPage(t *testing.T) {
	pd := &fakePagerDuty{}
	pd.answer = func(_ int, e *pagerduty.Event) error {
		if e.DedupKey == "refused" && e.RoutingKey == testKey {
			return refusal()
		}
		return nil
	}
	inBubble(t, pd, func(r *rig) {
		withFallback(r)
		r.SetPolicy(incident.Policy{StaleAfter: 2 * time.Minute, Alertmanagers: 1})
		r.settings.Asker = hanging{}
	}, func(r *rig) {
		obs := r.observations(many("shared", 1000, mapping.Low)) // after the loss of a disk, say.
		for i := range obs {
			obs[i].Shared, obs[i].Alert.Status, obs[i].Alert.EndsAt = true, mapping.Resolved, time.Now()
		}
		if err := r.Observe(t.Context(), obs); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		r.observe(alert{name: "refused"})
		for time.Since(began) < 5*time.Minute {
			if got := pd.actions("refused"); len(got) == 3 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a refused page went to the fallback after %v, want at once", took)
		}
	})
	t.Run("late", func(t *testing.T) {
		pd := &fakePagerDuty{}
		inBubble(t, pd, func(r *rig) {
			r.SetPolicy(incident.Policy{StaleAfter: 2 * time.Minute, Alertmanagers: 1})
			r.settings.Asker = hanging{}
		}, func(r *rig) {
			all := many("high", 1000, mapping.High)
			r.settings.Services["infra"] = func() delivery.Service { s := service("infra"); s.EventsPerMinute = 100_000; return s }()
			r.d.Apply(r.settings)
			starts := time.Now()
			send := func(resolved bool) {
				obs := r.observations(all)
				for i := range obs {
					obs[i].Alert.StartsAt = starts
					if resolved {
						obs[i].Alert.Status, obs[i].Alert.EndsAt = mapping.Resolved, time.Now()
					}
				}
				if err := r.Observe(t.Context(), obs); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			send(false)
			time.Sleep(time.Second)
			send(true)
			time.Sleep(time.Minute)
			n := len(pd.requests())
			send(false) // Alertmanager had let them expire.
			time.Sleep(incident.LateHold + time.Second)
			synctest.Wait()
			if got := len(pd.requests()) - n; got != len(all) {
				t.Errorf("%d of %d late pages left within %v, want all", got, len(all), incident.LateHold+time.Second)
			}
		})
	})
}

// A flood of high pages that goes on and on leaves one slot in ten to a low one
// that has waited for five minutes.
func TestFloodOfHighDoesNotStarveLow(t *testing.T) {
	pd := &fakePagerDuty{limit: 120, latency: 20 * time.Millisecond}
	inBubble(t, pd, nil, func(r *rig) {
		const every = 400 * time.Millisecond // 150 a minute.
		began := time.Now()
		for i := range 4500 { // half an hour.
			r.observe(alert{name: fmt.Sprint("high", i)})
			if i == 150 {
				r.observe(alert{name: "low", urgency: mapping.Low})
			}
			time.Sleep(every)
			if len(pd.actions("low")) > 0 {
				break
			}
		}
		if took := time.Since(began); took > 10*time.Minute {
			t.Errorf("the low page had not left after %v, and %d high ones had", took, len(pd.requests()))
		}
	})
}

// A resolve under a good previous key says nothing of a bad new one.
func TestPreviousKeyDoesNotClearTheFaultOfTheNewOne(t *testing.T) {
	const badKey = "fedcba9876543210fedcba9876543210"
	var key atomic.Value
	key.Store(testKey)
	pd := &fakePagerDuty{latency: 50 * time.Millisecond}
	pd.answer = func(_ int, e *pagerduty.Event) error {
		if e.RoutingKey == badKey {
			return &pagerduty.StatusError{Code: 400, Body: []byte("Invalid routing key")}
		}
		return nil
	}
	inBubble(t, pd, func(r *rig) {
		s := service("infra")
		s.Key = func() (string, error) { return key.Load().(string), nil }
		s.PreviousKeys = func() []string { return []string{testKey} }
		r.settings.Services["infra"] = s
	}, func(r *rig) {
		r.observe(many("old", 30, mapping.High)...)
		time.Sleep(5 * time.Second)
		key.Store(badKey)
		time.Sleep(5 * time.Second)
		r.observe(many("new", 40, mapping.Low)...) // find out that the key is bad.
		time.Sleep(5 * time.Second)
		for i := range 30 {
			r.observe(alert{name: fmt.Sprint("old", i), resolved: true})
		}
		began := time.Now()
		time.Sleep(10 * time.Minute)
		bad, resolved := 0, 0
		for _, s := range pd.requests() {
			if s.key == badKey && s.at.After(began) {
				bad++
			}
			if s.action == "resolve" && s.code == 202 {
				resolved++
			}
		}
		if bad > 12 {
			t.Errorf("%d requests with the refused key in ten minutes, want one a minute", bad)
		}
		if resolved < 30 {
			t.Errorf("%d of 30 resolves under the good previous key were accepted in ten minutes, want all", resolved)
		}
	})
}

// An alert that moves to another service with the same routing key, and keeps its
// dedup key (Alertmanager's bare one), is the same thing at PagerDuty: the last
// word about it is not a resolve.
func TestMoveToAServiceWithTheSameKeyClosesNothing(t *testing.T) {
	pd := &fakePagerDuty{}
	inBubble(t, pd, func(r *rig) {
		r.settings.Services["renamed"] = service("renamed")
	}, func(r *rig) {
		r.observe(alert{name: "k"})
		synctest.Wait()
		r.observe(alert{name: "k", service: "renamed"})
		time.Sleep(time.Hour)
		if got := pd.actions("k"); got[len(got)-1] != "trigger 202" {
			t.Errorf("sent %q: the alert fires, and its incident is closed", got)
		}
	})
}

// What Alertmanager said of one late firing is not used for the next.
func TestLateFiringIsAskedAboutEachTime(t *testing.T) {
	pd := &fakePagerDuty{}
	var verdict atomic.Value
	verdict.Store(incident.VerdictGone)
	inBubble(t, pd, func(r *rig) {
		r.SetPolicy(incident.Policy{StaleAfter: 2 * time.Minute, Alertmanagers: 1})
		r.settings.Asker = asker(func(incident.Question, *incident.Incident) incident.Verdict {
			return verdict.Load().(incident.Verdict)
		})
	}, func(r *rig) {
		starts := time.Now()
		say := func(from, fp, status string) {
			o := r.observations([]alert{{name: "k"}})
			o[0].Shared, o[0].ExternalURL = true, from
			o[0].Alert.Fingerprint, o[0].Alert.Status, o[0].Alert.StartsAt = fp, status, starts
			if status == mapping.Resolved {
				o[0].Alert.EndsAt = time.Now()
			}
			if err := r.Observe(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		say("http://am-1", "a", mapping.Firing)
		say("http://am-1", "b", mapping.Firing)
		time.Sleep(10 * time.Minute)
		say("http://am-1", "a", mapping.Resolved)
		time.Sleep(5 * time.Second)
		say("http://am-2", "a", mapping.Firing) // a late duplicate: gone, and dismissed.
		time.Sleep(20 * time.Second)
		verdict.Store(incident.VerdictFiring)
		n := len(pd.requests())
		say("http://am-1", "a", mapping.Firing) // Alertmanager had let it expire; it is back.
		time.Sleep(time.Minute)
		if len(pd.requests()) == n {
			t.Error("Alertmanager says that the alert fires, and it was not paged")
		}
	})
}

// A late firing on an incident whose trigger is stale: both questions are put once.
func TestTwoQuestionsAboutOneIncident(t *testing.T) {
	pd := &fakePagerDuty{limit: 120}
	var asked atomic.Int32
	inBubble(t, pd, func(r *rig) {
		r.SetPolicy(incident.Policy{StaleAfter: 10 * time.Second, Alertmanagers: 1})
		r.settings.Asker = slowAsker{&asked}
	}, func(r *rig) {
		starts := time.Now()
		say := func(fp, status string) {
			o := r.observations([]alert{{name: "k", urgency: mapping.Low}})
			o[0].Shared = true
			o[0].Alert.Fingerprint, o[0].Alert.Status, o[0].Alert.StartsAt = fp, status, starts
			if status == mapping.Resolved {
				o[0].Alert.EndsAt = time.Now()
			}
			if err := r.Observe(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		say("a", mapping.Firing)
		say("b", mapping.Firing)
		r.observe(many("fill", 106, mapping.Low)...) // the window is full of low ones.
		synctest.Wait()
		time.Sleep(time.Second)
		say("a", mapping.Resolved)
		say("c", mapping.Firing) // waits for its turn, and is stale when it comes.
		time.Sleep(57 * time.Second)
		asked.Store(0)
		say("a", mapping.Firing) // late.
		time.Sleep(4 * time.Second)
		if n := asked.Load(); n > 2 {
			t.Errorf("Alertmanager was asked %d times about one incident in 4s, want at most twice", n)
		}
	})
}

type slowAsker struct{ asked *atomic.Int32 }

func (a slowAsker) Ask(ctx context.Context, _ incident.Question, _ *incident.Incident) (incident.Verdict, string) {
	a.asked.Add(1)
	<-ctx.Done()
	return incident.VerdictUncertain, "no answer"
}

// A PagerDuty that is down for a quarter of an hour does not make the resolve of a
// shared key vanish that Alertmanager says nobody holds any more.
func TestSharedResolveArrivesAfterAnOutage(t *testing.T) {
	pd := &fakePagerDuty{}
	var down atomic.Bool
	down.Store(true)
	pd.answer = func(int, *pagerduty.Event) error {
		if down.Load() {
			return &pagerduty.StatusError{Code: 503}
		}
		return nil
	}
	inBubble(t, pd, func(r *rig) {
		r.SetPolicy(incident.Policy{StaleAfter: 2 * time.Minute, Alertmanagers: 1})
		r.settings.Asker = asker(func(incident.Question, *incident.Incident) incident.Verdict { return incident.VerdictGone })
	}, func(r *rig) {
		o := r.observations([]alert{{name: "k", resolved: true}}) // opened by another sidecar.
		o[0].Shared = true
		if err := r.Observe(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Minute)
		down.Store(false)
		time.Sleep(15 * time.Minute)
		got := pd.actions("k")
		if got[len(got)-1] != "resolve 202" {
			t.Errorf("%d resolves were tried, the last answer was %q; want it accepted after the outage", len(got), got[len(got)-1])
		}
	})
}
