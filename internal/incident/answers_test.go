package incident_test

import (
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

// The resolve of a shared key that Alertmanager has cleared survives an outage of
// PagerDuty, or of this process, of more than ten minutes.
func TestSharedResolveOutlivesAnOutage(t *testing.T) {
	in := fresh(urgency(mapping.High), over, have(incident.StateUnknown), func(in *incident.Incident) {
		in.Shared, in.Revision, in.Epoch = true, 0, 0
		in.Attempts = 12
	})
	given := incident.Evidence{Known: true, KeyHash: "k1"}
	p := incident.Policy{Alertmanagers: 1}
	t.Run("cleared two minutes ago, and tried since", func(t *testing.T) {
		ev := given
		ev.Answers = map[incident.Question]incident.Answer{incident.QuestionSiblings: {Verdict: incident.VerdictGone, At: at(9 * time.Minute)}}
		if d := incident.Next(in, ev, p, at(11*time.Minute)); d.Kind == incident.Perform && d.Step == incident.StepDrop {
			t.Errorf("the resolve is dropped: %s", d.Reason)
		}
	})
	t.Run("after a restart", func(t *testing.T) {
		if d := incident.Next(in, given, p, at(11*time.Minute)); d.Kind == incident.Perform && d.Step == incident.StepDrop {
			t.Errorf("the resolve is dropped before anybody was asked: %s", d.Reason)
		}
	})
}

// What Alertmanager said of one late firing says nothing of the next.
func TestAnswerAboutALateFiringIsNotUsedForTheNext(t *testing.T) {
	in := fresh(told, func(in *incident.Incident) {
		// b is held 30 s after the late a was found gone and dismissed.
		in.Members["b"] = &incident.Member{Origin: mapping.OriginAlertmanager, Late: &incident.Late{Until: at(30*time.Second + incident.LateHold)}, LastSeen: at(30 * time.Second), Ended: incident.Ended{At: t0}}
	})
	ev := evidence()
	ev.Answers = map[incident.Question]incident.Answer{incident.QuestionLate: {Verdict: incident.VerdictGone, At: t0, Revision: in.Revision}}
	d := incident.Next(in, ev, incident.Policy{Alertmanagers: 1}, at(30*time.Second))
	if d.Kind == incident.Perform && d.Step == incident.StepDismiss {
		t.Errorf("the firing is dismissed on an answer that is older than it: %s", d.Reason)
	}
}
