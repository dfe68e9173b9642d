package incident

import (
	"slices"
	"time"
)

// How long doubts matter.
const (
	// CanLandFor is how long a request that was lost can still be applied.
	CanLandFor = 2 * time.Minute
	// followUpAfter: what may undo, or outlive, the request that was just accepted has
	// landed by then, as a rule.
	followUpAfter = time.Minute
	// proveAfter is when an acknowledge is sent once more.
	proveAfter = 30 * time.Second
)

// Doubt is a request that was accepted, refused or lost, and that may not have had
// its effect, or may have it late. Because of it Next says something again. There is
// one at most for each request and cause.
//
//	cause      about        what is said again
//	lost       trigger      resolve, a minute after the next resolve was accepted
//	lost       resolve      trigger, a minute after the next trigger was accepted
//	lost       acknowledge  resolve and trigger, a minute after the next trigger: it would silence that page
//	refused    resolve      resolve and trigger, a minute after the next trigger: it may have joined the old incident
//	unproven   acknowledge  acknowledge, half a minute later
//	unaudited  trigger      nothing, until an audit can tell: then it is uncovered, or there is no doubt
//	uncovered  trigger      resolve and trigger, once somebody can be notified
//	uncovered  resolve      resolve, once PagerDuty applies it
type Doubt struct {
	About Action    `json:"about"`
	Cause Cause     `json:"cause"`
	At    time.Time `json:"at"` // when it was answered, or given up.
	Epoch int       `json:"epoch"`
	// FollowUp is the request that is due because of it, not before Due; "" if none is
	// planned yet. When want changes, the plan is dropped.
	FollowUp Action    `json:"follow_up,omitempty"`
	Due      time.Time `json:"due,omitzero"`
	Reason   string    `json:"reason,omitempty"`
	// Until ends what is uncovered; zero: nobody knows when.
	Until time.Time `json:"until,omitzero"`
	// Heard is the newest revision that somebody had been notified of before.
	Heard int `json:"heard,omitempty"`
}

// Cause is why a request may not have had its effect.
type Cause string

// The causes.
const (
	CauseLost      Cause = "lost"      // its answer never came: it may have been applied, or be applied yet.
	CauseRefused   Cause = "refused"   // of a resolve before a new epoch: what that epoch triggers may join the old incident.
	CauseUnproven  Cause = "unproven"  // a 202 for an acknowledge is no proof.
	CauseUnaudited Cause = "unaudited" // accepted while no audit could tell whether somebody is notified.
	CauseUncovered Cause = "uncovered" // accepted, and the audit says that it had no effect.
)

// doubt returns the doubt of a cause about a request, or nil. It may be changed.
func (in *Incident) doubt(about Action, c Cause) *Doubt {
	i := slices.IndexFunc(in.Doubts, func(d Doubt) bool { return d.About == about && d.Cause == c })
	if i < 0 {
		return nil
	}
	return &in.Doubts[i]
}

// addDoubt adds a doubt, in place of an older one of its kind.
func (in *Incident) addDoubt(d Doubt) {
	in.dropDoubts(func(o *Doubt) bool { return o.About == d.About && o.Cause == d.Cause })
	in.Doubts = append(in.Doubts, d)
}

func (in *Incident) dropDoubts(which func(d *Doubt) bool) {
	in.Doubts = slices.DeleteFunc(in.Doubts, func(d Doubt) bool { return which(&d) })
	if len(in.Doubts) == 0 {
		in.Doubts = nil
	}
}

// FollowUp is the planned request that comes first, or nil; it is not to be changed. A
// resolve is followed by a trigger, and so stands in for one.
func (in *Incident) FollowUp() *Doubt {
	var first *Doubt
	for i := range in.Doubts {
		d := &in.Doubts[i]
		if d.FollowUp == "" {
			continue
		}
		sooner := first == nil || d.Due.Before(first.Due)
		if first != nil && (d.FollowUp == Resolve) != (first.FollowUp == Resolve) {
			sooner = d.FollowUp == Resolve
		}
		if sooner {
			first = d
		}
	}
	return first
}

// next sends what is planned, or waits until it is due.
func (d *Doubt) next(c Class, now time.Time) Decision {
	if ahead(d.Due, now, followUpAfter) {
		return wait(d.Due, d.Reason)
	}
	return Decision{Kind: Send, Action: d.FollowUp, Class: c, FollowUp: true, Reason: d.Reason}
}

