package web

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

// StatusClosed is the status of an incident that is on the ledger; the others
// are those of outbox.Statuses.
const StatusClosed = "closed"

// Summary is an incident in a list. It holds no labels but those in the dedup key.
type Summary struct {
	ID       string `json:"id"`
	Service  string `json:"service"`
	DedupKey string `json:"dedup_key"`
	Status   string `json:"status"` // one of outbox.Statuses, or StatusClosed.
	Urgency  string `json:"urgency"`
	Tier     string `json:"tier,omitempty"`
	Rule     string `json:"rule,omitempty"`
	Origin   string `json:"origin"`

	// What PagerDuty should hold: closed, open or acknowledged; and what it holds: the
	// same, or unknown. Both are empty where no incident is opened (urgencies none and change).
	Want     string `json:"want"`
	Have     string `json:"have"`
	Firing   int    `json:"firing"`
	Resolved int    `json:"resolved"`

	CreatedAt time.Time `json:"created_at"`
	// Since is when the incident came to be in its status.
	Since time.Time `json:"since"`
	// Reason is what keeps the incident from being settled; "" if nothing does.
	Reason string `json:"reason,omitempty"`
	// WaitsFor is the same as a word: the label cause of pagerelay_waiting_incidents.
	WaitsFor string `json:"waits_for,omitempty"`
}

// Incident is all of an incident that a person may want to know.
type Incident struct {
	Summary

	Severity     string            `json:"severity,omitempty"`
	Receiver     string            `json:"receiver,omitempty"`
	ExternalURL  string            `json:"external_url,omitempty"`
	GroupLabels  map[string]string `json:"group_labels,omitempty"`
	FallbackFrom string            `json:"fallback_from,omitempty"`
	// FallbackReason is why this stands in for FallbackFrom.
	FallbackReason string `json:"fallback_reason,omitempty"`

	Attempts    int       `json:"failed_attempts,omitempty"` // in a row.
	NotBefore   time.Time `json:"not_before,omitzero"`
	LastTrigger time.Time `json:"last_trigger,omitzero"` // accepted.
	ClosedAt    time.Time `json:"closed_at,omitzero"`

	Members []Member `json:"members"`
	// History is what happened to it, oldest first; Omitted entries between the
	// first and the second went for want of room.
	History []Entry `json:"history"`
	Omitted int     `json:"omitted,omitempty"`
}

// Member is an alert of an incident.
type Member struct {
	Fingerprint string            `json:"fingerprint"`
	Firing      bool              `json:"firing"`
	Held        bool              `json:"held,omitempty"`     // a late firing that is being checked.
	MutedBy     string            `json:"muted_by,omitempty"` // silence or inhibition, where that has an effect.
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    time.Time         `json:"starts_at"`
	EndedAt     time.Time         `json:"ended_at,omitzero"`
	LastSeen    time.Time         `json:"last_seen"`
}

// Entry is a line of the ledger.
type Entry struct {
	At    time.Time `json:"at"`
	What  string    `json:"what"`
	Text  string    `json:"text,omitempty"`
	Count int       `json:"count,omitempty"` // of equal entries in a row, if more than one.
	Last  time.Time `json:"last,omitzero"`   // the newest of them.
}

// summary makes a Summary; why says what a pending incident waits for.
func summary(in *incident.Incident, why func(id string) (cause, text string)) Summary {
	s := Summary{
		ID: in.ID, Service: in.Service, DedupKey: in.DedupKey, Status: in.Status(),
		Urgency: string(in.Urgency), Tier: in.Tier, Rule: in.Rule, Origin: string(in.Origin),
		CreatedAt: in.CreatedAt, Since: in.CreatedAt,
	}
	s.Firing, s.Resolved = in.Counts()
	if in.Urgency.Opens() {
		s.Want, s.Have = string(in.Want()), string(in.Have)
	}
	if !in.ClosedAt.IsZero() {
		s.Status, s.Since = StatusClosed, in.ClosedAt
		return s
	}
	if !in.PendingSince.IsZero() {
		s.Since = in.PendingSince
	}
	var text string
	s.WaitsFor, text = why(in.ID)
	switch {
	case in.Blocked != nil:
		s.Since, s.Reason = in.Blocked.At, in.Blocked.Reason
	case in.KeyFault != "":
		s.Reason = in.KeyFault
	case s.Status == "uncovered":
		s.Reason = in.Uncovered().Reason
	case s.Status == "pending" && text == "" && in.Attempts > 0: // just after a start.
		s.Reason = in.LastAnswer()
	case s.Status == "pending":
		s.Reason = text
	}
	return s
}

func detail(in *incident.Incident, why func(id string) (cause, text string)) Incident {
	d := Incident{
		Summary:  summary(in, why),
		Severity: in.Severity, Receiver: in.Receiver, ExternalURL: in.ExternalURL, GroupLabels: in.GroupLabels.KV(),
		FallbackFrom: in.FallbackFrom, FallbackReason: in.FallbackReason, Attempts: in.Attempts, NotBefore: in.NotBefore,
		LastTrigger: in.LastTrigger, ClosedAt: in.ClosedAt, Omitted: in.Omitted,
		Members: []Member{}, History: []Entry{},
	}
	for _, fp := range slices.Sorted(maps.Keys(in.Members)) {
		m := in.Members[fp]
		mutedBy := ""
		if m.Muted != nil {
			mutedBy = m.Muted.By
		}
		d.Members = append(d.Members, Member{
			Fingerprint: fp, Firing: m.Firing, Held: m.Late != nil, MutedBy: mutedBy,
			Labels: m.Alert.Labels.KV(), Annotations: m.Alert.Annotations.KV(),
			StartsAt: m.Alert.StartsAt, EndedAt: m.Ended.At, LastSeen: m.LastSeen,
		})
	}
	for _, e := range in.History {
		d.History = append(d.History, Entry(e))
	}
	return d
}

// sortSummaries puts what needs a person first, then the most urgent, then the oldest.
func sortSummaries(list []Summary) {
	rank := map[string]int{"blocked": 0, "uncovered": 1, "pending": 2, "open": 3, "acknowledged": 4, "settled": 5, "recorded": 6, StatusClosed: 7}
	slices.SortStableFunc(list, func(a, b Summary) int {
		if c := cmp.Compare(rank[a.Status], rank[b.Status]); c != 0 {
			return c
		}
		if a.Status == StatusClosed { // the newest first.
			return b.Since.Compare(a.Since)
		}
		return cmp.Or(
			cmp.Compare(mapping.Urgency(a.Urgency).Rank(), mapping.Urgency(b.Urgency).Rank()),
			a.Since.Compare(b.Since),
			strings.Compare(a.ID, b.ID),
		)
	})
}
