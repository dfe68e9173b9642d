package emulator

import (
	"fmt"
	"math"
	"slices"
	"time"
)

type restPolicy struct {
	reference
	Name            string      `json:"name"`
	Description     string      `json:"description"`
	NumLoops        int         `json:"num_loops"`
	EscalationRules []restRule  `json:"escalation_rules"`
	Services        []reference `json:"services"`
	Teams           []reference `json:"teams"`
}

type restRule struct {
	ID           string      `json:"id"`
	DelayMinutes int         `json:"escalation_delay_in_minutes"`
	Targets      []reference `json:"targets"`
}

func (p EscalationPolicy) uses(t Target) bool {
	return slices.ContainsFunc(p.Levels, func(l Level) bool { return slices.Contains(l.Targets, t) })
}

func listPolicies(c *restCall) (any, error) {
	if _, err := c.includes("services"); err != nil {
		return nil, err
	}
	list, err := byName(c, c.EscalationPolicies, func(p EscalationPolicy) string { return p.Name })
	if err != nil {
		return nil, err
	}
	if users := c.query["user_ids[]"]; len(users) > 0 {
		list = slices.DeleteFunc(list, func(p EscalationPolicy) bool {
			return !slices.ContainsFunc(users, func(u string) bool { return p.uses(Target{User: u}) })
		})
	}
	list, page, err := paged(c, list, 25, 100)
	if err != nil {
		return nil, err
	}
	services := c.servicesByPolicy()
	out := make([]restPolicy, 0, len(list))
	for _, p := range list {
		out = append(out, c.policy(p, services))
	}
	return struct {
		Policies []restPolicy `json:"escalation_policies"`
		restPage
	}{out, page}, nil
}

func getPolicy(c *restCall) (any, error) {
	if _, err := c.includes("services"); err != nil {
		return nil, err
	}
	p, ok := c.policies[c.id]
	if !ok {
		return nil, errNotFound()
	}
	return map[string]any{"escalation_policy": c.policy(p, c.servicesByPolicy())}, nil
}

func (d *directory) servicesByPolicy() map[string][]reference {
	out := map[string][]reference{}
	for _, s := range d.Services {
		out[s.EscalationPolicy] = append(out[s.EscalationPolicy], serviceRef(s))
	}
	return out
}

func (c *restCall) policy(p EscalationPolicy, services map[string][]reference) restPolicy {
	if services == nil {
		services = c.servicesByPolicy()
	}
	out := restPolicy{
		reference: c.policyRef(p.ID).as("escalation_policy"), Name: p.Name,
		Services: emptyNotNull(services[p.ID]), Teams: []reference{},
	}
	for i, l := range p.Levels {
		r := restRule{
			ID:           fmt.Sprintf("%s-L%d", p.ID, i+1),
			DelayMinutes: int(math.Ceil(l.Delay.Minutes())), // PagerDuty knows whole minutes only.
		}
		for _, t := range l.Targets {
			if t.User != "" {
				r.Targets = append(r.Targets, c.userRef(t.User))
			} else {
				r.Targets = append(r.Targets, c.scheduleRef(t.Schedule))
			}
		}
		out.EscalationRules = append(out.EscalationRules, r)
	}
	return out
}

// maxOncallSpan is how far /oncalls looks (REST specification, listOnCalls).
const maxOncallSpan = 90 * 24 * time.Hour

type restOncall struct {
	Policy   any     `json:"escalation_policy"`
	Level    int     `json:"escalation_level"`
	Schedule any     `json:"schedule"`
	User     any     `json:"user"`
	Start    *string `json:"start"`
	End      *string `json:"end"`
}

// listOncalls knows the file's schedules alone: who is on call because of a
// ServiceOverride is not seen, as the override is of a service and this is of policies.
func listOncalls(c *restCall) (any, error) {
	include, err := c.includes("escalation_policies", "users")
	if err != nil {
		return nil, err
	}
	earliest, err := c.boolean("earliest")
	if err != nil {
		return nil, err
	}
	since, until, err := c.span()
	if err != nil {
		return nil, err
	}
	setDefault(&since, c.now)
	setDefault(&until, c.now)
	switch {
	case until.Before(since):
		return nil, errInvalid("until is before since")
	case until.Sub(since) > maxOncallSpan || until.Sub(c.now) > maxOncallSpan:
		return nil, errInvalid("on-calls are limited to 90 days")
	}
	list, page, err := paged(c, c.oncalls(since, until, earliest), 25, 100)
	if err != nil {
		return nil, err
	}
	out := make([]restOncall, 0, len(list))
	for _, o := range list {
		out = append(out, c.oncall(o, include))
	}
	return struct {
		Oncalls []restOncall `json:"oncalls"`
		restPage
	}{out, page}, nil
}

// oncall is somebody on call on a level (from 1) of a policy.
type oncall struct {
	ScheduleEntry
	policy, schedule string // no schedule: a user who is a target.
	level            int
}

// oncalls are those that overlap [since, until], by policy, level and start.
func (c *restCall) oncalls(since, until time.Time, earliest bool) []oncall {
	policy, user, schedule := c.wanted("escalation_policy_ids[]"), c.wanted("user_ids[]"), c.wanted("schedule_ids[]")
	var out []oncall
	for _, p := range c.EscalationPolicies {
		if !policy(p.ID) {
			continue
		}
		for i, l := range p.Levels {
			first := len(out)
			for _, t := range l.Targets {
				id := t.Schedule
				if id == "" {
					id = "null" // PagerDuty's name for users who are targets themselves.
				}
				if !schedule(id) {
					continue
				}
				for _, e := range c.shifts(t) {
					if user(e.User) && e.overlaps(since, until) {
						out = append(out, oncall{ScheduleEntry: e, policy: p.ID, schedule: t.Schedule, level: i + 1})
					}
				}
			}
			slices.SortStableFunc(out[first:], func(a, b oncall) int { return a.Start.Compare(b.Start) })
			if earliest {
				seen := map[string]bool{}
				kept := slices.DeleteFunc(out[first:], func(o oncall) bool {
					defer func() { seen[o.User] = true }()
					return seen[o.User]
				})
				out = out[:first+len(kept)]
			}
		}
	}
	return out
}

func (c *restCall) oncall(o oncall, include map[string]bool) restOncall {
	out := restOncall{Policy: c.policyRef(o.policy), Level: o.level, User: c.userRef(o.User)}
	if include["escalation_policies"] {
		out.Policy = c.policy(c.policies[o.policy], nil)
	}
	if include["users"] {
		out.User = c.user(c.users[o.User], nil)
	}
	if o.schedule != "" {
		out.Schedule = c.scheduleRef(o.schedule)
	}
	if !o.Start.IsZero() {
		out.Start = new(c.in(o.Start, "UTC"))
	}
	if !o.End.IsZero() {
		out.End = new(c.in(o.End, "UTC"))
	}
	return out
}
