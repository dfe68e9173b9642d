package incident

import "slices"

// EndedIn says whether everything that fires in an older record of an incident
// has ended in the one that was closed since.
func (in *Incident) EndedIn(closed *Incident) bool {
	for fp, m := range in.Members {
		if m.Firing && (closed.Members[fp] == nil || closed.Members[fp].Firing) {
			return false
		}
	}
	return true
}

// Merge adds what an older record of the incident knows: members that were not
// heard of since, and that PagerDuty may hold more than is remembered.
func (in *Incident) Merge(old *Incident) *Incident {
	c := in.Clone()
	for fp, m := range old.Members {
		if c.Members[fp] == nil {
			n := *m
			n.Revision = 0
			if m.Firing {
				c.Revision++ // it may never have been paged.
				n.Revision, n.Epoch = c.Revision, c.Epoch
			}
			c.Put(fp, &n)
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
