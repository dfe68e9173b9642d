package outbox

import (
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/mapping"
)

// Times of the core.
const (
	LateHold       = 5 * time.Second  // a late firing is held at most this long.
	echoAfter      = 60 * time.Second // a request that timed out can still land: the next one is repeated after this.
	ackEchoAfter   = 30 * time.Second // a 202 for an acknowledge is no proof.
	refreshEvery   = time.Minute      // refreshes of an open incident come at most this often.
	answerHolds    = time.Minute      // how long Alertmanager's answer may be acted upon.
	siblingsAgain  = time.Minute      // an uncertain answer about a shared key is asked for again after this ...
	siblingsGiveUp = 10 * time.Minute // ... and given up after this.
	keyAgain       = 15 * time.Second // an unreadable routing key is read again after this.
	MaxBackoff     = time.Minute      // no request that failed is put off for longer.
	StaleAskHigh   = time.Second      // a high page waits at most this long for Alertmanager.
	StaleAsk       = 5 * time.Second  // others wait this long.
)

// Class is a rank among what a lane has to send: lower goes first.
type Class int

// The classes, most urgent first.
const (
	ClassHighTrigger Class = iota
	ClassAcknowledge       // the acknowledge that follows an info trigger.
	ClassHighResolve       // it stops an escalation, as the acknowledge of a muted high incident does.
	ClassOwed              // a high episode that is over and only waited for the rate limit.
	ClassLowTrigger
	ClassLowResolve
	ClassRefresh // refreshes, repeats and echoes.
	ClassLast    // change events, and resolves of what was never sent.
	NumClasses   = int(ClassLast) + 1
)

// High says whether the part of the rate limit kept for high pages is open to the class.
func (c Class) High() bool { return c == ClassHighTrigger || c == ClassHighResolve }

// Kind says what a Decision asks for.
type Kind int

// The kinds of decisions.
const (
	Idle    Kind = iota // nothing, until the incident or the evidence changes.
	Wait                // nothing, until Until.
	Send                // the request Action, in Class.
	Ask                 // Question, of Alertmanager, for at most Timeout.
	Perform             // Step: a change of the outbox alone.
)

// Question is what Alertmanager is asked.
type Question string

// The questions.
const (
	QuestionLate     Question = "late"     // does the held member fire?
	QuestionStale    Question = "stale"    // does any firing member still fire?
	QuestionSiblings Question = "siblings" // does any alert that maps to this key fire?
)

// Step is a change of the outbox that needs no request.
type Step string

// The steps.
const (
	StepAdmit     Step = "admit"     // the held firings become episodes.
	StepDismiss   Step = "dismiss"   // the held firings are late duplicates: drop them.
	StepSupersede Step = "supersede" // the firing members are gone: resolve them unsent.
	StepExpire    Step = "expire"    // members that end by themselves, and have.
	StepFallback  Step = "fallback"  // copy to the service's fallback.
	StepBlock     Step = "block"     // wait for a person or a reload.
	StepDrop      Step = "drop"      // the resolve of a shared key that others may hold: do not send.
	StepForget    Step = "forget"    // all is said: into the ledger.
)

// Decision is what is to be done about an incident, and why.
type Decision struct {
	Kind     Kind
	Action   Action
	Class    Class
	Echo     bool
	Question Question
	Timeout  time.Duration
	Step     Step
	Until    time.Time // of Wait; of the others, when to look again if not zero.
	Hole     *Hole     // of Send: what the request falls into; nil if it has its effect.
	Reason   string    // for the ledger.
}

// Verdict is Alertmanager's answer.
type Verdict string

// The verdicts.
const (
	VerdictFiring    Verdict = "firing"
	VerdictGone      Verdict = "gone"
	VerdictUncertain Verdict = "uncertain"
)

