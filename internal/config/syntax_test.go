package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/config"
)

// A file that is not YAML is refused with the line on which the mistake is, and what
// it is.
func TestParseNotYAML(t *testing.T) {
	const ops = "services:\n  ops:\n    routing_key_file: f\n"
	for _, tt := range []struct{ name, text, want string }{
		{
			"a field of a list's element too far left", ops + "rules:\n  - name: a\n    matchers: ['a=b']\n   service: ops\n  - name: b\n",
			`line 7: "service" is indented by 3; the fields of the element that begins on line 5 are indented by 4`,
		},
		{"a field too far left", ops + "   region: eu\n", `line 4: "region" is indented by 3; the fields that begin on line 3 are indented by 4`},
		{
			"a field too far left, after deeper ones", "defaults:\n    event:\n        summary: x\n    dedup:\n        by: alert\n  tier: x\n",
			`line 6: "tier" is indented by 2; the fields that begin on line 2 are indented by 4`,
		},
		{"a field too far right", ops + "     region: eu\n", `line 4: "region" is indented by 5, the field on line 3, which has a value, by 4`},
		{"an element too far left", "rules:\n  - name: a\n - name: b\n", "line 3: the - is indented by 1, the one on line 2 by 2"},
		{"an element too far right", "rules:\n  - name: a\n    service: b\n    - name: c\n", "line 4: the - is indented by 4, the one on line 2 by 2"},
		{"a tab", "services:\n\tops: {}\n", "line 2: begins with a tab; YAML is indented with spaces"},
		{"a tab after spaces", "services:\n  \tops: {}\n", "line 2: begins with a tab; YAML is indented with spaces"},
		{"a tab, and the ends of lines of Windows", "services:\r\n\tops: {}\r\n", "line 2: begins with a tab; YAML is indented with spaces"},
		{"a template without quotes", "defaults:\n  event:\n    summary: {{ .Annotations.summary }} on it's host\n    source: x\n", "line 3: a template must be quoted: '{{ .Annotations.summary }} on it''s host'"},
		{"a template without quotes, last", "defaults:\n  tier: {{ .Labels.a }}-{{ .Labels.b }}\n", "line 2: a template must be quoted: '{{ .Labels.a }}-{{ .Labels.b }}'"},
		{"a template with quotes inside", "defaults:\n  tier: {{ index .Labels \"a\" }}!\n", `line 2: a template must be quoted: '{{ index .Labels "a" }}!'`},
		{"a brace", "services:\n  ops: {routing_key_file: f\nrules:\n  - name: a\n", "line 2: the { is not closed, or a comma is missing in what it holds"},
		{"a comma", "services:\n  ops: {routing_key_file: f region: eu}\n", "line 2: the { is not closed, or a comma is missing in what it holds"},
		{"a bracket", "services: [a\n", "line 1: the [ is not closed, or a comma is missing in what it holds"},
		{"a quote", "services:\n  ops:\n    region: 'us\nrules: []\n", "line 3: the ' is not closed"},
		{"a colon", "services:\n  ops:\n    routing_key_file f\n    region: us\n", "line 3: a field needs a colon and a space after its name"},
		{"a colon too many", "services:\n  ops:\n    region: u: s\n", "line 3: a value that has a colon and a space in it must be quoted"},
		{"a value that begins with what is reserved", "services:\n  ops:\n    region: @us\n", "line 3: a value that begins with @ must be quoted"},
		{"a quote's escape", "services: \"\\q\"\n", "line 1: is not YAML: found unknown escape character"},
		{"not text", "services: \xff\n", "is not YAML: invalid leading UTF-8 octet (value: 255)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse([]byte(tt.text), ".")
			if diff := cmp.Diff([]string{tt.want}, faultTexts(t, err)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// Durations are Prometheus' everywhere: with days and weeks, and never without a unit.
func TestParseDurations(t *testing.T) {
	const section = audited + "alertmanager: {urls: ['http://a:1']}\ncoverage: {schedules: [{name: s}], horizon: "
	fault := func(text string) []string { return []string{text} }
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"days", minimal + "stale_after: 1d\nreconcile: {interval: 1d}\n", fault("reconcile.interval: is 1d, must be from 10s to 1h (line 5)")},
		{"weeks", section + "1w2d}\nstale_after: 1w\n", nil},
		{"no unit", section + "'14'}\npagerduty: {timeout: 5}\nstale_after: '2'\nreconcile: {interval: 0}\n", []string{
			"coverage.horizon: 14 has no unit; write 14s for seconds (line 7)",
			"pagerduty: is set already on line 1; keep one (line 8)",
			"stale_after: 2 has no unit; write 2s for seconds (line 9)",
			"reconcile.interval: 0 has no unit; write 0s for seconds (line 10)",
		}},
		{"no whole number", minimal + "pagerduty: {timeout: 1.5s}\n", fault(`pagerduty.timeout: "1.5s" is not a duration; write whole numbers with their units, such as 90s, 1h30m or 14d (line 4)`)},
		{"negative", minimal + "pagerduty: {timeout: -5s}\n", fault("pagerduty.timeout: -5s is negative (line 4)")},
		{"what may be a secret", minimal + "stale_after: " + key + "\n", fault("stale_after: is not a duration; write one such as 90s, 1h30m or 14d (line 4)")},
		{"nothing", minimal + "stale_after:\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse([]byte(tt.text), ".")
			var got []string
			if err != nil {
				got = faultTexts(t, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}
