package e2e_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/e2e/stack"
	"github.com/pagerelay/pagerelay/internal/emulator"
)

// Alerts resolve and fire while pagerelay is down; Alertmanager tries again, and
// what pagerelay knew before is on its disk.
func TestRestart(t *testing.T) {
	tests := []struct {
		name string
		stop func(*stack.Process) error
	}{
		{"SIGTERM", func(p *stack.Process) error { return p.Stop(stopTimeout) }},
		{"SIGKILL", func(p *stack.Process) error { p.Kill(); return nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := install(t, options{})
			relay := s.members[0].relay
			a, b, c := alert("A", "severity=critical"), alert("B", "severity=warning"), alert("C", "severity=critical")
			s.post(a, b)
			s.holds(map[string]opened{"A": critical(), "B": warning()})

			if err := tt.stop(relay); err != nil {
				t.Fatal(err)
			}
			s.post(over(a), c)
			s.restart(relay)
			s.holds(map[string]opened{"B": warning(), "C": critical()})

			if err := tt.stop(relay); err != nil {
				t.Fatal(err)
			}
			s.restart(relay)
			s.post(over(b), over(c))
			s.holds(map[string]opened{})
			for _, name := range []string{"A", "B", "C"} {
				s.one(name)
			}
			s.noneRefused()
		})
	}
}

// pagerelay dies after PagerDuty has taken a page and before it answered: after
// the restart nothing is known of it, and it must end well all the same.
func TestKilledInFlight(t *testing.T) {
	t.Parallel()
	s := install(t, options{})
	relay := s.members[0].relay
	s.faults(emulator.Fault{Name: "no answer", Do: emulator.DoAnswerHang})
	a, b := alert("A", "severity=critical"), alert("B", "severity=critical")
	s.post(a, b)
	s.eventually("both pages applied, neither answered", soon, func() error {
		if list, err := s.pd.Open(t.Context()); err != nil || len(list) != 2 {
			return fmt.Errorf("%d open, err %w", len(list), errOrNone(err))
		}
		return nil
	})
	relay.Kill()
	s.faults()
	s.post(over(b))
	s.restart(relay)
	s.holds(map[string]opened{"A": critical()})
	s.post(over(a))
	s.holds(map[string]opened{})
	s.one("A")
	s.one("B")
	s.noneRefused()
}

func TestOutage(t *testing.T) {
	tests := []struct {
		name  string
		fault emulator.Fault
	}{
		{"503", emulator.Fault{Name: "outage", Do: emulator.DoAnswer, Status: 503}},
		{"reset", emulator.Fault{Name: "outage", Do: emulator.DoReset}},
		{"an HTML page with 200", emulator.Fault{Name: "outage", Do: emulator.DoAnswer, Status: 200, Body: "<html>captive portal</html>"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := install(t, options{route: "  group_by: [job]\n"})
			before := alert("Before", "job=old", "severity=critical")
			s.post(before)
			s.holds(map[string]opened{"Before": critical()})

			s.faults(tt.fault)
			during, short := alert("During", "job=new", "severity=critical"), alert("Short", "job=new", "severity=warning")
			s.post(during, short)
			s.eventually("pages that fail", soon, func() error {
				if _, counts := s.requests(); counts.Faulted < 3 {
					return fmt.Errorf("%d requests failed", counts.Faulted)
				}
				return nil
			})
			s.post(over(short), over(before))
			s.eventually("the resolves to come in", soon, func() error {
				n, err := s.metric(s.members[0], `pagerelay_outbox_observations_total{kind="resolved"}`)
				if err == nil && n < 2 {
					err = fmt.Errorf("%v so far", n)
				}
				return err
			})

			s.faults()
			s.holdsWithin(time.Minute, map[string]opened{"During": critical()})
			s.one("Before")
			s.one("During")
			s.post(over(during))
			s.holdsWithin(time.Minute, map[string]opened{})
			s.noneRefused()
		})
	}
}

