package emulator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

func invalid(errs ...string) string {
	return `{"status":"invalid event","message":"Event object is invalid","errors":["` + strings.Join(errs, `","`) + `"]}`
}

func TestValidation(t *testing.T) {
	const unparsed = `{"status":"Unrecognized object","message":"Event object format is unrecognized","errors":["JSON parse error"]}`
	const severity = `'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')`
	with := func(field, value string) string {
		return fmt.Sprintf(`{"routing_key":%q,"event_action":"trigger","dedup_key":"k","payload":{"summary":"s","source":"h","severity":"info"},%q:%s}`,
			key, field, value)
	}
	payload := func(p string) string {
		return fmt.Sprintf(`{"routing_key":%q,"event_action":"trigger","payload":%s}`, key, p)
	}
	accepted := `{"status":"success","message":"Event processed","dedup_key":"k"}`
	for _, tc := range []struct {
		name, body string
		code       int
		want       string
	}{
		{"trigger", triggerBody(key, "k", "info"), 202, accepted},
		{"unknown fields pass", with("future", "[1]"), 202, accepted},
		{"null is absent", with("links", "null"), 202, accepted},
		{"longest dedup key", triggerBody(key, strings.Repeat("é", 255), "info"), 202, ""},
		{"longest summary", payload(`{"summary":"` + strings.Repeat("é", 1024) + `","source":"h","severity":"info"}`), 202, ""},
		{"time as PagerDuty's examples have it", payload(`{"summary":"s","source":"h","severity":"info","timestamp":"2015-07-17T08:42:58.315+0000"}`), 202, ""},

		{"not JSON", `{"routing_key":`, 400, unparsed},
		{"an array", `[]`, 400, unparsed},
		{"null", `null`, 400, unparsed},
		{"nothing", ``, 400, unparsed},
		{"two values", triggerBody(key, "k", "info") + `{}`, 400, unparsed},
		{"not UTF-8", strings.Replace(triggerBody(key, "k", "info"), "disk", "\xff", 1), 400, unparsed},

		{"no routing key", `{"event_action":"resolve","dedup_key":"k"}`, 400, invalid("'routing_key' is missing or blank")},
		{"another case of the name", `{"Routing_Key":"` + key + `","event_action":"resolve","dedup_key":"k"}`, 400, invalid("'routing_key' is missing or blank")},
		{"short routing key", actBody("abc", "resolve", "k"), 400, invalid("Length of 'routing_key' is incorrect (should be 32 characters)")},
		{"routing key with a dash", actBody(key[:31]+"-", "resolve", "k"), 400, invalid("'routing_key' cannot contain non-alphanumeric characters.")},
		{"routing key wrong twice", actBody("a-b", "resolve", "k"), 400, invalid(
			"Length of 'routing_key' is incorrect (should be 32 characters)", "'routing_key' cannot contain non-alphanumeric characters.")},
		{"unknown routing key", actBody(strings.Repeat("0", 32), "resolve", "k"), 400, "Invalid routing key"},

		{"no action", `{"routing_key":"` + key + `","dedup_key":"k"}`, 400, invalid("'event_action' is missing or blank")},
		{"unknown action", actBody(key, "close", "k"), 400, invalid("'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge' or 'resolve')")},
		{"acknowledge without dedup key", actBody(key, "acknowledge", ""), 400, invalid("'dedup_key' is missing or blank")},
		{"resolve without dedup key", actBody(key, "resolve", ""), 400, invalid("'dedup_key' is missing or blank")},
		{"long dedup key", triggerBody(key, strings.Repeat("é", 256), "info"), 400, invalid("'dedup_key' is too long (maximum is 255 characters)")},
		{"dedup key a number", strings.Replace(triggerBody(key, "k", "info"), `"k"`, `7`, 1), 400, invalid("'dedup_key' is invalid (must be a string)")},

		{"no payload", `{"routing_key":"` + key + `","event_action":"trigger"}`, 400, invalid("'payload' is missing or blank")},
		{"payload an array", payload(`[]`), 400, invalid("'payload' is invalid (must be an object)")},
		{"empty payload", payload(`{}`), 400, invalid("'payload.summary' is missing or blank", "'payload.source' is missing or blank", "'payload.severity' is missing or blank")},
		{"blank source", payload(`{"summary":"s","source":" ","severity":"info"}`), 400, invalid("'payload.source' is missing or blank")},
		{"unknown severity", triggerBody(key, "k", "page"), 400, invalid(severity)},
		{"severity in capitals", triggerBody(key, "k", "Critical"), 400, invalid(severity)},
		{"long summary", payload(`{"summary":"` + strings.Repeat("é", 1025) + `","source":"h","severity":"info"}`), 400, invalid("'summary' is too long (maiximum is 1024 characters)")},
		{"bad time", payload(`{"summary":"s","source":"h","severity":"info","timestamp":"yesterday"}`), 400, invalid("'payload.timestamp' is invalid (must be an ISO 8601 date and time)")},
		{"details an array", payload(`{"summary":"s","source":"h","severity":"info","custom_details":[1]}`), 400, invalid("'payload.custom_details' is invalid (must be an object)")},
		{"links an object", with("links", `{}`), 400, invalid("'links' is invalid (must be an array of objects)")},
		{"link without href", with("links", `[{"text":"x"}]`), 400, invalid("'links[0].href' is missing or blank")},
		{"image without src", with("images", `[{"src":"https://x"},{}]`), 400, invalid("'images[1].src' is missing or blank")},
		{"bad payload of a resolve", `{"routing_key":"` + key + `","event_action":"resolve","dedup_key":"k","payload":{"summary":"s","source":"h","severity":"none"}}`, 400, invalid(severity)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEmulator(t, account, emulator.Options{})
			got := post(t, e, tc.body)
			if got.code != tc.code || tc.want != "" && got.body != tc.want {
				t.Errorf("got %d %s, want %d %s", got.code, got.body, tc.code, tc.want)
			}
			wantType := "application/json"
			if tc.want == "Invalid routing key" {
				wantType = "text/plain; charset=utf-8"
			}
			if typ := got.header.Get("Content-Type"); typ != wantType {
				t.Errorf("got type %q, want %q", typ, wantType)
			}
			if c := e.Counts(); c.Total != 1 || (c.Accepted == 1) != (tc.code == 202) || (c.Refused == 1) != (tc.code == 400) {
				t.Errorf("got counts %+v", c)
			}
			if n := len(e.Incidents()); n != 0 && tc.code != 202 {
				t.Errorf("got %d incidents from a refused event", n)
			}
		})
	}
}

