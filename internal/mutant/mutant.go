// Package mutant holds the switches by which the lab breaks a promise on purpose,
// to see that a test of that promise fails. Each switch stands at the line that it
// breaks, so that it moves with the code. In every build without the tag "mutant",
// On is constantly false and the compiler drops what it guards.
package mutant

// ID names a mutant. `make mutants` tries every one; internal/lab/mutants says which
// promise of docs/contract.md it breaks and which test has to fail.
type ID string

// The mutants, one or two a promise.
const (
	AnswerBeforeStored     ID = "answer-before-stored"
	DirectWithoutAccept    ID = "direct-without-accept"
	NoCompareAndSet        ID = "no-compare-and-set"
	NoReserve              ID = "no-reserve"
	NoAging                ID = "no-aging"
	UnknownTierIsSilent    ID = "unknown-tier-is-silent"
	TemplateFaultIsSilent  ID = "template-fault-is-silent"
	NoFallback             ID = "no-fallback"
	FirstResolveCloses     ID = "first-resolve-closes"
	OneLookIsEnough        ID = "one-look-is-enough"
	TimeoutIsNotApplied    ID = "timeout-is-not-applied"
	IntentForgottenByCrash ID = "intent-forgotten-by-crash"
	NewEpochJoinsOld       ID = "new-epoch-joins-old"
	MissedIsNotTold        ID = "missed-is-not-told"
	FullDiskStopsPages     ID = "full-disk-stops-pages"
	DiskIsNotTriedAgain    ID = "disk-is-not-tried-again"
)
