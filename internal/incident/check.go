package incident

import (
	"errors"
	"fmt"
)

// Check says what is wrong with an incident that the store hands out, part by part; nil
// if nothing is. The random histories ask it after every step.
func (in *Incident) Check() error {
	var errs []error
	wrong := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	in.checkTold(wrong)
	in.checkDoubts(wrong)
	in.checkMembers(wrong)
	in.checkWork(wrong)
	return errors.Join(errs...)
}

type check func(when bool, format string, args ...any)

// What PagerDuty was told does not run ahead of the incident, and what it holds was
// told under some routing key.
func (in *Incident) checkTold(wrong check) {
	wrong(in.AcceptedRevision > in.Revision, "accepted revision %d of %d", in.AcceptedRevision, in.Revision)
	wrong(in.HaveEpoch > max(in.Epoch, 1), "have speaks of epoch %d of %d", in.HaveEpoch, in.Epoch) // what is adopted may be open before it fires here.
	wrong((in.Have == StateOpen || in.Have == StateAcknowledged) && in.KeyHash == "", "have %s, under no routing key", in.Have)
	wrong(in.Settled > in.Revision, "settled revision %d of %d", in.Settled, in.Revision)
	switch in.Have {
	case StateClosed, StateOpen, StateAcknowledged, StateUnknown:
	default:
		wrong(true, "have %q", in.Have)
	}
}

// There is one doubt at most for each request and cause, and only what the table of
// Doubt knows; what is uncovered is unknown; a plan has a time, and fits what is wanted.
func (in *Incident) checkDoubts(wrong check) {
	known := map[Cause]map[Action]Action{ // what may follow up.
		CauseLost:      {Trigger: Resolve, Resolve: Trigger, Acknowledge: Resolve},
		CauseRefused:   {Resolve: Resolve},
		CauseUnproven:  {Acknowledge: Acknowledge},
		CauseUnaudited: {Trigger: ""},
		CauseUncovered: {Trigger: "", Resolve: ""},
	}
	uncovered := 0
	for i := range in.Doubts {
		d := &in.Doubts[i]
		followUp, ok := known[d.Cause][d.About]
		wrong(!ok, "a doubt of cause %s about a %s", d.Cause, d.About)
		wrong(in.doubt(d.About, d.Cause) != d, "two doubts of cause %s about a %s", d.Cause, d.About)
		wrong(d.FollowUp != "" && d.FollowUp != followUp, "a %s follows up on a %s that was %s", d.FollowUp, d.About, d.Cause)
		wrong((d.FollowUp == "") != d.Due.IsZero(), "the follow-up %q is due at %v", d.FollowUp, d.Due)
		wrong(d.FollowUp == Acknowledge && in.Want() != StateAcknowledged, "an acknowledge is planned, and wanted is %s", in.Want())
		wrong(d.FollowUp == Trigger && in.Firing() == 0, "a trigger is planned, and nothing fires")
		if d.Cause == CauseUncovered {
			uncovered++
		}
	}
	wrong(uncovered > 1, "%d requests without effect", uncovered)
	wrong(uncovered > 0 && in.Have != StateUnknown, "what is uncovered is %s", in.Have)
}

// Members are counted as they are; a late firing is none yet; only what fires moves, is
// muted or expires.
func (in *Incident) checkMembers(wrong check) {
	var c tally
	for fp, m := range in.Members {
		c.add(m, 1)
		wrong(m.Late != nil && m.Firing, "%s fires and is held", fp)
		wrong(!m.Firing && (m.MovedTo != "" || m.Muted != nil), "%s is over and moves to %q, muted %v", fp, m.MovedTo, m.Muted)
		wrong(m.Revision > in.Revision || m.Epoch > in.Epoch, "%s is of revision %d and epoch %d", fp, m.Revision, m.Epoch)
		wrong(m.Muted != nil && !m.Origin.KnownToAlertmanager(), "%s is muted, and of origin %s", fp, m.Origin)
	}
	wrong(in.tally != nil && *in.tally != c, "counted %+v, want %+v", in.tally, c)
}

// What is still to be said has a time, and only that; what is in flight is no newer than
// the incident; backing off follows a failure; a copy knows its original; a guarantee is
// of a high firing.
func (in *Incident) checkWork(wrong check) {
	if in.Intent == nil && in.ClosedAt.IsZero() {
		wrong(in.PendingSince.IsZero() == in.owesPagerDuty(), "pending since %v, and PagerDuty lacks something: %t", in.PendingSince, in.owesPagerDuty())
	}
	if it := in.Intent; it != nil {
		wrong(it.Revision > in.Revision || it.Epoch > in.Epoch, "revision %d and epoch %d are in flight, of %d and %d", it.Revision, it.Epoch, in.Revision, in.Epoch)
	}
	wrong(!in.NotBefore.IsZero() && in.Attempts == 0, "not before %v, and nothing failed", in.NotBefore)
	wrong((in.FallbackFrom == "") != (in.FallbackOf == ""), "a copy from service %q of incident %q", in.FallbackFrom, in.FallbackOf)
	wrong(in.FallbackRevision > in.Revision, "copied revision %d of %d", in.FallbackRevision, in.Revision)
	wrong(in.guaranteed() && (in.Guaranteed > in.Revision || !in.Urgency.First()), "revision %d of %d is guaranteed, urgency %s", in.Guaranteed, in.Revision, in.Urgency)
	wrong(len(in.History) > maxHistory, "%d entries of history", len(in.History))
}
