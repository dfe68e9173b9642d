package emulator

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// ScheduleType tells PagerDuty's two kinds of schedules apart.
type ScheduleType string

// The types.
const (
	ScheduleV2 ScheduleType = "v2" // of layers: one person at a time, gaps are absences.
	ScheduleV3 ScheduleType = "v3" // shift-based: several people at a time, or expressly nobody.
)

// Schedule is a final schedule: the entries as they are after layers and
// overrides were worked out. They may leave gaps.
type Schedule struct {
	ID          string       `yaml:"id"`
	Name        string       `yaml:"name,omitempty"`
	Description string       `yaml:"description,omitempty"`
	Type        ScheduleType `yaml:"type,omitempty"`      // default v2.
	TimeZone    string       `yaml:"time_zone,omitempty"` // default UTC.
	// Users are the people assigned to it, on call or not. Default: those of its
	// layers and entries.
	Users []string `yaml:"users,omitempty"`
	// Layers are the layers (v2) or rotations (v3) as REST shows them; who is on
	// call is for Entries alone to say. Default: one of all users, without an end.
	Layers  []Layer         `yaml:"layers,omitempty"`
	Entries []ScheduleEntry `yaml:"entries,omitempty"`
}

// Layer is a layer of a v2 schedule or a rotation of a v3 one.
type Layer struct {
	Name  string    `yaml:"name,omitempty"`  // default "Layer 1" or "Rotation 1", by its place.
	Start time.Time `yaml:"start,omitempty"` // default: the schedule's creation.
	End   time.Time `yaml:"end,omitempty"`   // default: none.
	Users []string  `yaml:"users,omitempty"` // default: the schedule's.
}

// ScheduleEntry puts a user on call from Start to End (not included). A start
// or end that is absent is open: an entry with neither is always on call.
type ScheduleEntry struct {
	User string `yaml:"user,omitempty"`
	// Empty is a shift of a v3 schedule that is expressly given to nobody.
	Empty bool      `yaml:"empty,omitempty"`
	Start time.Time `yaml:"start,omitempty"`
	End   time.Time `yaml:"end,omitempty"`
}

// usersOf are the users of a layer of s.
func (s Schedule) usersOf(l Layer) []string {
	if len(l.Users) == 0 {
		return s.Users
	}
	return l.Users
}

// created is when everything in the account was made, before the clock of
// testing/synctest begins: it stands for starts that
// the file leaves open where REST has to give one.
func created() time.Time { return time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) }

func (s ScheduleEntry) covers(t time.Time) bool {
	return !t.Before(s.Start) && (s.End.IsZero() || t.Before(s.End))
}

// overlaps says whether the entry has an instant of [since, until), or is on at
// since if both are the same.
func (s ScheduleEntry) overlaps(since, until time.Time) bool {
	if since.Equal(until) {
		return s.covers(since)
	}
	return s.Start.Before(until) && (s.End.IsZero() || s.End.After(since))
}

// clip cuts the entry to [since, until].
func (s ScheduleEntry) clip(since, until time.Time) ScheduleEntry {
	if s.Start.Before(since) {
		s.Start = since
	}
	if s.End.IsZero() || s.End.After(until) {
		s.End = until
	}
	return s
}

// inWindow are the entries that overlap [since, until), in order.
func (s Schedule) inWindow(since, until time.Time) []ScheduleEntry {
	var out []ScheduleEntry
	for _, e := range s.Entries {
		if e.overlaps(since, until) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b ScheduleEntry) int { return a.Start.Compare(b.Start) })
	return out
}

// coverage is how much of [since, until) has somebody, in percent. The entries
// must be in order.
func coverage(entries []ScheduleEntry, since, until time.Time) float64 {
	if !until.After(since) {
		return 0
	}
	// Not in time.Duration, which ends at 292 years.
	var covered float64
	at := since
	for _, e := range entries {
		e = e.clip(since, until)
		if e.Empty || !e.End.After(at) {
			continue
		}
		if e.Start.After(at) {
			at = e.Start
		}
		covered += seconds(at, e.End)
		at = e.End
	}
	return min(100, 100*covered/seconds(since, until))
}

