package mapping_test

import (
	"bytes"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/pagerelay/pagerelay/mapping"
)

func decode(text string, to any) error {
	dec := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	dec.KnownFields(true)
	return dec.Decode(to)
}

func TestDedupYAML(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     mapping.Dedup
		out      string
	}{
		{"mode", "by: group", mapping.Dedup{By: mapping.DedupBy{Mode: "group"}}, "by: group\n"},
		{"labels", "by: [cluster, alertname]", mapping.Dedup{By: mapping.DedupBy{Labels: []string{"cluster", "alertname"}}}, "by:\n    - cluster\n    - alertname\n"},
		{"labels that look like numbers", "by: [1, on]", mapping.Dedup{By: mapping.DedupBy{Labels: []string{"1", "on"}}}, "by:\n    - \"1\"\n    - \"on\"\n"},
		{"empty list", "by: []", mapping.Dedup{By: mapping.DedupBy{Labels: []string{}}}, "by: []\n"},
		{"key", "by: {key: '{{ .Labels.x }}'}", mapping.Dedup{By: mapping.DedupBy{Key: "{{ .Labels.x }}"}}, "by:\n    key: '{{ .Labels.x }}'\n"},
		{"nothing ignored", "ignore: []", mapping.Dedup{Ignore: []string{}}, "ignore: []\n"},
		{"default ignore", "namespace: eu", mapping.Dedup{Namespace: "eu"}, "namespace: eu\n"},
		{"unknown mode is for New to refuse", "by: labels", mapping.Dedup{By: mapping.DedupBy{Mode: "labels"}}, "by: labels\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got mapping.Dedup
			if err := decode(tc.in, &got); err != nil {
				t.Fatal(err)
			}
			diff(t, "decoded", got, tc.want)
			out, err := yaml.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if string(out) != tc.out {
				t.Errorf("encoded: got %q, want %q", out, tc.out)
			}
		})
	}
}

func TestDedupYAMLFaults(t *testing.T) {
	for name, in := range map[string]string{
		"another key":  "by: {template: x}",
		"two keys":     "by: {key: x, more: y}",
		"empty key":    "by: {key: ''}",
		"key of lists": "by: {key: [a]}",
		"nested list":  "by: [[a]]",
		"empty map":    "by: {}",
		"misspelled":   "ignored: [a]",
	} {
		t.Run(name, func(t *testing.T) {
			var d mapping.Dedup
			err := decode(in, &d)
			if err == nil || !strings.Contains(err.Error(), "line 1") {
				t.Errorf("got %v, want an error with its line", err)
			}
		})
	}
}

// The mapping's part of the example in the documentation.
func TestConfigYAML(t *testing.T) {
	const text = `
tiers:
  - {name: critical, urgency: high}
  - {name: warning,  urgency: low, severity: error}
rules:
  - name: infra-core
    matchers: ['team="infra"', 'environment=~"prod-.+"']
    service: infra-core
    dedup: {by: [cluster, alertname, service]}
    event: {summary: '{{ .Annotations.summary }}', links: [{href: 'https://x.test/', text: x}]}
  - name: everything-else
    service: sre-catch-all
    continue: true
    tier: warning
defaults:
  tier: '{{ .Labels.severity }}'
  unknown_tier: critical
  dedup: {by: alert, ignore: [replica, prometheus_replica], namespace: ""}
  event:
    source: '{{ .Labels.instance }}'
    details: {}
    links: []
    images: []
`
	var got mapping.Config
	if err := decode(text, &got); err != nil {
		t.Fatal(err)
	}
	diff(t, "config", got, mapping.Config{
		Tiers: []mapping.Tier{{Name: "critical", Urgency: "high"}, {Name: "warning", Urgency: "low", Severity: "error"}},
		Rules: []mapping.Rule{
			{
				Name: "infra-core", Matchers: []string{`team="infra"`, `environment=~"prod-.+"`}, Service: "infra-core",
				Options: mapping.Options{
					Dedup: &mapping.Dedup{By: mapping.DedupBy{Labels: []string{"cluster", "alertname", "service"}}},
					Event: mapping.EventTemplates{Summary: "{{ .Annotations.summary }}", Links: []mapping.LinkTemplate{{Href: "https://x.test/", Text: "x"}}},
				},
			},
			{Name: "everything-else", Service: "sre-catch-all", Continue: true, Options: mapping.Options{Tier: "warning"}},
		},
		Defaults: mapping.Defaults{Options: mapping.Options{
			Tier: "{{ .Labels.severity }}", UnknownTier: "critical",
			Dedup: &mapping.Dedup{By: mapping.DedupBy{Mode: "alert"}, Ignore: []string{"replica", "prometheus_replica"}},
			Event: mapping.EventTemplates{
				Source: "{{ .Labels.instance }}", Details: map[string]string{}, Links: []mapping.LinkTemplate{}, Images: []mapping.ImageTemplate{},
			},
		}},
	})
	got.Services = []string{"infra-core", "sre-catch-all"}
	mustNew(t, got)
	again, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var twice mapping.Config
	if err := decode(string(again), &twice); err != nil {
		t.Fatalf("what was written does not read: %v\n%s", err, again)
	}
}
