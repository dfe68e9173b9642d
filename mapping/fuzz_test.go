package mapping_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/mapping"
)

// FuzzMatchers: any matcher compiles or is refused with its path, and routing by
// it does not panic.
func FuzzMatchers(f *testing.F) {
	for _, s := range []string{
		`team="infra"`, `{a="b",c=~"d.*"}`, `"k8s.pod name"!="x"`, `a!~"(b|c)"`, `ключ=значение`, `a="`, `{`, `=~`, `a=~"["`, `a="\xff"`, "",
	} {
		f.Add(s, "infra")
	}
	f.Fuzz(func(t *testing.T, matcher, value string) {
		m, err := mapping.New(mapping.Config{Services: []string{"s"}, Rules: []mapping.Rule{{Name: "r", Matchers: []string{matcher}}}})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "rules[0].matchers[0]: ") {
				t.Errorf("got %q, want the path in front", err)
			}
			return
		}
		if obs := m.Route(group(template.KV{"team": value, "a": value})); len(obs) != 1 {
			t.Errorf("got %d observations, want 1", len(obs))
		}
	})
}

// FuzzTemplates: any template compiles or is refused, and routing and rendering
// with it give a page that PagerDuty takes.
func FuzzTemplates(f *testing.F) {
	for _, s := range []string{
		`{{ .Labels.severity }}`, `{{ .Annotations.summary | toUpper }}`, `{{ range .Alerts.Firing }}{{ .Labels.SortedPairs }}{{ end }}`,
		`{{ now }}`, `{{ since .StartsAt }}`, `{{ printf "%9999d" 1 }}`, `{{ reReplaceAll "(" "" "x" }}`, `{{ index .Alerts 5 }}`,
		`{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`, `{{ slice .Labels.a 1 }}`, `{{ toJson . }}`, `{{`, `x`,
		`{{ with .CommonLabels }}{{ .a }}{{ end }}`, `{{ .StartsAt.Format "15:04" }}`, `{{ tz "Europe/Paris" .StartsAt }}`,
		`{{ dict "a" 1 | toJson }}`, `{{ routeLabels "x" }}`, `{{ list 1 2 | len }}`, `{{ .Labels.Remove (stringSlice "a") }}`,
	} {
		f.Add(s, "value")
	}
	f.Fuzz(func(t *testing.T, tpl, value string) {
		if strings.Count(tpl, "range") > 1 || strings.ContainsAny(tpl, "0123456789") && strings.Contains(tpl, "range") {
			t.Skip("a loop that is meant to take long takes long")
		}
		for _, o := range []mapping.Options{
			{Tier: tpl},
			{Dedup: &mapping.Dedup{By: mapping.DedupBy{Key: tpl}}},
			{Event: mapping.EventTemplates{
				Summary: tpl, Source: tpl, Component: tpl, Group: tpl, Class: tpl, Client: tpl,
				ClientURL: "https://x.test/{{ .Receiver }}" + tpl, Details: map[string]string{"d": tpl},
				Links:  []mapping.LinkTemplate{{Href: "https://x.test/{{ .Tier }}" + tpl, Text: tpl}},
				Images: []mapping.ImageTemplate{{Src: "https://x.test/{{ .Tier }}" + tpl, Alt: tpl}},
			}},
		} {
			m, err := mapping.New(mapping.Config{Services: []string{"s"}, Defaults: mapping.Defaults{Options: o}})
			if err != nil {
				continue
			}
			g := group(template.KV{"alertname": value, "severity": value, "a": value})
			g.Alerts[0].Annotations = template.KV{"summary": value}
			for _, in := range incidents(m.Route(g)) {
				ev, _ := m.Render(in, mapping.RenderOptions{Now: now()})
				checkEvent(t, ev)
				checkKey(t, in.DedupKey)
			}
		}
	})
}

func checkKey(t *testing.T, key string) {
	t.Helper()
	if len(key) < 1 || len(key) > mapping.MaxDedupKey || !utf8.ValidString(key) {
		t.Errorf("got a key of %d bytes: %q", len(key), key)
	}
}

