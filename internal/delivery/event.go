package delivery

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	gopagerduty "github.com/PagerDuty/go-pagerduty"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// digestEvent tells what was over before PagerDuty confirmed it.
func digestEvent(in *incident.Incident) mapping.Event {
	d := in.Digest
	names := slices.SortedFunc(maps.Keys(d.Names), func(a, b string) int {
		if d.Names[a] != d.Names[b] {
			return d.Names[b] - d.Names[a]
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for i, name := range names {
		if i == 10 {
			parts = append(parts, "and others")
			break
		}
		if name == "" {
			name = "(others)"
		}
		parts = append(parts, fmt.Sprintf("%.60s (%d)", name, d.Names[names[i]]))
	}
	what := "1 firing was over before PagerDuty confirmed it"
	if d.Count != 1 {
		what = fmt.Sprintf("%d firings were over before PagerDuty confirmed them", d.Count)
	}
	e := mapping.Event{
		Summary:   what + " or anybody could be paged: " + strings.Join(parts, ", "),
		Source:    "pagerelay",
		Timestamp: d.Last,
		Details: map[string]any{
			"service": in.Service, "firings": d.Count, "by_alertname": d.Names,
			"first_start": timestamp(d.First), "last_end": timestamp(d.Last), "examples": d.Samples,
		},
	}
	if in.Minimal {
		e.Details = nil
	}
	return e
}

// TriggerEvent is the event that opens an incident, as it goes over the wire.
func TriggerEvent(routingKey, dedupKey string, e mapping.Event) *pagerduty.Event {
	out := &pagerduty.Event{
		RoutingKey: routingKey, Action: string(incident.Trigger), DedupKey: dedupKey, Client: e.Client, ClientURL: e.ClientURL,
		Payload: &pagerduty.Payload{
			Summary: e.Summary, Source: e.Source, Severity: e.Severity, Timestamp: timestamp(e.Timestamp),
			Component: e.Component, Group: e.Group, Class: e.Class,
		},
	}
	if len(e.Details) > 0 {
		out.Payload.Details = e.Details
	}
	for _, l := range e.Links {
		out.Links = append(out.Links, l)
	}
	for _, i := range e.Images {
		out.Images = append(out.Images, i)
	}
	return out
}

// ChangeEvent is a change event as it goes over the wire.
func ChangeEvent(routingKey string, e mapping.Event) *pagerduty.ChangeEvent {
	out := &pagerduty.ChangeEvent{RoutingKey: routingKey}
	out.Payload.Summary, out.Payload.Source = e.Summary, e.Source
	out.Payload.Timestamp, out.Payload.CustomDetails = timestamp(e.Timestamp), e.Details
	for _, l := range e.Links {
		out.Links = append(out.Links, gopagerduty.ChangeEventLink{Href: l.Href, Text: l.Text})
	}
	return out
}

func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
