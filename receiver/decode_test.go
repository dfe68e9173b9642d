package receiver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/mapping"
	"github.com/pagerelay/pagerelay/receiver"
)

// alertBody is a webhook whose only alert has the given fields besides its status and start.
func alertBody(fields string) string {
	return `{"version":"4","alerts":[{"status":"firing","startsAt":"2026-11-21T19:22:33Z"` + fields + `}]}`
}

func TestDecodeRefuses(t *testing.T) {
	only := func(alert string) string { return `{"version":"4","alerts":[` + alert + `]}` }
	cases := []struct{ name, body, want string }{
		{"empty", "", "the body is empty"},
		{"blank", " \n\t", "the body is empty"},
		{"cut off in its first alert", oneAlert[:100], "not JSON at byte 100"},
		{"not JSON", "alerts: []", "not JSON at byte 1"},
		{"null", "null", "not a JSON object"},
		{"a list", "[]", "not a JSON object"},
		{"a string", `"4"`, "not a JSON object"},
		{"custom payload", capture(t, "12-custom-payload.json"), "remove payload from webhook_configs"},
		{"custom payload with other types", `{"alerts":5}`, "remove payload from webhook_configs"},
		{"no alerts", `{"version":"4"}`, "alerts is missing"},
		{"alerts null", `{"version":"4","alerts":null}`, "alerts is missing"},
		{"alerts an object", `{"version":"4","alerts":{"a":[{}]}}`, "alerts is missing"},
		{"the only alert a number", only(`7`), "alerts[0] is not an object"},
		{"the only alert null", only(`null`), "alerts[0] is not an object"},
		{"labels a list", only(`{"labels":[]}`), "alerts[0].labels is not an object"},
		{"the only alert too deep", only(`{"labels":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`), "alerts[0] is nested more than 64 deep"},
		{"too deep and never closed", strings.Repeat(`{"a":`, 1_000_000), "not JSON at byte"},
		{"too many alerts", `{"version":"4","alerts":[` + strings.Repeat("0,", 100_000) + `0]}`, "more than 100000 alerts"},
		{"line break in a string", "{\"version\":\"4\n\"}", "not JSON at byte"},
		{"hostile key", "{\"version\":\"4\",\"alerts\":[{\"\\nlevel=error\":\x00}]}", "not JSON at byte"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			g, err := receiver.Decode([]byte(tc.body), 64)
			if err == nil {
				t.Fatalf("got %+v, want an error with %q", g, tc.want)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %q, want %q in it", err, tc.want)
			}
			wantLine(t, err.Error())
		})
	}
}

