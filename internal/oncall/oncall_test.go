package oncall_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/internal/oncall"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

const (
	key   = "0123456789abcdef0123456789abcdef"
	key2  = "fedcba9876543210fedcba9876543210"
	token = "u+secret-token-AAAAAAAAA"
)

// account is a small account. The clock of a bubble begins at 2000-01-01T00:00:00Z.
const account = `
services:
  - {id: PSINFRA, name: infra, routing_keys: [` + key + `], escalation_policy: PPINFRA}
  - id: PSBATCH
    name: batch
    routing_keys: [` + key2 + `]
    escalation_policy: PPBATCH
    status: disabled
    incident_urgency_rule: {urgency: high}
    maintenance_windows: [{start: 2000-01-01T01:00:00Z, end: 2000-01-01T02:00:00Z}, {start: 1999-01-03T00:00:00Z, end: 1999-01-04T00:00:00Z}]
  - {id: PSOTHER, name: other, routing_keys: [00000000000000000000000000000000], escalation_policy: PPOTHER}
escalation_policies:
  - id: PPINFRA
    name: infra policy
    levels:
      - {targets: [{schedule: PCPRODN}], delay: 15m}
      - {targets: [{schedule: PCSHIFT}, {user: PULEADX}]}
  - {id: PPBATCH, name: batch policy, levels: [{targets: [{user: PULEADX}], delay: 5m}]}
  - {id: PPOTHER, name: other policy, levels: [{targets: [{user: PUADAXX}]}]}
schedules:
  - id: PCPRODN
    name: prod-monitoring
    time_zone: America/New_York
    users: [PUADAXX, PUGRACE, PUJOANX]
    layers: [{name: weekdays, end: 2000-01-03T00:00:00Z, users: [PUADAXX, PUGRACE]}, {name: old, end: 1999-06-01T00:00:00Z}, {}]
    entries:
      - {user: PUADAXX, end: 2000-01-02T00:00:00Z}
      - {user: PUGRACE, start: 2000-01-02T06:00:00Z, end: 2000-01-03T00:00:00Z}
      - {user: PUJOANX, start: 2000-01-03T00:00:00Z, end: 2000-01-04T00:00:00Z}
      - {user: PUADAXX, start: 2000-01-04T00:00:00Z}
  - id: PCSHIFT
    name: platform-sre
    type: v3
    time_zone: Australia/Lord_Howe
    layers: [{name: summer, end: 2000-01-03T00:00:00Z, users: [PUADAXX]}, {name: ended, end: 1999-06-01T00:00:00Z, users: [PUOTHER]}, {name: always, users: [PUGRACE, PUADAXX]}]
    entries:
      - {user: PUADAXX, start: 1999-12-31T00:00:00Z, end: 2000-01-02T00:00:00Z}
      - {user: PUGRACE, start: 2000-01-01T12:00:00Z, end: 2000-01-02T12:00:00Z}
      - {empty: true, start: 2000-01-02T12:00:00Z, end: 2000-01-03T00:00:00Z}
      - {user: PUGRACE, start: 2000-01-03T00:00:00Z}
  - {id: PCSAMEA, name: same, entries: [{user: PUADAXX}]}
  - {id: PCSAMEB, name: same, type: v3, entries: [{user: PUADAXX}]}
users:
  - id: PUADAXX
    name: Ada
    time_zone: Europe/Paris
    contact_methods:
      - {id: C1, type: sms, address: "5550100"}
      - {id: C2, type: email, address: ada@example.com, enabled: false}
      - {id: C3, type: phone, address: "5550100", blacklisted: true}
      - {id: C4, type: push_notification, address: phone}
      - {id: C5, type: whatsapp, address: "5550100"}
    notification_rules: [{urgency: high, contact_method: C1}, {urgency: high, contact_method: C3, delay: 5m}, {urgency: low, contact_method: C2}]
  - {id: PUGRACE, name: Grace}
  - {id: PUJOANX, name: Joan, deleted: true}
  - {id: PULEADX, name: Lead}
  - {id: PUOTHER, name: Nobody}
`

func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func newEmulator(t testing.TB, text string) *emulator.Emulator {
	t.Helper()
	cfg, err := emulator.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return emulate(t, *cfg)
}

