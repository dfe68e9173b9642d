package delivery_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

// A page that waits says why: on the incident at once, and after 10 s in the log, once
// when it begins and once when it ends, on the metric, and on the status page.
func TestWaitingSaysWhy(t *testing.T) {
	const file = "open /etc/keys/infra: permission denied"
	for _, tc := range []struct {
		name  string
		setup func(r *rig, broken *bool)
		cause delivery.Cause
		text  string
	}{
		{
			"a routing key file that cannot be read", func(r *rig, broken *bool) {
				s := service("infra")
				s.Key = func() (string, error) {
					if *broken {
						return "", errors.New(file)
					}
					return testKey, nil
				}
				r.settings.Services["infra"] = s
			}, delivery.CauseKeyUnreadable, file,
		},
		{
			"PagerDuty is away", func(r *rig, broken *bool) {
				r.pd.answer = func(int, *pagerduty.Event) error {
					if *broken {
						return &pagerduty.StatusError{Code: 503}
					}
					return nil
				}
			}, delivery.CauseBackoff, "503",
		},
		{
			"PagerDuty does not know the key", func(r *rig, broken *bool) {
				r.pd.answer = func(int, *pagerduty.Event) error {
					if *broken {
						return &pagerduty.StatusError{Code: 400, Body: []byte("Invalid routing key")}
					}
					return nil
				}
			}, delivery.CauseKeyRefused, "routing key",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			broken := true
			inBubble(t, &fakePagerDuty{}, func(r *rig) { tc.setup(r, &broken) }, func(r *rig) {
				r.observe(alert{name: "a"})
				time.Sleep(8 * time.Second)
				if got := r.d.Waiting(); len(got) != 0 {
					t.Errorf("after 8 s: got %+v, want nothing", got)
				}
				if got := r.d.Why(incident.ID("infra", "a")); !strings.Contains(got, tc.text) {
					t.Errorf("the incident says %q, want %q in it", got, tc.text)
				}
				time.Sleep(22 * time.Second)
				r.observe(alert{name: "b"}) // another one for the same reason is no news.
				time.Sleep(30 * time.Second)
				got := r.d.Waiting()
				if len(got) != 1 || got[0].Service != "infra" || got[0].Cause != tc.cause || got[0].Incidents != 2 || !strings.Contains(got[0].Text, tc.text) {
					t.Errorf("got %+v, want 2 that wait for %s with %q", got, tc.cause, tc.text)
				}
				want := `
# HELP pagerelay_waiting_incidents Incidents that PagerDuty should have been told something of more than 10 seconds ago, by what they wait for.
# TYPE pagerelay_waiting_incidents gauge
`
				for _, cause := range delivery.Causes() {
					n := "0"
					if cause == tc.cause {
						n = "2"
					}
					want += `pagerelay_waiting_incidents{cause="` + string(cause) + `",service="infra"} ` + n + "\n"
				}
				if err := testutil.GatherAndCompare(r.reg, strings.NewReader(want), "pagerelay_waiting_incidents"); err != nil {
					t.Error(err)
				}
				broken = false
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				if got := r.d.Waiting(); len(got) != 0 {
					t.Errorf("in the end: got %+v, want nothing", got)
				}
				r.stop()
				log := r.log.String()
				if n := strings.Count(log, `msg="Pages wait" service=infra cause=`+string(tc.cause)); n != 1 {
					t.Errorf("the log tells %d times that it began, want once:\n%s", n, log)
				}
				if n := strings.Count(log, `msg="Pages no longer wait" service=infra cause=`+string(tc.cause)); n != 1 {
					t.Errorf("the log tells %d times that it ended, want once:\n%s", n, log)
				}
			})
		})
	}
}
