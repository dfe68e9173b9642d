// Package incident is the pure core: what one dedup key stands for on one service,
// what an observation or an answer does to it, and what is to be done next. Values
// in, values out: it has no lock, clock, log or file, and asks nobody.
package incident

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/template"

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

// Limits of one incident's record. They bound memory and the size of a commit.
const (
	maxHistory  = 40  // entries; the oldest go first, but for the very first.
	maxResolved = 100 // resolved members kept in an open incident; the oldest go first.
)

// Incident is what one dedup key stands for on one service. A value that the
// store hands out is never changed again: it may be read without a lock.
type Incident struct {
	ID       string `json:"id"`
	Version  uint64 `json:"version"`
	Service  string `json:"service"`
	DedupKey string `json:"dedup_key"`
	BareKey  bool   `json:"bare_key,omitempty"`
	Shared   bool   `json:"shared,omitempty"`

	Rule     string          `json:"rule,omitempty"`
	Tier     string          `json:"tier,omitempty"`
	Urgency  mapping.Urgency `json:"urgency"`
	Severity string          `json:"severity,omitempty"`
	Origin   mapping.Origin  `json:"origin"`

	Receiver    string      `json:"receiver,omitempty"`
	ExternalURL string      `json:"external_url,omitempty"`
	GroupKey    string      `json:"group_key,omitempty"`
	GroupLabels template.KV `json:"group_labels,omitempty"`

	// Members by fingerprint. Change them with put and drop only.
	Members map[string]*Member `json:"members"`
	tally   *tally             // of them; nil until counted.
	ends    map[string]Ended   // for its tombstone: of alerts that it held before it closed the last time.

	// Revision counts episodes, Epoch the times that unmuted members went from none to
	// one firing. AcceptedRevision is the newest that PagerDuty accepted as a
	// trigger; HaveEpoch is the epoch that Have speaks of.
	Revision         int   `json:"revision"`
	Epoch            int   `json:"epoch"`
	AcceptedRevision int   `json:"accepted_revision"`
	HaveEpoch        int   `json:"have_epoch"`
	Have             State `json:"have"`

	// FirstSeenResolved: this outbox never saw it firing.
	FirstSeenResolved bool `json:"first_seen_resolved,omitempty"`
	// Attempted: a request for the present epoch has left, or may have.
	Attempted bool `json:"attempted,omitempty"`
	// KeyHash tells the routing key of the last trigger that left apart from others.
	KeyHash string `json:"key_hash,omitempty"`
	// Parted: this is what an earlier routing key of the service still holds.
	Parted bool `json:"parted,omitempty"`
	// Intent is the request in flight; it is committed before the request leaves.
	Intent *Intent `json:"intent,omitempty"`

	// PendingSince is when what is still to be said to PagerDuty came to be.
	PendingSince time.Time `json:"pending_since,omitzero"`
	// Guaranteed is the revision of a high firing that only waited for the rate limit:
	// it is paged although it is over. 0: none.
	Guaranteed int `json:"guaranteed,omitempty"`
	// RepeatAt is when Alertmanager's repeat was seen that is not yet passed on.
	RepeatAt    time.Time `json:"repeat_at,omitzero"`
	LastTrigger time.Time `json:"last_trigger,omitzero"` // accepted.
	LastResolve time.Time `json:"last_resolve,omitzero"` // accepted.
	// OpenedAt is when a trigger was accepted last that was to open an incident, rather
	// than to join one.
	OpenedAt time.Time `json:"opened_at,omitzero"`
	// Doubts are the requests that may not have had their effect, or may have it late.
	Doubts []Doubt `json:"doubts,omitempty"`

	Attempts  int       `json:"attempts,omitempty"` // failed in a row.
	NotBefore time.Time `json:"not_before,omitzero"`
	// Minimal: PagerDuty refused the full event of this epoch.
	Minimal bool     `json:"minimal,omitempty"`
	Blocked *Blocked `json:"blocked,omitempty"`
	// KeyFault is what PagerDuty said of the routing key; "" when all is well.
	KeyFault string `json:"key_fault,omitempty"`

	// FallbackFrom is the service, FallbackOf the incident that this is a copy of,
	// and FallbackReason why.
	FallbackFrom   string `json:"fallback_from,omitempty"`
	FallbackOf     string `json:"fallback_of,omitempty"`
	FallbackReason string `json:"fallback_reason,omitempty"`
	// FallbackRevision is the newest revision that was copied to the fallback.
	FallbackRevision int `json:"fallback_revision,omitempty"`

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

// Member is an alert that belongs to an incident.
type Member struct {
	Alert   template.Alert  `json:"alert"`
	Urgency mapping.Urgency `json:"urgency"`
	Origin  mapping.Origin  `json:"origin"`
	Firing  bool            `json:"firing,omitempty"`
	Epoch   int             `json:"epoch,omitempty"` // the incident's, of its last episode.
	// Episode is the incident's revision that its last episode made; 0 once that was
	// found to have been missed.
	Episode  int       `json:"episode,omitempty"`
	LastSeen time.Time `json:"last_seen"`
	// ExternalURL is the Alertmanager whose clock StartsAt follows.
	ExternalURL string `json:"external_url,omitempty"`
	// Late is a late firing of it that is held; nil if there is none.
	Late *Late `json:"late,omitempty"`
	// ExpiresAt ends a member whose origin says of itself when it is over.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Ended is the last resolve; zero if there was none.
	Ended Ended `json:"ended,omitzero"`
	// MovedTo is the incident that a changed route opened for this alert; it is
	// left here once that one is accepted.
	MovedTo string `json:"moved_to,omitempty"`
	// Muted is set while Alertmanager mutes the alert and that is to have an effect.
	Muted *Mute `json:"muted,omitempty"`
	// Vouched names the Alertmanagers that can be asked and have listed an alert
	// from ExternalURL, so that their not listing others of it means something.
	Vouched string `json:"vouched,omitempty"`
}

// Late is a firing that was told after its own resolve, as far as anybody can know. It
// counts for nothing while Alertmanager is asked about it.
type Late struct {
	// Until is when it pages if Alertmanager has not answered.
	Until time.Time `json:"until"`
	// As is the firing itself: what it makes of the incident if it is admitted.
	As *mapping.Observation `json:"as"`
	// Routes are the incidents that its webhook mapped it to: if it is admitted, it
	// leaves all others.
	Routes []string `json:"routes,omitempty"`
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

// Blocked says why nothing more is sent for an incident until somebody mends it.
type Blocked struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Entry is a line of the ledger.
type Entry struct {
	At    time.Time `json:"at"`
	What  string    `json:"what"` // received, resolved, answer, ... : a closed set.
	Text  string    `json:"text,omitempty"`
	Count int       `json:"count,omitempty"` // of equal entries in a row, if more than one.
	Last  time.Time `json:"last,omitzero"`   // the newest of them.
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

// Note adds an entry to the ledger; equal entries in a row are counted.
func (in *Incident) Note(now time.Time, what, text string) {
	if n := len(in.History); n > 0 {
		if last := in.History[n-1]; last.What == what && last.Text == text {
			last.Count = max(last.Count, 1) + 1
			last.Last = now
			in.History = append(slices.Clone(in.History[:n-1]), last)
			return
		}
	}
	if len(in.History) >= maxHistory {
		in.History = slices.Delete(slices.Clone(in.History), 1, 2)
		in.Omitted++
	}
	in.History = append(in.History, Entry{At: now, What: what, Text: text})
}