func emulate(t testing.TB, cfg emulator.Config) *emulator.Emulator {
	t.Helper()
	e, err := emulator.New(cfg, emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func readerOver(t testing.TB, rt http.RoundTripper) *oncall.Reader {
	t.Helper()
	api, err := pagerduty.NewREST(pagerduty.Config{APIToken: token}, pagerduty.RESTOptions{Transport: rt})
	if err != nil {
		t.Fatal(err)
	}
	return oncall.New(api)
}

// config names the schedules and policies; the horizon is 5 days.
func config(schedules, policies []string) coverage.Config {
	c := coverage.Config{Horizon: model.Duration(5 * 24 * time.Hour)}
	for _, name := range schedules {
		c.Schedules = append(c.Schedules, coverage.ScheduleConfig{Name: name})
	}
	for _, name := range policies {
		c.Policies = append(c.Policies, coverage.PolicyConfig{Name: name})
	}
	return c
}

func day(d, hour int) time.Time { return time.Date(2000, 1, d, hour, 0, 0, 0, time.UTC) }

func span(d1, h1, d2, h2 int) coverage.Span {
	return coverage.Span{Start: day(d1, h1), End: day(d2, h2)}
}

// lastRead is until when is read with the horizon of config, five days.
func lastRead() time.Time { return day(6, 0).Add(30 * time.Minute) }

// withoutURLs is a snapshot of which the links are not compared.
func withoutURLs() cmp.Option {
	return cmp.Options{
		cmpopts.IgnoreFields(coverage.Schedule{}, "URL"), cmpopts.IgnoreFields(coverage.Policy{}, "URL"),
		cmpopts.IgnoreFields(coverage.Service{}, "URL"), cmpopts.IgnoreFields(coverage.User{}, "URL"),
		cmpopts.EquateEmpty(),
	}
}

func TestRead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, account)
		got, err := readerOver(t, e.Transport()).Read(t.Context(), config([]string{"prod-monitoring"}, []string{"infra policy", "PPBATCH"}),
			map[string]string{hashOf(key): "infra-core", hashOf(key2): "batch", hashOf("none of these"): "elsewhere"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := &coverage.Snapshot{
			At: day(1, 0), Window: coverage.Span{Start: day(0, 0), End: lastRead()},
			Schedules: map[string]*coverage.Schedule{
				"PCPRODN": {
					ID: "PCPRODN", Name: "prod-monitoring", TimeZone: "America/New_York",
					Engineers: []string{"PUADAXX", "PUGRACE", "PUJOANX"},
					Shifts: []coverage.Shift{
						{Span: coverage.Span{Start: day(-364, 0), End: day(2, 0)}, User: "PUADAXX"}, // as the emulator tells of those without a start.
						{Span: span(2, 6, 3, 0), User: "PUGRACE"},
						{Span: span(3, 0, 4, 0), User: "PUJOANX"},
						{Span: coverage.Span{Start: day(4, 0), End: lastRead()}, User: "PUADAXX"},
					},
					Layers:   []coverage.Layer{{Name: "weekdays", End: day(3, 0)}},
					Policies: []string{"PPINFRA"},
				},
				"PCSHIFT": {
					ID: "PCSHIFT", Name: "platform-sre", TimeZone: "Australia/Lord_Howe", ShiftBased: true,
					Engineers: []string{"PUADAXX", "PUGRACE"},
					Shifts: []coverage.Shift{
						{Span: span(0, 0, 2, 0), User: "PUADAXX"}, {Span: span(1, 12, 2, 12), User: "PUGRACE"}, {Span: coverage.Span{Start: day(3, 0), End: lastRead()}, User: "PUGRACE"},
					},
					Empty:    []coverage.Span{span(2, 12, 3, 0)},
					Layers:   []coverage.Layer{{Name: "summer", End: day(3, 0)}},
					Policies: []string{"PPINFRA"},
				},
			},
			Policies: map[string]*coverage.Policy{
				"PPINFRA": {ID: "PPINFRA", Name: "infra policy", Services: []string{"PSINFRA"}, Levels: []coverage.Level{
					{Targets: []coverage.Target{{Kind: coverage.KindSchedule, ID: "PCPRODN", Name: "prod-monitoring"}}, EscalateAfter: 15 * time.Minute},
					{Targets: []coverage.Target{{Kind: coverage.KindSchedule, ID: "PCSHIFT", Name: "platform-sre"}, {Kind: coverage.KindUser, ID: "PULEADX", Name: "Lead"}}, EscalateAfter: 30 * time.Minute},
				}},
				"PPBATCH": {ID: "PPBATCH", Name: "batch policy", Services: []string{"PSBATCH"}, Levels: []coverage.Level{
					{Targets: []coverage.Target{{Kind: coverage.KindUser, ID: "PULEADX", Name: "Lead"}}, EscalateAfter: 5 * time.Minute},
				}},
			},
			Services: map[string]*coverage.Service{
				"PSINFRA": {ID: "PSINFRA", Name: "infra", Policy: "PPINFRA", Status: "active", Urgency: "severity_based", Relays: []string{"infra-core"}},
				"PSBATCH": {
					ID: "PSBATCH", Name: "batch", Policy: "PPBATCH", Status: "disabled", Urgency: "high", Relays: []string{"batch"},
					Maintenance: []coverage.Span{span(1, 1, 1, 2)},
				},
			},
			Users: map[string]*coverage.User{
				"PUADAXX": {
					ID: "PUADAXX", Name: "Ada", TimeZone: "Europe/Paris",
					Contacts: []coverage.Contact{
						{ID: "C1", Type: "sms"},
						{ID: "C2", Type: "email", Disabled: true},
						{ID: "C3", Type: "phone", Blocked: true},
						{ID: "C4", Type: "push"},
						{ID: "C5", Type: "whatsapp"},
					},
					Rules: []coverage.NotificationRule{{Contact: "C1", Urgency: "high"}, {Contact: "C3", Urgency: "high", Delay: 5 * time.Minute}, {Contact: "C2", Urgency: "low"}},
				},
				"PUGRACE": {ID: "PUGRACE", Name: "Grace", TimeZone: "UTC"},
				"PUJOANX": {ID: "PUJOANX", Name: "Joan", Gone: true},
				"PULEADX": {ID: "PULEADX", Name: "Lead", TimeZone: "UTC"},
			},
			OnCalls: []coverage.OnCall{
				{Policy: "PPBATCH", Level: 1, User: "PULEADX"},
				{Span: coverage.Span{End: day(2, 0)}, Policy: "PPINFRA", Level: 1, User: "PUADAXX", Schedule: "PCPRODN"},
				{Span: span(2, 6, 3, 0), Policy: "PPINFRA", Level: 1, User: "PUGRACE", Schedule: "PCPRODN"},
				{Span: coverage.Span{Start: day(4, 0)}, Policy: "PPINFRA", Level: 1, User: "PUADAXX", Schedule: "PCPRODN"},
				{Policy: "PPINFRA", Level: 2, User: "PULEADX"},
				{Span: span(0, 0, 2, 0), Policy: "PPINFRA", Level: 2, User: "PUADAXX", Schedule: "PCSHIFT"},
				{Span: span(1, 12, 2, 12), Policy: "PPINFRA", Level: 2, User: "PUGRACE", Schedule: "PCSHIFT"},
				{Span: coverage.Span{Start: day(3, 0)}, Policy: "PPINFRA", Level: 2, User: "PUGRACE", Schedule: "PCSHIFT"},
			},
		}
		if diff := cmp.Diff(want, got, withoutURLs()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if url := got.Schedules["PCPRODN"].URL + got.Schedules["PCSHIFT"].URL + got.Policies["PPINFRA"].URL + got.Services["PSINFRA"].URL + got.Users["PULEADX"].URL; strings.Count(url, "http") != 5 {
			t.Errorf("got links %s, want five", url)
		}
	})
}

func TestNames(t *testing.T) {
	for _, tc := range []struct {
		name                string
		schedules, policies []string
		missing             []coverage.Missing
		read                []string // schedules.
	}{
		{name: "nothing"},
		{name: "by name", schedules: []string{"prod-monitoring", "platform-sre"}, read: []string{"PCPRODN", "PCSHIFT"}},
		{name: "by id", schedules: []string{"PCPRODN", "PCSHIFT"}, read: []string{"PCPRODN", "PCSHIFT"}},
		{name: "twice", schedules: []string{"PCPRODN", "prod-monitoring"}, read: []string{"PCPRODN"}},
		{name: "what policies depend on", policies: []string{"infra policy"}, read: []string{"PCPRODN", "PCSHIFT"}},
		{name: "ambiguous across the kinds of schedules", schedules: []string{"same"}, missing: []coverage.Missing{{Kind: coverage.KindSchedule, Name: "same", Same: []string{"PCSAMEA", "PCSAMEB"}}}},
		{name: "one of the ambiguous by its id", schedules: []string{"PCSAMEB"}, read: []string{"PCSAMEB"}},
		{name: "not there", schedules: []string{"nope", "PNOSUCH"}, policies: []string{"infra", "PNOSUCH", "", "../x"}, missing: []coverage.Missing{
			{Kind: coverage.KindPolicy, Name: ""},
			{Kind: coverage.KindPolicy, Name: "../x"},
			{Kind: coverage.KindPolicy, Name: "PNOSUCH"},
			{Kind: coverage.KindPolicy, Name: "infra"},
			{Kind: coverage.KindSchedule, Name: "PNOSUCH"},
			{Kind: coverage.KindSchedule, Name: "nope"},
		}},
		{name: "a part of a name is no name", schedules: []string{"prod"}, missing: []coverage.Missing{{Kind: coverage.KindSchedule, Name: "prod"}}},
	} {
		for _, many := range []bool{false, true} { // one by one, and by listing.
			t.Run(fmt.Sprint(tc.name, many), func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					schedules, policies, missing := tc.schedules, tc.policies, slices.Clone(tc.missing)
					for i := 0; many && i < 12; i++ {
						name := fmt.Sprintf("z filler %02d", i)
						schedules, policies = append(slices.Clip(schedules), name), append(slices.Clip(policies), name)
						missing = append(missing, coverage.Missing{Kind: coverage.KindSchedule, Name: name}, coverage.Missing{Kind: coverage.KindPolicy, Name: name})
					}
					e := newEmulator(t, account)
					got, err := readerOver(t, e.Transport()).Read(t.Context(), config(schedules, policies), nil, nil)
					if err != nil {
						t.Fatal(err)
					}
					byName := cmpopts.SortSlices(func(a, b coverage.Missing) bool { return a.Kind+coverage.Kind(a.Name) < b.Kind+coverage.Kind(b.Name) })
					if diff := cmp.Diff(missing, got.Missing, cmpopts.EquateEmpty(), byName); diff != "" {
						t.Errorf("missing: -want +got:\n%s", diff)
					}
					if diff := cmp.Diff(tc.read, sortedKeys(got.Schedules), cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("schedules: -want +got:\n%s", diff)
					}
					if len(got.Unread) > 0 {
						t.Errorf("got unread %v, want none", got.Unread)
					}
					if n := e.RESTCounts().ByRoute["/schedules"] + e.RESTCounts().ByRoute["/escalation_policies"]; many && n > 2 {
						t.Errorf("got %d listings, want one of each kind", n)
					}
				})
			})
		}
	}
}

