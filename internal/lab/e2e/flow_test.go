package e2e_test

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/e2e/stack"
)

func TestFireAndResolve(t *testing.T) {
	t.Parallel()
	s := install(t, options{})

	a := alert("HighLatency", "severity=critical", "instance=web-1")
	s.post(a)
	s.holds(map[string]opened{"HighLatency": critical()})
	in := s.one("HighLatency")
	if want := regexp.MustCompile(`^demo/HighLatency/high/[0-9a-f]{32}$`); !want.MatchString(in.DedupKey) {
		t.Errorf("got dedup key %q, want one like %s", in.DedupKey, want)
	}
	if want := "HighLatency needs a person"; in.Title != want {
		t.Errorf("got title %q, want %q", in.Title, want)
	}

	s.post(over(a))
	s.holds(map[string]opened{})
	s.one("HighLatency")

	// The alert fires anew: that is another incident.
	s.post(alert("HighLatency", "severity=critical", "instance=web-1"))
	s.holds(map[string]opened{"HighLatency": critical()})
	if got := len(s.incidents("HighLatency")); got != 2 {
		t.Errorf("got %d incidents over two firings, want 2", got)
	}
	s.noneRefused()
}

func TestTiers(t *testing.T) {
	t.Parallel()
	s := install(t, options{
		groupBy: "[job]",
		relay: `
tiers:
  - {name: critical, urgency: high}
  - {name: error, urgency: high, severity: error}
  - {name: warning, urgency: low}
  - {name: info, urgency: acknowledged}
  - {name: notice, urgency: change}
  - {name: none, urgency: none}
defaults:
  unknown_tier: warning
  dedup: {by: alert}
`,
	})
	alerts := []stack.Alert{
		alert("Critical", "job=tiers", "severity=critical"),
		alert("Error", "job=tiers", "severity=Error"),
		alert("Warning", "job=tiers", "severity=warning"),
		alert("Info", "job=tiers", "severity=info"),
		alert("Notice", "job=tiers", "severity=notice"),
		alert("Watchdog", "job=tiers", "severity=none"),
		alert("Odd", "job=tiers", "severity=SEV_1"),
		alert("Unlabelled", "job=tiers"),
	}
	s.post(alerts...)
	s.holds(map[string]opened{
		"Critical": critical(), "Error": {"high", "error", emulator.Triggered},
		"Warning": warning(), "Odd": warning(), "Unlabelled": warning(),
		"Info": info(),
	})

	for i, a := range alerts {
		alerts[i] = over(a)
	}
	s.post(alerts...)
	s.holds(map[string]opened{})

	s.eventually("the change event", soon, func() error {
		changes, err := s.pd.Changes(t.Context())
		if err == nil && (len(changes) != 1 || changes[0].Summary != "Notice needs a person") {
			err = fmt.Errorf("got %+v, want one for Notice", changes)
		}
		return err
	})
	list, _ := s.requests()
	for _, r := range list {
		if nameOf(r.DedupKey) == "Watchdog" || r.Summary == "Watchdog needs a person" {
			t.Errorf("got a request for tier none: %+v", r)
		}
		if nameOf(r.DedupKey) == "Notice" {
			t.Errorf("got an alert event for tier notice: %+v", r)
		}
	}
	s.noneRefused()
}

func TestGroupPagesEveryAlert(t *testing.T) {
	t.Parallel()
	s := install(t, options{groupBy: "[job]"})
	a := alert("A", "job=web", "severity=critical")
	b := alert("B", "job=web", "severity=warning")
	c := alert("C", "job=web", "severity=critical")
	s.post(a, b)
	s.holds(map[string]opened{"A": critical(), "B": warning()})
	s.post(c) // joins the group.
	s.holds(map[string]opened{"A": critical(), "B": warning(), "C": critical()})
	s.post(over(b))
	s.holds(map[string]opened{"A": critical(), "C": critical()})
	s.post(over(a), over(c))
	s.holds(map[string]opened{})
	for _, name := range []string{"A", "B", "C"} {
		s.one(name)
	}
	s.noneRefused()
}

// By default a group is one incident, as with Alertmanager's own notifier.
func TestGroupIsOneIncidentByDefault(t *testing.T) {
	t.Parallel()
	s := install(t, options{groupBy: "[alertname]", byGroup: true})
	var group []stack.Alert
	for _, instance := range []string{"a", "b", "c", "d"} {
		group = append(group, alert("Disk", "instance="+instance, "severity=critical"))
	}
	s.post(group...)
	s.holds(map[string]opened{"Disk": critical()})
	for _, a := range group {
		s.post(over(a))
	}
	s.holds(map[string]opened{})
	s.one("Disk")
	s.noneRefused()
}

