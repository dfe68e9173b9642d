package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// sent is a request that reached the fake PagerDuty.
type sent struct {
	at     time.Time
	key    string
	action string
	dedup  string
	code   int
}

// fakePagerDuty answers like the Events API: a sliding window of 60 s, and
// whatever answer says otherwise.
type fakePagerDuty struct {
	mu      sync.Mutex
	limit   int           // events in 60 s; 0: none.
	latency time.Duration // before the answer.
	slower  time.Duration // each request takes this much longer than the one before.
	answer  func(n int, e *pagerduty.Event) error
	log     []sent
	most    int // requests at once.
	now     int
}

func (f *fakePagerDuty) Enqueue(ctx context.Context, _ string, e *pagerduty.Event) error {
	f.mu.Lock()
	f.now++
	f.most = max(f.most, f.now)
	err := f.decide(e)
	code := 202
	if status, ok := errors.AsType[*pagerduty.StatusError](err); ok {
		code = status.Code
	} else if err != nil {
		code = 0
	}
	latency := f.latency + time.Duration(len(f.log))*f.slower
	f.log = append(f.log, sent{at: time.Now(), key: e.RoutingKey, action: e.Action, dedup: e.DedupKey, code: code})
	f.mu.Unlock()
	if latency > 0 {
		select {
		case <-time.After(latency):
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	f.mu.Lock()
	f.now--
	f.mu.Unlock()
	return err
}

func (f *fakePagerDuty) decide(e *pagerduty.Event) error {
	if f.answer != nil {
		if err := f.answer(len(f.log), e); err != nil {
			return err
		}
	}
	if f.limit > 0 {
		n := 0
		for _, s := range slices.Backward(f.log) {
			if time.Since(s.at) >= time.Minute {
				break
			}
			if s.code == 202 && s.key == e.RoutingKey {
				n++
			}
		}
		if n >= f.limit {
			return &pagerduty.StatusError{Code: 429}
		}
	}
	return nil
}

func (f *fakePagerDuty) EnqueueChange(ctx context.Context, region string, e *pagerduty.ChangeEvent) error {
	return f.Enqueue(ctx, region, &pagerduty.Event{RoutingKey: e.RoutingKey, Action: "change", DedupKey: e.Payload.Summary, Payload: &pagerduty.Payload{Source: e.Payload.Source}})
}

func (f *fakePagerDuty) requests() []sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

// actions lists what was sent for a dedup key, "" for all, as `action code`.
func (f *fakePagerDuty) actions(dedup string) []string {
	var out []string
	for _, s := range f.requests() {
		if dedup == "" || s.dedup == dedup {
			out = append(out, fmt.Sprint(s.action, " ", s.code))
		}
	}
	return out
}

type render struct{}

func (render) Render(in mapping.Incident, o mapping.RenderOptions) (mapping.Event, []mapping.Fault) {
	e := mapping.Event{Summary: in.DedupKey, Source: "s", Severity: "critical"}
	if o.Minimal {
		e.Source = "minimal"
	}
	return e, nil
}

type asker func(q incident.Question, in *incident.Incident) incident.Verdict

func (f asker) Ask(_ context.Context, q incident.Question, in *incident.Incident) (incident.Verdict, string) {
	return f(q, in), "a test says so"
}

// rig is a deliverer at work in a bubble of virtual time.
type rig struct {
	*outbox.Store
	t        *testing.T
	pd       *fakePagerDuty
	d        *delivery.Deliverer
	settings delivery.Settings
	stop     func()
	reg      *prometheus.Registry
	// uncovered counts calls of Settings.Uncovered.
	uncovered atomic.Int64
	jump      atomic.Int64 // how far the wall clock is from that of the bubble.

	mu    sync.Mutex
	began map[string]time.Time // startsAt by name.
	log   bytes.Buffer         // what the Deliverer says; to be read when nothing runs.
}

// wall is the wall clock: it may jump, and its times have no monotonic reading.
func (r *rig) wall() time.Time { return time.Now().Add(time.Duration(r.jump.Load())).Round(0) }

const testKey = "0123456789abcdef0123456789abcdef"

func service(name string) delivery.Service {
	return delivery.Service{Name: name, Key: func() (string, error) { return testKey, nil }}
}

// quickDir is a folder in memory where the machine has one: these tests are about
// order and time, and commit thousands of times.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "pagerelay") //nolint:usetesting // t.TempDir is on a disk.
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// inBubble runs f with a store and a deliverer in virtual time.
func inBubble(t *testing.T, pd *fakePagerDuty, setup func(*rig), f func(*rig)) {
	t.Helper()
	dir := quickDir(t)
	bubble.Test(t, func(t *testing.T) {
		r := &rig{t: t, pd: pd, reg: prometheus.NewRegistry()}
		var err error
		if r.Store, err = outbox.Open(dir, outbox.Config{Registerer: r.reg, Now: r.wall}); err != nil {
			t.Fatal(err)
		}
		store := r.Store
		r.settings = delivery.Settings{
			Services: map[string]delivery.Service{"infra": service("infra")}, Renderer: render{}, Sender: pd,
		}
		store.SetPolicy(incident.Policy{StaleAfter: 2 * time.Minute})
		r.d = delivery.New(store, delivery.Config{Registerer: r.reg, Now: r.wall, Logger: slog.New(slog.NewTextHandler(&r.log, nil))})
		if setup != nil {
			setup(r)
		}
		r.d.Apply(r.settings)
		ctx, cancel := context.WithCancel(context.Background())
		storeCtx, cancelStore := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		delivered := make(chan struct{})
		wg.Go(func() { _ = store.Run(storeCtx) })
		wg.Go(func() {
			defer close(delivered)
			_ = r.d.Run(ctx)
		})
		r.stop = sync.OnceFunc(func() {
			cancel()
			<-delivered
			cancelStore()
			wg.Wait()
		})
		defer r.stop()
		f(r)
	})
}

type alert struct {
	name     string
	service  string
	urgency  mapping.Urgency
	resolved bool
	starts   time.Duration
}

func (r *rig) observe(alerts ...alert) {
	r.t.Helper()
	if err := r.Observe(r.t.Context(), r.observations(alerts)); err != nil {
		r.t.Fatalf("Observe: %v", err)
	}
}

func (r *rig) observations(alerts []alert) []mapping.Observation {
	var obs []mapping.Observation
	for _, a := range alerts {
		o := mapping.Observation{
			Service: "infra", DedupKey: a.name, Urgency: mapping.High, Severity: "critical", Origin: mapping.OriginAlertmanager,
			ExternalURL: "http://am", Reason: "new alerts added",
			Alert: template.Alert{
				Status: mapping.Firing, Fingerprint: a.name, StartsAt: r.wall().Add(a.starts),
				Labels: template.KV{"alertname": strings.TrimRight(a.name, "0123456789")},
			},
		}
		if a.service != "" {
			o.Service = a.service
		}
		if a.urgency != "" {
			o.Urgency = a.urgency
		}
		r.mu.Lock()
		if r.began == nil {
			r.began = map[string]time.Time{}
		}
		if began, ok := r.began[a.name]; ok && a.resolved { // an end names the start of what ends.
			o.Alert.StartsAt = began
		}
		r.began[a.name] = o.Alert.StartsAt
		r.mu.Unlock()
		if a.resolved {
			o.Alert.Status, o.Alert.EndsAt = mapping.Resolved, r.wall()
		}
		obs = append(obs, o)
	}
	return obs
}

func (r *rig) want(dedup string, want ...string) {
	r.t.Helper()
	synctest.Wait()
	if got := r.pd.actions(dedup); fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("sent for %q: %q, want %q", dedup, got, want)
	}
}

func many(prefix string, n int, u mapping.Urgency) []alert {
	var out []alert
	for i := range n {
		out = append(out, alert{name: fmt.Sprint(prefix, i), urgency: u})
	}
	return out
}

func TestTriggerThenResolve(t *testing.T) {
	inBubble(t, &fakePagerDuty{}, nil, func(r *rig) {
		r.observe(alert{name: "a"})
		r.want("a", "trigger 202")
		r.observe(alert{name: "a", resolved: true})
		r.want("a", "trigger 202", "resolve 202")
		if n := len(r.List()); n != 0 {
			t.Errorf("%d incidents left, want 0", n)
		}
	})
}

func TestInfoIsAcknowledgedAndOnceMore(t *testing.T) {
	inBubble(t, &fakePagerDuty{}, nil, func(r *rig) {
		r.observe(alert{name: "a", urgency: mapping.Acknowledged})
		r.want("a", "trigger 202", "acknowledge 202")
		time.Sleep(31 * time.Second)
		r.want("a", "trigger 202", "acknowledge 202", "acknowledge 202")
		time.Sleep(time.Hour)
		r.want("a", "trigger 202", "acknowledge 202", "acknowledge 202")
	})
}

func TestAcknowledgeIsNotRepeatedAfterAHigherTrigger(t *testing.T) {
	inBubble(t, &fakePagerDuty{}, nil, func(r *rig) {
		r.observe(alert{name: "a", urgency: mapping.Acknowledged})
		time.Sleep(10 * time.Second)
		r.observe(alert{name: "b", urgency: mapping.Low})
		time.Sleep(time.Hour)
		r.want("a", "trigger 202", "acknowledge 202")
	})
}

func TestChangeAndNone(t *testing.T) {
	inBubble(t, &fakePagerDuty{}, nil, func(r *rig) {
		r.observe(alert{name: "a", urgency: mapping.Change}, alert{name: "b", urgency: mapping.None})
		r.want("", "change 202")
		r.observe(alert{name: "a", urgency: mapping.Change, resolved: true}, alert{name: "b", urgency: mapping.None, resolved: true})
		r.want("", "change 202")
		if n := len(r.List()); n != 0 {
			t.Errorf("%d incidents left, want 0", n)
		}
	})
}

// A flood of warnings fills the window; the part kept for high is still free.
func TestFloodDoesNotDelayHigh(t *testing.T) {
	pd := &fakePagerDuty{limit: 120, latency: 50 * time.Millisecond}
	inBubble(t, pd, nil, func(r *rig) {
		began := time.Now()
		r.observe(many("low", 588, mapping.Low)...)
		time.Sleep(30 * time.Second) // the window is full of warnings now.
		fired := time.Now()
		r.observe(many("high", 12, mapping.High)...)
		time.Sleep(8 * time.Minute)
		lastLow := time.Duration(0)
		count := map[string]int{}
		for _, s := range r.pd.requests() {
			if s.code != 202 {
				t.Errorf("%s %s was answered %d", s.action, s.dedup, s.code)
			}
			count[s.dedup[:3]]++
			if s.dedup[:3] == "hig" {
				if d := s.at.Sub(fired); d > time.Second {
					t.Errorf("%s left %v after its webhook", s.dedup, d)
				}
				continue
			}
			lastLow = max(lastLow, s.at.Sub(began))
		}
		if count["low"] != 588 || count["hig"] != 12 {
			t.Errorf("sent %v, want 588 low and 12 high", count)
		}
		if lastLow > 310*time.Second {
			t.Errorf("the last warning left after %v, want at most 310s", lastLow)
		}
		t.Logf("last warning after %v, at most %d requests at once", lastLow, pd.most)
	})
}

func TestMostUrgentFirst(t *testing.T) {
	pd := &fakePagerDuty{latency: time.Second, slower: 100 * time.Millisecond} // one place gets free after the other.
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(many("fill", 12, mapping.Low)...) // all that low may have in flight.
		synctest.Wait()
		r.observe(alert{name: "low", urgency: mapping.Low}, alert{name: "change", urgency: mapping.Change})
		r.observe(alert{name: "high"})
		time.Sleep(5 * time.Second)
		var order []string
		for _, s := range r.pd.requests()[12:] {
			order = append(order, s.dedup)
		}
		if got, want := fmt.Sprint(order), "[high low change]"; got != want {
			t.Errorf("order is %s, want %s", got, want)
		}
	})
}

