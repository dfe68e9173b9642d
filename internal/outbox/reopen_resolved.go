package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// ReopenResolved brings back what was resolved on a service since a maintenance window
// began there, if the audit knew of that window only afterwards: PagerDuty applied
// none of these resolves. They wait for the end of the window, and are resolved
// then. It returns how many came back.
func (s *Store) ReopenResolved(ctx context.Context, service string, since time.Time, u incident.Uncovered) (int, error) {
	var resolved []*incident.Incident
	newest := map[[2]string]bool{} // by id and key: each key may hold an incident of its own.
	err := s.Ledger(func(in *incident.Incident) bool {
		if in.ClosedAt.Before(since) {
			return false
		}
		k := [2]string{in.ID, in.KeyHash}
		if in.Service == service && !newest[k] && !in.LastResolve.Before(since) && in.WasPaged() {
			resolved = append(resolved, in)
		}
		newest[k] = newest[k] || in.WasPaged() // one that was never sent has changed nothing there.
		return true
	})
	if err != nil {
		return 0, fmt.Errorf("find what was resolved on service %s: %w", service, err)
	}
	n := 0
	err = s.change(ctx, func(tx *transaction) error {
		n = 0
		for _, in := range s.List() { // what is resolved and kept, as it is muted.
			if in = tx.Incident(in.ID); in == nil || in.Service != service || in.Firing() > 0 || in.Uncovered() != nil ||
				in.Intent != nil || in.LastResolve.Before(since) || !in.WasPaged() {
				continue
			}
			tx.Edit(in.ID).Swallowed(u, tx.now)
			n++
		}
		for _, old := range resolved {
			if incident.ReopenResolved(tx, old, u, tx.now) {
				n++
			}
		}
		return nil
	})
	return n, err
}
