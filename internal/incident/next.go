package incident

import (
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/internal/mutant"
	"github.com/pagerelay/pagerelay/mapping"
)

// Times of the core.
const (
	LateHold       = 5 * time.Second  // a late firing is held at most this long.
	OpenAskHigh    = time.Second      // a high firing that would open an incident waits at most this long for Alertmanager.
	OpenAsk        = 5 * time.Second  // others wait this long.
	tooYoung       = time.Second      // an alert that has fired for less has been resolved by nobody: see openCheck.
	refreshEvery   = time.Minute      // refreshes of an open incident come at most this often.
	answerHolds    = time.Minute      // how long Alertmanager's answer may be acted upon.
	siblingsAgain  = time.Minute      // an uncertain answer about a shared key is asked for again after this ...
	siblingsGiveUp = 10 * time.Minute // ... and given up after this.
	keyAgain       = 15 * time.Second // an unreadable routing key is read again after this.
	MaxBackoff     = time.Minute      // no request that failed is put off for longer.
	StaleAskHigh   = time.Second      // a high page waits at most this long for Alertmanager.
	StaleAsk       = 5 * time.Second  // others wait this long.
)

// Next says what is to be done about an incident. It is the whole of the rules;
// it reads no clock and changes nothing. docs/core.md draws it.
func Next(in *Incident, ev Evidence, p Policy, now time.Time) Decision {
	if in.Intent != nil {
		return Decision{Kind: Idle, Reason: "in flight"}
	}
	if d, ok := nextMembers(in, ev, p, now); ok {
		return d
	}
	d := nextIncident(in, ev, p, now)
	if d.Kind == Send && (d.Action == Resolve || d.FollowUp || !in.joins(ev)) { // what is repeated may open what a late resolve closed.
		d.Uncovered = in.without(d.Action, ev.Coverage, now)
		d.Unaudited = d.Action == Trigger && d.Uncovered == nil && ev.Coverage.State == CoverageUnknown
	}
	if d.Kind == Perform && (d.Step == StepForget || d.Step == StepDrop) && in.muted() {
		d = Decision{Kind: Idle, Reason: "muted in Alertmanager: kept until it is over, or pages again"}
	}
	if d.Kind == Ask && ev.Asking[QuestionLate] {
		// One question at a time: two would take turns for ever.
		return wait(in.wake(), "Alertmanager is being asked about a late firing first")
	}
	// Members that wait for a time of their own bring the incident back then.
	if wake := in.wake(); !wake.IsZero() {
		switch {
		case d.Kind == Idle:
			d.Kind, d.Until = Wait, wake
		case d.Kind == Wait && wake.Before(d.Until):
			d.Until = wake
		case d.Kind == Perform && (d.Step == StepForget || d.Step == StepDrop):
			return Decision{Kind: Wait, Until: wake, Reason: "a late firing is being checked"}
		}
	}
	return d
}

// wake is the next time at which a member changes by itself.
func (in *Incident) wake() time.Time {
	var t time.Time
	sooner := func(c time.Time) {
		if t.IsZero() || c.Before(t) {
			t = c
		}
	}
	for _, m := range in.Members {
		if m.Late != nil {
			sooner(m.Late.Until)
		}
		if m.Firing && !m.ExpiresAt.IsZero() {
			sooner(m.ExpiresAt)
		}
	}
	return t
}

// nextMembers decides about single members: alerts that end by themselves, late firings.
func nextMembers(in *Incident, ev Evidence, p Policy, now time.Time) (Decision, bool) {
	held := false
	for _, m := range in.Members {
		if m.Firing && !m.ExpiresAt.IsZero() && !now.Before(m.ExpiresAt) {
			return Decision{Kind: Perform, Step: StepExpire, Reason: "its endsAt is over"}, true
		}
		held = held || m.Late != nil
		if m.Late != nil && !ahead(m.Late.Until, now, LateHold) {
			return Decision{Kind: Perform, Step: StepAdmit, Reason: "no word from Alertmanager in time: page"}, true
		}
	}
	if !held {
		return Decision{}, false
	}
	if a, ok := ev.Answers[QuestionLate]; ok && a.fresh(in, now) && a.About == in.Held() {
		if a.Verdict == VerdictGone {
			return Decision{Kind: Perform, Step: StepDismiss, Reason: "a late duplicate: Alertmanager no longer knows it"}, true
		}
		return Decision{Kind: Perform, Step: StepAdmit, Reason: "Alertmanager says " + string(a.Verdict) + ": page"}, true
	}
	if p.Alertmanagers == 0 {
		return Decision{Kind: Perform, Step: StepAdmit, Reason: "nobody to ask: page"}, true
	}
	if ev.Asking[QuestionLate] {
		return Decision{}, false
	}
	return Decision{Kind: Ask, Question: QuestionLate, Timeout: LateHold, Reason: "fires although its resolve was seen"}, true
}