func TestAtMostSixteenInFlightFourOnlyForHigh(t *testing.T) {
	pd := &fakePagerDuty{latency: 10 * time.Second}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(many("low", 40, mapping.Low)...)
		r.want("", slices.Repeat([]string{"trigger 202"}, 12)...)
		r.observe(many("high", 40, mapping.High)...)
		r.want("", slices.Repeat([]string{"trigger 202"}, 16)...)
	})
}

// At nearly the time-out an answer, the lane still sends what it may: all of the
// limit where high events wait, all but the reserve where only others do. A request
// takes its place until a window after its answer, which costs 4.9 s in 64.9.
func TestSlowPagerDutyStillReachesTheLimit(t *testing.T) {
	const minutes = 10
	for _, tc := range []struct {
		name               string
		high, low, allowed int // the last a minute.
	}{
		{"high", 1200, 0, 120},
		{"low", 0, 1200, 108},
		{"high, then low", 600, 1200, 108},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pd := &fakePagerDuty{limit: 120, latency: 4900 * time.Millisecond}
			inBubble(t, pd, nil, func(r *rig) {
				r.observe(many("low", tc.low, mapping.Low)...)
				r.observe(many("high", tc.high, mapping.High)...)
				time.Sleep(minutes * time.Minute)
				accepted, refused := 0, 0
				for _, s := range pd.requests() {
					if s.code == 202 {
						accepted++
					} else {
						refused++
					}
				}
				allowed := minutes * tc.allowed
				t.Logf("%d accepted in %d minutes, %d %% of the %d that were allowed, %d %% of the limit; %d refused; at most %d in flight",
					accepted, minutes, 100*accepted/allowed, allowed, 100*accepted/(120*minutes), refused, pd.most)
				if accepted*10 < allowed*9 || refused > 0 {
					t.Errorf("%d accepted and %d refused in %d minutes, want at least nine tenths of %d, and 0", accepted, refused, minutes, allowed)
				}
			})
		})
	}
}

