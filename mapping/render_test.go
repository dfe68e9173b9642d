package mapping_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/mapping"
)

// golden compares an event with testdata/NAME.json.
func golden(t *testing.T, name string, ev mapping.Event) {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(ev); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name+".json")
	if update() {
		if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, path, strings.Split(buf.String(), "\n"), strings.Split(string(want), "\n"))
}

func TestRenderGolden(t *testing.T) {
	custom := mapping.Config{Rules: []mapping.Rule{{Name: "custom", Options: mapping.Options{
		Dedup: &mapping.Dedup{By: mapping.DedupBy{Labels: []string{"cluster", "alertname"}}},
		Event: mapping.EventTemplates{
			Summary:   `[{{ .Tier | toUpper }}] {{ .GroupLabels.alertname }} on {{ .Alerts.Firing | len }} hosts`,
			Source:    `{{ .CommonLabels.cluster }}`,
			Component: `disk`,
			Group:     `{{ .Labels.nothing }}`,
			Class:     `{{ .Urgency }}/{{ .Severity }}/{{ .Service }}/{{ .Rule }}`,
			Client:    `{{ .Receiver }}`,
			ClientURL: `{{ .ExternalURL }}/custom`,
			Details: map[string]string{
				"rendered_at": `{{ now.Format "15:04:05" }}`,
				"age":         `{{ since .StartsAt | humanizeDuration }}`,
				"shared":      `{{ .CommonLabels | toJson }}`,
				"nothing":     `{{ .Labels.nothing }}`,
			},
			Links:  []mapping.LinkTemplate{{Href: `https://wiki.example.test/{{ .Labels.alertname }}`, Text: `{{ .Labels.alertname }} wiki`}, {Href: `{{ .Annotations.nothing }}`}},
			Images: []mapping.ImageTemplate{{Src: `https://graphs.example.test/{{ .Labels.instance | urlquery }}.png`, Href: `https://graphs.example.test/`, Alt: `{{ .Status }}`}},
		},
	}}}}
	for _, tc := range []struct {
		name   string
		cfg    mapping.Config
		group  *mapping.Group
		change func(*mapping.Incident, *mapping.RenderOptions)
	}{
		{"single", mapping.Config{}, capture(t, "01-firing-single.json"), nil},
		{"minimal", mapping.Config{}, capture(t, "01-firing-single.json"), func(_ *mapping.Incident, o *mapping.RenderOptions) { o.Minimal = true }},
		{"fallback", mapping.Config{}, capture(t, "01-firing-single.json"), func(in *mapping.Incident, _ *mapping.RenderOptions) {
			in.FallbackFrom, in.Service = "infra", "catch-all"
		}},
		{"several", withDedup(mapping.Dedup{By: mapping.DedupBy{Mode: "alertmanager"}}), capture(t, "03-partially-resolved.json"), nil},
		{"utf8", mapping.Config{}, capture(t, "05-utf8-labels.json"), nil},
		{"nameless", mapping.Config{}, capture(t, "08-empty-grouplabels.json"), nil},
		{"quoted-receiver", mapping.Config{}, capture(t, "11-route-labels-quoted-receiver.json"), nil},
		{"resolved", mapping.Config{}, capture(t, "13b-mute-FALSE-resolved.json"), nil},
		{"custom", custom, capture(t, "02-firing-several.json"), nil},
		{"coverage", mapping.Config{}, &mapping.Group{Origin: mapping.OriginCoverage, Data: template.Data{Alerts: template.Alerts{{
			Status: "firing", StartsAt: start(), Labels: template.KV{"alertname": "CoverageGap", "severity": "critical", "schedule": "PABC123"},
			GeneratorURL: "https://example.pagerduty.test/schedules/PABC123",
			Annotations:  template.KV{"summary": "Nobody is on call on Primary from 18:00 to 20:00", "dashboard_url": "https://example.test/d/1", "image_url": "https://example.test/1.png"},
		}}}}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := mustNew(t, tc.cfg)
			in, o := incidents(m.Route(tc.group))[0], mapping.RenderOptions{Now: now()}
			if tc.change != nil {
				tc.change(&in, &o)
			}
			ev, faults := m.Render(in, o)
			if len(faults) > 0 {
				t.Errorf("got faults %v (%v), want none", faults, m.RenderErrors(in, o))
			}
			golden(t, tc.name, ev)
		})
	}
}

// incident is one with a firing member for each set of labels.
func incident(members ...template.Alert) mapping.Incident {
	for i := range members {
		if members[i].Status == "" {
			members[i].Status = mapping.Firing
		}
		if members[i].StartsAt.IsZero() {
			members[i].StartsAt = start()
		}
	}
	return mapping.Incident{
		Service: "infra", DedupKey: "k", Tier: "critical", Urgency: mapping.High, Severity: "critical",
		Receiver: "default", ExternalURL: "http://am.example.test:9093", Members: members,
	}
}

