package outbox_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

// lastSeen is the newest LastSeen of an alert.
func (r *rig) lastSeen(fp string) time.Time {
	var newest time.Time
	for _, in := range r.List() {
		if m := in.Members[fp]; m != nil && m.Firing && m.LastSeen.After(newest) {
			newest = m.LastSeen
		}
	}
	return newest
}

func (r *rig) absent(want int, gone ...incident.Absence) {
	r.t.Helper()
	n, err := r.Absent(r.t.Context(), gone)
	if err != nil || n != want {
		r.t.Errorf("Absent: %d, %v; want %d, nil", n, err, want)
	}
}

func TestAbsentResolves(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.accept("a")
	s.absent(1, incident.Absence{Fingerprint: "a", LastSeen: s.lastSeen("a")})
	wantActions(t, s.accept("a"), incident.Resolve)
	s.gone("a")
	s.absent(0, incident.Absence{Fingerprint: "a"}, incident.Absence{Fingerprint: "nobody"})
}

func TestAbsentWherever(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a", key: "one"}, alert{fp: "a", key: "two"}, alert{fp: "b", key: "two", shared: true})
	s.accept("one")
	s.accept("two")
	s.absent(1, incident.Absence{Fingerprint: "a", LastSeen: s.lastSeen("a")})
	wantActions(t, s.accept("one"), incident.Resolve)
	wantActions(t, s.accept("two")) // b still fires.
	s.absent(1, incident.Absence{Fingerprint: "b", LastSeen: s.lastSeen("b")})
	wantActions(t, s.accept("two"), incident.Resolve)
}

// A webhook that came after the look wins, whichever of the alert's incidents it was about.
func TestAbsentLosesAgainstAWebhook(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a", key: "one"}, alert{fp: "a", key: "two"})
	seen := s.lastSeen("a")
	s.observe(alert{fp: "a", key: "two"}, alert{fp: "a", key: "one"})
	if s.lastSeen("a").Equal(seen) {
		t.Fatal("the clock stood still")
	}
	s.absent(0, incident.Absence{Fingerprint: "a", LastSeen: seen})
	if n, _ := s.get("one").Counts(); n != 1 {
		t.Errorf("%d members fire, want 1", n)
	}
}

func TestAbsentLeavesOtherOriginsAlone(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	for _, origin := range []mapping.Origin{mapping.OriginTest, mapping.OriginCoverage, mapping.OriginSelf} {
		fp := string(origin)
		s.observe(alert{fp: fp, origin: origin})
		s.absent(0, incident.Absence{Fingerprint: fp, LastSeen: s.lastSeen(fp)})
	}
}

func TestAbsentSurvivesAReopen(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"})
	s.accept("a")
	s.absent(1, incident.Absence{Fingerprint: "a", LastSeen: s.lastSeen("a")})
	s = s.reopen()
	wantActions(t, s.accept("a"), incident.Resolve)
}

func TestAdopted(t *testing.T) {
	t.Run("a late webhook joins", func(t *testing.T) {
		s := open(t, t.TempDir(), incident.Policy{})
		s.observe(alert{fp: "a", reason: incident.ReasonAdopted})
		if got := s.get("a").Have; got != incident.StateUnknown {
			t.Errorf("have is %s, want unknown", got)
		}
		wantActions(t, s.accept("a"), incident.Trigger)
		s.observe(alert{fp: "a"})
		wantActions(t, s.accept("a"))
	})
	t.Run("over before it was sent: PagerDuty may hold it", func(t *testing.T) {
		s := open(t, t.TempDir(), incident.Policy{})
		s.observe(alert{fp: "a", reason: incident.ReasonAdopted})
		s.observe(alert{fp: "a", resolved: true, ends: time.Minute})
		wantActions(t, s.accept("a"), incident.Resolve)
	})
	t.Run("what is known stays so", func(t *testing.T) {
		s := open(t, t.TempDir(), incident.Policy{})
		s.observe(alert{fp: "b", key: "k", shared: true})
		s.accept("k")
		s.observe(alert{fp: "a", key: "k", shared: true, reason: incident.ReasonAdopted})
		if got := s.get("k").Have; got != incident.StateOpen {
			t.Errorf("have is %s, want open", got)
		}
		wantActions(t, s.accept("k"), incident.Trigger)
	})
}

// What Alertmanager listed loses against a resolve that came in while the list was
// read. What fires all the same is listed again.
func TestAdoptedFromAListOlderThanItsResolve(t *testing.T) {
	for _, tc := range []struct {
		name    string
		asOf    time.Duration // of the list, from when the resolve came in.
		adopted time.Duration // from there, too.
		held    bool
	}{
		{"read before", -time.Second, time.Second, false},
		{"read after", time.Second, 2 * time.Second, true},
		{"read after, by a clock that has jumped back since the resolve", -time.Hour, -time.Hour + time.Second, true},
	} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprint(tc.name, ", known here: ", known), func(t *testing.T) {
				var clock atomic.Pointer[time.Time]
				now := t0.Add(2 * time.Hour)
				clock.Store(&now)
				s := openClocked(t, incident.Policy{Alertmanagers: 1}, func() time.Time { return *clock.Load() })
				if known {
					s.observe(alert{fp: "a"})
					s.accept("a")
				}
				s.observe(alert{fp: "a", resolved: true, ends: time.Hour})
				s.accept("a")
				s.gone("a")
				o := alert{fp: "a", reason: incident.ReasonAdopted}.observation()
				o.AsOf = now.Add(tc.asOf)
				later := now.Add(tc.adopted)
				clock.Store(&later)
				if err := s.Observe(t.Context(), []mapping.Observation{o}); err != nil {
					t.Fatal(err)
				}
				if _, held := s.Get(incident.ID("infra", "a")); held != tc.held {
					t.Errorf("Alertmanager is asked about it: %v, want %v", held, tc.held)
				}
			})
		}
	}
}

func TestVouchIsDurable(t *testing.T) {
	s := open(t, t.TempDir(), incident.Policy{})
	s.observe(alert{fp: "a"}, alert{fp: "b", origin: mapping.OriginTest, ends: 24 * 365 * 100 * time.Hour})
	if err := s.Vouch(t.Context(), []string{"a", "b", "nobody"}, "src"); err != nil {
		t.Fatal(err)
	}
	s = s.reopen()
	if got := s.get("a").Members["a"].Vouched; got != "src" {
		t.Errorf("a is vouched for by %q, want src", got)
	}
	if got := s.get("b").Members["b"].Vouched; got != "" {
		t.Errorf("b, of another origin, is vouched for by %q", got)
	}
}
