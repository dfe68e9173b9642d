// Package conformance holds programs to PagerDuty's own descriptions of its
// Events API v2 and of REST (OpenAPI), which are not part of this repository.
// Only tests import it.
//
// The descriptions leave holes, and these are filled here; for REST see there.
// That of the Events API gives no lengths
// (summary 1024 characters, dedup_key 255: Events API v2, "Send an alert
// event"), it does not require dedup_key to acknowledge and resolve, and its
// answers 400 and 429 have no schema because of a defect in it
// (PagerDuty/api-schema issue 263). A 400 is therefore held to the schema of
// components/responses/Error, which its text names, or is the plain text
// "Invalid routing key"; the body of a 429 is documented nowhere, and is only
// checked to be JSON if it says so.
package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

const (
	dirEnv      = "PAGERDUTY_SPEC"          // the folder that holds the descriptions.
	requiredEnv = "PAGERDUTY_SPEC_REQUIRED" // 1: their absence fails the test.
	eventsFile  = "events-v2.json"
	eventsBase  = "/v2" // the path of the description's server.

	maxSummary  = 1024
	maxDedupKey = 255
)

// Spec is a description that requests and answers are checked against. It is
// safe for concurrent use.
type Spec struct {
	doc    *openapi3.T
	base   string
	router routers.Router // of REST; nil for the Events API, whose paths have no variables.

	requests, answers atomic.Int64
}

// Events loads the description of the Events API v2. Without PAGERDUTY_SPEC, or
// without the file in it, the test is skipped, or fails if
// PAGERDUTY_SPEC_REQUIRED is 1. A relative folder is relative to the repository.
func Events(t testing.TB) *Spec {
	t.Helper()
	s, err := load(file(t, eventsFile), eventsBase)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// file is the path of a description.
func file(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv(dirEnv)
	if dir == "" {
		missing(t, "PagerDuty's OpenAPI files are not here: set "+dirEnv+" to their folder (make conformance SPEC=dir)")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(Root(t), dir)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		missing(t, dirEnv+" holds no "+name)
	}
	return path
}

func missing(t testing.TB, message string) {
	t.Helper()
	if os.Getenv(requiredEnv) == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// Root is the folder of the repository: tests run in that of their package.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the working directory")
		}
	}
}

func load(path, base string) (*Spec, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	// PagerDuty's own examples have times that are no RFC 3339 ("+0000").
	if err := doc.Validate(context.Background(), openapi3.DisableExamplesValidation()); err != nil {
		return nil, fmt.Errorf("validate %s: %w", path, err)
	}
	return &Spec{doc: doc, base: base}, nil
}

// Checked is how many requests and answers were checked; a test that relies on
// the checks makes sure that there were some.
func (s *Spec) Checked() (requests, answers int) {
	return int(s.requests.Load()), int(s.answers.Load())
}

// route finds the operation of r.
func (s *Spec) route(r *http.Request) (*openapi3filter.RequestValidationInput, error) {
	options := &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true, AuthenticationFunc: authenticated}
	if s.router != nil {
		route, params, err := s.router.FindRoute(r)
		if err != nil {
			return nil, fmt.Errorf("%s %s is not described: %w", r.Method, r.URL.Path, err)
		}
		return &openapi3filter.RequestValidationInput{Request: r, Route: route, PathParams: params, Options: options}, nil
	}
	path, ok := strings.CutPrefix(r.URL.Path, s.base)
	item := s.doc.Paths.Find(path)
	if !ok || item == nil {
		return nil, fmt.Errorf("path %s is not described", r.URL.Path)
	}
	op := item.GetOperation(r.Method)
	if op == nil {
		return nil, fmt.Errorf("%s %s is not described", r.Method, r.URL.Path)
	}
	return &openapi3filter.RequestValidationInput{
		Request: r,
		Route:   &routers.Route{Spec: s.doc, Path: path, PathItem: item, Method: r.Method, Operation: op},
		Options: options,
	}, nil
}

// CheckRequest says what is wrong with a request whose body is body.
func (s *Spec) CheckRequest(r *http.Request, body []byte) error {
	s.requests.Add(1)
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	input, err := s.route(r)
	if err != nil {
		return err
	}
	if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil || s.router != nil {
		return err
	}
	return checkLimits(body)
}