func TestDefaultSummary(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	kv := func(pairs ...string) template.KV {
		out := template.KV{}
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i]] = pairs[i+1]
		}
		return out
	}
	for _, tc := range []struct {
		name          string
		labels, notes template.KV
		want          string
	}{
		{"summary", kv("alertname", "A"), kv("summary", "S", "title", "T"), "S"},
		{"title", kv("alertname", "A"), kv("title", "T", "message", "M"), "T"},
		{"message", kv("alertname", "A"), kv("message", "M", "description", "D"), "M"},
		{"first line of description", kv("alertname", "A"), kv("description", "\n  first\r\nsecond"), "first"},
		{"blank summary", kv("alertname", "A"), kv("summary", " \n\t", "description", "D"), "D"},
		{"labels", kv("alertname", "A", "severity", "critical", "replica", "x", "job", "j", "instance", "i"), nil, "A (instance=i, job=j)"},
		{"name alone", kv("alertname", "A", "severity", "critical"), nil, "A"},
		{"nothing", nil, nil, "Alert without a name"},
		{"controls", nil, kv("summary", "a\x00b\u2028c\u202ed\x7fe"), "a b c d e"},
		{"invalid UTF-8", nil, kv("summary", "a\xffb"), "a\ufffdb"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ev, faults := m.Render(incident(template.Alert{Labels: tc.labels, Annotations: tc.notes}), mapping.RenderOptions{Now: now()})
			if ev.Summary != tc.want || len(faults) > 0 {
				t.Errorf("got %q, faults %v, want %q", ev.Summary, faults, tc.want)
			}
		})
	}
	t.Run("labels of a summary are bounded", func(t *testing.T) {
		ls, short := template.KV{"alertname": "A"}, template.KV{"alertname": "A"}
		for i := range 20 {
			ls[fmt.Sprintf("l%02d", i)] = strings.Repeat("x", 400)
			short[fmt.Sprintf("l%02d", i)] = "x"
		}
		in := incident(template.Alert{Labels: ls})
		in.ExternalURL = "" // no silence: its address would be too long.
		ev, faults := m.Render(in, mapping.RenderOptions{Now: now()})
		if !strings.HasSuffix(ev.Summary, "…") || len([]rune(ev.Summary)) != mapping.MaxSummary || !slices.Equal(faults, []mapping.Fault{mapping.FaultSummary}) {
			t.Errorf("got %d characters, faults %v", len([]rune(ev.Summary)), faults)
		}
		if ev, _ := m.Render(incident(template.Alert{Labels: short}), mapping.RenderOptions{Now: now()}); strings.Count(ev.Summary, "=") != 8 {
			t.Errorf("got %q, want 8 labels", ev.Summary)
		}
	})
}

func TestLeadAndCounts(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	alert := func(name, status string, minute int) template.Alert {
		return template.Alert{
			Status: status, Labels: template.KV{"alertname": name, "instance": name + ":1"},
			Annotations: template.KV{"summary": "about " + name}, StartsAt: start().Add(time.Duration(minute) * time.Minute),
		}
	}
	in := incident(alert("late", "firing", 30), alert("over", "resolved", 0), alert("first", "firing", 10), alert("mid", "firing", 20))
	before := slices.Clone(in.Members)
	ev, _ := m.Render(in, mapping.RenderOptions{Now: now()})
	if want := "about first (+2 more)"; ev.Summary != want {
		t.Errorf("got %q, want %q", ev.Summary, want)
	}
	if want := start().Add(10 * time.Minute); !ev.Timestamp.Equal(want) {
		t.Errorf("got timestamp %s, want %s: the earliest that fires", ev.Timestamp, want)
	}
	if ev.Source != "first:1" || ev.Class != "first" {
		t.Errorf("got source %q, class %q, want those of first", ev.Source, ev.Class)
	}
	diff(t, "counts", ev.Details["counts"], any(map[string]int{"firing": 3, "resolved": 1}))
	diff(t, "the caller's members", in.Members, before)

	// A silence of what several alerts share would be far too wide.
	for _, l := range ev.Links {
		if strings.Contains(l.Href, "silences/new") && !strings.Contains(l.Href, "first") {
			t.Errorf("got %q, want a silence of the leading alert", l.Href)
		}
	}
}

func TestSourceIsNeverEmpty(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	for _, tc := range []struct {
		labels template.KV
		url    string
		want   string
	}{
		{template.KV{"instance": "i", "node": "n", "job": "j"}, "http://am", "i"},
		{template.KV{"pod": "p", "job": "j"}, "http://am", "p"},
		{template.KV{"cluster": "c"}, "http://am", "c"},
		{template.KV{"instance": " \n"}, "http://am:9093/x", "am:9093"},
		{template.KV{"instance": "\x00"}, "", "alertmanager"},
		{nil, "::", "alertmanager"},
	} {
		in := incident(template.Alert{Labels: tc.labels})
		in.ExternalURL = tc.url
		if ev, _ := m.Render(in, mapping.RenderOptions{Now: now()}); ev.Source != tc.want {
			t.Errorf("%v %q: got %q, want %q", tc.labels, tc.url, ev.Source, tc.want)
		}
	}
}

