package outbox

import "slices"

// take adds what was read from the file to what is in memory, which is newer.
func (s *Store) take(incidents []*Incident) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changedMu.Lock()
	defer s.changedMu.Unlock()
	for _, in := range incidents {
		if _, again := s.took[in.ID]; again {
			continue
		}
		if mem := s.open[in.ID]; mem != nil {
			in = mem.merge(in)
		} else if closed := s.unsaved.ended[in.ID]; closed != nil && in.Digest == nil && in.endedIn(closed) {
			if (in.Have == StateClosed && in.Revision <= in.AcceptedRevision && len(in.Missed) == 0) || (!closed.LastResolve.IsZero() && closed.KeyHash == in.KeyHash) {
				continue
			}
			in = in.clone() // it was never paged, which is to be told; or PagerDuty holds it: it was closed without a resolve, or under another key.
			for fp, m := range in.Members {
				if end := closed.Members[fp]; m.Firing {
					in.end(fp, Ended{At: end.EndedAt, Seen: end.EndedSeen, By: end.EndedBy}, closed.ClosedAt)
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

// endedIn says whether everything that fires in an older record of an incident
// has ended in the one that was closed since.
func (in *Incident) endedIn(closed *Incident) bool {
	for fp, m := range in.Members {
		if m.Firing && (closed.Members[fp] == nil || closed.Members[fp].Firing) {
			return false
		}
	}
	return true
}

// merge adds what an older record of the incident knows: members that were not
// heard of since, and that PagerDuty may hold more than is remembered.
func (in *Incident) merge(old *Incident) *Incident {
	c := in.clone()
	for fp, m := range old.Members {
		if c.Members[fp] == nil {
			n := *m
			n.Episode = 0
			if m.Firing {
				c.Revision++ // it may never have been paged.
				n.Episode, n.Epoch = c.Revision, c.Epoch
			}
			c.put(fp, &n)
		}
	}
	c.Missed = slices.Concat(c.Missed, old.Missed)
	if c.Digest != nil && old.Digest != nil && old.Revision > old.AcceptedRevision { // it was not told either.
		switch {
		case c.Intent != nil:
			it := *c.Intent
			it.Grown = it.Grown.copied().with(old.Digest)
			c.Intent = &it
		case c.AcceptedRevision >= c.Revision:
			c.Digest = old.Digest
		default:
			c.Digest = c.Digest.with(old.Digest)
		}
		c.Revision++
	}
	c.Version = max(c.Version, old.Version) + 1
	if c.Have == StateClosed && old.Have != StateClosed {
		c.Have = StateUnknown
	}
	if c.KeyHash == "" {
		c.KeyHash = old.KeyHash
	}
	return c
}
