package emulator_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	gopagerduty "github.com/PagerDuty/go-pagerduty"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

// PagerDuty's own Go client was not written for the emulator.
func TestGoPagerDuty(t *testing.T) {
	e := newEmulator(t, strings.Replace(account, "unlimited: true", "events_per_minute: 6", 1), emulator.Options{})
	server := httptest.NewServer(e.Handler())
	defer server.Close()
	client := gopagerduty.NewClient("", gopagerduty.WithV2EventsAPIEndpoint(server.URL))

	event := func(action, dedupKey string) *gopagerduty.V2Event {
		v := &gopagerduty.V2Event{RoutingKey: key, Action: action, DedupKey: dedupKey}
		if action == "trigger" {
			v.Client, v.ClientURL = "go-pagerduty", "https://example.com"
			v.Links = []any{map[string]string{"href": "https://example.com/runbook", "text": "Runbook"}}
			v.Images = []any{map[string]string{"src": "https://example.com/graph.png"}}
			v.Payload = &gopagerduty.V2Payload{
				Summary: "disk full", Source: "db1", Severity: "critical", Timestamp: "2026-01-02T03:04:05Z",
				Component: "postgres", Group: "db", Class: "disk", Details: map[string]any{"free": "1%"},
			}
		}
		return v
	}
	send := func(v *gopagerduty.V2Event, want emulator.Status) string {
		t.Helper()
		resp, err := client.ManageEventWithContext(t.Context(), v)
		if err != nil {
			t.Fatalf("%s: %v", v.Action, err)
		}
		if resp.Status != "success" || resp.Message != "Event processed" || resp.DedupKey == "" {
			t.Errorf("%s: got %+v", v.Action, resp)
		}
		if got := only(t, e).Status; got != want {
			t.Errorf("after %s: got %s, want %s", v.Action, got, want)
		}
		return resp.DedupKey
	}
	dedupKey := send(event("trigger", ""), emulator.Triggered)
	send(event("acknowledge", dedupKey), emulator.Acknowledged)
	send(event("resolve", dedupKey), emulator.Resolved)
	alert := only(t, e).Alerts[0]
	if alert.Class != "disk" || alert.Links[0].Text != "Runbook" || alert.Images[0].Src == "" || string(alert.CustomDetails) != `{"free":"1%"}` {
		t.Errorf("got alert %+v, want all that was sent", alert)
	}

	change, err := client.CreateChangeEventWithContext(t.Context(), gopagerduty.ChangeEvent{
		RoutingKey: key, Payload: gopagerduty.ChangeEventPayload{Summary: "deploy", Source: "ci", CustomDetails: map[string]any{"build": 7}},
		Links: []gopagerduty.ChangeEventLink{{Href: "https://ci.example.com/7", Text: "Build"}},
	})
	if err != nil || change.Status != "success" || len(e.Changes()) != 1 {
		t.Errorf("change: got %+v, %v and %d changes, want success and 1", change, err, len(e.Changes()))
	}

	bad := event("trigger", "k")
	bad.Payload.Severity = "none"
	status := func(v *gopagerduty.V2Event, want int) {
		t.Helper()
		_, err := client.ManageEventWithContext(t.Context(), v)
		var apiErr gopagerduty.APIError
		if !errors.As(err, &apiErr) || apiErr.StatusCode != want {
			t.Errorf("got %v, want an APIError of status %d", err, want)
		}
	}
	status(bad, http.StatusBadRequest)
	send(event("resolve", dedupKey), emulator.Resolved) // the sixth call of six.
	status(event("trigger", "k"), http.StatusTooManyRequests)
	if n := len(e.Incidents()); n != 1 {
		t.Errorf("got %d incidents, want 1: neither 400 nor 429 opens one", n)
	}
}
