package conformance_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pagerelay/pagerelay/internal/lab/conformance"
)

const key = "0123456789abcdef0123456789abcdef"

func request(t *testing.T, path, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return r
}

// The checks have to find faults, or their silence elsewhere means nothing.
func TestConformanceOfRequests(t *testing.T) {
	spec := conformance.Events(t)
	trigger := func(payload string) string {
		return fmt.Sprintf(`{"routing_key":%q,"event_action":"trigger","dedup_key":"k","payload":%s}`, key, payload)
	}
	good := `{"summary":"s","source":"h","severity":"critical","timestamp":"2026-01-02T03:04:05Z","custom_details":{"a":[1]}}`
	for _, tc := range []struct {
		name, path, body string
		ok               bool
	}{
		{"trigger", "/v2/enqueue", trigger(good), true},
		{"resolve without payload", "/v2/enqueue", `{"routing_key":"k","event_action":"resolve","dedup_key":"x"}`, true},
		{"change", "/v2/change/enqueue", `{"routing_key":"k","payload":{"summary":"s"}}`, true},
		{"unknown severity", "/v2/enqueue", trigger(`{"summary":"s","source":"h","severity":"none"}`), false},
		{"no source", "/v2/enqueue", trigger(`{"summary":"s","severity":"info"}`), false},
		{"blank source", "/v2/enqueue", trigger(`{"summary":"s","source":" ","severity":"info"}`), false},
		{"details an array", "/v2/enqueue", trigger(`{"summary":"s","source":"h","severity":"info","custom_details":[]}`), false},
		{"link without href", "/v2/enqueue", strings.TrimSuffix(trigger(good), "}") + `,"links":[{"text":"x"}]}`, false},
		{"unknown action", "/v2/enqueue", `{"routing_key":"k","event_action":"close","dedup_key":"x"}`, false},
		{"no dedup key", "/v2/enqueue", `{"routing_key":"k","event_action":"resolve"}`, false},
		{"long dedup key", "/v2/enqueue", `{"routing_key":"k","event_action":"resolve","dedup_key":"` + strings.Repeat("é", 256) + `"}`, false},
		{"longest dedup key", "/v2/enqueue", `{"routing_key":"k","event_action":"resolve","dedup_key":"` + strings.Repeat("é", 255) + `"}`, true},
		{"long summary", "/v2/change/enqueue", `{"routing_key":"k","payload":{"summary":"` + strings.Repeat("s", 1025) + `"}}`, false},
		{"change without summary", "/v2/change/enqueue", `{"routing_key":"k","payload":{}}`, false},
		{"not JSON", "/v2/enqueue", `{`, false},
		{"another path", "/enqueue", trigger(good), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := spec.CheckRequest(request(t, tc.path, tc.body), []byte(tc.body))
			if (err == nil) != tc.ok {
				t.Errorf("got %v, want ok %v", err, tc.ok)
			}
		})
	}
}

func TestConformanceOfAnswers(t *testing.T) {
	spec := conformance.Events(t)
	for _, tc := range []struct {
		name   string
		status int
		typ    string
		body   string
		ok     bool
	}{
		{"accepted", 202, "application/json", `{"status":"success","message":"Event processed","dedup_key":"k"}`, true},
		{"accepted without status", 202, "application/json", `{"message":"Event processed"}`, false},
		{"accepted as text", 202, "text/html", `<p>ok`, false},
		{"refused", 400, "application/json", `{"status":"invalid event","message":"m","errors":["e"]}`, true},
		{"refused without message", 400, "application/json", `{"status":"invalid event"}`, false},
		{"errors not texts", 400, "application/json", `{"status":"invalid event","message":"m","errors":[1]}`, false},
		{"unknown key", 400, "text/plain", "Invalid routing key", true},
		{"other text", 400, "text/plain", "Bad Request", false},
		{"throttled", 429, "text/plain", "slow down", true},
		{"throttled, broken", 429, "application/json", "slow down", false},
		{"server error", 500, "application/json", `{"status":"error","message":"m"}`, true},
		{"server error without message", 503, "application/json", `{}`, false},
		{"undescribed", 200, "application/json", `{"status":"success"}`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := spec.CheckAnswer(request(t, "/v2/enqueue", ""), tc.status, http.Header{"Content-Type": {tc.typ}}, []byte(tc.body))
			if (err == nil) != tc.ok {
				t.Errorf("got %v, want ok %v", err, tc.ok)
			}
		})
	}
}

// spy takes the errors that a check reports in place of the test.
type spy struct {
	testing.TB
	errors int
}

func (s *spy) Errorf(string, ...any) { s.errors++ }

func TestConformanceWrappers(t *testing.T) {
	spec := conformance.Events(t)
	server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err != nil || len(b) == 0 {
			t.Errorf("the wrapped handler read %q, %v; want the body", b, err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"status":"success"}`)
	})
	good := `{"routing_key":"k","event_action":"resolve","dedup_key":"x"}`
	for _, tc := range []struct {
		name, body   string
		answerStatus int
		requestsOnly bool
		want         int
	}{
		{name: "both good", body: good, answerStatus: 202},
		{name: "bad request", body: `{"routing_key":"k"}`, answerStatus: 202, want: 1},
		{name: "bad answer", body: good, answerStatus: 200, want: 1},
		{name: "bad answer, requests only", body: good, answerStatus: 200, requestsOnly: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &spy{TB: t}
			next := roundTrip(func(r *http.Request) (*http.Response, error) {
				b, err := io.ReadAll(r.Body)
				if string(b) != tc.body || err != nil {
					t.Errorf("next read %q, %v; want the body", b, err)
				}
				return &http.Response{
					StatusCode: tc.answerStatus, Header: http.Header{"Content-Type": {"application/json"}},
					Body: io.NopCloser(strings.NewReader(`{"status":"success"}`)),
				}, nil
			})
			wrap := conformance.Validate
			if tc.requestsOnly {
				wrap = conformance.Requests
			}
			resp, err := wrap(s, spec, next).RoundTrip(request(t, "/v2/enqueue", tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(resp.Body); string(b) != `{"status":"success"}` {
				t.Errorf("got answer %q, want it whole", b)
			}
			if s.errors != tc.want {
				t.Errorf("got %d errors, want %d", s.errors, tc.want)
			}
		})
	}
	s := &spy{TB: t}
	w := &discard{header: http.Header{}}
	conformance.Handler(s, spec, server).ServeHTTP(w, request(t, "/v2/enqueue", `{"routing_key":"k"}`))
	if s.errors != 1 || w.status != http.StatusAccepted {
		t.Errorf("handler: got %d errors and status %d, want 1 and 202", s.errors, w.status)
	}
	if requests, answers := spec.Checked(); requests < 5 || answers < 4 {
		t.Errorf("got %d requests and %d answers checked, want at least 5 and 4", requests, answers)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
