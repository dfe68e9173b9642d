package pagerduty

import (
	"context"
	"net/url"
	"time"
)

// Schedule is what is read of a schedule of v2.
type Schedule struct {
	ID                 string          `json:"id"`
	Name               string          `json:"name"`
	HTMLURL            string          `json:"html_url"`
	TimeZone           string          `json:"time_zone"`
	Users              []Reference     `json:"users"`
	EscalationPolicies []Reference     `json:"escalation_policies"`
	Layers             []ScheduleLayer `json:"schedule_layers"`
	// Final is what the layers and overrides come to; nil where it was not given.
	Final *FinalSchedule `json:"final_schedule"`
}

// ScheduleLayer is a layer of a schedule.
type ScheduleLayer struct {
	Name string `json:"name"`
	End  string `json:"end"` // "": it does not end.
}

// FinalSchedule is who is on call when.
type FinalSchedule struct {
	Entries []ScheduleEntry `json:"rendered_schedule_entries"`
	// Coverage is which part of the time is covered, in percent; nil if PagerDuty
	// has not worked the schedule out.
	Coverage *float64 `json:"rendered_coverage_percentage"`
}

// ScheduleEntry is a shift.
type ScheduleEntry struct {
	Start string    `json:"start"`
	End   string    `json:"end"`  // "": it does not end.
	User  Reference `json:"user"` // without an id where the account of the user is gone.
}

// Schedules is a page of the account's schedules of v2, of those whose name holds
// query if that is not "". Without a since they come without Final and Layers; with
// it, PagerDuty's specification has them, worked out until until, but it has been
// seen not to give them: Final is then nil, or without a Coverage.
func (c *REST) Schedules(ctx context.Context, query string, since, until time.Time, offset int) (Page[Schedule], error) {
	// A type of ours: null and 0 percent are the same to go-pagerduty's.
	values := url.Values{}
	if query != "" {
		values.Set("query", query)
	}
	if !since.IsZero() {
		values["include[]"] = []string{"schedule_layers", "final_schedule"}
		values.Set("since", formatTime(since))
		values.Set("until", formatTime(until))
	}
	return list[Schedule](ctx, c, "/schedules", "schedules", values, offset, pageLimit)
}

// Schedule is one schedule of v2 with who is on call between since and until, by shifts
// with their own start and end. One of v3 is a StatusError of 400.
func (c *REST) Schedule(ctx context.Context, id string, since, until time.Time) (Schedule, error) {
	// A type of ours: null and 0 percent are the same to go-pagerduty's, and it reads the
	// overrides under a name that PagerDuty does not use.
	values := url.Values{"since": {formatTime(since)}, "until": {formatTime(until)}, "overflow": {"true"}}
	return one[Schedule](ctx, c, "/schedules/", id, "schedule", values)
}

// ShiftSchedule is what is read of a shift-based schedule, of v3.
type ShiftSchedule struct {
	ID                 string      `json:"id"`
	Name               string      `json:"name"`
	HTMLURL            string      `json:"html_url"`
	TimeZone           string      `json:"time_zone"`
	EscalationPolicies []Reference `json:"escalation_policies"`
	Rotations          []Rotation  `json:"rotations"`
	// Final is who is on call when; nil where it was not given.
	Final *FinalShifts `json:"final_schedule"`
}

// Rotation is a rotation of a shift-based schedule.
type Rotation struct {
	ID     string          `json:"id"`
	Events []RotationEvent `json:"events"`
}

// RotationEvent says which members a rotation has, and until when.
type RotationEvent struct {
	Name           string `json:"name"`
	EffectiveUntil string `json:"effective_until"` // "": for good.
	Assignment     struct {
		Members []Member `json:"members"`
	} `json:"assignment_strategy"`
}

// Member is who has a shift.
type Member struct {
	Type   string `json:"type"` // user_member or empty_member.
	UserID string `json:"user_id"`
}

// FinalShifts is who is on call when; several may be at once.
type FinalShifts struct {
	Shifts []AssignedShift `json:"computed_shift_assignments"`
}

// AssignedShift is a shift and who has it.
type AssignedShift struct {
	Start  string `json:"start_time"`
	End    string `json:"end_time"`
	Member Member `json:"member"`
}

// ShiftSchedules is a page of references to the account's shift-based schedules.
func (c *REST) ShiftSchedules(ctx context.Context, offset int) (Page[Reference], error) {
	// A type of ours: go-pagerduty knows no schedules of v3.
	return list[Reference](ctx, c, "/v3/schedules", "schedules", url.Values{}, offset, shiftPageLimit)
}

// ShiftSchedule is one shift-based schedule with who is on call between since and until,
// by shifts with their own start and end.
func (c *REST) ShiftSchedule(ctx context.Context, id string, since, until time.Time) (ShiftSchedule, error) {
	values := url.Values{"include[]": {"final_schedule"}, "since": {formatTime(since)}, "until": {formatTime(until)}, "overflow": {"true"}}
	return one[ShiftSchedule](ctx, c, "/v3/schedules/", id, "schedule", values)
}