func seconds(from, to time.Time) float64 {
	return float64(to.Unix()-from.Unix()) + float64(to.Nanosecond()-from.Nanosecond())/1e9
}

func (s Schedule) withDefaults() Schedule {
	setDefault(&s.Name, s.ID)
	setDefault(&s.TimeZone, "UTC")
	setDefault(&s.Type, ScheduleV2)
	if len(s.Users) == 0 {
		var users []string
		add := func(u string) {
			if u != "" && !slices.Contains(users, u) {
				users = append(users, u)
			}
		}
		for _, l := range s.Layers {
			for _, u := range l.Users {
				add(u)
			}
		}
		for _, e := range s.Entries {
			add(e.User)
		}
		s.Users = users
	}
	s.Layers = slices.Clone(s.Layers)
	if len(s.Layers) == 0 {
		s.Layers = []Layer{{}}
	}
	kind := "Layer"
	if s.Type == ScheduleV3 {
		kind = "Rotation"
	}
	for i := range s.Layers {
		l := &s.Layers[i]
		setDefault(&l.Name, fmt.Sprintf("%s %d", kind, i+1))
		setDefault(&l.Start, created())
	}
	return s
}

// maxMembers is how many members a rotation of a v3 schedule may have (REST
// specification, EventAssignmentStrategy).
const maxMembers = 20

func (s Schedule) validate(f *faults, path string, users map[string]bool, zones zoneSet) {
	f.oneOf(path+".type", string(s.Type), string(ScheduleV2), string(ScheduleV3))
	zones.check(f, path+".time_zone", s.TimeZone)
	for i, u := range s.Users {
		if !users[u] && !s.names(u) {
			f.add(fmt.Sprintf("%s.users[%d]", path, i), "%q is not in users", u)
		}
	}
	for i, l := range s.Layers {
		p := fmt.Sprintf("%s.layers[%d]", path, i)
		if !l.End.IsZero() && !l.End.After(l.Start) {
			f.add(p+".end", "is not after start")
		}
		for j, u := range l.Users {
			switch up := fmt.Sprintf("%s.users[%d]", p, j); {
			case !users[u]:
				f.add(up, "%q is not in users", u)
			case !slices.Contains(s.Users, u):
				f.add(up, "%q is not among the schedule's users", u)
			}
		}
		if n := len(s.usersOf(l)); s.Type == ScheduleV3 && n > maxMembers {
			f.add(p+".users", "are %d, a rotation has at most %d", n, maxMembers)
		}
	}
	for i, e := range s.Entries {
		p := fmt.Sprintf("%s.entries[%d]", path, i)
		switch {
		case e.Empty && e.User != "":
			f.add(p, "has a user and is empty")
		case e.Empty && s.Type != ScheduleV3:
			f.add(p+".empty", "is for schedules of type v3 only: leave the entry out")
		case !e.Empty && !users[e.User]:
			f.add(p+".user", "%q is not in users", e.User)
		case !e.Empty && !slices.Contains(s.Users, e.User):
			f.add(p+".user", "%q is not among the schedule's users", e.User)
		}
		if !e.End.IsZero() && !e.End.After(e.Start) {
			f.add(p+".end", "is not after start")
		}
	}
	if s.Type == ScheduleV2 {
		s.validateNoOverlap(f, path)
	}
}

// names says whether a layer or an entry names the user: then the fault is theirs.
func (s Schedule) names(user string) bool {
	return slices.ContainsFunc(s.Entries, func(e ScheduleEntry) bool { return e.User == user }) ||
		slices.ContainsFunc(s.Layers, func(l Layer) bool { return slices.Contains(l.Users, user) })
}

// validateNoOverlap: a v2 schedule has one person on call at a time.
func (s Schedule) validateNoOverlap(f *faults, path string) {
	order := make([]int, len(s.Entries))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(s.Entries[a].Start.Compare(s.Entries[b].Start), a-b)
	})
	for i := 1; i < len(order); i++ {
		before, e := s.Entries[order[i-1]], s.Entries[order[i]]
		if before.End.IsZero() || before.End.After(e.Start) {
			f.add(fmt.Sprintf("%s.entries[%d]", path, order[i]),
				"overlaps entries[%d]; only a schedule of type v3 may have several people at a time", order[i-1])
		}
	}
}
