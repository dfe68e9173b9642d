package incident

import (
	"slices"
	"strings"
	"time"

	"github.com/pagerelay/pagerelay/mapping"
)

// Want is what the incident should be at PagerDuty.
func (in *Incident) Want() State {
	if in.Firing() == 0 {
		return StateClosed
	}
	if in.Urgency.AutoAcks() || in.loud() == 0 {
		return StateAcknowledged
	}
	return StateOpen
}

// Status sums an incident up in one word of a closed set: blocked, pending, open,
// acknowledged, uncovered (PagerDuty accepted it and no one is notified), settled
// (nothing is to be done: nothing fires, or somebody resolved it at PagerDuty) or
// recorded (its urgency opens no incident: none, or change once it is told).
func (in *Incident) Status() string {
	switch {
	case !in.Urgency.Sends():
		return "recorded"
	case in.Blocked != nil || in.KeyFault != "":
		return "blocked"
	case !in.PendingSince.IsZero():
		return "pending"
	case !in.Urgency.Opens():
		return "recorded"
	case in.waitsForCover():
		return "uncovered"
	case in.Firing() == 0, in.settled():
		return "settled"
	case in.Have == StateAcknowledged:
		return "acknowledged"
	default:
		return "open"
	}
}

// Statuses lists what Status can say.
func Statuses() []string {
	return []string{"pending", "open", "acknowledged", "uncovered", "blocked", "settled", "recorded"}
}

// Held tells the late firings that are being checked apart from others; "" if
// there are none.
func (in *Incident) Held() string {
	var held []string
	for fp, m := range in.Members {
		if m.Late != nil {
			held = append(held, fp+"@"+m.Late.Until.Format(time.RFC3339Nano))
		}
	}
	slices.Sort(held)
	return strings.Join(held, " ")
}

// Counts returns the number of firing and resolved members.
func (in *Incident) Counts() (firing, resolved int) {
	firing = in.Firing()
	return firing, len(in.Members) - firing
}

// View is the incident as mapping.Render wants it.
func (in *Incident) View() mapping.Incident {
	v := mapping.Incident{
		Service: in.Service, DedupKey: in.DedupKey, Rule: in.Rule, Tier: in.Tier,
		Urgency: in.Urgency, Severity: in.Severity, Origin: in.Origin,
		Receiver: in.Receiver, ExternalURL: in.ExternalURL, GroupKey: in.GroupKey, GroupLabels: in.GroupLabels.KV(),
		FallbackFrom: in.FallbackFrom, FallbackReason: in.FallbackReason,
	}
	for _, m := range in.Members {
		a := m.Alert.Unpack()
		a.Status = mapping.Resolved
		if m.Firing {
			a.Status = mapping.Firing
		}
		v.Members = append(v.Members, a)
	}
	return v
}

// settle brings PendingSince in line with what is still to be said.
func (in *Incident) settle(now time.Time) {
	switch {
	case !in.owesPagerDuty():
		in.PendingSince = time.Time{}
	case in.PendingSince.IsZero():
		in.PendingSince = now
	}
}

// owesPagerDuty says whether PagerDuty's state differs from what it should be.
func (in *Incident) owesPagerDuty() bool {
	if in.Digest != nil {
		return in.Revision > in.AcceptedRevision
	}
	if !in.Urgency.Sends() || in.waitsForCover() {
		return false
	}
	if in.Firing() > 0 {
		return in.Revision > in.AcceptedRevision || in.Have == StateUnknown ||
			(in.Want() == StateAcknowledged && in.Have == StateOpen && in.Urgency.Opens())
	}
	if !in.Urgency.Opens() {
		return in.Intent != nil
	}
	return in.Have != StateClosed || in.guaranteed()
}

// guaranteed says whether a firing that is over is still to be paged: it was taken
// neither here nor by the fallback.
func (in *Incident) guaranteed() bool {
	return in.Guaranteed > max(in.AcceptedRevision, in.FallbackRevision)
}

// Paged says whether PagerDuty has accepted the newest firing, and the alert is
// part of it.
func (in *Incident) Paged(fp string) bool {
	return in != nil && in.Members[fp] != nil && in.Members[fp].Firing && in.AcceptedRevision >= in.Revision && in.uncovered() == nil && (in.Have != StateClosed || !in.Urgency.Opens() || in.settled())
}

// LastAnswer is what PagerDuty, or the way to it, said last; "" if it never did.
func (in *Incident) LastAnswer() string {
	for _, e := range slices.Backward(in.History) {
		if e.What == "answer" {
			return e.Text
		}
	}
	return ""
}

// LastOutcome is what became of the last request, in PagerDuty's words and without the
// alert's; "" if there was none.
func (in *Incident) LastOutcome() string {
	_, outcome, _ := strings.Cut(in.LastAnswer(), "): ")
	return outcome
}
