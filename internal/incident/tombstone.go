package incident

import (
	"maps"
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/mapping"
)

// TombstoneFor is how long a closed incident is remembered, to recognise a late firing.
const TombstoneFor = 7 * 24 * time.Hour

// Tombstone is what is remembered of a closed incident, to know a late firing by.
type Tombstone struct {
	ClosedAt time.Time        `json:"closed_at"`
	Ends     map[string]Ended `json:"ends"` // by fingerprint.
	// Lost are requests whose outcome was never known: they can land in what fires next.
	Lost []Doubt `json:"lost,omitempty"`
}

// Ended is a member's last resolve.
type Ended struct {
	// At is its endsAt, or when it was seen, if that was earlier: clocks differ, and
	// nothing ends after the moment at which it is told that it has.
	At time.Time `json:"at"`
	// Told is the endsAt itself where it is not At, to know the same resolve by when a
	// peer tells it too.
	Told time.Time `json:"told,omitzero"`
	// Started is the startsAt of the firing that ended. It is of the same clock as the
	// startsAt of what fires late.
	Started time.Time `json:"started,omitzero"`
	Seen    time.Time `json:"seen"`         // when it was seen here.
	By      string    `json:"by,omitempty"` // the externalURL that said so.
}

// ended is what a resolve says of a member.
func ended(o *mapping.Observation, m *Member, now time.Time) Ended {
	e := Ended{At: o.Alert.EndsAt, Started: m.Alert.StartsAt, Seen: now, By: o.ExternalURL}
	if e.At.IsZero() || e.At.After(now) {
		e.At, e.Told = now, o.Alert.EndsAt
	}
	return e
}

// told is the endsAt as it was told.
func (e Ended) told() time.Time {
	if e.Told.IsZero() {
		return e.At
	}
	return e.Told
}

// late says whether a firing may be of the time before this resolve: it is the very
// one that ended, or it began no later than that was told. One whose start is not
// known is taken for a new one: it pages.
func (e Ended) late(o *mapping.Observation) bool {
	starts := o.Alert.StartsAt
	if e.At.IsZero() || starts.IsZero() {
		return false
	}
	return !starts.After(e.At) || starts.Equal(e.Started)
}

// Close makes the incident one for the ledger. before is what is remembered of the
// last time that it closed, or nil.
func (in *Incident) Close(before *Tombstone, reason string, now time.Time) {
	in.ClosedAt = now
	in.PendingSince = time.Time{}
	in.Note(now, "closed", reason)
	in.ends = before.Older(in, now)
}

// NewTombstone is what is remembered of a closed incident.
func NewTombstone(in *Incident) *Tombstone {
	ts := &Tombstone{ClosedAt: in.ClosedAt, Ends: map[string]Ended{}, Lost: in.lostBefore()}
	maps.Copy(ts.Ends, in.ends)
	for fp, m := range in.Members {
		if !m.Ended.At.IsZero() {
			ts.Ends[fp] = m.Ended
		}
	}
	return ts
}

// Older are the ends that a tombstone remembers of alerts that have not come back
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
