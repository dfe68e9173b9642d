package incident

import (
	"time"
)

// CoverageState is what is known of whether PagerDuty pages somebody.
type CoverageState string

// The states of coverage.
const (
	CoverageNone    CoverageState = ""        // nobody audits the service: it is taken for covered.
	CoverageUnknown CoverageState = "unknown" // it is audited, and the audit cannot tell.
	CoverageFull    CoverageState = "covered"
	CoverageHole    CoverageState = "hole" // PagerDuty answers 202 and opens nothing.
)

// Coverage is what the last audit says of a service at this moment.
type Coverage struct {
	State CoverageState
	// Reason says, of a hole, why, Since when it began and Until when it ends; zero: not
	// known.
	Reason       string
	Since, Until time.Time
	// Maintenance: resolves are not applied either (PagerDuty, "Maintenance Windows":
	// incidents cannot be resolved through the Events API in one; an earlier edition
	// says so of disabled services, too, and to send one more costs nothing).
	Maintenance bool
}

// Hole is why something that PagerDuty accepted had no effect.
type Hole struct {
	Action Action    `json:"action"` // what fell into it: a trigger or a resolve.
	Reason string    `json:"reason"`
	Until  time.Time `json:"until,omitzero"`
}

// into is the hole that a request of the given kind falls into.
func (c Coverage) into(a Action) *Hole { return &Hole{Action: a, Reason: c.Reason, Until: c.Until} }

// hole is what a request that leaves now falls into; nil if it has its effect.
func (in *Incident) hole(a Action, c Coverage, now time.Time) *Hole {
	switch {
	case a == Resolve && !c.Maintenance && c.State == CoverageHole:
	case (a == Trigger || a == Resolve) && c.State == CoverageHole:
		return c.into(a)
	case in.Hole != nil && in.Hole.Action == a && c.State == CoverageUnknown && in.Hole.stillIn(c, now):
		return in.Hole // nobody knows that it is over.
	}
	return nil
}

// joins says whether a trigger only joins what PagerDuty is known to hold: that
// needs nobody on call. A new episode does not: somebody may have closed the
// incident there, and is to hear of the next one.
func (in *Incident) joins(ev Evidence) bool {
	return in.Revision <= in.AcceptedRevision && (in.Have == StateOpen || in.Have == StateAcknowledged) &&
		!in.Unsure && (in.KeyHash == "" || in.KeyHash == ev.KeyHash)
}

// stillIn says whether what fell into the hole is to wait for its end.
func (h *Hole) stillIn(c Coverage, now time.Time) bool {
	switch c.State {
	case CoverageHole:
		return h.Action == Trigger || c.Maintenance
	case CoverageUnknown:
		return h.Until.IsZero() || now.Before(h.Until)
	case CoverageNone, CoverageFull:
	}
	return false
}

// waitsForHole says whether PagerDuty has been told all that can be said until a
// hole is over.
func (in *Incident) waitsForHole() bool {
	if in.Hole == nil || in.Have != StateUnknown || in.Intent != nil {
		return false
	}
	if in.Firing() > 0 {
		return in.Revision <= in.AcceptedRevision
	}
	return in.Hole.Action == Resolve
}

// fell notes whether a request that PagerDuty has accepted had its effect. again: a
// trigger of this revision was accepted before, and whether anybody heard is known by that.
func (in *Incident) fell(it *Intent, again bool, now time.Time) {
	trigger := it.Action == Trigger
	if trigger {
		in.Unsure = it.Unsure
	}
	switch {
	case it.Hole != nil:
		in.Have, in.Hole, in.Echo = StateUnknown, it.Hole, nil
		if trigger && !again {
			in.UnheardEpoch = it.Epoch
		}
		in.Note(now, "hole", string(it.Action)+" without effect: "+it.Hole.Reason)
	case trigger && in.Hole != nil && in.Hole.Action == Resolve:
		// It may have joined what that resolve did not close.
		in.Have, in.Hole = StateUnknown, &Hole{Action: Trigger, Reason: in.Hole.Reason, Until: in.Hole.Until}
	case trigger:
		in.Hole, in.UnheardEpoch = nil, 0
	case it.Action == Resolve && in.Firing() == 0:
		in.Hole = nil
	case it.Action == Resolve && in.Hole != nil: // now it is a page like any other that has not been accepted.
		in.Hole, in.AcceptedRevision = nil, min(in.AcceptedRevision, in.Revision-1)
		in.PendingSince = in.LastTrigger
	}
}

