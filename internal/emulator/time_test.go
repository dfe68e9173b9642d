package emulator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// In a bubble the time starts at 2000-01-01T00:00:00Z and passes when everybody sleeps.

func TestSlidingWindow(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, strings.Replace(account, "unlimited: true", "events_per_minute: 4", 1), emulator.Options{})
		code := func() int { return post(t, e, triggerBody(key, "k", "info")).code }
		want := func(step string, want ...int) {
			t.Helper()
			for i, w := range want {
				if got := code(); got != w {
					t.Errorf("%s, call %d: got %d, want %d", step, i+1, got, w)
				}
			}
		}
		want("at 0 s", 202, 202)
		time.Sleep(30 * time.Second)
		want("at 30 s", 202, 202, 429, 429) // what is refused does not count.
		time.Sleep(30*time.Second - time.Nanosecond)
		want("just before 60 s", 429)
		time.Sleep(time.Nanosecond)
		want("at 60 s", 202, 202, 429) // the first two are out of the window.
		if got := post(t, e, triggerBody(key2, "k", "info")).code; got != 202 {
			t.Errorf("another key: got %d, want 202", got)
		}
		time.Sleep(30 * time.Second)
		if got := mustDo(t, e, "POST", "/v2/change/enqueue", `{"routing_key":"`+key+`","payload":{"summary":"s"}}`).code; got != 202 {
			t.Errorf("a change: got %d, want 202", got)
		}
		if got := post(t, e, triggerBody(key, "k", "none")).code; got != 400 {
			t.Errorf("an invalid event: got %d, want 400", got)
		}
		want("after a change and an invalid event, which count", 429)
		if got := only0(e).Alerts[0].Triggers; got != 6 {
			t.Errorf("got %d triggers applied, want 6: what is throttled is not ingested", got)
		}
		if c := e.Counts(); c.Throttled != 5 {
			t.Errorf("got %d throttled, want 5", c.Throttled)
		}
	})
}

func only0(e *emulator.Emulator) emulator.Incident { return e.Incidents()[0] }

func TestDefaultLimitIs120(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, strings.Replace(account, "limits: {unlimited: true}", "", 1), emulator.Options{})
		for i := range 121 {
			want := 202
			if i == 120 {
				want = 429
			}
			if got := post(t, e, triggerBody(key, fmt.Sprint(i), "info")); got.code != want {
				t.Fatalf("call %d: got %d, want %d", i+1, got.code, want)
			} else if want == 429 && (got.header.Get("Retry-After") != "" || got.header.Get("Ratelimit-Reset") != "") {
				t.Errorf("got headers %v, want none by default", got.header)
			}
		}
	})
}

func TestThrottleHeaders(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, strings.Replace(account, "unlimited: true", "events_per_minute: 1, throttle_headers: [retry-after, ratelimit]", 1), emulator.Options{})
		post(t, e, triggerBody(key, "k", "info"))
		time.Sleep(18500 * time.Millisecond)
		h := post(t, e, triggerBody(key, "k", "info")).header
		for name, want := range map[string]string{
			"Retry-After": "42", "ratelimit-reset": "42", "ratelimit-limit": "1", "ratelimit-remaining": "0",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		time.Sleep(42 * time.Second)
		if got := post(t, e, triggerBody(key, "k", "info")).code; got != 202 {
			t.Errorf("after the wait: got %d, want 202", got)
		}
	})
}

func TestAcknowledgementTimeout(t *testing.T) {
	config := strings.Replace(account, "name: infra,", "name: infra, acknowledgement_timeout: 10m,", 1)
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, config, emulator.Options{})
		send(t, e, triggerBody(key, "k", "warning"))
		send(t, e, actBody(key, "acknowledge", "k"))
		start := time.Now()
		time.Sleep(10*time.Minute - time.Nanosecond)
		wantState(t, only(t, e), emulator.Acknowledged, "low", "warning")
		time.Sleep(time.Hour)
		i := only(t, e)
		wantState(t, i, emulator.Triggered, "low", "warning")
		wantLog(t, i, "trigger", "notify PU1 low", "acknowledge", "unacknowledge", "notify PU1 low")
		if got := i.Log[3].At.Sub(start); got != 10*time.Minute {
			t.Errorf("went back after %s, want 10m", got)
		}
		wantOutcome(t, e, actBody(key, "acknowledge", "k"), emulator.DidAcknowledge)
	})
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, account, emulator.Options{})
		send(t, e, triggerBody(key, "k", "warning"))
		send(t, e, actBody(key, "acknowledge", "k"))
		time.Sleep(1000 * time.Hour)
		wantState(t, only(t, e), emulator.Acknowledged, "low", "warning") // no time-out unless configured.
	})
}

