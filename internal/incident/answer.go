package incident

import (
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/internal/mutant"
	"github.com/pagerelay/pagerelay/mapping"
)

// OutcomeKind is what became of a request.
type OutcomeKind string

// The outcomes.
const (
	OutcomeAccepted  OutcomeKind = "accepted"  // PagerDuty has it.
	OutcomeRefused   OutcomeKind = "refused"   // never as it is: the minimal event once, then fallback and blocked.
	OutcomeBadKey    OutcomeKind = "bad_key"   // a fault of the lane.
	OutcomeThrottled OutcomeKind = "throttled" // not ingested.
	OutcomeUnsent    OutcomeKind = "unsent"    // nothing left.
	OutcomeUnknown   OutcomeKind = "unknown"   // may have been applied: time-out, reset, 5xx, a stranger's answer, a crash.
)

// Outcome is what became of a request.
type Outcome struct {
	Kind    OutcomeKind
	Message string          // PagerDuty's words, one line, no secret.
	RetryAt time.Time       // for unsent and unknown: not before.
	Faults  []mapping.Fault // of the event, as it was rendered.
}

// Start records the intent of a request that Next decided upon, which is about to
// leave under the routing key that keyHash tells from others.
func Start(t Table, in *Incident, d Decision, keyHash string, now time.Time) {
	if d.Action == Trigger {
		if in.KeyHash != "" && in.KeyHash != keyHash && (in.Have != StateClosed || in.triggerCanLand(now)) {
			part(t, in, now)
		}
		absorb(t, in, keyHash)
	}
	in.Started(d, keyHash, now)
}

// Started records the intent of a request.
func (in *Incident) Started(d Decision, keyHash string, now time.Time) {
	in.Intent = &Intent{
		Action: d.Action, Revision: in.Revision, Epoch: in.Epoch, At: now, Prev: in.Have,
		Reason: d.Reason, FollowUp: d.FollowUp, Minimal: in.Minimal, RepeatAt: in.RepeatAt, Uncovered: d.Uncovered, Unaudited: d.Unaudited,
	}
	if d.Action == Trigger {
		in.KeyHash = keyHash
		in.Attempted = true
	}
	if in.KeyHash == "" {
		in.KeyHash = keyHash
	}
}

// Finish records what became of the request in flight. sent is that request; it
// stands in where its intent could not be stored before it left.
func Finish(t Table, in *Incident, sent Intent, keyHash string, o Outcome, now time.Time) {
	if in.Intent == nil {
		in.Intent, in.KeyHash, in.Attempted = &sent, keyHash, true
	}
	in.Finished(o, now)
	leaveMoved(t, in, now)
}

// Interrupted takes in that the process ended, and with it the request in flight:
// nobody knows what became of it.
func (in *Incident) Interrupted(now time.Time) {
	if mutant.On(mutant.IntentForgottenByCrash) && in.Intent != nil {
		in.Have, in.Intent = in.Intent.Prev, nil
	}
	if in.Intent != nil {
		in.Finished(Outcome{Kind: OutcomeUnknown, Message: "the process ended before the answer was stored"}, now)
	}
}

// Finished records what became of the request in flight.
func (in *Incident) Finished(o Outcome, now time.Time) {
	it := in.Intent
	if it == nil {
		return
	}
	in.Intent = nil
	in.Note(now, "answer", it.answered(o))
	in.regrow(it, o.Kind == OutcomeAccepted || (o.Kind == OutcomeRefused && it.Minimal), now)
	if it.FollowUp && o.arrived() {
		in.followedUp(it.Action)
	}
	switch o.Kind {
	case OutcomeAccepted:
		in.accepted(it, now)
	case OutcomeRefused:
		in.refused(it, o.Message, now)
	case OutcomeBadKey:
		in.Have, in.KeyFault = it.Prev, o.Message
	case OutcomeThrottled:
		in.Have = it.Prev
		if it.Action == Trigger && in.Urgency.First() && it.Revision > in.AcceptedRevision && it.Epoch == in.Epoch {
			in.Guaranteed = max(in.Guaranteed, it.Revision) // it waits for nothing but the rate limit.
		}
	case OutcomeUnsent:
		in.Have = it.Prev
		in.Attempts, in.NotBefore = in.Attempts+1, o.RetryAt
	case OutcomeUnknown:
		in.Attempts, in.NotBefore = in.Attempts+1, o.RetryAt
		in.lost(it, now)
	}
	if (o.Kind != OutcomeAccepted || it.Uncovered != nil) && (in.Firing() > 0 || !in.guaranteed()) { // what is guaranteed is paged.
		in.Missed = slices.Concat(in.Missed, it.Missed)
	}
	// A request that was neither accepted nor may have been is no attempt.
	if o.Kind != OutcomeAccepted && o.Kind != OutcomeUnknown && it.Prev == StateClosed && in.doubt(Trigger, CauseLost) == nil {
		in.Attempted = false
	}
	in.settle(now)
}

// answered says, for the ledger, what became of a request.
func (it *Intent) answered(o Outcome) string {
	text := string(it.Action) + " (" + it.Reason + ")" + faultsText(o.Faults) + ": " + string(o.Kind)
	if o.Message != "" && o.Kind != OutcomeAccepted {
		text += ": " + o.Message
	}
	return text
}

