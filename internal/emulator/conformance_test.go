package emulator_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/conformance"
)

// Every answer that PagerDuty describes, as the emulator gives it, and one of
// every kind of request that it accepts.
func TestConformanceOfTheEmulator(t *testing.T) {
	spec := conformance.Events(t)
	changeBody := `{"routing_key":"` + key + `","payload":{"summary":"deploy","source":"ci"}}`
	for _, tc := range []struct {
		name, path, body string
		good             bool // the request conforms too.
		fault            int
		limit            string
		code             int
	}{
		{name: "trigger", path: "/v2/enqueue", body: triggerBody(key, "k", "error"), good: true, code: 202},
		{name: "trigger without a key", path: "/v2/enqueue", body: triggerBody(key, "", "error"), good: true, code: 202},
		{name: "acknowledge", path: "/v2/enqueue", body: actBody(key, "acknowledge", "k"), good: true, code: 202},
		{name: "resolve", path: "/v2/enqueue", body: actBody(key, "resolve", "k"), good: true, code: 202},
		{name: "change", path: "/v2/change/enqueue", body: changeBody, good: true, code: 202},
		{name: "bad severity", path: "/v2/enqueue", body: triggerBody(key, "k", "none"), code: 400},
		{name: "bad change", path: "/v2/change/enqueue", body: `{"routing_key":"` + key + `"}`, code: 400},
		{name: "not JSON", path: "/v2/enqueue", body: `{`, code: 400},
		{name: "unknown key", path: "/v2/enqueue", body: triggerBody(strings.Repeat("0", 32), "k", "error"), good: true, code: 400},
		{name: "throttled", path: "/v2/enqueue", body: triggerBody(key, "k", "error"), good: true, limit: "events_per_minute: 1", code: 429},
		{name: "throttled by a fault", path: "/v2/enqueue", body: triggerBody(key, "k", "error"), good: true, fault: 429, code: 429},
		{name: "server error", path: "/v2/enqueue", body: triggerBody(key, "k", "error"), good: true, fault: 500, code: 500},
		{name: "unavailable", path: "/v2/change/enqueue", body: changeBody, good: true, fault: 503, code: 503},
	} {
		t.Run(tc.name, func(t *testing.T) {
			limit := "unlimited: true"
			if tc.limit != "" {
				limit = tc.limit
			}
			e := newEmulator(t, strings.Replace(account, "unlimited: true", limit, 1), emulator.Options{})
			if tc.limit != "" {
				post(t, e, triggerBody(key, "first", "error"))
			}
			if tc.fault != 0 {
				setFaults(t, e, emulator.Fault{Do: emulator.DoAnswer, Status: tc.fault})
			}
			r := httptest.NewRequest(http.MethodPost, tc.path, strings.NewReader(tc.body))
			r.Header.Set("Content-Type", "application/json")
			if err := spec.CheckRequest(r, []byte(tc.body)); (err == nil) != tc.good {
				t.Errorf("request: got %v, want good %v", err, tc.good)
			}
			w := httptest.NewRecorder()
			e.Handler().ServeHTTP(w, r)
			if w.Code != tc.code {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, tc.code)
			}
			if err := spec.CheckAnswer(r, w.Code, w.Header(), w.Body.Bytes()); err != nil {
				t.Errorf("answer %d %s: %v", w.Code, w.Body, err)
			}
		})
	}
}

// Whatever PagerDuty's schema refuses, the emulator has to refuse too, or tests
// against it would pass with events that PagerDuty would not take.
func FuzzConformanceOfAcceptance(f *testing.F) {
	spec := conformance.Events(f)
	for _, s := range []string{
		triggerBody(key, "k", "critical"), actBody(key, "resolve", "k"), triggerBody(key, "k", "none"),
		`{"routing_key":"` + key + `","event_action":"trigger","payload":{"summary":"s","source":"h","severity":"info","custom_details":[]}}`,
		`{"routing_key":"` + key + `","event_action":"trigger","payload":{"summary":"s","source":"h","severity":"info","class":1}}`,
		`{"routing_key":"` + key + `","event_action":"resolve","dedup_key":"k","links":[{"text":"x"}]}`,
		`{"routing_key":"` + key + `","event_action":"resolve","dedup_key":"k","images":{}}`,
		`{"routing_key":"` + key + `","event_action":"resolve","dedup_key":"k","client":7}`,
	} {
		f.Add([]byte(s))
	}
	cfg, err := emulator.Parse([]byte(account))
	if err != nil {
		f.Fatal(err)
	}
	e, err := emulator.New(*cfg, emulator.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e.Reset()
		// Known and meant: null stands for absent, and times as in PagerDuty's own
		// examples are taken, neither of which its schema allows.
		if strings.Contains(string(body), "null") || strings.Contains(string(body), "timestamp") {
			t.Skip()
		}
		r := httptest.NewRequest(http.MethodPost, "/v2/enqueue", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		e.Handler().ServeHTTP(w, r)
		if err := spec.CheckRequest(r, body); err != nil && w.Code == http.StatusAccepted {
			t.Errorf("the emulator accepts %s, which does not conform: %v", body, err)
		}
	})
}
