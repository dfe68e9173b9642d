package outbox_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

var t0 = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

// incident makes an incident as the rows of the table want it: one firing
// member, revision and epoch 1, nothing said to PagerDuty yet.
func incident(edit ...func(*outbox.Incident)) *outbox.Incident {
	in := &outbox.Incident{
		ID: "id", Version: 1, Service: "infra", DedupKey: "key", Urgency: mapping.High, Origin: mapping.OriginAlertmanager,
		Members:  map[string]*outbox.Member{"a": {Firing: true, LastSeen: t0, Origin: mapping.OriginAlertmanager}},
		Revision: 1, Epoch: 1, Have: outbox.StateClosed, PendingSince: t0, CreatedAt: t0,
	}
	for _, f := range edit {
		f(in)
	}
	return in
}

type edit = func(*outbox.Incident)

func urgency(u mapping.Urgency) edit { return func(in *outbox.Incident) { in.Urgency = u } }

// told says that PagerDuty accepted the present revision.
func told(in *outbox.Incident) {
	in.AcceptedRevision, in.HaveEpoch, in.Have, in.KeyHash = in.Revision, in.Epoch, outbox.StateOpen, "k1"
	in.LastTrigger, in.OpenedAt, in.PendingSince, in.Attempted = t0, t0, time.Time{}, true
}

// over says that nothing fires any more.
func over(in *outbox.Incident) {
	in.Members["a"].Firing = false
	in.Members["a"].EndedAt = t0
	in.PendingSince = t0
}

func have(s outbox.State) edit { return func(in *outbox.Incident) { in.Have = s } }

func newEpoch(in *outbox.Incident) { in.Revision++; in.Epoch++; in.PendingSince = t0 }

func echo(a outbox.Action, due time.Duration) edit {
	return func(in *outbox.Incident) {
		in.Echo = &outbox.Echo{Action: a, Due: at(due), Reason: "it can still land"}
	}
}

type given struct {
	ev  outbox.Evidence
	p   outbox.Policy
	now time.Time
	// held is what the incident holds when it is asked about.
	held string
}

func ev(f func(*given)) func(*given) { return f }

