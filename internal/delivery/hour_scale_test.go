package delivery_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/lab/race"
	"github.com/pagerelay/pagerelay/mapping"
)

// hour is what happens in an hour of trouble, second by second.
type hour struct {
	seconds [][]alert
	firing  map[string]mapping.Urgency // at the end of it.
	// episodes are the times at which each alert began to fire, resolves those at
	// which it ended, since the start.
	episodes, resolves map[string][]time.Duration
}

// newHour draws n alerts at the rate of 100,000 an hour, one in a hundred of them
// critical. They last ten minutes on average, but no longer than the trouble; one
// in fifty lasts for ever, and one in twenty flaps.
func newHour(rng *rand.Rand, n int) *hour {
	seconds := n * 3600 / 100_000
	const after = 5 // seconds, after which all but those are over.
	h := &hour{
		seconds: make([][]alert, seconds+after), firing: map[string]mapping.Urgency{},
		episodes: map[string][]time.Duration{}, resolves: map[string][]time.Duration{},
	}
	at := func(second int, a alert) bool {
		if second >= seconds && !a.resolved {
			return false
		}
		second = min(second, seconds+after-1)
		h.seconds[second] = append(h.seconds[second], a)
		since := time.Duration(second) * time.Second
		if a.resolved {
			delete(h.firing, a.name)
			h.resolves[a.name] = append(h.resolves[a.name], since)
		} else {
			h.firing[a.name] = a.urgency
			h.episodes[a.name] = append(h.episodes[a.name], since)
		}
		return true
	}
	for i := range n {
		a := alert{name: fmt.Sprint("low", i), urgency: mapping.Low}
		if i%100 == 0 {
			a = alert{name: fmt.Sprint("high", i), urgency: mapping.High}
		}
		over := a
		over.resolved = true
		second := rng.IntN(seconds)
		times := 1
		if rng.IntN(20) == 0 {
			times = 5
		}
		for range times {
			if !at(second, a) {
				break
			}
			if times == 1 && rng.IntN(50) == 0 {
				break // it fires until the end.
			}
			if times == 1 {
				second += 1 + int(600*rng.ExpFloat64())
			} else {
				second += 5 + rng.IntN(20)
			}
			at(second, over)
			second += 5 + rng.IntN(20)
		}
	}
	return h
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// An hour of trouble against the documented limit: every critical page goes out
// at once, whatever still fires is told in the end, and memory follows what is open.
func TestAnHourOfTrouble(t *testing.T) {
	n, limit99 := 100_000, 2*time.Second
	if testing.Short() || race.Enabled {
		n, limit99 = 10_000, 10*time.Second // six minutes of it, of which the first is the worst.
	}
	const perIncident = 6 << 10 // bytes of heap, at most.
	h := newHour(rand.New(rand.NewPCG(3, 3)), n)
	pd := &fakePagerDuty{limit: 120, latency: 50 * time.Millisecond}
	before := heap()
	inBubble(t, pd, nil, func(r *rig) {
		began := time.Now()
		r.observe(alert{name: "change", urgency: mapping.Change})
		most, perMost := 0, uint64(0)
		for second, alerts := range h.seconds {
			for chunk := range slices.Chunk(alerts, 500) {
				r.observe(chunk...)
			}
			time.Sleep(time.Until(began.Add(time.Duration(second+1) * time.Second)))
			if second%(len(h.seconds)/6) == 0 {
				if open := len(r.List()); open > most {
					now := heap()
					most, perMost = open, (now-min(before, now))/uint64(open)
				}
			}
		}
		waiting, ended := len(r.List()), time.Now()
		for range 24 * 60 { // until all is told, a day at most.
			synctest.Wait()
			pending := 0
			for _, in := range r.List() {
				if !in.PendingSince.IsZero() {
					pending++
				}
			}
			if pending == 0 {
				break
			}
			time.Sleep(time.Minute)
		}
		took := time.Since(ended)

		last, notified := map[string]string{}, 0
		triggered := map[string][]time.Duration{}
		refused := 0
		for _, s := range pd.requests() {
			if s.code != 202 {
				refused++
				continue
			}
			if s.action == "trigger" && last[s.dedup] == "trigger" {
				t.Errorf("%s was triggered into what was open: that notifies nobody", s.dedup)
			}
			if s.action == "trigger" && s.dedup[:3] != "low" {
				notified++
			}
			last[s.dedup] = s.action
			if s.action == "trigger" {
				triggered[s.dedup] = append(triggered[s.dedup], s.at.Sub(began))
			}
		}
		for name := range h.firing {
			if last[name] != "trigger" {
				t.Errorf("%s fires and PagerDuty was last told %q", name, last[name])
			}
		}
		for name, action := range last {
			if _, fires := h.firing[name]; action == "trigger" && !fires {
				t.Errorf("%s is over and open at PagerDuty", name)
			}
		}
		r.want("change", "change 202")
		paged, unpaged := h.paged(triggered)
		var latencies []time.Duration
		for _, p := range paged {
			latencies = append(latencies, p.left-p.fired)
		}
		p50, p99, worst := quantiles(latencies)
		if p50 > 500*time.Millisecond || p99 > limit99 {
			t.Errorf("critical pages went out after %v in the middle, %v at the 99th percentile; want 0.5s and %v", p50, p99, limit99)
		}
		t.Logf("%d critical episodes, paged after %v in the middle, %v at the 99th percentile, %v at most", len(paged), p50, p99, worst)
		t.Logf("%d notifications of them, each of an incident of its own", notified)
		h.checkBest(t, paged, pd.requests(), began)
		if unpaged > 0 {
			t.Errorf("%d critical episodes were not paged", unpaged)
		}
		if refused > 0 {
			t.Errorf("%d requests refused", refused)
		}
		if perMost > perIncident {
			t.Errorf("%d bytes of heap for each of %d open incidents, want at most %d", perMost, most, perIncident)
		}
		t.Logf("%d alerts; most incidents open %d, %d bytes of heap each; %d open at the end; all told %v later, with %d requests",
			n, most, perMost, waiting, took.Round(time.Minute), len(pd.requests()))
	})
}

// page is an episode of a critical alert: when it began and when the trigger left
// that answers to it, since the start.
type page struct {
	name        string
	fired, left time.Duration
}

// paged lists the episodes of critical alerts by the time at which they began, and
// counts those that no trigger answers to.
func (h *hour) paged(triggered map[string][]time.Duration) (list []page, unpaged int) {
	for name, starts := range h.episodes {
		if name[:4] != "high" {
			continue
		}
		for _, start := range starts {
			i := slices.IndexFunc(triggered[name], func(at time.Duration) bool { return at >= start })
			if i < 0 {
				unpaged++
				continue
			}
			list = append(list, page{name, start, triggered[name][i]})
		}
	}
	slices.SortFunc(list, func(a, b page) int {
		return cmp.Or(cmp.Compare(a.fired, b.fired), cmp.Compare(a.left, b.left), cmp.Compare(a.name, b.name))
	})
	return list, unpaged
}

// checkBest holds every page against the best that can be done. What has left before
// its webhook came holds a place in PagerDuty's window for a minute, whoever decides
// what goes next; behind the critical pages that came before it, it can leave when
// the window has a place. And where the minute before has not brought more high
// events than the reserve holds, it leaves at once.
func (h *hour) checkBest(t *testing.T, paged []page, requests []sent, began time.Time) {
	t.Helper()
	const (
		limit, reserve = 120, 12
		patience       = 2 * time.Second
		owedPatience   = 5 * time.Second // what is over by then goes behind what is live, at the pace of the others.
	)
	late, last, owed := 0, time.Duration(0), 0
	var worstBest, worstLive, worstOwed time.Duration
	for i, p := range paged {
		if p.left-p.fired <= patience {
			continue
		}
		late, last = late+1, max(last, p.fired)
		var taken []time.Duration // when the places were taken that are not free by then.
		high := 0
		for _, s := range requests {
			if at := s.at.Sub(began); at < p.fired && at > p.fired-time.Minute {
				taken = append(taken, at)
				if s.dedup[:4] == "high" {
					high++
				}
			}
		}
		best, ahead := p.fired, map[string]bool{}
		for _, q := range paged[:i+1] {
			if q.left < p.fired || ahead[q.name] {
				continue
			}
			ahead[q.name] = true
			if n := len(taken); n >= limit {
				best = max(best, taken[n-limit]+time.Minute)
			}
			taken = append(taken, best)
		}
		worstBest = max(worstBest, best-p.fired)
		over := slices.ContainsFunc(h.resolves[p.name], func(end time.Duration) bool { return end >= p.fired && end <= p.left })
		within := patience
		if over {
			within = owedPatience
			owed++
			worstOwed = max(worstOwed, p.left-best)
		} else {
			worstLive = max(worstLive, p.left-best)
		}
		if p.left-best > within {
			t.Errorf("%s left %v after its webhook; the best possible was %v", p.name, p.left-p.fired, best-p.fired)
		}
		if n := high + len(ahead); n <= reserve {
			t.Errorf("%s left %v after its webhook, in a minute with %d high events, for which the reserve of %d provides", p.name, p.left-p.fired, n, reserve)
		}
	}
	t.Logf("%d of %d critical episodes waited for more than %v, the last of them began after %v, all in minutes with more than %d high events; the best possible was %v at most; those still firing left within %v of it, the %d that were over by then within %v",
		late, len(paged), patience, last, reserve, worstBest, worstLive, owed, worstOwed)
}

func quantiles(list []time.Duration) (p50, p99, worst time.Duration) {
	if len(list) == 0 {
		return 0, 0, 0
	}
	slices.Sort(list)
	return list[len(list)/2], list[len(list)*99/100], list[len(list)-1]
}

// Even high pages beyond the limit, without end, leave a place in ten to what has
// waited for five minutes.
func TestAFloodOfHighStarvesNobody(t *testing.T) {
	pd := &fakePagerDuty{limit: 120, latency: 50 * time.Millisecond}
	inBubble(t, pd, nil, func(r *rig) {
		var began time.Time
		for second := range 15 * 60 {
			if second == 120 { // the window is full, and every place that comes free is taken at once.
				began = time.Now()
				r.observe(alert{name: "low", urgency: mapping.Low}, alert{name: "change", urgency: mapping.Change})
			}
			r.observe(many(fmt.Sprint("high-", second, "-"), 3, mapping.High)...)
			time.Sleep(time.Second)
		}
		for _, name := range []string{"low", "change"} {
			i := slices.IndexFunc(pd.requests(), func(s sent) bool { return s.dedup == name })
			if i < 0 {
				t.Errorf("%s was not sent in 15 minutes", name)
				continue
			}
			if d := pd.requests()[i].at.Sub(began); d > 7*time.Minute {
				t.Errorf("%s was sent after %v, want 7m at most", name, d)
			}
		}
		for _, s := range pd.requests() {
			if s.code != 202 {
				t.Fatalf("%s of %s was answered %d", s.action, s.dedup, s.code)
			}
		}
	})
}

// More high pages at once than are provided for (12), in the middle of a flood:
// what the warnings hold comes free little by little, not a minute later.
func TestBurstsOfHighInAFloodFindPlaces(t *testing.T) {
	pd := &fakePagerDuty{limit: 120, latency: 50 * time.Millisecond}
	inBubble(t, pd, nil, func(r *rig) {
		r.observe(many("low", 3000, mapping.Low)...)
		fired := map[string]time.Time{}
		for burst := range 8 {
			time.Sleep(50 * time.Second)
			alerts := many(fmt.Sprint("high-", burst, "-"), 20, mapping.High)
			for _, a := range alerts {
				fired[a.name] = time.Now()
			}
			r.observe(alerts...)
		}
		time.Sleep(time.Minute)
		late := map[string]time.Duration{}
		for _, s := range pd.requests() {
			if at, ok := fired[s.dedup]; ok && s.code == 202 {
				burst := s.dedup[:6]
				late[burst] = max(late[burst], s.at.Sub(at))
				delete(fired, s.dedup)
			}
		}
		if len(fired) > 0 {
			t.Errorf("%d high pages were not sent", len(fired))
		}
		for burst, d := range late {
			// The first ones meet warnings that have all left in the same second.
			if d > 7*time.Second && burst > "high-2" {
				t.Errorf("%s: the last of 20 waited for %v, want 7s at most", burst, d)
			}
		}
		t.Logf("the last of each burst waited for %v", late)
	})
}
