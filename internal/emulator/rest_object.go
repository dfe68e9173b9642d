package emulator

// reference is what REST says of something that it does not show whole, and the
// beginning of what it does.
type reference struct {
	ID      string  `json:"id"`
	Type    string  `json:"type"`
	Summary string  `json:"summary"`
	Self    *string `json:"self"`
	HTMLURL *string `json:"html_url"`
}

// The hosts that links name; .example leads nowhere.
const (
	restHost = "https://api.pagerduty.example"
	htmlHost = "https://account.pagerduty.example"
)

func linked(kind, path, id, summary string) reference {
	return reference{
		ID: id, Type: kind, Summary: summary,
		Self: new(restHost + path + id), HTMLURL: new(htmlHost + path + id),
	}
}

// as is r with another type.
func (r reference) as(kind string) reference {
	r.Type = kind
	return r
}

func (d *directory) policyRef(id string) reference {
	return linked("escalation_policy_reference", "/escalation_policies/", id, d.policies[id].Name)
}

// userRef of a deleted user leads nowhere.
func (d *directory) userRef(id string) reference {
	r := linked("user_reference", "/users/", id, d.users[id].Name)
	if d.users[id].Deleted {
		r.Self, r.HTMLURL = nil, nil
	}
	return r
}

func (d *directory) userRefs(ids []string) []reference {
	out := make([]reference, 0, len(ids))
	for _, id := range ids {
		out = append(out, d.userRef(id))
	}
	return out
}

func (d *directory) scheduleRef(id string) reference {
	s := d.schedules[id]
	if s.Type == ScheduleV3 {
		return linked("schedule_v3_reference", "/v3/schedules/", id, s.Name)
	}
	return linked("schedule_reference", "/schedules/", id, s.Name)
}

func serviceRef(s Service) reference {
	return linked("service_reference", "/services/", s.ID, s.Name)
}

// policiesOf are the policies that have the schedule with this ID on a level.
func (d *directory) policiesOf(schedule string) []reference {
	out := []reference{}
	for _, p := range d.EscalationPolicies {
		if p.uses(Target{Schedule: schedule}) {
			out = append(out, d.policyRef(p.ID))
		}
	}
	return out
}
