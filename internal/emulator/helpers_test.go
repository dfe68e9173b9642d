package emulator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

const (
	key  = "0123456789abcdef0123456789abcdef"
	key2 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345" // of the same service.
	lowK = "lowlowlowlowlowlowlowlowlowlow01"
)

// account has a service with a severity-based rule and two keys, and one whose
// incidents are always low.
const account = `
limits: {unlimited: true}
services:
  - {id: PS1, name: infra, routing_keys: [` + key + `, ` + key2 + `], escalation_policy: PP1}
  - {id: PS2, name: batch, routing_keys: [` + lowK + `], escalation_policy: PP1, incident_urgency_rule: {type: constant, urgency: low}}
escalation_policies:
  - {id: PP1, levels: [{targets: [{user: PU1}]}]}
users:
  - id: PU1
    name: Ada
    contact_methods: [{id: C1, type: sms}, {id: C2, type: email}]
    notification_rules: [{urgency: high, contact_method: C1}, {urgency: high, contact_method: C2, delay: 5m}, {urgency: low, contact_method: C2}]
  - {id: PU2, name: Grace}
`

func newEmulator(t testing.TB, config string, opts emulator.Options) *emulator.Emulator {
	t.Helper()
	cfg, err := emulator.Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	e, err := emulator.New(*cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

type answer struct {
	code   int
	header http.Header
	body   string
}

func (a answer) dedupKey(t testing.TB) string {
	t.Helper()
	var v struct {
		DedupKey string `json:"dedup_key"`
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("answer %q: %v", a.body, err)
	}
	return v.DedupKey
}

// do makes a request without sockets.
func do(t testing.TB, e *emulator.Emulator, method, path, body string) (answer, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://pagerduty.test"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := e.Transport().RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	var buf bytes.Buffer
	if _, err := io.Copy(&buf, resp.Body); err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, buf.String()}, resp.Body.Close()
}

func mustDo(t testing.TB, e *emulator.Emulator, method, path, body string) answer {
	t.Helper()
	a, err := do(t, e, method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func post(t testing.TB, e *emulator.Emulator, body string) answer {
	t.Helper()
	return mustDo(t, e, http.MethodPost, "/v2/enqueue", body)
}

func triggerBody(routingKey, dedupKey, severity string) string {
	return fmt.Sprintf(`{"routing_key":%q,"event_action":"trigger","dedup_key":%q,"payload":{"summary":"disk full","source":"db1","severity":%q}}`,
		routingKey, dedupKey, severity)
}

func actBody(routingKey, action, dedupKey string) string {
	return fmt.Sprintf(`{"routing_key":%q,"event_action":%q,"dedup_key":%q}`, routingKey, action, dedupKey)
}

// send posts an event, which must be accepted, and returns what became of it.
func send(t testing.TB, e *emulator.Emulator, body string) emulator.Outcome {
	t.Helper()
	if a := post(t, e, body); a.code != http.StatusAccepted {
		t.Fatalf("got %d %s, want 202", a.code, a.body)
	}
	requests := e.Requests()
	return requests[len(requests)-1].Outcome
}

func wantOutcome(t testing.TB, e *emulator.Emulator, body string, want emulator.Outcome) {
	t.Helper()
	if got := send(t, e, body); got != want {
		t.Errorf("%s: got outcome %s, want %s", body, got, want)
	}
}

// only is the only incident.
func only(t testing.TB, e *emulator.Emulator) emulator.Incident {
	t.Helper()
	list := e.Incidents()
	if len(list) != 1 {
		t.Fatalf("got %d incidents, want 1", len(list))
	}
	return list[0]
}

// kinds are the log's entries in short: "notify PU1 high".
func kinds(i emulator.Incident) []string {
	var out []string
	for _, l := range i.Log {
		s := string(l.Kind)
		for _, part := range []string{l.User, l.Urgency} {
			if part != "" {
				s += " " + part
			}
		}
		out = append(out, s)
	}
	return out
}
