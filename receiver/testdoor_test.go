package receiver_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/mapping"
	"github.com/pagerelay/pagerelay/receiver"
)

func TestTestDoorIsClosedByDefault(t *testing.T) {
	d := open(t, receiver.Config{}, receiver.Access{})
	wantCode(t, d.send(receiver.PathTestAlerts, strings.NewReader(`[]`)), 404)
	wantCode(t, d.send(receiver.PathTestStatus, nil, method("GET")), 404)
}

func TestTestDoorTimes(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	cases := []struct {
		name, times  string
		starts, ends time.Time
		status       string
	}{
		{"none", ``, now, now.Add(5 * time.Minute), mapping.Firing},
		{"zero, as amtool sends", `,"startsAt":"0001-01-01T00:00:00.000Z","endsAt":"0001-01-01T00:00:00.000Z"`, now, now.Add(5 * time.Minute), mapping.Firing},
		{"start", `,"startsAt":"2026-11-22T09:00:00Z"`, now.Add(-time.Hour), now.Add(5 * time.Minute), mapping.Firing},
		{"end to come", `,"startsAt":"2026-11-22T09:00:00Z","endsAt":"2026-11-22T11:00:00Z"`, now.Add(-time.Hour), now.Add(time.Hour), mapping.Firing},
		{"end gone", `,"startsAt":"2026-11-22T09:00:00Z","endsAt":"2026-11-22T11:30:00+02:00"`, now.Add(-time.Hour), now.Add(-30 * time.Minute), mapping.Resolved},
		{"end is now", `,"endsAt":"2026-11-22T10:00:00Z"`, now, now, mapping.Resolved},
		{"end gone, no start", `,"endsAt":"2026-11-22T09:00:00Z"`, now.Add(-time.Hour), now.Add(-time.Hour), mapping.Resolved},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			d := open(t, receiver.Config{TestDoor: true, Now: func() time.Time { return now }}, receiver.Access{})
			w := d.send(receiver.PathTestAlerts, strings.NewReader(`[{"labels":{"alertname":"X","empty":""},"annotations":{"s":"t"},"generatorURL":"http://g"`+tc.times+`}]`))
			wantCode(t, w, 200)
			if w.Body.Len() != 0 {
				t.Errorf("got body %q, want none", w.Body)
			}
			labels := template.KV{"alertname": "X"}
			want := []mapping.Observation{{
				Service: "svc", Rule: "all", DedupKey: "d2aeefc389ca7746", Origin: mapping.OriginTest,
				Receiver: "test door", GroupKey: `test door:{alertname="X"}`, GroupLabels: labels,
				Alert: template.Alert{
					Status: tc.status, Labels: labels, Annotations: template.KV{"s": "t"}, StartsAt: tc.starts, EndsAt: tc.ends,
					GeneratorURL: "http://g", Fingerprint: "d2aeefc389ca7746",
				},
			}}
			if diff := cmp.Diff(want, d.sink.stored()); diff != "" {
				t.Errorf("observations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTestDoorGroupsEachAlertAlone(t *testing.T) {
	d := open(t, receiver.Config{TestDoor: true}, receiver.Access{})
	wantCode(t, d.send(receiver.PathTestAlerts, strings.NewReader(`[{"labels":{"a":"1"}},{"labels":{"a":"2"}},{"labels":{"a":"1"}}]`)), 200)
	if d.sink.calls != 1 || len(d.sink.stored()) != 3 {
		t.Fatalf("got %d observations in %d calls, want 3 in 1", len(d.sink.stored()), d.sink.calls)
	}
	keys := []string{d.sink.stored()[0].GroupKey, d.sink.stored()[1].GroupKey, d.sink.stored()[2].GroupKey}
	if keys[0] == keys[1] || keys[0] != keys[2] {
		t.Errorf("got group keys %q, want one for each label set", keys)
	}
}

func TestTestDoorRefuses(t *testing.T) {
	cases := []struct{ name, body, want string }{
		{"empty", "", "the body is empty"},
		{"not JSON", "[{]", "not JSON at byte"},
		{"an object", `{"labels":{"a":"b"}}`, "not a list of alerts"},
		{"null", `null`, "not a list of alerts"},
		{"no labels", `[{"labels":{"a":"b"}},{}]`, "[1].labels is empty"},
		{"only empty labels", `[{"labels":{"a":""}}]`, "[0].labels is empty"},
		{"a label without a name", `[{"labels":{"":"b"}}]`, "[0].labels has an empty name"},
		{"label a number", `[{"labels":{"a":1}}]`, "[0].labels is of JSON type number"},
		{"not a time", `[{"labels":{"a":"b"},"endsAt":"soon"}]`, "[0].endsAt is not a time"},
		{"ends before it starts", `[{"labels":{"a":"b"},"startsAt":"2026-11-22T09:00:00Z","endsAt":"2026-11-22T08:00:00Z"}]`, "[0].endsAt is before startsAt"},
		{"too deep", strings.Repeat("[", 65), "nested more than 64 deep"},
		{"too many", "[" + strings.Repeat("0,", 100_000) + "0]", "more than 100000 alerts"},
		{"a number", `[5]`, "[0] is not an object"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			d := open(t, receiver.Config{TestDoor: true}, receiver.Access{})
			w := d.send(receiver.PathTestAlerts, strings.NewReader(tc.body))
			wantCode(t, w, 400)
			if got := jsonString(t, w.Body.String()); !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q in it", got, tc.want)
			}
			if len(d.truncated) != 0 || len(d.sink.stored()) != 0 {
				t.Errorf("got OnTruncated %v and %d observations, want none", d.truncated, len(d.sink.stored()))
			}
		})
	}
}

func TestTestDoorAnswersLikeTheAPI(t *testing.T) {
	d := open(t, receiver.Config{TestDoor: true}, receiver.Access{Tokens: []receiver.Token{{Name: "a", SHA256: secret(hashOf("tok"))}}})
	alerts := func(opts ...option) (int, string) {
		w := d.send(receiver.PathTestAlerts, strings.NewReader(`[{"labels":{"a":"b"}}]`), opts...)
		if got := w.Header().Get("Content-Type"); w.Code != 200 && got != "application/json" {
			t.Errorf("got content type %q of %d, want application/json", got, w.Code)
		}
		return w.Code, w.Body.String()
	}
	if code, body := alerts(); code != 401 || jsonString(t, body) == "" {
		t.Errorf("got %d %s, want 401", code, body)
	}
	if code, body := alerts(bearer("tok"), method("GET")); code != 405 || jsonString(t, body) == "" {
		t.Errorf("got %d %s, want 405", code, body)
	}
	d.sink.failWith(errDisk)
	if code, body := alerts(bearer("tok")); code != 503 || jsonString(t, body) == "" {
		t.Errorf("got %d %s, want 503", code, body)
	}
	wantCode(t, d.send(receiver.PathTestStatus, nil, method("GET")), 401)
	wantCode(t, d.send(receiver.PathTestStatus, nil, bearer("tok")), 405)
	w := d.send(receiver.PathTestStatus, nil, bearer("tok"), method("GET"))
	wantCode(t, w, 200)
	var status struct {
		Cluster struct{ Status string }
		Config  struct{ Original string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil || status.Cluster.Status != "disabled" || status.Config.Original == "" {
		t.Errorf("got %s, %v", w.Body, err)
	}
	// Webhooks have their own counter.
	d.wantMetric(`pagerelay_webhooks_total{code="200"} 0`)
}

func jsonString(t *testing.T, body string) string {
	t.Helper()
	var s string
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Errorf("got body %q, want a JSON string: %v", body, err)
	}
	wantLine(t, s)
	return s
}

// TestAmtool runs the real amtool against the test door.
func TestAmtool(t *testing.T) {
	amtool := os.Getenv("AMTOOL_BIN")
	if amtool == "" {
		amtool = filepath.Join("..", ".tools", "bin", "amtool")
		if _, err := os.Stat(amtool); err != nil {
			const hint = "no amtool: name one in AMTOOL_BIN, or run `make run` once to get one into .tools/bin"
			if os.Getenv("PAGERELAY_REQUIRE_ALERTMANAGER") == "1" {
				t.Fatal(hint)
			}
			t.Skip(hint)
		}
	}
	d := open(t, receiver.Config{TestDoor: true, Now: clock("2026-11-22T10:00:00Z")}, receiver.Access{})
	url := serve(t, d.mux).URL
	run := func(wantOK bool, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), amtool, append(args, "--alertmanager.url="+url)...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if (err == nil) != wantOK {
			t.Errorf("amtool %v: got %v: %s", args, err, out)
		}
		return string(out)
	}
	if out := run(true, "alert", "add", "alertname=X", "severity=critical", "ключ=значение", `--annotation=summary="a \"b\""`); out != "" {
		t.Errorf("got %q from amtool, want nothing", out)
	}
	run(true, "alert", "add", "X", "severity=critical", "--start=2026-11-22T08:00:00Z", "--end=2026-11-22T09:00:00Z")
	if len(d.sink.stored()) != 2 {
		t.Fatalf("got %d observations, want 2", len(d.sink.stored()))
	}
	first, second := d.sink.stored()[0].Alert, d.sink.stored()[1].Alert
	if diff := cmp.Diff(template.KV{"alertname": "X", "severity": "critical", "ключ": "значение"}, first.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if got, want := first.Annotations["summary"], `a "b"`; got != want {
		t.Errorf("got summary %q, want %q", got, want)
	}
	if first.Status != mapping.Firing || second.Status != mapping.Resolved {
		t.Errorf("got %s and %s, want firing and resolved", first.Status, second.Status)
	}
	if out := run(false, "alert", "add", "X", "--start=2026-11-22T09:00:00Z", "--end=2026-11-22T08:00:00Z"); !strings.Contains(out, "endsAt is before startsAt") {
		t.Errorf("got %q from amtool, want the reason", out)
	}
	d.sink.failWith(errDisk)
	if out := run(false, "alert", "add", "X"); !strings.Contains(out, "503") {
		t.Errorf("got %q from amtool, want the 503", out)
	}
	if out := run(true, "config", "show"); !strings.Contains(out, "test door") {
		t.Errorf("got %q from amtool config show", out)
	}
}
