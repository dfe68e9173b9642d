package incident

import (
	"time"

	"github.com/pagerelay/pagerelay/internal/mutant"
)

// gate finds what keeps any request of the incident from leaving now.
func gate(in *Incident, ev Evidence, now time.Time) (bool, Decision) {
	unpaged := in.Firing() > 0 && in.Revision > in.AcceptedRevision
	fallback := unpaged && in.Urgency.Opens() && ev.Fallback != "" && in.FallbackRevision < in.Revision
	divert := Decision{Kind: Perform, Step: StepFallback}
	switch {
	case in.Blocked != nil && fallback && !mutant.On(mutant.NoFallback):
		divert.Reason = "blocked: " + in.Blocked.Reason
		return true, divert
	case in.Blocked != nil:
		return true, Decision{Kind: Idle, Reason: "blocked: " + in.Blocked.Reason}
	case !ev.Known && (in.owesPagerDuty() || in.uncovered() != nil):
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

// openCheck asks Alertmanager about a firing that would open an incident, where its
// cluster has several members. A member that waits for its peers tells what was true
// when it began to wait; the resolve may have gone through a peer's sidecar meanwhile,
// and nothing here knows of it. By the time its webhook comes, no member lists such an
// alert.
//
// It is not asked about an alert that has fired for less than tooYoung: a resolve
// leaves in a later flush than the firing, flushes of a group are group_interval apart,
// and that is never less than a second where people mean to be paged. Where a clock is
// wrong and the alert seems to begin in the future, it is asked.
//
// The whole takes no longer than OpenAskHigh or OpenAsk after the firing came in, however
// often the question has to be put: what then is not known to be over pages.
func openCheck(in *Incident, ev Evidence, p Policy, now time.Time) (Decision, bool) {
	limit := OpenAsk
	if in.Urgency.First() {
		limit = OpenAskHigh
	}
	until := in.PendingSince.Add(limit)
	joins := (in.Have == StateOpen || in.Have == StateAcknowledged) && !in.mayHoldOlder()
	if p.Alertmanagers < 2 || joins || in.Attempted || in.FallbackOf != "" || !in.Origin.KnownToAlertmanager() || !ahead(until, now, limit) {
		return Decision{}, false
	}
	for _, m := range in.Members {
		if age := now.Sub(m.Alert.StartsAt); m.Firing && age >= 0 && age < tooYoung {
			return Decision{}, false
		}
	}
	// An incident that was closed and is back has the answers of before until that is noticed.
	if a, ok := ev.Answers[QuestionOpen]; ok && a.fresh(in, now) && !a.At.Before(in.PendingSince) {
		if a.Verdict == VerdictGone {
			return Decision{Kind: Perform, Step: StepDisregard, Reason: "a late duplicate: Alertmanager no longer knows it"}, true
		}
		return Decision{}, false
	}
	if ev.Asking[QuestionOpen] {
		return wait(until, "Alertmanager is being asked"), true
	}
	return Decision{Kind: Ask, Question: QuestionOpen, Timeout: until.Sub(now), Reason: "another replica may have resolved it"}, true
}

// staleCheck asks Alertmanager about a trigger that has waited for long.
func staleCheck(in *Incident, ev Evidence, p Policy, now time.Time) (Decision, bool) {
	if p.Alertmanagers == 0 || !in.Origin.KnownToAlertmanager() || in.guaranteed() || (ev.Limited && in.Urgency.First()) ||
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
	if in.Urgency.First() {
		timeout = StaleAskHigh
	}
	return Decision{Kind: Ask, Question: QuestionStale, Timeout: timeout, Class: triggerClass(in.Urgency), Reason: "waited longer than stale_after"}, true
}

// siblings decides about the resolve of a shared key that this outbox never saw
// firing: it is sent only when no alert in Alertmanager maps to the key any more.
func siblings(in *Incident, ev Evidence, p Policy, now time.Time) (Decision, bool) {
	if p.Alertmanagers == 0 || !in.Origin.KnownToAlertmanager() {
		return Decision{Kind: Perform, Step: StepDrop, Reason: "a shared key never seen firing here, and no Alertmanager to ask"}, true
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