// Evidence is what is known besides the incident itself.
type Evidence struct {
	// Known: the service is configured. Fallback is its fallback's name.
	Known    bool
	Fallback string
	// KeyHash tells the service's present routing key from others; "" if it
	// cannot be read, then KeyError says why. OldKeys are those of the previous keys.
	KeyHash  string
	KeyError string
	OldKeys  []string
	// KeySince is when the present key was first seen.
	KeySince time.Time

	// LaneFault is what PagerDuty said of the routing key. Probe: this incident
	// is the one that finds out whether the fault is mended.
	LaneFault string
	Probe     bool

	// HigherTrigger is when a trigger of a higher urgency than acknowledged was
	// last accepted, or may have been, on this service.
	HigherTrigger time.Time

	// Coverage is whether somebody hears of what is sent to the service now.
	Coverage Coverage

	// Asking are the questions under way, Answers what was said, by question.
	Asking  map[Question]bool
	Answers map[Question]Answer
}

// Answer is what Alertmanager said, when, and of which version of the incident's members.
type Answer struct {
	Verdict  Verdict
	At       time.Time
	Revision int
	// Since is when the question was first put, if the answers since were uncertain.
	Since time.Time
	// About is Incident.Held when QuestionLate was asked: another held alert needs
	// an answer of its own.
	About string
}

