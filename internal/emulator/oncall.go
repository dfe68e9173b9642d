package emulator

import (
	"fmt"
	"slices"
	"time"
)

// directory answers who is on call. It does not change once made.
type directory struct {
	users     map[string]User
	schedules map[string]Schedule
	policies  map[string]EscalationPolicy
}

func newDirectory(c Config) directory {
	d := directory{users: map[string]User{}, schedules: map[string]Schedule{}, policies: map[string]EscalationPolicy{}}
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
func (d directory) onCall(policy string, from int, t time.Time) (level int, users []string) {
	levels := d.policies[policy].Levels
	for level = from; level < len(levels); level++ {
		for _, target := range levels[level].Targets {
			if target.User != "" {
				users = append(users, target.User)
				continue
			}
			for _, e := range d.schedules[target.Schedule].Entries {
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

// delay is how long level waits for an acknowledgement.
func (d directory) delay(policy string, level int) time.Duration {
	levels := d.policies[policy].Levels
	if level >= len(levels) { // a run-time override put people on call where the policy has nobody.
		return 0
	}
	return levels[level].Delay
}

// channels says how user is told of an incident of this urgency.
func (d directory) channels(user, urgency string) []string {
	u := d.users[user]
	var out []string
	for _, r := range u.NotificationRules {
		if r.Urgency != urgency {
			continue
		}
		for _, m := range u.ContactMethods {
			if m.ID != r.ContactMethod {
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
