package mapping_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/mapping"
)

// checkEvent wants what PagerDuty asks of every event.
func checkEvent(t testing.TB, ev mapping.Event) []byte {
	t.Helper()
	body, err := json.Marshal(ev)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	if !utf8.Valid(body) {
		t.Error("got invalid UTF-8")
	}
	// Routing key, action and dedup key must still find room.
	if max := mapping.MaxEventSize - 2048; len(body) > max {
		t.Errorf("got %d bytes, want at most %d", len(body), max)
	}
	if n := utf8.RuneCountInString(ev.Summary); n < 1 || n > mapping.MaxSummary || strings.TrimSpace(ev.Summary) == "" {
		t.Errorf("got a summary of %d characters: %.40q", n, ev.Summary)
	}
	for _, r := range ev.Summary {
		if r < ' ' || r == 0x7f {
			t.Errorf("got a control in the summary: %q", ev.Summary)
			break
		}
	}
	if strings.TrimSpace(ev.Source) == "" {
		t.Error("got an empty source")
	}
	for name, s := range map[string]string{"source": ev.Source, "component": ev.Component, "group": ev.Group, "class": ev.Class, "client": ev.Client} {
		if n := utf8.RuneCountInString(s); n > 1024 {
			t.Errorf("got a %s of %d characters", name, n)
		}
	}
	if !slices.Contains(mapping.Severities(), ev.Severity) {
		t.Errorf("got severity %q", ev.Severity)
	}
	for _, l := range ev.Links {
		if !strings.HasPrefix(l.Href, "http://") && !strings.HasPrefix(l.Href, "https://") {
			t.Errorf("got link %q", l.Href)
		}
	}
	for _, im := range ev.Images {
		if !strings.HasPrefix(im.Src, "https://") {
			t.Errorf("got image %q", im.Src)
		}
	}
	return body
}

func TestSummaryIsCutByCharacters(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	for _, tc := range []struct {
		name     string
		in       string
		more     int
		fallback string
		cut      bool
	}{
		{"exactly as long as allowed", strings.Repeat("é", 1024), 0, "", false},
		{"one more", strings.Repeat("é", 1025), 0, "", true},
		{"emoji", strings.Repeat("🔥", 3000), 0, "", true},
		{"count kept", strings.Repeat("x", 1024), 12, "", true},
		{"prefix kept", strings.Repeat("x", 1024), 12, "infra", true},
		{"absurd fallback", strings.Repeat("x", 1024), 0, strings.Repeat("y", 5000), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var as []template.Alert
			for i := range 1 + tc.more {
				as = append(as, template.Alert{Fingerprint: fmt.Sprint(i), Annotations: template.KV{"summary": tc.in}})
			}
			in := incident(as...)
			in.FallbackFrom = tc.fallback
			ev, faults := m.Render(in, mapping.RenderOptions{Now: now()})
			checkEvent(t, ev)
			if got := slices.Contains(faults, mapping.FaultSummary); got != tc.cut {
				t.Errorf("got fault %v, want %v", got, tc.cut)
			}
			if tc.cut && utf8.RuneCountInString(ev.Summary) != mapping.MaxSummary {
				t.Errorf("got %d characters, want all %d", utf8.RuneCountInString(ev.Summary), mapping.MaxSummary)
			}
			if tc.cut != strings.Contains(ev.Summary, "…") {
				t.Errorf("got %.60q, want a mark only if it was cut", ev.Summary)
			}
			if tc.more > 0 && !strings.HasSuffix(ev.Summary, "… (+12 more)") {
				t.Errorf("got %q, want the count at its end", ev.Summary[1000:])
			}
			if tc.fallback == "infra" && !strings.HasPrefix(ev.Summary, "[stands in for infra] x") {
				t.Errorf("got %.60q, want the service in front", ev.Summary)
			}
		})
	}
}

