package delivery_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/lab/race"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// PagerDuty is away for six hours, in one of the ways in which it can be, while
// alerts fire and resolve: afterwards exactly those that still fire are paged, the
// urgent ones first, and one change event counts what was missed, by alert name.
func TestSixHoursOfOutage(t *testing.T) {
	n := 20_000
	if testing.Short() || race.Enabled {
		n = 2_000
	}
	for _, tc := range []struct {
		name   string
		answer func() error
	}{
		{"refuses with 503", func() error { return &pagerduty.StatusError{Code: 503} }},
		{"times out", func() error { return context.DeadlineExceeded }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pd := &fakePagerDuty{limit: 120, latency: 50 * time.Millisecond}
			down := true
			pd.answer = func(int, *pagerduty.Event) error {
				if down {
					return tc.answer()
				}
				return nil
			}
			inBubble(t, pd, nil, func(r *rig) { outage(t, r, n, func() { down = false }) })
		})
	}
}

// resting is the heap while everything waits: the least of several looks, each
// with nothing under way, so that neither a commit nor what the collector has not
// yet let go of counts, and without what the fake itself remembers.
func (r *rig) resting() uint64 {
	least := uint64(math.MaxUint64)
	for range 5 {
		time.Sleep(time.Minute)
		synctest.Wait()
		r.pd.mu.Lock()
		own := uint64(cap(r.pd.log)) * uint64(unsafe.Sizeof(sent{}))
		r.pd.mu.Unlock()
		runtime.GC() // what a sync.Pool holds goes with the second.
		least = min(least, heap()-own)
	}
	return least
}

func outage(t *testing.T, r *rig, n int, end func()) {
	t.Helper()
	const hours = 6
	rng := rand.New(rand.NewPCG(4, 4))
	// One in five is critical; one in ten fires twice. Three in fifty still fire in the
	// end, one of these for the second time.
	type moment struct {
		at time.Duration
		alert
	}
	var story []moment
	firing, missed := map[string]mapping.Urgency{}, map[mapping.Urgency]int{}
	length := func() time.Duration { return time.Duration(rng.Int64N(int64(hours * time.Hour))) }
	for i := range n {
		a := alert{name: fmt.Sprint("low", i), urgency: mapping.Low}
		if i%5 == 0 {
			a = alert{name: fmt.Sprint("high", i), urgency: mapping.High}
		}
		over := a
		over.resolved = true
		times := []time.Duration{length(), length(), length(), length()}
		slices.Sort(times)
		story = append(story, moment{times[0], a})
		switch {
		case i%50 < 2: // with both urgencies.
			firing[a.name] = a.urgency
		case i%50 == 2:
			firing[a.name] = a.urgency
			missed[a.urgency]++
			story = append(story, moment{times[1], over}, moment{times[2], a})
		case i%10 == 5:
			missed[a.urgency] += 2
			story = append(story, moment{times[1], over}, moment{times[2], a}, moment{times[3], over})
		default:
			missed[a.urgency]++
			story = append(story, moment{times[1], over})
		}
	}
	slices.SortStableFunc(story, func(a, b moment) int { return int(a.at - b.at) })

	// Memory is looked at when all that fires is there, and again when it has waited.
	began := time.Now()
	for len(story) > 0 {
		var group []alert
		for len(story) > 0 && len(group) < 50 && time.Since(began) >= story[0].at {
			// One alert once in a webhook, as Alertmanager does it.
			if slices.ContainsFunc(group, func(a alert) bool { return a.name == story[0].name }) {
				break
			}
			group = append(group, story[0].alert)
			story = story[1:]
		}
		if len(group) == 0 {
			time.Sleep(time.Until(began.Add(story[0].at).Truncate(10 * time.Second).Add(10 * time.Second)))
			continue
		}
		r.observe(group...)
	}
	time.Sleep(time.Minute)
	early, open := r.resting(), len(r.List())
	time.Sleep(hours * time.Hour) // twice as long as promised, so that waiting shows.
	late := r.resting()
	if late > early+early/10+(1<<20) {
		t.Errorf("the heap grew from %d to %d bytes while PagerDuty was away and nothing happened", early, late)
	}
	during := len(r.pd.requests())
	if most := 2 * hours * 3600 / 10; during > most {
		t.Errorf("%d requests in %d hours of outage, want at most %d", during, 2*hours, most)
	}

	r.pd.mu.Lock()
	end()
	r.pd.mu.Unlock()
	time.Sleep(2 * time.Hour)
	synctest.Wait()
	var order []string
	paged, wrong := map[string]int{}, 0
	var digests []string
	for _, s := range r.pd.requests()[during:] {
		switch {
		case s.code != 202: // those that were in flight when it ended.
		case s.action == "trigger":
			paged[s.dedup]++
			order = append(order, s.dedup[:3])
			if _, fires := firing[s.dedup]; !fires || paged[s.dedup] > 1 {
				wrong++
			}
		case s.action == "change":
			digests = append(digests, s.dedup)
		}
	}
	for name := range firing {
		if paged[name] != 1 {
			t.Errorf("%s still fires and was paged %d times, want once", name, paged[name])
		}
	}
	if wrong > 0 {
		t.Errorf("%d pages for what no longer fired, or twice", wrong)
	}
	// Low ones that have waited for five minutes have one place in ten, no more.
	lastHigh := len(order) - 1
	for lastHigh >= 0 && order[lastHigh] == "low" {
		lastHigh--
	}
	overtook := 0
	for _, what := range order[:lastHigh+1] {
		if what == "low" {
			overtook++
		}
	}
	if overtook > len(order)/10+1 {
		t.Errorf("%d low ones were paged before the last of %d high ones, want one in ten at most", overtook, lastHigh+1-overtook)
	}
	// One event tells what was missed: every firing that was over, and no other.
	all := missed[mapping.Low] + missed[mapping.High]
	want := fmt.Sprintf("%d firings were over before PagerDuty confirmed them or anybody could be paged: low (%d), high (%d)",
		all, missed[mapping.Low], missed[mapping.High])
	if len(digests) != 1 || digests[0] != want {
		t.Errorf("the change events are %q, want one: %q", digests, want)
	}
	superseded := r.counter("pagerelay_events_superseded_total")
	if superseded != float64(all) {
		t.Errorf("the metric says that %v firings were superseded, want %d", superseded, all)
	}
	t.Logf("outage: %d alerts, %d firings, %d paged, %v superseded, %d told in %d change event, %d wrong; heap %.1f MiB with %d open, %.1f MiB six hours later; %d requests meanwhile",
		n, all+len(firing), len(paged), superseded, all, len(digests), wrong, float64(early)/(1<<20), open, float64(late)/(1<<20), during)
}

