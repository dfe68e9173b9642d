package emulator

import (
	"fmt"
	"time"
)

type restScheduleV3 struct {
	ID          string       `json:"id"`
	Type        string       `json:"type"`
	Name        string       `json:"name"`
	TimeZone    string       `json:"time_zone"`
	Description string       `json:"description"`
	Teams       []reference  `json:"teams"`
	Policies    []reference  `json:"escalation_policies"`
	Rotations   []rotation   `json:"rotations"`
	Final       *restFinalV3 `json:"final_schedule,omitempty"`
	Self        string       `json:"self"`
	HTMLURL     string       `json:"html_url"`
}

type rotation struct {
	ID     string          `json:"id"`
	Type   string          `json:"type"`
	Events []rotationEvent `json:"events"`
}

type rotationEvent struct {
	ID             string     `json:"id"`
	Type           string     `json:"type"`
	Name           string     `json:"name"`
	StartTime      zonedTime  `json:"start_time"`
	EndTime        zonedTime  `json:"end_time"`
	EffectiveSince string     `json:"effective_since"`
	EffectiveUntil *string    `json:"effective_until"`
	Recurrence     []string   `json:"recurrence"`
	Assignment     assignment `json:"assignment_strategy"`
}

type zonedTime struct {
	DateTime string `json:"date_time"`
	TimeZone string `json:"time_zone"`
}

type assignment struct {
	Type            string   `json:"type"`
	ShiftsPerMember int      `json:"shifts_per_member"`
	Members         []member `json:"members"`
}

type member struct {
	Type string `json:"type"`
	User string `json:"user_id,omitempty"`
}

type restFinalV3 struct {
	Type        string  `json:"type"`
	Coverage    float64 `json:"rendered_coverage_percentage"`
	Assignments []shift `json:"computed_shift_assignments"`
}

type shift struct {
	Type      string      `json:"type"`
	StartTime string      `json:"start_time"`
	EndTime   string      `json:"end_time"`
	Member    member      `json:"member"`
	Source    shiftSource `json:"source"`
}

type shiftSource struct {
	Type     string `json:"type"`
	Rotation string `json:"rotation_id"`
}

func memberOf(e ScheduleEntry) member {
	if e.Empty {
		return member{Type: "empty_member"}
	}
	return member{Type: "user_member", User: e.User}
}

func listSchedulesV3(c *restCall) (any, error) {
	list, err := byName(c, c.ofType(ScheduleV3), func(s Schedule) string { return s.Name })
	if err != nil {
		return nil, err
	}
	list, page, err := paged(c, list, 100, 1000)
	if err != nil {
		return nil, err
	}
	out := make([]reference, 0, len(list))
	for _, s := range list {
		out = append(out, c.scheduleRef(s.ID))
	}
	return struct {
		Schedules []reference `json:"schedules"`
		restPage
	}{out, page}, nil
}

// getScheduleV3 refuses final_schedule without a span: what PagerDuty renders
// then is not documented.
func getScheduleV3(c *restCall) (any, error) {
	include, err := c.includes("final_schedule")
	if err != nil {
		return nil, err
	}
	since, until, err := c.span()
	if err != nil {
		return nil, err
	}
	overflow, err := c.boolean("overflow")
	if err != nil {
		return nil, err
	}
	s, ok := c.schedules[c.id]
	switch {
	case !ok:
		return nil, errNotFound()
	case s.Type != ScheduleV3:
		return nil, errInvalid("this schedule is not shift-based: use /schedules")
	case include["final_schedule"] && (since.IsZero() || until.IsZero()):
		return nil, errInvalid("final_schedule needs since and until")
	}
	ref := c.scheduleRef(s.ID)
	out := restScheduleV3{
		ID: s.ID, Type: "schedule_v3", Name: s.Name, TimeZone: s.TimeZone, Description: s.Description,
		Teams: []reference{}, Policies: c.policiesOf(s.ID), Self: *ref.Self, HTMLURL: *ref.HTMLURL,
	}
	for i, l := range s.Layers {
		out.Rotations = append(out.Rotations, c.rotation(s, i, l))
	}
	if include["final_schedule"] {
		out.Final = c.finalV3(s, since, until, overflow)
	}
	return map[string]any{"schedule": out}, nil
}

func rotationID(s Schedule, i int) string { return fmt.Sprintf("%s-R%d", s.ID, i+1) }

// rotation shows a layer. It has an empty member if the schedule has empty
// shifts or the layer has nobody.
func (c *restCall) rotation(s Schedule, i int, l Layer) rotation {
	users := s.usersOf(l)
	members := make([]member, 0, len(users)+1)
	for _, u := range users {
		members = append(members, member{Type: "user_member", User: u})
	}
	for _, e := range s.Entries {
		if e.Empty && len(members) < maxMembers {
			members = append(members, memberOf(e))
			break
		}
	}
	if len(members) == 0 {
		members = []member{{Type: "empty_member"}}
	}
	var until *string
	if !l.End.IsZero() {
		until = new(l.End.UTC().Format(time.RFC3339))
	}
	return rotation{
		ID: rotationID(s, i), Type: "schedule_rotation",
		Events: []rotationEvent{{
			ID: rotationID(s, i) + "-E1", Type: "schedule_event", Name: l.Name,
			StartTime:      zonedTime{c.in(l.Start, s.TimeZone), s.TimeZone},
			EndTime:        zonedTime{c.in(l.Start.Add(turn), s.TimeZone), s.TimeZone},
			EffectiveSince: l.Start.UTC().Format(time.RFC3339), EffectiveUntil: until,
			Recurrence: []string{"RRULE:FREQ=WEEKLY"},
			Assignment: assignment{Type: "rotating_member_assignment_strategy", ShiftsPerMember: 1, Members: members},
		}},
	}
}

// farAway stands for the end of a shift that has none: v3 shifts always end.
func farAway() time.Time { return time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC) }

func (c *restCall) finalV3(s Schedule, since, until time.Time, overflow bool) *restFinalV3 {
	entries := s.inWindow(since, until)
	out := &restFinalV3{Type: "final_schedule", Coverage: coverage(entries, since, until), Assignments: []shift{}}
	for _, e := range entries {
		rotation := 0
		for i, l := range s.Layers {
			if len(s.entriesOf(l, []ScheduleEntry{e})) > 0 {
				rotation = i
				break
			}
		}
		e = e.shown(since, until, overflow)
		setDefault(&e.End, farAway())
		out.Assignments = append(out.Assignments, shift{
			Type: "computed_shift_assignment", StartTime: c.in(e.Start, s.TimeZone), EndTime: c.in(e.End, s.TimeZone),
			Member: memberOf(e), Source: shiftSource{"schedule_rotation", rotationID(s, rotation)},
		})
	}
	return out
}
