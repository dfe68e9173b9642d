package main

const (
	next     = "internal/outbox/next.go"
	observe  = "internal/outbox/observe.go"
	outcome  = "internal/outbox/outcome.go"
	store    = "internal/outbox/store.go"
	file     = "internal/outbox/file.go"
	delivery = "internal/delivery/lane.go"
)

// mutants are the breaks; docs/contract.md lists them with the promise each breaks.
func mutants() []mutant {
	return []mutant{
		{
			"order: no compare-and-set", store,
			"if in == nil || in.Version != version || in.Intent != nil {\n\t\t\treturn ErrChanged",
			"if in == nil || in.Intent != nil {\n\t\t\treturn ErrChanged",
		},
		{
			"refcount: the first resolve closes a shared one", observe,
			"\tin.put(fp, &c)\n\tin.lapse(was, now)",
			"\tin.put(fp, &c)\n\tfor k, m := range in.Members {\n\t\tn := *m\n\t\tn.Firing = false\n\t\tin.put(k, &n)\n\t}\n\tin.lapse(was, now)",
		},
		{
			"reserve: low may use all of the window", delivery,
			"float64(l.limit-l.limit/reservedShare)",
			"float64(l.limit)",
		},
		{
			"refused: no minimal event", outcome,
			"if it.Action == Trigger && !it.Minimal {",
			"if false {",
		},
		{
			"stale: never checked", next,
			"in.PendingSince.IsZero() || now.Sub(in.PendingSince) <= p.StaleAfter {",
			"true {",
		},
		{
			"time-out: taken for not applied", outcome,
			"in.Have, in.HaveEpoch, in.AmbiguousTrigger = StateUnknown, it.Epoch, now",
			"in.Have = it.Prev",
		},
		{
			"epoch: a new one is folded into the old", next,
			"return in.Urgency != mapping.Change && in.Have != StateClosed && in.Epoch > in.HaveEpoch",
			"return false",
		},
		{
			"intent: forgotten in a crash", file,
			"in.finished(Outcome{Kind: OutcomeUnknown, Message: \"the process ended before the answer was stored\"}, now)",
			"in.Have, in.Intent = in.Intent.Prev, nil",
		},
		{
			"echo: a late trigger is not resolved again", outcome,
			"if !in.AmbiguousTrigger.IsZero() && in.firing() == 0 {",
			"if false {",
		},
		{
			"episode: a further firing is not triggered", observe,
			"\tin.Revision++\n\tt.count(CountedEpisode)",
			"\tif in.Revision == 0 {\n\t\tin.Revision++\n\t}\n\tt.count(CountedEpisode)",
		},
		{
			"late: a duplicate pages", observe,
			"since >= 0 && since <= lateDuplicate {",
			"false {",
		},
		{
			"moved: the old incident stays open", observe,
			"old.end(fp, Ended{At: now, Seen: now, By: endedByMove}, now)",
			"_ = old",
		},
		{
			"acknowledge: not sent", next,
			"return send(Acknowledge, ClassAcknowledge, \"the urgency is acknowledged\")",
			"return Decision{Kind: Idle, Reason: \"said\"}",
		},
		{
			"retry: what failed for a time is given up", outcome,
			"\tcase OutcomeUnknown:\n\t\tin.Attempts++",
			"\tcase OutcomeUnknown:\n\t\tin.Blocked = &Blocked{Reason: o.Message, At: now}\n\t\tin.Attempts++",
		},
	}
}
