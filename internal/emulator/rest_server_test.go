package emulator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

func TestRESTTokens(t *testing.T) {
	configured := newEmulator(t, "api_tokens: [u+right-Token_1]"+restAccount, emulator.Options{})
	open := newEmulator(t, restAccount, emulator.Options{})
	for _, tc := range []struct {
		name, header string
		e            *emulator.Emulator
		code         int
	}{
		{"token", "Token token=u+right-Token_1", configured, 200},
		{"bearer", "Bearer u+right-Token_1", configured, 200},
		{"wrong token", "Token token=wrong", configured, 401},
		{"another scheme", "Basic u+right-Token_1", configured, 401},
		{"none", "", configured, 401},
		{"any will do", "Token token=anything", open, 200},
		{"an empty one will not", "Token token=", open, 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://pagerduty.test/users", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", tc.header)
			resp, err := tc.e.Transport().RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tc.code {
				t.Errorf("got %d, want %d", resp.StatusCode, tc.code)
			}
		})
	}
	if a := mustDo(t, configured, http.MethodGet, "/users", ""); a.body != `{"error":{"message":"Unauthorized"}}` {
		t.Errorf("got %s, want PagerDuty's error", a.body)
	}
	if a := mustDo(t, configured, http.MethodGet, "/emulator/rest", ""); strings.Contains(a.body, "right-Token") {
		t.Errorf("%s shows a token", a.body)
	}
}

func TestRESTFaults(t *testing.T) {
	rest := func(path string) emulator.Match { return emulator.Match{API: emulator.APIREST, Path: path} }
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, restAccount, emulator.Options{})
		// A rule for the Events API, as all are by default, is none of REST's, and the other way round.
		setFaults(t, e, emulator.Fault{Do: emulator.DoReset})
		if a := get(t, e, "/users"); a.code != 200 {
			t.Errorf("a rule for events: got %d of REST, want 200", a.code)
		}
		setFaults(t, e, emulator.Fault{Match: rest(""), Do: emulator.DoReset})
		wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.Created)
		if _, err := getAs(t, e, "any", "/users"); err == nil {
			t.Error("reset: got an answer")
		}
		setFaults(t, e,
			emulator.Fault{Match: rest("/schedules/*"), First: 1, Do: emulator.DoAnswer, Status: 503},
			emulator.Fault{Match: rest("/schedules/*"), Do: emulator.DoAnswer, Status: 429, Headers: map[string]string{"ratelimit-reset": "7"}, Body: "slow down"},
			emulator.Fault{Match: rest("/users"), Latency: 2e9, Do: emulator.DoDelay},
			emulator.Fault{Match: rest("/oncalls"), Do: emulator.DoAnswerLost},
		)
		if a := get(t, e, "/schedules/PC1"); a.code != 503 || a.body != `{"error":{"message":"Service Unavailable"}}` {
			t.Errorf("got %d %s, want 503 in PagerDuty's shape", a.code, a.body)
		}
		if a := get(t, e, "/schedules/PC1"); a.code != 429 || a.body != "slow down" || a.header.Get("ratelimit-reset") != "7" {
			t.Errorf("got %d %s %v, want what the rule says", a.code, a.body, a.header)
		}
		if a := get(t, e, "/schedules"); a.code != 200 {
			t.Errorf("a path that the pattern does not match: got %d, want 200", a.code)
		}
		before := time.Now()
		if a := get(t, e, "/users"); a.code != 200 || time.Since(before) != 2*time.Second {
			t.Errorf("got %d after %v, want 200 after 2s", a.code, time.Since(before))
		}
		if _, err := getAs(t, e, "any", "/oncalls"); err == nil {
			t.Error("answer_lost: got an answer")
		}
		want := []string{"/users 200 ", "/users 0 #0", "/schedules/PC1 503 #0", "/schedules/PC1 429 #1", "/schedules 200 ", "/users 200 #2", "/oncalls 0 #3"}
		got := names(e.RESTRequests(), func(r emulator.RESTRequest) string { return fmt.Sprintf("%s %d %s", r.Path, r.Code, r.Fault) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		counts := e.RESTCounts()
		if counts.Total != 7 || counts.Faulted != 5 || counts.ByRoute["/schedules/{id}"] != 2 {
			t.Errorf("got %+v, want 7 in all, 5 faulted, 2 of /schedules/{id}", counts)
		}
		// What waits goes when the rules do.
		setFaults(t, e, emulator.Fault{Match: rest(""), Do: emulator.DoHang})
		done := make(chan error)
		go func() {
			_, err := getAs(t, e, "any", "/users")
			done <- err
		}()
		synctest.Wait()
		e.Reset()
		if err := <-done; err == nil {
			t.Error("hang: got an answer")
		}
		if n := e.RESTCounts().Total; n != 0 {
			t.Errorf("after a reset: got %d calls, want none", n)
		}
	})
	e := newEmulator(t, restAccount, emulator.Options{})
	for _, tc := range []struct {
		match emulator.Match
		want  string
	}{
		{emulator.Match{API: "graphql"}, `[0].match.api: "graphql" is not one of events, rest`},
		{emulator.Match{API: emulator.APIREST, Path: "/users/["}, `[0].match.path: "/users/[": syntax error in pattern`},
		{emulator.Match{API: emulator.APIREST, Action: "trigger"}, `[0].match: routing_key, action and dedup_key_regexp do not go with api: rest`},
	} {
		if err := e.SetFaults([]emulator.Fault{{Match: tc.match, Do: emulator.DoReset}}); err == nil || err.Error() != tc.want {
			t.Errorf("got %v, want %s", err, tc.want)
		}
	}
}

