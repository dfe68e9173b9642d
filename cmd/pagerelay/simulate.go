package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
	"github.com/pagerelay/pagerelay/receiver"
)

// hiddenKey stands where the routing key is.
const hiddenKey = "<secret>"

// simulateCommand is `pagerelay simulate`.
type simulateCommand struct {
	name string
	file string
}

func newSimulate(app *kingpin.Application) *simulateCommand {
	c := &simulateCommand{}
	cmd := app.Command("simulate", "Show the events that a webhook body would cause, as JSON lines, were it the first that pagerelay hears. Touches nothing.")
	cmd.Arg("webhook.json", "The body; - is standard input.").Default("-").StringVar(&c.file)
	c.name = cmd.FullCommand()
	return c
}

// simulated is a line of the output.
type simulated struct {
	Service string          `json:"service"`
	Rule    string          `json:"rule"`
	Tier    string          `json:"tier"`
	Urgency mapping.Urgency `json:"urgency"`
	Faults  []mapping.Fault `json:"faults,omitempty"`
	Event   any             `json:"event"` // as it goes over the wire, but for the key; null with urgency none.
}

func (c *simulateCommand) run(file string, stdin io.Reader, out io.Writer) error {
	p, err := loadParts(file)
	if err != nil {
		return err
	}
	body, err := c.read(stdin)
	if err != nil {
		return err
	}
	obs, err := receive(p.mapper, body)
	if err != nil {
		return err
	}
	for _, in := range incidents(obs) {
		for _, line := range simulateIncident(p.mapper, in, time.Now().UTC()) {
			if err := writeJSON(out, line, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *simulateCommand) read(stdin io.Reader) ([]byte, error) {
	if c.file == "-" || c.file == "" { // kingpin makes "" of a lone dash.
		body, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("read webhook body from standard input: %w", err)
		}
		return body, nil
	}
	body, err := os.ReadFile(c.file)
	if err != nil {
		return nil, fmt.Errorf("read webhook body: %w", err)
	}
	return body, nil
}

// simulateIncident lists what would be sent for an incident not heard of before.
func simulateIncident(m *mapping.Mapper, in *told, now time.Time) []simulated {
	line := simulated{
		Service: in.view.Service, Rule: in.view.Rule, Tier: in.view.Tier, Urgency: in.view.Urgency, Faults: in.faults,
	}
	firing := slices.ContainsFunc(in.view.Members, func(a template.Alert) bool { return a.Status == mapping.Firing })
	if !line.Urgency.Sends() || !line.Urgency.Opens() && !firing {
		return []simulated{line}
	}
	if !firing {
		line.Event = follow(incident.Resolve, in.view.DedupKey)
		return []simulated{line}
	}
	e, faults := m.Render(in.view, mapping.RenderOptions{Now: now})
	line.Faults = append(line.Faults, faults...)
	if !line.Urgency.Opens() {
		line.Event = delivery.ChangeEvent(hiddenKey, e)
		return []simulated{line}
	}
	line.Event = delivery.TriggerEvent(hiddenKey, in.view.DedupKey, e)
	list := []simulated{line}
	if line.Urgency.AutoAcks() {
		line.Faults, line.Event = nil, follow(incident.Acknowledge, in.view.DedupKey)
		list = append(list, line)
	}
	return list
}

// follow is an event that follows a trigger.
func follow(a incident.Action, dedupKey string) *pagerduty.Event {
	return &pagerduty.Event{RoutingKey: hiddenKey, Action: string(a), DedupKey: dedupKey}
}

// receive takes a body in through the same door as serve does.
func receive(router receiver.Router, body []byte) ([]mapping.Observation, error) {
	sink := &collect{}
	door, err := receiver.New(sink, receiver.Config{})
	if err != nil {
		return nil, err
	}
	if err = door.SetPolicy(router, receiver.Access{}); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	door.Register(mux)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, receiver.PathWebhook, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make webhook request: %w", err)
	}
	mux.ServeHTTP(sink, req)
	if sink.code != http.StatusOK {
		return nil, errors.New("read webhook body: " + strings.TrimSpace(sink.answer.String()))
	}
	return sink.obs, nil
}

// collect is the sink behind the door, and who reads the door's answer.
type collect struct {
	obs    []mapping.Observation
	code   int
	header http.Header
	answer bytes.Buffer
}

func (c *collect) Observe(_ context.Context, obs []mapping.Observation) error {
	c.obs = append(c.obs, obs...)
	return nil
}

func (c *collect) Header() http.Header {
	if c.header == nil {
		c.header = http.Header{}
	}
	return c.header
}

func (c *collect) WriteHeader(code int) { c.code = code }

func (c *collect) Write(b []byte) (int, error) { return c.answer.Write(b) }
