package emulator

import (
	"fmt"
	"slices"
	"time"
)

type restSchedule struct {
	reference
	Name        string           `json:"name"`
	TimeZone    string           `json:"time_zone"`
	Description string           `json:"description"`
	Policies    []reference      `json:"escalation_policies"`
	Users       []reference      `json:"users"`
	Teams       []reference      `json:"teams"`
	Layers      []restLayer      `json:"schedule_layers,omitempty"`
	Overrides   *restSubschedule `json:"overrides_subschedule,omitempty"`
	Final       *restSubschedule `json:"final_schedule,omitempty"`
}

// restRendered is null and empty where since and until are not given.
type restRendered struct {
	Entries  []restEntry `json:"rendered_schedule_entries"`
	Coverage *float64    `json:"rendered_coverage_percentage"`
}

type restSubschedule struct {
	Name string `json:"name"`
	restRendered
}

type restEntry struct {
	Start string    `json:"start"`
	End   *string   `json:"end"` // null: it does not end.
	User  reference `json:"user"`
}

type restLayer struct {
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	Start        string          `json:"start"`
	End          *string         `json:"end"`
	VirtualStart string          `json:"rotation_virtual_start"`
	TurnSeconds  int             `json:"rotation_turn_length_seconds"`
	Users        []restLayerUser `json:"users"`
	Restrictions []any           `json:"restrictions"`
	restRendered
}

type restLayerUser struct {
	User reference `json:"user"`
}

// turn is how long a turn of every layer is said to be. The entries say what is true.
const turn = 7 * 24 * time.Hour

// ofType are the schedules of a type: neither API lists the other's.
func (c *restCall) ofType(t ScheduleType) []Schedule {
	return slices.DeleteFunc(slices.Clone(c.Schedules), func(s Schedule) bool { return s.Type != t })
}

// listSchedules gives layers where they are asked for, but never the final
// schedule: its users report that PagerDuty's list does not either, whatever the
// specification says.
func listSchedules(c *restCall) (any, error) {
	include, err := c.includes("schedule_layers", "overrides_subschedule", "final_schedule")
	if err != nil {
		return nil, err
	}
	since, until, err := c.rendered()
	if err != nil {
		return nil, err
	}
	list, err := byName(c, c.ofType(ScheduleV2), func(s Schedule) string { return s.Name })
	if err != nil {
		return nil, err
	}
	list, page, err := paged(c, list, 25, 100)
	if err != nil {
		return nil, err
	}
	out := make([]restSchedule, 0, len(list))
	for _, s := range list {
		r := c.schedule(s)
		if include["schedule_layers"] {
			r.Layers = c.layers(s, since, until, false)
		}
		out = append(out, r)
	}
	return struct {
		Schedules []restSchedule `json:"schedules"`
		restPage
	}{out, page}, nil
}

func getSchedule(c *restCall) (any, error) {
	since, until, err := c.rendered()
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
	case s.Type != ScheduleV2:
		return nil, errInvalid("this schedule is shift-based: use /v3/schedules")
	}
	out := c.schedule(s)
	out.Layers = c.layers(s, since, until, overflow)
	out.Overrides = &restSubschedule{"Overrides", c.render(s, nil, since, until, overflow)}
	out.Final = &restSubschedule{"Final Schedule", c.render(s, s.inWindow(since, until), since, until, overflow)}
	return map[string]any{"schedule": out}, nil
}

// rendered is the span that entries are rendered for; neither bound is given:
// both are zero. One bound alone stands for two weeks (REST specification,
// schedule_since and schedule_until).
func (c *restCall) rendered() (since, until time.Time, err error) {
	since, until, err = c.span()
	switch {
	case err != nil || since.IsZero() && until.IsZero():
	case since.IsZero():
		since = until.AddDate(0, 0, -14)
	case until.IsZero():
		until = since.AddDate(0, 0, 14)
	}
	return since, until, err
}

func (c *restCall) schedule(s Schedule) restSchedule {
	return restSchedule{
		reference: c.scheduleRef(s.ID).as("schedule"),
		Name:      s.Name, TimeZone: s.TimeZone, Description: s.Description,
		Policies: c.policiesOf(s.ID), Users: c.userRefs(s.Users), Teams: []reference{},
	}
}

// render shows entries, which are in order and overlap [since, until).
func (c *restCall) render(s Schedule, entries []ScheduleEntry, since, until time.Time, overflow bool) restRendered {
	out := restRendered{Entries: []restEntry{}}
	if since.IsZero() {
		return out
	}
	out.Coverage = new(coverage(entries, since, until))
	for _, e := range entries {
		e = e.shown(since, until, overflow)
		r := restEntry{Start: c.in(e.Start, s.TimeZone), User: c.userRef(e.User)}
		if !e.End.IsZero() {
			r.End = new(c.in(e.End, s.TimeZone))
		}
		out.Entries = append(out.Entries, r)
	}
	return out
}

// shown is the entry as it is rendered: cut to [since, until], unless overflow
// shows its own bounds.
func (s ScheduleEntry) shown(since, until time.Time, overflow bool) ScheduleEntry {
	if !overflow {
		return s.clip(since, until)
	}
	if s.Start.IsZero() {
		s.Start = created()
		if since.Before(s.Start) {
			s.Start = since
		}
	}
	return s
}

// layers are shown with those of the final schedule's entries that are of their
// users and in their time: layers themselves are not emulated.
func (c *restCall) layers(s Schedule, since, until time.Time, overflow bool) []restLayer {
	out := make([]restLayer, 0, len(s.Layers))
	for i, l := range s.Layers {
		r := restLayer{
			ID: fmt.Sprintf("%s-L%d", s.ID, i+1), Name: l.Name, Start: c.in(l.Start, s.TimeZone),
			VirtualStart: c.in(l.Start, s.TimeZone), TurnSeconds: int(turn.Seconds()),
			Users: []restLayerUser{}, Restrictions: []any{},
			restRendered: c.render(s, s.entriesOf(l, s.inWindow(since, until)), since, until, overflow),
		}
		if !l.End.IsZero() {
			r.End = new(c.in(l.End, s.TimeZone))
		}
		for _, u := range c.userRefs(s.usersOf(l)) {
			r.Users = append(r.Users, restLayerUser{u})
		}
		out = append(out, r)
	}
	return out
}

// entriesOf are those of entries that can be the layer's.
func (s Schedule) entriesOf(l Layer, entries []ScheduleEntry) []ScheduleEntry {
	users := s.usersOf(l)
	var out []ScheduleEntry
	for _, e := range entries {
		if slices.Contains(users, e.User) && (e.End.IsZero() || e.End.After(l.Start)) && (l.End.IsZero() || e.Start.Before(l.End)) {
			out = append(out, e)
		}
	}
	return out
}
