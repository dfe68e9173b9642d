package mapping_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/mapping"
)

// hugeGroup is what capture 09, a body of 2 MB, holds.
func hugeGroup() *mapping.Group {
	g := group()
	long := strings.Repeat("L", 600000)
	g.GroupLabels = template.KV{"alertname": "Huge"}
	g.GroupKey = `{}:{alertname="Huge"}`
	g.CommonLabels = template.KV{"alertname": "Huge", "severity": "info"}
	g.CommonAnnotations = template.KV{"description": long, "summary": "short"}
	for i, fingerprint := range []string{"83f8d44b9eaa46b9", "9a3633f47f10fae8"} {
		g.Alerts = append(g.Alerts, template.Alert{
			Status:      "firing",
			Labels:      template.KV{"alertname": "Huge", "instance": fmt.Sprintf("h%d", i), "severity": "info"},
			Annotations: template.KV{"description": long, "summary": "short"},
			StartsAt:    start(), Fingerprint: fingerprint,
		})
	}
	return g
}

// What each recorded webhook body means with no rules and one service: the
// status, fingerprint, tier and key of each alert, and its faults. Most recorded
// alerts have no severity: they get the first tier. Capture 12 is no webhook of
// Alertmanager's shape; the receiver refuses it.
func TestCaptures(t *testing.T) {
	want := map[string][]string{
		"01-firing-single.json": {
			"firing 1f9cfbd33f2c2530 critical pd/DiskFull/high/91e71dc2afe4cb8f840d7ffc7a50e707",
		},
		"02-firing-several.json": {
			"firing 1f9cfbd33f2c2530 critical pd/DiskFull/high/91e71dc2afe4cb8f840d7ffc7a50e707",
			"firing 5499ad2a21b8668f critical pd/DiskFull/high/c5683e6d418fb31a4312b5195b06b8bc",
			"firing 931d2a28c9afca3d warning pd/DiskFull/low/6a0326edd1dd732e3ac871af58e38054",
		},
		"03-partially-resolved.json": {
			"resolved 1f9cfbd33f2c2530 critical pd/DiskFull/high/91e71dc2afe4cb8f840d7ffc7a50e707",
			"firing 5499ad2a21b8668f critical pd/DiskFull/high/c5683e6d418fb31a4312b5195b06b8bc",
			"firing 931d2a28c9afca3d warning pd/DiskFull/low/6a0326edd1dd732e3ac871af58e38054",
		},
		"04-all-resolved.json": {
			"resolved 5499ad2a21b8668f critical pd/DiskFull/high/c5683e6d418fb31a4312b5195b06b8bc",
			"resolved 931d2a28c9afca3d warning pd/DiskFull/low/6a0326edd1dd732e3ac871af58e38054",
		},
		"05-utf8-labels.json": {
			"firing 1e5cc9db0c32e43f critical pd/Высокая_загрузка_🔥/high/af8fa9d075f2b4cbe21d71024d7c8ffc [unknown_tier]",
			"firing dbdf410670fdb99c critical pd/Высокая_загрузка_🔥/high/411319861b18bd28f2760b458c3fbf37 [unknown_tier]",
		},
		"06-truncated-firing.json": {
			"firing 3095c985089c1564 warning pd/PodCrash/low/3b3f0957365d0b90886e221a7e444aae",
			"firing d3bafd3531c94685 warning pd/PodCrash/low/6f07e8cc5cf4279526493dceeb335bf2",
		},
		"07-truncated-FALSE-resolved.json": {
			"resolved 3095c985089c1564 warning pd/PodCrash/low/3b3f0957365d0b90886e221a7e444aae",
			"resolved d3bafd3531c94685 warning pd/PodCrash/low/6f07e8cc5cf4279526493dceeb335bf2",
		},
		"08-empty-grouplabels.json": {
			"firing ca49fcfcec3eca7a critical pd/alert/high/c3f971da37a224010917c689f23d46f8 [unknown_tier]",
			"firing 52b86e90889d10df critical pd/A/high/6ae47d5f77aa06686e6d5336428d470d [unknown_tier]",
		},
		"09-huge-annotations-2MB.json": {
			"firing 83f8d44b9eaa46b9 info pd/Huge/acknowledged/f71d38d634d743b580d8b830f61aa1e9",
			"firing 9a3633f47f10fae8 info pd/Huge/acknowledged/52be410b0ac74fddcf3bdba99aeff43c",
		},
		"10-repeat-interval.json": {
			"firing 45c166f400fe9c4a critical pd/R/high/1bb271a31c78d88a5a0d01c446d836c7 [unknown_tier]",
		},
		"11-route-labels-quoted-receiver.json": {
			"firing 51e9994a157bd516 critical pd/RL/high/4b90831a4e74b3721bb5a0670a667098",
		},
		"13a-mute-before.json": {
			"firing b471d932f0fffcc2 critical pd/M/high/8cde6c10932a536b69d7dcdfa751037a [unknown_tier]",
			"firing 1f23291bad596819 critical pd/M/high/f5462c0a41f20753eb2a67c6036f6f4f [unknown_tier]",
		},
		"13b-mute-FALSE-resolved.json": {
			"resolved 1f23291bad596819 critical pd/M/high/f5462c0a41f20753eb2a67c6036f6f4f [unknown_tier]",
		},
		"13c-mute-after-unsilence.json": {
			"firing b471d932f0fffcc2 critical pd/M/high/8cde6c10932a536b69d7dcdfa751037a [unknown_tier]",
		},
		"13d-mute-new-alert-lost-resolve.json": {
			"firing 586adc4fbe9e8eb8 critical pd/M/high/43d6147489c78a136f68a3dc586ec425 [unknown_tier]",
		},
		"14-v0.31-no-reason.json": {
			"firing ad57c747727ce5fc critical pd/Old/high/6d796fe5f715500d61a51b82a76b3a3d",
		},
		"15a-ha-peer1.json": {
			"firing a0313f8c46646ec7 critical pd/H-slow/high/a95b965e732b082253610f7a7f144e0d [unknown_tier]",
		},
		"15b-ha-peer2-duplicate.json": {
			"firing a0313f8c46646ec7 critical pd/H-slow/high/a95b965e732b082253610f7a7f144e0d [unknown_tier]",
		},
		"16-group-by-all.json": {
			"firing 2858eb21387eda69 critical pd/A/high/9f476daf8a8f989b48c7c981d95c1f7d [unknown_tier]",
		},
	}
	m := mustNew(t, func() mapping.Config {
		cfg := withDedup(mapping.Dedup{})
		cfg.Services = []string{"pd"}
		return cfg
	}())

	files, err := filepath.Glob("testdata/captures/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	groups := map[string]*mapping.Group{"09-huge-annotations-2MB.json": hugeGroup()}
	for _, f := range files {
		groups[filepath.Base(f)] = capture(t, filepath.Base(f))
	}
	for name, g := range groups {
		t.Run(name, func(t *testing.T) {
			expected, ok := want[name]
			if !ok {
				t.Error("no expected outcome is written down")
			}
			if len(expected) != len(g.Alerts) {
				t.Errorf("got %d expected outcomes for %d alerts", len(expected), len(g.Alerts))
			}
			var got []string
			for _, o := range m.Route(g) {
				s := fmt.Sprintf("%s %s %s %s", o.Alert.Status, o.Alert.Fingerprint, o.Tier, o.DedupKey)
				if len(o.Faults) > 0 {
					s += fmt.Sprintf(" %v", o.Faults)
				}
				got = append(got, s)
				if wantReceiver := strings.ReplaceAll(g.Receiver, `\`, ""); o.Receiver != wantReceiver {
					t.Errorf("got receiver %q, want %q", o.Receiver, wantReceiver)
				}
				if o.Service != "pd" || o.Rule != "" || o.Shared || o.BareKey || o.GroupKey != g.GroupKey || o.Reason != g.NotificationReason {
					t.Errorf("got %+v", o)
				}
			}
			if !slices.Equal(got, expected) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(expected, "\n"))
			}
		})
	}
	for name := range want {
		if groups[name] == nil {
			t.Errorf("%s: an outcome is written down, but there is no such capture", name)
		}
	}
}
