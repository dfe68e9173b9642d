package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/lab/e2e/stack"
)

// Two Alertmanagers in a cluster, each with a sidecar; the sidecars share a
// configuration and nothing else.
func TestCluster(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, o options) {
		o.members, o.groupBy = 2, "[job]"
		s := install(t, o)
		s.clustered()

		a, b := alert("A", "job=web", "severity=critical"), alert("B", "job=web", "severity=warning")
		s.post(a, b)
		s.holds(map[string]opened{"A": critical(), "B": warning()})
		s.post(over(a))
		s.holds(map[string]opened{"B": warning()})
		s.post(over(b))
		s.holds(map[string]opened{})
		s.one("A")
		s.one("B")
		s.noneRefused()
	})
}

// The first sidecar is down when an alert fires, so that the second one's pages;
// when it resolves the first Alertmanager tells the first sidecar, which has
// never heard of the alert: it must close what the other has opened.
func TestClusterLosesASidecar(t *testing.T) {
	t.Parallel()
	s := install(t, options{members: 2})
	s.clustered()
	first := s.members[0]
	first.relay.Kill()
	a := alert("A", "severity=critical")
	s.post(a)
	s.eventually("the second sidecar to page", soon, func() error {
		list, err := s.pd.Open(t.Context())
		if err == nil && len(list) != 1 {
			err = fmt.Errorf("%d open", len(list))
		}
		return err
	})
	// The first Alertmanager tries for 10 s; from then on it takes the second's
	// word that the alert has been told.
	s.eventually("the first Alertmanager to give up", time.Minute, func() error {
		if !strings.Contains(first.alertmanager.Log(), `msg="Notify for alerts failed"`) {
			return errors.New("it has not logged that")
		}
		return nil
	})
	s.restart(first.relay)
	s.post(over(a))
	s.holds(map[string]opened{})
	s.one("A")
	if n, err := s.metric(first, `pagerelay_outbox_observations_total{kind="unknown"}`); err != nil || n != 1 {
		t.Errorf("got %v resolves of unknown alerts at the first sidecar (err %v), want 1: the test does not test what it says", n, err)
	}
	s.noneRefused()
}

// clustered waits until both Alertmanagers see each other.
func (s *installation) clustered() {
	s.t.Helper()
	s.eventually("a cluster of two", soon, func() error {
		for _, m := range s.members {
			c, err := m.am.Cluster(s.t.Context())
			if err != nil {
				return err
			}
			if len(c.Peers) != 2 || c.Status != "ready" {
				return fmt.Errorf("%d peers, status %q", len(c.Peers), c.Status)
			}
		}
		return nil
	})
}

// The second member's flush begins before an alert ends, and is over after the first
// one's sidecar has resolved it: then it tells of the alert as if it were new. Alerts
// that end at every moment of an interval are all paged once.
func TestClusterPagesNothingAgainThatAPeerHasResolved(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute: an Alertmanager that has just started is not believed")
	}
	t.Parallel()
	onBoth(t, func(t *testing.T, o options) {
		o.members, o.groupBy, o.interval, o.peerTimeout = 2, "[alertname]", "3s", "2s"
		o.relay = "reconcile: {interval: 10s}\n"
		s := install(t, o)
		s.clustered()
		first, second := s.members[0], s.members[1] // they wait for one another in the order of their names.
		if s.nameInCluster(first) > s.nameInCluster(second) {
			first, second = second, first
		}
		send := func(m *member, alerts ...stack.Alert) {
			t.Helper()
			if err := m.am.Post(t.Context(), alerts...); err != nil {
				t.Fatal(err)
			}
		}
		var alerts []stack.Alert
		want := map[string]opened{}
		for i := range 30 {
			a := alert(fmt.Sprintf("Late%02d", i), "severity=critical")
			alerts, want[a.Labels["alertname"]] = append(alerts, a), critical()
		}
		send(second, alerts...)
		<-time.After(time.Second) // by which the second one's flushes are earlier.
		send(first, alerts...)
		s.holds(want)
		// Both sidecars see in the lists that these are the alerts of the cluster, and
		// both Alertmanagers have been up for long enough.
		for _, m := range s.members {
			s.eventually("two looks", time.Minute, func() error {
				got, err := s.metric(m, `pagerelay_reconcile_passes_total{result="young"}`)
				if err == nil && got < 3 {
					err = fmt.Errorf("%v of 3 looks", got)
				}
				return err
			})
		}
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for _, a := range alerts {
			send(first, over(a))
			send(second, over(a))
			<-tick.C
		}
		s.holds(map[string]opened{})
		s.eventually("the end of what was told late", time.Minute, func() error {
			late, err := s.metric(second, `pagerelay_outbox_observations_total{kind="dismissed"}`)
			if err != nil {
				return err
			}
			ends, err := s.metric(second, `pagerelay_outbox_observations_total{kind="unknown"}`)
			if err == nil && (late == 0 || ends < late) {
				err = fmt.Errorf("%v alerts told late, %v of their ends", late, ends)
			}
			return err
		})
		s.holds(map[string]opened{})
		for name := range want {
			s.one(name)
			s.notAgain(name)
		}
		s.noneRefused()
	})
}

func (s *installation) nameInCluster(m *member) string {
	s.t.Helper()
	c, err := m.am.Cluster(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return c.Name
}

// notAgain checks that no trigger followed a resolve.
func (s *installation) notAgain(name string) {
	s.t.Helper()
	resolved := false
	for _, r := range s.requestsFor(name) {
		if resolved && r.Action == "trigger" {
			s.t.Errorf("%s was paged again after its resolve", name)
		}
		resolved = resolved || r.Action == "resolve"
	}
}