func (a Answer) fresh(in *Incident, now time.Time) bool {
	age := now.Sub(a.At)
	return a.Revision == in.Revision && age >= 0 && age < answerHolds
}

// ahead says whether a deadline is still to come. One that is further away than
// it can have been set was set by a clock that has jumped back since, and counts
// as reached: the wall clock may delay nothing for longer than was meant.
func ahead(deadline, now time.Time, most time.Duration) bool {
	left := deadline.Sub(now)
	return left > 0 && left <= most
}

func nextIncident(in *Incident, ev Evidence, p Policy, now time.Time) Decision {
	if in.Digest != nil {
		return nextDigest(in, ev, now)
	}
	if !in.Urgency.Sends() {
		if in.Firing() == 0 {
			return forget("resolved; urgency none sends nothing")
		}
		return Decision{Kind: Idle, Reason: "urgency none sends nothing"}
	}
	if in.Firing() > 0 {
		return nextFiring(in, ev, p, now)
	}
	return nextOver(in, ev, p, now)
}

// nextFiring decides for an incident that should be open.
func nextFiring(in *Incident, ev Evidence, p Policy, now time.Time) Decision {
	if in.Revision <= in.AcceptedRevision && !in.Parted && ev.Known { // whatever is in the way of a request.
		if d, ok := nextUnaudited(in, ev); ok {
			return d
		}
	}
	if in.Revision > in.AcceptedRevision {
		if d, ok := openCheck(in, ev, p, now); ok {
			return d
		}
	}
	if stop, d := gate(in, ev, now); stop {
		return d
	}
	if in.Revision > in.AcceptedRevision {
		return nextPage(in, ev, p, now)
	}
	class := triggerClass(in.Urgency)
	switch d := in.uncovered(); {
	case !in.Urgency.Opens():
		return Decision{Kind: Idle, Reason: "said"}
	case in.Parted:
		return Decision{Kind: Idle, Reason: "left once the incident under the new routing key is accepted"}
	case in.settled() && in.RepeatAt.IsZero():
		return Decision{Kind: Idle, Reason: "somebody resolved it at PagerDuty: left so until it is repeated, or fires again"}
	case in.rekeyed(ev):
		return send(Trigger, class, "the routing key has changed")
	case d != nil:
		return nextUncovered(in, d, ev, class, now)
	case in.Have == StateClosed:
		return send(Trigger, class, "it fires, and PagerDuty holds nothing")
	case in.Have == StateUnknown:
		return send(Trigger, ClassRefresh, "PagerDuty's state is not known")
	}
	return nextOpen(in, ev, now)
}

// nextPage decides about a firing that PagerDuty has not accepted.
func nextPage(in *Incident, ev Evidence, p Policy, now time.Time) Decision {
	class := triggerClass(in.Urgency)
	if in.mayHoldOlder() && in.resolvable(ev) {
		return send(Resolve, class, "a new epoch while an older one may be open")
	}
	if d, ok := staleCheck(in, ev, p, now); ok {
		return d
	}
	if d, ok := alsoToFallback(in, ev, now); ok {
		return d
	}
	return send(triggerAction(in.Urgency), class, "a new firing")
}

// nextOpen decides for an incident that PagerDuty holds, and should hold.
func nextOpen(in *Incident, ev Evidence, now time.Time) Decision {
	due, unacked := in.FollowUp(), in.Want() == StateAcknowledged && in.Have == StateOpen
	switch {
	case !in.resolvable(ev) && (in.Want() == StateAcknowledged || due != nil):
		// An acknowledge matches only under the key of the trigger, which is gone.
	case unacked && in.Urgency.AutoAcks():
		return send(Acknowledge, ClassAcknowledge, "the urgency is acknowledged")
	case unacked && in.Urgency.First():
		return send(Acknowledge, ClassHighResolve, "all that fires is muted in Alertmanager") // it stops an escalation, too.
	case unacked:
		return send(Acknowledge, ClassAcknowledge, "all that fires is muted in Alertmanager")
	case due != nil && due.FollowUp == Acknowledge && ev.HigherTrigger.After(in.LastTrigger):
		// PagerDuty may have grouped the higher one in: leave it unacknowledged.
	case due != nil && due.FollowUp == Resolve: // a page follows it.
		return due.next(triggerClass(in.Urgency), now)
	case due != nil:
		return due.next(ClassRefresh, now)
	}
	if in.RepeatAt.IsZero() {
		return Decision{Kind: Idle, Reason: "PagerDuty holds what it should"}
	}
	if due := in.LastTrigger.Add(refreshEvery); ahead(due, now, refreshEvery) {
		return wait(due, "refreshes come at most once a minute")
	}
	return send(Trigger, ClassRefresh, "Alertmanager repeats it")
}

