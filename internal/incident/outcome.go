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
	text := string(it.Action) + " (" + it.Reason + ")" + faultsText(o.Faults) + ": " + string(o.Kind)
	if o.Message != "" && o.Kind != OutcomeAccepted {
		text += ": " + o.Message
	}
	in.Note(now, "answer", text)
	if o.Kind != OutcomeAccepted || it.Uncovered != nil {
		in.Missed = slices.Concat(in.Missed, it.Missed)
	}
	in.regrow(it, o.Kind == OutcomeAccepted || (o.Kind == OutcomeRefused && it.Minimal), now)
	if it.FollowUp && (o.Kind == OutcomeAccepted || o.Kind == OutcomeRefused || o.Kind == OutcomeUnknown) {
		in.followedUp(it.Action)
	}
	switch o.Kind {
	case OutcomeAccepted:
		in.Attempts, in.NotBefore, in.KeyFault = 0, time.Time{}, ""
		accepted, heard := in.AcceptedRevision, in.heard()
		in.accepted(it, now)
		in.effect(it, accepted, heard, now)
	case OutcomeRefused:
		in.Have = it.Prev
		if it.FollowUp && ((it.Action == Resolve && in.Firing() == 0) || (it.Action == Trigger && in.Firing() > 0)) { // what it was planned for may have landed.
			in.Have = StateUnknown
		}
		switch {
		case (it.Action == Trigger || it.Action == Change) && !it.Minimal:
			in.Minimal = true
		case it.Action == Resolve && in.Revision > in.AcceptedRevision && (in.Firing() > 0 || in.guaranteed()):
			in.HaveEpoch = it.Epoch
			in.addDoubt(Doubt{About: Resolve, Cause: CauseRefused, At: now, Epoch: it.Epoch}) // a page waits for it: it leaves all the same.
		case it.Action == Resolve && in.uncovered() != nil && in.Firing() > 0: // a page of which nobody was notified waits for it, likewise.
			heard := in.heard()
			in.HaveEpoch = it.Epoch
			in.covered()
			in.addDoubt(Doubt{About: Resolve, Cause: CauseRefused, At: now, Epoch: it.Epoch})
			in.pageAgain(heard)
		case it.Action == Resolve && it.FollowUp && in.Firing() > 0: // nothing waits for it, and nothing that is to come may.
		case in.Digest != nil && it.Grown != nil: // what came since is told without what was refused.
			in.AcceptedRevision = it.Revision
		default:
			in.Blocked = &Blocked{Reason: o.Message, At: now}
		}
	case OutcomeBadKey:
		in.Have, in.KeyFault = it.Prev, o.Message
	case OutcomeThrottled:
		in.Have = it.Prev
		if it.Action == Trigger && in.Urgency.First() && it.Revision > in.AcceptedRevision {
			in.Guaranteed = max(in.Guaranteed, it.Revision) // it waits for nothing but the rate limit.
		}
	case OutcomeUnsent:
		in.Have = it.Prev
		in.Attempts++
		in.NotBefore = o.RetryAt
	case OutcomeUnknown:
		in.Attempts++
		in.NotBefore = o.RetryAt
		in.lost(it, now)
	}
	// A request that was neither accepted nor may have been is no attempt.
	if o.Kind != OutcomeAccepted && o.Kind != OutcomeUnknown && it.Prev == StateClosed && in.doubt(Trigger, CauseLost) == nil {
		in.Attempted = false
	}
	in.settle(now)
}

