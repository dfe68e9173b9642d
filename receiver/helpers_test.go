package receiver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/pagerelay/pagerelay/mapping"
	"github.com/pagerelay/pagerelay/receiver"
)

// oneToOne is a router that makes one observation of each alert.
type oneToOne struct{ faults []mapping.Fault }

func (o oneToOne) Route(g *mapping.Group) []mapping.Observation {
	obs := make([]mapping.Observation, 0, len(g.Alerts))
	for _, a := range g.Alerts {
		obs = append(obs, mapping.Observation{
			Service: "svc", DedupKey: a.Fingerprint, Rule: "all", Alert: a, Origin: g.Origin,
			Receiver: g.Receiver, ExternalURL: g.ExternalURL, GroupKey: g.GroupKey,
			GroupLabels: g.GroupLabels, Reason: g.NotificationReason, Faults: o.faults,
		})
	}
	return obs
}

// forgetful is a router that loses the last alert.
type forgetful struct{ oneToOne }

func (f forgetful) Route(g *mapping.Group) []mapping.Observation {
	obs := f.oneToOne.Route(g)
	return obs[:len(obs)-1]
}

// memorySink remembers what it was given, unless err says that it cannot.
type memorySink struct {
	mu    sync.Mutex
	err   error
	calls int
	obs   []mapping.Observation
}

func (s *memorySink) Observe(_ context.Context, obs []mapping.Observation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.err != nil {
		return s.err
	}
	s.obs = append(s.obs, obs...)
	return nil
}

// failWith makes the sink fail from now on.
func (s *memorySink) failWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// stored is what the sink was given.
func (s *memorySink) stored() []mapping.Observation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.obs)
}

// door is a receiver and everything that can be seen of it from outside.
type door struct {
	t    *testing.T
	recv *receiver.Receiver
	mux  *http.ServeMux
	sink *memorySink
	reg  *prometheus.Registry

	mu        sync.Mutex
	log       bytes.Buffer
	truncated []string
	faults    []mapping.Fault
}

// Write is the log's.
func (d *door) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(b)
}

func (d *door) logged() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

func newDoor(t *testing.T, cfg receiver.Config) *door {
	t.Helper()
	d := &door{t: t, sink: &memorySink{}, reg: prometheus.NewPedanticRegistry(), mux: http.NewServeMux()}
	cfg.Logger = slog.New(slog.NewTextHandler(d, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.Registerer = d.reg
	cfg.OnTruncated = func(reason string) { d.truncated = append(d.truncated, reason) }
	cfg.OnFault = func(f mapping.Fault) { d.faults = append(d.faults, f) }
	recv, err := receiver.New(d.sink, cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.recv = recv
	recv.Register(d.mux)
	return d
}

// open is a door with the policy set.
func open(t *testing.T, cfg receiver.Config, access receiver.Access) *door {
	t.Helper()
	d := newDoor(t, cfg)
	if err := d.recv.SetPolicy(oneToOne{}, access); err != nil {
		t.Fatal(err)
	}
	return d
}

type option func(*http.Request)

func bearer(token string) option {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func header(name, value string) option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func method(m string) option { return func(r *http.Request) { r.Method = m } }

// send posts body to path.
func (d *door) send(path string, body io.Reader, opts ...option) *httptest.ResponseRecorder {
	d.t.Helper()
	req := httptest.NewRequest(http.MethodPost, path, body)
	req.Header.Set("Content-Type", "application/json")
	for _, o := range opts {
		o(req)
	}
	w := httptest.NewRecorder()
	d.mux.ServeHTTP(w, req)
	return w
}

func (d *door) post(body string, opts ...option) *httptest.ResponseRecorder {
	d.t.Helper()
	return d.send(receiver.PathWebhook, strings.NewReader(body), opts...)
}

// metricsText is what a scrape would show.
func (d *door) metricsText() string {
	d.t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			d.t.Fatal(err)
		}
	}
	return b.String()
}

func (d *door) wantMetric(line string) {
	d.t.Helper()
	if !strings.Contains(d.metricsText(), line+"\n") {
		d.t.Errorf("got no metric %q in\n%s", line, d.metricsText())
	}
}

func wantCode(t *testing.T, w *httptest.ResponseRecorder, code int) {
	t.Helper()
	if w.Code != code {
		t.Errorf("got %d %q, want %d", w.Code, w.Body, code)
	}
}

// wantLine checks that the body is one clear line for somebody's log.
func wantLine(t *testing.T, body string) {
	t.Helper()
	if body == "" || len(body) > 300 {
		t.Errorf("got %d bytes of body, want one short line: %.400q", len(body), body)
	}
	for _, r := range body {
		if r < ' ' || r > '~' {
			t.Errorf("got %q in the body, want printable ASCII: %q", r, body)
			return
		}
	}
}

func capture(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "captures", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var errDisk = errors.New("disk is full")

const oneAlert = `{"version":"4","groupKey":"{}:{}","alerts":[{"status":"firing","labels":{"alertname":"A"},"annotations":{},` +
	`"startsAt":"2026-11-21T19:22:33.260218653Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"1f9cfbd33f2c2530"}]}`

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func clock(s string) func() time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return func() time.Time { return at }
}
