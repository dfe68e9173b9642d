package model_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/mapping"
)

// flood is a number of warnings and of critical alerts, and when each arrives.
type flood struct {
	perMinute int             // PagerDuty's limit.
	latency   time.Duration   // of PagerDuty's answers.
	warnings  []time.Duration // when so many more arrive, all in one webhook.
	batch     int
	critical  []time.Duration
}

func drawFlood(rt *rapid.T) flood {
	seconds := func(most int) *rapid.Generator[time.Duration] {
		return rapid.Map(rapid.IntRange(0, most), func(n int) time.Duration { return time.Duration(n) * time.Second })
	}
	f := flood{
		perMinute: rapid.SampledFrom([]int{120, 60, 40}).Draw(rt, "events_per_minute"),
		latency:   rapid.SampledFrom([]time.Duration{0, 50 * time.Millisecond, 500 * time.Millisecond, slow}).Draw(rt, "latency"),
		warnings:  rapid.SliceOfN(seconds(240), 1, 6).Draw(rt, "warnings"),
		batch:     rapid.IntRange(20, 100).Draw(rt, "batch"),
	}
	// The reserve is a tenth of the limit; a place in it is free a minute after its
	// request has ended.
	const cycle = 62 * time.Second
	for _, at := range slices.Sorted(slices.Values(rapid.SliceOfN(seconds(300), 1, 60).Draw(rt, "critical"))) {
		n := len(f.critical) - f.perMinute/10
		if n >= 0 && at-f.critical[n] <= cycle {
			continue
		}
		// Of the connections 4 are kept: with slow answers that is 4 at a time.
		if n := len(f.critical) - 4; f.latency < slow || n < 0 || at-f.critical[n] > slow {
			f.critical = append(f.critical, at)
		}
	}
	return f
}

// slow is an answer of PagerDuty's just before the time-out.
const slow = 4 * time.Second

// However warnings and critical alerts arrive: while the critical ones are no more
// than what is kept for them, each leaves within 2 s, nothing is refused, and the
// last warning leaves within the time that the limit implies.
func TestFloodOfWarningsDelaysNoCriticalPage(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := drawFlood(rt)
		if problems := f.run(t); len(problems) > 0 {
			rt.Fatalf("%s\nof %+v", strings.Join(problems, "\n"), f)
		}
	})
}

func (f flood) run(t *testing.T) (problems []string) {
	t.Helper()
	dir := newDir(t)
	bubble.Test(t, func(t *testing.T) {
		c, err := config.Parse(fmt.Appendf(nil, "services: {infra: {routing_key: %s, events_per_minute: %d}}\ndefaults: {dedup: {by: alert}}\n", keyInfra, f.perMinute), dir)
		if err != nil {
			t.Fatal(err)
		}
		pd := newAccount(pagerDuty(f.perMinute))
		if f.latency > 0 {
			if err := pd.SetFaults([]emulator.Fault{{Do: emulator.DoDelay, Latency: model.Duration(f.latency)}}); err != nil {
				t.Fatal(err)
			}
		}
		s := newSidecar(dir, alone{pd}, settings{config: c})
		s.start()
		defer s.stop()
		problems = f.play(s, pd)
	})
	return problems
}

func (f flood) play(s *sidecar, pd account) (problems []string) {
	began, fired := time.Now(), map[string]time.Time{}
	arrive := func(names []string, severity string) {
		g := mapping.Group{Version: "4", GroupKey: "{}:{}"}
		for _, name := range names {
			raw, err := json.Marshal(map[string]any{
				"status": "firing", "labels": map[string]string{"alertname": name, "severity": severity}, "startsAt": time.Now(),
			})
			if err != nil {
				panic(err)
			}
			g.Alerts = append(g.Alerts, decodeAlert(raw))
			fired[name] = time.Now()
		}
		body, err := json.Marshal(&g)
		if err != nil {
			panic(err)
		}
		if rec := post(s.door, body); rec.Code != 200 {
			problems = append(problems, fmt.Sprintf("a webhook was answered %d: %s", rec.Code, rec.Body))
		}
	}
	for at := time.Duration(0); at <= 300*time.Second; at += time.Second {
		for _, due := range f.warnings {
			var names []string
			for i := range f.batch {
				names = append(names, fmt.Sprintf("Warning%d-%d-%d", due/time.Second, len(fired), i))
			}
			if due == at {
				arrive(names, "warning")
			}
		}
		for i, due := range f.critical {
			if due == at {
				arrive([]string{fmt.Sprint("Critical", i)}, "critical")
			}
		}
		time.Sleep(time.Until(began.Add(at + time.Second)))
	}
	time.Sleep(time.Hour)
	synctest.Wait()

	left := map[string]time.Time{}
	for _, r := range pd.Requests() {
		if name := strings.Split(r.DedupKey, "/")[1]; left[name].IsZero() {
			left[name] = r.ReceivedAt
		}
	}
	// Every warning has left when all would have, had they come one after the other
	// and last of all.
	patience := 300*time.Second + time.Duration(len(fired)/(f.perMinute-f.perMinute/10)+2)*(time.Minute+f.latency)
	for name, at := range fired {
		switch took, ok := left[name].Sub(at), !left[name].IsZero(); {
		case !ok:
			problems = append(problems, name+" never left")
		case strings.HasPrefix(name, "Critical") && took > 2*time.Second:
			problems = append(problems, fmt.Sprintf("%s left after %v", name, took))
		case left[name].Sub(began) > patience:
			problems = append(problems, fmt.Sprintf("%s left after %v", name, left[name].Sub(began)))
		}
	}
	if n := pd.Counts().Throttled; n > 0 {
		problems = append(problems, fmt.Sprintf("%d requests were answered 429", n))
	}
	slices.Sort(problems)
	return problems
}

// alone is PagerDuty with no Alertmanager to ask.
type alone struct{ account }

// Ask is never called.
func (alone) Ask(context.Context, incident.Question, *incident.Incident) (incident.Verdict, string) {
	return incident.VerdictUncertain, "nobody to ask"
}

// Identity is nobody's.
func (alone) Identity() string { return "" }

// Survey is never called.
func (alone) Survey(context.Context, func(int, *alertmanager.Listing) error) (alertmanager.Standing, error) {
	return alertmanager.Standing{}, nil
}