func TestNothingStarves(t *testing.T) {
	pd := &fakePagerDuty{limit: 120, latency: 50 * time.Millisecond}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(alert{name: "change", urgency: mapping.Change})
		r.observe(many("low", 2000, mapping.Low)...)
		time.Sleep(10 * time.Minute)
		r.want("change", "change 202")
	})
}

func TestThrottled(t *testing.T) {
	pd := &fakePagerDuty{limit: 20, latency: 20 * time.Millisecond} // others use the key, too.
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(many("low", 60, mapping.Low)...)
		time.Sleep(15 * time.Minute)
		r.observe(alert{name: "high"})
		time.Sleep(3 * time.Second)
		ok, refused := map[string]bool{}, 0
		for _, s := range pd.requests() {
			if s.code == 202 {
				ok[s.dedup] = true
			} else {
				refused++
			}
		}
		if len(ok) != 61 {
			t.Errorf("%d alerts accepted, want 61", len(ok))
		}
		t.Logf("%d of %d requests refused", refused, len(pd.requests()))
	})
}

func TestHighProbesWhileThrottled(t *testing.T) {
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
		r.observe(alert{name: "low", urgency: mapping.Low}, alert{name: "high"})
		time.Sleep(time.Minute)
		r.want("high", "trigger 429", "trigger 429", "trigger 429", "trigger 429", "trigger 429", "trigger 202")
		if in, _ := r.Get(incident.ID("infra", "high")); in.Have != incident.StateOpen {
			t.Errorf("have is %s, want open", in.Have)
		}
	})
}

