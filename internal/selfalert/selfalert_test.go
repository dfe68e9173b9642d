package selfalert_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pagerelay/pagerelay/internal/intake"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/internal/selfalert"
	"github.com/pagerelay/pagerelay/mapping"
)

// sink notes what it takes.
type sink struct {
	mtx  sync.Mutex
	got  []mapping.Observation
	at   []time.Duration
	from time.Time
	fail int // this many times first.

	faults []mapping.Fault
}

func (s *sink) Observe(_ context.Context, obs []mapping.Observation) error {
	s.mtx.Lock()
	defer s.mtx.Unlock()
	if s.fail > 0 {
		s.fail--
		return errors.New("busy")
	}
	s.got = append(s.got, obs...)
	s.at = append(s.at, time.Since(s.from).Round(time.Millisecond))
	return nil
}

// in runs f beside running Alerts, in a bubble.
func in(t *testing.T, fail int, f func(a *selfalert.Alerts, s *sink)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		mapper, err := mapping.New(mapping.Config{
			Services: []string{"ops"}, Tiers: []mapping.Tier{{Name: "critical", Urgency: mapping.High}}, // warning is unknown.
		})
		if err != nil {
			t.Fatal(err)
		}
		s := &sink{fail: fail, from: time.Now()}
		faults := func(f mapping.Fault) { s.faults = append(s.faults, f) }
		door := intake.New(s, intake.Config{OnFault: faults})
		door.Apply(mapper)
		a := selfalert.New(door, selfalert.Config{Instance: "host"})
		a.Raise(selfalert.Truncated) // before it runs.
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		synctest.Wait()
		f(a, s)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestRaise(t *testing.T) {
	in(t, 0, func(a *selfalert.Alerts, s *sink) {
		a.Raise(selfalert.OutboxDamaged)
		synctest.Wait()
		if len(s.got) != 2 {
			t.Fatalf("got %d observations, want 2", len(s.got))
		}
		for i, want := range []struct{ name, severity string }{{"PagerelayAlertsTruncated", "warning"}, {"PagerelayOutboxDamaged", "critical"}} {
			o := s.got[i]
			if got := o.Alert.Labels["alertname"] + " " + o.Alert.Labels["severity"] + " " + o.Alert.Labels["instance"]; got != want.name+" "+want.severity+" host" {
				t.Errorf("labels: %v", o.Alert.Labels)
			}
			if o.Origin != mapping.OriginSelf || o.Alert.Status != mapping.Firing || o.Service != "ops" || o.Alert.Annotations["summary"] == "" {
				t.Errorf("observation: %+v", o)
			}
			if got := o.Alert.EndsAt.Sub(o.Alert.StartsAt); got != 15*time.Minute {
				t.Errorf("it lasts %v, want 15m", got)
			}
		}
	})
}

// An alert lasts while it is raised, is stored once a minute at most, and a new
// one begins after it has ended.
func TestEpisodes(t *testing.T) {
	in(t, 0, func(a *selfalert.Alerts, s *sink) {
		for range 11 {
			time.Sleep(25 * time.Second)
			a.Raise(selfalert.Truncated)
			a.Raise(selfalert.Truncated)
		}
		time.Sleep(35*time.Minute - 11*25*time.Second)
		a.Raise(selfalert.Truncated)
		synctest.Wait()
		want := []time.Duration{0, time.Minute, 2 * time.Minute, 3 * time.Minute, 4 * time.Minute, 5 * time.Minute, 35 * time.Minute}
		if diff := cmp.Diff(want, s.at); diff != "" {
			t.Fatalf("stored (-want +got):\n%s", diff)
		}
		for i, o := range s.got[:6] {
			if !o.Alert.StartsAt.Equal(s.got[0].Alert.StartsAt) || o.Alert.EndsAt.Sub(o.Alert.StartsAt) != want[i]+15*time.Minute {
				t.Errorf("%d: from %v to %v, the first from %v", i, o.Alert.StartsAt, o.Alert.EndsAt, s.got[0].Alert.StartsAt)
			}
		}
		if last := s.got[6].Alert.StartsAt; !last.Equal(s.from.Add(35 * time.Minute)) {
			t.Errorf("the new one starts at %v", last)
		}
	})
}

// What the rules cannot do as asked with an alert of ours is counted, as for any other.
func TestFaultsAreCounted(t *testing.T) {
	in(t, 0, func(_ *selfalert.Alerts, s *sink) {
		if diff := cmp.Diff([]mapping.Fault{mapping.FaultUnknownTier}, s.faults); diff != "" {
			t.Errorf("faults (-want +got):\n%s", diff)
		}
	})
}

func TestTriedAgain(t *testing.T) {
	in(t, 3, func(_ *selfalert.Alerts, s *sink) {
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]time.Duration{3 * time.Second}, s.at); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
	})
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	a := selfalert.New(intake.New(&sink{}, intake.Config{}), selfalert.Config{Registerer: reg})
	a.Raise(selfalert.BodyRefused)
	want := `
# HELP pagerelay_self_alerts_total Occurrences of what pagerelay pages about by itself.
# TYPE pagerelay_self_alerts_total counter
pagerelay_self_alerts_total{alertname="PagerelayAlertsTruncated"} 0
pagerelay_self_alerts_total{alertname="PagerelayBodyRefused"} 1
pagerelay_self_alerts_total{alertname="PagerelayOutboxDamaged"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}
