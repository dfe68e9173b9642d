package e2e_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/e2e/stack"
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

			// What was answered 200 and could not be delivered is told by nobody again.
			s.faults(emulator.Fault{Name: "outage", Do: emulator.DoAnswer, Status: 503})
			d := alert("D", "severity=critical")
			s.post(d, over(b))
			s.eventually("a page and a resolve that fail", soon, func() error {
				if _, counts := s.requests(); counts.Faulted < 2 {
					return fmt.Errorf("%d requests failed", counts.Faulted)
				}
				return nil
			})
			if err := tt.stop(relay); err != nil {
				t.Fatal(err)
			}
			s.faults()
			s.restart(relay)
			s.holds(map[string]opened{"C": critical(), "D": critical()})

			s.post(over(c), over(d))
			s.holds(map[string]opened{})
			for _, name := range []string{"A", "B", "C", "D"} {
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
			s := install(t, options{groupBy: "[job]"})
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
	s := install(t, options{groupBy: "[job]"})
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

	// What was throttled goes by urgency: no low page before the last high one.
	list, counts := s.requests()
	if counts.Faulted != 4 {
		t.Errorf("got %d throttled requests, want 4", counts.Faulted)
	}
	throttled, low := map[string]bool{}, false
	for _, r := range list {
		switch {
		case r.Outcome == emulator.Faulted:
			throttled[r.DedupKey] = true
		case throttled[r.DedupKey] && r.Severity == "warning":
			low = true
		case low && r.Severity == "critical":
			t.Errorf("got the high page %s after a low one that was throttled too: %+v", r.DedupKey, list)
		}
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
	s := install(t, options{groupBy: "[job]"})
	s.tolerated = []string{`msg="PagerDuty refused an event"`}
	s.faults(emulator.Fault{
		Name: "poison", Match: emulator.Match{DedupKeyRegexp: "/Poison/"}, Do: emulator.DoAnswer, Status: 400,
		Body: `{"status":"invalid event","message":"Event object is invalid","errors":["'payload' is not to our taste"]}`,
	})
	a, b, poison := alert("A", "job=web", "severity=critical"), alert("B", "job=web", "severity=warning"), alert("Poison", "job=web", "severity=critical")
	s.post(a, poison, b)
	s.holds(map[string]opened{"A": critical(), "B": warning()})
	s.blocked(1)
	// The full event once, the minimal one once.
	got := s.requestsFor("Poison")
	if len(got) != 2 {
		t.Errorf("got %d requests for the refused incident, want 2: %+v", len(got), got)
	}
	// It is tried again at every start, and does not keep the others from resolving.
	if err := s.members[0].relay.Stop(stopTimeout); err != nil {
		t.Fatal(err)
	}
	s.restart(s.members[0].relay)
	s.blocked(1)
	s.post(over(a), over(b))
	s.holds(map[string]opened{})

	// PagerDuty changes its mind, and a person asks for another try.
	s.faults()
	s.pagerelay("outbox", "retry", got[0].DedupKey)
	s.holds(map[string]opened{"Poison": critical()})
	s.blocked(0)
	s.post(over(poison))
	s.holds(map[string]opened{})
	s.one("Poison")
	s.noneRefused()
}

// blocked waits until so many incidents are blocked.
func (s *installation) blocked(want float64) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%v blocked incidents", want), soon, func() error {
		n, err := s.metric(s.members[0], `pagerelay_outbox_incidents{state="blocked"}`)
		if err == nil && n != want {
			err = fmt.Errorf("%v are", n)
		}
		return err
	})
}

// The routing key is wrong: that is no fault of the event, and the page goes to
// the fallback, from which it is resolved again.
func TestFallback(t *testing.T) {
	t.Parallel()
	s := install(t, options{
		services: "  demo: {routing_key: " + emulator.DefaultRoutingKey + "}\n" +
			"  wrong: {routing_key: 0123456789abcdef0123456789abcdef, fallback: demo}\n",
		relay: `
rules:
  - {name: lost, matchers: ['team="lost"'], service: wrong}
  - {name: rest, service: demo}
`,
	})
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