// What is the id of one schedule and the name of another is the id, whether it is
// looked up by itself or found in a listing.
func TestIDBeforeName(t *testing.T) {
	for _, others := range []int{0, 12} {
		bubble.Test(t, func(t *testing.T) {
			e := newEmulator(t, strings.Replace(account, "schedules:\n", "schedules:\n  - {id: PCX, name: a}\n  - {id: PCY, name: PCX}\n", 1))
			names := []string{"PCX"}
			for i := range others {
				names = append(names, fmt.Sprintf("other %d", i))
			}
			got, err := readerOver(t, e.Transport()).Read(t.Context(), config(names, nil), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"PCX"}, sortedKeys(got.Schedules)); diff != "" {
				t.Errorf("with %d others: -want +got:\n%s", others, diff)
			}
		})
	}
}

func sortedKeys[T any](m map[string]T) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// What could not be read is said to be unread, and all the rest is read.
func TestPartialFailure(t *testing.T) {
	const all = "schedules:2 policies:2 services:2 users:4 oncalls:8"
	for _, tc := range []struct {
		name   string
		config string // before the account.
		fault  *emulator.Fault
		unread []string // kind/id: a part of the reason.
		read   string
	}{
		{name: "nothing fails", read: all},
		{
			name: "policies forbidden", config: "forbidden: [escalation_policies]",
			unread: []string{"policy/PPBATCH: 403 Forbidden", "policy/infra policy: 403 Forbidden"},
			read:   "schedules:1 policies:0 services:2 users:3 oncalls:0",
		},
		{
			name: "schedules forbidden", config: "forbidden: [schedules]",
			unread: []string{"schedule/PCPRODN: 403 Forbidden", "schedule/prod-monitoring: 403 Forbidden"},
			read:   "schedules:1 policies:2 services:2 users:3 oncalls:8",
		},
		{
			name: "shift-based schedules not in the plan", config: "plan_lacks: [v3/schedules]",
			unread: []string{"schedule/PCSHIFT: 402 Payment Required"},
			read:   "schedules:1 policies:2 services:2 users:4 oncalls:8",
		},
		{
			name: "one schedule fails", fault: &emulator.Fault{Match: emulator.Match{Path: "/v3/schedules/PCSHIFT"}, Do: emulator.DoAnswer, Status: 500},
			unread: []string{"schedule/PCSHIFT: 500 Internal Server Error"},
			read:   "schedules:1 policies:2 services:2 users:4 oncalls:8",
		},
		{
			name: "one schedule is not found", fault: &emulator.Fault{Match: emulator.Match{Path: "/v3/schedules/PCSHIFT"}, Do: emulator.DoAnswer, Status: 404},
			unread: []string{"schedule/PCSHIFT: 404 Not Found"},
			read:   "schedules:1 policies:2 services:2 users:4 oncalls:8",
		},
		{
			name: "a schedule without an answer", fault: &emulator.Fault{Match: emulator.Match{Path: "/v3/schedules/PCSHIFT"}, Do: emulator.DoHang},
			unread: []string{"schedule/PCSHIFT: no answer within 30s"},
			read:   "schedules:1 policies:2 services:2 users:4 oncalls:8",
		},
		{
			name: "on-calls forbidden", config: "forbidden: [oncalls]",
			unread: []string{"policy/PPBATCH: GET /oncalls: 403", "policy/PPINFRA: GET /oncalls: 403"},
			read:   "schedules:2 policies:2 services:2 users:4 oncalls:0",
		},
		{
			name: "services forbidden", config: "forbidden: [services]",
			unread: []string{"service/: GET /services: 403"},
			read:   "schedules:2 policies:2 services:0 users:4 oncalls:8",
		},
		{
			name: "maintenance windows forbidden", config: "forbidden: [maintenance_windows]",
			unread: []string{"service/service_in_maintenance: GET /maintenance_windows: 403"},
			read:   all,
		},
		{
			name: "users forbidden", config: "forbidden: [users]",
			unread: []string{"user/PUADAXX: 403", "user/PUGRACE: 403", "user/PUJOANX: 403", "user/PULEADX: 403"},
			read:   all,
		},
		{
			name: "one 429", fault: &emulator.Fault{First: 1, Do: emulator.DoAnswer, Status: 429}, read: all,
		},
		{
			name: "every other answer is lost", fault: &emulator.Fault{Every: 2, Do: emulator.DoAnswerLost}, read: all,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				e := newEmulator(t, tc.config+account)
				if tc.fault != nil {
					tc.fault.Match.API = emulator.APIREST
					if err := e.SetFaults([]emulator.Fault{*tc.fault}); err != nil {
						t.Fatal(err)
					}
				}
				got, err := readerOver(t, e.Transport()).Read(t.Context(), config([]string{"prod-monitoring"}, []string{"infra policy", "PPBATCH"}),
					map[string]string{hashOf(key): "infra-core", hashOf(key2): "batch"}, nil)
				if err != nil {
					t.Fatal(err)
				}
				wantUnread(t, got, tc.unread)
				read := fmt.Sprintf("schedules:%d policies:%d services:%d users:%d oncalls:%d",
					len(got.Schedules), len(got.Policies), len(got.Services), len(got.Users), len(got.OnCalls))
				if read != tc.read {
					t.Errorf("got  %s\nwant %s", read, tc.read)
				}
				if len(got.Missing) > 0 {
					t.Errorf("got missing %v: what could not be read is not missing", got.Missing)
				}
			})
		})
	}
}