// FuzzRouteRender: whatever the labels, annotations and texts of a webhook are,
// every alert is routed to an incident with a good key, and its event is one
// that PagerDuty takes.
func FuzzRouteRender(f *testing.F) {
	f.Add("alertname", "DiskFull", "summary", "Disk full", "default", "http://am.test", "{}:{}", uint16(1), int64(0), uint8(0))
	f.Add("severity", "critical", "runbook_url", "https://r.test/x", `pd\.prod/eu`, "http://am.test/", "", uint16(30), int64(1795289000), uint8(1))
	f.Add("replica", "a", "image_url", "https://r.test/x.png", "\xff", "::", "x", uint16(3), int64(-1<<62), uint8(2))
	f.Add("\x00", "\u202e🔥", "description", "a\nb\u2028", "", "", "k", uint16(2), int64(1<<40), uint8(3))
	f.Add("instance", strings.Repeat("<", 3000), "x", strings.Repeat("\"\\", 3000), "r", "https://am", "k", uint16(400), int64(1), uint8(4))
	dedups := []mapping.Dedup{
		{},
		{By: mapping.DedupBy{Mode: "group"}},
		{By: mapping.DedupBy{Mode: "alertmanager"}},
		labelsBy("alertname", "severity"),
		{By: mapping.DedupBy{Key: "{{ .Labels.alertname }}{{ .GroupKey }}"}, Namespace: "n"},
	}
	var mappers []*mapping.Mapper
	for _, d := range dedups {
		mappers = append(mappers, mustNew(f, mapping.Config{
			Services: []string{"s"},
			Rules: []mapping.Rule{
				{Name: "a", Matchers: []string{`severity="critical"`}, Continue: true, Options: mapping.Options{Dedup: &d}},
				{Name: "b", Service: "{{ .RouteLabels.s }}"},
			},
			Defaults: mapping.Defaults{Options: mapping.Options{Dedup: &d}},
		}))
	}
	f.Fuzz(func(t *testing.T, name, value, note, text, receiver, url, key string, repeat uint16, began int64, mode uint8) {
		m := mappers[int(mode)%len(mappers)]
		long := func(s string) string { return strings.Repeat(s, min(int(repeat), 1<<18/(len(s)+1))) }
		g := &mapping.Group{GroupKey: key, Data: template.Data{
			Receiver: receiver, Status: value, ExternalURL: url, RouteLabels: template.KV{name: value}, GroupLabels: template.KV{name: value},
		}}
		for i := range int(repeat%5) + 1 {
			g.Alerts = append(g.Alerts, template.Alert{
				Status:      []string{"firing", "resolved", value}[i%3],
				Labels:      template.KV{name: value, "n": long(value), fmt.Sprint(i): text},
				Annotations: template.KV{note: long(text), "m": value},
				StartsAt:    time.Unix(began, 0), EndsAt: time.Unix(began, int64(i)), GeneratorURL: url, Fingerprint: value,
			})
		}
		obs := m.Route(g)
		for i := range g.Alerts {
			if !slices.ContainsFunc(obs, func(o mapping.Observation) bool { return o.Alert.Labels[fmt.Sprint(i)] == text }) {
				t.Errorf("alert %d has no observation", i)
			}
		}
		for _, o := range obs {
			checkKey(t, o.DedupKey)
			if o.Service != "s" || o.Alert.Fingerprint == "" || (o.Alert.Status != "firing" && o.Alert.Status != "resolved") {
				t.Errorf("got %+v", o)
			}
			if o.Urgency.Rank() == len(mapping.Urgencies()) || !slices.Contains(mapping.Severities(), o.Severity) {
				t.Errorf("got urgency %q, severity %q", o.Urgency, o.Severity)
			}
		}
		for _, in := range incidents(obs) {
			for _, minimal := range []bool{false, true} {
				ev, faults := m.Render(in, mapping.RenderOptions{Now: now(), Minimal: minimal})
				checkEvent(t, ev)
				for i, fault := range faults {
					if !slices.Contains(mapping.Faults(), fault) || slices.Contains(faults[:i], fault) {
						t.Errorf("got faults %v, want each once and of the list", faults)
					}
				}
			}
		}
	})
}
