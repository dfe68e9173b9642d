package incident

import "time"

// CoverageState is what is known of whether PagerDuty pages somebody.
type CoverageState string

// The states of coverage.
const (
	CoverageNone      CoverageState = ""        // nobody audits the service: it is taken for covered.
	CoverageUnknown   CoverageState = "unknown" // it is audited, and the audit cannot tell.
	CoverageFull      CoverageState = "covered"
	CoverageUncovered CoverageState = "uncovered" // PagerDuty answers 202 and opens nothing.
)

// Coverage is what the last audit says of a service at this moment.
type Coverage struct {
	State CoverageState
	// Reason says why nobody is notified, Since when it began and Until when it ends; zero: not
	// known.
	Reason       string
	Since, Until time.Time
	// Maintenance: resolves are not applied either (PagerDuty, "Maintenance Windows":
	// incidents cannot be resolved through the Events API in one; an earlier edition
	// says so of disabled services, too, and to send one more costs nothing).
	Maintenance bool
}

// Uncovered is why a request that PagerDuty accepts has no effect.
type Uncovered struct {
	Reason string    `json:"reason"`
	Until  time.Time `json:"until,omitzero"` // zero: nobody knows.
}

func (c Coverage) uncovered() *Uncovered { return &Uncovered{Reason: c.Reason, Until: c.Until} }

// Uncovered returns why what PagerDuty accepted last had no effect, or nil if it had.
func (in *Incident) Uncovered() *Uncovered {
	if d := in.uncovered(); d != nil {
		return &Uncovered{Reason: d.Reason, Until: d.Until}
	}
	return nil
}

func (in *Incident) uncovered() *Doubt {
	if d := in.doubt(Trigger, CauseUncovered); d != nil {
		return d
	}
	return in.doubt(Resolve, CauseUncovered)
}

// setUncovered notes that the last request about an epoch had no effect.
func (in *Incident) setUncovered(about Action, u Uncovered, epoch, heard int, now time.Time) {
	in.wantChanged()
	in.covered()
	in.Have = StateUnknown
	in.addDoubt(Doubt{About: about, Cause: CauseUncovered, At: now, Epoch: epoch, Reason: u.Reason, Until: u.Until, Heard: heard})
}

// covered notes that what PagerDuty accepted last has its effect.
func (in *Incident) covered() {
	in.dropDoubts(func(d *Doubt) bool { return d.Cause == CauseUncovered })
}

// UnauditedSince is when the last trigger was accepted, if no audit could tell then
// whether somebody is notified; else false.
func (in *Incident) UnauditedSince() (time.Time, bool) {
	d := in.doubt(Trigger, CauseUnaudited)
	if d == nil {
		return time.Time{}, false
	}
	return d.At, true
}

// heard is the newest revision that somebody was notified of, as far as is known.
func (in *Incident) heard() int {
	if d := in.uncovered(); d != nil && d.Epoch == in.Epoch {
		return min(in.AcceptedRevision, d.Heard)
	}
	return in.AcceptedRevision
}

// without is why a request that leaves now has no effect; nil if it has one.
func (in *Incident) without(a Action, c Coverage, now time.Time) *Uncovered {
	switch d := in.doubt(a, CauseUncovered); {
	case c.State == CoverageUncovered && (a == Trigger || (a == Resolve && c.Maintenance)):
		return c.uncovered()
	case d != nil && c.State == CoverageUnknown && d.holds(c, now):
		return in.Uncovered() // nobody knows that it is over.
	}
	return nil
}

// joins says whether a trigger only joins what PagerDuty is known to hold: that
// needs nobody on call. A new firing does not: somebody may have closed the
// incident there, and is to hear of the next one.
func (in *Incident) joins(ev Evidence) bool {
	return in.Revision <= in.AcceptedRevision && (in.Have == StateOpen || in.Have == StateAcknowledged) &&
		in.doubt(Trigger, CauseUnaudited) == nil && (in.KeyHash == "" || in.KeyHash == ev.KeyHash)
}

// holds says whether what is uncovered is so still, and waits for the end of that.
func (d *Doubt) holds(c Coverage, now time.Time) bool {
	switch c.State {
	case CoverageUncovered:
		return d.About == Trigger || c.Maintenance
	case CoverageUnknown:
		return d.Until.IsZero() || now.Before(d.Until)
	case CoverageNone, CoverageFull:
	}
	return false
}

// waitsForCover says whether PagerDuty has been told all that can be said until
// somebody can be notified, or a maintenance window is over.
func (in *Incident) waitsForCover() bool {
	d := in.uncovered()
	if d == nil || in.Have != StateUnknown || in.Intent != nil {
		return false
	}
	if in.Firing() > 0 {
		return in.Revision <= in.AcceptedRevision
	}
	return d.About == Resolve
}