// wantUnread compares what is unread, each as "kind/id: part of the reason", with the
// check after the id where it is the only one.
func wantUnread(t *testing.T, s *coverage.Snapshot, want []string) {
	t.Helper()
	for i, u := range s.Unread {
		text := fmt.Sprintf("%s/%s: %s", u.Kind, strings.TrimSpace(u.ID+" "+string(u.Check)), u.Reason)
		if strings.Contains(text, token) || strings.Contains(text, "\n") {
			t.Errorf("got reason %q", text)
		}
		forbidden := u.Kind == coverage.KindUser && u.ID != "" && strings.Contains(u.Reason, "403") || u.Check == coverage.UserUnreachable
		if u.Denied != forbidden {
			t.Errorf("got %s: denied %t, want %t", text, u.Denied, forbidden)
		}
		if i >= len(want) {
			t.Errorf("got one more: %s", text)
			continue
		}
		subject, reason, _ := strings.Cut(want[i], ": ")
		if !strings.HasPrefix(text, subject+": ") || !strings.Contains(text, reason) {
			t.Errorf("got  %s\nwant %s", text, want[i])
		}
	}
	if len(s.Unread) < len(want) {
		t.Errorf("got %d unread, want %d: %v", len(s.Unread), len(want), want)
	}
}

func TestNothingCanBeRead(t *testing.T) {
	for _, tc := range []struct {
		name     string
		config   string
		token    string
		fault    *emulator.Fault
		want     string
		requests int // at most.
	}{
		{"no token", "", "", nil, "no API token: pagerduty.api_token_file is not set", 0},
		{"a revoked token", "api_tokens: [another]", token, nil, "PagerDuty refuses the API token: GET /escalation_policies: 401 Unauthorized", 1},
		{"PagerDuty is down", "", token, &emulator.Fault{Do: emulator.DoAnswer, Status: 503}, "GET /escalation_policies: 503 Service Unavailable", 9},
		{"PagerDuty cuts every connection", "", token, &emulator.Fault{Do: emulator.DoReset}, "connection reset by peer", 9},
		{"everything is forbidden", "forbidden: [escalation_policies, schedules, v3/schedules, oncalls, services, users, maintenance_windows]", token, nil, "GET /escalation_policies: 403 Forbidden", 6},
		{"a captive portal", "", token, &emulator.Fault{Do: emulator.DoAnswer, Status: 200, Body: "<html>"}, "read answer: not JSON", 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				e := newEmulator(t, tc.config+account)
				if tc.fault != nil {
					tc.fault.Match.API = emulator.APIREST
					if err := e.SetFaults([]emulator.Fault{*tc.fault}); err != nil {
						t.Fatal(err)
					}
				}
				api, err := pagerduty.NewREST(pagerduty.Config{APIToken: promconfig.Secret(tc.token)}, pagerduty.RESTOptions{Transport: e.Transport()})
				if err != nil {
					t.Fatal(err)
				}
				got, err := oncall.New(api).Read(t.Context(), config([]string{"prod-monitoring", "platform-sre", "same"}, []string{"infra policy"}), map[string]string{hashOf(key): "infra"}, nil)
				if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), token) {
					t.Errorf("got error %v, want one that says %q", err, tc.want)
				}
				wantUnread(t, got, []string{"schedule/: " + tc.want, "policy/: " + tc.want, "service/: " + tc.want, "user/: " + tc.want})
				if n := e.RESTCounts().Total; n > tc.requests {
					t.Errorf("got %d requests, want at most %d: the rest is in vain", n, tc.requests)
				}
			})
		})
	}
}

