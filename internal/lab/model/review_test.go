package model_test

import (
	"cmp"
	"fmt"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// A peer that could not deliver "resolved" for two minutes delivers it after the
// alert has fired again: what fires stays open at PagerDuty.
func TestPeersOldResolveClosesNothing(t *testing.T) {
	for _, peers := range []int{0, 2} {
		dir := newDir(t)
		t.Run(fmt.Sprint(peers, " Alertmanagers to ask"), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(dir, peers, pagerDuty(120), "alert", alertmanager.Reconcile{})
				defer w.stop()
				first := time.Now()
				w.setFiring(0, true)
				w.sayAs(0, "first notification", 0, true, first, time.Time{})
				time.Sleep(10 * time.Minute)
				end := time.Now()
				w.setFiring(0, false)
				w.sayAs(0, "all alerts resolved", 0, false, first, end)
				time.Sleep(time.Minute)
				again := time.Now()
				w.setFiring(0, true)
				w.sayAs(0, "first notification", 0, true, again, time.Time{})
				time.Sleep(time.Minute)
				w.sayAs(1, "all alerts resolved", 0, false, first, end)
				time.Sleep(time.Hour)
				open := 0
				for _, in := range w.pd.Incidents() {
					for _, a := range in.Alerts {
						if a.Status != emulator.Resolved {
							open++
						}
					}
				}
				if open != 1 {
					t.Errorf("with %d Alertmanagers to ask: %d incidents are open at PagerDuty an hour later, want the one that fires", peers, open)
				}
			})
		})
	}
}