// counter reads a counter without labels.
func (r *rig) counter(name string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	r.t.Fatalf("there is no metric %s", name)
	return 0
}

// The summary of the change event names ten alerts, those with the most firings, and
// says that there are more; what the digest itself does not name is told as others.
func TestSummaryOfWhatWasMissedNamesTen(t *testing.T) {
	for _, tc := range []struct {
		name  string
		names int
		want  string
	}{
		{"ten", 10, "10 firings were over before PagerDuty confirmed them or anybody could be paged: " +
			"a- (1), b- (1), c- (1), d- (1), e- (1), f- (1), g- (1), h- (1), i- (1), j- (1)"},
		{"eleven", 11, "11 firings were over before PagerDuty confirmed them or anybody could be paged: " +
			"a- (1), b- (1), c- (1), d- (1), e- (1), f- (1), g- (1), h- (1), i- (1), j- (1), and others"},
		{"more than a digest names", 103, "103 firings were over before PagerDuty confirmed them or anybody could be paged: " +
			"(others) (3), a- (1), aa- (1), ab- (1), ac- (1), ad- (1), ae- (1), af- (1), ag- (1), ah- (1), and others"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			down := true
			pd := &fakePagerDuty{}
			pd.answer = func(int, *pagerduty.Event) error {
				if down {
					return &pagerduty.StatusError{Code: 503}
				}
				return nil
			}
			inBubble(t, pd, nil, func(r *rig) {
				var all []alert
				for i := range tc.names { // a to z, then aa and on.
					name := string(rune('a'+i%26)) + "-"
					if i >= 26 {
						name = string(rune('a'+i/26-1)) + name
					}
					all = append(all, alert{name: name})
				}
				r.observe(all...)
				time.Sleep(time.Hour)
				for _, a := range all {
					a.resolved = true
					r.observe(a)
				}
				synctest.Wait()
				pd.mu.Lock()
				down = false
				pd.mu.Unlock()
				time.Sleep(time.Hour)
				var told []string
				for _, s := range pd.requests() {
					if s.action == "change" && s.code == 202 {
						told = append(told, s.dedup)
					}
				}
				if diff := cmp.Diff([]string{tc.want}, told); diff != "" {
					t.Errorf("change events (-want +got):\n%s", diff)
				}
			})
		})
	}
}
