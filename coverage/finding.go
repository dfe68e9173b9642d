package coverage

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
	Overload               CheckID = "overload"
	LayerEndsSoon          CheckID = "layer_ends_soon"
	EscalationLadder       CheckID = "escalation_ladder_differs"
	UrgencyIgnoresSeverity CheckID = "urgency_rule_ignores_severity"
	ServiceDisabled        CheckID = "service_disabled"
	ServiceInMaintenance   CheckID = "service_in_maintenance"
	ScheduleUnused         CheckID = "schedule_unused"
	NotFound               CheckID = "not_found"
)

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

// Result is what Check found, and of what it could not tell.
type Result struct {
	// Findings in a stable order: the most severe first.
	Findings []Finding
	// Unknown are what could not be judged, because what it needs was not read.
	Unknown []Unknown
}

// Unknown is a check that could not be made. An empty ID stands for every subject
// of the kind, an empty Check for every check.
type Unknown struct {
	Key
	Reason string
}