// unheard says whether nobody has heard of the present epoch, although PagerDuty
// has accepted it.
func (in *Incident) unheard() bool { return in.UnheardEpoch > 0 && in.UnheardEpoch == in.Epoch }

// alsoToFallback copies a page that nobody would hear of to the service's
// fallback, before it is sent.
func alsoToFallback(in *Incident, ev Evidence, now time.Time) (Decision, bool) {
	hole := in.hole(Trigger, ev.Coverage, now)
	if hole == nil || !in.Urgency.Opens() || ev.Fallback == "" || in.FallbackRevision >= in.Revision || in.loud() == 0 {
		return Decision{}, false
	}
	return Decision{Kind: Perform, Step: StepFallback, Reason: hole.Reason}, true
}

// nextDoubt decides about a trigger that was accepted before an audit could tell
// whether it opened anything: after a start, or in a maintenance window that was begun
// between two audits.
func nextDoubt(in *Incident, ev Evidence) (Decision, bool) {
	c := ev.Coverage
	if in.Unsure && (ev.Then.State == CoverageHole || ev.Then.State == CoverageFull) {
		c = ev.Then
	}
	began := c.State == CoverageHole && c.Maintenance && !c.Since.IsZero() && !in.OpenedAt.IsZero() && !in.OpenedAt.Before(c.Since)
	switch {
	case in.Hole != nil || (in.Have != StateOpen && in.Have != StateAcknowledged):
	case began, in.Unsure && c.State == CoverageHole:
		return Decision{
			Kind: Perform, Step: StepUnheard, Hole: c.into(Trigger),
			Reason: "PagerDuty opened nothing, the audit says: " + c.Reason,
		}, true
	case in.Unsure && c.State != CoverageHole && c.State != CoverageUnknown:
		return Decision{Kind: Perform, Step: StepHeard, Reason: "somebody hears of it, the audit says"}, true
	}
	return Decision{}, false
}

// nextInHole decides for an incident that fires and whose trigger opened nothing.
func nextInHole(in *Incident, ev Evidence, class Class, now time.Time) Decision {
	if d, ok := alsoToFallback(in, ev, now); ok { // it was not configured, or not known, before.
		return d
	}
	if in.Hole.stillIn(ev.Coverage, now) {
		if !in.RepeatAt.IsZero() && !ahead(in.LastTrigger.Add(refreshEvery), now, refreshEvery) {
			return send(Trigger, ClassRefresh, "Alertmanager repeats it") // the audit may be wrong.
		}
		return in.Hole.wait(ev.Coverage, now, "PagerDuty accepted the trigger and opened nothing: ")
	}
	switch {
	case in.Want() == StateAcknowledged && !in.Urgency.AutoAcks():
		return Decision{Kind: Idle, Reason: "all that fires is muted in Alertmanager"}
	case in.Have != StateClosed && in.resolvable(ev):
		// New pages go before it; the trigger that follows goes before the next of these.
		return send(Resolve, resolveClass(in.Urgency), "to be triggered again, now that it is heard")
	}
	return send(Trigger, class, "it is heard now; before it was not: "+in.Hole.Reason)
}

// wait waits for the end of a hole; where that is not known, for the next audit.
func (h *Hole) wait(c Coverage, now time.Time, what string) Decision {
	until := h.Until
	if c.State == CoverageHole {
		until = c.Until
	}
	if until.After(now) {
		return wait(until, what+h.Reason)
	}
	return Decision{Kind: Idle, Reason: what + h.Reason}
}
