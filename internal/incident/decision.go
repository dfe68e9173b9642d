package incident

import "time"

// Class is a rank among what a lane has to send: lower goes first.
type Class int

// The classes, most urgent first.
const (
	ClassHighTrigger Class = iota
	ClassAcknowledge       // the acknowledge that follows an info trigger.
	ClassHighResolve       // it stops an escalation, as the acknowledge of a muted high incident does.
	ClassGuaranteed        // a high firing that is over and only waited for the rate limit.
	ClassLowTrigger
	ClassLowResolve
	ClassRefresh // refreshes, repeats and follow-ups.
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
	QuestionOpen     Question = "open"     // the same, of what a webhook told of just now.
	QuestionSiblings Question = "siblings" // does any alert that maps to this key fire?
)

// Step is a change of the outbox that needs no request.
type Step string

// The steps.
const (
	StepAdmit     Step = "admit"     // the held firings count.
	StepDismiss   Step = "dismiss"   // the held firings are late duplicates: drop them.
	StepSupersede Step = "supersede" // the firing members are gone: resolve them unsent.
	StepDisregard Step = "disregard" // the firing members are a waiting peer's late word: as if it had not come.
	StepExpire    Step = "expire"    // members that end by themselves, and have.
	StepFallback  Step = "fallback"  // copy to the service's fallback.
	StepUncovered Step = "uncovered" // what PagerDuty accepted has opened nothing.
	StepCovered   Step = "covered"   // it has opened an incident.
	StepBlock     Step = "block"     // wait for a person or a reload.
	StepDrop      Step = "drop"      // the resolve of a shared key that others may hold: do not send.
	StepForget    Step = "forget"    // all is said: into the ledger.
)

// Decision is what is to be done about an incident, and why.
type Decision struct {
	Kind     Kind
	Action   Action
	Class    Class
	FollowUp bool // of Send: it was planned because of a doubt.
	Question Question
	Timeout  time.Duration
	Step     Step
	Until    time.Time // of Wait; of the others, when to look again if not zero.
	Reason   string    // for the ledger.
	// Uncovered, of Send, is why the request has no effect; nil if it has one.
	// Unaudited: nobody can tell whether it has.
	Uncovered *Uncovered
	Unaudited bool
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
	// Limited: high pages of the service wait for nothing but the rate limit.
	Limited bool

	// HigherTrigger is when a trigger of a higher urgency than acknowledged was
	// last accepted, or may have been, on this service.
	HigherTrigger time.Time

	// Coverage is whether somebody hears of what is sent to the service now.
	Coverage Coverage
	// Then is what Coverage was when the last trigger was accepted; looked up only if
	// Incident.UnauditedSince says that nobody could tell.
	Then Coverage

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
