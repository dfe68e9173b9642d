package conformance_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pagerelay/pagerelay/internal/lab/conformance"
)

func restRequest(t *testing.T, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Token token=secret")
	r.Header.Set("Accept", "application/vnd.pagerduty+json;version=2")
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestConformanceOfRESTRequests(t *testing.T) {
	spec := conformance.REST(t)
	for _, tc := range []struct {
		name, path string
		without    string // a header.
		ok         bool
	}{
		{"list", "/users?limit=100&offset=200&include[]=contact_methods&include[]=notification_rules", "", true},
		{"one", "/schedules/PC1?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00%2B01:00&overflow=true", "", true},
		{"v3", "/v3/schedules/PC1?include[]=final_schedule&since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z", "", true},
		{"filters", "/oncalls?schedule_ids[]=A&schedule_ids[]=B&escalation_policy_ids[]=C&since=2026-01-01T00:00:00Z", "", true},
		{"no token", "/users", "Authorization", false},
		{"no Accept", "/users", "Accept", false},
		{"no Content-Type", "/users", "Content-Type", false},
		{"unknown include", "/users?include[]=moods", "", false},
		{"unknown time", "/oncalls?since=yesterday", "", false},
		{"unknown filter", "/maintenance_windows?filter=lunar", "", false},
		{"v3 page too long", "/v3/schedules?limit=1001", "", false},
		{"unknown path", "/moods", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := restRequest(t, tc.path)
			r.Header.Del(tc.without)
			if err := spec.CheckRequest(r, nil); (err == nil) != tc.ok {
				t.Errorf("got %v, want ok %v", err, tc.ok)
			}
		})
	}
}

func TestConformanceOfRESTAnswers(t *testing.T) {
	spec := conformance.REST(t)
	const (
		policy = `"escalation_policy":{"id":"PP1","type":"escalation_policy_reference"}`
		person = `"user":{"id":"PU1","type":"user_reference"}`
		whole  = `"user":{"id":"PU1","type":"user","name":"Ada","email":"ada@example.com"}`
	)
	oncall := func(fields ...string) string { return `{"oncalls":[{` + strings.Join(fields, ",") + `}]}` }
	for _, tc := range []struct {
		name, path string
		status     int
		body       string
		ok         bool
	}{
		{"permanent on-call", "/oncalls", 200, oncall(policy, person, `"schedule":null,"start":null,"end":null`), true},
		{"v2 schedule", "/oncalls", 200, oncall(policy, person, `"schedule":{"id":"PC1","type":"schedule_reference"}`), true},
		{"v3 schedule", "/oncalls", 200, oncall(policy, person, `"schedule":{"id":"PC1","type":"schedule_v3_reference","summary":"s"}`), true},
		{"another schedule", "/oncalls", 200, oncall(policy, `"schedule":{"id":"PC1","type":"schedule_v4_reference","summary":"s"}`), false},
		{"user included", "/oncalls?include[]=users", 200, oncall(policy, whole), true},
		{"user included, in part", "/oncalls?include[]=users", 200, oncall(policy, `"user":{"id":"PU1","type":"user","name":"Ada"}`), false},
		{"start not a time", "/oncalls", 200, oncall(`"start":"yesterday"`), false},
		{"no list", "/oncalls", 200, `{"limit":25}`, false},
		{"coverage null", "/schedules/PC1", 200, `{"schedule":{"type":"schedule","time_zone":"UTC","final_schedule":{"name":"Final Schedule","rendered_coverage_percentage":null}}}`, true},
		{"coverage a text", "/schedules/PC1", 200, `{"schedule":{"type":"schedule","time_zone":"UTC","final_schedule":{"name":"Final Schedule","rendered_coverage_percentage":"5"}}}`, false},
		{"endless entry", "/schedules/PC1", 200, `{"schedule":{"type":"schedule","time_zone":"UTC","final_schedule":{"name":"Overrides","rendered_schedule_entries":[{"start":"2026-01-01T00:00:00Z","end":null}]}}}`, true},
		{"v3 shift without an end", "/v3/schedules/PC1", 200, `{"schedule":{"id":"PC1","type":"schedule_v3","name":"n","time_zone":"UTC","final_schedule":{"type":"final_schedule","rendered_coverage_percentage":1,
			"computed_shift_assignments":[{"type":"computed_shift_assignment","start_time":"2026-01-01T00:00:00Z","end_time":null,"member":{"type":"empty_member"},"source":{"type":"custom_shift"}}]}}}`, false},
		{"plan, where it is not described", "/oncalls", 402, `{"error":{"message":"m"}}`, true},
		{"throttled, where it is not described", "/services", 429, `{"error":{"message":"m","code":2020}}`, true},
		{"error a text", "/services", 404, `{"error":"gone"}`, false},
		{"v3 refused", "/v3/schedules/PC1", 400, `{"error":{"message":"m","code":2001,"errors":{"schedule":["e"]}}}`, true},
		{"v3 refused in the other shape", "/v3/schedules/PC1", 400, `{"error":{"message":"m","code":2001,"errors":["e"]}}`, false},
		{"undescribed", "/users", 302, `{}`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := spec.CheckAnswer(restRequest(t, tc.path), tc.status, http.Header{"Content-Type": {"application/json"}}, []byte(tc.body))
			if (err == nil) != tc.ok {
				t.Errorf("got %v, want ok %v", err, tc.ok)
			}
		})
	}
}
