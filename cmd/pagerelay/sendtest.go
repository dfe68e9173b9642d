package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// sendTestCommand is `pagerelay send-test`.
type sendTestCommand struct {
	name    string
	service string
	urgency string
}

func newSendTest(app *kingpin.Application) *sendTestCommand {
	c := &sendTestCommand{}
	cmd := app.Command("send-test", "Trigger, acknowledge and resolve a test incident in PagerDuty, past the outbox and with the keys of the configuration file. Exits 1 if any of the three is not accepted.")
	cmd.Flag("service", "The service of the configuration.").Required().StringVar(&c.service)
	cmd.Flag("urgency", "low, or high to see whether somebody is woken up.").Default(string(mapping.Low)).EnumVar(&c.urgency, string(mapping.Low), string(mapping.High))
	c.name = cmd.FullCommand()
	return c
}

func (c *sendTestCommand) run(ctx context.Context, file string, out io.Writer) error {
	p, err := loadParts(file)
	if err != nil {
		return err
	}
	svc, ok := p.settings.Services[c.service]
	if !ok {
		return fmt.Errorf("no service is named %q; the services are %s", c.service, strings.Join(p.config.ServiceNames(), ", "))
	}
	key, err := svc.Key()
	if err != nil {
		return fmt.Errorf("service %s: %w", c.service, err)
	}
	in := testIncident(c.service, mapping.Urgency(c.urgency), time.Now().UTC())
	event, _ := p.mapper.Render(in, mapping.RenderOptions{Now: time.Now().UTC()})
	trigger := delivery.TriggerEvent(key, in.DedupKey, event)
	fmt.Fprintf(out, "Service %s, urgency %s, dedup key %s\n", oneline.Visible(c.service), c.urgency, in.DedupKey)

	send := func(ctx context.Context, e *pagerduty.Event) pagerduty.Answer {
		a := pagerduty.Classify(p.sender.Enqueue(ctx, svc.Region, e))
		fmt.Fprintf(out, "%-12s %s%s\n", e.Action+":", a.Kind, said(a))
		return a
	}
	first := send(ctx, trigger)
	if first.Kind != pagerduty.Accepted && first.Kind != pagerduty.Ambiguous && first.Kind != pagerduty.Failed {
		return errors.New("send test: the trigger was not accepted; nothing was opened")
	}
	accepted := first.Kind == pagerduty.Accepted
	if accepted {
		accepted = send(ctx, &pagerduty.Event{RoutingKey: key, Action: string(incident.Acknowledge), DedupKey: in.DedupKey}).Kind == pagerduty.Accepted
	}
	// What was, or may have been, opened is closed again, also after an interrupt.
	last := send(context.WithoutCancel(ctx), &pagerduty.Event{RoutingKey: key, Action: string(incident.Resolve), DedupKey: in.DedupKey})
	switch {
	case last.Kind != pagerduty.Accepted:
		return fmt.Errorf("send test: the resolve was not accepted; an incident with the dedup key %s may be open in PagerDuty", in.DedupKey)
	case !accepted:
		return errors.New("send test: not all was accepted")
	}
	fmt.Fprintln(out, "PagerDuty took all three. That it opened an incident and notified somebody can be seen there.")
	return nil
}

// said is what came with an answer.
func said(a pagerduty.Answer) string {
	if a.Kind == pagerduty.Accepted || a.Message == "" {
		return ""
	}
	return ": " + oneline.Visible(a.Message)
}

// testIncident is one that no other can share.
func testIncident(service string, urgency mapping.Urgency, now time.Time) mapping.Incident {
	id := rand.Text()
	in := mapping.Incident{
		Service: service, DedupKey: "pagerelay-test/" + string(urgency) + "/" + id, Tier: "test",
		Urgency: urgency, Severity: "warning", Origin: mapping.OriginTest,
		Members: []template.Alert{{
			Status: mapping.Firing, Fingerprint: id, StartsAt: now,
			Labels:      template.KV{"alertname": "PagerelayTest", "service": service},
			Annotations: template.KV{"summary": "Test of pagerelay: no action is needed, it resolves itself"},
		}},
	}
	if urgency.First() {
		in.Severity = "critical"
	}
	return in
}