func TestGuaranteedPageIsSentThoughItsAlertIsOver(t *testing.T) {
	pd := &fakePagerDuty{limit: 120}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(many("high", 121, mapping.High)...)
		synctest.Wait()
		r.observe(alert{name: "high120", resolved: true})
		time.Sleep(2 * time.Minute)
		r.want("high120", "trigger 202", "resolve 202")
	})
}

// In a storm a page costs one commit before it leaves, not two.
func TestPageThatWaitsForTheLimitIsCommittedOnce(t *testing.T) {
	pd := &fakePagerDuty{limit: 120}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(many("high", 121, mapping.High)...)
		synctest.Wait()
		r.observe(alert{name: "next"})
		synctest.Wait()
		if in, _ := r.Get(incident.ID("infra", "next")); in.Version != 1 {
			t.Errorf("it took %d commits, want 1", in.Version)
		}
	})
}

func TestThrottledPageIsGuaranteed(t *testing.T) {
	pd := &fakePagerDuty{}
	var r0 *rig
	pd.answer = func(n int, _ *pagerduty.Event) error {
		if n == 0 { // over while the request is in flight.
			go func() {
				if err := r0.Observe(context.Background(), r0.observations([]alert{{name: "a", resolved: true}})); err != nil {
					t.Errorf("Observe: %v", err)
				}
			}()
			return &pagerduty.StatusError{Code: 429}
		}
		return nil
	}
	pd.latency = time.Second
	inBubble(t, pd, func(r *rig) { r0 = r }, func(r *rig) {
		r.observe(alert{name: "a"})
		time.Sleep(time.Minute)
		r.want("a", "trigger 429", "trigger 202", "resolve 202")
	})
}

