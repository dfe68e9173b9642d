package coverage

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// faults collects what is wrong, each with its path.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

// Validate reports every fault of c at once, each starting with its path below
// `coverage`. Empty fields are no faults where they have a default. Whether the
// services that c names are configured is for others to judge.
func (c Config) Validate() error {
	f := c.faults()
	f.lasts(c)
	return errors.Join(f...)
}

// ValidateOnce is Validate for what is read once: how long it is until the next time
// does not matter.
func (c Config) ValidateOnce() error { return errors.Join(c.faults()...) }

// lasts checks that what an audit reads tells of all the time until the next one.
func (f *faults) lasts(c Config) {
	d := c.WithDefaults()
	interval, horizon := time.Duration(d.Interval), time.Duration(d.Horizon)
	if interval < minInterval || horizon < minHorizon || horizon > maxHorizon || horizon >= interval+horizonMargin {
		return // or told already.
	}
	path := "horizon"
	if c.Horizon == 0 {
		path = "interval"
	}
	remedy := "make the horizon longer, or the interval shorter"
	if interval+horizonMargin > maxHorizon {
		remedy = "make the interval shorter"
	}
	f.add("%s: the horizon (%v) must be at least %v longer than the interval (%v), or nobody knows who is on call until the next audit; %s",
		path, d.Horizon, model.Duration(horizonMargin), d.Interval, remedy)
}

func (c Config) faults() faults {
	var f faults
	f.duration("interval", c.Interval, minInterval, 0)
	f.duration("horizon", c.Horizon, minHorizon, maxHorizon)
	f.duration("ignore_shorter_than", c.IgnoreShorterThan, time.Second, maxIgnore)

	intervals := map[string]bool{}
	for i, t := range c.TimeIntervals {
		path := fmt.Sprintf("time_intervals[%d]", i)
		switch {
		case t.Name == "":
			f.add("%s.name: is missing", path)
		case intervals[t.Name]:
			f.add("%s.name: %q is the name of another time interval already", path, t.Name)
		}
		intervals[t.Name] = true
		if len(t.TimeIntervals) == 0 {
			f.add("%s.time_intervals: is missing; without it nothing would ever be required", path)
		}
	}

	names := map[string]int{}
	for i, s := range c.Schedules {
		path := fmt.Sprintf("schedules[%d]", i)
		f.name(path, s.Name, "schedules", i, names)
		if s.MinEngineers < 0 {
			f.add("%s.min_engineers: must be at least 1, got %d", path, s.MinEngineers)
		}
		f.required(path, s.Required, intervals)
		f.mute(path, "schedules[].mute", s.Mute)
	}
	names = map[string]int{}
	for i, p := range c.Policies {
		path := fmt.Sprintf("escalation_policies[%d]", i)
		f.name(path, p.Name, "escalation_policies", i, names)
		if p.MinPeople < 0 {
			f.add("%s.min_people: must be at least 1, got %d", path, p.MinPeople)
		}
		f.list(path+".services", p.Services, "service")
		for j, l := range p.Levels {
			f.level(fmt.Sprintf("%s.levels[%d]", path, j), l)
		}
		f.required(path, p.Required, intervals)
		f.mute(path, "escalation_policies[].mute", p.Mute)
	}
	if p := c.People.Profile; p != "" && !slices.Contains(profiles(), profile(p)) {
		f.add("people.profile: is %q, must be never_miss_a_page, try_every_method, more_than_email or must_include_phone", p)
	}
	f.mute("people", "people.mute", c.People.Mute)
	for _, name := range sortedKeys(c.Services.IDs) {
		if strings.TrimSpace(c.Services.IDs[name]) == "" {
			f.add("services.ids.%s: is empty; give the id of PagerDuty's service, or remove it", name)
		}
	}
	f.mute("services", "services.mute", c.Services.Mute)
	return f
}

