package incident

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/mapping"
)

// State is what an incident should be, or what PagerDuty is known to hold.
type State string

// The states. StateUnknown is only ever a have.
const (
	StateClosed       State = "closed"
	StateOpen         State = "open"
	StateAcknowledged State = "acknowledged"
	StateUnknown      State = "unknown"
)

// Action is a request to PagerDuty.
type Action string

// The actions.
const (
	Trigger     Action = "trigger"
	Acknowledge Action = "acknowledge"
	Resolve     Action = "resolve"
	Change      Action = "change"
)

// Actions lists all actions, to initialise metrics with.
func Actions() []Action { return []Action{Trigger, Acknowledge, Resolve, Change} }

// Incident is what one dedup key stands for on one service. A value that the
// store hands out is never changed again: it may be read without a lock. Its parts are
// structs of their own; Check tells what holds of each.
type Incident struct {
	ID      string `json:"id"`
	Version uint64 `json:"version"`
	Subject

	// Members by fingerprint. Change them with Put only.
	Members map[string]*Member `json:"members"`
	tally   *tally             // of them; nil until counted.
	ends    map[string]Ended   // for its tombstone: of alerts that it held before it closed the last time.

	// Revision counts firings, Epoch the times that unmuted members went from none to
	// one firing. Epoch 0: this outbox never saw it firing.
	Revision int `json:"revision"`
	Epoch    int `json:"epoch"`
	Told
	// Intent is the request in flight; it is committed before the request leaves.
	Intent *Intent `json:"intent,omitempty"`
	// Doubts are the requests that may not have had their effect, or may have it late.
	Doubts []Doubt `json:"doubts,omitempty"`

	// PendingSince is when what is still to be said to PagerDuty came to be; zero if
	// nothing is.
	PendingSince time.Time `json:"pending_since,omitzero"`
	// Guaranteed is the revision of a high firing that only waited for the rate limit:
	// it is paged although it is over. 0: none.
	Guaranteed int `json:"guaranteed,omitempty"`
	// RepeatAt is when Alertmanager's repeat was seen that is not yet passed on.
	RepeatAt time.Time `json:"repeat_at,omitzero"`
	Retry

	Copy
	// FallbackRevision is the newest revision that was copied to the fallback.
	FallbackRevision int `json:"fallback_revision,omitempty"`
	// Parted: this is what an earlier routing key of the service still holds.
	Parted bool `json:"parted,omitempty"`

	// Missed are firings that were over before PagerDuty confirmed them and are still to
	// be added to the digest.
	Missed []Missed `json:"missed,omitempty"`
	// Digest is set on the incident that tells, in one change event, what was over
	// before PagerDuty confirmed it.
	Digest *Digest `json:"digest,omitempty"`

	CreatedAt time.Time `json:"created_at"`
	ClosedAt  time.Time `json:"closed_at,omitzero"`
	// History is the ledger of this incident; Omitted entries went for want of room.
	History []Entry `json:"history,omitempty"`
	Omitted int     `json:"omitted,omitempty"`
}

// Subject is what an incident is about: which one it is, and what the newest alert and
// its rule say of it. Service, DedupKey and BareKey never change.
type Subject struct {
	Service  string `json:"service"`
	DedupKey string `json:"dedup_key"`
	BareKey  bool   `json:"bare_key,omitempty"`
	Shared   bool   `json:"shared,omitempty"`

	Rule     string          `json:"rule,omitempty"`
	Tier     string          `json:"tier,omitempty"`
	Urgency  mapping.Urgency `json:"urgency"`
	Severity string          `json:"severity,omitempty"`
	Origin   mapping.Origin  `json:"origin"`

	Receiver    string `json:"receiver,omitempty"`
	ExternalURL string `json:"external_url,omitempty"`
	GroupKey    string `json:"group_key,omitempty"`
	GroupLabels Pairs  `json:"group_labels,omitzero"`
}

