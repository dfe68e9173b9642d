package emulator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

type rendered struct {
	Name    string
	End     *string
	Entries []struct {
		Start string
		End   *string
		User  struct {
			ref
			Self *string
		}
	} `json:"rendered_schedule_entries"`
	Coverage *float64 `json:"rendered_coverage_percentage"`
}

func (r rendered) String() string {
	s := "-"
	if r.Coverage != nil {
		s = fmt.Sprintf("%.4g%%", *r.Coverage)
	}
	for _, e := range r.Entries {
		end := "null"
		if e.End != nil {
			end = *e.End
		}
		s += fmt.Sprintf(" %s %s..%s", e.User.ID, e.Start, end)
	}
	return strings.ReplaceAll(s, ":00:00Z", "")
}

type schedule struct {
	Schedule struct {
		TimeZone  string     `json:"time_zone"`
		Final     rendered   `json:"final_schedule"`
		Overrides rendered   `json:"overrides_subschedule"`
		Layers    []rendered `json:"schedule_layers"`
		Policies  []ref      `json:"escalation_policies"`
		Users     []ref
	}
}

func TestSchedule(t *testing.T) {
	e := newEmulator(t, restAccount, emulator.Options{})
	for _, tc := range []struct{ name, query, want string }{
		{
			"cut to the window", "since=2000-01-01T12:00:00Z&until=2000-01-02T12:00:00Z",
			"75% PU1 2000-01-01T12..2000-01-02T00 PU2 2000-01-02T06..2000-01-02T12",
		},
		{
			"not cut", "since=2000-01-01T12:00:00Z&until=2000-01-02T12:00:00Z&overflow=true",
			"75% PU1 1999-01-01T00..2000-01-02T00 PU2 2000-01-02T06..2000-01-03T00",
		},
		{
			"what does not end, not cut", "since=2000-01-05T00:00:00Z&until=2000-01-06T00:00:00Z&overflow=true",
			"100% PU1 2000-01-04T00..null",
		},
		{"a gap", "since=2000-01-02T01:00:00Z&until=2000-01-02T05:00:00Z", "0%"},
		{"two weeks from since", "since=2000-01-04T00:00:00Z", "100% PU1 2000-01-04T00..2000-01-18T00"},
		{"two weeks to until", "until=2000-01-15T00:00:00Z", "98.21% PU1 2000-01-01T00..2000-01-02T00 PU2 2000-01-02T06..2000-01-03T00 " +
			"PU3 2000-01-03T00..2000-01-04T00 PU1 2000-01-04T00..2000-01-15T00"},
		{"no window", "", "-"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := getInto[schedule](t, e, "/schedules/PC1?time_zone=UTC&"+tc.query).Schedule
			if got.Final.String() != tc.want || got.Final.Name != "Final Schedule" {
				t.Errorf("final schedule: got %s %s, want %s", got.Final.Name, got.Final, tc.want)
			}
			if got.Overrides.Entries == nil || len(got.Overrides.Entries) != 0 || got.Overrides.Name != "Overrides" {
				t.Errorf("overrides: got %+v, want an empty list", got.Overrides)
			}
		})
	}
	got := getInto[schedule](t, e, "/schedules/PC1?since=2000-01-01T00:00:00Z&until=2000-01-05T00:00:00Z").Schedule
	if want := "93.75% PU1 1999-12-31T19:00:00-05:00..2000-01-01T19:00:00-05:00"; !strings.HasPrefix(got.Final.String(), want) {
		t.Errorf("in the schedule's own zone: got %s, want %s", got.Final, want)
	}
	if gone := got.Final.Entries[2].User; gone.ID != "PU3" || gone.Type != "user_reference" || gone.Self != nil {
		t.Errorf("a deleted user: got %+v, want a reference that leads nowhere", gone)
	}
	if len(got.Policies) != 1 || got.Policies[0].ID != "PP1" || len(got.Users) != 3 {
		t.Errorf("got %+v and %+v, want PP1 and three users", got.Policies, got.Users)
	}
	if l := got.Layers; len(l) != 2 || l[0].Name != "weekdays" || *l[0].End != "2000-01-19T19:00:00-05:00" || l[1].End != nil || len(l[0].Entries) != 3 {
		t.Errorf("layers: got %+v, want weekdays with an end and the entries of its users, and one without", l)
	}
	if a := get(t, e, "/schedules?include[]=final_schedule&since=2000-01-01T00:00:00Z"); strings.Contains(a.body, "final_schedule") || strings.Contains(a.body, "PC2") {
		t.Errorf("the list has a final schedule or a shift-based one: %s", a.body)
	}
}

