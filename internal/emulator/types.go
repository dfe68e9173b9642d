package emulator

import "time"

const (
	statusActive   = "active"
	statusDisabled = "disabled"

	urgencyHigh       = "high"
	urgencyLow        = "low"
	urgencyBySeverity = "severity_based"

	severityCritical = "critical"
	severityError    = "error"
	severityWarning  = "warning"
	severityInfo     = "info"

	actionTrigger     = "trigger"
	actionAcknowledge = "acknowledge"
	actionResolve     = "resolve"

	throttleRetryAfter = "retry-after"
	throttleRateLimit  = "ratelimit"
)

// Status is the state of an incident or alert; an alert is never acknowledged.
type Status string

// The states.
const (
	Triggered    Status = "triggered"
	Acknowledged Status = "acknowledged"
	Resolved     Status = "resolved"
)

// Incident is what somebody is, or was, notified of.
type Incident struct {
	ID         string `json:"id"`
	Number     int    `json:"number"` // counts from 1, in the order of creation.
	Service    string `json:"service"`
	ServiceID  string `json:"service_id"`
	RoutingKey string `json:"-"`           // the key of the trigger that opened it.
	MaskedKey  string `json:"routing_key"` // the same, all but its last four characters hidden.
	DedupKey   string `json:"dedup_key"`
	Status     Status `json:"status"`
	Urgency    string `json:"urgency"`
	Severity   string `json:"severity"` // the highest that its alerts had.
	Title      string `json:"title"`    // the first trigger's summary; later ones do not change it.

	CreatedAt      time.Time  `json:"created_at"`
	AcknowledgedAt *time.Time `json:"acknowledged_at,omitempty"` // the last acknowledgement.
	ResolvedAt     *time.Time `json:"resolved_at,omitempty"`

	Alerts []Alert    `json:"alerts"`
	Log    []LogEntry `json:"log_entries"`
}

// Open says whether the incident is triggered or acknowledged.
func (i Incident) Open() bool { return i.Status != Resolved }

// Alert is what one dedup key opened.
type Alert struct {
	ID        string    `json:"id"`
	DedupKey  string    `json:"alert_key"` // REST's name for it.
	Status    Status    `json:"status"`
	Severity  string    `json:"severity"`
	Summary   string    `json:"summary"`
	Source    string    `json:"source"`
	CreatedAt time.Time `json:"created_at"`
	// Triggers counts the trigger events; the incident's log holds the first 100.
	Triggers int `json:"triggers"`
	Detail
}

// Kind is what a log entry tells.
type Kind string

// The kinds.
const (
	LogTrigger       Kind = "trigger"
	LogNotify        Kind = "notify" // one user was notified.
	LogUrgency       Kind = "urgency"
	LogAcknowledge   Kind = "acknowledge"
	LogUnacknowledge Kind = "unacknowledge"
	LogEscalate      Kind = "escalate"
	LogResolve       Kind = "resolve"
)

// LogEntry is one thing that happened to an incident.
type LogEntry struct {
	At   time.Time `json:"at"`
	Kind Kind      `json:"type"`
	// By is "api" for an event, the name given for a person, "timeout" for time passing.
	By       string   `json:"by,omitempty"`
	Severity string   `json:"severity,omitempty"` // of a trigger.
	Summary  string   `json:"summary,omitempty"`  // of a trigger.
	User     string   `json:"user,omitempty"`     // the ID of who was notified.
	Urgency  string   `json:"urgency,omitempty"`
	Channels []string `json:"channels,omitempty"` // by the user's notification rules for this urgency.
}

// Outcome is what became of a request.
type Outcome string

// The outcomes. The first group answers 202; of those only the first five
// changed anything.
const (
	Created             Outcome = "created"      // opened an incident.
	Logged              Outcome = "logged"       // a trigger onto an open alert.
	DidAcknowledge      Outcome = "acknowledged" // the incident went from triggered to acknowledged.
	DidResolve          Outcome = "resolved"
	ChangeRecorded      Outcome = "change"
	AlreadyAcknowledged Outcome = "already_acknowledged"
	NoOpenAlert         Outcome = "no_open_alert" // acknowledge or resolve of a key that has nothing open.
	InMaintenance       Outcome = "maintenance"
	ServiceDisabled     Outcome = "disabled"
	NobodyOnCall        Outcome = "nobody_on_call"
	DroppedByFault      Outcome = "dropped_by_fault"

	Invalid           Outcome = "invalid"
	UnknownRoutingKey Outcome = "unknown_routing_key"
	TooLarge          Outcome = "too_large"
	Throttled         Outcome = "throttled"
	Unread            Outcome = "unread"  // the body did not arrive, or the client left before it was looked at.
	Faulted           Outcome = "faulted" // a fault rule answered, or nobody did.
)

// Request is one call of the Events API.
type Request struct {
	Seq        int       `json:"seq"` // counts from 1, in the order in which requests took effect.
	ReceivedAt time.Time `json:"received_at"`
	At         time.Time `json:"at"`   // when it took effect.
	Path       string    `json:"path"` // /v2/enqueue or /v2/change/enqueue.
	// Code is the HTTP status of the answer, 0 if the connection was cut or left hanging instead.
	Code       int      `json:"code"`
	Outcome    Outcome  `json:"outcome"`
	Errors     []string `json:"errors,omitempty"` // of an invalid event.
	Fault      string   `json:"fault,omitempty"`  // the name of the rule that acted on it.
	RoutingKey string   `json:"-"`
	MaskedKey  string   `json:"routing_key,omitempty"`
	Service    string   `json:"service,omitempty"`
	Action     string   `json:"action,omitempty"` // empty for a change event.
	DedupKey   string   `json:"dedup_key,omitempty"`
	Severity   string   `json:"severity,omitempty"`
	Summary    string   `json:"summary,omitempty"`
	Incident   string   `json:"incident,omitempty"`
	// Body is the request as it arrived. Do not change it.
	Body []byte `json:"-"`
}

// Counts are totals since the start or the last Reset; they outlive the bounded lists.
type Counts struct {
	Total     int `json:"total"`
	Accepted  int `json:"accepted"` // 202 was the answer, or would have been had it not been lost.
	Refused   int `json:"refused"`  // 4xx other than 429.
	Throttled int `json:"throttled"`
	Faulted   int `json:"faulted"` // a fault rule acted on it, whatever else happened.
	// InFlight are requests that are being served now; MaxInFlight is the most there were at once.
	InFlight    int             `json:"in_flight"`
	MaxInFlight int             `json:"max_in_flight"`
	ByOutcome   map[Outcome]int `json:"by_outcome"`
}

// Change is a change event.
type Change struct {
	At         time.Time `json:"at"`
	Service    string    `json:"service"`
	ServiceID  string    `json:"service_id"`
	RoutingKey string    `json:"-"`
	MaskedKey  string    `json:"routing_key"`
	Summary    string    `json:"summary"`
	Source     string    `json:"source,omitempty"`
	Detail
}

func mask(key string) string {
	if len(key) < 8 {
		return "****"
	}
	return "****" + key[len(key)-4:]
}