// duration checks a duration that has a default; most of 0 is no limit.
func (f *faults) duration(path string, d model.Duration, least, most time.Duration) {
	got := d.String()
	if d < 0 {
		got = time.Duration(d).String() // which model.Duration cannot write.
	}
	switch at := time.Duration(d); {
	case at == 0:
	case at < least && most == 0:
		f.add("%s: is %s, must be at least %v", path, got, model.Duration(least))
	case at < least, most > 0 && at > most:
		f.add("%s: is %s, must be from %v to %v", path, got, model.Duration(least), model.Duration(most))
	}
}

func (f *faults) name(path, name, list string, i int, names map[string]int) {
	if strings.TrimSpace(name) == "" {
		f.add("%s.name: is missing; give PagerDuty's name or id", path)
		return
	}
	if first, dup := names[name]; dup {
		f.add("%s.name: %q is the name of %s[%d] already", path, name, list, first)
		return
	}
	names[name] = i
}

func (f *faults) level(path string, l LevelConfig) {
	if len(l.Targets) == 0 {
		f.add("%s.targets: is missing; name the schedules or people that the level notifies", path)
	}
	f.list(path+".targets", l.Targets, "schedule or person")
	// PagerDuty has escalation_delay_in_minutes, of 1 at least.
	if d := time.Duration(l.EscalateAfter); d < 0 || d%time.Minute != 0 {
		f.add("%s.escalate_after: is %v, must be whole minutes; PagerDuty knows no others", path, d)
	}
}

// list checks a list of names of things.
func (f *faults) list(path string, names []string, thing string) {
	for i, n := range names {
		switch {
		case strings.TrimSpace(n) == "":
			f.add("%s[%d]: is empty; name a %s or remove it", path, i, thing)
		case slices.Contains(names[:i], n):
			f.add("%s[%d]: %q is listed twice", path, i, n)
		}
	}
}

func (f *faults) required(path string, names []string, intervals map[string]bool) {
	for i, n := range names {
		switch {
		case n == "" || !intervals[n]:
			f.add("%s.required[%d]: %q is not the name of one of time_intervals", path, i, n)
		case slices.Contains(names[:i], n):
			f.add("%s.required[%d]: %q is listed twice", path, i, n)
		}
	}
}

// mutes are the checks that each list of mutes has a say in. A test holds that all of
// them, and no others, are muted there.
func mutes() []struct {
	list   string
	checks []CheckID
} {
	return []struct {
		list   string
		checks []CheckID
	}{
		{"schedules[].mute", []CheckID{
			ScheduleGap, BelowMinEngineers, EmptyMember, PredictedCollision, Overload, LayerEndsSoon, ScheduleUnused, NotFound,
		}},
		{"escalation_policies[].mute", []CheckID{
			PolicyGap, PolicyNobodyNow, BelowMinPeople, SamePersonOnLevels, EscalationLadder,
			UrgencyIgnoresSeverity, ServiceDisabled, ServiceInMaintenance, NotFound,
		}},
		{"people.mute", []CheckID{PredictedCollision, UserUnreachable, InactiveUser, PeopleUnreadable}},
		{"services.mute", []CheckID{UrgencyIgnoresSeverity, ServiceDisabled, ServiceInMaintenance}},
	}
}

// mute checks a list of mutes, which would be in vain for checks of other things.
func (f *faults) mute(path, list string, checks []string) {
	for i, name := range checks {
		var where []string
		for _, m := range mutes() {
			if slices.Contains(m.checks, CheckID(name)) {
				where = append(where, m.list)
			}
		}
		switch {
		case len(where) == 0:
			f.add("%s.mute[%d]: %q is not a check; the checks are %s", path, i, name, checkNames())
		case !slices.Contains(where, list):
			f.add("%s.mute[%d]: %s is not muted here; move it to %s", path, i, name, strings.Join(where, " or "))
		case slices.Contains(checks[:i], name):
			f.add("%s.mute[%d]: %q is listed twice", path, i, name)
		}
	}
}

func checkNames() string {
	var names []string
	for _, c := range Checks() {
		names = append(names, string(c))
	}
	return strings.Join(names, ", ")
}
