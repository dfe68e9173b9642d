package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Two Alertmanagers in a cluster, each with a sidecar; the sidecars share a
// configuration and nothing else.
func TestCluster(t *testing.T) {
	t.Parallel()
	s := install(t, options{members: 2, groupBy: "[job]"})
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
