package outbox

import (
	"slices"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// take adds what was read from the file to what is in memory, which is newer.
func (s *Store) take(incidents []*incident.Incident) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changedMu.Lock()
	defer s.changedMu.Unlock()
	for _, in := range incidents {
		if _, again := s.took[in.ID]; again {
			continue
		}
		if mem := s.open[in.ID]; mem != nil {
			in = mem.Merge(in)
		} else if closed := s.unsaved.ended[in.ID]; closed != nil && in.Digest == nil && in.EndedIn(closed) {
			if (in.Have == incident.StateClosed && in.Revision <= in.AcceptedRevision && len(in.Missed) == 0) || (!closed.LastResolve.IsZero() && closed.KeyHash == in.KeyHash) {
				continue
			}
			in = in.Clone() // it was never paged, which is to be told; or PagerDuty holds it: it was closed without a resolve, or under another key.
			for fp, m := range in.Members {
				if end := closed.Members[fp]; m.Firing {
					in.End(fp, end.Ended, false, closed.ClosedAt)
				}
			}
		}
		s.open[in.ID] = in
		s.changed[in.ID] = struct{}{}
		for fp := range in.Members {
			if !slices.Contains(s.index[fp], in.ID) {
				s.index[fp] = append(s.index[fp], in.ID)
			}
		}
	}
	select {
	case s.notify <- struct{}{}:
	default:
	}
}