// A plan or token that refuses all of a kind is not asked a hundred times.
func TestRefusalsAreBelieved(t *testing.T) {
	for _, tc := range []struct {
		forbidden string
		requests  int // at most.
	}{
		{"schedules", 2},       // the listing of each kind.
		{"v3/schedules", 2},    // names that are not listed may be of these.
		{"schedules/{id}", 14}, // a listing, and ten refusals.
	} {
		t.Run(tc.forbidden, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				var cfg emulator.Config
				var names []string
				for i := range 100 {
					cfg.Schedules = append(cfg.Schedules, emulator.Schedule{ID: fmt.Sprintf("PC%05d", i), Name: fmt.Sprint("schedule ", i), Type: emulator.ScheduleV2})
					if tc.forbidden == "v3/schedules" {
						cfg.Schedules[i].Type = emulator.ScheduleV3
					}
					names = append(names, fmt.Sprint("schedule ", i))
				}
				cfg.EscalationPolicies = []emulator.EscalationPolicy{{ID: "PP1", Levels: []emulator.Level{{Targets: []emulator.Target{{Schedule: "PC00000"}}}}}}
				cfg.Services = []emulator.Service{{ID: "PS1", RoutingKeys: []string{key}, EscalationPolicy: "PP1"}}
				if tc.forbidden != "schedules/{id}" {
					cfg.Forbidden = []string{tc.forbidden}
				}
				e := emulate(t, cfg)
				rt := roundTrip(func(r *http.Request) (*http.Response, error) {
					resp, err := e.Transport().RoundTrip(r)
					if tc.forbidden == "schedules/{id}" && strings.HasPrefix(r.URL.Path, "/schedules/") {
						resp.StatusCode = http.StatusPaymentRequired
					}
					return resp, err
				})
				got, err := readerOver(t, rt).Read(t.Context(), config(names, nil), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Unread) != 100 || len(got.Missing) > 0 {
					t.Errorf("got %d unread and %d missing, want 100 and none", len(got.Unread), len(got.Missing))
				}
				if n := e.RESTCounts().Total; n > tc.requests {
					t.Errorf("got %d requests, want at most %d", n, tc.requests)
				}
			})
		})
	}
}

