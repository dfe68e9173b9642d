package incident_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

var t0 = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

// fresh makes an incident as the rows of the table want it: one firing
// member, revision and epoch 1, nothing said to PagerDuty yet.
func fresh(edit ...func(*incident.Incident)) *incident.Incident {
	in := &incident.Incident{
		ID: "id", Version: 1, Subject: incident.Subject{Service: "infra", DedupKey: "key", Urgency: mapping.High, Origin: mapping.OriginAlertmanager},
		Members:  map[string]*incident.Member{"a": {Firing: true, LastSeen: t0, Origin: mapping.OriginAlertmanager}},
		Revision: 1, Epoch: 1, Told: incident.Told{Have: incident.StateClosed}, PendingSince: t0, CreatedAt: t0,
	}
	for _, f := range edit {
		f(in)
	}
	return in
}

func evidence() incident.Evidence { return incident.Evidence{Known: true, KeyHash: "k1"} }

func hole(reason string) incident.Coverage {
	return incident.Coverage{State: incident.CoverageUncovered, Reason: reason, Maintenance: reason == "maintenance"}
}

type edit = func(*incident.Incident)

func urgency(u mapping.Urgency) edit { return func(in *incident.Incident) { in.Urgency = u } }

// told says that PagerDuty accepted the present revision.
func told(in *incident.Incident) {
	in.AcceptedRevision, in.HaveEpoch, in.Have, in.KeyHash = in.Revision, in.Epoch, incident.StateOpen, "k1"
	in.LastTrigger, in.OpenedAt, in.PendingSince, in.Attempted = t0, t0, time.Time{}, true
}

// over says that nothing fires any more.
func over(in *incident.Incident) {
	in.Members["a"].Firing = false
	in.Members["a"].Ended.At = t0
	in.PendingSince = t0
}

func have(s incident.State) edit { return func(in *incident.Incident) { in.Have = s } }

func newEpoch(in *incident.Incident) { in.Revision++; in.Epoch++; in.PendingSince = t0 }

// followUp plans a request because of another that was lost.
func followUp(a incident.Action, due time.Duration) edit {
	lost := map[incident.Action]incident.Action{incident.Trigger: incident.Resolve, incident.Resolve: incident.Trigger, incident.Acknowledge: incident.Acknowledge}
	return func(in *incident.Incident) {
		in.Doubts = append(in.Doubts, incident.Doubt{About: lost[a], Cause: incident.CauseLost, At: t0, FollowUp: a, Due: at(due), Reason: "it can still land"})
	}
}

type given struct {
	ev  incident.Evidence
	p   incident.Policy
	now time.Time
	// held is what the incident holds when it is asked about.
	held string
}

func ev(f func(*given)) func(*given) { return f }

func answered(q incident.Question, v incident.Verdict) func(*given) {
	return func(g *given) {
		g.ev.Answers = map[incident.Question]incident.Answer{q: {Verdict: v, At: g.now, Revision: 1, Since: t0, About: g.held}}
	}
}

func later(d time.Duration) func(*given) { return func(g *given) { g.now = at(d) } }

func alertmanagers(n int) func(*given) { return func(g *given) { g.p.Alertmanagers = n } }

func all(fs ...func(*given)) func(*given) {
	return func(g *given) {
		for _, f := range fs {
			f(g)
		}
	}
}

// what sums a decision up, without the words.
func what(d incident.Decision) incident.Decision {
	d.Reason = ""
	if d.Kind == incident.Perform {
		d.Uncovered = nil
	}
	return d
}

