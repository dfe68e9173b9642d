package oncall_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// How a service of pagerelay is found among PagerDuty's.
func TestJoin(t *testing.T) {
	service := func(id, name, policy string, keys ...string) string {
		integrations := ""
		for i, k := range keys {
			if i > 0 {
				integrations += ","
			}
			if k == "" {
				integrations += `{"id":"PI","type":"events_api_v2_inbound_integration_reference"}`
			} else {
				integrations += fmt.Sprintf(`{"id":"PI","integration_key":%q}`, k)
			}
		}
		return fmt.Sprintf(`{"id":%q,"name":%q,"status":"active","escalation_policy":{"id":%q},"integrations":[%s]}`, id, name, policy, integrations)
	}
	policy := func(services string) string {
		return `{"id":"PP1","name":"policy","escalation_rules":[],"services":[` + services + `]}`
	}
	keys := map[string]string{hashOf(key): "infra", hashOf(key2): "batch"}
	for _, tc := range []struct {
		name     string
		policy   string
		claims   []string // escalation_policies[].services.
		ids      map[string]string
		services []string
		want     map[string][]string
	}{
		{"by key", policy(""), nil, nil, []string{service("PS1", "x", "PPX", "", key), service("PS2", "y", "PPX", "other")}, map[string][]string{"PS1": {"infra"}}},
		{"two keys of one service", policy(""), nil, nil, []string{service("PS1", "x", "PPX", key, key2)}, map[string][]string{"PS1": {"batch", "infra"}}},
		{"a key before a name", policy(""), nil, nil, []string{service("PS1", "infra", "PP1", ""), service("PS2", "x", "PPX", key)}, map[string][]string{"PS1": nil, "PS2": {"infra"}}},
		{"by name, where keys are hidden", policy(""), nil, nil, []string{service("PS1", "infra", "PPX", ""), service("PS2", "Batch", "PPX")}, map[string][]string{"PS1": {"infra"}}},
		{"not by name, where keys are shown", policy(""), nil, nil, []string{service("PS1", "infra", "PP1", "other")}, map[string][]string{"PS1": nil}},
		{"by the policy's only service", policy(`{"id":"PS1"}`), []string{"infra", "new"}, nil, []string{service("PS1", "x", "PP1", "other")}, map[string][]string{"PS1": {"infra", "new"}}},
		{"not by a policy of two services", policy(`{"id":"PS1"},{"id":"PS2"}`), []string{"infra"}, nil, []string{service("PS1", "x", "PP1", "a"), service("PS2", "y", "PP1", "b")}, map[string][]string{"PS1": nil, "PS2": nil}},
		{"by the id that is given", policy(`{"id":"PS1"},{"id":"PS2"}`), []string{"infra"}, map[string]string{"infra": "PS2"}, []string{service("PS1", "infra", "PP1", ""), service("PS2", "y", "PP1", "b")}, map[string][]string{"PS1": nil, "PS2": {"infra"}}},
		{"by the id that is given, on no audited policy", policy(""), nil, map[string]string{"infra": "PS1"}, []string{service("PS1", "x", "PPX", "a")}, map[string][]string{"PS1": {"infra"}}},
		{"a key before an id", policy(""), nil, map[string]string{"infra": "PS1"}, []string{service("PS1", "x", "PPX", "a"), service("PS2", "y", "PPX", key)}, map[string][]string{"PS1": nil, "PS2": {"infra"}}},
		{"not by policy what a key has joined", policy(`{"id":"PS1"}`), []string{"infra"}, nil, []string{service("PS1", "x", "PP1", "other"), service("PS2", "y", "PPX", key)}, map[string][]string{"PS1": nil, "PS2": {"infra"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				a := &answers{bodies: map[string]string{
					"/escalation_policies": listing("escalation_policies", tc.policy),
					"/oncalls":             listing("oncalls"),
					"/services":            listing("services", tc.services...),
					"/maintenance_windows": listing("maintenance_windows"),
				}}
				c := config(nil, []string{"policy"})
				c.Policies[0].Services, c.Services.IDs = tc.claims, tc.ids
				got, err := readerOver(t, a).Read(t.Context(), c, keys, nil)
				if err != nil {
					t.Fatal(err)
				}
				wantUnread(t, got, nil)
				joined := map[string][]string{}
				for id, s := range got.Services {
					joined[id] = s.Relays
				}
				if diff := cmp.Diff(tc.want, joined); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}

func TestServiceAnswers(t *testing.T) {
	for _, tc := range []struct{ name, rule, want, outside string }{
		{"by severity", `{"type":"constant","urgency":"severity_based"}`, "severity_based", ""},
		{"always high", `{"type":"constant","urgency":"high"}`, "high", ""},
		{"by support hours", `{"type":"use_support_hours","during_support_hours":{"urgency":"high"},"outside_support_hours":{"urgency":"low"}}`, "high", "low"},
		{"the same in and out of support hours", `{"type":"use_support_hours","during_support_hours":{"urgency":"severity_based"},"outside_support_hours":{"urgency":"severity_based"}}`, "severity_based", ""},
		{"half of support hours", `{"type":"use_support_hours","during_support_hours":{"urgency":"severity_based"}}`, "", ""},
		{"half of them empty", `{"type":"use_support_hours","during_support_hours":{"urgency":"severity_based"},"outside_support_hours":{}}`, "", ""},
		{"none", `null`, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				a := &answers{bodies: map[string]string{
					"/services": listing("services", `{"id":"PS1","name":"infra","status":"warning","incident_urgency_rule":`+tc.rule+`}`),
					"/maintenance_windows": listing("maintenance_windows", `{"id":"PW1","start_time":"2000-01-01T00:00:00","end_time":"2000-01-02T00:00:00Z","services":[{"id":"PS1"},{"id":"PSX"}]}`,
						`{"id":"PW2","start_time":"1999-01-01T00:00:00Z","end_time":"2000-01-01T00:00:00Z","services":[{"id":"PS1"}]}`,
						`{"id":"PW3","start_time":"2000-01-03T00:00:00Z","end_time":"2000-01-02T00:00:00Z","services":[{"id":"PS1"}]}`,
						`{"id":"PW4","start_time":"1999-01-01T00:00:00Z","end_time":"2000-01-02T00:00:00Z","services":[{"id":"PSX"},{"id":"PS1"}]}`),
				}}
				got, err := readerOver(t, a).Read(t.Context(), coverage.Config{}, map[string]string{hashOf(key): "infra"}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if s := got.Services["PS1"]; s == nil || s.Urgency != tc.want || s.Outside != tc.outside || s.Status != "warning" {
					t.Errorf("got %+v, want urgency %q, outside support hours %q", s, tc.want, tc.outside)
				}
				wantUnread(t, got, []string{"service/PS1 service_in_maintenance: maintenance window PW1: "})
				want := []coverage.Span{{Start: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), End: day(2, 0)}}
				if diff := cmp.Diff(want, got.Services["PS1"].Maintenance); diff != "" {
					t.Errorf("maintenance: -want +got:\n%s", diff)
				}
			})
		})
	}
	t.Run("not listed", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			a := &answers{bodies: map[string]string{
				"/escalation_policies": listing("escalation_policies", `{"id":"PP1","name":"policy","services":[{"id":"PS1"}]}`),
				"/oncalls":             listing("oncalls"),
				"/services":            listing("services"),
			}}
			got, err := readerOver(t, a).Read(t.Context(), config(nil, []string{"policy"}), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantUnread(t, got, []string{"service/PS1: it is not among the services that PagerDuty lists for this token"})
		})
	})
}
