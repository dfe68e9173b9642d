package emulator_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/conformance"
)

// Every answer of REST, as the emulator gives it.
func TestConformanceOfREST(t *testing.T) {
	spec := conformance.REST(t)
	const span = "since=2000-01-01T00:00:00Z&until=2000-01-10T00:00:00Z"
	for _, tc := range []struct {
		name, path string
		config     string // what stands before the account.
		fault      int
		noToken    bool
		code       int
	}{
		{name: "services", path: "/services?total=true", code: 200},
		{name: "services with what they name", path: "/services?include[]=integrations&include[]=escalation_policies&name=infra", code: 200},
		{name: "service", path: "/services/PS1?include[]=integrations", code: 200},
		{name: "service with support hours", path: "/services/PS2", code: 200},
		{name: "no such service", path: "/services/NONE", code: 404},
		{name: "integration", path: "/services/PS1/integrations/PS1-I1", code: 200},
		{name: "policies", path: "/escalation_policies?limit=1&include[]=services", code: 200},
		{name: "policy", path: "/escalation_policies/PP1", code: 200},
		{name: "no such policy", path: "/escalation_policies/NONE", code: 404},
		{name: "schedules", path: "/schedules?query=prod&include[]=schedule_layers&" + span, code: 200},
		{name: "schedule", path: "/schedules/PC1?overflow=true&" + span, code: 200},
		{name: "schedule in a zone", path: "/schedules/PC1?time_zone=Australia/Lord_Howe&" + span, code: 200},
		{name: "schedule without a span", path: "/schedules/PC1", code: 200},
		{name: "schedule of the other kind", path: "/schedules/PC2", code: 400},
		{name: "no such schedule", path: "/schedules/NONE", code: 404},
		{name: "v3 schedules", path: "/v3/schedules?limit=1000", code: 200},
		{name: "v3 schedules, page too long", path: "/v3/schedules?limit=1001", code: 400},
		{name: "v3 schedule", path: "/v3/schedules/PC2?include[]=final_schedule&" + span, code: 200},
		{name: "v3 schedule, overflowing", path: "/v3/schedules/PC2?include[]=final_schedule&overflow=true&" + span, code: 200},
		{name: "v3 schedule without a span", path: "/v3/schedules/PC2", code: 200},
		{name: "v3 schedule of the other kind", path: "/v3/schedules/PC1", code: 400},
		{name: "on-calls", path: "/oncalls", code: 200},
		{name: "on-calls with what they name", path: "/oncalls?include[]=users&include[]=escalation_policies&earliest=true&" + span, code: 200},
		{name: "on-calls, backwards", path: "/oncalls?since=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z", code: 400},
		{name: "users", path: "/users?include[]=contact_methods&include[]=notification_rules", code: 200},
		{name: "users as references", path: "/users", code: 200},
		{name: "user", path: "/users/PU1?include[]=contact_methods", code: 200},
		{name: "user who is gone", path: "/users/PU3", code: 404},
		{name: "contact methods", path: "/users/PU1/contact_methods", code: 200},
		{name: "no contact methods", path: "/users/PU2/contact_methods", code: 200},
		{name: "notification rules", path: "/users/PU1/notification_rules?urgency=all", code: 200},
		{name: "notification rules, whole", path: "/users/PU1/notification_rules?include[]=contact_methods", code: 200},
		{name: "maintenance windows", path: "/maintenance_windows?filter=all&service_ids[]=PS2", code: 200},
		{name: "maintenance window", path: "/maintenance_windows/PS2-M1", code: 200},
		{name: "wrong token", path: "/services", config: "api_tokens: [right]", code: 401},
		{name: "no token", path: "/services", noToken: true, code: 401},
		{name: "plan", path: "/v3/schedules", config: "plan_lacks: [v3/schedules]", code: 402},
		{name: "forbidden", path: "/users", config: "forbidden: [users]", code: 403},
		{name: "forbidden v3", path: "/v3/schedules/PC2", config: "forbidden: [v3/schedules]", code: 403},
		{name: "throttled", path: "/oncalls", config: "limits: {rest_per_minute: 1}", code: 429},
		{name: "throttled v3", path: "/v3/schedules", config: "limits: {rest_per_minute: 1}", code: 429},
		{name: "server error", path: "/users", fault: 500, code: 500},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEmulator(t, tc.config+restAccount, emulator.Options{})
			if strings.Contains(tc.config, "limits") {
				get(t, e, "/services")
			}
			if tc.fault != 0 {
				setFaults(t, e, emulator.Fault{Match: emulator.Match{API: emulator.APIREST}, Do: emulator.DoAnswer, Status: tc.fault})
			}
			r := httptest.NewRequest(http.MethodGet, tc.path, nil)
			if !tc.noToken {
				r.Header.Set("Authorization", "Token token=any")
			}
			w := httptest.NewRecorder()
			e.Handler().ServeHTTP(w, r)
			if w.Code != tc.code {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, tc.code)
			}
			if err := spec.CheckAnswer(r, w.Code, w.Header(), w.Body.Bytes()); err != nil {
				t.Errorf("answer %d %s: %v", w.Code, w.Body, err)
			}
		})
	}
}
