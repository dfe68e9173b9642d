package emulator

import (
	"fmt"
	"slices"
	"time"
)

// directory is a checked Config with what is looked up in it: who is on call,
// for the Events API and for REST alike. It does not change once made.
type directory struct {
	Config
	users     map[string]User
	schedules map[string]Schedule
	policies  map[string]EscalationPolicy
}

func newDirectory(c Config) *directory {
	d := &directory{
		Config: c,
		users:  map[string]User{}, schedules: map[string]Schedule{}, policies: map[string]EscalationPolicy{},
	}
	for _, u := range c.Users {
		d.users[u.ID] = u
	}
	for _, s := range c.Schedules {
		d.schedules[s.ID] = s
	}
	for _, p := range c.EscalationPolicies {
		d.policies[p.ID] = p
	}
	return d
}

// onCall is the first level of policy, from level from on, that has somebody on
// call at t, with who it is: PagerDuty skips levels that have nobody. No users
// means that there is no such level.
func (d *directory) onCall(policy string, from int, t time.Time) (level int, users []string) {
	levels := d.policies[policy].Levels
	for level = from; level < len(levels); level++ {
		for _, target := range levels[level].Targets {
			for _, e := range d.shifts(target) {
				if e.covers(t) {
					users = append(users, e.User)
				}
			}
		}
		if len(users) > 0 {
			slices.Sort(users)
			return level, slices.Compact(users)
		}
	}
	return level, nil
}

// shifts are when whom target puts on call: a user for good, or a schedule's
// entries. Empty shifts put nobody on call, and neither do deleted users.
func (d *directory) shifts(target Target) []ScheduleEntry {
	entries := d.schedules[target.Schedule].Entries
	if target.User != "" {
		entries = []ScheduleEntry{{User: target.User}}
	}
	var out []ScheduleEntry
	for _, e := range entries {
		if !e.Empty && !d.users[e.User].Deleted {
			out = append(out, e)
		}
	}
	return out
}

// delay is how long level waits for an acknowledgement.
func (d *directory) delay(policy string, level int) time.Duration {
	levels := d.policies[policy].Levels
	if level >= len(levels) { // a run-time override put people on call where the policy has nobody.
		return 0
	}
	return levels[level].Delay
}

// channels says how user is told of an incident of this urgency.
func (d *directory) channels(user, urgency string) []string {
	u := d.users[user]
	var out []string
	for _, r := range u.NotificationRules {
		if r.Urgency != urgency {
			continue
		}
		for _, m := range u.ContactMethods {
			if m.ID != r.ContactMethod || !m.usable() {
				continue
			}
			if r.Delay > 0 {
				out = append(out, fmt.Sprintf("%s after %s", m.Type, r.Delay))
			} else {
				out = append(out, m.Type)
			}
		}
	}
	return out
}