// Policy is the part of the configuration that Next needs.
type Policy struct {
	StaleAfter    time.Duration
	Alertmanagers int // how many are configured; 0: there is nobody to ask.
	// Services are the configured ones, so that their metrics start at 0.
	Services []string
}

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
	if d.Kind == Send && (d.Action == Resolve || in.opens()) {
		d.Hole = ev.Coverage.hole(d.Action)
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
	for _, m := range in.Members {
		expires := m.ExpiresAt
		if !m.Firing {
			expires = time.Time{}
		}
		for _, c := range []time.Time{m.HeldUntil, expires} {
			if !c.IsZero() && (t.IsZero() || c.Before(t)) {
				t = c
			}
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
		held = held || !m.HeldUntil.IsZero()
		if !m.HeldUntil.IsZero() && !ahead(m.HeldUntil, now, LateHold) {
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
	if in.Urgency == mapping.None {
		if in.firing() == 0 {
			return forget("resolved; urgency none sends nothing")
		}
		return Decision{Kind: Idle, Reason: "urgency none sends nothing"}
	}
	if in.firing() > 0 {
		return nextFiring(in, ev, p, now)
	}
	return nextOver(in, ev, p, now)
}

// nextFiring decides for an incident that should be open.
func nextFiring(in *Incident, ev Evidence, p Policy, now time.Time) Decision {
	if stop, d := obstacle(in, ev, now); stop {
		return d
	}
	class := triggerClass(in.Urgency)
	if in.Revision > in.AcceptedRevision {
		if in.mayHoldOlder() && in.resolvable(ev) {
			return send(Resolve, class, "a new epoch while an older one may be open")
		}
		if d, ok := staleCheck(in, ev, p, now); ok {
			return d
		}
		if d, ok := alsoToFallback(in, ev); ok {
			return d
		}
		return send(triggerAction(in.Urgency), class, "a new episode")
	}
	switch {
	case in.Urgency == mapping.Change:
		return Decision{Kind: Idle, Reason: "said"}
	case in.Parted:
		return Decision{Kind: Idle, Reason: "left once the incident under the new routing key is accepted"}
	case in.rekeyed(ev):
		return send(Trigger, class, "the routing key has changed")
	case in.Hole != nil:
		return nextInHole(in, ev, class, now)
	case in.Have == StateClosed:
		return send(Trigger, class, "it fires, and PagerDuty holds nothing")
	case in.Have == StateUnknown:
		return send(Trigger, ClassRefresh, "PagerDuty's state is not known")
	case !in.resolvable(ev) && (in.Want() == StateAcknowledged || in.Echo != nil):
		// An acknowledge matches only under the key of the trigger, which is gone.
	case in.Urgency == mapping.Acknowledged && in.Have == StateOpen:
		return send(Acknowledge, ClassAcknowledge, "the urgency is acknowledged")
	case in.Want() == StateAcknowledged && in.Have == StateOpen:
		if in.Urgency == mapping.High {
			return send(Acknowledge, ClassHighResolve, "all that fires is muted in Alertmanager") // it stops an escalation, too.
		}
		return send(Acknowledge, ClassAcknowledge, "all that fires is muted in Alertmanager")
	case in.Echo != nil && in.Echo.Action == Acknowledge && ev.HigherTrigger.After(in.LastTrigger):
		// PagerDuty may have grouped the higher one in: leave it unacknowledged.
	case in.Echo != nil:
		if ahead(in.Echo.Due, now, echoAfter) {
			return wait(in.Echo.Due, in.Echo.Reason)
		}
		if in.Echo.Action != Resolve { // a page follows that one.
			class = ClassRefresh
		}
		return Decision{Kind: Send, Action: in.Echo.Action, Class: class, Echo: true, Reason: in.Echo.Reason}
	}
	if !in.RepeatAt.IsZero() {
		if due := in.LastTrigger.Add(refreshEvery); ahead(due, now, refreshEvery) {
			return wait(due, "refreshes come at most once a minute")
		}
		return send(Trigger, ClassRefresh, "Alertmanager repeats it")
	}
	return Decision{Kind: Idle, Reason: "PagerDuty holds what it should"}
}

// nextOver decides for an incident that should be closed.
func nextOver(in *Incident, ev Evidence, p Policy, now time.Time) Decision {
	switch {
	case in.Urgency == mapping.Change:
		return forget("over")
	case in.owes():
		if stop, d := obstacle(in, ev, now); stop {
			return d
		}
		if in.mayHoldOlder() && in.resolvable(ev) {
			return send(Resolve, ClassOwed, "a new epoch while an older one may be open")
		}
		return send(Trigger, ClassOwed, "over, but owed: it only waited for the rate limit")
	case in.Have == StateClosed && in.Echo != nil && in.Echo.Action == Resolve && in.Blocked == nil && in.resolvable(ev):
		if ahead(in.Echo.Due, now, echoAfter) {
			return wait(in.Echo.Due, in.Echo.Reason)
		}
		if stop, d := obstacle(in, ev, now); stop {
			return d
		}
		return Decision{Kind: Send, Action: Resolve, Class: ClassLowResolve, Echo: true, Reason: in.Echo.Reason}
	case in.Have == StateClosed && !in.Attempted && in.Revision > in.AcceptedRevision && p.Alertmanagers > 1 && in.Blocked == nil && ev.Known:
		if stop, d := obstacle(in, ev, now); stop {
			return d
		}
		return send(Resolve, ClassLast, "over before it was sent; another replica may have opened it")
	case in.Have == StateClosed:
		return forget("PagerDuty holds what it should")
	}
	if in.waitsForHole() && in.Hole.stillIn(ev.Coverage, now) {
		return in.Hole.wait(ev.Coverage, now, "PagerDuty accepted the resolve and did not apply it: ")
	}
	if in.FirstSeenResolved && in.Shared {
		if d, ok := siblings(in, ev, p, now); ok {
			return d
		}
	}
	if stop, d := obstacle(in, ev, now); stop {
		return d
	}
	if !in.resolvable(ev) {
		return Decision{
			Kind: Perform, Step: StepBlock,
			Reason: "the routing key it was opened under is gone: list it in previous_routing_key_files, or resolve it in PagerDuty and drop it here",
		}
	}
	class := ClassLowResolve
	if in.Urgency == mapping.High {
		class = ClassHighResolve
	}
	return send(Resolve, class, "nothing fires any more")
}

// obstacle finds what keeps any request of the incident from leaving now.
func obstacle(in *Incident, ev Evidence, now time.Time) (bool, Decision) {
	unpaged := in.firing() > 0 && in.Revision > in.AcceptedRevision
	fallback := unpaged && in.Urgency != mapping.Change && ev.Fallback != "" && in.FallbackRevision < in.Revision
	divert := Decision{Kind: Perform, Step: StepFallback}
	switch {
	case in.Blocked != nil && fallback:
		divert.Reason = "blocked: " + in.Blocked.Reason
		return true, divert
	case in.Blocked != nil:
		return true, Decision{Kind: Idle, Reason: "blocked: " + in.Blocked.Reason}
	case !ev.Known && in.owesPagerDuty():
		return true, Decision{Kind: Perform, Step: StepBlock, Reason: "the service is no longer configured"}
	case !ev.Known:
		return true, Decision{Kind: Idle, Reason: "the service is no longer configured"}
	case ev.KeyHash == "" && fallback:
		divert.Reason = ev.KeyError
		return true, divert
	case ev.KeyHash == "":
		return true, wait(now.Add(keyAgain), ev.KeyError)
	case ev.LaneFault != "" && !ev.Probe && fallback:
		divert.Reason = ev.LaneFault
		return true, divert
	case ahead(in.NotBefore, now, MaxBackoff):
		return true, wait(in.NotBefore, "backing off")
	}
	return false, Decision{}
}

// staleCheck asks Alertmanager about a trigger that has waited for long.
func staleCheck(in *Incident, ev Evidence, p Policy, now time.Time) (Decision, bool) {
	if p.Alertmanagers == 0 || in.Origin != mapping.OriginAlertmanager || in.owes() ||
		in.PendingSince.IsZero() || now.Sub(in.PendingSince) <= p.StaleAfter {
		return Decision{}, false
	}
	if a, ok := ev.Answers[QuestionStale]; ok && a.fresh(in, now) {
		if a.Verdict == VerdictGone {
			return Decision{Kind: Perform, Step: StepSupersede, Reason: "waited too long and is over: Alertmanager no longer knows it"}, true
		}
		return Decision{}, false
	}
	if ev.Asking[QuestionStale] {
		return Decision{Kind: Idle, Reason: "Alertmanager is being asked"}, true
	}
	timeout := StaleAsk
	if in.Urgency == mapping.High {
		timeout = StaleAskHigh
	}
	return Decision{Kind: Ask, Question: QuestionStale, Timeout: timeout, Class: triggerClass(in.Urgency), Reason: "waited longer than stale_after"}, true
}

// siblings decides about the resolve of a shared key that this outbox never saw
// firing: it is sent only when no alert in Alertmanager maps to the key any more.
func siblings(in *Incident, ev Evidence, p Policy, now time.Time) (Decision, bool) {
	if p.Alertmanagers == 0 {
		return Decision{Kind: Perform, Step: StepDrop, Reason: "a shared key never seen firing here, and no alertmanager.urls to ask"}, true
	}
	a, ok := ev.Answers[QuestionSiblings]
	switch {
	case ok && a.fresh(in, now) && a.Verdict == VerdictGone:
		return Decision{}, false
	case ok && a.fresh(in, now) && a.Verdict == VerdictFiring:
		return Decision{Kind: Perform, Step: StepDrop, Reason: "another alert with the same key still fires"}, true
	case ok && a.Verdict == VerdictUncertain && now.Sub(a.Since) >= siblingsGiveUp:
		return Decision{Kind: Perform, Step: StepDrop, Reason: "a shared key never seen firing here, and Alertmanager could not say whether others hold it"}, true
	case ok && ahead(a.At.Add(siblingsAgain), now, siblingsAgain):
		return wait(a.At.Add(siblingsAgain), "Alertmanager was not certain; it is asked again"), true
	case ev.Asking[QuestionSiblings]:
		return Decision{Kind: Idle, Reason: "Alertmanager is being asked"}, true
	}
	return Decision{Kind: Ask, Question: QuestionSiblings, Timeout: StaleAsk, Reason: "a shared key never seen firing here"}, true
}

// mayHoldOlder says whether PagerDuty may hold an epoch before the present one.
func (in *Incident) mayHoldOlder() bool {
	return in.Urgency != mapping.Change && in.Have != StateClosed && in.Epoch > in.HaveEpoch
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

func triggerAction(u mapping.Urgency) Action {
	if u == mapping.Change {
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