// nextOver decides for an incident that should be closed.
func nextOver(in *Incident, ev Evidence, p Policy, now time.Time) Decision {
	switch {
	case !in.Urgency.Opens():
		return forget("over")
	case in.guaranteed():
		if stop, d := gate(in, ev, now); stop {
			return d
		}
		if in.mayHoldOlder() && in.resolvable(ev) {
			return send(Resolve, ClassGuaranteed, "a new epoch while an older one may be open")
		}
		return send(Trigger, ClassGuaranteed, "over, but guaranteed: it only waited for the rate limit")
	case in.Have == StateClosed:
		return nextClosed(in, ev, p, now)
	}
	if d := in.uncovered(); in.waitsForCover() && d.holds(ev.Coverage, now) {
		return d.wait(ev.Coverage, now, "PagerDuty accepted the resolve and did not apply it: ")
	}
	if in.Epoch == 0 && in.Shared {
		if d, ok := siblings(in, ev, p, now); ok {
			return d
		}
	}
	if stop, d := gate(in, ev, now); stop {
		return d
	}
	if !in.resolvable(ev) {
		return Decision{
			Kind: Perform, Step: StepBlock,
			Reason: "the routing key it was opened under is gone: list it in previous_routing_key_files, or resolve it in PagerDuty and drop it here",
		}
	}
	return send(Resolve, resolveClass(in.Urgency), "nothing fires any more")
}

// nextClosed decides for an incident that is over and that PagerDuty does not hold.
func nextClosed(in *Incident, ev Evidence, p Policy, now time.Time) Decision {
	var d Decision
	switch due := in.FollowUp(); {
	case in.Blocked != nil:
	case due != nil && due.FollowUp == Resolve && in.resolvable(ev):
		d = due.next(ClassLowResolve, now)
	case in.Settled > 0 && ev.Known && in.resolvable(ev):
		d = send(Resolve, ClassLast, "somebody resolved it at PagerDuty; if that was an older one, this ends the newer")
	case !in.Attempted && in.Revision > in.AcceptedRevision && p.Alertmanagers > 1 && ev.Known:
		d = send(Resolve, ClassLast, "over before it was sent; another replica may have opened it")
	}
	if d.Kind == Idle {
		return forget("PagerDuty holds what it should")
	}
	if stop, o := gate(in, ev, now); stop && d.Kind == Send {
		return o
	}
	return d
}

// mayHoldOlder says whether PagerDuty may hold an epoch before the present one.
func (in *Incident) mayHoldOlder() bool {
	return in.Urgency.Opens() && in.Have != StateClosed && in.Epoch > in.HaveEpoch && !mutant.On(mutant.NewEpochJoinsOld)
}

// resolvable says whether the key of the incident's last trigger can still be used.
func (in *Incident) resolvable(ev Evidence) bool {
	return in.KeyHash == "" || in.KeyHash == ev.KeyHash || slices.Contains(ev.OldKeys, in.KeyHash)
}

// rekeyed says whether the incident was seen firing again after the service got
// another routing key: it is opened under that one too, and then leaves the old.
func (in *Incident) rekeyed(ev Evidence) bool {
	if in.Parted || in.KeyHash == "" || ev.KeyHash == "" || in.KeyHash == ev.KeyHash {
		return false
	}
	for _, m := range in.Members {
		if m.Firing && m.LastSeen.After(ev.KeySince) {
			return true
		}
	}
	return false
}

func triggerClass(u mapping.Urgency) Class {
	switch u {
	case mapping.High:
		return ClassHighTrigger
	case mapping.Change:
		return ClassLast
	case mapping.Low, mapping.Acknowledged, mapping.None:
		return ClassLowTrigger
	}
	return ClassLowTrigger
}

func resolveClass(u mapping.Urgency) Class {
	if u.First() {
		return ClassHighResolve
	}
	return ClassLowResolve
}

func triggerAction(u mapping.Urgency) Action {
	if !u.Opens() {
		return Change
	}
	return Trigger
}

func send(a Action, c Class, reason string) Decision {
	return Decision{Kind: Send, Action: a, Class: c, Reason: reason}
}

func wait(until time.Time, reason string) Decision {
	return Decision{Kind: Wait, Until: until, Reason: reason}
}

func forget(reason string) Decision {
	return Decision{Kind: Perform, Step: StepForget, Reason: reason}
}
