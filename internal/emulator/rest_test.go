package emulator_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

// restAccount has every kind of everything: a v2 schedule with a gap and a
// deleted user, a v3 one with overlapping people and an empty shift, all contact
// methods, and maintenance.
const restAccount = `
services:
  - {id: PS1, name: infra, routing_keys: [` + key + `, ` + key2 + `], escalation_policy: PP1, acknowledgement_timeout: 30m}
  - id: PS2
    name: batch
    routing_keys: [` + lowK + `]
    escalation_policy: PP2
    incident_urgency_rule: {type: use_support_hours, outside_support_hours: severity_based}
    support_hours: {time_zone: Europe/Berlin, days_of_week: [1, 2, 3, 4, 5, 6]}
    maintenance_windows: [{start: 2000-01-01T01:00:00Z, end: 2000-01-01T02:00:00Z}, {start: 2000-01-03T00:00:00Z, end: 2000-01-04T00:00:00Z}]
escalation_policies:
  - id: PP1
    name: infra policy
    levels:
      - {targets: [{schedule: PC1}], delay: 15m}
      - {targets: [{schedule: PC2}, {user: PU2}]}
  - {id: PP2, name: batch policy, levels: [{targets: [{user: PU1}]}]}
schedules:
  - id: PC1
    name: prod-monitoring
    time_zone: America/New_York
    users: [PU1, PU2, PU3]
    layers: [{name: weekdays, end: 2000-01-20T00:00:00Z, users: [PU1, PU2]}, {}]
    entries:
      - {user: PU1, end: 2000-01-02T00:00:00Z}
      - {user: PU2, start: 2000-01-02T06:00:00Z, end: 2000-01-03T00:00:00Z}
      - {user: PU3, start: 2000-01-03T00:00:00Z, end: 2000-01-04T00:00:00Z}
      - {user: PU1, start: 2000-01-04T00:00:00Z}
  - id: PC2
    name: platform-sre
    type: v3
    time_zone: Australia/Lord_Howe
    entries:
      - {user: PU1, start: 2000-01-01T00:00:00Z, end: 2000-01-02T00:00:00Z}
      - {user: PU2, start: 2000-01-01T12:00:00Z, end: 2000-01-02T12:00:00Z}
      - {empty: true, start: 2000-01-02T12:00:00Z, end: 2000-01-03T00:00:00Z}
      - {user: PU2, start: 2000-01-03T00:00:00Z}
users:
  - id: PU1
    name: Ada
    email: ada@example.com
    contact_methods:
      - {id: C1, type: sms, address: "5550100"}
      - {id: C2, type: email, address: ada@example.com, enabled: false}
      - {id: C3, type: phone, address: "5550100", blacklisted: true}
      - {id: C4, type: push_notification, address: phone}
      - {id: C5, type: whatsapp, address: "5550100"}
    notification_rules: [{urgency: high, contact_method: C1}, {urgency: high, contact_method: C3, delay: 5m}, {urgency: low, contact_method: C2}]
  - {id: PU2, name: Grace}
  - {id: PU3, name: Joan, deleted: true}
`

// getAs asks REST with a token.
func getAs(t testing.TB, e *emulator.Emulator, token, path string) (answer, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://pagerduty.test"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Token token="+token)
	}
	resp, err := e.Transport().RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}, nil
}

func get(t testing.TB, e *emulator.Emulator, path string) answer {
	t.Helper()
	a, err := getAs(t, e, "any", path)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// getInto asks REST for what must be there.
func getInto[T any](t testing.TB, e *emulator.Emulator, path string) T {
	t.Helper()
	a := get(t, e, path)
	if a.code != http.StatusOK {
		t.Fatalf("GET %s: got %d %s, want 200", path, a.code, a.body)
	}
	var v T
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("GET %s: %v in %s", path, err, a.body)
	}
	return v
}

type pageOf struct {
	Limit    int                     `json:"limit"`
	Offset   int                     `json:"offset"`
	More     bool                    `json:"more"`
	Total    *int                    `json:"total"`
	Services []struct{ ID string }   `json:"services"`
	Oncalls  []struct{ Level int }   `json:"oncalls"`
	V3       []struct{ Type string } `json:"schedules"`
}

func TestRESTPaging(t *testing.T) {
	e, err := emulator.New(emulator.Large(60, 60, time.Now()), emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for more, offset := true, 0; more; offset += 25 {
		page := getInto[pageOf](t, e, fmt.Sprintf("/services?offset=%d", offset))
		if page.Limit != 25 || page.Offset != offset || page.Total != nil {
			t.Errorf("got limit %d, offset %d, total %v; want 25, %d, null", page.Limit, page.Offset, page.Total, offset)
		}
		for _, s := range page.Services {
			seen[s.ID] = true
		}
		more = page.More
	}
	if len(seen) != 60 {
		t.Errorf("got %d services over all pages, want 60", len(seen))
	}
	if page := getInto[pageOf](t, e, "/services?limit=60&total=true"); page.More || page.Total == nil || *page.Total != 60 || len(page.Services) != 60 {
		t.Errorf("got %d services, more %v, total %v; want all 60 and nothing more", len(page.Services), page.More, page.Total)
	}
	if page := getInto[pageOf](t, e, "/services?offset=9900&limit=100"); page.More || len(page.Services) != 0 {
		t.Errorf("past the end: got %d services, more %v; want none", len(page.Services), page.More)
	}
	if page := getInto[pageOf](t, e, "/v3/schedules?limit=1000"); page.Limit != 1000 || len(page.V3) != 6 || page.V3[0].Type != "schedule_v3_reference" {
		t.Errorf("v3: got %+v, want the 6 shift-based schedules", page)
	}
	for _, query := range []string{
		"limit=101", "limit=0", "limit=x", "offset=-1", "offset=9901&limit=100", "total=yes",
		"service_ids=PS1", "team_ids[]=T", "include[]=moods", "sort_by=age", "time_zone=Mars/Olympus",
	} {
		if a := get(t, e, "/services?"+query); a.code != http.StatusBadRequest || !strings.Contains(a.body, `"code":2001`) {
			t.Errorf("%s: got %d %s, want 400 with code 2001", query, a.code, a.body)
		}
	}
}