// checkLimits is what PagerDuty's text says and its schema does not.
func checkLimits(body []byte) error {
	var e struct {
		Action   string `json:"event_action"`
		DedupKey string `json:"dedup_key"`
		Payload  struct {
			Summary string `json:"summary"`
			Source  string `json:"source"`
		} `json:"payload"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("parse event: %w", err)
	}
	var errs []error
	if n := utf8.RuneCountInString(e.Payload.Summary); n > maxSummary {
		errs = append(errs, fmt.Errorf("payload.summary has %d characters, at most %d are allowed", n, maxSummary))
	}
	if n := utf8.RuneCountInString(e.DedupKey); n > maxDedupKey {
		errs = append(errs, fmt.Errorf("dedup_key has %d characters, at most %d are allowed", n, maxDedupKey))
	}
	if e.Action == "trigger" && (strings.TrimSpace(e.Payload.Summary) == "" || strings.TrimSpace(e.Payload.Source) == "") {
		errs = append(errs, errors.New("payload.summary or payload.source is blank"))
	}
	if (e.Action == "acknowledge" || e.Action == "resolve") && e.DedupKey == "" {
		errs = append(errs, fmt.Errorf("dedup_key is missing from %s", e.Action))
	}
	return errors.Join(errs...)
}

// CheckAnswer says what is wrong with an answer to r. A status that the
// description does not have is an error.
func (s *Spec) CheckAnswer(r *http.Request, status int, header http.Header, body []byte) error {
	s.answers.Add(1)
	input, err := s.route(r)
	if err != nil {
		return err
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: status, Header: header, Options: input.Options,
	}
	if err := openapi3filter.ValidateResponse(r.Context(), out.SetBodyBytes(body)); err != nil {
		return err
	}
	if s.router != nil {
		return nil
	}
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	switch {
	case status == http.StatusBadRequest && mediaType == "text/plain":
		if strings.TrimSpace(string(body)) != "Invalid routing key" {
			return fmt.Errorf("a plain text 400 says %q; only \"Invalid routing key\" is known", body)
		}
	case status == http.StatusBadRequest:
		return s.checkError(body)
	case status == http.StatusTooManyRequests && mediaType == "application/json" && !json.Valid(body):
		return fmt.Errorf("429 is not the JSON it says it is: %q", body)
	}
	return nil
}

func (s *Spec) checkError(body []byte) error {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return fmt.Errorf("parse 400: %w", err)
	}
	response := s.doc.Components.Responses["Error"]
	if response == nil || response.Value.Content.Get("application/json") == nil {
		return errors.New("the description has no components/responses/Error")
	}
	if err := response.Value.Content.Get("application/json").Schema.Value.VisitJSON(v); err != nil {
		return fmt.Errorf("400: %w", err)
	}
	return nil
}

// Validate returns a RoundTripper that sends through next, and reports every
// request and answer that does not conform as an error of t. Use Requests where
// answers are faulty on purpose.
func Validate(t testing.TB, s *Spec, next http.RoundTripper) http.RoundTripper {
	return roundTripper{t: t, spec: s, next: next, answers: true}
}

// Requests is Validate for requests alone.
func Requests(t testing.TB, s *Spec, next http.RoundTripper) http.RoundTripper {
	return roundTripper{t: t, spec: s, next: next}
}

type roundTripper struct {
	t       testing.TB
	spec    *Spec
	next    http.RoundTripper
	answers bool
}

// RoundTrip is http.RoundTripper's.
func (rt roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := drain(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read request body: %w", err)
	}
	if err := rt.spec.CheckRequest(r, body); err != nil {
		rt.t.Errorf("%s %s does not conform: %v", r.Method, r.URL.Path, err)
	}
	out := r.Clone(r.Context())
	out.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := rt.next.RoundTrip(out)
	if err != nil || !rt.answers {
		return resp, err
	}
	answer, err := drain(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if err := rt.spec.CheckAnswer(r, resp.StatusCode, resp.Header, answer); err != nil {
		rt.t.Errorf("answer %d to %s %s does not conform: %v", resp.StatusCode, r.Method, r.URL.Path, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	return resp, nil
}

// Handler returns a handler that serves with next, and reports every request for
// a described path and every answer to one that does not conform as an error of
// t. Other paths pass unchecked.
func Handler(t testing.TB, s *Spec, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.route(r); err != nil {
			next.ServeHTTP(w, r)
			return
		}
		body, err := drain(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the client left.
		}
		if err := s.CheckRequest(r, body); err != nil {
			t.Errorf("%s %s does not conform: %v", r.Method, r.URL.Path, err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		tee := &teeWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(tee, r)
		if err := s.CheckAnswer(r, tee.status, w.Header(), tee.body.Bytes()); err != nil {
			t.Errorf("answer %d to %s %s does not conform: %v", tee.status, r.Method, r.URL.Path, err)
		}
	})
}

type teeWriter struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// Unwrap lets http.ResponseController reach the connection.
func (w *teeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader is http.ResponseWriter's.
func (w *teeWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write is http.ResponseWriter's.
func (w *teeWriter) Write(p []byte) (int, error) {
	w.body.Write(p)
	return w.ResponseWriter.Write(p)
}

func drain(body io.ReadCloser) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	b, err := io.ReadAll(body)
	return b, errors.Join(err, body.Close())
}