func answered(q outbox.Question, v outbox.Verdict) func(*given) {
	return func(g *given) {
		g.ev.Answers = map[outbox.Question]outbox.Answer{q: {Verdict: v, At: g.now, Revision: 1, Since: t0, About: g.held}}
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
func what(d outbox.Decision) outbox.Decision {
	d.Reason = ""
	if d.Kind == outbox.Perform {
		d.Hole = nil
	}
	return d
}

func TestNext(t *testing.T) {
	send := func(a outbox.Action, c outbox.Class) outbox.Decision {
		return outbox.Decision{Kind: outbox.Send, Action: a, Class: c}
	}
	sendEcho := func(a outbox.Action, c outbox.Class) outbox.Decision {
		return outbox.Decision{Kind: outbox.Send, Action: a, Class: c, Echo: true}
	}
	wait := func(d time.Duration) outbox.Decision { return outbox.Decision{Kind: outbox.Wait, Until: at(d)} }
	step := func(s outbox.Step) outbox.Decision { return outbox.Decision{Kind: outbox.Perform, Step: s} }
	idle := outbox.Decision{Kind: outbox.Idle}
	held := func(in *outbox.Incident) {
		in.Members["a"] = &outbox.Member{HeldUntil: at(outbox.LateHold), EndedAt: t0}
	}
	seenResolved := func(in *outbox.Incident) {
		over(in)
		in.FirstSeenResolved, in.Have, in.Revision, in.Epoch = true, outbox.StateUnknown, 0, 0
	}
	shared := func(in *outbox.Incident) { in.Shared = true }
	zeroRevision := func(g *given) {
		for q, a := range g.ev.Answers {
			a.Revision = 0
			g.ev.Answers[q] = a
		}
	}
	fallback := ev(func(g *given) { g.ev.Fallback = "catch-all" })
	blocked := func(in *outbox.Incident) { in.Blocked = &outbox.Blocked{Reason: "no"} }
	fault := ev(func(g *given) { g.ev.LaneFault = "Invalid routing key" })
	noKey := ev(func(g *given) { g.ev.KeyHash, g.ev.KeyError = "", "cannot read" })
	muted := func(do outbox.MuteAction) edit {
		return func(in *outbox.Incident) { in.Members["a"].Muted = &outbox.Mute{By: "silence", Do: do} }
	}
	and := func(fp string, m outbox.Member) edit {
		return func(in *outbox.Incident) { in.Members[fp] = &m }
	}
	adopted := func(in *outbox.Incident) { in.Have, in.HaveEpoch = outbox.StateUnknown, 1 }
	asking := func(q outbox.Question) func(*given) {
		return func(g *given) { g.ev.Asking = map[outbox.Question]bool{q: true} }
	}
	coverage := func(c outbox.Coverage) func(*given) { return func(g *given) { g.ev.Coverage = c } }
	nobody := coverage(outbox.Coverage{State: outbox.CoverageHole, Reason: "nobody is on call", Until: at(time.Hour)})
	disabled := coverage(outbox.Coverage{State: outbox.CoverageHole, Reason: "disabled"})
	maintained := coverage(outbox.Coverage{State: outbox.CoverageHole, Reason: "in maintenance", Until: at(time.Hour), Maintenance: true})
	covered, unknown := coverage(outbox.Coverage{State: outbox.CoverageFull}), coverage(outbox.Coverage{State: outbox.CoverageUnknown})
	doubtful := func(d outbox.Decision) outbox.Decision { d.Unsure = true; return d }
	into := func(d outbox.Decision, reason string, until time.Time) outbox.Decision {
		d.Hole = &outbox.Hole{Action: d.Action, Reason: reason, Until: until}
		return d
	}
	copied := func(in *outbox.Incident) { in.FallbackRevision = in.Revision }
	unsure := func(in *outbox.Incident) { in.Unsure = true }
	begun := func(since time.Duration) func(*given) {
		return coverage(outbox.Coverage{State: outbox.CoverageHole, Reason: "in maintenance", Since: at(since), Maintenance: true})
	}
	fell := func(a outbox.Action, until time.Time) edit {
		return func(in *outbox.Incident) {
			in.Have, in.Hole = outbox.StateUnknown, &outbox.Hole{Action: a, Reason: "nobody is on call", Until: until}
		}
	}
	test := func(in *outbox.Incident) {
		in.Origin = mapping.OriginTest
		in.Members["a"].Origin, in.Members["a"].ExpiresAt = mapping.OriginTest, at(time.Minute)
	}

	for _, tc := range []struct {
		name  string
		in    *outbox.Incident
		given func(*given)
		want  outbox.Decision
	}{
		// A new episode.
		{"high is triggered first", incident(), nil, send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"low is triggered among the low ones", incident(urgency(mapping.Low)), nil, send(outbox.Trigger, outbox.ClassLowTrigger)},
		{"info is triggered among the low ones", incident(urgency(mapping.Acknowledged)), nil, send(outbox.Trigger, outbox.ClassLowTrigger)},
		{"change is a change event, last", incident(urgency(mapping.Change)), nil, send(outbox.Change, outbox.ClassLast)},
		{"none sends nothing", incident(urgency(mapping.None)), nil, idle},
		{"nothing while a request is in flight", incident(func(in *outbox.Incident) { in.Intent = &outbox.Intent{} }), nil, idle},
		{"a further episode of an open incident is triggered", incident(told, func(in *outbox.Incident) { in.Revision++ }), nil, send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"a new epoch while the old is open resolves first, in the trigger's class", incident(told, newEpoch), nil, send(outbox.Resolve, outbox.ClassHighTrigger)},
		{"a new epoch of low likewise", incident(told, newEpoch, urgency(mapping.Low)), nil, send(outbox.Resolve, outbox.ClassLowTrigger)},
		{"a new epoch while the old is unknown resolves first", incident(told, newEpoch, have(outbox.StateUnknown)), nil, send(outbox.Resolve, outbox.ClassHighTrigger)},
		{"a new epoch after the old was closed triggers", incident(told, newEpoch, have(outbox.StateClosed)), nil, send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"a new epoch whose old key is gone triggers", incident(told, newEpoch, func(in *outbox.Incident) { in.KeyHash = "gone" }), nil, send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"a trigger of unknown outcome is sent again", incident(have(outbox.StateUnknown), func(in *outbox.Incident) { in.HaveEpoch = 1 }), nil, send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"backing off", incident(func(in *outbox.Incident) { in.NotBefore = at(time.Second) }), nil, wait(time.Second)},
		{"backed off", incident(func(in *outbox.Incident) { in.NotBefore = at(time.Second) }), later(time.Second), send(outbox.Trigger, outbox.ClassHighTrigger)},

		// Stale triggers.
		{"a fresh trigger is not checked", incident(), all(later(2*time.Minute), alertmanagers(1)), send(outbox.Trigger, outbox.ClassHighTrigger)},
		{
			"a stale high one is checked for a second", incident(), all(later(2*time.Minute+1), alertmanagers(1)),
			outbox.Decision{Kind: outbox.Ask, Question: outbox.QuestionStale, Timeout: outbox.StaleAskHigh, Class: outbox.ClassHighTrigger},
		},
		{
			"a stale low one is checked for longer", incident(urgency(mapping.Low)), all(later(2*time.Minute+1), alertmanagers(1)),
			outbox.Decision{Kind: outbox.Ask, Question: outbox.QuestionStale, Timeout: outbox.StaleAsk, Class: outbox.ClassLowTrigger},
		},
		{"not without an Alertmanager", incident(), later(time.Hour), send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"not of another origin", incident(func(in *outbox.Incident) { in.Origin = mapping.OriginCoverage }), all(later(time.Hour), alertmanagers(1)), send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"not what is owed", incident(func(in *outbox.Incident) { in.Owed = 1 }), all(later(time.Hour), alertmanagers(1)), send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"while it is asked nothing is sent", incident(), all(later(time.Hour), alertmanagers(1), func(g *given) { g.ev.Asking = map[outbox.Question]bool{outbox.QuestionStale: true} }), idle},
		{"stale and gone is superseded", incident(), all(later(time.Hour), alertmanagers(1), answered(outbox.QuestionStale, outbox.VerdictGone)), step(outbox.StepSupersede)},
		{"stale and firing is sent", incident(), all(later(time.Hour), alertmanagers(1), answered(outbox.QuestionStale, outbox.VerdictFiring)), send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"stale and uncertain is sent", incident(), all(later(time.Hour), alertmanagers(1), answered(outbox.QuestionStale, outbox.VerdictUncertain)), send(outbox.Trigger, outbox.ClassHighTrigger)},
		{
			"an old answer is asked for again", incident(), all(later(time.Hour), alertmanagers(1), answered(outbox.QuestionStale, outbox.VerdictGone), later(2*time.Hour)),
			outbox.Decision{Kind: outbox.Ask, Question: outbox.QuestionStale, Timeout: outbox.StaleAskHigh, Class: outbox.ClassHighTrigger},
		},
		{
			"an answer about an earlier revision is asked for again", incident(func(in *outbox.Incident) { in.Revision = 2 }), all(later(time.Hour), alertmanagers(1), answered(outbox.QuestionStale, outbox.VerdictGone)),
			outbox.Decision{Kind: outbox.Ask, Question: outbox.QuestionStale, Timeout: outbox.StaleAskHigh, Class: outbox.ClassHighTrigger},
		},

		// An open incident.
		{"nothing to say", incident(told), nil, idle},
		{"info is acknowledged", incident(told, urgency(mapping.Acknowledged)), nil, send(outbox.Acknowledge, outbox.ClassAcknowledge)},
		{"not when the key of the trigger is gone", incident(told, urgency(mapping.Acknowledged), func(in *outbox.Incident) { in.KeyHash = "gone" }), ev(func(g *given) { g.ev.KeySince = at(time.Second) }), idle},
		{"an acknowledged one is left alone", incident(told, urgency(mapping.Acknowledged), have(outbox.StateAcknowledged)), nil, idle},
		{"a refresh of unknown outcome is sent again", incident(told, have(outbox.StateUnknown)), nil, send(outbox.Trigger, outbox.ClassRefresh)},
		{"a repeat waits a minute", incident(told, func(in *outbox.Incident) { in.RepeatAt = at(30 * time.Second) }), later(30 * time.Second), wait(time.Minute)},
		{"a repeat is sent as a refresh", incident(told, func(in *outbox.Incident) { in.RepeatAt = at(30 * time.Second) }), later(time.Minute), send(outbox.Trigger, outbox.ClassRefresh)},
		{"a repeat by a clock that has jumped back is sent as well", incident(told, func(in *outbox.Incident) { in.RepeatAt = at(-6 * time.Hour) }), later(time.Minute), send(outbox.Trigger, outbox.ClassRefresh)},
		{"the echo of a trigger waits", incident(told, echo(outbox.Trigger, time.Minute)), nil, wait(time.Minute)},
		{"the echo of a trigger is sent", incident(told, echo(outbox.Trigger, time.Minute)), later(time.Minute), sendEcho(outbox.Trigger, outbox.ClassRefresh)},
		{"the echo of an acknowledge is sent", incident(told, urgency(mapping.Acknowledged), have(outbox.StateAcknowledged), echo(outbox.Acknowledge, 30*time.Second)), later(time.Minute), sendEcho(outbox.Acknowledge, outbox.ClassRefresh)},
		{
			"but not after a higher trigger on the service", incident(told, urgency(mapping.Acknowledged), have(outbox.StateAcknowledged), echo(outbox.Acknowledge, 30*time.Second)),
			all(later(time.Minute), func(g *given) { g.ev.HigherTrigger = at(time.Second) }), idle,
		},

		// The routing key.
		{"a changed key alone changes nothing", incident(told, func(in *outbox.Incident) { in.KeyHash = "k0" }), ev(func(g *given) { g.ev.KeySince = at(time.Second) }), idle},
		{"seen firing after the key changed: opened under the new one", incident(told, func(in *outbox.Incident) { in.KeyHash = "k0" }), ev(func(g *given) { g.ev.KeySince = at(-time.Second) }), send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"what the old key holds is left until then", incident(told, func(in *outbox.Incident) { in.KeyHash, in.Parted = "k0", true }), ev(func(g *given) { g.ev.KeySince = at(-time.Second) }), idle},
		{"resolved under a previous key", incident(told, over, func(in *outbox.Incident) { in.KeyHash = "k0" }), ev(func(g *given) { g.ev.OldKeys = []string{"k0"} }), send(outbox.Resolve, outbox.ClassHighResolve)},
		{"the key it was opened under is gone", incident(told, over, func(in *outbox.Incident) { in.KeyHash = "k0" }), nil, step(outbox.StepBlock)},
		{"an unreadable key waits", incident(), noKey, wait(15 * time.Second)},
		{"an unreadable key diverts", incident(), all(noKey, fallback), step(outbox.StepFallback)},
		{"a diverted one waits for the key", incident(func(in *outbox.Incident) { in.FallbackRevision = 1 }), all(noKey, fallback), wait(15 * time.Second)},
		{"the service is gone", incident(), ev(func(g *given) { g.ev = outbox.Evidence{} }), step(outbox.StepBlock)},
		{"the service is gone and nothing is to be said", incident(told), ev(func(g *given) { g.ev = outbox.Evidence{} }), idle},
		{"the service is gone and nobody can tell who hears of it", incident(told, unsure), ev(func(g *given) { g.ev = outbox.Evidence{} }), idle},
		{"a refused key without fallback keeps its place", incident(), fault, send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"a refused key diverts", incident(), all(fault, fallback), step(outbox.StepFallback)},
		{"a refused key is probed", incident(), all(fault, fallback, func(g *given) { g.ev.Probe = true }), send(outbox.Trigger, outbox.ClassHighTrigger)},

		// Blocked.
		{"blocked waits for a person", incident(blocked), nil, idle},
		{"blocked diverts", incident(blocked), fallback, step(outbox.StepFallback)},
		{"blocked and diverted waits", incident(blocked, func(in *outbox.Incident) { in.FallbackRevision = 1 }), fallback, idle},
		{"blocked change events are not diverted", incident(blocked, urgency(mapping.Change)), fallback, idle},
		{"blocked and over, nothing at PagerDuty: into the ledger", incident(blocked, over), nil, step(outbox.StepForget)},
		{"blocked and over while PagerDuty holds it: waits", incident(told, blocked, over), nil, idle},

		// Over.
		{"over high is resolved before low triggers", incident(told, over), nil, send(outbox.Resolve, outbox.ClassHighResolve)},
		{"over low is resolved after them", incident(told, over, urgency(mapping.Low)), nil, send(outbox.Resolve, outbox.ClassLowResolve)},
		{"over of unknown state is resolved", incident(over, have(outbox.StateUnknown)), nil, send(outbox.Resolve, outbox.ClassHighResolve)},
		{"over and closed is forgotten", incident(told, over, have(outbox.StateClosed)), nil, step(outbox.StepForget)},
		{"over, never sent: forgotten", incident(over), alertmanagers(1), step(outbox.StepForget)},
		{"over, never sent, several Alertmanagers: one resolve, last", incident(over), alertmanagers(2), send(outbox.Resolve, outbox.ClassLast)},
		{"over, attempted and restored, several Alertmanagers", incident(over, func(in *outbox.Incident) { in.Attempted = true }), alertmanagers(2), step(outbox.StepForget)},
		{"over but owed is paged behind the live ones", incident(over, func(in *outbox.Incident) { in.Owed = 1 }), all(later(time.Hour), alertmanagers(1)), send(outbox.Trigger, outbox.ClassOwed)},
		{"owed and paged is resolved", incident(told, over, func(in *outbox.Incident) { in.Owed = 1 }), nil, send(outbox.Resolve, outbox.ClassHighResolve)},
		{"owed but blocked waits", incident(over, blocked, func(in *outbox.Incident) { in.Owed = 1 }), nil, idle},
		{"over change is forgotten, sent or not", incident(over, urgency(mapping.Change)), nil, step(outbox.StepForget)},
		{"over none is forgotten", incident(over, urgency(mapping.None)), nil, step(outbox.StepForget)},
		{"the echo of a resolve waits", incident(told, over, have(outbox.StateClosed), echo(outbox.Resolve, time.Minute)), nil, wait(time.Minute)},
		{"the echo of a resolve is sent", incident(told, over, have(outbox.StateClosed), echo(outbox.Resolve, time.Minute)), later(time.Minute), sendEcho(outbox.Resolve, outbox.ClassLowResolve)},
		{"the echo of a resolve whose key is gone is given up", incident(told, over, have(outbox.StateClosed), echo(outbox.Resolve, 0), func(in *outbox.Incident) { in.KeyHash = "gone" }), nil, step(outbox.StepForget)},

		// Never seen firing here.
		{"a resolve of an unknown alert is sent", incident(seenResolved), nil, send(outbox.Resolve, outbox.ClassHighResolve)},
		{"for a shared key nobody to ask: not sent", incident(seenResolved, shared), nil, step(outbox.StepDrop)},
		{"for a shared key Alertmanager is asked", incident(seenResolved, shared), alertmanagers(1), outbox.Decision{Kind: outbox.Ask, Question: outbox.QuestionSiblings, Timeout: outbox.StaleAsk}},
		{"others hold the shared key: not sent", incident(seenResolved, shared), all(alertmanagers(1), answered(outbox.QuestionSiblings, outbox.VerdictFiring), zeroRevision), step(outbox.StepDrop)},
		{"nobody holds the shared key: sent", incident(seenResolved, shared), all(alertmanagers(1), answered(outbox.QuestionSiblings, outbox.VerdictGone), zeroRevision), send(outbox.Resolve, outbox.ClassHighResolve)},
		{"uncertain: asked again in a minute", incident(seenResolved, shared), all(alertmanagers(1), answered(outbox.QuestionSiblings, outbox.VerdictUncertain), zeroRevision), wait(time.Minute)},
		{"uncertain for long: not sent", incident(seenResolved, shared), all(later(10*time.Minute), alertmanagers(1), answered(outbox.QuestionSiblings, outbox.VerdictUncertain), zeroRevision), step(outbox.StepDrop)},

		// Late firings.
		{"a held firing is asked about", incident(held), alertmanagers(1), outbox.Decision{Kind: outbox.Ask, Question: outbox.QuestionLate, Timeout: outbox.LateHold}},
		{"while it is asked it is held", incident(held, have(outbox.StateClosed)), all(alertmanagers(1), func(g *given) { g.ev.Asking = map[outbox.Question]bool{outbox.QuestionLate: true} }), wait(outbox.LateHold)},
		{"no word in time: page", incident(held), all(alertmanagers(1), later(outbox.LateHold)), step(outbox.StepAdmit)},
		{"it fires: page", incident(held), all(alertmanagers(1), answered(outbox.QuestionLate, outbox.VerdictFiring)), step(outbox.StepAdmit)},
		{"uncertain: page", incident(held), all(alertmanagers(1), answered(outbox.QuestionLate, outbox.VerdictUncertain)), step(outbox.StepAdmit)},
		{"it is gone: dropped", incident(held), all(alertmanagers(1), answered(outbox.QuestionLate, outbox.VerdictGone)), step(outbox.StepDismiss)},
		{"an answer about another late firing is none", incident(held), all(alertmanagers(1), answered(outbox.QuestionLate, outbox.VerdictGone), func(g *given) {
			a := g.ev.Answers[outbox.QuestionLate]
			a.About = "another@then"
			g.ev.Answers[outbox.QuestionLate] = a
		}), outbox.Decision{Kind: outbox.Ask, Question: outbox.QuestionLate, Timeout: outbox.LateHold}},
		{"a reload took Alertmanager away: page", incident(held), nil, step(outbox.StepAdmit)},

		{"while it is asked about a late firing, nothing else is asked", incident(seenResolved, shared, and("b", outbox.Member{HeldUntil: at(outbox.LateHold)})), all(alertmanagers(1), asking(outbox.QuestionLate)), wait(outbox.LateHold)},

		// Muted in Alertmanager.
		{"muted, acknowledge: high, with what stops escalations", incident(told, muted(outbox.MuteAcknowledge)), nil, send(outbox.Acknowledge, outbox.ClassHighResolve)},
		{"muted, acknowledge: low", incident(told, urgency(mapping.Low), muted(outbox.MuteAcknowledge)), nil, send(outbox.Acknowledge, outbox.ClassAcknowledge)},
		{"muted, acknowledge: once", incident(told, have(outbox.StateAcknowledged), muted(outbox.MuteAcknowledge)), nil, idle},
		{"muted, acknowledge: not when the key of the trigger is gone", incident(told, muted(outbox.MuteAcknowledge), func(in *outbox.Incident) { in.KeyHash = "gone" }), ev(func(g *given) { g.ev.KeySince = at(time.Second) }), idle},
		{"muted, acknowledge: not while another member is not", incident(told, muted(outbox.MuteAcknowledge), and("b", outbox.Member{Firing: true})), nil, idle},
		{"muted, acknowledge: the other one is over", incident(told, muted(outbox.MuteAcknowledge), and("b", outbox.Member{})), nil, send(outbox.Acknowledge, outbox.ClassHighResolve)},
		{"muted, acknowledge, not yet paged: it fires", incident(muted(outbox.MuteAcknowledge)), nil, send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"muted, acknowledged, and over", incident(told, over, have(outbox.StateAcknowledged)), nil, send(outbox.Resolve, outbox.ClassHighResolve)},
		{"an acknowledge of the epoch before can still land: the page waits", incident(told, echo(outbox.Resolve, time.Minute)), nil, wait(time.Minute)},
		{"and is then resolved, as urgent as itself", incident(told, echo(outbox.Resolve, time.Minute)), later(time.Minute), sendEcho(outbox.Resolve, outbox.ClassHighTrigger)},
		{"and triggered again", incident(told, have(outbox.StateClosed)), nil, send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"no longer muted: a new epoch, resolved first", incident(told, newEpoch, have(outbox.StateAcknowledged)), nil, send(outbox.Resolve, outbox.ClassHighTrigger)},
		{"muted, resolve", incident(told, muted(outbox.MuteResolve)), nil, send(outbox.Resolve, outbox.ClassHighResolve)},
		{"muted, resolve: not while another member fires", incident(told, muted(outbox.MuteResolve), and("b", outbox.Member{Firing: true})), nil, idle},
		{"muted, resolved: kept until it is over", incident(told, have(outbox.StateClosed), muted(outbox.MuteResolve)), nil, idle},
		{"muted, resolve, not yet paged: kept", incident(muted(outbox.MuteResolve)), nil, idle},
		{"muted, resolved, and over: into the ledger", incident(told, over, have(outbox.StateClosed)), nil, step(outbox.StepForget)},

		// Adopted: nobody knows what PagerDuty holds.
		{"adopted is triggered, which joins what is open", incident(adopted), nil, send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"adopted, over before that: resolved", incident(adopted, over), nil, send(outbox.Resolve, outbox.ClassHighResolve)},

		// The clock has jumped back: what was dated by it before counts as reached.
		{"a backoff longer than any is over", incident(func(in *outbox.Incident) { in.NotBefore = at(6 * time.Hour) }), nil, send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"the longest backoff is not", incident(func(in *outbox.Incident) { in.NotBefore = at(time.Minute) }), nil, wait(time.Minute)},
		{"an echo hours ahead is due", incident(told, echo(outbox.Trigger, 6*time.Hour)), nil, sendEcho(outbox.Trigger, outbox.ClassRefresh)},
		{"the echo of a resolve likewise", incident(told, over, have(outbox.StateClosed), echo(outbox.Resolve, 6*time.Hour)), nil, sendEcho(outbox.Resolve, outbox.ClassLowResolve)},
		{"a firing held for hours pages", incident(func(in *outbox.Incident) {
			in.Members["a"] = &outbox.Member{HeldUntil: at(6 * time.Hour), EndedAt: t0}
		}), alertmanagers(1), step(outbox.StepAdmit)},
		{"a refresh hours after a trigger of the future is sent", incident(told, func(in *outbox.Incident) { in.LastTrigger, in.RepeatAt = at(6*time.Hour), at(6*time.Hour) }), nil, send(outbox.Trigger, outbox.ClassRefresh)},
		{
			"an answer of the future is asked for again", incident(), all(later(time.Hour), alertmanagers(1), answered(outbox.QuestionStale, outbox.VerdictGone), later(-time.Minute), func(g *given) { g.p.StaleAfter = -time.Hour }),
			outbox.Decision{Kind: outbox.Ask, Question: outbox.QuestionStale, Timeout: outbox.StaleAskHigh, Class: outbox.ClassHighTrigger},
		},
		{"an uncertain answer of the future is asked for again", incident(seenResolved, shared), all(later(6*time.Hour), alertmanagers(1), answered(outbox.QuestionSiblings, outbox.VerdictUncertain), zeroRevision, later(0)), outbox.Decision{Kind: outbox.Ask, Question: outbox.QuestionSiblings, Timeout: outbox.StaleAsk}},

		// Nobody would hear of it.
		{"a page into a hole is sent all the same", incident(), nobody, into(send(outbox.Trigger, outbox.ClassHighTrigger), "nobody is on call", at(time.Hour))},
		{"a page into a hole is copied to the fallback first", incident(), all(nobody, fallback), step(outbox.StepFallback)},
		{"and then sent", incident(copied), all(nobody, fallback), into(send(outbox.Trigger, outbox.ClassHighTrigger), "nobody is on call", at(time.Hour))},
		{"not copied when it is a change event", incident(urgency(mapping.Change)), all(nobody, fallback), send(outbox.Change, outbox.ClassLast)},
		{"copied when a new episode joins: somebody may have closed it", incident(told, func(in *outbox.Incident) { in.Revision++ }), all(nobody, fallback), step(outbox.StepFallback)},
		{"not copied when it is a repeat of what is open", incident(told, func(in *outbox.Incident) { in.RepeatAt = at(time.Minute) }), all(later(time.Hour), nobody, fallback), send(outbox.Trigger, outbox.ClassRefresh)},
		{"a repeat in a hole is sent, and stays in it", incident(told, fell(outbox.Trigger, time.Time{}), func(in *outbox.Incident) { in.RepeatAt = at(time.Minute) }), all(later(2*time.Minute), nobody), into(send(outbox.Trigger, outbox.ClassRefresh), "nobody is on call", at(time.Hour))},
		{"also where nobody can tell whether it is over", incident(told, fell(outbox.Trigger, time.Time{}), func(in *outbox.Incident) { in.RepeatAt = at(time.Minute) }), all(later(2*time.Minute), unknown), into(send(outbox.Trigger, outbox.ClassRefresh), "nobody is on call", time.Time{})},
		{"a new episode where nobody can tell whether it is over is copied", incident(told, fell(outbox.Trigger, time.Time{}), func(in *outbox.Incident) { in.Revision++ }), all(unknown, fallback), step(outbox.StepFallback)},
		{"sent before an audit could tell, and nobody heard of it", incident(told, unsure), nobody, step(outbox.StepUnheard)},
		{"sent before an audit could tell, and somebody heard of it", incident(told, unsure), covered, step(outbox.StepHeard)},
		{"sent before an audit could tell, and none can yet", incident(told, unsure), unknown, idle},
		{"sent while an audit could tell: a hole that begins later is none", incident(told), nobody, idle},
		{"sent in a maintenance window that no audit knew of", incident(told), begun(-time.Minute), step(outbox.StepUnheard)},
		{"sent in a maintenance window that no audit knew of, and blocked since", incident(told, blocked), begun(-time.Minute), step(outbox.StepUnheard)},
		{"sent before a maintenance window", incident(told), begun(time.Minute), idle},
		{"copied when it is a new epoch", incident(told, newEpoch, have(outbox.StateClosed)), all(nobody, fallback), step(outbox.StepFallback)},
		{"not copied where it is not known whether there is a hole", incident(), all(unknown, fallback), doubtful(send(outbox.Trigger, outbox.ClassHighTrigger))},
		{"what fell into a hole waits for its end", incident(told, fell(outbox.Trigger, time.Time{})), nobody, wait(time.Hour)},
		{"what fell into a hole whose end is not known waits", incident(told, fell(outbox.Trigger, time.Time{})), disabled, idle},
		{"it is copied to a fallback that is new", incident(told, fell(outbox.Trigger, time.Time{})), all(disabled, fallback), step(outbox.StepFallback)},
		{"the hole is over: resolve", incident(told, fell(outbox.Trigger, at(time.Hour))), covered, send(outbox.Resolve, outbox.ClassHighResolve)},
		{"then trigger", incident(told, fell(outbox.Trigger, at(time.Hour)), have(outbox.StateClosed)), covered, send(outbox.Trigger, outbox.ClassHighTrigger)},
		{"nobody audits it any more: likewise", incident(told, fell(outbox.Trigger, time.Time{})), nil, send(outbox.Resolve, outbox.ClassHighResolve)},
		{"nobody knows whether it is over: waits for the end that was known", incident(told, fell(outbox.Trigger, at(time.Hour))), unknown, wait(time.Hour)},
		{"which has come", incident(told, fell(outbox.Trigger, at(time.Hour))), all(unknown, later(time.Hour)), send(outbox.Resolve, outbox.ClassHighResolve)},
		{"nobody knows, nor ever did: waits for an audit", incident(told, fell(outbox.Trigger, time.Time{})), all(unknown, later(time.Hour)), idle},
		{"the hole is over, all is muted: waits", incident(told, fell(outbox.Trigger, time.Time{}), muted(outbox.MuteAcknowledge)), covered, idle},
		{"info is not acknowledged in a hole", incident(told, urgency(mapping.Acknowledged), fell(outbox.Trigger, time.Time{})), disabled, idle},
		{"over in the hole: resolved", incident(told, over, fell(outbox.Trigger, time.Time{})), nobody, send(outbox.Resolve, outbox.ClassHighResolve)},
		{"a resolve in a maintenance window is sent", incident(told, over), maintained, into(send(outbox.Resolve, outbox.ClassHighResolve), "in maintenance", at(time.Hour))},
		{"a resolve that it swallowed waits for its end", incident(told, over, fell(outbox.Resolve, time.Time{})), maintained, wait(time.Hour)},
		{"and is sent again then", incident(told, over, fell(outbox.Resolve, time.Time{})), covered, send(outbox.Resolve, outbox.ClassHighResolve)},
		{"nobody on call swallows no resolve", incident(told, over, fell(outbox.Resolve, time.Time{})), nobody, send(outbox.Resolve, outbox.ClassHighResolve)},

		// The test door.
		{"a test alert comes back at its end", incident(told, test), nil, wait(time.Minute)},
		{"a test alert ends at its endsAt", incident(told, test), later(time.Minute), step(outbox.StepExpire)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := given{
				ev:  outbox.Evidence{Known: true, KeyHash: "k1", HigherTrigger: at(-time.Hour)},
				p:   outbox.Policy{StaleAfter: 2 * time.Minute},
				now: t0, held: tc.in.Held(),
			}
			if tc.given != nil {
				tc.given(&g)
			}
			got := outbox.Next(tc.in, g.ev, g.p, g.now)
			if diff := cmp.Diff(tc.want, what(got)); diff != "" {
				t.Errorf("Next (%s): -want +got\n%s", got.Reason, diff)
			}
			if got.Reason == "" {
				t.Error("a decision without a reason: the ledger would be silent")
			}
		})
	}
}