// effect notes whether a request that PagerDuty has accepted had its effect. accepted
// and heard are what AcceptedRevision and heard were before it.
func (in *Incident) effect(it *Intent, accepted, heard int, now time.Time) {
	var was Action // that had no effect.
	if d := in.uncovered(); d != nil {
		was = d.About
	}
	if d := in.doubt(Trigger, CauseUnaudited); d != nil && it.Action == Trigger {
		heard = min(heard, d.Heard)
		in.dropDoubts(func(d *Doubt) bool { return d.Cause == CauseUnaudited })
	}
	switch {
	case it.Uncovered != nil:
		in.setUncovered(it.Action, *it.Uncovered, it.Epoch, heard, now)
		in.Note(now, "uncovered", string(it.Action)+" without effect: "+it.Uncovered.Reason)
	case it.Action == Trigger && was == Resolve:
		// It may have joined what that resolve did not close.
		if heard == accepted {
			heard = in.AcceptedRevision
		}
		in.setUncovered(Trigger, *in.Uncovered(), it.Epoch, heard, now)
	case it.Action == Trigger:
		in.covered()
	case it.Action == Resolve && was != "":
		in.covered()
		in.pageAgain(heard)
	}
	if it.Action == Trigger && it.Unaudited {
		in.addDoubt(Doubt{About: Trigger, Cause: CauseUnaudited, At: now, Epoch: it.Epoch, Heard: heard})
	}
}

// pageAgain makes what fires a page like any other that has not been accepted.
func (in *Incident) pageAgain(heard int) {
	if in.Firing() > 0 && in.AcceptedRevision >= in.Revision {
		in.AcceptedRevision, in.PendingSince = min(heard, in.Revision-1), in.LastTrigger
	}
}

// alsoToFallback copies a page that nobody would hear of to the service's
// fallback, before it is sent.
func alsoToFallback(in *Incident, ev Evidence, now time.Time) (Decision, bool) {
	why := in.without(Trigger, ev.Coverage, now)
	if why == nil || !in.Urgency.Opens() || ev.Fallback == "" || in.FallbackRevision >= in.Revision || in.loud() == 0 {
		return Decision{}, false
	}
	return Decision{Kind: Perform, Step: StepFallback, Reason: why.Reason}, true
}

// nextUnaudited decides about a trigger that was accepted before an audit could tell
// whether it opened anything: after a start, or in a maintenance window that was begun
// between two audits.
func nextUnaudited(in *Incident, ev Evidence) (Decision, bool) {
	unaudited := in.doubt(Trigger, CauseUnaudited) != nil
	c := ev.Coverage
	if unaudited && (ev.Then.State == CoverageUncovered || ev.Then.State == CoverageFull) {
		c = ev.Then
	}
	began := c.State == CoverageUncovered && c.Maintenance && !c.Since.IsZero() && !in.OpenedAt.IsZero() && !in.OpenedAt.Before(c.Since)
	switch {
	case in.uncovered() != nil || (in.Have != StateOpen && in.Have != StateAcknowledged):
	case began, unaudited && c.State == CoverageUncovered:
		return Decision{
			Kind: Perform, Step: StepUncovered, Uncovered: c.uncovered(),
			Reason: "PagerDuty opened nothing, the audit says: " + c.Reason,
		}, true
	case unaudited && c.State != CoverageUncovered && c.State != CoverageUnknown:
		return Decision{Kind: Perform, Step: StepCovered, Reason: "somebody is notified, the audit says"}, true
	}
	return Decision{}, false
}

// audited takes in what an audit says of a trigger that was accepted before it could tell.
func (in *Incident) audited(u *Uncovered, now time.Time) {
	heard := 0
	if d := in.doubt(Trigger, CauseUnaudited); d != nil {
		heard = d.Heard
	}
	in.dropDoubts(func(d *Doubt) bool { return d.Cause == CauseUnaudited })
	if u != nil {
		in.setUncovered(Trigger, *u, in.Epoch, heard, now)
	}
}

// nextUncovered decides for an incident that fires and whose trigger opened nothing.
func nextUncovered(in *Incident, d *Doubt, ev Evidence, class Class, now time.Time) Decision {
	if d, ok := alsoToFallback(in, ev, now); ok { // it was not configured, or not known, before.
		return d
	}
	if d.holds(ev.Coverage, now) {
		if !in.RepeatAt.IsZero() && !ahead(in.LastTrigger.Add(refreshEvery), now, refreshEvery) {
			return send(Trigger, ClassRefresh, "Alertmanager repeats it") // the audit may be wrong.
		}
		return d.wait(ev.Coverage, now, "PagerDuty accepted the trigger and opened nothing: ")
	}
	switch {
	case in.Want() == StateAcknowledged && !in.Urgency.AutoAcks():
		return Decision{Kind: Idle, Reason: "all that fires is muted in Alertmanager"}
	case in.Have != StateClosed && in.resolvable(ev):
		// New pages go before it; the trigger that follows goes before the next of these.
		return send(Resolve, resolveClass(in.Urgency), "to be triggered again, now that somebody can be notified")
	}
	return send(Trigger, class, "somebody can be notified now; before, nobody could: "+d.Reason)
}

// wait waits for the end of what is uncovered; where that is not known, for the next audit.
func (d *Doubt) wait(c Coverage, now time.Time, what string) Decision {
	until := d.Until
	if c.State == CoverageUncovered {
		until = c.Until
	}
	if until.After(now) {
		return wait(until, what+d.Reason)
	}
	return Decision{Kind: Idle, Reason: what + d.Reason}
}