func TestSeverityIsAlwaysPagerDutys(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	for _, tc := range []struct {
		severity string
		urgency  mapping.Urgency
		want     string
	}{
		{"error", mapping.High, "error"}, {"", mapping.Low, "warning"}, {"page", mapping.High, "critical"}, {"", "", "critical"}, {"", mapping.Change, "info"},
	} {
		in := incident(template.Alert{})
		in.Severity, in.Urgency = tc.severity, tc.urgency
		if ev, _ := m.Render(in, mapping.RenderOptions{Now: now()}); ev.Severity != tc.want {
			t.Errorf("%q %q: got %q, want %q", tc.severity, tc.urgency, ev.Severity, tc.want)
		}
	}
}

func TestTimestampWithoutStart(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	for name, in := range map[string]mapping.Incident{
		"no members": {Service: "infra"},
		"zero":       {Service: "infra", Members: []template.Alert{{Status: "firing"}}},
		"year 10000": {Service: "infra", Members: []template.Alert{{Status: "firing", StartsAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}}},
	} {
		ev, _ := m.Render(in, mapping.RenderOptions{Now: now()})
		if !ev.Timestamp.Equal(now()) {
			t.Errorf("%s: got %s, want now", name, ev.Timestamp)
		}
		if _, err := json.Marshal(ev); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFailingTemplatesStillPage(t *testing.T) {
	const bad = `{{ slice .Labels.alertname 9 }}`
	m := mustNew(t, mapping.Config{Defaults: mapping.Defaults{Options: mapping.Options{Event: mapping.EventTemplates{
		Summary: bad, Source: bad, Component: bad, Group: bad, Class: bad, Client: bad, ClientURL: bad,
		Details: map[string]string{"x": bad}, Links: []mapping.LinkTemplate{{Href: bad, Text: bad}}, Images: []mapping.ImageTemplate{{Src: bad}},
	}}}})
	in := incident(template.Alert{Labels: template.KV{"alertname": "A", "instance": "i", "job": "j", "cluster": "c"}, Annotations: template.KV{"summary": "S"}})
	ev, faults := m.Render(in, mapping.RenderOptions{Now: now()})
	plain, _ := mustNew(t, mapping.Config{}).Render(in, mapping.RenderOptions{Now: now()})
	diff(t, "event", ev, plain)
	if !slices.Equal(faults, []mapping.Fault{mapping.FaultTemplate}) {
		t.Errorf("got faults %v, want template once", faults)
	}
	errs := m.RenderErrors(in, mapping.RenderOptions{Now: now()})
	if len(errs) != 11 || !strings.HasPrefix(errs[0].Error(), "defaults.event.summary: ") {
		t.Errorf("got %d errors %v, want one for each template", len(errs), errs)
	}
}

func TestEventTemplatesOfARuleJoinTheDefaults(t *testing.T) {
	m := mustNew(t, mapping.Config{
		Rules: []mapping.Rule{{Name: "r", Options: mapping.Options{Event: mapping.EventTemplates{
			Source: "rule", Details: map[string]string{"a": "rule", "b": "rule"}, Links: []mapping.LinkTemplate{{Href: "https://rule.test/"}},
		}}}},
		Defaults: mapping.Defaults{Options: mapping.Options{Event: mapping.EventTemplates{
			Summary: "default", Source: "default", Details: map[string]string{"a": "default", "c": "default"},
			Links: []mapping.LinkTemplate{{Href: "https://default.test/"}},
		}}},
	})
	in := incident(template.Alert{Labels: template.KV{"alertname": "A"}})
	in.ExternalURL = ""
	show := func(rule string) string {
		in.Rule = rule
		ev, _ := m.Render(in, mapping.RenderOptions{Now: now()})
		return fmt.Sprint(ev.Summary, " ", ev.Source, " ", ev.Details["a"], ev.Details["b"], ev.Details["c"], ev.Links)
	}
	for rule, want := range map[string]string{
		"r":    "default rule rulerule" + "default[{https://rule.test/ }]",
		"":     "default default default<nil>default[{https://default.test/ }]",
		"gone": "default default default<nil>default[{https://default.test/ }]",
	} {
		if got := show(rule); got != want {
			t.Errorf("rule %q: got %s, want %s", rule, got, want)
		}
	}
}

// What pagerelay raised itself names pagerelay as its client, not Alertmanager.
func TestOwnAlertsNamePagerelay(t *testing.T) {
	m, err := mapping.New(mapping.Config{Services: []string{"ops"}})
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[mapping.Origin]string{
		mapping.OriginSelf: "Pagerelay", mapping.OriginCoverage: "Pagerelay", mapping.OriginAlertmanager: "Alertmanager",
	} {
		ev, _ := m.Render(mapping.Incident{Service: "ops", Urgency: mapping.High, Origin: origin}, mapping.RenderOptions{})
		if ev.Client != want {
			t.Errorf("origin %s: got client %q, want %q", origin, ev.Client, want)
		}
	}
}