// wantChanged drops what is planned. What was lost can land in what fires next, and
// stays in mind.
func (in *Incident) wantChanged() {
	in.dropDoubts(func(d *Doubt) bool { return d.FollowUp != "" && d.Cause != CauseLost })
	for i := range in.Doubts {
		in.Doubts[i].FollowUp, in.Doubts[i].Due = "", time.Time{}
	}
}

// followedUp notes that a planned request was answered, or may have been applied. A
// resolve is one for all: the trigger that comes after it makes plans of its own.
func (in *Incident) followedUp(a Action) {
	in.dropDoubts(func(d *Doubt) bool { return d.FollowUp == a })
	if a == Resolve {
		in.wantChanged()
	}
}

// plan plans a follow-up, if that makes sense now, of what may still land after the
// request that was just accepted.
func (in *Incident) plan(about Action, accepted *Intent, followUp Action, sense bool, reason string, now time.Time) {
	d := in.doubt(about, CauseLost)
	switch {
	case d == nil:
	case accepted.FollowUp || now.Sub(d.At) > CanLandFor:
		in.dropDoubts(func(o *Doubt) bool { return o.About == about && o.Cause == CauseLost })
	case sense:
		d.FollowUp, d.Due, d.Reason = followUp, now.Add(followUpAfter), reason
	}
}

// doubtsOfTrigger plans what is to follow a trigger that was just accepted.
func (in *Incident) doubtsOfTrigger(it *Intent, now time.Time) {
	in.plan(Resolve, it, Trigger, in.Firing() > 0, "an earlier resolve timed out and can still land", now)
	if d := in.doubt(Acknowledge, CauseLost); d == nil || d.FollowUp == "" { // else it waits already: it is not put off.
		in.plan(Acknowledge, it, Resolve, in.Want() == StateOpen, "an acknowledge of the epoch before timed out and can still land: paged once more", now)
	}
	d := in.doubt(Resolve, CauseRefused)
	switch {
	case d == nil || d.FollowUp != "":
	case in.Want() != StateOpen || in.doubt(Resolve, CauseUncovered) != nil: // that has the same effect.
		in.dropDoubts(func(o *Doubt) bool { return o.Cause == CauseRefused })
	default:
		d.FollowUp, d.Due, d.Reason = Resolve, now.Add(followUpAfter), "PagerDuty refused to resolve the epoch before: paged once more"
	}
}

// doubtsOfAcknowledge plans what is to follow an acknowledge that was just accepted.
func (in *Incident) doubtsOfAcknowledge(it *Intent, now time.Time) {
	if it.FollowUp || in.Want() != StateAcknowledged || in.FollowUp() != nil {
		return
	}
	in.addDoubt(Doubt{
		About: Acknowledge, Cause: CauseUnproven, At: now, Epoch: it.Epoch,
		FollowUp: Acknowledge, Due: now.Add(proveAfter), Reason: "a 202 for an acknowledge is no proof",
	})
}

// doubtsOfResolve plans what is to follow a resolve that was just accepted.
func (in *Incident) doubtsOfResolve(it *Intent, now time.Time) {
	in.dropDoubts(func(d *Doubt) bool { return d.Cause == CauseRefused })
	in.plan(Trigger, it, Resolve, in.Firing() == 0, "an earlier trigger timed out and can still land", now)
}

// triggerCanLand says whether a trigger that was lost may yet be applied.
func (in *Incident) triggerCanLand(now time.Time) bool {
	d := in.doubt(Trigger, CauseLost)
	return d != nil && now.Sub(d.At) <= CanLandFor
}

// lostBefore are the doubts that outlive the incident: an acknowledge or a resolve that
// was lost can land in what fires next.
func (in *Incident) lostBefore() []Doubt {
	var lost []Doubt
	for _, d := range in.Doubts {
		if d.Cause == CauseLost && d.About != Trigger {
			lost = append(lost, Doubt{About: d.About, Cause: d.Cause, At: d.At, Epoch: d.Epoch})
		}
	}
	return lost
}

// MayLand says whether a request of the closed incident may land in what fires next.
func (in *Incident) MayLand() bool { return len(in.lostBefore()) > 0 }