func TestMaintenance(t *testing.T) {
	config := strings.Replace(account, "name: infra,",
		"name: infra, maintenance_windows: [{start: 2000-01-01T01:00:00Z, end: 2000-01-01T02:00:00Z}],", 1)
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, config, emulator.Options{})
		send(t, e, triggerBody(key, "before", "critical"))
		time.Sleep(time.Hour)
		wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.InMaintenance)
		wantOutcome(t, e, actBody(key, "resolve", "before"), emulator.InMaintenance)
		wantOutcome(t, e, triggerBody(lowK, "other service", "critical"), emulator.Created)
		time.Sleep(time.Hour - time.Nanosecond)
		wantOutcome(t, e, actBody(key, "resolve", "before"), emulator.InMaintenance)
		if i := only0(e); !i.Open() {
			t.Error("a resolve was applied during maintenance")
		}
		time.Sleep(time.Nanosecond)
		wantOutcome(t, e, actBody(key, "resolve", "before"), emulator.DidResolve)
		wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.Created)

		now := time.Now()
		if err := e.OverrideService("PS1", emulator.ServiceOverride{
			MaintenanceWindows: &[]emulator.Window{{Start: now, End: now.Add(time.Minute)}},
		}); err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, e, actBody(key, "resolve", "k"), emulator.InMaintenance)
		time.Sleep(time.Minute)
		wantOutcome(t, e, actBody(key, "resolve", "k"), emulator.DidResolve)
	})
}

const shifts = `
limits: {unlimited: true}
services: [{id: PS1, routing_keys: [` + key + `], escalation_policy: PP1}]
escalation_policies:
  - id: PP1
    levels:
      - {targets: [{schedule: PC1}], delay: 5m}
      - {targets: [{schedule: PC2}], delay: 10m}
schedules:
  - id: PC1
    type: v3
    entries:
      - {user: PU1, end: 2000-01-01T01:00:00Z}
      - {user: PU2, start: 2000-01-01T00:30:00Z, end: 2000-01-01T01:00:00Z}
      - {user: PU1, start: 2000-01-01T00:40:00Z, end: 2000-01-01T00:50:00Z}
  - {id: PC2, entries: [{user: PU3, start: 2000-01-01T00:00:00Z, end: 2000-01-01T02:00:00Z}]}
users: [{id: PU1}, {id: PU2}, {id: PU3}]
`

func TestWhoIsNotified(t *testing.T) {
	for _, tc := range []struct {
		name string
		at   time.Duration
		want []string
	}{
		{"one", 0, []string{"trigger", "notify PU1 high"}},
		{"overlap, each once", 45 * time.Minute, []string{"trigger", "notify PU1 high", "notify PU2 high"}},
		{"an empty level is skipped", time.Hour, []string{"trigger", "notify PU3 high"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				e := newEmulator(t, shifts, emulator.Options{})
				time.Sleep(tc.at)
				wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.Created)
				wantLog(t, only(t, e), tc.want...)
			})
		})
	}
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, shifts, emulator.Options{})
		time.Sleep(2 * time.Hour)
		wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.NobodyOnCall)
		if n := len(e.Incidents()); n != 0 {
			t.Errorf("got %d incidents, want none", n)
		}
	})
}

func TestEscalation(t *testing.T) {
	t.Run("high goes up once through the policy", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			e := newEmulator(t, shifts, emulator.Options{})
			send(t, e, triggerBody(key, "k", "critical"))
			time.Sleep(5*time.Minute - time.Nanosecond)
			wantLog(t, only(t, e), "trigger", "notify PU1 high")
			time.Sleep(time.Hour)
			wantLog(t, only(t, e), "trigger", "notify PU1 high", "escalate", "notify PU3 high")
		})
	})
	t.Run("low never does", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			e := newEmulator(t, shifts, emulator.Options{})
			send(t, e, triggerBody(key, "k", "warning"))
			time.Sleep(time.Hour)
			wantLog(t, only(t, e), "trigger", "notify PU1 low")
		})
	})
	t.Run("an acknowledgement stops it", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			e := newEmulator(t, shifts, emulator.Options{})
			send(t, e, triggerBody(key, "k", "critical"))
			send(t, e, actBody(key, "acknowledge", "k"))
			time.Sleep(time.Hour)
			wantLog(t, only(t, e), "trigger", "notify PU1 high", "acknowledge")
		})
	})
	t.Run("a rise starts it", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			e := newEmulator(t, shifts, emulator.Options{})
			send(t, e, triggerBody(key, "k", "warning"))
			time.Sleep(time.Minute)
			send(t, e, triggerBody(key, "k", "error"))
			time.Sleep(5 * time.Minute)
			wantLog(t, only(t, e), "trigger", "notify PU1 low", "trigger", "urgency high", "notify PU1 high", "escalate", "notify PU3 high")
		})
	})
}