// Some schedules that cannot be read hide nothing else: not the other schedules, and
// not who is on call. Only when nothing else is answered either is the rest not asked for.
func TestBadSchedules(t *testing.T) {
	paths := func(from, to int) string { // of schedules.
		var ids []string
		for i := from; i < to; i++ {
			ids = append(ids, fmt.Sprintf("/schedules/PC%05d", i))
		}
		return strings.Join(ids, " ")
	}
	const all = "/schedules/ /oncalls /services /users /maintenance_windows /escalation_policies"
	for _, tc := range []struct {
		name     string
		fail     string // what fails, by the start of its path.
		code     int
		from     int // the first answer that may fail.
		unread   int // schedules.
		onCalls  int
		requests int // at most.
	}{
		{"three that fail", paths(11, 14), 500, 0, 3, 1, 60},
		{"nine that fail", paths(11, 20), 500, 0, 9, 1, 80},
		{"ten that fail, and no more is asked", paths(5, 30), 500, 0, 25, 1, 60},
		{"twenty that are hidden", paths(5, 25), 403, 0, 20, 1, 50},
		{"twenty that are hidden, from the first on, and no more is asked", paths(0, 20), 403, 0, 30, 1, 30},
		{"PagerDuty goes down", all, 503, 10, 23, 0, 10 + 3*(3+1)},
		{"the token is revoked", all, 401, 10, 23, 0, 10 + 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				var cfg emulator.Config
				var names []string
				for i := range 30 {
					s := emulator.Schedule{ID: fmt.Sprintf("PC%05d", i), Name: fmt.Sprint("schedule ", i), Type: emulator.ScheduleV2, Entries: []emulator.ScheduleEntry{{User: "PU1"}}}
					cfg.Schedules = append(cfg.Schedules, s)
					names = append(names, s.Name)
				}
				cfg.EscalationPolicies = []emulator.EscalationPolicy{{ID: "PP1", Name: "policy", Levels: []emulator.Level{{Targets: []emulator.Target{{Schedule: "PC00029"}}}}}}
				cfg.Services = []emulator.Service{{ID: "PS1", RoutingKeys: []string{key}, EscalationPolicy: "PP1"}}
				cfg.Users = []emulator.User{{ID: "PU1", Name: "Ada"}}
				e := emulate(t, cfg)
				n := 0
				rt := roundTrip(func(r *http.Request) (*http.Response, error) {
					resp, err := e.Transport().RoundTrip(r)
					n++
					fails := func(path string) bool { return strings.HasPrefix(r.URL.Path, path) }
					if n > tc.from && slices.ContainsFunc(strings.Fields(tc.fail), fails) {
						resp.StatusCode = tc.code
					}
					return resp, err
				})
				got, err := readerOver(t, rt).Read(t.Context(), config(names, []string{"policy"}), map[string]string{hashOf(key): "infra"}, nil)
				if err != nil {
					t.Fatal(err)
				}
				unread := 0
				for _, u := range got.Unread {
					if u.Kind == coverage.KindSchedule {
						unread++
					} else if tc.onCalls > 0 {
						t.Errorf("got %s %s unread: %s", u.Kind, u.ID, u.Reason)
					}
				}
				again := coverage.Check(got, config(names, []string{"policy"}), got.At).Unknown
				again = slices.DeleteFunc(again, func(u coverage.Unknown) bool { return u.Check != "" || u.Kind != coverage.KindSchedule })
				if len(again) != unread {
					t.Errorf("got %d schedules that are not known, want the %d that were not read, each once: %v", len(again), unread, again)
				}
				if unread != tc.unread || len(got.Schedules) != 30-tc.unread || len(got.OnCalls) != tc.onCalls || len(got.Services) != tc.onCalls {
					t.Errorf("got %d schedules, %d unread, %d on-calls and %d services, want %d, %d, %d, %d", len(got.Schedules), unread,
						len(got.OnCalls), len(got.Services), 30-tc.unread, tc.unread, tc.onCalls, tc.onCalls)
				}
				if n > tc.requests {
					t.Errorf("got %d requests, want at most %d: the rest is in vain", n, tc.requests)
				}
			})
		})
	}
}

