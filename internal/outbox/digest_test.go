package outbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// What is told after an outage is every firing that was over before PagerDuty
// confirmed it, and none that it did confirm.
func TestEveryMissedFiringIsCounted(t *testing.T) {
	fires := func(fp string, starts time.Duration) alert { return alert{fp: fp, starts: starts} }
	over := func(fp string, ends time.Duration) alert { return alert{fp: fp, resolved: true, ends: ends} }
	id := incident.ID("infra", "a")
	for _, tc := range []struct {
		name string
		do   func(r *rig) *rig
		want int
	}{
		{"over twice, nothing sent", func(r *rig) *rig {
			for i := range 2 {
				r.observe(fires("a", time.Duration(2*i)*time.Minute))
				r.observe(over("a", time.Duration(2*i+1)*time.Minute))
				r.accept("a")
			}
			return r
		}, 2},
		{"over twice, its first trigger may have been applied", func(r *rig) *rig {
			r.observe(fires("a", 0))
			r.once(id, incident.OutcomeUnknown)
			r.observe(over("a", time.Minute))
			r.observe(fires("a", 2*time.Minute))
			r.observe(over("a", 3*time.Minute))
			return r
		}, 2},
		{"over once, and fires again", func(r *rig) *rig {
			r.observe(fires("a", 0))
			r.once(id, incident.OutcomeUnknown)
			r.observe(over("a", time.Minute))
			r.observe(fires("a", 2*time.Minute))
			return r
		}, 1},
		{"its end was never told", func(r *rig) *rig {
			r.observe(fires("a", 0))
			r.observe(fires("a", 2*time.Minute))
			return r
		}, 1},
		{"over while its trigger was in flight, which is accepted", func(r *rig) *rig {
			flapsInFlight(r, incident.OutcomeAccepted, nil)
			return r
		}, 0},
		{"over while its trigger was in flight, which fails", func(r *rig) *rig {
			flapsInFlight(r, incident.OutcomeUnknown, nil)
			return r
		}, 1},
		{"over while its trigger was in flight, and the process ends", func(r *rig) *rig {
			flapsInFlight(r, "", nil)
			return r.reopen()
		}, 1},
		{"over in an incident that stays open, and fires again", func(r *rig) *rig {
			r.observe(alert{fp: "1", key: "a", shared: true}, alert{fp: "2", key: "a", shared: true})
			r.observe(alert{fp: "1", key: "a", shared: true, resolved: true, ends: time.Minute})
			r.observe(alert{fp: "1", key: "a", shared: true, starts: 2 * time.Minute})
			return r
		}, 1},
		{"over in an incident that stays open", func(r *rig) *rig { // its page tells.
			r.observe(alert{fp: "1", key: "a", shared: true}, alert{fp: "2", key: "a", shared: true})
			r.observe(alert{fp: "1", key: "a", shared: true, resolved: true, ends: time.Minute})
			return r
		}, 0},
		{"over in an incident that stays open for long, more than it keeps members", func(r *rig) *rig {
			r.observe(alert{fp: "stays", key: "a", shared: true})
			for i := range 2 {
				var fire, end []alert
				for j := range 100 {
					a := alert{fp: fmt.Sprint(i, "-", j), key: "a", shared: true}
					fire = append(fire, a)
					a.resolved, a.ends = true, time.Minute
					end = append(end, a)
				}
				r.observe(fire...)
				r.observe(end...)
			}
			if n := len(r.get("a").Members); n > 101 {
				r.t.Errorf("%d members are kept: the test tests nothing", n)
			}
			r.observe(alert{fp: "stays", key: "a", shared: true, resolved: true, ends: time.Minute})
			return r
		}, 201},
		{"over beside one that is muted, and then over, too", func(r *rig) *rig {
			r.observe(alert{fp: "1", key: "a", shared: true}, alert{fp: "2", key: "a", shared: true})
			r.observe(alert{fp: "1", key: "a", shared: true, resolved: true, ends: time.Minute})
			r.mute("2", incident.MuteResolve)
			r.observe(alert{fp: "2", key: "a", shared: true, resolved: true, ends: time.Minute})
			return r
		}, 2},
		{"over, but guaranteed", func(r *rig) *rig {
			r.observe(fires("a", 0))
			r.SetLimited(map[string]bool{"infra": true})
			r.observe(over("a", time.Minute))
			return r
		}, 0},
		{"over under a new routing key, and confirmed under the old", func(r *rig) *rig {
			r.observe(fires("a", 0))
			r.accept("a")
			in := r.get("a")
			d := incident.Decision{Kind: incident.Send, Action: incident.Trigger}
			begun, err := r.Begin(r.t.Context(), id, in.Version, d, "k2")
			if err != nil {
				r.t.Fatal(err)
			}
			if err := r.Finish(r.t.Context(), id, *begun.Intent, "k2", incident.Outcome{Kind: incident.OutcomeUnknown}); err != nil {
				r.t.Fatal(err)
			}
			r.observe(over("a", time.Minute))
			return r
		}, 0},
		{"over while its trigger was in flight, which nobody hears of", func(r *rig) *rig {
			flapsInFlight(r, incident.OutcomeAccepted, &incident.Uncovered{Reason: "disabled"})
			return r
		}, 1},
		{"a confirmed one", func(r *rig) *rig {
			r.observe(fires("a", 0))
			r.accept("a")
			r.observe(over("a", time.Minute))
			return r
		}, 0},
		{"one that joined a confirmed one", func(r *rig) *rig {
			r.observe(alert{fp: "1", key: "a", shared: true})
			r.accept("a")
			r.observe(alert{fp: "2", key: "a", shared: true})
			r.observe(alert{fp: "1", key: "a", shared: true, resolved: true, ends: time.Minute},
				alert{fp: "2", key: "a", shared: true, resolved: true, ends: time.Minute})
			return r
		}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				r := open(t, quickDir(t), incident.Policy{})
				r = tc.do(r)
				defer r.stop()
				for range 3 { // what follows an unknown outcome comes later.
					time.Sleep(2 * time.Minute)
					r.accept("a")
				}
				got := 0
				if in, ok := r.Get(incident.ID("infra", "infra/missed")); ok {
					got = in.Digest.Count
				}
				if got != tc.want {
					t.Errorf("the digest counts %d firings, want %d", got, tc.want)
				}
			})
		})
	}
}

