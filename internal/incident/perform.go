package incident

import "time"

// Apply applies a step that Next decided upon. For StepFallback, fallback is the
// service that gets the copy.
func Apply(t Table, in *Incident, d Decision, fallback string, now time.Time) {
	switch d.Step {
	case StepForget:
		t.Archive(in, d.Reason)
	case StepFallback:
		copyTo(t, in, fallback, d.Reason, now)
	case StepDrop:
		in.apply(t, d, now)
		t.Archive(in, d.Reason)
	case StepAdmit, StepDismiss, StepSupersede, StepDisregard, StepExpire, StepBlock, StepUncovered, StepCovered:
		in.apply(t, d, now)
		leaveMoved(t, in, now)
	}
}

// apply makes the change of a step that stays within the incident.
func (in *Incident) apply(t Table, d Decision, now time.Time) {
	switch d.Step {
	case StepAdmit:
		for fp, m := range in.Members {
			if m.Late != nil {
				in.describe(m.Late.As)
				in.begin(t, fp, now)
				observeMoves(t, m.Late.As, m.Late.Routes, now)
			}
		}
	case StepDismiss:
		for fp, m := range in.Members {
			if m.Late != nil {
				c := *m
				c.Late = nil
				in.Put(fp, &c)
				t.Count(CountedDismissed)
			}
		}
	case StepSupersede:
		for fp, m := range in.Members {
			if m.Firing {
				in.End(fp, Ended{At: now, Seen: now, By: endedByAbsence}, t.Limited(in.Service), now)
			}
		}
	case StepDisregard:
		in.disregard(t, now)
	case StepExpire:
		for fp, m := range in.Members {
			if m.Firing && !m.ExpiresAt.IsZero() && !now.Before(m.ExpiresAt) {
				in.End(fp, Ended{At: m.ExpiresAt, Seen: now, By: "endsAt"}, t.Limited(in.Service), now)
			}
		}
	case StepBlock:
		in.Blocked = &Blocked{Reason: d.Reason, At: now}
	case StepDrop:
		t.Count(CountedUnsent)
		in.Have = StateClosed
	case StepUncovered:
		in.audited(d.Uncovered, now)
	case StepCovered:
		in.audited(nil, now)
	case StepForget, StepFallback: // they do more: perform.
	}
	in.Note(now, string(d.Step), d.Reason)
	in.settle(now)
}

// copyTo makes or renews the copy of an incident on its service's fallback.
func copyTo(t Table, in *Incident, service, reason string, now time.Time) {
	id := ID(service, in.DedupKey)
	c := t.Edit(id)
	if c == nil {
		c = &Incident{
			ID: id, Told: Told{Have: StateClosed}, Members: map[string]*Member{}, CreatedAt: now,
			Copy: Copy{FallbackFrom: in.Service, FallbackOf: in.ID},
		}
		t.Create(c)
	}
	c.Subject, c.FallbackReason = in.Subject, reason
	c.Service = service
	for fp, m := range in.Members {
		if !m.Firing {
			continue
		}
		if have := c.Members[fp]; have != nil && have.Firing && !m.Alert.StartsAt.After(have.Alert.StartsAt) {
			continue
		}
		n := *m
		n.Firing = c.Members[fp] != nil && c.Members[fp].Firing
		c.Put(fp, &n)
		t.Hold(fp, id)
		c.begin(t, fp, now)
	}
	c.Note(now, "received", "in place of service "+in.Service+": "+reason)
	in.FallbackRevision = in.Revision
	in.Note(now, "fallback", "copied to service "+service+": "+reason)
}