func TestSharedIncident(t *testing.T) {
	t.Parallel()
	s := install(t, options{
		groupBy: "[alertname]",
		relay:   "defaults:\n  dedup: {by: [alertname, cluster]}\n",
	})
	a := alert("Disk", "cluster=eu", "instance=a", "severity=critical")
	b := alert("Disk", "cluster=eu", "instance=b", "severity=critical")
	s.post(a, b)
	s.holds(map[string]opened{"Disk": critical()})
	one := s.one("Disk")

	// The first of the two ends: the incident is still somebody's.
	before, err := s.metric(s.members[0], `pagerelay_outbox_observations_total{kind="resolved"}`)
	if err != nil {
		t.Fatal(err)
	}
	s.post(over(a))
	s.eventually("the partial resolve", soon, func() error {
		got, err := s.metric(s.members[0], `pagerelay_outbox_observations_total{kind="resolved"}`)
		if err == nil && got == before {
			err = fmt.Errorf("still %v resolved observations", got)
		}
		return err
	})
	s.holds(map[string]opened{"Disk": critical()})
	if list, _ := s.requests(); slices.ContainsFunc(list, func(r emulator.Request) bool { return r.Action == "resolve" }) {
		t.Errorf("got a resolve while an alert of the incident fires: %+v", list)
	}

	s.post(over(b))
	s.holds(map[string]opened{})
	if again := s.one("Disk"); again.ID != one.ID {
		t.Errorf("got incident %s, want %s", again.ID, one.ID)
	}
	s.noneRefused()
}

// Alertmanager 0.31 says "all alerts resolved" of a group in which one alert was
// silenced and the other resolved: the silenced one still fires.
func TestSilencedIsNotResolved(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, o options) {
		o.groupBy = "[job]"
		s := install(t, o)
		a := alert("A", "job=web", "severity=critical")
		b := alert("B", "job=web", "severity=critical")
		s.post(a, b)
		s.holds(map[string]opened{"A": critical(), "B": critical()})
		s.amtool("silence", "add", "alertname=A", "--comment=under test", "--author=e2e", "--duration=1h")
		s.post(over(b))
		s.holds(map[string]opened{"A": critical()})
		for _, r := range s.requestsFor("A") {
			if r.Action == "resolve" {
				t.Errorf("got a resolve for the silenced alert: %+v", r)
			}
		}
		s.noneRefused()
	})
}

// An alert whose endsAt passes is resolved by Alertmanager; when it comes back
// with the startsAt that it had, it is a new page and no late duplicate.
func TestExpiryAndReturn(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, o options) {
		s := install(t, o)
		a := alert("Flaky", "severity=critical")
		a.EndsAt = time.Now().Add(5 * time.Second) // time enough to see it open.
		s.post(a)
		s.holds(map[string]opened{"Flaky": critical()})
		s.holds(map[string]opened{})
		s.one("Flaky")

		a.EndsAt = time.Now().Add(time.Hour)
		s.post(a)
		s.holds(map[string]opened{"Flaky": critical()})
		if got := len(s.incidents("Flaky")); got != 2 {
			t.Errorf("got %d incidents, want 2: the second firing was not paged anew", got)
		}
		s.noneRefused()
	})
}

// Alertmanager repeats what has not changed. That opens no second incident, and
// before 0.32, where a repeat says nothing of itself, it sends nothing either
// until it comes more than five minutes later.
func TestUnchangedGroupComesAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, o options) {
		o.repeat = "1s"
		s := install(t, o)
		s.post(alert("Steady", "severity=critical"))
		s.holds(map[string]opened{"Steady": critical()})
		s.eventually("two repeats", soon, func() error {
			got, err := s.metric(s.members[0], `pagerelay_outbox_observations_total{kind="joined"}`)
			if err == nil && got < 2 {
				err = fmt.Errorf("got %v", got)
			}
			return err
		})
		s.holds(map[string]opened{"Steady": critical()})
		s.one("Steady")
		if got := s.requestsFor("Steady"); len(got) != 1 {
			t.Errorf("got %d requests for an alert that only came again, want 1: %+v", len(got), got)
		}
		s.noneRefused()
	})
}

// requestsFor are the requests about incidents whose key shows name.
func (s *installation) requestsFor(name string) []emulator.Request {
	s.t.Helper()
	list, _ := s.requests()
	return slices.DeleteFunc(list, func(r emulator.Request) bool { return nameOf(r.DedupKey) != name })
}
