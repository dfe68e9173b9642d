package main

const (
	next     = "internal/outbox/next.go"
	observe  = "internal/outbox/observe.go"
	episode  = "internal/outbox/episode.go"
	obstacle = "internal/outbox/obstacle.go"
	outcome  = "internal/outbox/outcome.go"
	store    = "internal/outbox/store.go"
	change   = "internal/outbox/change.go"
	file     = "internal/outbox/file.go"
	lane     = "internal/delivery/lane.go"
	window   = "internal/delivery/window.go"
	absent   = "internal/outbox/absent.go"
	compare  = "internal/alertmanager/reconcile_pass.go"
	schedule = "internal/alertmanager/reconcile.go"
	holes    = "internal/outbox/hole.go"
	late     = "internal/outbox/unresolve.go"
	mute     = "internal/outbox/mute.go"
	check    = "internal/alertmanager/check.go"
)

// mutants are the breaks; docs/contract.md lists them, with what noticed each.
func mutants() []mutant { return append(core(), alone()...) }

// core are the breaks that the model must notice.
func core() []mutant {
	return []mutant{
		{
			Name: "order: no compare-and-set", Promise: 2, By: "internal/lab/model.TestResolveIsStoredWhileItsTriggerIsPrepared",
			Edits: []edit{{
				change,
				"if in == nil || in.Version != version || in.Intent != nil {\n\t\t\treturn ErrChanged",
				"if in == nil || in.Intent != nil {\n\t\t\treturn ErrChanged",
			}},
		},
		{
			Name: "refcount: the first resolve closes a shared one", Promise: 6, By: "internal/lab/model.TestCapturedSequences",
			Edits: []edit{{
				episode,
				"\tin.put(fp, &c)\n\tin.lapse(was, now)",
				"\tin.put(fp, &c)\n\tfor k, m := range in.Members {\n\t\tn := *m\n\t\tn.Firing = false\n\t\tin.put(k, &n)\n\t}\n\tin.lapse(was, now)",
			}},
		},
		{
			Name: "reserve: low may use all of the window", Promise: 3, By: "internal/lab/model.TestFloodOfWarningsDelaysNoCriticalPage",
			Edits: []edit{{
				window,
				"float64(l.limit-l.limit/reservedShare)",
				"float64(l.limit)",
			}},
		},
		{
			Name: "reserve: all connections may be taken by low ones", Promise: 3, By: "internal/lab/model.TestFloodOfWarningsDelaysNoCriticalPage",
			Edits: []edit{{
				window,
				"case l.inFlightLow >= maxInFlightLow, l.throttled && l.inFlight > 0:",
				"case l.inFlightLow >= maxInFlight, l.throttled && l.inFlight > 0:",
			}},
		},
		{
			Name: "retry of a 400: no minimal event", Promise: 5, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				outcome,
				"case (it.Action == Trigger || it.Action == Change) && !it.Minimal:",
				"case false:",
			}},
		},
		{
			Name: "stale: never checked", Promise: 9, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				obstacle,
				"in.PendingSince.IsZero() || now.Sub(in.PendingSince) <= p.StaleAfter {",
				"true {",
			}},
		},
		{
			Name: "time-out: taken for not applied", Promise: 7, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				outcome,
				"in.Have, in.HaveEpoch, in.AmbiguousTrigger = StateUnknown, it.Epoch, now",
				"in.Have = it.Prev",
			}},
		},
		{
			Name: "epoch: a new one is folded into the old", Promise: 8, By: "internal/lab/model.TestCapturedSequences",
			Edits: []edit{{
				next,
				"return in.Urgency != mapping.Change && in.Have != StateClosed && in.Epoch > in.HaveEpoch",
				"return false",
			}},
		},
		{
			Name: "intent: forgotten in a crash", Promise: 7, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				file,
				"in.finished(Outcome{Kind: OutcomeUnknown, Message: \"the process ended before the answer was stored\"}, now)",
				"in.Have, in.Intent = in.Intent.Prev, nil",
			}},
		},
		{
			Name: "echo: a late trigger is not resolved again", Promise: 7, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				outcome,
				"if !in.AmbiguousTrigger.IsZero() && in.firing() == 0 {",
				"if false {",
			}},
		},
		{
			Name: "twice: an accepted trigger is sent again, a minute later", Promise: 7, By: "internal/lab/model.TestCapturedSequences",
			Edits: []edit{{
				outcome,
				"if !in.AmbiguousResolve.IsZero() && in.firing() > 0 {",
				"if !it.Echo && in.firing() > 0 {",
			}},
		},
		{
			Name: "twice: an accepted resolve is sent again, a minute later", Promise: 7, By: "internal/lab/model.TestCapturedSequences",
			Edits: []edit{{
				outcome,
				"if !in.AmbiguousTrigger.IsZero() && in.firing() == 0 {",
				"if !it.Echo && in.firing() == 0 {",
			}},
		},
		{
			Name: "twice: the repeat of what may land is repeated in turn", Promise: 7, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				outcome,
				"if accepted.Echo || now.Sub(ambiguous) > 2*echoAfter {",
				"if now.Sub(ambiguous) > 20*echoAfter {",
			}},
		},
		{
			Name: "twice: Alertmanager's repeat is passed on for ever", Promise: 7, By: "internal/lab/model.TestCapturedSequences",
			Edits: []edit{{
				outcome,
				"if in.RepeatAt.Equal(it.RepeatAt) {",
				"if in.RepeatAt.IsZero() {",
			}},
		},
		{
			Name: "twice: an acknowledge is repeated for ever", Promise: 7, By: "internal/lab/model.TestCapturedSequences",
			Edits: []edit{{
				outcome,
				"if !it.Echo && in.Want() == StateAcknowledged && in.Echo == nil {",
				"if in.Want() == StateAcknowledged && in.Echo == nil {",
			}},
		},
		{
			Name: "episode: a further firing is not triggered", Promise: 8, By: "internal/lab/model.TestCapturedSequences",
			Edits: []edit{{
				episode,
				"\tin.put(fp, &c)\n\tin.Revision++\n",
				"\tin.put(fp, &c)\n\tif in.Revision == 0 {\n\t\tin.Revision++\n\t}\n",
			}},
		},
		{
			Name: "absence: one look is enough", Promise: 6, By: "internal/lab/model.TestCapturedSequences",
			Edits: []edit{{
				schedule,
				"goneAfter       = 3 ",
				"goneAfter       = 1 ",
			}},
		},
		{
			Name: "absence: a doubt is no objection", Promise: 6, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				compare,
				"if len(standing.Doubts) > 0 {",
				"if false {",
			}},
		},
		{
			Name: "absence: a webhook that came since does not count", Promise: 6, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				absent,
				"if len(ids) == 0 || !newestSeen(tx, a.Fingerprint).Equal(a.LastSeen) {",
				"if len(ids) == 0 {",
			}, {
				compare,
				"if !s.seen.Equal(h.seen) {",
				"if s.seen.IsZero() {",
			}},
		},
		// Three guards stand behind one another; each alone would do.
		{
			Name: "origin: the reconciler knows of none", Promise: 6, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				compare,
				"if m.Origin != mapping.OriginAlertmanager {",
				"if false {",
			}, {
				absent,
				"m != nil && m.Firing && m.Origin == mapping.OriginAlertmanager",
				"m != nil && m.Firing && m.Origin != mapping.OriginTest",
			}, {
				compare,
				"if !r.vouched[h.from] {",
				"if false {",
			}},
		},
		{
			Name: "adoption: what a truncated group left out is not taken in", Promise: 6, By: "internal/lab/model.TestCapturedSequences",
			Edits: []edit{{
				door,
				"\t\tr.cfg.OnTruncated(ReasonTruncated)\n",
				"",
			}},
		},
		{
			Name: "late: a duplicate pages", Promise: 7, By: "internal/lab/model.TestCapturedSequences",
			Edits: []edit{{
				observe,
				"since >= 0 && since <= lateDuplicate {",
				"since < 0 {",
			}},
		},
		{
			Name: "moved: the old incident stays open", Promise: 6, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				observe,
				"old.end(fp, Ended{At: now, Seen: now, By: endedByMove}, now)",
				"_ = old",
			}},
		},
		{
			Name: "acknowledge: not sent", Promise: 7, By: "internal/lab/model.TestCapturedSequences",
			Edits: []edit{{
				next,
				"return send(Acknowledge, ClassAcknowledge, \"the urgency is acknowledged\")",
				"return Decision{Kind: Idle, Reason: \"said\"}",
			}},
		},
		{
			Name: "hole: a trigger that fell into one is taken for heard", Promise: 7, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				holes,
				"in.Have, in.Hole, in.Echo = StateUnknown, it.Hole, nil\n\t\tif trigger && !again {",
				"in.Echo = nil\n\t\tif trigger && !again {",
			}},
		},
		{
			Name: "hole: what fell into one is not sent again after it", Promise: 7, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				holes,
				"if in.Hole.stillIn(ev.Coverage, now) {",
				"if true {",
			}},
		},
		// What the first does at once, the second does at the next audit.
		{
			Name: "hole: a resolve in a maintenance window is taken for applied", Promise: 6, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				holes,
				"case a == Resolve && !c.Maintenance && c.State == CoverageHole:",
				"case a == Resolve && c.State == CoverageHole:",
			}, {
				late,
				"&& in.wasPaged() {",
				"&& false {",
			}},
		},
		{
			Name: "hole: a resolve does not wait for its end", Promise: 7, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				holes,
				"return in.Hole.Action == Resolve",
				"return false",
			}},
		},
		{
			Name: "hole: no copy to the fallback", Promise: 5, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				holes,
				`if hole == nil || in.Urgency == mapping.Change ||`,
				`if true || in.Urgency == mapping.Change ||`,
			}},
		},
		{
			Name: "hole: a page that no audit could vouch for is taken for heard", Promise: 7, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				holes,
				"case began, in.Unsure && c.State == CoverageHole:",
				"case began:",
			}},
		},
		{
			Name: "hole: a window that was begun between two audits is forgotten", Promise: 7, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				holes,
				"case began, in.Unsure && c.State == CoverageHole:",
				"case began && false, in.Unsure && c.State == CoverageHole:",
			}},
		},
		{
			Name: "retry: what failed for a time is given up", Promise: 7, By: "internal/lab/model.TestHistoriesToRemember",
			Edits: []edit{{
				outcome,
				"\tcase OutcomeUnknown:\n\t\tin.Attempts++",
				"\tcase OutcomeUnknown:\n\t\tin.Blocked = &Blocked{Reason: o.Message, At: now}\n\t\tin.Attempts++",
			}},
		},
	}
}