func TestAccountAtRunTime(t *testing.T) {
	const before = `
services: [{id: PS1, name: infra, routing_keys: [` + key + `], escalation_policy: PP1}]
escalation_policies: [{id: PP1, levels: [{targets: [{schedule: PC1}]}]}]
schedules: [{id: PC1, name: prod-monitoring, users: [PU1]}]
users: [{id: PU1, name: Ada}]
`
	after := strings.NewReplacer("users: [PU1]", "entries: [{user: PU1, end: 2000-01-01T00:00:00Z}, {user: PU2, start: 2000-01-01T00:00:00Z}]",
		"name: Ada}", "name: Ada}, {id: PU2, name: Grace}", key, key2, "name: infra", "name: infra-core").Replace(before)
	e := newEmulator(t, before, emulator.Options{})
	users := func() []string {
		return names(getInto[struct{ Schedule struct{ Users []ref } }](t, e, "/schedules/PC1").Schedule.Users, func(r ref) string { return r.Summary })
	}
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.NobodyOnCall)
	if diff := cmp.Diff([]string{"Ada"}, users()); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	disabled := "disabled"
	if err := e.OverrideService("PS1", emulator.ServiceOverride{Status: &disabled}); err != nil {
		t.Fatal(err)
	}
	if a := mustDo(t, e, http.MethodPut, "/emulator/account", after); a.code != http.StatusNoContent {
		t.Fatalf("got %d %s, want 204", a.code, a.body)
	}
	if diff := cmp.Diff([]string{"Ada", "Grace"}, users()); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
	if a := post(t, e, triggerBody(key, "k", "critical")); a.body != "Invalid routing key" {
		t.Errorf("got %s, want the old key refused", a.body)
	}
	wantOutcome(t, e, triggerBody(key2, "k", "critical"), emulator.ServiceDisabled) // the override stays.
	if err := e.OverrideService("PS1", emulator.ServiceOverride{}); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, e, triggerBody(key2, "k", "critical"), emulator.Created)
	if got := only(t, e); got.Service != "infra-core" || got.Log[1].User != "PU2" {
		t.Errorf("got %+v, want PU2 notified for infra-core", got)
	}
	for _, bad := range []string{"", "services: []", before + "limits: {rest_per_minute: -1}"} {
		if a := mustDo(t, e, http.MethodPut, "/emulator/account", bad); a.code != http.StatusBadRequest {
			t.Errorf("%q: got %d, want 400", bad, a.code)
		}
	}
	e.Reset()
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.NobodyOnCall)
}

// An incident lives on when its service, policy and key are taken away.
func TestAccountWithoutWhatAnIncidentHas(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, restAccount, emulator.Options{})
		wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.Created)
		if err := e.SetAccount(emulator.Default()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // escalation finds no level to go to.
		if got := only(t, e); got.Status != emulator.Triggered || got.Service != "infra" {
			t.Errorf("got %+v, want it open", got)
		}
		if err := e.Resolve(only(t, e).ID, "Ada"); err != nil {
			t.Error(err)
		}
	})
}

func TestLarge(t *testing.T) {
	text, err := yaml.Marshal(emulator.Large(20, 4, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := emulator.Parse(text); err != nil { // for the program, which takes a file.
		t.Fatal(err)
	}
	cfg := emulator.Large(1000, 200, time.Now())
	e, err := emulator.New(cfg, emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v2, v3 := getInto[pageOf](t, e, "/schedules?total=true"), getInto[pageOf](t, e, "/v3/schedules?total=true")
	if *v2.Total+*v3.Total != 1000 {
		t.Errorf("got %d and %d schedules, want 1000", *v2.Total, *v3.Total)
	}
	policies := getInto[pageOf](t, e, "/escalation_policies?total=true")
	if *policies.Total != 200 {
		t.Errorf("got %d policies, want 200", *policies.Total)
	}
	q := "since=" + time.Now().UTC().Format(time.RFC3339) + "&until=" + time.Now().UTC().Add(90*24*time.Hour-time.Second).Format(time.RFC3339)
	for _, s := range cfg.Schedules[:20] {
		path, query := "/schedules/", q
		if s.Type == emulator.ScheduleV3 {
			path, query = "/v3/schedules/", q+"&include[]=final_schedule"
		}
		got := getInto[struct {
			Schedule struct {
				Final struct {
					Coverage float64 `json:"rendered_coverage_percentage"`
				} `json:"final_schedule"`
				Policies []ref `json:"escalation_policies"`
			}
		}](t, e, path+s.ID+"?"+query)
		if got.Schedule.Final.Coverage != 100 || len(got.Schedule.Policies) != 1 {
			t.Errorf("%s: got %+v, want 100 %% and one policy", s.ID, got)
		}
	}
}