// Told is what PagerDuty was told, as far as it answered. Nothing of it runs ahead of
// the incident: AcceptedRevision is not above Revision, HaveEpoch not above Epoch.
type Told struct {
	// Have is what PagerDuty holds, HaveEpoch the epoch that this speaks of.
	Have      State `json:"have"`
	HaveEpoch int   `json:"have_epoch"`
	// AcceptedRevision is the newest that PagerDuty accepted as a trigger.
	AcceptedRevision int `json:"accepted_revision"`
	// Settled is the revision that somebody resolved at PagerDuty; 0: nobody has since the
	// last trigger.
	Settled int `json:"settled,omitempty"`
	// KeyHash tells the routing key of the last trigger that left apart from others.
	KeyHash string `json:"key_hash,omitempty"`
	// Attempted: a request for the present epoch has left, or may have.
	Attempted   bool      `json:"attempted,omitempty"`
	LastTrigger time.Time `json:"last_trigger,omitzero"` // accepted.
	LastResolve time.Time `json:"last_resolve,omitzero"` // accepted.
	// OpenedAt is when a trigger was accepted last that was to open an incident, rather
	// than to join one.
	OpenedAt time.Time `json:"opened_at,omitzero"`
}

// Retry is what keeps requests from leaving after PagerDuty, or the way to it, said no.
// A new epoch lifts all of it. NotBefore is set only while Attempts is above 0.
type Retry struct {
	Attempts  int       `json:"attempts,omitempty"` // failed in a row.
	NotBefore time.Time `json:"not_before,omitzero"`
	// Minimal: PagerDuty refused the full event of this epoch.
	Minimal bool     `json:"minimal,omitempty"`
	Blocked *Blocked `json:"blocked,omitempty"`
	// KeyFault is what PagerDuty said of the routing key; "" when all is well.
	KeyFault string `json:"key_fault,omitempty"`
}

// Blocked says why nothing more is sent for an incident until somebody fixes it.
type Blocked struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Copy says what a copy on a fallback service stands in for. It is zero for an original;
// of a copy, FallbackFrom and FallbackOf are both set.
type Copy struct {
	FallbackFrom   string `json:"fallback_from,omitempty"`   // the service, ...
	FallbackOf     string `json:"fallback_of,omitempty"`     // ... the incident, ...
	FallbackReason string `json:"fallback_reason,omitempty"` // ... and why.
}

// Intent is a request that is about to leave, or is in flight.
type Intent struct {
	Action   Action    `json:"action"`
	Revision int       `json:"revision"`
	Epoch    int       `json:"epoch"`
	At       time.Time `json:"at"`
	Prev     State     `json:"prev"`
	Reason   string    `json:"reason,omitempty"`
	FollowUp bool      `json:"follow_up,omitempty"` // planned because of a doubt.
	Minimal  bool      `json:"minimal,omitempty"`
	// Uncovered is why it has no effect, even if PagerDuty accepts it; nil if it has one.
	// Unaudited: nobody can tell.
	Uncovered *Uncovered `json:"uncovered,omitempty"`
	Unaudited bool       `json:"unaudited,omitempty"`
	// RepeatAt is that of the incident: a trigger passes this repeat on.
	RepeatAt time.Time `json:"repeat_at,omitzero"`
	// Missed are firings that ended meanwhile, if this trigger is not accepted.
	Missed []Missed `json:"missed,omitempty"`
	// Grown is what a digest is still to tell, if this event of it is accepted.
	Grown *Digest `json:"grown,omitempty"`
}

// ID is the identity of an incident, as text: 32 hexadecimal digits.
func ID(service, dedupKey string) string {
	sum := sha256.Sum256([]byte(service + "\x00" + dedupKey))
	return hex.EncodeToString(sum[:16])
}

// Clone makes a copy whose fields, members map, doubts and history may be changed. The
// members themselves are shared: replace, never change them.
func (in *Incident) Clone() *Incident {
	c := *in
	c.Members = make(map[string]*Member, len(in.Members)+1)
	maps.Copy(c.Members, in.Members)
	counted := in.tallied()
	c.tally = &counted
	c.History, c.Doubts = slices.Clip(in.History), slices.Clone(in.Doubts)
	return &c
}
