package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/pagerelay/pagerelay/mapping"
)

// Limits of direct mode.
const (
	// directWait bounds how long a webhook waits for PagerDuty. Alertmanager gives
	// a notification at least 10 s (max(group_interval, 10s)), its retries included.
	directWait = 8 * time.Second
	// maxUnsaved bounds the closed incidents that wait in memory for the ledger.
	maxUnsaved = 10_000
	complain   = time.Minute
)

// unsaved is what is in memory and not on disk.
type unsaved struct {
	all    bool                // every incident.
	ids    map[string]struct{} // incidents changed or gone.
	closed []*Incident         // for the ledger.
	lost   int                 // closed ones that found no room.
	since  time.Time
	said   time.Time // when it was last logged.
}

// Direct says since when the disk has taken no commit; false if it takes them.
func (s *Store) Direct() bool { return s.direct.Load() }

func (s *Store) enterDirect(tx *transaction, err error) {
	u := &s.unsaved
	if u.ids == nil {
		u.ids = map[string]struct{}{}
	}
	for id := range tx.edited {
		u.ids[id] = struct{}{}
	}
	for id := range tx.archived {
		u.ids[id] = struct{}{}
	}
	u.closed = append(u.closed, tx.closed...)
	if over := len(u.closed) - maxUnsaved; over > 0 {
		u.closed = u.closed[over:]
		u.lost += over
	}
	if !s.direct.Load() {
		u.since = tx.now
	}
	if tx.now.Sub(u.said) >= complain {
		u.said = tx.now
		s.log.Error("DIRECT MODE: the disk does not take commits. Pages still go out; a webhook is answered 200 only once PagerDuty has accepted it",
			"err", err, "since", u.since, "file", s.path, "incidents_in_memory_only", len(u.ids))
	}
	s.direct.Store(true)
	s.met.direct.Set(1)
}

func (s *Store) leaveDirect() {
	u := &s.unsaved
	if !s.direct.Load() {
		*u = unsaved{} // what survived damage is stored now, too.
		return
	}
	s.log.Info("The disk takes commits again; everything is stored", "after", time.Since(u.since).Round(time.Second).String(), "incidents", len(u.ids), "ledger_entries_lost", u.lost)
	*u = unsaved{}
	s.direct.Store(false)
	s.met.direct.Set(0)
}

// awaitPagerDuty waits until PagerDuty holds what the observations ask for, or
// until the disk has taken them after all.
func (s *Store) awaitPagerDuty(ctx context.Context, obs []mapping.Observation) error {
	deadline := time.NewTimer(directWait)
	defer deadline.Stop()
	for {
		s.mu.RLock()
		published, direct := s.published, s.direct.Load()
		held := true
		for i := range obs {
			held = held && s.held(&obs[i])
		}
		s.mu.RUnlock()
		if held || !direct {
			return nil
		}
		select {
		case <-published:
		case <-ctx.Done():
			return fmt.Errorf("observe in direct mode: %w", context.Cause(ctx))
		case <-deadline.C:
			return fmt.Errorf("observe in direct mode: PagerDuty has not accepted everything yet: %w", ErrBusy)
		case <-s.closed:
			return ErrClosed
		}
	}
}

// held says whether PagerDuty holds what an observation asks for. The caller has
// the lock.
func (s *Store) held(o *mapping.Observation) bool {
	id, fp := IncidentID(o.Service, o.DedupKey), o.Alert.Fingerprint
	if o.Alert.Status == mapping.Resolved {
		for _, id := range s.index[fp] {
			if in := s.open[id]; in != nil && in.Members[fp] != nil && (in.firing() > 0 || in.Have != StateClosed) {
				return false // a partial resolve is known to nobody but us.
			}
		}
		return true
	}
	if o.Urgency == mapping.None || s.open[id].paged(fp) { // none asks for nothing.
		return true
	}
	for _, other := range s.index[fp] {
		if in := s.open[other]; in != nil && in.FallbackOf == id && in.paged(fp) {
			return true
		}
	}
	return false
}

// paged says whether PagerDuty has accepted the newest episode, and the alert is
// part of it.
func (in *Incident) paged(fp string) bool {
	return in != nil && in.Members[fp] != nil && in.Members[fp].Firing && in.AcceptedRevision >= in.Revision && in.Hole == nil && (in.Have != StateClosed || in.Urgency == mapping.Change)
}