func TestDecodeAccepts(t *testing.T) {
	cases := []struct {
		name, body string
		check      func(*mapping.Group) string
	}{
		{"no alerts and no version", `{"alerts":[]}`, func(g *mapping.Group) string {
			if g.Alerts == nil {
				return "no list of alerts, want an empty one"
			}
			return ""
		}},
		{"unknown fields", `{"version":"4","alerts":[],"future":{"a":[1,null,true,1e400]}}`, nil},
		{"nesting at the limit", `{"version":"4","alerts":[],"x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, nil},
		{"brackets in strings", alertBody(`,"labels":{"a":"` + strings.Repeat("[{", 100) + `\"[[\\"}`), nil},
		{"alerts as another field's value", `{"receiver":"alerts","version":"4","status":"alerts","alerts":[]}`, nil},
		{"many labels", alertBody(`,"labels":{` + strings.Repeat(`"a":"",`, 100_000) + `"a":""}`), nil},
		{"a label called alerts", alertBody(`,"labels":{"alerts":"alerts"}`), nil},
		{"no labels", alertBody(`,"labels":null,"annotations":null`), func(g *mapping.Group) string {
			a := g.Alerts[0]
			if a.Labels == nil || a.Annotations == nil || g.GroupLabels == nil || g.RouteLabels == nil {
				return "a map is nil"
			}
			if want := "cbf29ce484222325"; a.Fingerprint != want { // FNV-1a of nothing.
				return "fingerprint " + a.Fingerprint + ", want " + want
			}
			return ""
		}},
		{"fingerprint left out", `{"version":"4","alerts":[{"status":"firing","startsAt":"2026-11-21T19:22:33Z","labels":` +
			`{"alertname":"DiskFull","cluster":"eu-1","instance":"db-1:9100","job":"node","severity":"critical"}}]}`, func(g *mapping.Group) string {
			// The value that a real Alertmanager sent for these labels (capture 01).
			if got, want := g.Alerts[0].Fingerprint, "1f9cfbd33f2c2530"; got != want {
				return "fingerprint " + got + ", want " + want
			}
			return ""
		}},
		{"broken UTF-8", alertBody(",\"labels\":{\"a\":\"x\xff\xfey\"}"), func(g *mapping.Group) string {
			if got, want := g.Alerts[0].Labels["a"], "x\ufffd\ufffdy"; got != want {
				return fmt.Sprintf("label %q, want %q", got, want)
			}
			return ""
		}},
		{"lone surrogate", alertBody(`,"labels":{"a":"\ud800"}`), nil},
		{"a label twice", alertBody(`,"labels":{"a":"1","a":"2"}`), func(g *mapping.Group) string {
			if got := g.Alerts[0].Labels["a"]; got != "2" {
				return "label " + got + ", want the last one"
			}
			return ""
		}},
		{"start with an offset", `{"version":"4","alerts":[{"status":"resolved","startsAt":"2026-11-21T21:22:33+02:00"}]}`, func(g *mapping.Group) string {
			if got, want := g.Alerts[0].StartsAt, time.Date(2026, 11, 21, 19, 22, 33, 0, time.UTC); got != want {
				return fmt.Sprintf("start %v, want %v", got, want)
			}
			return ""
		}},
		{"blanks around", "\r\n\t " + oneAlert + " \r\n\t", nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			g, err := receiver.Decode([]byte(tc.body), 64)
			if err != nil {
				t.Fatal(err)
			}
			if tc.check != nil {
				if fault := tc.check(g); fault != "" {
					t.Error("got " + fault)
				}
			}
		})
	}
}

// TestCaptures sends every recorded webhook through the door. What matters is
// each alert's own status, whatever the group's says.
func TestCaptures(t *testing.T) {
	const firing, resolved = mapping.Firing, mapping.Resolved
	cases := []struct {
		file     string
		code     int
		status   string // the group's; a trap where it differs from the alerts'.
		alerts   []string
		reason   string
		receiver string // as it is on the wire: the mapping unquotes it.
	}{
		{"01-firing-single.json", 200, firing, []string{firing}, "first notification", "default"},
		{"02-firing-several.json", 200, firing, []string{firing, firing, firing}, "new alerts added", ""},
		{"03-partially-resolved.json", 200, firing, []string{resolved, firing, firing}, "some alerts resolved", ""},
		{"04-all-resolved.json", 200, resolved, []string{resolved, resolved}, "all alerts resolved", ""},
		{"05-utf8-labels.json", 200, firing, []string{firing, firing}, "first notification", "utf8"},
		{"06-truncated-firing.json", 200, firing, []string{firing, firing}, "", ""},
		{"07-truncated-FALSE-resolved.json", 200, resolved, []string{resolved, resolved}, "", ""},
		{"08-empty-grouplabels.json", 200, firing, []string{firing, firing}, "first notification", "nogroup"},
		{"10-repeat-interval.json", 200, firing, []string{firing}, "repeat interval elapsed", ""},
		{"11-route-labels-quoted-receiver.json", 200, firing, []string{firing}, "first notification", `pd\.prod/eu`},
		{"12-custom-payload.json", 400, "", nil, "", ""},
		{"13a-mute-before.json", 200, firing, []string{firing, firing}, "first notification", ""},
		{"13b-mute-FALSE-resolved.json", 200, resolved, []string{resolved}, "all alerts resolved", ""},
		{"13c-mute-after-unsilence.json", 200, firing, []string{firing}, "first notification", ""},
		{"13d-mute-new-alert-lost-resolve.json", 200, firing, []string{firing}, "", ""},
		{"14-v0.31-no-reason.json", 200, firing, []string{firing}, "", ""},
		{"15a-ha-peer1.json", 200, firing, []string{firing}, "first notification", ""},
		{"15b-ha-peer2-duplicate.json", 200, firing, []string{firing}, "first notification", ""},
		{"16-group-by-all.json", 200, firing, []string{firing}, "first notification", ""},
	}
	for _, tc := range cases {
		t.Run(tc.file, func(t *testing.T) {
			d := open(t, receiver.Config{}, receiver.Access{})
			body := capture(t, tc.file)
			wantCode(t, d.post(body), tc.code)
			var wire struct {
				Status string `json:"status"`
				Alerts []struct {
					Status, Fingerprint string
					Labels, Annotations map[string]string
					StartsAt            time.Time
				}
				NotificationReason string `json:"notification_reason"`
				Receiver           string
			}
			if err := json.Unmarshal([]byte(body), &wire); err != nil {
				t.Fatal(err)
			}
			if wire.Status != tc.status {
				t.Errorf("got group status %q, want %q", wire.Status, tc.status)
			}
			var statuses []string
			for i, o := range d.sink.stored() {
				statuses = append(statuses, o.Alert.Status)
				want := wire.Alerts[i]
				if o.Alert.Fingerprint != want.Fingerprint || !o.Alert.StartsAt.Equal(want.StartsAt) {
					t.Errorf("alert %d: got %s from %v, want %s from %v", i, o.Alert.Fingerprint, o.Alert.StartsAt, want.Fingerprint, want.StartsAt)
				}
				if diff := cmp.Diff(want.Labels, map[string]string(o.Alert.Labels)); diff != "" {
					t.Errorf("alert %d: labels (-want +got):\n%s", i, diff)
				}
				if diff := cmp.Diff(want.Annotations, map[string]string(o.Alert.Annotations)); diff != "" {
					t.Errorf("alert %d: annotations (-want +got):\n%s", i, diff)
				}
				if tc.reason != "" && o.Reason != tc.reason {
					t.Errorf("got reason %q, want %q", o.Reason, tc.reason)
				}
				if tc.receiver != "" && o.Receiver != tc.receiver {
					t.Errorf("got receiver %q, want %q", o.Receiver, tc.receiver)
				}
			}
			if diff := cmp.Diff(tc.alerts, statuses); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHugeBody is capture 09, made here: two alerts, 2.1 MB of annotations.
func TestHugeBody(t *testing.T) {
	long := strings.Repeat(`x\u0026\"{[\\`, 1<<20/13)
	alert := `{"status":"firing","startsAt":"2026-11-21T19:22:33Z","labels":{"alertname":"Huge"},"annotations":{"description":"` + long + `"}}`
	body := `{"version":"4","alerts":[` + alert + "," + alert + "]}"
	d := open(t, receiver.Config{}, receiver.Access{})
	wantCode(t, d.post(body), 200)
	if len(d.sink.stored()) != 2 {
		t.Fatalf("got %d observations, want 2", len(d.sink.stored()))
	}
	if got, want := d.sink.stored()[1].Alert.Annotations["description"], strings.Repeat(`x&"{[\`, 1<<20/13); got != want {
		t.Errorf("got %d bytes of annotation, want %d", len(got), len(want))
	}
}

// TestBodiesDoNotMix: the buffers are used again, so what was decoded must not
// point into them.
func TestBodiesDoNotMix(t *testing.T) {
	d := open(t, receiver.Config{}, receiver.Access{})
	for _, name := range []string{"first", "other"} {
		wantCode(t, d.post(alertBody(`,"labels":{"a":"`+name+`"}`)), 200)
	}
	if got := d.sink.stored()[0].Alert.Labels["a"]; got != "first" {
		t.Errorf("got label %q, want first", got)
	}
}

// TestHostileAnswers: nothing of what is sent comes back, in the answer's body or its headers.
func TestHostileAnswers(t *testing.T) {
	const mark = "MARK"
	bodies := []string{
		`{"version":"` + mark + `\r\nSet-Cookie: a=b"}`,
		`{"version":"4","` + mark + `\n":1}`,
		`{"version":"4","alerts":["` + mark + `\nlevel=error"]}`,
		`{"version":"4","alerts":[{"labels":"` + mark + `\n"}]}`,
		mark + "\r\n\r\n",
	}
	for _, body := range bodies {
		d := open(t, receiver.Config{}, receiver.Access{})
		w := d.post(body, header("Content-Encoding", ""), header("X-"+mark, mark))
		wantCode(t, w, 400)
		wantLine(t, w.Body.String())
		if all := w.Body.String() + fmt.Sprint(w.Header()) + d.logged() + d.metricsText(); strings.Contains(all, mark) {
			t.Errorf("%q: got what was sent back in %s", body, all)
		}
	}
	d := open(t, receiver.Config{}, receiver.Access{})
	w := d.post(oneAlert, header("Content-Encoding", mark))
	wantCode(t, w, 400)
	if strings.Contains(w.Body.String(), mark) {
		t.Errorf("got the header's value in the answer: %q", w.Body)
	}
}

// FuzzDecode: never a panic; what decodes is complete and can be stored; what
// does not is refused with one plain line; the nesting that the byte scanner
// sees is what encoding/json sees.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"01-firing-single.json", "05-utf8-labels.json", "08-empty-grouplabels.json", "12-custom-payload.json", "16-group-by-all.json"} {
		f.Add([]byte(capture(f, name)))
	}
	for _, s := range []string{
		`{"version":"4","alerts":[{"status":"firing","startsAt":"0000-01-01T00:00:00+23:59"}]}`,
		`{"version":"4","alerts":[{"labels":5}],"ALERTS":[]}`, `[[[["]]]]\"{"]]]]`, "\xd0", "\"\\", `{"version":"4","alerts":[{"endsAt":1}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const limit = 8
		if json.Valid(body) && bytes.Count(bytes.ToLower(body), []byte(`alerts`)) < 2 {
			plain, err := receiver.Precheck(body, limit)
			if deep := depth(t, body) > limit; err == nil && deep == plain {
				t.Fatalf("nested %d deep, but got plain %v", depth(t, body), plain)
			}
		}
		g, err := receiver.Decode(body, limit)
		if err != nil {
			wantLine(t, err.Error())
			return
		}
		wantComplete(t, g)
		// What decodes can be written and read again.
		text, err := json.Marshal(g)
		if err != nil {
			t.Fatalf("got a group that cannot be written: %v", err)
		}
		again, err := receiver.Decode(text, limit)
		if err != nil {
			t.Fatalf("got a group that cannot be read again: %v", err)
		}
		if !reflect.DeepEqual(g.Alerts, again.Alerts) { // much faster than cmp.
			t.Fatalf("alerts changed (-first +again):\n%s", cmp.Diff(g.Alerts, again.Alerts))
		}
	})
}

// FuzzTestDoor is the same for the list of alerts that amtool posts.
func FuzzTestDoor(f *testing.F) {
	for _, s := range []string{
		`[{"labels":{"a":"b"},"annotations":{},"startsAt":"0001-01-01T00:00:00.000Z","endsAt":"0001-01-01T00:00:00.000Z","generatorURL":""}]`,
		`[{"labels":{"a":"b"},"endsAt":"9999-12-31T23:59:59-23:59"},{"labels":{"":""}}]`, `[null,{}]`, `{}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		groups, err := receiver.DecodePosted(body, 8, time.Unix(1e9, 0))
		if err != nil {
			wantLine(t, err.Error())
		}
		for _, g := range groups {
			wantComplete(t, g)
			if _, err := json.Marshal(g); err != nil || len(g.Alerts) != 1 || g.Origin != mapping.OriginTest {
				t.Errorf("got %+v, %v", g, err)
			}
		}
	})
}

// wantComplete checks what decoding promises of its result.
func wantComplete(t *testing.T, g *mapping.Group) {
	t.Helper()
	if g.Version != "4" || g.Alerts == nil || g.GroupLabels == nil || g.CommonLabels == nil || g.CommonAnnotations == nil || g.RouteLabels == nil {
		t.Errorf("got an incomplete group: %+v", g)
	}
	for _, a := range g.Alerts {
		if a.Status != mapping.Firing && a.Status != mapping.Resolved || a.Labels == nil || a.Annotations == nil ||
			len(a.Fingerprint) != 16 || a.StartsAt.Location() != time.UTC {
			t.Errorf("got an incomplete alert: %+v", a)
		}
	}
}

// depth is how deep encoding/json finds body nested.
func depth(t *testing.T, body []byte) int {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	deepest, now := 0, 0
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return deepest
		}
		if err != nil {
			t.Fatalf("valid JSON, but: %v", err)
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			now++
			deepest = max(deepest, now)
		case json.Delim('}'), json.Delim(']'):
			now--
		}
	}
}

// TestAnswersOverHTTP: a real server and client see what the handler said.
func TestAnswersOverHTTP(t *testing.T) {
	d := open(t, receiver.Config{}, receiver.Access{})
	d.sink.failWith(errDisk)
	srv := serve(t, d.mux)
	resp, err := srv.Client().Post(srv.URL+receiver.PathWebhook, "application/json", strings.NewReader(oneAlert))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || strings.HasSuffix(string(body), "\n") {
		t.Errorf("got %s %v %q, want 503 with Retry-After and a line without its end", resp.Status, resp.Header, body)
	}
}
