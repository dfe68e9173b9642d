package incident

import (
	"maps"
	"slices"
	"time"
)

// tombstoneFor is how long a closed incident is remembered, to recognise a late firing.
const TombstoneFor = 7 * 24 * time.Hour

// Tombstone is what is remembered of a closed incident, to know a late firing by.
type Tombstone struct {
	ClosedAt time.Time        `json:"closed_at"`
	Ends     map[string]Ended `json:"ends"` // by fingerprint.
	// Requests whose outcome was never known; they can still land in what fires next.
	AmbiguousResolve time.Time `json:"ambiguous_resolve,omitzero"`
	AmbiguousAck     time.Time `json:"ambiguous_ack,omitzero"`
}

// Ended is a member's last resolve.
type Ended struct {
	At   time.Time `json:"at"`           // endsAt.
	Seen time.Time `json:"seen"`         // when it was seen here.
	By   string    `json:"by,omitempty"` // the externalURL that said so.
}

// close makes the incident one for the ledger. before is what is remembered of the
// last time that it closed, or nil.
func (in *Incident) Close(before *Tombstone, reason string, now time.Time) {
	in.ClosedAt = now
	in.PendingSince = time.Time{}
	in.Note(now, "closed", reason)
	in.ends = before.Older(in, now)
}

func NewTombstone(in *Incident) *Tombstone {
	ts := &Tombstone{
		ClosedAt: in.ClosedAt, Ends: map[string]Ended{},
		AmbiguousResolve: in.AmbiguousResolve, AmbiguousAck: in.AmbiguousAck,
	}
	maps.Copy(ts.Ends, in.ends)
	for fp, m := range in.Members {
		if !m.EndedAt.IsZero() {
			ts.Ends[fp] = Ended{At: m.EndedAt, Seen: m.EndedSeen, By: m.EndedBy}
		}
	}
	return ts
}

// older are the ends that a tombstone remembers of alerts that have not come back
// with the incident: a shared one may close again before all that is late has come.
func (ts *Tombstone) Older(in *Incident, now time.Time) map[string]Ended {
	if ts == nil {
		return nil
	}
	ends := maps.Clone(ts.Ends)
	maps.DeleteFunc(ends, func(fp string, e Ended) bool { return in.Members[fp] != nil || now.Sub(e.Seen) > TombstoneFor })
	if over := len(ends) - maxResolved; over > 0 {
		oldest := slices.SortedFunc(maps.Keys(ends), func(a, b string) int { return ends[a].Seen.Compare(ends[b].Seen) })
		for _, fp := range oldest[:over] {
			delete(ends, fp)
		}
	}
	return ends
}
