package main

import "github.com/pagerelay/pagerelay/internal/mutant"

// breaks says which promise of docs/contract.md a mutant breaks, and which test of
// that promise has to fail.
type breaks struct {
	id      mutant.ID
	promise int
	pkg     string // the folder of the test's package.
	test    string
}

// list is every mutant.
func list() []breaks {
	const (
		model    = "internal/lab/model"
		outbox   = "internal/outbox"
		delivery = "internal/delivery"
	)
	return []breaks{
		{mutant.AnswerBeforeStored, 1, outbox, "TestFullDiskAndNoAcceptanceIsNotAnswered"},
		{mutant.DirectWithoutAccept, 1, outbox, "TestFullDiskAndNoAcceptanceIsNotAnswered"},
		{mutant.NoCompareAndSet, 2, model, "TestResolveIsStoredWhileItsTriggerIsPrepared"},
		{mutant.NoReserve, 3, model, "TestFloodOfWarningsDelaysNoCriticalPage"},
		{mutant.NoAging, 3, delivery, "TestAFloodOfHighStarvesNobody"},
		{mutant.UnknownTierIsSilent, 4, "mapping", "TestTiers"},
		{mutant.TemplateFaultIsSilent, 4, "mapping", "TestHostileLabelInTemplate"},
		{mutant.NoFallback, 5, delivery, "TestRefusedGoesMinimalThenToTheFallback"},
		{mutant.FirstResolveCloses, 6, model, "TestCapturedSequences"},
		{mutant.OneLookIsEnough, 6, model, "TestCapturedSequences"},
		{mutant.TimeoutIsNotApplied, 7, model, "TestHistoriesToRemember"},
		{mutant.IntentForgottenByCrash, 7, model, "TestHistoriesToRemember"},
		{mutant.NewEpochJoinsOld, 8, model, "TestCapturedSequences"},
		{mutant.MissedIsNotTold, 9, delivery, "TestWhatWasMissedIsToldOnce"},
		{mutant.FullDiskStopsPages, 10, outbox, "TestFullDiskAnswersWhenPagerDutyHasAccepted"},
		{mutant.DiskIsNotTriedAgain, 10, outbox, "TestDiskRecoversByItself"},
	}
}