// Histories that a break of the code, or a flaw of it, was once found with, and
// that chance alone may take long to find again.
func TestHistoriesToRemember(t *testing.T) {
	soon, long := time.Second, 10*time.Minute
	for _, tc := range []struct {
		name   string
		peers  int
		policy alertmanager.Reconcile
		steps  []step
		dedup  string // alert if it is empty.
	}{
		{
			name: "over during an outage, and nobody said so", peers: 1, policy: alertmanager.Reconcile{Interval: long},
			steps: []step{{What: "outage", Pause: soon}, {What: "toggle", Pause: soon}, {What: "silent resolve", Pause: long}, {What: "clear", Pause: long}},
		},
		{
			name: "a resolve that lands after its incident was forgotten",
			steps: []step{
				{What: "toggle", Pause: long},
				{What: "late", N: 2, Pause: soon},
				{What: "toggle", Pause: 10 * time.Second},
				{What: "toggle", Pause: long},
			},
		},
		{
			name: "a resolve that lands, and the repeat of the trigger after it falls into a window",
			steps: []step{
				{What: "toggle", Pause: 6 * time.Second},
				{What: "late", N: 1},
				{What: "flap", N: 2, Pause: time.Millisecond},
				{What: maintenance, N: 2, Delay: 37 * time.Second, Pause: long},
				{What: "", Pause: time.Hour},
			},
		},
		{
			name: "acknowledged by a person, over and back during an outage",
			steps: []step{
				{What: "toggle", Pause: long},
				{What: "person acknowledges", N: 1, Pause: soon},
				{What: "outage", Pause: soon},
				{What: "toggle", Pause: soon},
				{What: "toggle", Pause: soon},
				{What: "clear", Pause: long},
			},
		},
		{
			// One goes on, one is over, one comes and goes, one is over and back, one begins.
			name: "PagerDuty is away for three hours", peers: 1,
			steps: []step{
				{What: "toggle", Alert: 0},
				{What: "toggle", Alert: 1, Pause: soon},
				{What: "toggle", Alert: 4, Pause: long},
				{What: "outage", Pause: soon},
				{What: "toggle", Alert: 1, Pause: long},
				{What: "toggle", Alert: 2, Pause: long},
				{What: "toggle", Alert: 4, Pause: time.Hour},
				{What: "toggle", Alert: 2, Pause: long},
				{What: "toggle", Alert: 4, Pause: soon},
				{What: "toggle", Alert: 5, Pause: 90 * time.Minute},
				{What: "clear", Pause: long},
			},
		},
		{
			name: "two empty answers", peers: 1,
			steps: []step{{What: "toggle", Pause: long}, {What: "empty answer", N: 1, Pause: long}},
		},
		{
			name: "Alertmanager has just started, for long", peers: 1,
			steps: []step{{What: "toggle", Pause: long}, {What: "alertmanager unclear", Pause: long}},
		},
		{
			name: "Alertmanager goes away in the middle of its list, for long", peers: 1,
			steps: []step{{What: "toggle", Pause: long}, {What: "toggle", Alert: 1, Pause: long}, {What: "alertmanager unclear", N: 1, Pause: long}},
		},
		{
			name: "an Alertmanager that is not asked alone knows what fires", peers: 2,
			steps: []step{{What: "toggle", Pause: long}, {What: "alertmanager unclear", N: 2, Pause: long}},
		},
		{
			// A look begins every 62 s, so at 620 s, 682 s and 744 s.
			name: "fires again while the third list without it is read", peers: 1,
			steps: []step{{What: "toggle", Pause: long}, {What: "silent resolve", Pause: 145 * time.Second}, {What: "toggle", Pause: long}},
		},
		{
			name: "a gap that no Alertmanager knows of", peers: 2,
			steps: []step{{What: "coverage", Pause: long}, {What: "repeat", Pause: long}},
		},
		{
			name:  "a trigger that lands after its resolve",
			steps: []step{{What: "late", N: 1}, {What: "toggle", Pause: soon}, {What: "toggle", Pause: long}},
		},
		{
			name:  "routed elsewhere while it fires",
			steps: []step{{What: "toggle", Pause: long}, {What: "reload", N: 1, Pause: long}, {What: "repeat", Pause: long}},
		},
		{
			name:  "PagerDuty fails once",
			steps: []step{{What: "500", N: 1}, {What: "toggle", Pause: long}},
		},
		{
			name:  "refused once",
			steps: []step{{What: "400", N: 1}, {What: "toggle", Pause: long}},
		},
		{
			name:  "nobody is on call, and then somebody is",
			steps: []step{{What: nobody, N: 1, Delay: 20 * time.Second, Pause: soon}, {What: "toggle", Pause: long}, {What: "", Pause: time.Hour}},
		},
		{
			name:  "over in a maintenance window",
			steps: []step{{What: "toggle", Pause: long}, {What: maintenance, N: 1, Delay: 20 * time.Second, Pause: soon}, {What: "toggle", Pause: time.Hour}},
		},
		{
			name:  "a window that the audit hears of after the page",
			steps: []step{{What: maintenance, N: 2, Delay: 30 * time.Second, Pause: soon}, {What: "toggle", Pause: long}, {What: "", Pause: time.Hour}},
		},
		{
			name: "paged before the first audit after a start",
			steps: []step{
				{What: nobody, N: 2, Delay: 30 * time.Second, Pause: soon},
				{What: "crash", N: 3, Pause: soon},
				{What: "toggle", Pause: long},
				{What: "", Pause: time.Hour},
			},
		},
		{
			name: "fires again in a window in which its resolve was lost",
			steps: []step{
				{What: "toggle", Pause: long},
				{What: maintenance, N: 1, Delay: 30 * time.Second, Pause: soon},
				{What: "toggle", Pause: long},
				{What: "toggle", Pause: time.Hour},
			},
		},
		{
			name:  "killed while PagerDuty does not answer, and over by then",
			steps: []step{{What: "answer hang", N: 8}, {What: "toggle", Pause: soon}, {What: "toggle", Pause: time.Millisecond}, {What: "crash", Pause: long}},
		},
		{
			name: "fires again, as the resolve that a window swallowed is refused",
			steps: []step{
				{What: "toggle", Pause: long},
				{What: maintenance, N: 1, Delay: 20 * time.Second, Pause: soon},
				{What: "toggle", Pause: long},
				{What: "400", N: 2, Pause: time.Hour},
				{What: "toggle", Pause: long},
			},
		},
		{
			name: "acknowledged by a person, and fires again as its resolve is refused",
			steps: []step{
				{What: "toggle", Pause: long},
				{What: "person acknowledges", N: 1, Pause: soon},
				{What: "400", N: 2},
				{What: "toggle", Pause: soon},
				{What: "toggle", Pause: long},
			},
		},
		{
			name: "one more fires, as the resolve that was refused is sent once more",
			steps: []step{
				{What: "toggle", Alert: 6, Pause: long},
				{What: "400", N: 2},
				{What: "toggle", Alert: 6, Pause: soon},
				{What: "toggle", Alert: 6, Pause: 59 * time.Second},
				{What: "429", N: 2, Pause: 3 * time.Second},
				{What: "toggle", Alert: 7, Pause: long},
			},
		},
		{
			name: "muted and unmuted where it was routed before", peers: 1, policy: alertmanager.Reconcile{OnInhibit: "resolve"},
			steps: []step{
				{What: "500", N: 1, Pause: time.Millisecond},
				{What: "toggle", Alert: 1, Pause: time.Millisecond},
				{What: "reload", N: 1, Pause: long},
				{What: "mute", Alert: 1, N: 1, Pause: long},
				{What: "unmute", Alert: 1, Pause: long},
			},
		},
		{
			// A look begins at 744 s.
			name: "over while the list is read that it is adopted from, and Alertmanager has just started", peers: 2, policy: alertmanager.Reconcile{Adopt: true},
			steps: []step{{What: "alertmanager unclear", N: 3, Pause: long}, {What: "silent fire", Pause: 145 * time.Second}, {What: "toggle", Pause: long}},
		},
		{
			name: "a resolve and an acknowledge of the epoch before may land in what fires again", peers: 1, policy: alertmanager.Reconcile{OnInhibit: "acknowledge"},
			steps: []step{
				{What: "toggle", Alert: 3, Pause: soon},
				{What: "toggle", Alert: 2, Pause: 70 * time.Second},
				{What: "hang", N: 8, Pause: time.Millisecond},
				{What: "mute", Alert: 3, N: 3, Pause: 20 * time.Second},
				{What: "crash in a commit", Alert: 2, N: 5, Delay: 24 * time.Second, Group: true, Pause: time.Millisecond},
				{What: "toggle", Alert: 2, Pause: 0},
				{What: "toggle", Alert: 2, Pause: 2 * time.Second},
				{What: "toggle", Alert: 3, Peer: true, Delay: time.Second, Pause: long},
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, p := range run(t, tc.steps, tc.peers, 120, cmp.Or(tc.dedup, "alert"), tc.policy) {
				t.Errorf("%.1500s", p)
			}
		})
	}
}