func TestDedupKeyIsMade(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	a, b := post(t, e, triggerBody(key, "", "info")).dedupKey(t), post(t, e, triggerBody(key, "", "info")).dedupKey(t)
	if a == "" || a == b {
		t.Errorf("got keys %q and %q, want two different ones", a, b)
	}
	list := e.Incidents()
	if len(list) != 2 || list[0].DedupKey != a || list[1].DedupKey != b {
		t.Errorf("got incidents %+v, want one for each key", list)
	}
	wantOutcome(t, e, actBody(key, "resolve", a), emulator.DidResolve)
}

func TestRequestSize(t *testing.T) {
	body := func(n int) string {
		b := triggerBody(key, "k", "info")
		return b + strings.Repeat(" ", n-len(b))
	}
	e := newEmulator(t, account, emulator.Options{})
	if got := post(t, e, body(512_000)); got.code != 202 {
		t.Errorf("512000 bytes: got %d, want 202", got.code)
	}
	if got := post(t, e, body(512_001)); got.code != 413 {
		t.Errorf("512001 bytes: got %d, want 413", got.code)
	}
	if got := e.Counts().ByOutcome[emulator.TooLarge]; got != 1 {
		t.Errorf("got %d too large, want 1", got)
	}
	e = newEmulator(t, strings.Replace(account, "unlimited: true", "unlimited: true, request_bytes: 1000, oversize_status: 400", 1), emulator.Options{})
	if got := post(t, e, body(1001)); got.code != 400 {
		t.Errorf("configured: got %d, want 400", got.code)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	for _, tc := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "/v2/enqueue", 405},
		{http.MethodPut, "/v2/enqueue", 405},
		{http.MethodGet, "/v2/change/enqueue", 405},
		{http.MethodPost, "/v2/enqueue/", 404},
		{http.MethodPost, "/enqueue", 404},
		{http.MethodPost, "/", 405},
	} {
		if got := mustDo(t, e, tc.method, tc.path, triggerBody(key, "k", "info")); got.code != tc.want {
			t.Errorf("%s %s: got %d, want %d", tc.method, tc.path, got.code, tc.want)
		}
	}
	if n := e.Counts().Total; n != 0 {
		t.Errorf("got %d requests counted, want 0", n)
	}
}

func TestChangeEvents(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	change := func(body string) answer { return mustDo(t, e, http.MethodPost, "/v2/change/enqueue", body) }
	got := change(`{"routing_key":"` + key + `","payload":{"summary":"deploy","source":"ci","custom_details":{"n":1}},"links":[{"href":"https://ci/1","text":"build"}]}`)
	if want := `{"status":"success","message":"Change event processed"}`; got.code != 202 || got.body != want {
		t.Errorf("got %d %s, want 202 %s", got.code, got.body, want)
	}
	for _, tc := range []struct{ name, body, want string }{
		{"no summary", `{"routing_key":"` + key + `","payload":{}}`, invalid("'payload.summary' is missing or blank")},
		{"no payload", `{"routing_key":"` + key + `"}`, invalid("'payload' is missing or blank")},
		{"unknown key", `{"routing_key":"` + strings.Repeat("0", 32) + `","payload":{"summary":"s"}}`, "Invalid routing key"},
	} {
		if got := change(tc.body); got.code != 400 || got.body != tc.want {
			t.Errorf("%s: got %d %s, want 400 %s", tc.name, got.code, got.body, tc.want)
		}
	}
	changes := e.Changes()
	if len(changes) != 1 {
		t.Fatalf("got %d changes, want 1", len(changes))
	}
	want := emulator.Change{
		At: changes[0].At, Service: "infra", ServiceID: "PS1", RoutingKey: key, MaskedKey: "****cdef", Summary: "deploy", Source: "ci",
		Detail: emulator.Detail{CustomDetails: []byte(`{"n":1}`), Links: []emulator.Link{{Href: "https://ci/1", Text: "build"}}},
	}
	if diff := cmp.Diff(want, changes[0]); diff != "" {
		t.Errorf("change (-want +got):\n%s", diff)
	}
	if n := len(e.Incidents()); n != 0 {
		t.Errorf("got %d incidents, want none: a change never notifies", n)
	}
}