// A token that is revoked in the middle leaves what was read.
func TestRevokedMeanwhile(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, account)
		if err := e.SetFaults([]emulator.Fault{{Match: emulator.Match{API: emulator.APIREST}, Skip: 3, Do: emulator.DoAnswer, Status: 401}}); err != nil {
			t.Fatal(err)
		}
		got, err := readerOver(t, e.Transport()).Read(t.Context(), config(nil, []string{"infra policy"}), map[string]string{hashOf(key): "infra"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantUnread(t, got, []string{"policy/PPINFRA: 401", "service/: 401", "user/PUADAXX: 401", "user/PUGRACE: 401", "user/PUJOANX: 401", "user/PULEADX: 401"})
		if n := e.RESTCounts().Total; n != 4 || len(got.Schedules) != 2 {
			t.Errorf("got %d requests and %d schedules, want 4 and 2", n, len(got.Schedules))
		}
	})
}

func TestCancelled(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, account)
		if err := e.SetFaults([]emulator.Fault{{Match: emulator.Match{API: emulator.APIREST}, Do: emulator.DoDelay, Latency: model.Duration(10 * time.Second)}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(25*time.Second, cancel)
		start := time.Now()
		got, err := readerOver(t, e.Transport()).Read(ctx, config(nil, []string{"infra policy"}), nil, nil)
		if got != nil || !errors.Is(err, context.Canceled) || time.Since(start) != 25*time.Second {
			t.Errorf("got %v and %v after %s, want nothing and context.Canceled after 25s", got, err, time.Since(start))
		}
	})
	bubble.Test(t, func(t *testing.T) { // a deadline leaves what was read until then.
		e := newEmulator(t, account)
		if err := e.SetFaults([]emulator.Fault{{Match: emulator.Match{API: emulator.APIREST}, Do: emulator.DoDelay, Latency: model.Duration(10 * time.Second)}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		got, err := readerOver(t, e.Transport()).Read(ctx, config(nil, []string{"infra policy"}), nil, nil)
		if err != nil || len(got.Policies) != 1 || len(got.Schedules) != 1 || len(got.Unread) == 0 {
			t.Errorf("got %v and %v, want the policy, a schedule, and the rest unread", got, err)
		}
	})
}

func TestProgress(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, account)
		last, calls := 0, 0
		done, total := 0, 0
		_, err := readerOver(t, e.Transport()).Read(t.Context(), config([]string{"prod-monitoring"}, []string{"infra policy"}), nil, func(d, n int) {
			done, total = d, n
			calls++
			if d < last || d > n {
				t.Errorf("got %d of %d after %d", d, n, last)
			}
			last = d
		})
		if err != nil || done != total || calls < 5 {
			t.Errorf("got %d of %d in %d calls and %v, want all", done, total, calls, err)
		}
	})
}