func TestOversizedEvent(t *testing.T) {
	long := func(n int) string { return strings.Repeat("L", n) }
	many := func(n, size int) template.KV {
		kv := template.KV{}
		for i := range n {
			kv[fmt.Sprintf("k%06d", i)] = long(size)
		}
		return kv
	}
	detail := mapping.Config{Defaults: mapping.Defaults{Options: mapping.Options{Event: mapping.EventTemplates{Details: map[string]string{}}}}}
	for i := range 12 {
		detail.Defaults.Event.Details[fmt.Sprintf("d%02d", i)] = "{{ .Annotations.big }}"
	}
	links := mapping.Config{Defaults: mapping.Defaults{Options: mapping.Options{Event: mapping.EventTemplates{}}}}
	for i := range 100 {
		links.Defaults.Event.Links = append(links.Defaults.Event.Links, mapping.LinkTemplate{Href: fmt.Sprintf("https://x.test/%d/{{ .Annotations.big }}", i)})
	}
	for _, tc := range []struct {
		name string
		cfg  mapping.Config
		in   mapping.Incident
		cut  []string // the parts that must be named as cut.
		// want finds in the JSON what must be left.
		want []string
	}{
		{
			"one huge annotation",
			mapping.Config{},
			incident(template.Alert{
				Labels:      template.KV{"alertname": "Huge", "instance": "h0"},
				Annotations: template.KV{"description": long(600000), "summary": "short", "runbook_url": "https://runbooks.test/"},
			}),
			[]string{"annotations"},
			[]string{`"summary":"short"`, `"instance":"h0"`, `"description":"LLLL`, `L…"`, `"runbook_url":"https://runbooks.test/"`},
		},
		{
			"two huge annotations are cut alike",
			mapping.Config{},
			incident(template.Alert{Annotations: template.KV{"a": long(600000), "b": long(2000000), "c": "short"}}),
			[]string{"annotations"},
			[]string{`"a":"LLLL`, `"b":"LLLL`, `"c":"short"`},
		},
		{
			"annotations that JSON escapes",
			mapping.Config{},
			incident(template.Alert{Annotations: template.KV{"a": strings.Repeat("<\n\"", 200000), "c": "short"}}),
			[]string{"annotations"},
			[]string{`"a":"\u003c\n\"`, `"c":"short"`},
		},
		{
			"countless annotations",
			mapping.Config{},
			incident(template.Alert{Labels: template.KV{"alertname": "Many", "team": "x"}, Annotations: many(20000, 50)}),
			[]string{"annotations"},
			[]string{`"team":"x"`},
		},
		{
			"huge label",
			mapping.Config{},
			incident(template.Alert{Labels: template.KV{"alertname": "Huge", "team": "x", "big": long(600000)}, Annotations: template.KV{"summary": "S"}}),
			[]string{"annotations", "labels"},
			[]string{`"team":"x"`, `"big":"LLLL`},
		},
		{
			"countless labels",
			mapping.Config{},
			incident(template.Alert{Labels: many(20000, 50), Annotations: template.KV{"summary": "S"}}),
			[]string{"annotations", "labels"},
			[]string{`"tier":"critical"`},
		},
		{
			"huge label name",
			mapping.Config{},
			incident(template.Alert{Labels: template.KV{long(600000): "x", "alertname": "A"}}),
			[]string{"labels"},
			[]string{`"tier":"critical"`},
		},
		{
			"configured details", detail,
			incident(template.Alert{Labels: template.KV{"alertname": "A"}, Annotations: template.KV{"big": long(60000)}}),
			[]string{"annotations", "labels", "details"},
			[]string{`"tier":"critical"`, `"firing":1`},
		},
		{
			"links", links,
			incident(template.Alert{Labels: template.KV{"alertname": "A"}, Annotations: template.KV{"big": long(8000)}}),
			[]string{"annotations", "labels", "details"},
			[]string{`https://x.test/0/LLL`, `https://x.test/50/LLL`},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ev, faults := mustNew(t, tc.cfg).Render(tc.in, mapping.RenderOptions{Now: now()})
			body := string(checkEvent(t, ev))
			if !slices.Contains(faults, mapping.FaultSize) {
				t.Errorf("got faults %v, want size", faults)
			}
			diff(t, "cut", ev.Details["cut_to_fit"], any(tc.cut))
			for _, w := range tc.want {
				if !strings.Contains(body, w) {
					t.Errorf("%s is missing", w)
				}
			}
			if len(tc.cut) == 1 && tc.name != "countless annotations" && tc.name != "huge label name" && len(body) < 490000 {
				t.Errorf("got %d bytes, want the room used", len(body))
			}
		})
	}
}