// arrived says whether PagerDuty has seen the request, or may have.
func (o Outcome) arrived() bool {
	return o.Kind == OutcomeAccepted || o.Kind == OutcomeRefused || o.Kind == OutcomeUnknown
}

// accepted records that PagerDuty has taken a request.
func (in *Incident) accepted(it *Intent, now time.Time) {
	in.Attempts, in.NotBefore, in.KeyFault = 0, time.Time{}, ""
	accepted, heard := in.AcceptedRevision, in.heard()
	switch it.Action {
	case Trigger:
		in.triggered(it, now)
	case Acknowledge:
		in.Have = StateAcknowledged
		in.doubtsOfAcknowledge(it, now)
	case Resolve:
		in.resolved(it, now)
	case Change:
		in.AcceptedRevision = max(in.AcceptedRevision, it.Revision)
	}
	in.effect(it, accepted, heard, now)
}

func (in *Incident) triggered(it *Intent, now time.Time) {
	if it.FollowUp || it.Revision > in.AcceptedRevision || (it.Prev != StateOpen && it.Prev != StateAcknowledged) {
		in.OpenedAt = now
	}
	in.Have, in.HaveEpoch, in.LastTrigger, in.Settled = StateOpen, it.Epoch, now, 0
	in.AcceptedRevision = max(in.AcceptedRevision, it.Revision)
	if in.RepeatAt.Equal(it.RepeatAt) {
		in.RepeatAt = time.Time{}
	}
	if in.AcceptedRevision >= in.Guaranteed {
		in.Guaranteed = 0
	}
	in.doubtsOfTrigger(it, now)
}

func (in *Incident) resolved(it *Intent, now time.Time) {
	in.Have, in.HaveEpoch, in.LastResolve, in.Settled = StateClosed, it.Epoch, now, 0
	in.doubtsOfResolve(it, now)
	in.lower()
	if it.Prev == StateClosed || (it.Epoch == in.Epoch && in.Firing() == 0) {
		in.Attempted = true // the resolve of what another replica may have opened is sent once.
	}
}

// refused records that PagerDuty will never take a request as it is.
func (in *Incident) refused(it *Intent, message string, now time.Time) {
	in.Have = it.Prev
	if it.FollowUp && (it.Action == Trigger) == (in.Firing() > 0) && it.Action != Acknowledge { // what it was planned for may have landed.
		in.Have = StateUnknown
	}
	switch {
	case (it.Action == Trigger || it.Action == Change) && !it.Minimal:
		in.Minimal = true
	case it.Action == Resolve && in.pageWaits():
		in.HaveEpoch = it.Epoch
		in.addDoubt(Doubt{About: Resolve, Cause: CauseRefused, At: now, Epoch: it.Epoch})
		if heard := in.heard(); in.Revision <= in.AcceptedRevision {
			in.covered()
			in.pageAgain(heard)
		}
	case it.Action == Resolve && it.FollowUp && in.Firing() > 0: // nothing waits for it, and nothing that is to come may.
	case in.Digest != nil && it.Grown != nil: // what came since is told without what was refused.
		in.AcceptedRevision = it.Revision
	default:
		in.Blocked = &Blocked{Reason: message, At: now}
	}
}

// pageWaits says whether a page is to follow the resolve of what is older: it leaves also
// if PagerDuty refuses that resolve.
func (in *Incident) pageWaits() bool {
	if in.Firing() == 0 {
		return in.guaranteed()
	}
	return in.Revision > in.AcceptedRevision || in.uncovered() != nil
}

// lower brings the urgency down to what fires, once PagerDuty holds nothing. Only
// Alertmanager's bare keys hold several urgencies.
func (in *Incident) lower() {
	if in.Firing() == 0 || !in.BareKey {
		return
	}
	urgency := mapping.None
	for _, m := range in.Members {
		if m.Firing && m.Urgency.Rank() < urgency.Rank() {
			urgency = m.Urgency
		}
	}
	in.Urgency = urgency
}

// lost records a request that may have been applied.
func (in *Incident) lost(it *Intent, now time.Time) {
	if it.Action == Change { // sent again: harmless.
		in.Have = it.Prev
		return
	}
	if mutant.On(mutant.TimeoutIsNotApplied) && it.Action == Trigger {
		in.Have = it.Prev
		return
	}
	in.addDoubt(Doubt{About: it.Action, Cause: CauseLost, At: now, Epoch: it.Epoch})
	switch it.Action {
	case Trigger:
		in.Have, in.HaveEpoch = StateUnknown, it.Epoch
	case Resolve:
		in.Have = StateUnknown
	case Acknowledge, Change:
		in.Have = it.Prev
	}
}

// TryAgain lifts what blocks the incident, and its backoff.
func (in *Incident) TryAgain(reason string, now time.Time) {
	in.Blocked, in.KeyFault, in.Minimal = nil, "", false
	in.Attempts, in.NotBefore = 0, time.Time{}
	in.Note(now, "retry", reason)
	in.settle(now)
}