// PagerDuty answers 429 to the first events of a flood.
func TestThrottled(t *testing.T) {
	t.Parallel()
	s := install(t, options{route: "  group_by: [job]\n"})
	s.faults(emulator.Fault{Name: "throttle", Do: emulator.DoAnswer, Status: 429, First: 4})
	var alerts []stack.Alert
	want := map[string]opened{}
	for i := range 4 {
		name := fmt.Sprintf("High%d", i)
		alerts, want[name] = append(alerts, alert(name, "job=web", "severity=critical")), critical()
		name = fmt.Sprintf("Low%d", i)
		alerts, want[name] = append(alerts, alert(name, "job=web", "severity=warning")), warning()
	}
	s.post(alerts...)
	s.holdsWithin(time.Minute, want)

	// Not one low page was accepted before the last high one.
	list, counts := s.requests()
	if counts.Faulted != 4 {
		t.Errorf("got %d throttled requests, want 4", counts.Faulted)
	}
	low := slices.IndexFunc(list, func(r emulator.Request) bool { return r.Outcome == emulator.Created && r.Severity == "warning" })
	if high := slices.ContainsFunc(list[low:], func(r emulator.Request) bool { return r.Severity == "critical" }); high {
		t.Errorf("a low page went out before a high one: %+v", list)
	}
	for name := range want {
		s.one(name)
	}
	for i, a := range alerts {
		alerts[i] = over(a)
	}
	s.post(alerts...)
	s.holds(map[string]opened{})
	s.noneRefused()
}

// PagerDuty refuses whatever is sent about one incident; the others pass, and
// the refused one stays in sight.
func TestPoison(t *testing.T) {
	t.Parallel()
	s := install(t, options{route: "  group_by: [job]\n"})
	s.tolerated = []string{`msg="PagerDuty refused an event"`}
	s.faults(emulator.Fault{
		Name: "poison", Match: emulator.Match{DedupKeyRegexp: "/Poison/"}, Do: emulator.DoAnswer, Status: 400,
		Body: `{"status":"invalid event","message":"Event object is invalid","errors":["'payload' is not to our taste"]}`,
	})
	a, b, poison := alert("A", "job=web", "severity=critical"), alert("B", "job=web", "severity=warning"), alert("Poison", "job=web", "severity=critical")
	s.post(a, poison, b)
	s.holds(map[string]opened{"A": critical(), "B": warning()})
	s.eventually("the incident to be blocked", soon, func() error {
		n, err := s.metric(s.members[0], `pagerelay_outbox_incidents{state="blocked"}`)
		if err == nil && n != 1 {
			err = fmt.Errorf("%v are", n)
		}
		return err
	})
	// The full event once, the minimal one once.
	got := s.requestsFor("Poison")
	if len(got) != 2 {
		t.Errorf("got %d requests for the refused incident, want 2: %+v", len(got), got)
	}
	// It is still there after a restart, and does not keep the others from resolving.
	if err := s.members[0].relay.Stop(stopTimeout); err != nil {
		t.Fatal(err)
	}
	s.restart(s.members[0].relay)
	if n, err := s.metric(s.members[0], `pagerelay_outbox_incidents{state="blocked"}`); err != nil || n != 1 {
		t.Errorf("got %v blocked incidents after a restart (err %v), want 1", n, err)
	}
	s.post(over(a), over(b))
	s.holds(map[string]opened{})
	s.noneRefused()
}

// The routing key is wrong: that is no fault of the event, and the page goes to
// the fallback, from which it is resolved again.
func TestFallback(t *testing.T) {
	t.Parallel()
	s := install(t, options{relay: `  wrong:
    routing_key: "0123456789abcdef0123456789abcdef"
    fallback: demo
rules:
  - {name: lost, matchers: ['team="lost"'], service: wrong}
  - {name: rest, service: demo}
`})
	s.tolerated = []string{`msg="PagerDuty refuses the routing key`}
	a := alert("Stray", "team=lost", "severity=critical")
	s.post(a)
	s.eventually("a copy on the fallback", soon, func() error {
		list, err := s.pd.Open(t.Context())
		if err == nil && (len(list) != 1 || list[0].Severity != "critical") {
			err = fmt.Errorf("open: %+v", list)
		}
		return err
	})
	s.post(over(a))
	s.eventually("the copy to close", soon, func() error {
		list, err := s.pd.Open(t.Context())
		if err == nil && len(list) != 0 {
			err = errors.New("still open")
		}
		return err
	})
}
