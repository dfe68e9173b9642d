package coverage

import "slices"

// Severity is a finding's: it chooses the tier of the page about it.
type Severity string

// The severities, most severe first.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
	Info     Severity = "info"
)

// CheckID is the stable name of a check. It is a label of metrics and alerts.
type CheckID string

// The checks.
const (
	PolicyGap              CheckID = "policy_gap"
	PolicyNobodyNow        CheckID = "policy_nobody_now"
	ScheduleGap            CheckID = "schedule_gap"
	BelowMinEngineers      CheckID = "below_min_engineers"
	BelowMinPeople         CheckID = "below_min_people"
	EmptyMember            CheckID = "empty_member"
	SamePersonOnLevels     CheckID = "same_person_on_levels"
	PredictedCollision     CheckID = "predicted_collision"
	UserUnreachable        CheckID = "user_unreachable"
	InactiveUser           CheckID = "inactive_user"
	PeopleUnreadable       CheckID = "people_unreadable"
	Overload               CheckID = "overload"
	LayerEndsSoon          CheckID = "layer_ends_soon"
	EscalationLadder       CheckID = "escalation_ladder_differs"
	UrgencyIgnoresSeverity CheckID = "urgency_rule_ignores_severity"
	ServiceDisabled        CheckID = "service_disabled"
	ServiceInMaintenance   CheckID = "service_in_maintenance"
	ScheduleUnused         CheckID = "schedule_unused"
	NotFound               CheckID = "not_found"
)

// Checks lists all checks, to initialise metrics with.
func Checks() []CheckID {
	return []CheckID{
		PolicyGap, PolicyNobodyNow, ScheduleGap, BelowMinEngineers, BelowMinPeople, EmptyMember,
		SamePersonOnLevels, PredictedCollision, UserUnreachable, InactiveUser, PeopleUnreadable, Overload, LayerEndsSoon,
		EscalationLadder, UrgencyIgnoresSeverity, ServiceDisabled, ServiceInMaintenance, ScheduleUnused, NotFound,
	}
}

// Finding is one thing that is wrong with one subject.
type Finding struct {
	Check    CheckID  `json:"check"`
	Severity Severity `json:"severity"`
	Subject  Subject  `json:"subject"`
	// Spans are the times that it is about, in order; none if it is about no time.
	Spans []Span `json:"spans,omitempty"`
	// Text is a sentence or two: who, when in the schedule's zone, and what it means
	// for a page. It holds what PagerDuty's users have written: hostile input.
	Text string `json:"text"`
	// URL is the subject's page at PagerDuty; "" if it is not known.
	URL string `json:"url,omitempty"`
}

// Subject is what a finding is about. It and the check are a finding's identity.
type Subject struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Key is the identity of what a check may find.
type Key struct {
	Check CheckID
	Kind  Kind
	ID    string
}

// key is what the finding is of.
func (f *Finding) key() Key { return Key{f.Check, f.Subject.Kind, f.Subject.ID} }

// below says whether s is less severe than other.
func (s Severity) below(other Severity) bool {
	return slices.Index(Severities(), s) > slices.Index(Severities(), other)
}

// Result is what Check found, and of what it could not tell.
type Result struct {
	// Findings in a stable order: the most severe first.
	Findings []Finding
	// Unknown are what could not be judged, because what it needs was not read.
	Unknown []Unknown
	// Services are the ids of PagerDuty's services that pagerelay is known to page, all of
	// which were judged. Keyless are pagerelay's of which it is not known, because their
	// routing key cannot be read.
	Services, Keyless []string
	// Cover is how the audited schedules and policies that could be judged are
	// covered, whatever is muted, in the order of the configuration.
	Cover []Cover
}

// Cover is how a schedule or policy is covered in the time that was judged.
type Cover struct {
	Subject Subject
	// Window is the time that was judged.
	Window Span
	// Gaps are the times at which somebody is required and nobody is on call, in order;
	// those that are ignored are left out. One that is running begins before Window, as
	// far as was read.
	Gaps []Span
	// Ratio is the part of the required time that is covered, from 0 to 1; 1 if none
	// is required.
	Ratio float64
	// Engineers is how many people that have an account are assigned to the schedule.
	Engineers int
}

// Judged reports whether the check of the subject was really made: a finding of it
// that was open before and is not in r.Findings is over. Subjects are compared by id
// and, where something could only be asked for by its name, by name.
func (r Result) Judged(check CheckID, subject Subject) bool {
	for _, u := range r.Unknown {
		if !u.Accepted && (u.Check == "" || u.Check == check) && (u.Kind == "" || u.Kind == subject.Kind) &&
			(u.ID == "" || u.ID == subject.ID || u.ID == subject.Name) {
			return false
		}
	}
	return true
}

// maybe says whether something that was not judged may be one of those that could not
// be looked up: a schedule or policy may bear another name than it did, and a service
// may be behind a routing key that cannot be read. What was not found is told by the
// name that the configuration has.
func (r Result) maybe(check CheckID, s Subject) bool {
	if s.Kind == KindService {
		return len(r.Keyless) > 0 && !slices.Contains(r.Services, s.ID)
	}
	judged := func(id string) bool {
		return slices.ContainsFunc(r.Cover, func(c Cover) bool { return c.Subject.Kind == s.Kind && c.Subject.ID == id })
	}
	return check != NotFound && (s.Kind == KindSchedule || s.Kind == KindPolicy) && !judged(s.ID) &&
		slices.ContainsFunc(r.Unknown, func(u Unknown) bool { return u.Check == "" && u.Kind == s.Kind && !judged(u.ID) })
}

// Unknown is a check that could not be made. An empty ID stands for every subject
// of the kind, an empty Kind for every kind, an empty Check for every check. The ID
// is the configuration's name where PagerDuty's id is not known.
type Unknown struct {
	Key
	Reason string
	// Accepted: the API token may not tell, and that has been said long enough. What was
	// found when it could be told is over.
	Accepted bool
}