func TestMembersAreBounded(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	var as []template.Alert
	for i := range 50 {
		as = append(as, template.Alert{
			Labels: template.KV{"alertname": "A", "i": fmt.Sprintf("%02d", i)}, Annotations: template.KV{"text": strings.Repeat("🔥", 5000) + fmt.Sprint(i)},
			StartsAt: start().Add(time.Duration(i) * time.Second),
		})
	}
	ev, faults := m.Render(incident(as...), mapping.RenderOptions{Now: now()})
	var got struct {
		Members []struct {
			Labels, Annotations map[string]string
		}
		Omitted int `json:"members_omitted"`
	}
	body, err := json.Marshal(ev.Details)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Members) != 20 || got.Omitted != 30 || len(faults) > 0 {
		t.Fatalf("got %d members, %d omitted, faults %v; want 20, 30, none", len(got.Members), got.Omitted, faults)
	}
	if l := got.Members[19].Labels; l["i"] != "19" || l["alertname"] != "" {
		t.Errorf("got %v, want the label that is not common, of the 20th that began", l)
	}
	if n := utf8.RuneCountInString(got.Members[0].Annotations["text"]); n != 1024 {
		t.Errorf("got an annotation of %d characters in a member, want 1024", n)
	}
	checkEvent(t, ev)

	// Members go first when the event is too large.
	for i := range as {
		as[i].Annotations["shared"] = strings.Repeat("L", 480000)
	}
	ev, faults = m.Render(incident(as...), mapping.RenderOptions{Now: now()})
	checkEvent(t, ev)
	diff(t, "cut", ev.Details["cut_to_fit"], any([]string{"members"}))
	if n := ev.Details["members_omitted"].(int); n <= 30 || n >= 50 || !slices.Equal(faults, []mapping.Fault{mapping.FaultSize}) {
		t.Errorf("got %d members omitted, faults %v; want some of the 20 dropped", n, faults)
	}
}

func TestLinks(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	for _, tc := range []struct {
		name  string
		notes template.KV
		graph string
		want  []string // text=href, of those beside the silence.
		fault bool
	}{
		{"none", nil, "", nil, false},
		{"all", template.KV{"runbook_url": "https://r.test/", "dashboard_url": "http://d.test/?a=b c"}, "http://p.test/graph", []string{"Runbook=https://r.test/", "Dashboard=http://d.test/?a=b%20c", "Graph=http://p.test/graph"}, false},
		{"blank", template.KV{"runbook_url": " "}, "", nil, false},
		{"surrounding blanks", template.KV{"runbook_url": " https://r.test/x \n"}, "", []string{"Runbook=https://r.test/x"}, false},
		{"the same twice", template.KV{"runbook_url": "https://r.test/", "dashboard_url": "https://r.test/"}, "", []string{"Runbook=https://r.test/"}, false},
		{"script", template.KV{"runbook_url": "javascript:alert(1)"}, "", nil, true},
		{"relative", template.KV{"runbook_url": "/wiki/x"}, "", nil, true},
		{"no host", template.KV{"runbook_url": "https:///x"}, "", nil, true},
		{"port alone", template.KV{"runbook_url": "https://:80/x"}, "", nil, true},
		{"file", template.KV{"runbook_url": "file:///etc/passwd"}, "", nil, true},
		{"control", template.KV{"runbook_url": "https://r.test/\x00"}, "", nil, true},
		{"invalid UTF-8", template.KV{"runbook_url": "https://r.test/\xff"}, "", nil, true},
		{"too long", template.KV{"runbook_url": "https://r.test/" + strings.Repeat("x", 9000)}, "", nil, true},
		{"too long once it is escaped", template.KV{"runbook_url": "https://r.test/" + strings.Repeat("é", 4000)}, "", nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ev, faults := m.Render(incident(template.Alert{
				Labels: template.KV{"alertname": "A"}, Annotations: tc.notes, GeneratorURL: tc.graph,
			}), mapping.RenderOptions{Now: now()})
			var got []string
			for _, l := range ev.Links {
				if !strings.Contains(l.Href, "/#/silences/new") {
					got = append(got, l.Text+"="+l.Href)
				}
			}
			if !slices.Equal(got, tc.want) || slices.Contains(faults, mapping.FaultLink) != tc.fault {
				t.Errorf("got %q, faults %v; want %q, fault %v", got, faults, tc.want, tc.fault)
			}
			checkEvent(t, ev)
		})
	}
}

