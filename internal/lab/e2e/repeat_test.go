package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/lab/e2e/stack"
	"github.com/pagerelay/pagerelay/mapping"
)

// From 0.32 on Alertmanager says of a repeat that it is one: then the trigger is
// sent again, but not sooner than a minute after the last, and PagerDuty opens
// nothing new. The Alertmanager that the other tests run is older, so this one
// posts the webhooks itself.
func TestRepeat(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than a minute: refreshes come at most once a minute")
	}
	t.Parallel()
	s := install(t, options{noAlertmanager: true})
	a := template.Alert{
		Status: mapping.Firing, Labels: template.KV{"alertname": "Steady", "severity": "critical"},
		Annotations: template.KV{"summary": "Steady needs a person"}, StartsAt: time.Now(), Fingerprint: "0123456789abcdef",
	}
	s.webhook("first notification", a)
	s.holds(map[string]opened{"Steady": critical()})
	s.webhook("repeat interval elapsed", a)
	s.webhook("repeat interval elapsed", a)
	s.eventually("the trigger to be sent again", 80*time.Second, func() error {
		if got := s.requestsFor("Steady"); len(got) != 2 {
			return fmt.Errorf("%d requests", len(got))
		}
		return nil
	})
	got := s.requestsFor("Steady")
	if apart := got[1].ReceivedAt.Sub(got[0].ReceivedAt); got[1].Action != "trigger" || apart < time.Minute {
		t.Errorf("got a %s after %s, want a trigger after a minute", got[1].Action, apart)
	}
	s.one("Steady")

	a.Status, a.EndsAt = mapping.Resolved, time.Now()
	s.webhook("all alerts resolved", a)
	s.holds(map[string]opened{})
	s.noneRefused()
}

// webhook posts a group of alerts as Alertmanager 0.32 does.
func (s *installation) webhook(reason string, alerts ...template.Alert) {
	s.t.Helper()
	body := struct {
		mapping.Group
		Reason string `json:"notification_reason"`
	}{
		mapping.Group{
			Version: "4", GroupKey: `{}:{alertname="Steady"}`,
			Data: template.Data{
				Receiver: "pagerelay", Status: mapping.Firing, Alerts: alerts, ExternalURL: "http://alertmanager:9093",
				GroupLabels: template.KV{"alertname": "Steady"}, CommonLabels: template.KV{}, CommonAnnotations: template.KV{},
			},
		}, reason,
	}
	url := s.members[0].relay.URL() + "/webhook/alertmanager"
	if err := (stack.HTTP{}).JSON(s.t.Context(), http.MethodPost, url, body, nil); err != nil {
		s.t.Fatal(err)
	}
}
