package mapping_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/mapping"
)

// update says that the golden files of Render are to be written anew.
func update() bool { return os.Getenv("UPDATE_GOLDEN") != "" }

// now is when every test renders.
func now() time.Time { return time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC) }

// start is when the alerts of the tests began.
func start() time.Time { return time.Date(2026, 11, 21, 19, 0, 0, 0, time.UTC) }

func mustNew(t testing.TB, cfg mapping.Config) *mapping.Mapper {
	t.Helper()
	if cfg.Services == nil {
		cfg.Services = []string{"infra"}
	}
	m, err := mapping.New(cfg)
	if err != nil {
		t.Fatalf("New: got %v, want no error", err)
	}
	return m
}

// group is a group of firing alerts with the given labels.
func group(labels ...template.KV) *mapping.Group {
	g := &mapping.Group{GroupKey: `{}:{alertname="DiskFull"}`, Data: template.Data{
		Receiver: "default", Status: "firing", ExternalURL: "http://am.example.test:9093",
		GroupLabels: template.KV{"alertname": "DiskFull"},
	}}
	for _, l := range labels {
		g.Alerts = append(g.Alerts, template.Alert{Status: "firing", Labels: l, StartsAt: start()})
	}
	return g
}

// routeOne routes one alert and wants one observation of it.
func routeOne(t testing.TB, m *mapping.Mapper, labels template.KV) mapping.Observation {
	t.Helper()
	obs := m.Route(group(labels))
	if len(obs) != 1 {
		t.Fatalf("Route: got %d observations, want 1: %+v", len(obs), obs)
	}
	return obs[0]
}

func capture(t testing.TB, name string) *mapping.Group {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "captures", name))
	if err != nil {
		t.Fatal(err)
	}
	var g mapping.Group
	if err := json.Unmarshal(body, &g); err != nil {
		t.Fatal(err)
	}
	return &g
}

// incidents makes what the outbox would make of observations.
func incidents(obs []mapping.Observation) []mapping.Incident {
	var out []mapping.Incident
	for _, o := range obs {
		i := slices.IndexFunc(out, func(in mapping.Incident) bool {
			return in.Service == o.Service && in.DedupKey == o.DedupKey
		})
		if i < 0 {
			i = len(out)
			out = append(out, mapping.Incident{
				Service: o.Service, DedupKey: o.DedupKey, Rule: o.Rule, Tier: o.Tier, Urgency: o.Urgency,
				Severity: o.Severity, Origin: o.Origin, Receiver: o.Receiver, ExternalURL: o.ExternalURL,
				GroupKey: o.GroupKey, GroupLabels: o.GroupLabels,
			})
		}
		out[i].Members = append(out[i].Members, o.Alert)
	}
	return out
}

func diff(t testing.TB, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: got (+), want (-):\n%s", what, d)
	}
}