func TestPreviousKeyThatIsRefusedBlocksOnlyItsIncident(t *testing.T) {
	const newKey = "fedcba9876543210fedcba9876543210"
	var key atomic.Value
	key.Store(testKey)
	pd := &fakePagerDuty{}
	pd.answer = func(_ int, e *pagerduty.Event) error {
		if key.Load() == newKey && e.RoutingKey == testKey {
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
		r.observe(alert{name: "a"})
		synctest.Wait()
		key.Store(newKey)
		time.Sleep(5 * time.Second)
		r.observe(alert{name: "a", resolved: true})
		r.observe(alert{name: "b"})
		r.want("a", "trigger 202", "resolve 400")
		r.want("b", "trigger 202")
	})
}

// A trigger that timed out can land after the key was rotated and the alert fires
// anew under the new one: nothing but a resolve under the old key closes it then.
func TestLateTriggerUnderAnOldKeyIsResolved(t *testing.T) {
	const newKey = "fedcba9876543210fedcba9876543210"
	var key atomic.Value
	key.Store(testKey)
	pd := &fakePagerDuty{}
	pd.answer = func(n int, _ *pagerduty.Event) error {
		if n == 0 {
			return context.DeadlineExceeded
		}
		return nil
	}
	inBubble(t, pd, func(r *rig) {
		s := service("infra")
		s.Key = func() (string, error) { return key.Load().(string), nil }
		s.PreviousKeys = func() []string { return []string{testKey} }
		r.settings.Services["infra"] = s
	}, func(r *rig) {
		r.observe(alert{name: "a"})
		synctest.Wait()
		r.observe(alert{name: "a", resolved: true})
		time.Sleep(5 * time.Second)
		key.Store(newKey)
		time.Sleep(5 * time.Second)
		r.observe(alert{name: "a"})
		time.Sleep(5 * time.Minute)
		old := 0
		for _, s := range pd.requests() {
			if s.key == testKey && s.action == "resolve" && s.at.Sub(pd.requests()[0].at) >= time.Minute {
				old++
			}
		}
		if old == 0 {
			t.Errorf("sent %q: no resolve under the old key once the late trigger could have landed", pd.actions("a"))
		}
		if in, _ := r.Get(incident.ID("infra", "a")); in == nil || in.Have != incident.StateOpen || !in.PendingSince.IsZero() {
			t.Errorf("the new epoch is %+v, want it open", in)
		}
		if n := len(r.List()); n != 1 {
			t.Errorf("%d incidents are left, want only the new epoch's", n)
		}
	})
}

func TestOverDuringAnOutageIsNotPaged(t *testing.T) {
	pd := &fakePagerDuty{}
	down := true
	pd.answer = func(int, *pagerduty.Event) error {
		if down {
			return &pagerduty.StatusError{Code: 503}
		}
		return nil
	}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(many("x", 5, mapping.High)...) // makes the lane back off.
		time.Sleep(10 * time.Second)
		r.observe(alert{name: "short"}, alert{name: "long"})
		time.Sleep(time.Minute)
		r.observe(alert{name: "short", resolved: true})
		time.Sleep(6 * time.Hour)
		n := len(pd.requests())
		if n > 6*3600/10 {
			t.Errorf("%d requests in six hours of outage, want at most one in ten seconds", n)
		}
		pd.mu.Lock()
		down = false
		pd.mu.Unlock()
		time.Sleep(2 * time.Minute)
		for _, s := range pd.requests() {
			if s.dedup == "short" && s.code == 202 && s.action == "trigger" {
				t.Error("an alert that was over before anything was accepted was paged")
			}
		}
		got := pd.actions("long")
		if len(got) == 0 || got[len(got)-1] != "trigger 202" {
			t.Errorf("what still fires was sent %q, want it accepted at last", got)
		}
	})
}

func TestWhatWasMissedIsToldOnce(t *testing.T) {
	pd := &fakePagerDuty{}
	var down atomic.Bool
	down.Store(true)
	pd.answer = func(int, *pagerduty.Event) error {
		if down.Load() {
			return &pagerduty.StatusError{Code: 429}
		}
		return nil
	}
	inBubble(t, pd, nil, func(r *rig) {
		for range 2 {
			r.observe(many("low", 30, mapping.Low)...)
			time.Sleep(time.Hour)
			for _, a := range many("low", 25, mapping.Low) {
				a.resolved = true
				r.observe(a)
			}
			synctest.Wait()
		}
		down.Store(false)
		time.Sleep(time.Hour)
		var told []string
		for _, s := range pd.requests() {
			if s.action == "change" && s.code == 202 {
				told = append(told, s.dedup)
			}
		}
		// Twice 25, and the 5 that fired anew although nobody told of their end.
		want := "[55 firings were over before PagerDuty confirmed them or anybody could be paged: low (55)]"
		if got := fmt.Sprint(told); got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	})
}

