package incident

import (
	"time"
)

// ReopenResolved brings a closed incident back whose resolve had no effect. It says
// whether it did: the incident may fire again, or be back already.
func ReopenResolved(t Table, closed *Incident, u Uncovered, now time.Time) bool {
	in := closed.Clone()
	if live := t.Incident(in.ID); live != nil && !in.Parted && live.KeyHash != "" && live.KeyHash != in.KeyHash {
		in.ID, in.Parted = partedID(in.ID, in.KeyHash), true
	}
	if t.Incident(in.ID) != nil {
		return false
	}
	in.ClosedAt, in.Intent = time.Time{}, nil
	in.Swallowed(u, now)
	t.Create(in)
	for fp := range in.Members {
		t.Hold(fp, in.ID)
	}
	return true
}

// Swallowed notes that the last resolve had no effect.
func (in *Incident) Swallowed(u Uncovered, now time.Time) {
	in.setUncovered(Resolve, u, in.Epoch, in.heard(), now)
	in.Note(now, "uncovered", "resolve without effect, as the audit knows only now: "+u.Reason)
}

// WasPaged says whether PagerDuty was told to open a closed incident.
func (in *Incident) WasPaged() bool {
	paged := in.Attempted || !in.LastTrigger.IsZero() // in its last epoch, or in one before that was over first.
	return in.Urgency.Opens() && in.Have == StateClosed && paged
}
