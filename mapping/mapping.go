// Package mapping decides, purely, what an alert means to PagerDuty: which rule
// takes it, which tier, urgency and service it gets, which incident it belongs
// to (Route), and what the event of that incident says (Render).
//
// It does no I/O, reads no clock and writes no log: the same group and the same
// configuration give the same answer on every replica. What it cannot do as
// asked it does in a safe form, and reports as a Fault; it never drops a page.
package mapping

import (
	"time"

	"github.com/prometheus/alertmanager/template"
)

// Limits of PagerDuty's Events API v2.
const (
	MaxSummary   = 1024   // characters of payload.summary (Events API v2, "Send an Alert Event").
	MaxDedupKey  = 255    // characters of dedup_key (the same page).
	MaxEventSize = 512000 // bytes of a whole event: "512 KB", read as Alertmanager's notifier reads it.
)

// Urgency is what a tier asks of PagerDuty.
type Urgency string

// The five urgencies, most urgent first.
const (
	High         Urgency = "high"         // trigger, severity critical.
	Low          Urgency = "low"          // trigger, severity warning.
	Acknowledged Urgency = "acknowledged" // trigger with severity info, acknowledged at once.
	Change       Urgency = "change"       // a change event: on the timeline, never notifies.
	None         Urgency = "none"         // nothing is sent; recorded only.
)

// Urgencies lists all urgencies, most urgent first.
func Urgencies() []Urgency { return []Urgency{High, Low, Acknowledged, Change, None} }

// Rank orders urgencies: 0 is the most urgent.
func (u Urgency) Rank() int {
	for i, v := range Urgencies() {
		if u == v {
			return i
		}
	}
	return len(Urgencies())
}

// Origin is where an observation comes from.
type Origin string

// The origins.
const (
	OriginAlertmanager Origin = "alertmanager"
	OriginGrafana      Origin = "grafana" // Grafana's own webhook: no Alertmanager knows of it.
	OriginCoverage     Origin = "coverage"
	OriginTest         Origin = "test"      // the amtool test door; such a member ends at its EndsAt.
	OriginSelf         Origin = "pagerelay" // what pagerelay says of itself; it ends likewise.
)

// Alert states, as Alertmanager writes them.
const (
	Firing   = "firing"
	Resolved = "resolved"
)

// Group is one webhook body: template.Data and what it lacks.
type Group struct {
	template.Data

	Version         string `json:"version"`
	GroupKey        string `json:"groupKey"`
	TruncatedAlerts uint64 `json:"truncatedAlerts"`

	// Odd are the alerts, by their index, of which not all could be read as it should
	// be. Unread counts those of which nothing could; UnreadReason is why the first.
	Odd          map[int]bool `json:"-"`
	Unread       int          `json:"-"`
	UnreadReason error        `json:"-"`

	// Origin is set by the door that took the group in; "" means alertmanager.
	Origin Origin `json:"-"`
	// Service, if a door of our own has set it, gets all of the group's alerts: the
	// rules then decide everything but the service.
	Service string `json:"-"`
}

// Fault names something that could not be done as asked and was done in a safe
// form instead. The set is closed: it is a metric's label.
type Fault string

// The faults.
const (
	FaultUnknownTier    Fault = "unknown_tier"    // the tier is not in the list: unknown_tier is used.
	FaultTemplate       Fault = "template"        // a template failed: the built-in default is used.
	FaultUnknownService Fault = "unknown_service" // the service is not configured: the default one is used.
	FaultNoRule         Fault = "no_rule"         // no rule matched: the default service is used.
	FaultDedupKey       Fault = "dedup_key"       // the key was empty: the alert's own key is used.
	FaultSummary        Fault = "summary"         // the summary was cut to MaxSummary.
	FaultSize           Fault = "size"            // the event was cut to MaxEventSize.
	FaultLink           Fault = "link"            // a link or image without a usable URL was left out.
	FaultAlert          Fault = "alert"           // a field of the alert could not be read: it is left out, or stands for itself.
	FaultUrgency        Fault = "urgency"         // acknowledged cannot be had with Alertmanager's bare key: low is used.
)

// Faults lists all faults, to initialise metrics with.
func Faults() []Fault {
	return []Fault{
		FaultUnknownTier, FaultTemplate, FaultUnknownService, FaultNoRule,
		FaultDedupKey, FaultSummary, FaultSize, FaultLink, FaultAlert, FaultUrgency,
	}
}

// Observation is one alert as one rule sees it: the alert's state, and the
// incident it belongs to.
type Observation struct {
	// Service and DedupKey identify the incident. DedupKey carries the urgency in
	// its text, unless BareKey.
	Service  string
	DedupKey string

	Rule     string // name of the rule that took the alert; "" if none did.
	Tier     string
	Urgency  Urgency
	Severity string // PagerDuty's: critical, error, warning or info.

	// Shared says that other alerts can map to the same key.
	Shared bool
	// BareKey says that DedupKey is Alertmanager's own sha256(groupKey), which
	// holds no urgency.
	BareKey bool

	Alert template.Alert // Status is Firing or Resolved; Fingerprint is never empty.

	Origin      Origin
	Receiver    string // unquoted.
	ExternalURL string
	GroupKey    string
	GroupLabels template.KV

	// Reason is Alertmanager's notification_reason; "" before 0.32.
	Reason string
	// AsOf is when what the observation says was true, where that may be a while ago:
	// what came in since is newer. Zero: when it comes in.
	AsOf time.Time `json:",omitzero"`

	Faults []Fault
}

// Incident is what Render needs to know of an incident as it is now.
type Incident struct {
	Service  string
	DedupKey string
	Rule     string
	Tier     string
	Urgency  Urgency
	Severity string

	Origin      Origin
	Receiver    string
	ExternalURL string // Alertmanager's.
	GroupKey    string
	GroupLabels template.KV

	// FallbackFrom names the service that this copy stands in for; "" for an original.
	FallbackFrom string
	// FallbackReason says why, in a line; "" for an original.
	FallbackReason string

	// Members are the alerts of the incident. Any order; Render sorts.
	Members []template.Alert
}

// Event is the part of a PagerDuty event that Render makes. Key, action and
// dedup key are the sender's business.
type Event struct {
	Summary   string         `json:"summary"`
	Source    string         `json:"source"`
	Severity  string         `json:"severity"`
	Timestamp time.Time      `json:"timestamp"` // startsAt of the earliest firing member.
	Component string         `json:"component,omitempty"`
	Group     string         `json:"group,omitempty"`
	Class     string         `json:"class,omitempty"`
	Details   map[string]any `json:"custom_details,omitempty"`
	Links     []Link         `json:"links,omitempty"`
	Images    []Image        `json:"images,omitempty"`
	Client    string         `json:"client,omitempty"`
	ClientURL string         `json:"client_url,omitempty"`
}

// Link is a link of an event.
type Link struct {
	Href string `json:"href"`
	Text string `json:"text,omitempty"`
}

// Image is an image of an event; Src must be https.
type Image struct {
	Src  string `json:"src"`
	Href string `json:"href,omitempty"`
	Alt  string `json:"alt,omitempty"`
}

// RenderOptions say how to render.
type RenderOptions struct {
	// Now is what the template functions `now` and `since` see.
	Now time.Time
	// Minimal asks for the smallest event that still pages: summary, source,
	// severity. It is what is sent after PagerDuty refused the full one.
	Minimal bool
}
