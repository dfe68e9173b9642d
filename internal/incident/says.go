package incident

import "time"

// Word is what PagerDuty says of an incident that it holds.
type Word string

// The words. Both are of what a person did, or a rule of theirs, not of our own requests.
const (
	WordAcknowledged Word = "acknowledged"
	WordResolved     Word = "resolved"
)

// PagerDutySays takes in what PagerDuty says that somebody did; by is for the ledger, at
// is by PagerDuty's clock. It says whether that changes anything. What is said of an
// incident before the one that was opened last does not, nor what comes while a request
// is in flight: nobody knows which was first.
//
// It never keeps a page from leaving. What a person resolved while it fires stays
// closed until Alertmanager repeats it, or something new fires; and once it is over it is
// resolved once more, in case that the word was about an older incident.
func (in *Incident) PagerDutySays(w Word, by string, at, now time.Time) bool {
	if in.Intent != nil || in.Have == StateClosed || !in.Urgency.Opens() || at.Before(in.OpenedAt) {
		return false
	}
	switch w {
	case WordAcknowledged:
		if in.Have == StateAcknowledged {
			return false
		}
		in.Have = StateAcknowledged
	case WordResolved:
		in.Have, in.Settled = StateClosed, in.Revision
	default:
		return false
	}
	// Somebody knows of it: nobody need be notified again.
	in.dropDoubts(func(d *Doubt) bool { return d.Cause != CauseLost })
	for i := range in.Doubts {
		if d := &in.Doubts[i]; w == WordResolved || d.FollowUp == Resolve {
			d.FollowUp, d.Due = "", time.Time{}
		}
	}
	in.Note(now, "pagerduty", string(w)+" by "+by)
	in.settle(now)
	return true
}

// settled says whether a person has resolved what fires: it is left so.
func (in *Incident) settled() bool {
	return in.Have == StateClosed && in.Settled > 0 && in.Settled >= in.Revision
}
