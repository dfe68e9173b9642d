package emulator_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	gopagerduty "github.com/PagerDuty/go-pagerduty"
	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

// names lists something of each of list.
func names[T any](list []T, name func(T) string) []string {
	var out []string
	for _, v := range list {
		out = append(out, name(v))
	}
	return out
}

func TestGoPagerDutyReadsREST(t *testing.T) {
	e := newEmulator(t, "api_tokens: [secret]"+restAccount, emulator.Options{})
	server := httptest.NewServer(e.Handler())
	defer server.Close()
	ctx := t.Context()
	client := gopagerduty.NewClient("secret", gopagerduty.WithAPIEndpoint(server.URL))
	want := func(what string, err error, got, want any) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}

	services, err := client.ListServicesPaginated(ctx, gopagerduty.ListServiceOptions{Includes: []string{"integrations"}, Limit: 1})
	want("services", err, names(services, func(s gopagerduty.Service) string {
		return s.ID + " " + s.Status + " " + s.EscalationPolicy.ID + " " + s.Integrations[0].IntegrationKey + " " + s.IncidentUrgencyRule.Type
	}), []string{"PS2 active PP2 " + lowK + " use_support_hours", "PS1 active PP1 " + key + " constant"})
	service, err := client.GetServiceWithContext(ctx, "PS1", nil)
	want("service", err, service.Name, "infra")

	policies, err := client.ListEscalationPoliciesWithContext(ctx, gopagerduty.ListEscalationPoliciesOptions{})
	want("policies", err, names(policies.EscalationPolicies, func(p gopagerduty.EscalationPolicy) string { return p.Name }),
		[]string{"batch policy", "infra policy"})
	policy, err := client.GetEscalationPolicyWithContext(ctx, "PP1", nil)
	want("policy", err, names(policy.EscalationRules[1].Targets, func(o gopagerduty.APIObject) string { return o.Type + " " + o.ID }),
		[]string{"schedule_v3_reference PC2", "user_reference PU2"})
	want("delay", nil, policy.EscalationRules[0].Delay, uint(15))
	want("services of the policy", nil, policy.Services[0].ID, "PS1")

	schedules, err := client.ListSchedulesWithContext(ctx, gopagerduty.ListSchedulesOptions{})
	want("schedules", err, names(schedules.Schedules, func(s gopagerduty.Schedule) string { return s.Name }), []string{"prod-monitoring"})
	schedule, err := client.GetScheduleWithContext(ctx, "PC1", gopagerduty.GetScheduleOptions{
		Since: "2000-01-01T00:00:00Z", Until: "2000-01-05T00:00:00Z",
	})
	want("schedule", err, names(schedule.FinalSchedule.RenderedScheduleEntries, func(r gopagerduty.RenderedScheduleEntry) string {
		return r.User.ID + " " + r.Start + " " + r.End
	}), []string{
		"PU1 1999-12-31T19:00:00-05:00 2000-01-01T19:00:00-05:00",
		"PU2 2000-01-02T01:00:00-05:00 2000-01-02T19:00:00-05:00",
		"PU3 2000-01-02T19:00:00-05:00 2000-01-03T19:00:00-05:00",
		"PU1 2000-01-03T19:00:00-05:00 2000-01-04T19:00:00-05:00",
	})
	want("coverage", nil, schedule.FinalSchedule.RenderedCoveragePercentage, 93.75)
	want("users of the schedule", nil, names(schedule.Users, func(o gopagerduty.APIObject) string { return o.Summary }), []string{"Ada", "Grace", "Joan"})
	want("layers", nil, names(schedule.ScheduleLayers, func(l gopagerduty.ScheduleLayer) string { return l.Name + " " + l.End }),
		[]string{"weekdays 2000-01-19T19:00:00-05:00", "Layer 2 "})

	oncalls, err := client.ListOnCallsWithContext(ctx, gopagerduty.ListOnCallOptions{
		Since: "2000-01-02T00:00:00Z", Until: "2000-01-02T12:00:00Z", EscalationPolicyIDs: []string{"PP1"}, Includes: []string{"users"},
	})
	want("on-calls", err, names(oncalls.OnCalls, func(o gopagerduty.OnCall) string {
		return o.User.Name + " " + o.Schedule.Type + " " + o.Start + " " + o.End
	}), []string{
		"Grace schedule_reference 2000-01-02T06:00:00Z 2000-01-03T00:00:00Z",
		"Grace   ",
		"Grace schedule_v3_reference 2000-01-01T12:00:00Z 2000-01-02T12:00:00Z",
	})

	users, err := client.ListUsersWithContext(ctx, gopagerduty.ListUsersOptions{Includes: []string{"contact_methods", "notification_rules"}})
	want("users", err, names(users.Users, func(u gopagerduty.User) string { return u.Name }), []string{"Ada", "Grace"})
	want("contact methods of users", nil, users.Users[0].ContactMethods[2].Blacklisted, true)
	methods, err := client.ListUserContactMethodsWithContext(ctx, "PU1")
	want("contact methods", err, names(methods.ContactMethods, func(m gopagerduty.ContactMethod) string { return m.Type }),
		[]string{"sms_contact_method", "email_contact_method", "phone_contact_method", "push_notification_contact_method", "whatsapp_contact_method"})
	rules, err := client.ListUserNotificationRulesWithContext(ctx, "PU1")
	want("notification rules, high by default", err, names(rules.NotificationRules, func(r gopagerduty.NotificationRule) string {
		return r.Urgency + " " + r.ContactMethod.ID
	}), []string{"high C1", "high C3"})

	windows, err := client.ListMaintenanceWindowsWithContext(ctx, gopagerduty.ListMaintenanceWindowsOptions{ServiceIDs: []string{"PS2"}, Filter: "past"})
	want("maintenance windows", err, names(windows.MaintenanceWindows, func(w gopagerduty.MaintenanceWindow) string { return w.StartTime + " " + w.Services[0].ID }),
		[]string{"2000-01-01T01:00:00Z PS2", "2000-01-03T00:00:00Z PS2"})

	_, err = client.GetScheduleWithContext(ctx, "NONE", gopagerduty.GetScheduleOptions{})
	var apiErr gopagerduty.APIError
	if !errors.As(err, &apiErr) || !apiErr.NotFound() || apiErr.APIError.ErrorObject.Code != 2100 {
		t.Errorf("no such schedule: got %v, want 404 with code 2100", err)
	}
	_, err = gopagerduty.NewClient("revoked", gopagerduty.WithAPIEndpoint(server.URL)).ListUsersWithContext(ctx, gopagerduty.ListUsersOptions{})
	if !errors.As(err, &apiErr) || apiErr.StatusCode != http.StatusUnauthorized {
		t.Errorf("revoked token: got %v, want 401", err)
	}
}