func TestNext(t *testing.T) {
	send := func(a incident.Action, c incident.Class) incident.Decision {
		return incident.Decision{Kind: incident.Send, Action: a, Class: c}
	}
	sendFollowUp := func(a incident.Action, c incident.Class) incident.Decision {
		return incident.Decision{Kind: incident.Send, Action: a, Class: c, FollowUp: true}
	}
	wait := func(d time.Duration) incident.Decision { return incident.Decision{Kind: incident.Wait, Until: at(d)} }
	step := func(s incident.Step) incident.Decision { return incident.Decision{Kind: incident.Perform, Step: s} }
	idle := incident.Decision{Kind: incident.Idle}
	held := func(in *incident.Incident) {
		in.Members["a"] = &incident.Member{Late: &incident.Late{Until: at(incident.LateHold)}, Ended: incident.Ended{At: t0}}
	}
	seenResolved := func(in *incident.Incident) {
		over(in)
		in.Have, in.Revision, in.Epoch = incident.StateUnknown, 0, 0
	}
	aged := func(in *incident.Incident) { in.Members["a"].Alert.StartsAt = at(-time.Minute) }
	shared := func(in *incident.Incident) { in.Shared = true }
	zeroRevision := func(g *given) {
		for q, a := range g.ev.Answers {
			a.Revision = 0
			g.ev.Answers[q] = a
		}
	}
	fallback := ev(func(g *given) { g.ev.Fallback = "catch-all" })
	blocked := func(in *incident.Incident) { in.Blocked = &incident.Blocked{Reason: "no"} }
	fault := ev(func(g *given) { g.ev.LaneFault = "Invalid routing key" })
	noKey := ev(func(g *given) { g.ev.KeyHash, g.ev.KeyError = "", "cannot read" })
	muted := func(do incident.MuteAction) edit {
		return func(in *incident.Incident) { in.Members["a"].Muted = &incident.Mute{By: "silence", Do: do} }
	}
	and := func(fp string, m incident.Member) edit {
		return func(in *incident.Incident) { in.Members[fp] = &m }
	}
	adopted := func(in *incident.Incident) { in.Have, in.HaveEpoch = incident.StateUnknown, 1 }
	asking := func(q incident.Question) func(*given) {
		return func(g *given) { g.ev.Asking = map[incident.Question]bool{q: true} }
	}
	coverage := func(c incident.Coverage) func(*given) { return func(g *given) { g.ev.Coverage = c } }
	nobody := coverage(incident.Coverage{State: incident.CoverageUncovered, Reason: "nobody is on call", Until: at(time.Hour)})
	disabled := coverage(incident.Coverage{State: incident.CoverageUncovered, Reason: "disabled"})
	maintained := coverage(incident.Coverage{State: incident.CoverageUncovered, Reason: "in maintenance", Until: at(time.Hour), Maintenance: true})
	covered, unknown := coverage(incident.Coverage{State: incident.CoverageFull}), coverage(incident.Coverage{State: incident.CoverageUnknown})
	doubtful := func(d incident.Decision) incident.Decision { d.Unaudited = true; return d }
	into := func(d incident.Decision, reason string, until time.Time) incident.Decision {
		d.Uncovered = &incident.Uncovered{Reason: reason, Until: until}
		return d
	}
	copied := func(in *incident.Incident) { in.FallbackRevision = in.Revision }
	unaudited := func(in *incident.Incident) {
		in.Doubts = append(in.Doubts, incident.Doubt{About: incident.Trigger, Cause: incident.CauseUnaudited, At: t0, Epoch: 1})
	}
	begun := func(since time.Duration) func(*given) {
		return coverage(incident.Coverage{State: incident.CoverageUncovered, Reason: "in maintenance", Since: at(since), Maintenance: true})
	}
	fell := func(a incident.Action, until time.Time) edit {
		return func(in *incident.Incident) {
			in.Have = incident.StateUnknown
			in.Doubts = append(in.Doubts, incident.Doubt{About: a, Cause: incident.CauseUncovered, Reason: "nobody is on call", Until: until, Epoch: 1})
		}
	}
	test := func(in *incident.Incident) {
		in.Origin = mapping.OriginTest
		in.Members["a"].Origin, in.Members["a"].ExpiresAt = mapping.OriginTest, at(time.Minute)
	}

	for _, tc := range []struct {
		name  string
		in    *incident.Incident
		given func(*given)
		want  incident.Decision
	}{
		// A new episode.
		{"high is triggered first", fresh(), nil, send(incident.Trigger, incident.ClassHighTrigger)},
		{"low is triggered among the low ones", fresh(urgency(mapping.Low)), nil, send(incident.Trigger, incident.ClassLowTrigger)},
		{"info is triggered among the low ones", fresh(urgency(mapping.Acknowledged)), nil, send(incident.Trigger, incident.ClassLowTrigger)},
		{"change is a change event, last", fresh(urgency(mapping.Change)), nil, send(incident.Change, incident.ClassLast)},
		{"none sends nothing", fresh(urgency(mapping.None)), nil, idle},
		{"nothing while a request is in flight", fresh(func(in *incident.Incident) { in.Intent = &incident.Intent{} }), nil, idle},
		{"a further episode of an open incident is triggered", fresh(told, func(in *incident.Incident) { in.Revision++ }), nil, send(incident.Trigger, incident.ClassHighTrigger)},
		{"a new epoch while the old is open resolves first, in the trigger's class", fresh(told, newEpoch), nil, send(incident.Resolve, incident.ClassHighTrigger)},
		{"a new epoch of low likewise", fresh(told, newEpoch, urgency(mapping.Low)), nil, send(incident.Resolve, incident.ClassLowTrigger)},
		{"a new epoch while the old is unknown resolves first", fresh(told, newEpoch, have(incident.StateUnknown)), nil, send(incident.Resolve, incident.ClassHighTrigger)},
		{"a new epoch after the old was closed triggers", fresh(told, newEpoch, have(incident.StateClosed)), nil, send(incident.Trigger, incident.ClassHighTrigger)},
		{"a new epoch whose old key is gone triggers", fresh(told, newEpoch, func(in *incident.Incident) { in.KeyHash = "gone" }), nil, send(incident.Trigger, incident.ClassHighTrigger)},
		{"a trigger of unknown outcome is sent again", fresh(have(incident.StateUnknown), func(in *incident.Incident) { in.HaveEpoch = 1 }), nil, send(incident.Trigger, incident.ClassHighTrigger)},
		{"backing off", fresh(func(in *incident.Incident) { in.NotBefore = at(time.Second) }), nil, wait(time.Second)},
		{"backed off", fresh(func(in *incident.Incident) { in.NotBefore = at(time.Second) }), later(time.Second), send(incident.Trigger, incident.ClassHighTrigger)},

		// Stale triggers.
		{"a fresh trigger is not checked", fresh(), all(later(2*time.Minute), alertmanagers(1)), send(incident.Trigger, incident.ClassHighTrigger)},
		{
			"a stale high one is checked for a second", fresh(), all(later(2*time.Minute+1), alertmanagers(1)),
			incident.Decision{Kind: incident.Ask, Question: incident.QuestionStale, Timeout: incident.StaleAskHigh, Class: incident.ClassHighTrigger},
		},
		{
			"a stale low one is checked for longer", fresh(urgency(mapping.Low)), all(later(2*time.Minute+1), alertmanagers(1)),
			incident.Decision{Kind: incident.Ask, Question: incident.QuestionStale, Timeout: incident.StaleAsk, Class: incident.ClassLowTrigger},
		},
		{"not without an Alertmanager", fresh(), later(time.Hour), send(incident.Trigger, incident.ClassHighTrigger)},
		{"not of another origin", fresh(func(in *incident.Incident) { in.Origin = mapping.OriginCoverage }), all(later(time.Hour), alertmanagers(1)), send(incident.Trigger, incident.ClassHighTrigger)},
		{"not a high one that waits for the rate limit", fresh(), all(later(time.Hour), alertmanagers(1), ev(func(g *given) { g.ev.Limited = true })), send(incident.Trigger, incident.ClassHighTrigger)},
		{
			"but a low one that does", fresh(urgency(mapping.Low)), all(later(time.Hour), alertmanagers(1), ev(func(g *given) { g.ev.Limited = true })),
			incident.Decision{Kind: incident.Ask, Question: incident.QuestionStale, Timeout: incident.StaleAsk, Class: incident.ClassLowTrigger},
		},
		{"not what is guaranteed", fresh(func(in *incident.Incident) { in.Guaranteed = 1 }), all(later(time.Hour), alertmanagers(1)), send(incident.Trigger, incident.ClassHighTrigger)},
		{"while it is asked nothing is sent", fresh(), all(later(time.Hour), alertmanagers(1), func(g *given) { g.ev.Asking = map[incident.Question]bool{incident.QuestionStale: true} }), idle},
		{"stale and gone is superseded", fresh(), all(later(time.Hour), alertmanagers(1), answered(incident.QuestionStale, incident.VerdictGone)), step(incident.StepSupersede)},
		{"stale and firing is sent", fresh(), all(later(time.Hour), alertmanagers(1), answered(incident.QuestionStale, incident.VerdictFiring)), send(incident.Trigger, incident.ClassHighTrigger)},
		{"stale and uncertain is sent", fresh(), all(later(time.Hour), alertmanagers(1), answered(incident.QuestionStale, incident.VerdictUncertain)), send(incident.Trigger, incident.ClassHighTrigger)},
		{
			"an old answer is asked for again", fresh(), all(later(time.Hour), alertmanagers(1), answered(incident.QuestionStale, incident.VerdictGone), later(2*time.Hour)),
			incident.Decision{Kind: incident.Ask, Question: incident.QuestionStale, Timeout: incident.StaleAskHigh, Class: incident.ClassHighTrigger},
		},
		{
			"an answer about an earlier revision is asked for again", fresh(func(in *incident.Incident) { in.Revision = 2 }), all(later(time.Hour), alertmanagers(1), answered(incident.QuestionStale, incident.VerdictGone)),
			incident.Decision{Kind: incident.Ask, Question: incident.QuestionStale, Timeout: incident.StaleAskHigh, Class: incident.ClassHighTrigger},
		},

		// What a waiting member of a cluster may tell late.
		{
			"a high one is asked about first where there is a cluster", fresh(aged), alertmanagers(2),
			incident.Decision{Kind: incident.Ask, Question: incident.QuestionOpen, Timeout: incident.OpenAskHigh},
		},
		{
			"a low one, for longer", fresh(aged, urgency(mapping.Low)), alertmanagers(2),
			incident.Decision{Kind: incident.Ask, Question: incident.QuestionOpen, Timeout: incident.OpenAsk},
		},
		{"not one that has fired for less than a second", fresh(func(in *incident.Incident) { in.Members["a"].Alert.StartsAt = at(-999 * time.Millisecond) }), alertmanagers(2), send(incident.Trigger, incident.ClassHighTrigger)},
		{
			"but one of a clock that is ahead", fresh(func(in *incident.Incident) { in.Members["a"].Alert.StartsAt = at(time.Millisecond) }), alertmanagers(2),
			incident.Decision{Kind: incident.Ask, Question: incident.QuestionOpen, Timeout: incident.OpenAskHigh},
		},
		{"not where one Alertmanager is all", fresh(aged), alertmanagers(1), send(incident.Trigger, incident.ClassHighTrigger)},
		{"not of another origin", fresh(aged, func(in *incident.Incident) { in.Origin = mapping.OriginCoverage }), alertmanagers(2), send(incident.Trigger, incident.ClassHighTrigger)},
		{"not a copy on a fallback", fresh(aged, func(in *incident.Incident) { in.FallbackOf = "other" }), alertmanagers(2), send(incident.Trigger, incident.ClassHighTrigger)},
		{"not what joins an open incident", fresh(told, aged, func(in *incident.Incident) { in.Revision, in.PendingSince, in.Attempted = 2, t0, false }), alertmanagers(2), send(incident.Trigger, incident.ClassHighTrigger)},
		{
			"but a new epoch, before the resolve of the older one", fresh(told, aged, newEpoch, func(in *incident.Incident) { in.Attempted = false }), alertmanagers(2),
			incident.Decision{Kind: incident.Ask, Question: incident.QuestionOpen, Timeout: incident.OpenAskHigh},
		},
		{"not once a request has left", fresh(aged, func(in *incident.Incident) { in.Attempted = true }), alertmanagers(2), send(incident.Trigger, incident.ClassHighTrigger)},
		{"while it is asked nothing is sent", fresh(aged), all(alertmanagers(2), func(g *given) { g.ev.Asking = map[incident.Question]bool{incident.QuestionOpen: true} }), wait(incident.OpenAskHigh)},
		{"no word in time: page", fresh(aged), all(alertmanagers(2), later(incident.OpenAskHigh), func(g *given) { g.ev.Asking = map[incident.Question]bool{incident.QuestionOpen: true} }), send(incident.Trigger, incident.ClassHighTrigger)},
		{"gone: disregarded", fresh(aged), all(alertmanagers(2), answered(incident.QuestionOpen, incident.VerdictGone)), step(incident.StepDisregard)},
		{"firing: page", fresh(aged), all(alertmanagers(2), answered(incident.QuestionOpen, incident.VerdictFiring)), send(incident.Trigger, incident.ClassHighTrigger)},
		{"uncertain: page", fresh(aged), all(alertmanagers(2), answered(incident.QuestionOpen, incident.VerdictUncertain)), send(incident.Trigger, incident.ClassHighTrigger)},
		{
			"an answer about an earlier revision is asked for again, in the time that is left", fresh(aged, func(in *incident.Incident) { in.Revision = 2 }),
			all(alertmanagers(2), later(400*time.Millisecond), answered(incident.QuestionOpen, incident.VerdictGone)),
			incident.Decision{Kind: incident.Ask, Question: incident.QuestionOpen, Timeout: 600 * time.Millisecond},
		},
		{
			"an answer from before it came in is none", fresh(aged, func(in *incident.Incident) { in.PendingSince = at(time.Millisecond) }),
			all(alertmanagers(2), answered(incident.QuestionOpen, incident.VerdictGone), later(time.Millisecond)),
			incident.Decision{Kind: incident.Ask, Question: incident.QuestionOpen, Timeout: incident.OpenAskHigh},
		},
		{"a clock that jumped back delays no page", fresh(aged, func(in *incident.Incident) { in.PendingSince = at(time.Hour) }), alertmanagers(2), send(incident.Trigger, incident.ClassHighTrigger)},

		// An open incident.
		{"nothing to say", fresh(told), nil, idle},
		{"info is acknowledged", fresh(told, urgency(mapping.Acknowledged)), nil, send(incident.Acknowledge, incident.ClassAcknowledge)},
		{"not when the key of the trigger is gone", fresh(told, urgency(mapping.Acknowledged), func(in *incident.Incident) { in.KeyHash = "gone" }), ev(func(g *given) { g.ev.KeySince = at(time.Second) }), idle},
		{"an acknowledged one is left alone", fresh(told, urgency(mapping.Acknowledged), have(incident.StateAcknowledged)), nil, idle},
		{"a refresh of unknown outcome is sent again", fresh(told, have(incident.StateUnknown)), nil, send(incident.Trigger, incident.ClassRefresh)},
		{"a repeat waits a minute", fresh(told, func(in *incident.Incident) { in.RepeatAt = at(30 * time.Second) }), later(30 * time.Second), wait(time.Minute)},
		{"a repeat is sent as a refresh", fresh(told, func(in *incident.Incident) { in.RepeatAt = at(30 * time.Second) }), later(time.Minute), send(incident.Trigger, incident.ClassRefresh)},
		{"a repeat by a clock that has jumped back is sent as well", fresh(told, func(in *incident.Incident) { in.RepeatAt = at(-6 * time.Hour) }), later(time.Minute), send(incident.Trigger, incident.ClassRefresh)},
		{"the echo of a trigger waits", fresh(told, followUp(incident.Trigger, time.Minute)), nil, wait(time.Minute)},
		{"the echo of a trigger is sent", fresh(told, followUp(incident.Trigger, time.Minute)), later(time.Minute), sendFollowUp(incident.Trigger, incident.ClassRefresh)},
		{"the echo of an acknowledge is sent", fresh(told, urgency(mapping.Acknowledged), have(incident.StateAcknowledged), followUp(incident.Acknowledge, 30*time.Second)), later(time.Minute), sendFollowUp(incident.Acknowledge, incident.ClassRefresh)},
		{
			"but not after a higher trigger on the service", fresh(told, urgency(mapping.Acknowledged), have(incident.StateAcknowledged), followUp(incident.Acknowledge, 30*time.Second)),
			all(later(time.Minute), func(g *given) { g.ev.HigherTrigger = at(time.Second) }), idle,
		},

		// The routing key.
		{"a changed key alone changes nothing", fresh(told, func(in *incident.Incident) { in.KeyHash = "k0" }), ev(func(g *given) { g.ev.KeySince = at(time.Second) }), idle},
		{"seen firing after the key changed: opened under the new one", fresh(told, func(in *incident.Incident) { in.KeyHash = "k0" }), ev(func(g *given) { g.ev.KeySince = at(-time.Second) }), send(incident.Trigger, incident.ClassHighTrigger)},
		{"what the old key holds is left until then", fresh(told, func(in *incident.Incident) { in.KeyHash, in.Parted = "k0", true }), ev(func(g *given) { g.ev.KeySince = at(-time.Second) }), idle},
		{"resolved under a previous key", fresh(told, over, func(in *incident.Incident) { in.KeyHash = "k0" }), ev(func(g *given) { g.ev.OldKeys = []string{"k0"} }), send(incident.Resolve, incident.ClassHighResolve)},
		{"the key it was opened under is gone", fresh(told, over, func(in *incident.Incident) { in.KeyHash = "k0" }), nil, step(incident.StepBlock)},
		{"an unreadable key waits", fresh(), noKey, wait(15 * time.Second)},
		{"an unreadable key diverts", fresh(), all(noKey, fallback), step(incident.StepFallback)},
		{"a diverted one waits for the key", fresh(func(in *incident.Incident) { in.FallbackRevision = 1 }), all(noKey, fallback), wait(15 * time.Second)},
		{"the service is gone", fresh(), ev(func(g *given) { g.ev = incident.Evidence{} }), step(incident.StepBlock)},
		{"the service is gone and nothing is to be said", fresh(told), ev(func(g *given) { g.ev = incident.Evidence{} }), idle},
		{"the service is gone and nobody can tell who hears of it", fresh(told, unaudited), ev(func(g *given) { g.ev = incident.Evidence{} }), idle},
		{"a refused key without fallback keeps its place", fresh(), fault, send(incident.Trigger, incident.ClassHighTrigger)},
		{"a refused key diverts", fresh(), all(fault, fallback), step(incident.StepFallback)},
		{"a refused key is probed", fresh(), all(fault, fallback, func(g *given) { g.ev.Probe = true }), send(incident.Trigger, incident.ClassHighTrigger)},

		// Blocked.
		{"blocked waits for a person", fresh(blocked), nil, idle},
		{"blocked diverts", fresh(blocked), fallback, step(incident.StepFallback)},
		{"blocked and diverted waits", fresh(blocked, func(in *incident.Incident) { in.FallbackRevision = 1 }), fallback, idle},
		{"blocked change events are not diverted", fresh(blocked, urgency(mapping.Change)), fallback, idle},
		{"blocked and over, nothing at PagerDuty: into the ledger", fresh(blocked, over), nil, step(incident.StepForget)},
		{"blocked and over while PagerDuty holds it: waits", fresh(told, blocked, over), nil, idle},

		// Over.
		{"over high is resolved before low triggers", fresh(told, over), nil, send(incident.Resolve, incident.ClassHighResolve)},
		{"over low is resolved after them", fresh(told, over, urgency(mapping.Low)), nil, send(incident.Resolve, incident.ClassLowResolve)},
		{"over of unknown state is resolved", fresh(over, have(incident.StateUnknown)), nil, send(incident.Resolve, incident.ClassHighResolve)},
		{"over and closed is forgotten", fresh(told, over, have(incident.StateClosed)), nil, step(incident.StepForget)},
		{"over, never sent: forgotten", fresh(over), alertmanagers(1), step(incident.StepForget)},
		{"over, never sent, several Alertmanagers: one resolve, last", fresh(over), alertmanagers(2), send(incident.Resolve, incident.ClassLast)},
		{"over, attempted and restored, several Alertmanagers", fresh(over, func(in *incident.Incident) { in.Attempted = true }), alertmanagers(2), step(incident.StepForget)},
		{"over but guaranteed is paged behind the live ones", fresh(over, func(in *incident.Incident) { in.Guaranteed = 1 }), all(later(time.Hour), alertmanagers(1)), send(incident.Trigger, incident.ClassGuaranteed)},
		{"guaranteed and paged is resolved", fresh(told, over, func(in *incident.Incident) { in.Guaranteed = 1 }), nil, send(incident.Resolve, incident.ClassHighResolve)},
		{"guaranteed but blocked waits", fresh(over, blocked, func(in *incident.Incident) { in.Guaranteed = 1 }), nil, idle},
		{"over change is forgotten, sent or not", fresh(over, urgency(mapping.Change)), nil, step(incident.StepForget)},
		{"over none is forgotten", fresh(over, urgency(mapping.None)), nil, step(incident.StepForget)},
		{"the echo of a resolve waits", fresh(told, over, have(incident.StateClosed), followUp(incident.Resolve, time.Minute)), nil, wait(time.Minute)},
		{"the echo of a resolve is sent", fresh(told, over, have(incident.StateClosed), followUp(incident.Resolve, time.Minute)), later(time.Minute), sendFollowUp(incident.Resolve, incident.ClassLowResolve)},
		{"the echo of a resolve whose key is gone is given up", fresh(told, over, have(incident.StateClosed), followUp(incident.Resolve, 0), func(in *incident.Incident) { in.KeyHash = "gone" }), nil, step(incident.StepForget)},

		// Never seen firing here.
		{"a resolve of an unknown alert is sent", fresh(seenResolved), nil, send(incident.Resolve, incident.ClassHighResolve)},
		{"for a shared key nobody to ask: not sent", fresh(seenResolved, shared), nil, step(incident.StepDrop)},
		{"for a shared key Alertmanager is asked", fresh(seenResolved, shared), alertmanagers(1), incident.Decision{Kind: incident.Ask, Question: incident.QuestionSiblings, Timeout: incident.StaleAsk}},
		{"others hold the shared key: not sent", fresh(seenResolved, shared), all(alertmanagers(1), answered(incident.QuestionSiblings, incident.VerdictFiring), zeroRevision), step(incident.StepDrop)},
		{"nobody holds the shared key: sent", fresh(seenResolved, shared), all(alertmanagers(1), answered(incident.QuestionSiblings, incident.VerdictGone), zeroRevision), send(incident.Resolve, incident.ClassHighResolve)},
		{"uncertain: asked again in a minute", fresh(seenResolved, shared), all(alertmanagers(1), answered(incident.QuestionSiblings, incident.VerdictUncertain), zeroRevision), wait(time.Minute)},
		{"uncertain for long: not sent", fresh(seenResolved, shared), all(later(10*time.Minute), alertmanagers(1), answered(incident.QuestionSiblings, incident.VerdictUncertain), zeroRevision), step(incident.StepDrop)},

		// Late firings.
		{"a held firing is asked about", fresh(held), alertmanagers(1), incident.Decision{Kind: incident.Ask, Question: incident.QuestionLate, Timeout: incident.LateHold}},
		{"while it is asked it is held", fresh(held, have(incident.StateClosed)), all(alertmanagers(1), func(g *given) { g.ev.Asking = map[incident.Question]bool{incident.QuestionLate: true} }), wait(incident.LateHold)},
		{"no word in time: page", fresh(held), all(alertmanagers(1), later(incident.LateHold)), step(incident.StepAdmit)},
		{"it fires: page", fresh(held), all(alertmanagers(1), answered(incident.QuestionLate, incident.VerdictFiring)), step(incident.StepAdmit)},
		{"uncertain: page", fresh(held), all(alertmanagers(1), answered(incident.QuestionLate, incident.VerdictUncertain)), step(incident.StepAdmit)},
		{"it is gone: dropped", fresh(held), all(alertmanagers(1), answered(incident.QuestionLate, incident.VerdictGone)), step(incident.StepDismiss)},
		{"an answer about another late firing is none", fresh(held), all(alertmanagers(1), answered(incident.QuestionLate, incident.VerdictGone), func(g *given) {
			a := g.ev.Answers[incident.QuestionLate]
			a.About = "another@then"
			g.ev.Answers[incident.QuestionLate] = a
		}), incident.Decision{Kind: incident.Ask, Question: incident.QuestionLate, Timeout: incident.LateHold}},
		{"a reload took Alertmanager away: page", fresh(held), nil, step(incident.StepAdmit)},

		{"while it is asked about a late firing, nothing else is asked", fresh(seenResolved, shared, and("b", incident.Member{Late: &incident.Late{Until: at(incident.LateHold)}})), all(alertmanagers(1), asking(incident.QuestionLate)), wait(incident.LateHold)},

		// Muted in Alertmanager.
		{"muted, acknowledge: high, with what stops escalations", fresh(told, muted(incident.MuteAcknowledge)), nil, send(incident.Acknowledge, incident.ClassHighResolve)},
		{"muted, acknowledge: low", fresh(told, urgency(mapping.Low), muted(incident.MuteAcknowledge)), nil, send(incident.Acknowledge, incident.ClassAcknowledge)},
		{"muted, acknowledge: once", fresh(told, have(incident.StateAcknowledged), muted(incident.MuteAcknowledge)), nil, idle},
		{"muted, acknowledge: not when the key of the trigger is gone", fresh(told, muted(incident.MuteAcknowledge), func(in *incident.Incident) { in.KeyHash = "gone" }), ev(func(g *given) { g.ev.KeySince = at(time.Second) }), idle},
		{"muted, acknowledge: not while another member is not", fresh(told, muted(incident.MuteAcknowledge), and("b", incident.Member{Firing: true})), nil, idle},
		{"muted, acknowledge: the other one is over", fresh(told, muted(incident.MuteAcknowledge), and("b", incident.Member{})), nil, send(incident.Acknowledge, incident.ClassHighResolve)},
		{"muted, acknowledge, not yet paged: it fires", fresh(muted(incident.MuteAcknowledge)), nil, send(incident.Trigger, incident.ClassHighTrigger)},
		{"muted, acknowledged, and over", fresh(told, over, have(incident.StateAcknowledged)), nil, send(incident.Resolve, incident.ClassHighResolve)},
		{"an acknowledge of the epoch before can still land: the page waits", fresh(told, followUp(incident.Resolve, time.Minute)), nil, wait(time.Minute)},
		{"and is then resolved, as urgent as itself", fresh(told, followUp(incident.Resolve, time.Minute)), later(time.Minute), sendFollowUp(incident.Resolve, incident.ClassHighTrigger)},
		{"and triggered again", fresh(told, have(incident.StateClosed)), nil, send(incident.Trigger, incident.ClassHighTrigger)},
		{"no longer muted: a new epoch, resolved first", fresh(told, newEpoch, have(incident.StateAcknowledged)), nil, send(incident.Resolve, incident.ClassHighTrigger)},
		{"muted, resolve", fresh(told, muted(incident.MuteResolve)), nil, send(incident.Resolve, incident.ClassHighResolve)},
		{"muted, resolve: not while another member fires", fresh(told, muted(incident.MuteResolve), and("b", incident.Member{Firing: true})), nil, idle},
		{"muted, resolved: kept until it is over", fresh(told, have(incident.StateClosed), muted(incident.MuteResolve)), nil, idle},
		{"muted, resolve, not yet paged: kept", fresh(muted(incident.MuteResolve)), nil, idle},
		{"muted, resolved, and over: into the ledger", fresh(told, over, have(incident.StateClosed)), nil, step(incident.StepForget)},

		// Adopted: nobody knows what PagerDuty holds.
		{"adopted is triggered, which joins what is open", fresh(adopted), nil, send(incident.Trigger, incident.ClassHighTrigger)},
		{"adopted, over before that: resolved", fresh(adopted, over), nil, send(incident.Resolve, incident.ClassHighResolve)},

		// The clock has jumped back: what was dated by it before counts as reached.
		{"a backoff longer than any is over", fresh(func(in *incident.Incident) { in.NotBefore = at(6 * time.Hour) }), nil, send(incident.Trigger, incident.ClassHighTrigger)},
		{"the longest backoff is not", fresh(func(in *incident.Incident) { in.NotBefore = at(time.Minute) }), nil, wait(time.Minute)},
		{"an echo hours ahead is due", fresh(told, followUp(incident.Trigger, 6*time.Hour)), nil, sendFollowUp(incident.Trigger, incident.ClassRefresh)},
		{"the echo of a resolve likewise", fresh(told, over, have(incident.StateClosed), followUp(incident.Resolve, 6*time.Hour)), nil, sendFollowUp(incident.Resolve, incident.ClassLowResolve)},
		{"a firing held for hours pages", fresh(func(in *incident.Incident) {
			in.Members["a"] = &incident.Member{Late: &incident.Late{Until: at(6 * time.Hour)}, Ended: incident.Ended{At: t0}}
		}), alertmanagers(1), step(incident.StepAdmit)},
		{"a refresh hours after a trigger of the future is sent", fresh(told, func(in *incident.Incident) { in.LastTrigger, in.RepeatAt = at(6*time.Hour), at(6*time.Hour) }), nil, send(incident.Trigger, incident.ClassRefresh)},
		{
			"an answer of the future is asked for again", fresh(), all(later(time.Hour), alertmanagers(1), answered(incident.QuestionStale, incident.VerdictGone), later(-time.Minute), func(g *given) { g.p.StaleAfter = -time.Hour }),
			incident.Decision{Kind: incident.Ask, Question: incident.QuestionStale, Timeout: incident.StaleAskHigh, Class: incident.ClassHighTrigger},
		},
		{"an uncertain answer of the future is asked for again", fresh(seenResolved, shared), all(later(6*time.Hour), alertmanagers(1), answered(incident.QuestionSiblings, incident.VerdictUncertain), zeroRevision, later(0)), incident.Decision{Kind: incident.Ask, Question: incident.QuestionSiblings, Timeout: incident.StaleAsk}},

		// Nobody would hear of it.
		{"a page into a hole is sent all the same", fresh(), nobody, into(send(incident.Trigger, incident.ClassHighTrigger), "nobody is on call", at(time.Hour))},
		{"a page into a hole is copied to the fallback first", fresh(), all(nobody, fallback), step(incident.StepFallback)},
		{"and then sent", fresh(copied), all(nobody, fallback), into(send(incident.Trigger, incident.ClassHighTrigger), "nobody is on call", at(time.Hour))},
		{"not copied when it is a change event", fresh(urgency(mapping.Change)), all(nobody, fallback), send(incident.Change, incident.ClassLast)},
		{"copied when a new episode joins: somebody may have closed it", fresh(told, func(in *incident.Incident) { in.Revision++ }), all(nobody, fallback), step(incident.StepFallback)},
		{"not copied when it is a repeat of what is open", fresh(told, func(in *incident.Incident) { in.RepeatAt = at(time.Minute) }), all(later(time.Hour), nobody, fallback), send(incident.Trigger, incident.ClassRefresh)},
		{"a repeat in a hole is sent, and stays in it", fresh(told, fell(incident.Trigger, time.Time{}), func(in *incident.Incident) { in.RepeatAt = at(time.Minute) }), all(later(2*time.Minute), nobody), into(send(incident.Trigger, incident.ClassRefresh), "nobody is on call", at(time.Hour))},
		{"also where nobody can tell whether it is over", fresh(told, fell(incident.Trigger, time.Time{}), func(in *incident.Incident) { in.RepeatAt = at(time.Minute) }), all(later(2*time.Minute), unknown), into(send(incident.Trigger, incident.ClassRefresh), "nobody is on call", time.Time{})},
		{"a new episode where nobody can tell whether it is over is copied", fresh(told, fell(incident.Trigger, time.Time{}), func(in *incident.Incident) { in.Revision++ }), all(unknown, fallback), step(incident.StepFallback)},
		{"sent before an audit could tell, and nobody heard of it", fresh(told, unaudited), nobody, step(incident.StepUncovered)},
		{"sent before an audit could tell, and somebody heard of it", fresh(told, unaudited), covered, step(incident.StepCovered)},
		{"sent before an audit could tell, and none can yet", fresh(told, unaudited), unknown, idle},
		{"sent while an audit could tell: a hole that begins later is none", fresh(told), nobody, idle},
		{"sent in a maintenance window that no audit knew of", fresh(told), begun(-time.Minute), step(incident.StepUncovered)},
		{"sent in a maintenance window that no audit knew of, and blocked since", fresh(told, blocked), begun(-time.Minute), step(incident.StepUncovered)},
		{"sent before a maintenance window", fresh(told), begun(time.Minute), idle},
		{"copied when it is a new epoch", fresh(told, newEpoch, have(incident.StateClosed)), all(nobody, fallback), step(incident.StepFallback)},
		{"not copied where it is not known whether there is a hole", fresh(), all(unknown, fallback), doubtful(send(incident.Trigger, incident.ClassHighTrigger))},
		{"what fell into a hole waits for its end", fresh(told, fell(incident.Trigger, time.Time{})), nobody, wait(time.Hour)},
		{"what fell into a hole whose end is not known waits", fresh(told, fell(incident.Trigger, time.Time{})), disabled, idle},
		{"it is copied to a fallback that is new", fresh(told, fell(incident.Trigger, time.Time{})), all(disabled, fallback), step(incident.StepFallback)},
		{"the hole is over: resolve", fresh(told, fell(incident.Trigger, at(time.Hour))), covered, send(incident.Resolve, incident.ClassHighResolve)},
		{"then trigger", fresh(told, fell(incident.Trigger, at(time.Hour)), have(incident.StateClosed)), covered, send(incident.Trigger, incident.ClassHighTrigger)},
		{"nobody audits it any more: likewise", fresh(told, fell(incident.Trigger, time.Time{})), nil, send(incident.Resolve, incident.ClassHighResolve)},
		{"nobody knows whether it is over: waits for the end that was known", fresh(told, fell(incident.Trigger, at(time.Hour))), unknown, wait(time.Hour)},
		{"which has come", fresh(told, fell(incident.Trigger, at(time.Hour))), all(unknown, later(time.Hour)), send(incident.Resolve, incident.ClassHighResolve)},
		{"nobody knows, nor ever did: waits for an audit", fresh(told, fell(incident.Trigger, time.Time{})), all(unknown, later(time.Hour)), idle},
		{"the hole is over, all is muted: waits", fresh(told, fell(incident.Trigger, time.Time{}), muted(incident.MuteAcknowledge)), covered, idle},
		{"info is not acknowledged in a hole", fresh(told, urgency(mapping.Acknowledged), fell(incident.Trigger, time.Time{})), disabled, idle},
		{"over in the hole: resolved", fresh(told, over, fell(incident.Trigger, time.Time{})), nobody, send(incident.Resolve, incident.ClassHighResolve)},
		{"a resolve in a maintenance window is sent", fresh(told, over), maintained, into(send(incident.Resolve, incident.ClassHighResolve), "in maintenance", at(time.Hour))},
		{"a resolve that it swallowed waits for its end", fresh(told, over, fell(incident.Resolve, time.Time{})), maintained, wait(time.Hour)},
		{"and is sent again then", fresh(told, over, fell(incident.Resolve, time.Time{})), covered, send(incident.Resolve, incident.ClassHighResolve)},
		{"nobody on call swallows no resolve", fresh(told, over, fell(incident.Resolve, time.Time{})), nobody, send(incident.Resolve, incident.ClassHighResolve)},

		// The test door.
		{"a test alert comes back at its end", fresh(told, test), nil, wait(time.Minute)},
		{"a test alert ends at its endsAt", fresh(told, test), later(time.Minute), step(incident.StepExpire)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := given{
				ev:  incident.Evidence{Known: true, KeyHash: "k1", HigherTrigger: at(-time.Hour)},
				p:   incident.Policy{StaleAfter: 2 * time.Minute},
				now: t0, held: tc.in.Held(),
			}
			if tc.given != nil {
				tc.given(&g)
			}
			got := incident.Next(tc.in, g.ev, g.p, g.now)
			if diff := cmp.Diff(tc.want, what(got)); diff != "" {
				t.Errorf("Next (%s): -want +got\n%s", got.Reason, diff)
			}
			if got.Reason == "" {
				t.Error("a decision without a reason: the ledger would be silent")
			}
		})
	}
}
