package main

const (
	next     = "internal/outbox/next.go"
	observe  = "internal/outbox/observe.go"
	episode  = "internal/outbox/episode.go"
	obstacle = "internal/outbox/obstacle.go"
	outcome  = "internal/outbox/outcome.go"
	store    = "internal/outbox/store.go"
	file     = "internal/outbox/file.go"
	lane     = "internal/delivery/lane.go"
	absent   = "internal/outbox/absent.go"
	compare  = "internal/alertmanager/reconcile_pass.go"
	schedule = "internal/alertmanager/reconcile.go"
	holes    = "internal/outbox/hole.go"
)

// mutants are the breaks; docs/contract.md lists them, with what noticed each.
func mutants() []mutant {
	return []mutant{
		{"order: no compare-and-set", []edit{{
			store,
			"if in == nil || in.Version != version || in.Intent != nil {\n\t\t\treturn ErrChanged",
			"if in == nil || in.Intent != nil {\n\t\t\treturn ErrChanged",
		}}},
		{"refcount: the first resolve closes a shared one", []edit{{
			episode,
			"\tin.put(fp, &c)\n\tin.lapse(was, now)",
			"\tin.put(fp, &c)\n\tfor k, m := range in.Members {\n\t\tn := *m\n\t\tn.Firing = false\n\t\tin.put(k, &n)\n\t}\n\tin.lapse(was, now)",
		}}},
		{"reserve: low may use all of the window", []edit{{
			lane,
			"float64(l.limit-l.limit/reservedShare)",
			"float64(l.limit)",
		}}},
		{"reserve: all connections may be taken by low ones", []edit{{
			lane,
			"case l.inFlightLow >= maxInFlightLow, l.throttled && l.inFlight > 0:",
			"case l.inFlightLow >= maxInFlight, l.throttled && l.inFlight > 0:",
		}}},
		{"retry of a 400: no minimal event", []edit{{
			outcome,
			"if (it.Action == Trigger || it.Action == Change) && !it.Minimal {",
			"if false {",
		}}},
		{"stale: never checked", []edit{{
			obstacle,
			"in.PendingSince.IsZero() || now.Sub(in.PendingSince) <= p.StaleAfter {",
			"true {",
		}}},
		{"time-out: taken for not applied", []edit{{
			outcome,
			"in.Have, in.HaveEpoch, in.AmbiguousTrigger = StateUnknown, it.Epoch, now",
			"in.Have = it.Prev",
		}}},
		{"epoch: a new one is folded into the old", []edit{{
			next,
			"return in.Urgency != mapping.Change && in.Have != StateClosed && in.Epoch > in.HaveEpoch",
			"return false",
		}}},
		{"intent: forgotten in a crash", []edit{{
			file,
			"in.finished(Outcome{Kind: OutcomeUnknown, Message: \"the process ended before the answer was stored\"}, now)",
			"in.Have, in.Intent = in.Intent.Prev, nil",
		}}},
		{"echo: a late trigger is not resolved again", []edit{{
			outcome,
			"if !in.AmbiguousTrigger.IsZero() && in.firing() == 0 {",
			"if false {",
		}}},
		{"episode: a further firing is not triggered", []edit{{
			episode,
			"\tin.put(fp, &c)\n\tin.Revision++\n",
			"\tin.put(fp, &c)\n\tif in.Revision == 0 {\n\t\tin.Revision++\n\t}\n",
		}}},
		{"absence: one look is enough", []edit{{
			schedule,
			"goneAfter       = 3 ",
			"goneAfter       = 1 ",
		}}},
		{"absence: a doubt is no objection", []edit{{
			compare,
			"if len(standing.Doubts) > 0 {",
			"if false {",
		}}},
		{"absence: a webhook that came since does not count", []edit{{
			absent,
			"if len(ids) == 0 || !newestSeen(tx, a.Fingerprint).Equal(a.LastSeen) {",
			"if len(ids) == 0 {",
		}, {
			compare,
			"if !s.seen.Equal(h.seen) {",
			"if s.seen.IsZero() {",
		}}},
		// Three guards stand behind one another; each alone would do.
		{"origin: the reconciler knows of none", []edit{{
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
		}}},
		{"late: a duplicate pages", []edit{{
			observe,
			"since >= 0 && since <= lateDuplicate {",
			"since < 0 {",
		}}},
		{"moved: the old incident stays open", []edit{{
			observe,
			"old.end(fp, Ended{At: now, Seen: now, By: endedByMove}, now)",
			"_ = old",
		}}},
		{"acknowledge: not sent", []edit{{
			next,
			"return send(Acknowledge, ClassAcknowledge, \"the urgency is acknowledged\")",
			"return Decision{Kind: Idle, Reason: \"said\"}",
		}}},
		{"hole: a trigger that fell into one is taken for heard", []edit{{
			holes,
			"in.Have, in.Hole, in.Echo = StateUnknown, it.Hole, nil\n\t\tif trigger {",
			"in.Echo = nil\n\t\tif trigger {",
		}}},
		{"hole: what fell into one is not sent again after it", []edit{{
			holes,
			"if in.Hole.stillIn(ev.Coverage, now) {",
			"if true {",
		}}},
		{"hole: a resolve in a maintenance window is taken for applied", []edit{{
			holes,
			"case a == Resolve && !c.Maintenance && c.State == CoverageHole:",
			"case a == Resolve && c.State == CoverageHole:",
		}}},
		{"hole: a resolve does not wait for its end", []edit{{
			holes,
			"return in.Hole.Action == Resolve",
			"return false",
		}}},
		{"hole: no copy to the fallback", []edit{{
			holes,
			`if hole == nil || in.Urgency == mapping.Change ||`,
			`if true || in.Urgency == mapping.Change ||`,
		}}},
		{"hole: a page that no audit could vouch for is taken for heard", []edit{{
			holes,
			"case began, in.Unsure && c.State == CoverageHole:",
			"case began:",
		}}},
		{"hole: a window that was begun between two audits is forgotten", []edit{{
			holes,
			"case began, in.Unsure && c.State == CoverageHole:",
			"case began && false, in.Unsure && c.State == CoverageHole:",
		}}},
		{"retry: what failed for a time is given up", []edit{{
			outcome,
			"\tcase OutcomeUnknown:\n\t\tin.Attempts++",
			"\tcase OutcomeUnknown:\n\t\tin.Blocked = &Blocked{Reason: o.Message, At: now}\n\t\tin.Attempts++",
		}}},
	}
}