// flapsInFlight ends an alert, and lets it fire again, while its trigger is in
// flight; "" leaves that without an answer. hole is what the trigger falls into.
func flapsInFlight(r *rig, answer incident.OutcomeKind, hole *incident.Uncovered) {
	r.t.Helper()
	r.observe(alert{fp: "a"})
	in := r.get("a")
	d := r.next(in)
	d.Uncovered = hole
	begun, err := r.Begin(r.t.Context(), in.ID, in.Version, d, "k1")
	if err != nil {
		r.t.Fatal(err)
	}
	r.observe(alert{fp: "a", resolved: true, ends: time.Minute})
	r.observe(alert{fp: "a", starts: 2 * time.Minute})
	if answer == "" {
		return
	}
	if err := r.Finish(r.t.Context(), in.ID, *begun.Intent, "k1", incident.Outcome{Kind: answer, RetryAt: time.Now()}); err != nil {
		r.t.Fatal(err)
	}
}

// A digest is bounded: it counts every firing, the first hundred alert names one by
// one and the others together, and gives the first fifty firings as examples. What
// it does not name is on the ledger.
func TestDigestIsBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const names, examples, missed = 100, 50, 2 * 103
		r := open(t, quickDir(t), incident.Policy{})
		defer r.stop()
		for i := range missed {
			a := alert{fp: fmt.Sprintf("a%03d", i/2), starts: time.Duration(2*i) * time.Minute}
			r.observe(a)
			time.Sleep(time.Second)
			a.resolved, a.ends = true, a.starts+time.Minute
			r.observe(a)
			r.accept(a.fp) // it is closed.
		}
		d := r.get("infra/missed").Digest
		want := map[string]int{"": missed - 2*names}
		for i := range names {
			want[fmt.Sprintf("a%03d", i)] = 2
		}
		if diff := cmp.Diff(want, d.Names); diff != "" {
			t.Errorf("firings by alert name (-want +got):\n%s", diff)
		}
		if d.Count != missed {
			t.Errorf("it counts %d firings, want %d", d.Count, missed)
		}
		var got []string
		for _, m := range d.Samples {
			got = append(got, m.Labels["alertname"])
		}
		var first []string
		for i := range examples {
			first = append(first, fmt.Sprintf("a%03d", i/2))
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("examples (-want +got):\n%s", diff)
		}
		if first, last := t0, t0.Add((2*missed-1)*time.Minute); !d.First.Equal(first) || !d.Last.Equal(last) {
			t.Errorf("it is about %v to %v, want %v to %v", d.First, d.Last, first, last)
		}
		onLedger := 0
		if err := r.Ledger(func(in *incident.Incident) bool {
			for _, e := range in.History {
				if e.What == "superseded" {
					onLedger++
				}
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if onLedger != missed {
			t.Errorf("%d firings are on the ledger as superseded, want %d", onLedger, missed)
		}
	})
}
