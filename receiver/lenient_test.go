package receiver_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pagerelay/pagerelay/mapping"
	"github.com/pagerelay/pagerelay/receiver"
)

const goodAlert = `{"status":"firing","labels":{"alertname":"DiskFull","instance":"db-1"},"annotations":{"summary":"full"},` +
	`"startsAt":"2026-11-30T08:00:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"1111111111111111"}`

// One alert or field that cannot be read costs nothing but itself.
func TestOneBadAlertDoesNotCostTheGroup(t *testing.T) {
	beside := func(alert string) string {
		return `{"version":"4","groupKey":"{}:{}","status":"firing","alerts":[` + goodAlert + `,` + alert + `]}`
	}
	withGroup := func(fields string) string { return `{` + fields + `,"groupKey":"{}:{}","alerts":[` + goodAlert + `]}` }
	for _, tc := range []struct {
		name, body string
		alerts     int // that are stored.
		odd        int // of these.
		unread     int
		check      func(*mapping.Group) bool // of the last alert or the group; nil: nothing more.
	}{
		{"no startsAt", beside(`{"status":"firing","labels":{"a":"b"}}`), 2, 1, 0, func(g *mapping.Group) bool { return g.Alerts[1].StartsAt.IsZero() }},
		{"startsAt no time", beside(`{"status":"firing","labels":{"a":"b"},"startsAt":"yesterday"}`), 2, 1, 0, func(g *mapping.Group) bool { return g.Alerts[1].StartsAt.IsZero() }},
		{"endsAt after the year 9999", beside(`{"status":"firing","startsAt":"2026-11-21T19:22:33Z","endsAt":"9999-12-31T23:59:59-23:59"}`), 2, 1, 0, nil},
		{"a label that is a number", beside(`{"status":"firing","labels":{"port":9100},"startsAt":"2026-11-21T19:22:33Z"}`), 2, 1, 0, func(g *mapping.Group) bool { return g.Alerts[1].Labels["port"] == "9100" }},
		{"an annotation that is an object", beside(`{"status":"firing","annotations":{"a":{"b":1}},"startsAt":"2026-11-21T19:22:33Z"}`), 2, 1, 0, func(g *mapping.Group) bool { return g.Alerts[1].Annotations["a"] == `{"b":1}` }},
		{"annotations a list", beside(`{"status":"firing","annotations":[],"startsAt":"2026-11-21T19:22:33Z"}`), 2, 1, 0, nil},
		{"a status in capitals", beside(`{"status":"RESOLVED","startsAt":"2026-11-21T19:22:33Z"}`), 2, 0, 0, func(g *mapping.Group) bool { return g.Alerts[1].Status == mapping.Resolved }},
		{"no status", beside(`{"labels":{"a":"b"},"startsAt":"2026-11-21T19:22:33Z"}`), 2, 1, 0, func(g *mapping.Group) bool { return g.Alerts[1].Status == mapping.Firing }},
		{"a short fingerprint", beside(`{"status":"firing","fingerprint":"abc","startsAt":"2026-11-21T19:22:33Z"}`), 2, 1, 0, func(g *mapping.Group) bool { return len(g.Alerts[1].Fingerprint) == 16 }},
		{"fields in another case", beside(`{"Status":"resolved","StartsAt":"2026-11-21T19:22:33Z","labels":{"a":1}}`), 2, 1, 0, func(g *mapping.Group) bool { return g.Alerts[1].Status == mapping.Resolved }},
		{"null", beside(`null`), 1, 0, 1, nil},
		{"a number", beside(`7`), 1, 0, 1, nil},
		{"labels a list", beside(`{"status":"firing","labels":[]}`), 1, 0, 1, nil},
		{"an alert that nests too deep", beside(`{"x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`), 1, 0, 1, nil},
		{"cut off in the second alert", strings.TrimSuffix(beside(goodAlert), `"1111111111111111"}]}`), 1, 0, 1, nil},
		{"rubbish behind", withGroup(`"version":"4"`) + "\n;", 1, 0, 1, nil},
		{"version a number", withGroup(`"version":4`), 1, 0, 0, nil},
		{"version 3", withGroup(`"version":"3"`), 1, 0, 0, nil},
		{"no version", withGroup(`"receiver":"r"`), 1, 0, 0, nil},
		{"truncatedAlerts a string", withGroup(`"version":"4","truncatedAlerts":"3"`), 1, 0, 0, func(g *mapping.Group) bool { return g.TruncatedAlerts == 3 }},
		{"truncatedAlerts negative", withGroup(`"version":"4","truncatedAlerts":-1`), 1, 0, 0, func(g *mapping.Group) bool { return g.TruncatedAlerts == 0 }},
		{"receiver an object", withGroup(`"version":"4","receiver":{}`), 1, 0, 0, func(g *mapping.Group) bool { return g.Receiver == "{}" }},
		{"group label a list", withGroup(`"version":"4","groupLabels":{"a":[]}`), 1, 0, 0, func(g *mapping.Group) bool { return g.GroupLabels["a"] == "[]" }},
		{"a field that nests too deep", withGroup(`"version":"4","x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70)), 1, 0, 0, nil},
		{"two lists of alerts", `{"version":"4","alerts":[` + goodAlert + `],"alerts":[` + goodAlert + `]}`, 2, 0, 0, nil},
		{"a byte order mark", "\xef\xbb\xbf" + withGroup(`"version":"4"`), 1, 0, 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, err := receiver.Decode([]byte(tc.body), 64)
			if err != nil {
				t.Fatal(err)
			}
			wantComplete(t, g)
			if len(g.Alerts) != tc.alerts || len(g.Odd) != tc.odd || g.Unread != tc.unread || (g.UnreadReason != nil) != (tc.unread > 0) {
				t.Errorf("got %d alerts, odd %v, %d unread (%v); want %d, %d, %d", len(g.Alerts), g.Odd, g.Unread, g.UnreadReason, tc.alerts, tc.odd, tc.unread)
			}
			if a := g.Alerts[0]; a.Labels["alertname"] != "DiskFull" || a.Fingerprint != "1111111111111111" || a.Status != mapping.Firing {
				t.Errorf("the good alert has become %+v", a)
			}
			if tc.check != nil && !tc.check(g) {
				t.Errorf("got %+v", g)
			}
		})
	}
}

// What could not be read is counted, logged and told, and the rest is answered 200.
func TestUnreadAlertsAreTold(t *testing.T) {
	d := open(t, receiver.Config{}, receiver.Access{})
	wantCode(t, d.post(`{"version":"4","alerts":[`+goodAlert+`,null,7]}`), 200)
	if got := len(d.sink.stored()); got != 1 {
		t.Errorf("got %d observations, want 1", got)
	}
	if len(d.truncated) != 1 || d.truncated[0] != receiver.ReasonUnread {
		t.Errorf("got told %v, want %s once", d.truncated, receiver.ReasonUnread)
	}
	if !strings.Contains(d.metricsText(), "pagerelay_webhook_unread_alerts_total 2") {
		t.Error("the metric does not count 2")
	}
	if !strings.Contains(d.logged(), "could not be read") || !strings.Contains(d.logged(), "alerts[1] is not an object") {
		t.Errorf("the log does not say which: %s", d.logged())
	}
}

// Grafana's own webhook: what it links to and measures is kept, and nothing is asked of
// an Alertmanager about it. Shapes after grafana#106065, #60465, #122730.
func TestGrafana(t *testing.T) {
	files, err := filepath.Glob("testdata/grafana/*.json")
	if err != nil || len(files) != 3 {
		t.Fatalf("got %v, %v; want 3 bodies", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			g, err := receiver.Decode(body, 64)
			if err != nil {
				t.Fatal(err)
			}
			a := g.Alerts[0]
			if g.Origin != mapping.OriginGrafana || g.Unread != 0 || len(g.Odd) != 0 {
				t.Errorf("got origin %q, %d unread, odd %v", g.Origin, g.Unread, g.Odd)
			}
			for _, name := range []string{"dashboard_url", "panel_url", "silence_url"} {
				if !strings.HasPrefix(a.Annotations[name], "https://grafana.example.org/") {
					t.Errorf("annotation %s is %q", name, a.Annotations[name])
				}
			}
			if want := "B=6.7, C=1"; a.Labels["alertname"] == "HighMemory" && a.Annotations["values"] != want {
				t.Errorf("got values %q, want %q", a.Annotations["values"], want)
			}
		})
	}
}

// A body with one good firing alert in it always pages that one, whatever stands beside
// it: any JSON as another alert, and any JSON as any field of the group.
func FuzzGoodAlertAlwaysPages(f *testing.F) {
	for _, seed := range []string{`null`, `7`, `{"labels":[]}`, `{"startsAt":5}`, `"x"`, `[[[]]]`, `{"status":"resolved"}`} {
		f.Add(seed, "version", `"4"`)
		f.Add(`{}`, "groupLabels", seed)
	}
	f.Fuzz(func(t *testing.T, other, field, value string) {
		if !json.Valid([]byte(other)) || !json.Valid([]byte(value)) {
			t.Skip()
		}
		name, err := json.Marshal(field)
		if err != nil {
			t.Skip()
		}
		body := `{` + string(name) + `:` + value + `,"alerts":[` + other + `,` + goodAlert + `]}`
		g, err := receiver.Decode([]byte(body), 16)
		if err != nil {
			if strings.Contains(err.Error(), "more than 100000 alerts") {
				t.Skip()
			}
			t.Fatalf("%s: %v", body, err)
		}
		for _, a := range g.Alerts {
			if a.Fingerprint == "1111111111111111" && a.Status == mapping.Firing && a.Labels["alertname"] == "DiskFull" {
				return
			}
		}
		t.Fatalf("%s: got %+v, want the good alert in it", body, g.Alerts)
	})
}
