package incident_test

import (
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

// says has PagerDuty say something a minute after its trigger was accepted.
func says(w incident.Word) edit {
	return func(in *incident.Incident) { in.PagerDutySays(w, "Ann", at(time.Minute), at(time.Minute)) }
}

func TestPagerDutySays(t *testing.T) {
	inFlight := func(in *incident.Incident) { in.Intent = &incident.Intent{Action: incident.Trigger} }
	for name, tc := range map[string]struct {
		in      *incident.Incident
		word    incident.Word
		at      time.Duration
		changes bool
		have    incident.State
		status  string
	}{
		"acknowledged":                        {fresh(told), incident.WordAcknowledged, time.Minute, true, incident.StateAcknowledged, "acknowledged"},
		"acknowledged, which was known":       {fresh(told, have(incident.StateAcknowledged)), incident.WordAcknowledged, time.Minute, false, incident.StateAcknowledged, "acknowledged"},
		"acknowledged, and nobody knew of it": {fresh(told, have(incident.StateUnknown)), incident.WordAcknowledged, time.Minute, true, incident.StateAcknowledged, "acknowledged"},
		"resolved while it fires":             {fresh(told), incident.WordResolved, time.Minute, true, incident.StateClosed, "settled"},
		"resolved once it is over":            {fresh(told, over), incident.WordResolved, time.Minute, true, incident.StateClosed, "settled"},
		"of an incident before this one":      {fresh(told), incident.WordResolved, -time.Second, false, incident.StateOpen, "open"},
		"of what was never sent":              {fresh(), incident.WordResolved, time.Minute, false, incident.StateClosed, "pending"},
		"while a request is in flight":        {fresh(told, inFlight), incident.WordResolved, time.Minute, false, incident.StateOpen, "open"},
		"of a change event":                   {fresh(told, urgency(mapping.Change)), incident.WordResolved, time.Minute, false, incident.StateOpen, "recorded"},
		"what is not known here":              {fresh(told), "reopened", time.Minute, false, incident.StateOpen, "open"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.in.PagerDutySays(tc.word, "Ann", at(tc.at), at(time.Minute)); got != tc.changes {
				t.Errorf("it changes something: %t, want %t", got, tc.changes)
			}
			if tc.in.Have != tc.have || tc.in.Status() != tc.status {
				t.Errorf("have %s, status %s; want %s, %s", tc.in.Have, tc.in.Status(), tc.have, tc.status)
			}
			if err := tc.in.Check(); err != nil && tc.in.Urgency.Opens() {
				t.Error(err)
			}
			if noted := len(tc.in.History) > 0; noted != tc.changes {
				t.Errorf("on the ledger: %t, want %t", noted, tc.changes)
			}
		})
	}
}

// What PagerDuty says ends doubts about who was notified, and plans to notify again.
func TestPagerDutySaysEndsDoubts(t *testing.T) {
	uncovered := incident.Doubt{About: incident.Trigger, Cause: incident.CauseUncovered, Epoch: 1}
	unaudited := incident.Doubt{About: incident.Trigger, Cause: incident.CauseUnaudited, Epoch: 1}
	refused := incident.Doubt{About: incident.Resolve, Cause: incident.CauseRefused, FollowUp: incident.Resolve, Due: at(time.Hour)}
	lostAck := incident.Doubt{About: incident.Acknowledge, Cause: incident.CauseLost, FollowUp: incident.Resolve, Due: at(time.Hour)}
	lostResolve := incident.Doubt{About: incident.Resolve, Cause: incident.CauseLost, FollowUp: incident.Trigger, Due: at(time.Hour)}
	for name, tc := range map[string]struct {
		doubt incident.Doubt
		word  incident.Word
		left  int
		plan  incident.Action
	}{
		"uncovered, acknowledged":                        {uncovered, incident.WordAcknowledged, 0, ""},
		"unaudited, acknowledged":                        {unaudited, incident.WordAcknowledged, 0, ""},
		"paged once more, acknowledged":                  {refused, incident.WordAcknowledged, 0, ""},
		"an acknowledge was lost, acknowledged":          {lostAck, incident.WordAcknowledged, 1, ""},
		"a resolve may still land, acknowledged":         {lostResolve, incident.WordAcknowledged, 1, incident.Trigger},
		"a resolve may still land, resolved by a person": {lostResolve, incident.WordResolved, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := fresh(told, have(incident.StateUnknown), func(in *incident.Incident) { in.Doubts = []incident.Doubt{tc.doubt} })
			in.PagerDutySays(tc.word, "Ann", at(time.Minute), at(time.Minute))
			plan := incident.Action("")
			if d := in.FollowUp(); d != nil {
				plan = d.FollowUp
			}
			if len(in.Doubts) != tc.left || plan != tc.plan {
				t.Errorf("doubts %+v, planned %q; want %d and %q", in.Doubts, plan, tc.left, tc.plan)
			}
			if err := in.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a person resolved while it fires is paged again by Alertmanager's repeat, and by
// whatever fires anew; and it is resolved when it is over.
func TestResolvedByAPerson(t *testing.T) {
	repeated := func(in *incident.Incident) { in.RepeatAt = at(2 * time.Minute) }
	for name, tc := range map[string]struct {
		in     *incident.Incident
		action incident.Action // "": nothing.
	}{
		"still fires":                  {fresh(told, says(incident.WordResolved)), ""},
		"repeated":                     {fresh(told, says(incident.WordResolved), repeated), incident.Trigger},
		"a further firing":             {fresh(told, says(incident.WordResolved), func(in *incident.Incident) { in.Revision++ }), incident.Trigger},
		"a new epoch":                  {fresh(told, says(incident.WordResolved), newEpoch), incident.Trigger},
		"over":                         {fresh(told, says(incident.WordResolved), over, have(incident.StateClosed)), incident.Resolve},
		"over, and resolved by us":     {fresh(told, over, have(incident.StateClosed)), ""},
		"acknowledged, and over":       {fresh(told, says(incident.WordAcknowledged), over), incident.Resolve},
		"acknowledged, and a new page": {fresh(told, says(incident.WordAcknowledged), func(in *incident.Incident) { in.Revision++ }), incident.Trigger},
	} {
		t.Run(name, func(t *testing.T) {
			d := incident.Next(tc.in, evidence(), incident.Policy{}, at(3*time.Minute))
			if d.Kind == incident.Send != (tc.action != "") || d.Action != tc.action {
				t.Errorf("Next says %+v, want %q", d, tc.action)
			}
		})
	}
	in := fresh(told, says(incident.WordResolved))
	if !in.Paged("a") {
		t.Error("in direct mode its webhook would wait for PagerDuty, which holds all that it should")
	}
}
