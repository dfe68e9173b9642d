package incident_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

func TestCheck(t *testing.T) {
	doubt := func(d incident.Doubt) edit {
		return func(in *incident.Incident) { in.Doubts = append(in.Doubts, d) }
	}
	lost := incident.Doubt{About: incident.Resolve, Cause: incident.CauseLost, At: t0}
	member := func(m incident.Member) edit {
		return func(in *incident.Incident) { in.Members["b"] = &m }
	}
	for name, tc := range map[string]struct {
		in   *incident.Incident
		want string // "": nothing is wrong.
	}{
		"new":                     {fresh(), ""},
		"open":                    {fresh(told), ""},
		"over":                    {fresh(told, over), ""},
		"a follow-up is planned":  {fresh(told, followUp(incident.Trigger, time.Minute)), ""},
		"accepted before it came": {fresh(told, func(in *incident.Incident) { in.AcceptedRevision++ }), "accepted revision 2 of 1"},
		"have of an epoch to be":  {fresh(told, func(in *incident.Incident) { in.HaveEpoch++ }), "epoch 2 of 1"},
		"open without a key":      {fresh(told, func(in *incident.Incident) { in.KeyHash = "" }), "under no routing key"},
		"settled before it came":  {fresh(told, func(in *incident.Incident) { in.Settled = 2 }), "settled revision 2 of 1"},
		"have nothing":            {fresh(have("")), `have ""`},
		"an unknown doubt":        {fresh(doubt(incident.Doubt{About: incident.Change, Cause: incident.CauseLost})), "cause lost about a change"},
		"the same doubt twice":    {fresh(doubt(lost), doubt(lost)), "two doubts"},
		"the wrong follow-up":     {fresh(told, doubt(incident.Doubt{About: incident.Trigger, Cause: incident.CauseLost, FollowUp: incident.Trigger, Due: t0})), "a trigger follows up on a trigger that was lost"},
		"a follow-up at no time":  {fresh(told, doubt(incident.Doubt{About: incident.Resolve, Cause: incident.CauseLost, FollowUp: incident.Trigger})), "due at"},
		"a planned trigger, over": {fresh(told, over, followUp(incident.Trigger, time.Minute)), "nothing fires"},
		"an acknowledge, unasked": {fresh(told, doubt(incident.Doubt{About: incident.Acknowledge, Cause: incident.CauseUnproven, FollowUp: incident.Acknowledge, Due: t0})), "wanted is open"},
		"uncovered, and open":     {fresh(told, doubt(incident.Doubt{About: incident.Trigger, Cause: incident.CauseUncovered})), "what is uncovered is open"},
		"two without effect": {
			fresh(have(incident.StateUnknown), doubt(incident.Doubt{About: incident.Trigger, Cause: incident.CauseUncovered}), doubt(incident.Doubt{About: incident.Resolve, Cause: incident.CauseUncovered})),
			"2 requests without effect",
		},
		"fires and is late":     {fresh(member(incident.Member{Firing: true, Late: &incident.Late{}})), "b fires and is held"},
		"over and moving":       {fresh(member(incident.Member{MovedTo: "x"})), "b is over and moves"},
		"of a revision to be":   {fresh(member(incident.Member{Revision: 2})), "b is of revision 2"},
		"a muted test":          {fresh(member(incident.Member{Firing: true, Origin: mapping.OriginTest, Muted: &incident.Mute{}})), "b is muted"},
		"miscounted":            {miscounted(), "counted"},
		"pending for nothing":   {fresh(told, func(in *incident.Incident) { in.PendingSince = t0 }), "pending since"},
		"not pending":           {fresh(func(in *incident.Incident) { in.PendingSince = time.Time{} }), "pending since"},
		"in flight before it":   {fresh(func(in *incident.Incident) { in.Intent = &incident.Intent{Revision: 2} }), "in flight"},
		"backs off for nothing": {fresh(func(in *incident.Incident) { in.NotBefore = t0 }), "nothing failed"},
		"a copy of nothing":     {fresh(func(in *incident.Incident) { in.FallbackFrom = "ops" }), "a copy from service"},
		"copied before it came": {fresh(func(in *incident.Incident) { in.FallbackRevision = 2 }), "copied revision 2 of 1"},
		"a guaranteed low page": {fresh(urgency(mapping.Low), func(in *incident.Incident) { in.Guaranteed = 1 }), "guaranteed"},
		"too long a history":    {fresh(func(in *incident.Incident) { in.History = make([]incident.Entry, 41) }), "41 entries"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.in.Check()
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("Check says %v, want nothing", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("Check says %v, want %q", err, tc.want)
			}
		})
	}
}

// miscounted has a member that Put does not know of.
func miscounted() *incident.Incident {
	in := fresh()
	in.HandOut()
	in.Members["b"] = &incident.Member{Firing: true}
	return in
}
