package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/pagerelay/pagerelay/mapping"
)

// Unresolve brings back what was resolved on a service since a maintenance window
// began there, if the audit knew of that window only afterwards: PagerDuty applied
// none of these resolves. They wait for the end of the window, and are resolved
// then. It returns how many came back.
func (s *Store) Unresolve(ctx context.Context, service string, since time.Time, h Hole) (int, error) {
	var resolved []*Incident
	newest := map[[2]string]bool{} // by id and key: each key may hold an incident of its own.
	err := s.Ledger(func(in *Incident) bool {
		if in.ClosedAt.Before(since) {
			return false
		}
		k := [2]string{in.ID, in.KeyHash}
		if in.Service == service && !newest[k] && !in.LastResolve.Before(since) && in.wasPaged() {
			resolved = append(resolved, in)
		}
		newest[k] = newest[k] || in.wasPaged() // one that was never sent has changed nothing there.
		return true
	})
	if err != nil {
		return 0, fmt.Errorf("find what was resolved on service %s: %w", service, err)
	}
	n := 0
	err = s.change(ctx, func(tx *transaction) error {
		n = 0
		for _, in := range s.List() { // what is resolved and kept, as it is muted.
			if in = tx.incident(in.ID); in == nil || in.Service != service || in.firing() > 0 || in.Hole != nil ||
				in.Intent != nil || in.LastResolve.Before(since) || !in.wasPaged() {
				continue
			}
			tx.edit(in.ID).swallowed(h, tx.now)
			n++
		}
		for _, old := range resolved {
			in := old.clone()
			if now := tx.incident(in.ID); now != nil && !in.Parted && now.KeyHash != "" && now.KeyHash != in.KeyHash {
				in.ID, in.Parted = partedID(in.ID, in.KeyHash), true
			}
			if tx.incident(in.ID) != nil {
				continue // it fires anew, or is back already.
			}
			in.ClosedAt, in.Intent = time.Time{}, nil
			in.swallowed(h, tx.now)
			tx.create(in)
			for fp := range in.Members {
				tx.hold(fp, in.ID)
			}
			n++
		}
		return nil
	})
	return n, err
}

// swallowed notes that the last resolve had no effect.
func (in *Incident) swallowed(h Hole, now time.Time) {
	in.Have, in.Hole, in.Echo = StateUnknown, &Hole{Action: Resolve, Reason: h.Reason, Until: h.Until}, nil
	in.note(now, "hole", "resolve without effect, as the audit knows only now: "+h.Reason)
}

// wasPaged says whether PagerDuty was told to open a closed incident.
func (in *Incident) wasPaged() bool {
	paged := in.Attempted || !in.LastTrigger.IsZero() // in its last epoch, or in one before that was over first.
	return in.Digest == nil && in.Urgency != mapping.Change && in.Urgency != mapping.None && in.Have == StateClosed && paged
}