func TestScheduleV3(t *testing.T) {
	e := newEmulator(t, restAccount, emulator.Options{})
	type v3 struct {
		Schedule struct {
			Name      string
			Rotations []struct {
				ID     string
				Events []struct {
					Until      *string `json:"effective_until"`
					Assignment struct {
						Members []struct {
							Type string
							User string `json:"user_id"`
						}
					} `json:"assignment_strategy"`
				}
			}
			Final *struct {
				Coverage    float64 `json:"rendered_coverage_percentage"`
				Assignments []struct {
					Start  string `json:"start_time"`
					End    string `json:"end_time"`
					Member struct {
						Type string
						User string `json:"user_id"`
					}
				} `json:"computed_shift_assignments"`
			} `json:"final_schedule"`
		}
	}
	got := getInto[v3](t, e, "/v3/schedules/PC2?include[]=final_schedule&since=2000-01-01T06:00:00Z&until=2000-01-04T06:00:00Z").Schedule
	var shifts []string
	for _, a := range got.Final.Assignments {
		shifts = append(shifts, strings.TrimSpace(a.Member.Type+" "+a.Member.User)+" "+a.Start+" "+a.End)
	}
	want := []string{ // Lord Howe is 11 hours ahead in its summer.
		"user_member PU1 2000-01-01T17:00:00+11:00 2000-01-02T11:00:00+11:00",
		"user_member PU2 2000-01-01T23:00:00+11:00 2000-01-02T23:00:00+11:00",
		"empty_member 2000-01-02T23:00:00+11:00 2000-01-03T11:00:00+11:00",
		"user_member PU2 2000-01-03T11:00:00+11:00 2000-01-04T17:00:00+11:00",
	}
	if diff := cmp.Diff(want, shifts); diff != "" {
		t.Errorf("final schedule (-want +got):\n%s", diff)
	}
	if fmt.Sprintf("%.2f", got.Final.Coverage) != "83.33" {
		t.Errorf("got %v %% covered, want 60 hours of 72", got.Final.Coverage)
	}
	if m := got.Rotations[0].Events[0].Assignment.Members; len(m) != 3 || m[0].User != "PU1" || m[2].Type != "empty_member" {
		t.Errorf("got members %+v, want PU1, PU2 and an empty one", m)
	}
	if a := get(t, e, "/v3/schedules/PC2"); strings.Contains(a.body, "final_schedule") || strings.Contains(a.body, "Ada") {
		t.Errorf("%s has a final schedule that was not asked for, or names", a.body)
	}
	for _, path := range []string{
		"/v3/schedules/PC1", "/schedules/PC2", "/v3/schedules/PC2?include[]=final_schedule", "/schedules/PC1?since=yesterday",
		"/schedules/PC1?since=2000-01-02T00:00:00Z&until=2000-01-01T00:00:00Z", "/schedules/PC1?overflow=maybe",
	} {
		if a := get(t, e, path); a.code != http.StatusBadRequest {
			t.Errorf("%s: got %d %s, want 400", path, a.code, a.body)
		}
	}
}

func TestRotationsEnd(t *testing.T) {
	config := strings.Replace(restAccount, "type: v3", "type: v3\n    layers: [{end: 2026-01-01T00:00:00Z}]", 1)
	a := get(t, newEmulator(t, config, emulator.Options{}), "/v3/schedules/PC2")
	if !strings.Contains(a.body, `"effective_until":"2026-01-01T00:00:00Z"`) {
		t.Errorf("got %s, want a rotation with an end", a.body)
	}
}

