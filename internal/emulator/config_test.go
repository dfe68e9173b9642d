package emulator_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

func TestParseReportsAllFaults(t *testing.T) {
	_, err := emulator.Parse([]byte(`
limits: {events_per_minute: -1, request_bytes: -5, oversize_status: 500, throttle_headers: [x-wait]}
services:
  - id: PS1
    routing_keys: [short, ` + key + `, ` + key + `]
    region: mars
    escalation_policy: PP9
    status: sleepy
    incident_urgency_rule: {urgency: huge}
    acknowledgement_timeout: -1s
    maintenance_windows: [{start: 2026-01-02T00:00:00Z, end: 2026-01-01T00:00:00Z}, {end: 2026-01-01T00:00:00Z}]
  - {id: PS1, escalation_policy: PP1}
escalation_policies:
  - {id: PP1, levels: [{targets: [{user: PU9}, {schedule: PC9}, {}, {user: PU1, schedule: PC1}], delay: -1m}, {targets: []}]}
  - {id: "P/2"}
schedules:
  - {id: PC1, time_zone: Mars/Olympus, entries: [{user: PU9, start: 2026-01-02T00:00:00Z, end: 2026-01-02T00:00:00Z}]}
users:
  - {name: nobody}
  - {id: PU1, contact_methods: [{id: C1, type: pigeon}], notification_rules: [{urgency: middling, contact_method: C2, delay: -1s}]}
`))
	if err == nil {
		t.Fatal("got no error")
	}
	want := []string{
		`limits.events_per_minute: -1 is not positive; to have no limit set limits.unlimited`,
		`limits.request_bytes: -5 is not positive`,
		`limits.oversize_status: 500 is not one of 413, 400`,
		`limits.throttle_headers[0]: "x-wait" is not one of retry-after, ratelimit`,
		`users[0].id: is missing`,
		`users[1].contact_methods[0].type: "pigeon" is not one of email, phone, sms, push_notification, whatsapp`,
		`users[1].notification_rules[0].urgency: "middling" is not one of high, low`,
		`users[1].notification_rules[0].contact_method: "C2" is not a contact method of this user`,
		`users[1].notification_rules[0].delay: -1s is negative`,
		`schedules[0].time_zone: "Mars/Olympus" is not a time zone of the IANA database`,
		`schedules[0].entries[0].user: "PU9" is not in users`,
		`schedules[0].entries[0].end: is not after start`,
		`escalation_policies[0].levels[0].delay: -1m0s is negative`,
		`escalation_policies[0].levels[0].targets[0].user: "PU9" is not in users`,
		`escalation_policies[0].levels[0].targets[1].schedule: "PC9" is not in schedules`,
		`escalation_policies[0].levels[0].targets[2]: needs either user or schedule`,
		`escalation_policies[0].levels[0].targets[3]: needs either user or schedule`,
		`escalation_policies[0].levels[1].targets: is missing: at least one is needed`,
		`escalation_policies[1].id: "P/2" may hold letters, digits, - and _ only`,
		`escalation_policies[1].levels: is missing: at least one is needed`,
		`services[0].routing_keys[0]: is not 32 letters and digits`,
		`services[0].routing_keys[2]: is used twice`,
		`services[0].region: "mars" is not one of us, eu`,
		`services[0].escalation_policy: "PP9" is not in escalation_policies`,
		`services[0].incident_urgency_rule.urgency: "huge" is not one of high, low, severity_based`,
		`services[0].acknowledgement_timeout: -1s is negative`,
		`services[0].status: "sleepy" is not one of active, disabled`,
		`services[0].maintenance_windows[0].end: is not after start`,
		`services[0].maintenance_windows[1].start: is missing`,
		`services[1].id: "PS1" is used twice`,
		`services[1].routing_keys: is missing: at least one is needed`,
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if strings.Contains(err.Error(), key) {
		t.Error("the faults show a routing key")
	}
}

func TestParseIsStrict(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "empty"},
		{"no services", "users: []", "services: is missing"},
		{"unknown field", "servcies: []", "servcies"},
		{"two documents", "users: []\n---\nusers: []", "more than one document"},
		{"not YAML", "{", "parse YAML"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := emulator.Parse([]byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "account.yml")
	if _, err := emulator.Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names the file", err)
	}
	if err := os.WriteFile(path, []byte(account), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := emulator.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Services[0].RoutingKeys; !cmp.Equal(got, []string{key, key2}) {
		t.Errorf("got keys %v, want those of the file", got)
	}
}

func TestDefaultPages(t *testing.T) {
	e, err := emulator.New(emulator.Default(), emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, e, triggerBody(emulator.DefaultRoutingKey, "k", "critical"), emulator.Created)
	want := []string{"trigger", "notify PADA high"}
	if diff := cmp.Diff(want, kinds(only(t, e))); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestNewChecks(t *testing.T) {
	if _, err := emulator.New(emulator.Config{}, emulator.Options{}); err == nil {
		t.Error("an account without services: got no error")
	}
	if _, err := emulator.New(emulator.Default(), emulator.Options{KeepRequests: -1}); err == nil {
		t.Error("a negative bound: got no error")
	}
}
