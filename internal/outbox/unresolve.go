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
	newest := map[string]bool{}
	err := s.Ledger(func(in *Incident) bool {
		if in.ClosedAt.Before(since) {
			return false
		}
		if in.Service == service && !newest[in.ID] && in.wasPaged() {
			resolved = append(resolved, in)
		}
		newest[in.ID] = true
		return true
	})
	if err != nil {
		return 0, fmt.Errorf("find what was resolved on service %s: %w", service, err)
	}
	n := 0
	err = s.change(ctx, func(tx *transaction) error {
		n = 0
		for _, old := range resolved {
			if tx.incident(old.ID) != nil {
				continue // it fires anew, or is back already.
			}
			in := old.clone()
			in.Have, in.Hole = StateUnknown, &Hole{Action: Resolve, Reason: h.Reason, Until: h.Until}
			in.ClosedAt, in.Intent, in.Echo = time.Time{}, nil, nil
			in.note(tx.now, "hole", "resolve without effect, as the audit knows only now: "+h.Reason)
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

// wasPaged says whether PagerDuty was told to open a closed incident.
func (in *Incident) wasPaged() bool {
	return in.Digest == nil && in.Urgency != mapping.Change && in.Urgency != mapping.None && in.Have == StateClosed && in.Attempted
}
