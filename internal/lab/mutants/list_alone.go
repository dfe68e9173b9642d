package main

const (
	answers = "internal/pagerduty/answer.go"
	direct  = "internal/outbox/direct.go"
	commit  = "internal/outbox/commit.go"
	disk    = "internal/outbox/disk.go"
	bolt    = "internal/outbox/bolt.go"
	digest  = "internal/outbox/digest.go"
	door    = "receiver/receiver.go"
	route   = "mapping/route.go"
	render  = "mapping/render.go"
)

// alone are the breaks of what the model's world does not hold, or holds whole: the
// disk, the door's answers, templates. Each names the test that guards it.
func alone() []mutant {
	return []mutant{
		{
			Name: "saved: nothing is flushed to the disk", Promise: 1, By: "internal/outbox.TestPowerCut",
			Edits: []edit{{
				bolt,
				"bolt.Open(path, 0o600, &bolt.Options{",
				"bolt.Open(path, 0o600, &bolt.Options{NoSync: true, ",
			}},
		},
		{
			Name: "saved: answered before it is stored", Promise: 1, By: "internal/outbox.TestFullDiskAndNoAcceptanceIsNotAnswered",
			Edits: []edit{{
				store,
				"\tcase err := <-o.done:\n\t\treturn err\n\tcase <-s.closed:\n\t\tselect {",
				"\tcase err := <-o.done:\n\t\treturn err\n\tcase <-time.After(0):\n\t\treturn nil\n\tcase <-s.closed:\n\t\tselect {",
			}},
		},
		{
			Name: "saved: 200 although it could not be stored", Promise: 1, By: "receiver.TestWebhookCodes",
			Edits: []edit{{
				door,
				"return unavailable(deferSink, \"the alerts could not be stored; send again\")",
				"return answer{code: http.StatusOK}",
			}},
		},
		{
			Name: "direct: 200 before PagerDuty has accepted it", Promise: 1, By: "internal/outbox.TestFullDiskAndNoAcceptanceIsNotAnswered",
			Edits: []edit{{
				direct,
				"if held || !direct {",
				"if held || direct || !direct {",
			}},
		},
		{
			Name: "aged: who has waited gets no place", Promise: 3, By: "internal/delivery.TestAFloodOfHighStarvesNobody",
			Edits: []edit{{
				lane,
				"if (l.slots+1)%agedSlot == 0 {",
				"if false {",
			}},
		},
		{
			Name: "class: a low trigger goes with the high ones", Promise: 3, By: "internal/delivery.TestMostUrgentFirst",
			Edits: []edit{{
				next,
				"case mapping.Low, mapping.Acknowledged, mapping.None:\n\t\treturn ClassLowTrigger",
				"case mapping.Low, mapping.Acknowledged, mapping.None:\n\t\treturn ClassHighTrigger",
			}},
		},
		{
			Name: "tier: an unknown one is not paged", Promise: 4, By: "mapping.TestTiers",
			Edits: []edit{{
				route,
				"\treturn rule.unknownTier, append(faults, FaultUnknownTier)",
				"\treturn &tier{name: name, urgency: None}, append(faults, FaultUnknownTier)",
			}},
		},
		{
			Name: "template: one that fails costs the page", Promise: 4, By: "mapping.TestHostileLabelInTemplate",
			Edits: []edit{{
				route,
				"name, faults = a.Labels[\"severity\"], append(faults, FaultTemplate)",
				"return &tier{urgency: None}, append(faults, FaultTemplate)",
			}},
		},
		{
			Name: "severity: whatever the label says", Promise: 4, By: "mapping.TestSeverityIsAlwaysPagerDutys",
			Edits: []edit{{
				render,
				"if slices.Contains(Severities(), r.in.Severity) {",
				"if r.in.Severity != \"\" {",
			}},
		},
		{
			Name: "size: an event is sent however large", Promise: 4, By: "mapping.TestOversizedEvent",
			Edits: []edit{{
				render,
				"if r.fit(&ev, r.details()) {",
				"if ev.Details = r.details().build(); false {",
			}},
		},
		{
			Name: "refused: nothing goes to the fallback", Promise: 5, By: "internal/delivery.TestRefusedGoesMinimalThenToTheFallback",
			Edits: []edit{{
				obstacle,
				"case in.Blocked != nil && fallback:",
				"case in.Blocked != nil && false:",
			}},
		},
		{
			Name: "key: a refused one is taken for a refused event", Promise: 5, By: "internal/delivery.TestRefusedKeyIsProbedAndDiverted",
			Edits: []edit{{
				answers,
				"if fault.ofKey() {",
				"if false {",
			}},
		},
		{
			Name: "proxy: its 403 is taken for PagerDuty's", Promise: 5, By: "internal/delivery.TestProxyInTheWay",
			Edits: []edit{{
				answers,
				"a := Answer{Kind: Failed, Code: e.Code}",
				"a := Answer{Kind: Refused, Code: e.Code}",
			}},
		},
		{
			Name: "hole: a resolve in one is put right by the audit alone", Promise: 6, By: "internal/outbox.TestResolveIntoMaintenance",
			Edits: []edit{{
				holes,
				"case a == Resolve && !c.Maintenance && c.State == CoverageHole:",
				"case a == Resolve && c.State == CoverageHole:",
			}},
		},
		{
			Name: "hole: what was resolved in one before it was known stays so", Promise: 6, By: "internal/outbox.TestResolveIntoMaintenanceThatNobodyKnewOf",
			Edits: []edit{{
				late,
				"&& in.wasPaged() {",
				"&& false {",
			}},
		},
		{
			Name: "absence: a member that has just started counts", Promise: 6, By: "internal/alertmanager.TestAbsence",
			Edits: []edit{{
				check,
				"case up <= c.minUptime:",
				"case false:",
			}},
		},
		{
			Name: "absence: a member that is not asked is no objection", Promise: 6, By: "internal/alertmanager.TestAbsence",
			Edits: []edit{{
				check,
				"if missing > 0 {",
				"if false {",
			}},
		},
		{
			Name: "absence: a member that did not answer is no objection", Promise: 6, By: "internal/alertmanager.TestAbsence",
			Edits: []edit{{
				check,
				"if err != nil {\n\t\t\t\tdoubts[i] = Doubt{DoubtUnreachable, m.reason(err)}\n\t\t\t\treturn",
				"if err != nil {\n\t\t\t\treturn",
			}},
		},
		{
			Name: "adoption: a lost webhook begins none", Promise: 6, By: "internal/alertmanager.TestUnknown",
			Edits: []edit{{
				schedule,
				"r.adoptOwed, r.adoptUntil = true, time.Now().Add(adoptFor)",
				"r.adoptUntil = time.Now().Add(adoptFor)",
			}},
		},
		{
			Name: "mute: one that is to resolve does not", Promise: 6, By: "internal/outbox.TestMutes",
			Edits: []edit{{
				mute,
				"return m.Muted != nil && m.Muted.Do == MuteResolve",
				"return false",
			}},
		},
		{
			Name: "mute: its end does not page again", Promise: 8, By: "internal/outbox.TestMutes",
			Edits: []edit{{
				mute,
				"if in.Parted { // the incident under the new key pages.",
				"if true {",
			}},
		},
		{
			Name: "owed: a page that waited for the limit is forgotten", Promise: 9, By: "internal/outbox.TestOwedIsPagedThoughOver",
			Edits: []edit{{
				change,
				"tx.edit(id).owe(tx.now)",
				"tx.edit(id)",
			}},
		},
		{
			Name: "digest: what was missed is not told", Promise: 9, By: "internal/delivery.TestWhatWasMissedIsToldOnce",
			Edits: []edit{{
				digest,
				"in.note(now, \"superseded\", why)\n",
				"in.note(now, \"superseded\", why)\n\treturn\n",
			}},
		},
		{
			Name: "direct: a full disk stops a page", Promise: 10, By: "internal/outbox.TestFullDiskAnswersWhenPagerDutyHasAccepted",
			Edits: []edit{{
				change,
				"if err := s.do(ctx, true, o); !errors.Is(err, errDirect) {",
				"if err := s.do(ctx, true, o); !errors.Is(err, errDirect) || true {",
			}},
		},
		{
			Name: "direct: the disk is not tried again", Promise: 10, By: "internal/outbox.TestDiskRecoversByItself",
			Edits: []edit{{
				commit,
				"\t\tcase <-retry.C:\n",
				"\t\tcase <-retry.C:\n\t\t\tcontinue\n",
			}},
		},
		{
			Name: "hanging: the disk is waited for", Promise: 10, By: "internal/outbox.TestHangingDiskDoesNotHoldUpAPage",
			Edits: []edit{{
				commit,
				"diskPatience = 2 * time.Second",
				"diskPatience = 24 * time.Hour",
			}},
		},
		{
			Name: "damage: a panic of bbolt's is not caught", Promise: 10, By: "internal/outbox.TestDamagedFile", Ends: crashed,
			Edits: []edit{{
				disk,
				"if r := recover(); r != nil {",
				"if r := error(nil); r != nil {",
			}},
		},
		{
			Name: "damage: what can be read is not kept", Promise: 10, By: "internal/outbox.TestDamagedFile",
			Edits: []edit{{
				file,
				"if err := errors.Join(damage, err); err != nil {\n\t\treturn incidents, err",
				"if err := errors.Join(damage, err); err != nil {\n\t\treturn nil, err",
			}},
		},
		{
			Name: "newer: its file is opened", Promise: 10, By: "internal/outbox.TestNewerVersionIsRefused",
			Edits: []edit{{
				file,
				"if version > schemaVersion {",
				"if version < schemaVersion {",
			}},
		},
	}
}