func TestSchedulesAreChecked(t *testing.T) {
	var crowd []string
	for i := range 21 {
		crowd = append(crowd, fmt.Sprintf("PX%02d", i))
	}
	_, err := emulator.Parse([]byte(`
api_tokens: ["", "right", "two words"]
plan_lacks: [moods]
forbidden: [oncalls, incidents]
limits: {rest_per_minute: -1}
services:
  - id: PS1
    routing_keys: [` + key + `]
    escalation_policy: PP1
    incident_urgency_rule: {type: use_support_hours, urgency: high, during_support_hours: huge}
    support_hours: {time_zone: Mars/Olympus, days_of_week: [0], start: "9", end: "08:00"}
  - {id: PS2, routing_keys: [` + key2 + `], escalation_policy: PP1, incident_urgency_rule: {outside_support_hours: low}}
escalation_policies:
  - {id: PP1, levels: [{targets: [{user: PU1}, {user: PU1}, {user: PU1}, {user: PU1}, {user: PU1}, {user: PU1}, {user: PU1}, {user: PU1}, {user: PU1}, {user: PU1}, {user: PU1}]}]}
schedules:
  - id: PC1
    users: [PU1, PU9]
    layers: [{users: [PU1]}, {start: 2026-01-02T00:00:00Z, end: 2026-01-01T00:00:00Z, users: [PU2, PU8]}]
    entries:
      - {user: PU1, start: 2026-01-03T00:00:00Z, end: 2026-01-04T00:00:00Z}
      - {user: PU1, start: 2026-01-01T00:00:00Z, end: 2026-01-03T00:00:01Z}
      - {user: PU2, start: 2026-01-05T00:00:00Z}
      - {empty: true, start: 2026-01-04T00:00:00Z, end: 2026-01-05T00:00:00Z}
  - {id: PC2, type: v4}
  - {id: PC3, type: v3, users: [` + strings.Join(crowd, ", ") + `], entries: [{empty: true, user: PU1}]}
users:
  - {id: PU1, email: nowhere, time_zone: Mars/Olympus, contact_methods: [{id: C1, type: push_notification, enabled: true}, {id: C2, type: email, blacklisted: true}]}
  - {id: PU2}
` + "  - {id: " + strings.Join(crowd, "}\n  - {id: ") + "}\n"))
	if err == nil {
		t.Fatal("got no error")
	}
	want := []string{
		`limits.rest_per_minute: -1 is not positive; to have no limit set limits.unlimited`,
		`api_tokens[0]: is not a text of letters, digits, +, -, _ and =`,
		`api_tokens[2]: is not a text of letters, digits, +, -, _ and =`,
		`plan_lacks[0]: "moods" is not one of services, escalation_policies, schedules, v3/schedules, oncalls, users, maintenance_windows`,
		`forbidden[1]: "incidents" is not one of services, escalation_policies, schedules, v3/schedules, oncalls, users, maintenance_windows`,
		`users[0].email: "nowhere" is not an address`,
		`users[0].time_zone: "Mars/Olympus" is not a time zone of the IANA database`,
		`users[0].contact_methods[0].enabled: does not exist for push_notification`,
		`users[0].contact_methods[1].blacklisted: does not exist for email`,
		`schedules[0].users[1]: "PU9" is not in users`,
		`schedules[0].layers[1].end: is not after start`,
		`schedules[0].layers[1].users[0]: "PU2" is not among the schedule's users`,
		`schedules[0].layers[1].users[1]: "PU8" is not in users`,
		`schedules[0].entries[2].user: "PU2" is not among the schedule's users`,
		`schedules[0].entries[3].empty: is for schedules of type v3 only: leave the entry out`,
		`schedules[0].entries[0]: overlaps entries[1]; only a schedule of type v3 may have several people at a time`,
		`schedules[1].type: "v4" is not one of v2, v3`,
		`schedules[2].layers[0].users: are 21, a rotation has at most 20`,
		`schedules[2].entries[0]: has a user and is empty`,
		`escalation_policies[0].levels[0].targets: are 11, a level has at most 10`,
		`services[0].incident_urgency_rule.urgency: goes with type constant only`,
		`services[0].incident_urgency_rule.during_support_hours: "huge" is not one of high, low, severity_based`,
		`services[0].support_hours.time_zone: "Mars/Olympus" is not a time zone of the IANA database`,
		`services[0].support_hours.days_of_week[0]: 0 is not between 1 and 7`,
		`services[0].support_hours.start: "9" is not a time of day as 09:00`,
		`services[0].support_hours.end: is not after start`,
		`services[1].incident_urgency_rule: support hours go with type use_support_hours only`,
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}
