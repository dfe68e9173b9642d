package model_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// reason is why something is sent again, in the words of docs/contract.md, promise 7.
type reason string

const (
	notTaken    reason = "PagerDuty did not take it: 429, or no connection"
	unclear     reason = "its outcome is not known: a time-out, a cut connection, a 5xx, a stranger's answer, a kill after it may have left"
	askedFor    reason = "PagerDuty had refused it; a reload, `outbox retry`, or a change of what fires lifts that"
	asMinimal   reason = "PagerDuty refused it in full"
	newEpisode  reason = "a new firing: a further alert joined, an alert fired again, a mute ended, the urgency rose (bare keys)"
	lateInDoubt reason = "a webhook tells late of a firing that was over, and Alertmanager says that it fires, is in doubt, or cannot be asked"
	repeated    reason = "Alertmanager's repeat; at most one a minute"
	adopted     reason = "it was adopted, and PagerDuty's state is not known"
	resolveLate reason = "an earlier resolve timed out, and may land after it"
	ackLate     reason = "an earlier acknowledge timed out, and would silence it"
	olderOpen   reason = "a new epoch, while an older one may be open"
	inWindow    reason = "it was accepted in a maintenance window (known from the audit), and that is over"
	unheard     reason = "it was accepted while nobody could be paged, or may have joined what a maintenance window kept open (known from the audit), and now somebody can be paged"
	newKey      reason = "the key was changed, and the alert was seen since"
	elsewhere   reason = "a fallback took it over, or the route changed"
	triggerLate reason = "an earlier trigger timed out, and may land after it"
	onlyItsEnd  reason = "it was over before it was sent, and another replica may have opened it; or only its end arrived here"
	noProof     reason = "its 202 is no proof; not if something more urgent was triggered since"
	triggered   reason = "its incident was triggered since"
)

func reasons() []reason {
	return []reason{
		notTaken, unclear, askedFor, asMinimal, newEpisode, lateInDoubt, repeated, adopted, resolveLate, ackLate, olderOpen,
		inWindow, unheard, newKey, elsewhere, triggerLate, onlyItsEnd, noProof, triggered,
	}
}

// The contract names these reasons, and no other.
func TestContractNamesEveryReason(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "contract.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| sent again | why |\n| --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var got, want []string
	for line := range strings.Lines(table) {
		_, why, _ := strings.Cut(strings.Trim(line, "| \n"), " | ")
		got = append(got, why)
	}
	for _, r := range reasons() {
		want = append(want, string(r))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q in the table of promise 7, want %q", got, want)
	}
}