func TestSilenceLink(t *testing.T) {
	a := func(ls template.KV) template.Alert { return template.Alert{Labels: ls} }
	for _, tc := range []struct {
		name   string
		url    string
		ignore []string
		in     []template.Alert
		want   string // the filter, decoded by hand below.
	}{
		{"one", "http://am.test/", nil, []template.Alert{a(template.KV{"alertname": "A", "x": "1", "replica": "r", "empty": ""})}, `%7Balertname%3D%22A%22%2Cx%3D%221%22%7D`},
		{"nothing ignored", "http://am.test", []string{}, []template.Alert{a(template.KV{"alertname": "A", "replica": "r"})}, `%7Balertname%3D%22A%22%2Creplica%3D%22r%22%7D`},
		{"common labels", "http://am.test", nil, []template.Alert{a(template.KV{"alertname": "A", "x": "1"}), a(template.KV{"alertname": "A", "x": "2"})}, `%7Balertname%3D%22A%22%7D`},
		{"different alerts", "http://am.test", nil, []template.Alert{a(template.KV{"alertname": "A", "c": "1"}), a(template.KV{"alertname": "B", "c": "1"})}, `%7Balertname%3D%22A%22%2Cc%3D%221%22%7D`},
		{"quoting", "http://am.test", nil, []template.Alert{a(template.KV{"a b": "c+\"d\\\n&"})}, `%7B%22a%20b%22%3D%22c%2B%5C%22d%5C%5C%5Cn%26%22%7D`},
		{"no labels", "http://am.test", nil, []template.Alert{a(nil)}, ""},
		{"no Alertmanager", "", nil, []template.Alert{a(template.KV{"alertname": "A"})}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := incident(tc.in...)
			in.ExternalURL = tc.url
			ev, _ := mustNew(t, withDedup(mapping.Dedup{Ignore: tc.ignore})).Render(in, mapping.RenderOptions{Now: now()})
			got := ""
			for _, l := range ev.Links {
				if rest, ok := strings.CutPrefix(l.Href, "http://am.test/#/silences/new?filter="); ok {
					got = rest
				}
			}
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestImagesAreHTTPS(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	ev, faults := m.Render(incident(template.Alert{Annotations: template.KV{
		"image_url": "http://x.test/a.png", "dashboard_image_url": "https://x.test/b.png",
	}}), mapping.RenderOptions{Now: now()})
	diff(t, "images", ev.Images, []mapping.Image{{Src: "https://x.test/b.png"}})
	if !slices.Contains(faults, mapping.FaultLink) {
		t.Errorf("got faults %v, want link", faults)
	}
}

func TestMinimal(t *testing.T) {
	m := mustNew(t, mapping.Config{Defaults: mapping.Defaults{Options: mapping.Options{Event: mapping.EventTemplates{
		Links: []mapping.LinkTemplate{{Href: "https://x.test/"}}, Details: map[string]string{"a": "b"},
	}}}})
	absurd := strings.Repeat("\x00\xff🔥", 100000)
	in := incident(template.Alert{
		Labels:      template.KV{"alertname": absurd, "instance": absurd, "": absurd, absurd: absurd},
		Annotations: template.KV{"summary": absurd, "runbook_url": absurd}, GeneratorURL: absurd, Fingerprint: absurd,
	})
	in.Severity, in.Urgency, in.Tier, in.GroupKey, in.Receiver, in.ExternalURL = absurd, "", absurd, absurd, absurd, absurd
	for _, minimal := range []bool{true, false} {
		ev, _ := m.Render(in, mapping.RenderOptions{Now: now(), Minimal: minimal})
		checkEvent(t, ev)
		if !minimal {
			continue
		}
		if n := utf8.RuneCountInString(ev.Summary); n > 255 {
			t.Errorf("got a summary of %d characters, want at most 255", n)
		}
		diff(t, "event", ev, mapping.Event{Summary: ev.Summary, Source: ev.Source, Severity: "critical", Timestamp: start()})
	}
}