func (in *Incident) accepted(it *Intent, now time.Time) {
	switch it.Action {
	case Trigger:
		if it.FollowUp || it.Revision > in.AcceptedRevision || (it.Prev != StateOpen && it.Prev != StateAcknowledged) {
			in.OpenedAt = now
		}
		in.Have, in.HaveEpoch, in.LastTrigger = StateOpen, it.Epoch, now
		in.AcceptedRevision = max(in.AcceptedRevision, it.Revision)
		if in.RepeatAt.Equal(it.RepeatAt) {
			in.RepeatAt = time.Time{}
		}
		if in.AcceptedRevision >= in.Guaranteed {
			in.Guaranteed = 0
		}
		in.doubtsOfTrigger(it, now)
	case Acknowledge:
		in.Have = StateAcknowledged
		in.doubtsOfAcknowledge(it, now)
	case Resolve:
		in.Have, in.HaveEpoch, in.LastResolve = StateClosed, it.Epoch, now
		in.doubtsOfResolve(it, now)
		in.lower()
		if it.Prev == StateClosed || (it.Epoch == in.Epoch && in.Firing() == 0) {
			in.Attempted = true // the resolve of what another replica may have opened is sent once.
		}
	case Change:
		in.AcceptedRevision = max(in.AcceptedRevision, it.Revision)
	}
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

// Finish records what became of the request in flight. sent is that request; it
// stands in where its intent could not be stored before it left.
func Finish(t Table, in *Incident, sent Intent, keyHash string, o Outcome, now time.Time) {
	if in.Intent == nil {
		in.Intent, in.KeyHash, in.Attempted = &sent, keyHash, true
	}
	in.Finished(o, now)
	leaveMoved(t, in, now)
}

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
	case StepAdmit, StepDismiss, StepSupersede, StepExpire, StepBlock, StepUncovered, StepCovered:
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
			ID: id, Service: service, DedupKey: in.DedupKey, BareKey: in.BareKey, Shared: in.Shared, Origin: in.Origin,
			Have: StateClosed, Members: map[string]*Member{}, CreatedAt: now,
			FallbackFrom: in.Service, FallbackOf: in.ID,
		}
		t.Create(c)
	}
	c.Rule, c.Tier, c.Urgency, c.Severity = in.Rule, in.Tier, in.Urgency, in.Severity
	c.FallbackReason = reason
	c.Receiver, c.ExternalURL, c.GroupKey, c.GroupLabels = in.Receiver, in.ExternalURL, in.GroupKey, in.GroupLabels
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

// part splits an incident whose trigger is about to leave under another routing
// key than before: the old one keeps what PagerDuty holds under the old key and
// closes once the new one is accepted.
func part(t Table, in *Incident, now time.Time) {
	old := in.Clone()
	old.ID = partedID(in.ID, in.KeyHash)
	old.Parted, old.Version, old.Intent, old.Missed = true, 0, nil, nil
	old.AcceptedRevision = old.Revision
	if old.Have == StateClosed { // for now: a trigger that timed out can still land.
		old.Have = StateUnknown
	}
	for fp, m := range old.Members {
		c := *m
		c.MovedTo, c.Episode = in.ID, 0 // what is missed is missed under the new key.
		c.Late = nil
		old.Put(fp, &c)
		t.Hold(fp, old.ID)
	}
	old.Note(now, "rekey", "the routing key of the service has changed; this is what the old one holds")
	old.settle(now)
	if t.Incident(old.ID) == nil {
		t.Create(old)
	}
	for fp, m := range in.Members {
		if m.Episode <= in.AcceptedRevision { // it was confirmed, if under the old key.
			c := *m
			c.Episode = 0
			in.Put(fp, &c)
		}
	}
	in.KeyHash, in.Have, in.HaveEpoch, in.AcceptedRevision, in.Doubts = "", StateClosed, 0, 0, nil
}

// absorb takes back what was parted from an incident when its trigger leaves under
// that key again, as when a wrong key is taken back: it is one alert at PagerDuty.
func absorb(t Table, in *Incident, keyHash string) {
	old := t.Edit(partedID(in.ID, keyHash))
	if old == nil || in.Parted {
		return
	}
	in.Have, in.HaveEpoch, in.Doubts = old.Have, in.Epoch, slices.Clone(old.Doubts)
	in.wantChanged()
	t.Archive(old, "the routing key was taken back")
}

func partedID(id, keyHash string) string { return id + "-" + keyHash[:min(8, len(keyHash))] }

// Retry lifts what blocks the incident, and its backoff.
func (in *Incident) Retry(reason string, now time.Time) {
	in.Blocked, in.KeyFault, in.Minimal = nil, "", false
	in.Attempts, in.NotBefore = 0, time.Time{}
	in.Note(now, "retry", reason)
	in.settle(now)
}
