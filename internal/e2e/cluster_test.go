package e2e_test

import (
	"fmt"
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

// One sidecar is down when an alert fires, so that the other member's pages it,
// and is back when it resolves: what one opened, the other may close.
func TestClusterLosesASidecar(t *testing.T) {
	t.Parallel()
	s := install(t, options{members: 2, groupBy: "[alertname]"})
	s.clustered()
	for i, m := range s.members {
		m.relay.Kill()
		name := fmt.Sprintf("Lost%d", i)
		a := alert(name, "severity=critical")
		s.post(a)
		s.eventually("the other sidecar to page", time.Minute, func() error {
			list, err := s.pd.Open(t.Context())
			if err == nil && len(list) != 1 {
				err = fmt.Errorf("%d open", len(list))
			}
			return err
		})
		s.restart(m.relay)
		s.post(over(a))
		s.holdsWithin(time.Minute, map[string]opened{})
		s.one(name)
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
