package outbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// missed makes one firing that is over before anything was sent.
func (r *rig) missed(name string, starts time.Duration) {
	r.t.Helper()
	r.observe(alert{fp: name, starts: starts})
	r.observe(alert{fp: name, starts: starts, resolved: true, ends: starts + time.Minute})
	r.accept(name) // it is forgotten.
}

// tells says what a digest tells: firings by name, times and examples.
func tells(d *incident.Digest) string {
	s := fmt.Sprint(d.Count, d.Names, d.First.Sub(t0), d.Last.Sub(t0))
	for _, m := range d.Samples {
		s += " " + m.Labels["alertname"]
	}
	return s
}

// A digest grows while its event is on its way. Once that is accepted, only what came
// since is left to be told; else all of it is, as PagerDuty may have none of it.
func TestDigestThatGrowsWhileItIsTold(t *testing.T) {
	const before, growth, all = "2 map[a:2] 0s 6m0s a a", "3 map[a:1 b:2] 10m0s 41m0s b b a", "5 map[a:3 b:2] 0s 41m0s a a b b a"
	for _, tc := range []struct {
		name   string
		answer incident.OutcomeKind // "": the process ends.
		want   string
		now    bool // it leaves without gathering for a minute.
	}{
		{"accepted", incident.OutcomeAccepted, growth, false},
		{"its answer is lost", incident.OutcomeUnknown, all, true},
		{"throttled", incident.OutcomeThrottled, all, true},
		{"did not leave", incident.OutcomeUnsent, all, true},
		{"refused, but for its minimal event", incident.OutcomeRefused, all, true},
		{"the process ends", "", all, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				r := open(t, quickDir(t), incident.Policy{})
				r.missed("a", 0)
				r.missed("a", 5*time.Minute)
				time.Sleep(2 * time.Minute)
				in := r.get("infra/missed")
				begun, err := r.Begin(t.Context(), in.ID, in.Version, r.next(in), "k1")
				if err != nil {
					t.Fatal(err)
				}
				if got := tells(begun.Digest); got != before {
					t.Errorf("what leaves tells %s, want %s", got, before)
				}
				r.missed("b", 10*time.Minute)
				once := r.get("infra/missed")
				r.missed("b", 20*time.Minute)
				r.missed("a", 40*time.Minute)
				if got := tells(once.Intent.Grown); got != "1 map[b:1] 10m0s 11m0s b" {
					t.Errorf("what was handed out has changed to %s", got)
				}
				if tc.answer == "" {
					r = r.reopen()
				} else if err := r.Finish(t.Context(), in.ID, *begun.Intent, "k1", incident.Outcome{Kind: tc.answer}); err != nil {
					t.Fatal(err)
				}
				defer func() { r.stop() }()
				in = r.get("infra/missed")
				if got := tells(in.Digest); got != tc.want {
					t.Errorf("it is still to tell %s, want %s", got, tc.want)
				}
				if d := r.next(in); (d.Kind == incident.Send) != tc.now {
					t.Errorf("Next says %+v, want it to be sent at once: %t", d, tc.now)
				}
				time.Sleep(2 * time.Minute)
				r = r.reopen() // all of it is stored.
				wantActions(t, r.accept("infra/missed"), incident.Change)
				r.gone("infra/missed")
			})
		})
	}
}

// The minimal event that PagerDuty has accepted was of what is told; what came since
// is tried in full.
func TestDigestThatGrowsIsToldInFull(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := open(t, quickDir(t), incident.Policy{})
		defer r.stop()
		r.missed("a", 0)
		time.Sleep(2 * time.Minute)
		r.once(incident.ID("infra", "infra/missed"), incident.OutcomeRefused)
		in := r.get("infra/missed")
		begun, err := r.Begin(t.Context(), in.ID, in.Version, r.next(in), "k1")
		if err != nil {
			t.Fatal(err)
		}
		if !begun.Intent.Minimal {
			t.Error("what was refused leaves in full again: the test tests nothing")
		}
		r.missed("b", time.Minute)
		if err := r.Finish(t.Context(), in.ID, *begun.Intent, "k1", incident.Outcome{Kind: incident.OutcomeAccepted}); err != nil {
			t.Fatal(err)
		}
		if in := r.get("infra/missed"); in.Minimal || tells(in.Digest) != "1 map[b:1] 1m0s 2m0s b" {
			t.Errorf("it is still to tell %s, minimal %t; want b alone, in full", tells(in.Digest), in.Minimal)
		}
	})
}

// Bounds hold for what is put together again, too, and every firing is counted.
func TestDigestThatGrowsIsBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := open(t, quickDir(t), incident.Policy{})
		defer r.stop()
		for i := range 70 {
			r.missed(fmt.Sprintf("a%03d", i), time.Duration(i)*time.Minute)
		}
		time.Sleep(2 * time.Minute)
		in := r.get("infra/missed")
		begun, err := r.Begin(t.Context(), in.ID, in.Version, r.next(in), "k1")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 110 { // of these ten have no name of their own before they are put together.
			r.missed(fmt.Sprintf("b%03d", i), time.Duration(i)*time.Minute)
		}
		if err := r.Finish(t.Context(), in.ID, *begun.Intent, "k1", incident.Outcome{Kind: incident.OutcomeUnknown}); err != nil {
			t.Fatal(err)
		}
		d := r.get("infra/missed").Digest
		want := map[string]int{"": 110 - 30}
		for i := range 70 {
			want[fmt.Sprintf("a%03d", i)] = 1
		}
		for i := range 30 {
			want[fmt.Sprintf("b%03d", i)] = 1
		}
		if diff := cmp.Diff(want, d.Names); diff != "" {
			t.Errorf("firings by alert name (-want +got):\n%s", diff)
		}
		if d.Count != 180 || len(d.Samples) != 50 {
			t.Errorf("%d firings and %d examples, want 180 and 50", d.Count, len(d.Samples))
		}
	})
}

// What came while the event's minimal form was on its way was no part of what PagerDuty
// then refused.
func TestWhatIsMissedWhileADigestIsRefusedIsTold(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := open(t, quickDir(t), incident.Policy{})
		defer s.stop()
		miss := func(fp string) {
			s.observe(alert{fp: fp})
			s.observe(alert{fp: fp, resolved: true, ends: time.Minute})
			s.accept(fp)
		}
		miss("m1")
		time.Sleep(2 * time.Minute)
		id := incident.ID("infra", "infra/missed")
		s.once(id, incident.OutcomeRefused) // the full event.
		in := s.get("infra/missed")
		b, err := s.Begin(t.Context(), id, in.Version, s.next(in), "k1")
		if err != nil {
			t.Fatal(err)
		}
		miss("m2") // while the minimal one is on its way.
		if err := s.Finish(t.Context(), id, *b.Intent, "k1", incident.Outcome{Kind: incident.OutcomeRefused}); err != nil {
			t.Fatal(err)
		}
		s.accept("infra/missed")
		time.Sleep(2 * time.Minute)
		if sent := s.accept("infra/missed"); len(sent) == 0 {
			t.Error("nothing tells of what was missed meanwhile")
		}
	})
}