// What is missed while the change event is on its way is told in one of its own; if
// nobody knows what became of the first, all of it is told again.
func TestWhatIsMissedWhileItIsToldIsToldAfterwards(t *testing.T) {
	const were = " over before PagerDuty confirmed "
	for _, tc := range []struct {
		name string
		err  error
		want []string
	}{
		{"accepted", nil, []string{
			"1 firing was" + were + "it or anybody could be paged: a (1)",
			"1 firing was" + were + "it or anybody could be paged: b (1)",
		}},
		{"its answer is lost", context.DeadlineExceeded, []string{
			"1 firing was" + were + "it or anybody could be paged: a (1)",
			"2 firings were" + were + "them or anybody could be paged: a (1), b (1)",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pd := &fakePagerDuty{latency: 3 * time.Second, answer: func(n int, _ *pagerduty.Event) error {
				if n == 0 {
					return tc.err
				}
				return nil
			}}
			inBubble(t, pd, nil, func(r *rig) {
				r.observe(alert{name: "a"}, alert{name: "a", resolved: true})
				time.Sleep(time.Minute + time.Second)
				if n := len(pd.requests()); n != 1 {
					t.Errorf("%d requests a minute later, want the change event", n)
				}
				r.observe(alert{name: "b"}, alert{name: "b", resolved: true})
				time.Sleep(time.Hour)
				var told []string
				for _, s := range pd.requests() {
					told = append(told, s.dedup)
				}
				if diff := cmp.Diff(tc.want, told); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestPoisonDoesNotBlockItsLane(t *testing.T) {
	pd := &fakePagerDuty{}
	pd.answer = func(_ int, e *pagerduty.Event) error {
		if e.DedupKey == "poison" {
			return &pagerduty.StatusError{Code: 500}
		}
		return nil
	}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(alert{name: "poison"})
		time.Sleep(time.Minute)
		r.observe(alert{name: "fine"})
		r.want("fine", "trigger 202")
	})
}

func refusal() error {
	return &pagerduty.StatusError{Code: 400, Body: []byte(`{"status":"invalid event","message":"Event object is invalid","errors":["no"]}`)}
}

func withFallback(r *rig) {
	infra := service("infra")
	infra.Fallback = "catch-all"
	other := service("catch-all")
	other.Key = func() (string, error) { return "fedcba9876543210fedcba9876543210", nil }
	r.settings.Services = map[string]delivery.Service{"infra": infra, "catch-all": other}
}

func TestRefusedGoesMinimalThenToTheFallback(t *testing.T) {
	pd := &fakePagerDuty{}
	var sources []string
	pd.answer = func(_ int, e *pagerduty.Event) error {
		if e.RoutingKey == testKey && e.Action == "trigger" {
			sources = append(sources, e.Payload.Source)
			return refusal()
		}
		return nil
	}
	inBubble(t, pd, withFallback, func(r *rig) {
		r.observe(alert{name: "a"})
		r.want("a", "trigger 400", "trigger 400", "trigger 202")
		if got := fmt.Sprint(sources); got != "[s minimal]" {
			t.Errorf("refused events were %s, want the full one and the minimal one", got)
		}
		in, ok := r.Get(incident.ID("infra", "a"))
		if !ok || in.Status() != "blocked" {
			t.Errorf("the original is %+v, want blocked", in)
		}
		r.observe(alert{name: "a", resolved: true})
		r.want("a", "trigger 400", "trigger 400", "trigger 202", "resolve 202")
		if n := len(r.List()); n != 0 {
			t.Errorf("%d incidents left, want 0", n)
		}
	})
}

func TestRefusedKeyIsProbedAndDiverted(t *testing.T) {
	pd := &fakePagerDuty{}
	bad := true
	pd.answer = func(_ int, e *pagerduty.Event) error {
		if bad && e.RoutingKey == testKey {
			return &pagerduty.StatusError{Code: 400, Body: []byte("Invalid routing key")}
		}
		return nil
	}
	inBubble(t, pd, withFallback, func(r *rig) {
		r.observe(many("a", 20, mapping.High)...)
		time.Sleep(10 * time.Minute)
		refused, diverted := 0, map[string]bool{}
		for _, s := range pd.requests() {
			if s.code == 400 {
				refused++
			} else {
				diverted[s.dedup] = true
			}
		}
		if len(diverted) != 20 {
			t.Errorf("%d pages went to the fallback, want 20", len(diverted))
		}
		if refused < 10 || refused > 30 { // at most 16 at once at first, then one probe a minute.
			t.Errorf("%d requests with a refused key in ten minutes, want a probe a minute", refused)
		}
		pd.mu.Lock()
		bad = false
		pd.mu.Unlock()
		time.Sleep(2 * time.Minute)
		for i := range 20 {
			if in, ok := r.Get(incident.ID("infra", fmt.Sprint("a", i))); !ok || in.Have != incident.StateOpen {
				t.Errorf("a%d is not open on its own service after the key was mended", i)
			}
		}
	})
}

func TestStaleTriggerIsCheckedFirst(t *testing.T) {
	for _, tc := range []struct {
		verdict incident.Verdict
		want    string
	}{
		{incident.VerdictGone, "[]"},
		{incident.VerdictFiring, "[trigger 202]"},
		{incident.VerdictUncertain, "[trigger 202]"},
	} {
		t.Run(string(tc.verdict), func(t *testing.T) {
			var asked atomic.Int32
			pd := &fakePagerDuty{limit: 120}
			inBubble(t, pd, func(r *rig) {
				r.SetPolicy(incident.Policy{StaleAfter: 10 * time.Second, Alertmanagers: 1})
				r.settings.Asker = asker(func(q incident.Question, in *incident.Incident) incident.Verdict {
					asked.Add(1)
					return tc.verdict
				})
			}, func(r *rig) {
				r.observe(many("low", 108, mapping.Low)...)
				synctest.Wait()
				r.observe(alert{name: "stale", urgency: mapping.Low})
				time.Sleep(2 * time.Minute)
				if got := fmt.Sprint(pd.actions("stale")); got != tc.want {
					t.Errorf("sent %s, want %s", got, tc.want)
				}
				if n := asked.Load(); n != 1 {
					t.Errorf("asked %d times, want once", n)
				}
			})
		})
	}
}

func TestHangingAlertmanagerHoldsAHighPageForASecond(t *testing.T) {
	pd := &fakePagerDuty{}
	unready := true
	pd.answer = func(int, *pagerduty.Event) error {
		if unready {
			return &pagerduty.StatusError{Code: 503}
		}
		return nil
	}
	inBubble(t, pd, func(r *rig) {
		r.SetPolicy(incident.Policy{StaleAfter: 10 * time.Second, Alertmanagers: 1})
		r.settings.Asker = hanging{}
	}, func(r *rig) {
		r.observe(alert{name: "a"})
		time.Sleep(time.Minute)
		pd.mu.Lock()
		unready = false
		pd.mu.Unlock()
		time.Sleep(20 * time.Second) // its own backoff is 15 s at most.
		got := pd.actions("a")
		if got[len(got)-1] != "trigger 202" {
			t.Errorf("sent %q, want it accepted at last", got)
		}
	})
}

// A firing in a cluster is asked about before it opens anything: an Alertmanager that
// hangs holds a high page for a second and others for five, and one that knows the alert,
// or has just begun to fire, not at all.
func TestFiringInAClusterIsAskedAboutFirst(t *testing.T) {
	says := func(v incident.Verdict) delivery.Asker {
		return asker(func(q incident.Question, _ *incident.Incident) incident.Verdict {
			if q != incident.QuestionOpen {
				return incident.VerdictUncertain
			}
			return v
		})
	}
	for _, tc := range []struct {
		name    string
		asker   delivery.Asker
		urgency mapping.Urgency
		age     time.Duration
		want    time.Duration // until it leaves; -1: never.
	}{
		{"it fires", says(incident.VerdictFiring), mapping.High, time.Minute, 0},
		{"nobody knows", says(incident.VerdictUncertain), mapping.High, time.Minute, 0},
		{"it is over", says(incident.VerdictGone), mapping.High, time.Minute, -1},
		{"too young to be over", says(incident.VerdictGone), mapping.High, 0, 0},
		{"hangs, high", hanging{}, mapping.High, time.Minute, incident.OpenAskHigh},
		{"hangs, low", hanging{}, mapping.Low, time.Minute, incident.OpenAsk},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pd := &fakePagerDuty{}
			inBubble(t, pd, func(r *rig) {
				r.SetPolicy(incident.Policy{StaleAfter: time.Hour, Alertmanagers: 2})
				r.settings.Asker = tc.asker
			}, func(r *rig) {
				came := time.Now()
				r.observe(alert{name: "a", urgency: tc.urgency, starts: -tc.age})
				time.Sleep(10 * time.Second)
				synctest.Wait()
				requests := pd.requests()
				if tc.want < 0 {
					if len(requests) > 0 {
						t.Errorf("got requests %v, want none", requests)
					}
					if _, ok := r.Get(incident.ID("infra", "a")); ok {
						t.Error("the incident is still there")
					}
					return
				}
				if len(requests) != 1 || requests[0].at.Sub(came) != tc.want {
					t.Errorf("got requests %v, want one after %s", requests, tc.want)
				}
			})
		})
	}
}

type hanging struct{}

func (hanging) Ask(ctx context.Context, _ incident.Question, _ *incident.Incident) (incident.Verdict, string) {
	<-ctx.Done()
	return incident.VerdictUncertain, "no answer"
}

func TestUnreadableKeyIsReadAgain(t *testing.T) {
	var readable atomic.Bool
	inBubble(t, &fakePagerDuty{}, func(r *rig) {
		s := service("infra")
		s.Key = func() (string, error) {
			if !readable.Load() {
				return "", errors.New("read routing key: no such file")
			}
			return testKey, nil
		}
		r.settings.Services["infra"] = s
	}, func(r *rig) {
		r.observe(alert{name: "a"})
		time.Sleep(time.Minute)
		r.want("a")
		readable.Store(true)
		time.Sleep(16 * time.Second)
		r.want("a", "trigger 202")
	})
}

func TestServiceTakenAwayAndBroughtBack(t *testing.T) {
	inBubble(t, &fakePagerDuty{}, nil, func(r *rig) {
		r.observe(alert{name: "a"})
		r.want("a", "trigger 202")
		r.d.Apply(delivery.Settings{Renderer: render{}, Sender: r.pd})
		synctest.Wait()
		r.observe(alert{name: "a", resolved: true})
		r.want("a", "trigger 202")
		r.d.Apply(r.settings)
		if _, err := r.RetryBlocked(r.t.Context(), "reload"); err != nil {
			t.Fatal(err)
		}
		r.want("a", "trigger 202", "resolve 202")
	})
}

func TestShutdownFinishesWhatIsInFlight(t *testing.T) {
	inBubble(t, &fakePagerDuty{latency: 4 * time.Second}, nil, func(r *rig) {
		r.observe(many("a", 40, mapping.High)...)
		synctest.Wait()
		began := time.Now()
		r.stop()
		if d := time.Since(began); d != 4*time.Second {
			t.Errorf("stopped after %v, want the 4s that the requests take", d)
		}
		known := 0
		for _, in := range r.List() {
			if in.Have == incident.StateOpen {
				known++
			}
		}
		if known != 16 || len(r.pd.requests()) != 16 {
			t.Errorf("%d of %d requests recorded, want 16 of 16 and none started after the stop", known, len(r.pd.requests()))
		}
	})
}

func TestShutdownGivesUpAtItsDeadline(t *testing.T) {
	inBubble(t, &fakePagerDuty{latency: time.Hour}, nil, func(r *rig) {
		r.observe(alert{name: "a"})
		synctest.Wait()
		began := time.Now()
		r.stop()
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("stopped after %v, want 10s", d)
		}
	})
}

func TestTimedOutTriggerIsSentAgainAndItsResolveTwice(t *testing.T) {
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
		r.want("a", "trigger 0", "trigger 202")
		r.observe(alert{name: "a", resolved: true})
		r.want("a", "trigger 0", "trigger 202", "resolve 202")
		time.Sleep(time.Minute)
		r.want("a", "trigger 0", "trigger 202", "resolve 202", "resolve 202")
		time.Sleep(time.Hour)
		r.want("a", "trigger 0", "trigger 202", "resolve 202", "resolve 202")
	})
}
