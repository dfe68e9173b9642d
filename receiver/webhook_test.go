package receiver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/mapping"
	"github.com/pagerelay/pagerelay/receiver"
)

// TestWebhookCodes goes through every status code that the door can answer.
func TestWebhookCodes(t *testing.T) {
	token, hash, err := receiver.GenerateToken("pr_")
	if err != nil {
		t.Fatal(err)
	}
	reader, readerHash, err := receiver.GenerateToken("pr_")
	if err != nil {
		t.Fatal(err)
	}
	access := receiver.Access{Tokens: []receiver.Token{
		{Name: "am", Prefix: "pr_", SHA256: secret(hash)},
		{Name: "viewer", Prefix: "pr_", SHA256: secret(readerHash), Scope: "read"},
	}}
	good := []option{bearer(token)}
	cases := []struct {
		name      string
		prepare   func(*door)
		body      io.Reader
		opts      []option
		code      int
		line      string
		headers   map[string]string
		truncated []string
		stored    int
		metric    string
	}{
		{name: "stored", opts: good, code: 200, stored: 1, metric: `pagerelay_webhooks_total{code="200"} 1`},
		{
			name: "malformed", opts: good, body: strings.NewReader(`{"version":`), code: 400, line: "not JSON at byte 11",
			truncated: []string{"malformed"}, metric: `pagerelay_webhooks_total{code="400"} 1`,
		},
		{
			name: "compressed", opts: append([]option{header("Content-Encoding", "gzip")}, good...), code: 400,
			line: "without Content-Encoding", truncated: []string{"malformed"}, metric: `pagerelay_webhooks_total{code="400"} 1`,
		},
		{
			name: "no token", code: 401, line: "no bearer token", headers: map[string]string{"WWW-Authenticate": `Bearer realm="pagerelay"`},
			metric: `pagerelay_tokens_refused_total{reason="missing"} 1`,
		},
		{
			name: "basic auth is no token", opts: []option{header("Authorization", "Basic YTpi")}, code: 401,
			metric: `pagerelay_tokens_refused_total{reason="missing"} 1`,
		},
		{
			name: "another prefix", opts: []option{bearer("xx_" + token)}, code: 401, line: "unknown bearer token",
			metric: `pagerelay_tokens_refused_total{reason="prefix"} 1`,
		},
		{
			name: "unknown token", opts: []option{bearer(token + "x")}, code: 401, line: "unknown bearer token",
			headers: map[string]string{"WWW-Authenticate": `Bearer realm="pagerelay", error="invalid_token"`},
			metric:  `pagerelay_tokens_refused_total{reason="unknown"} 1`,
		},
		{
			name: "hash is no token", opts: []option{bearer("pr_" + hash)}, code: 401,
			metric: `pagerelay_webhooks_total{code="401"} 1`,
		},
		{
			name: "scope does not reach", opts: []option{bearer(reader)}, code: 403, line: "may only read",
			headers: map[string]string{"WWW-Authenticate": `Bearer realm="pagerelay", error="insufficient_scope"`},
			metric:  `pagerelay_tokens_refused_total{reason="scope"} 1`,
		},
		{
			name: "a foreign web page", opts: append([]option{header("Sec-Fetch-Site", "cross-site")}, good...), code: 403,
			line: "other web sites", metric: `pagerelay_webhooks_total{code="403"} 1`,
		},
		{
			name: "get", opts: append([]option{method(http.MethodGet)}, good...), code: 405, line: "use POST",
			headers: map[string]string{"Allow": "POST"}, metric: `pagerelay_webhooks_total{code="405"} 1`,
		},
		{
			name: "too large, as announced", opts: good, body: strings.NewReader(strings.Repeat(" ", 2000)), code: 413, line: "limit of 1024 bytes",
			truncated: []string{"too_large"}, metric: `pagerelay_webhooks_total{code="413"} 1`,
		},
		{
			name: "too large, without announcing it", opts: good, body: io.LimitReader(spaces{}, 2000), code: 413,
			truncated: []string{"too_large"}, metric: `pagerelay_webhooks_total{code="413"} 1`,
		},
		{
			name: "sink fails", opts: good, prepare: func(d *door) { d.sink.failWith(errDisk) }, code: 503, line: "could not be stored",
			headers: map[string]string{"Retry-After": "1"}, metric: `pagerelay_webhooks_deferred_total{reason="sink"} 1`,
		},
		{
			name: "caller leaves while storing", prepare: func(d *door) { d.sink.failWith(errDisk) }, code: 503,
			opts: append([]option{func(r *http.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				cancel()
				*r = *r.WithContext(ctx)
			}}, good...),
			headers: map[string]string{"Retry-After": "1"}, metric: `pagerelay_webhooks_deferred_total{reason="canceled"} 1`,
		},
		{
			name: "body breaks off", opts: good, body: io.MultiReader(strings.NewReader(`{"ver`), broken{}), code: 503, line: "did not arrive whole",
			headers: map[string]string{"Retry-After": "1"}, metric: `pagerelay_webhooks_deferred_total{reason="canceled"} 1`,
		},
		{
			name: "shutting down", opts: good, prepare: func(d *door) { d.recv.Drain() }, code: 503, line: "shutting down",
			headers: map[string]string{"Retry-After": "1"}, metric: `pagerelay_webhooks_deferred_total{reason="shutdown"} 1`,
		},
		{
			name: "router loses an alert", opts: good, code: 503, line: "could not be routed",
			prepare: func(d *door) {
				if err := d.recv.SetPolicy(forgetful{}, access); err != nil {
					t.Fatal(err)
				}
			},
			headers: map[string]string{"Retry-After": "1"}, metric: `pagerelay_webhooks_deferred_total{reason="sink"} 1`,
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			d := open(t, receiver.Config{MaxBody: 1024}, access)
			if tc.prepare != nil {
				tc.prepare(d)
			}
			body := tc.body
			if body == nil {
				body = strings.NewReader(oneAlert)
			}
			w := d.send(receiver.PathWebhook, body, tc.opts...)
			wantCode(t, w, tc.code)
			if tc.code != 200 {
				wantLine(t, w.Body.String())
			}
			if !strings.Contains(w.Body.String(), tc.line) {
				t.Errorf("got body %q, want %q in it", w.Body, tc.line)
			}
			for name, want := range tc.headers {
				if got := w.Header().Get(name); got != want {
					t.Errorf("got %s %q, want %q", name, got, want)
				}
			}
			if got := len(d.sink.stored()); got != tc.stored {
				t.Errorf("got %d observations stored, want %d", got, tc.stored)
			}
			if diff := cmp.Diff(tc.truncated, d.truncated); diff != "" {
				t.Errorf("OnTruncated (-want +got):\n%s", diff)
			}
			d.wantMetric(fmt.Sprintf(`pagerelay_webhooks_total{code="%d"} 1`, tc.code))
			d.wantMetric(tc.metric)
			d.wantMetric(`pagerelay_webhook_duration_seconds_count 1`)
		})
	}
}

func TestWebhookBeforePolicy(t *testing.T) {
	d := newDoor(t, receiver.Config{})
	w := d.post(oneAlert)
	wantCode(t, w, 503)
	if w.Header().Get("Retry-After") == "" {
		t.Error("got no Retry-After")
	}
}

func TestWebhookCountsWhatItStored(t *testing.T) {
	d := newDoor(t, receiver.Config{})
	faulty := oneToOne{faults: []mapping.Fault{mapping.FaultNoRule}}
	if err := d.recv.SetPolicy(faulty, receiver.Access{}); err != nil {
		t.Fatal(err)
	}
	d.sink.failWith(errDisk)
	wantCode(t, d.post(capture(t, "07-truncated-FALSE-resolved.json")), 503)
	if len(d.faults)+len(d.truncated) != 0 {
		t.Errorf("got faults %v and truncation %v of what was not stored, want none", d.faults, d.truncated)
	}
	d.sink.failWith(nil)
	wantCode(t, d.post(capture(t, "07-truncated-FALSE-resolved.json")), 200)
	d.wantMetric(`pagerelay_webhook_truncated_alerts_total 3`)
	d.wantMetric(`pagerelay_alerts_total{rule="all",status="resolved"} 2`)
	if diff := cmp.Diff([]string{"truncated"}, d.truncated); diff != "" {
		t.Errorf("OnTruncated (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]mapping.Fault{mapping.FaultNoRule, mapping.FaultNoRule}, d.faults); diff != "" {
		t.Errorf("OnFault (-want +got):\n%s", diff)
	}
}

// TestWebhookEmptyList: a body that says there is nothing is understood, and the
// sink is not bothered.
func TestWebhookEmptyList(t *testing.T) {
	d := open(t, receiver.Config{}, receiver.Access{})
	wantCode(t, d.post(`{"version":"4","alerts":[],"truncatedAlerts":2}`), 200)
	if d.sink.calls != 0 {
		t.Errorf("got %d calls of the sink, want none", d.sink.calls)
	}
	if diff := cmp.Diff([]string{"truncated"}, d.truncated); diff != "" {
		t.Errorf("OnTruncated (-want +got):\n%s", diff)
	}
}

func TestMetricsAreLintCleanAndInitialised(t *testing.T) {
	d := open(t, receiver.Config{}, receiver.Access{})
	for _, line := range []string{
		`pagerelay_webhooks_total{code="200"} 0`, `pagerelay_webhooks_total{code="503"} 0`,
		`pagerelay_webhooks_deferred_total{reason="token_file"} 0`, `pagerelay_tokens_refused_total{reason="missing"} 0`,
		`pagerelay_webhook_truncated_alerts_total 0`, `pagerelay_audit_log_failures_total 0`,
	} {
		d.wantMetric(line)
	}
	wantCode(t, d.post(oneAlert), 200)
	problems, err := testutil.GatherAndLint(d.reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("got problems %v, error %v", problems, err)
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	if _, err := receiver.New(nil, receiver.Config{}); err == nil {
		t.Error("got no error without a sink")
	}
	_, err := receiver.New(&memorySink{}, receiver.Config{MaxBody: -1, MaxDepth: -1, ResolveTimeout: -1})
	for _, want := range []string{"MaxBody", "MaxDepth", "ResolveTimeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %s in it", err, want)
		}
	}
	reg := prometheus.NewRegistry()
	for i, want := range []bool{true, false} {
		if _, err := receiver.New(&memorySink{}, receiver.Config{Registerer: reg}); (err == nil) != want {
			t.Errorf("receiver %d on the same registry: got error %v", i, err)
		}
	}
}

func TestSetPolicyKeepsTheOldOneOnError(t *testing.T) {
	d := open(t, receiver.Config{}, receiver.Access{})
	if err := d.recv.SetPolicy(forgetful{}, receiver.Access{Tokens: []receiver.Token{{}}}); err == nil {
		t.Error("got no error for a faulty access policy")
	}
	if err := d.recv.SetPolicy(nil, receiver.Access{}); err == nil {
		t.Error("got no error without a router")
	}
	wantCode(t, d.post(oneAlert), 200)
}

// TestSinkErrorStaysInTheLog: the answer goes to another machine's log.
func TestSinkErrorStaysInTheLog(t *testing.T) {
	d := open(t, receiver.Config{}, receiver.Access{})
	d.sink.failWith(errors.New("open /var/lib/pagerelay/outbox.db: no space"))
	w := d.post(oneAlert)
	if strings.Contains(w.Body.String(), "outbox.db") {
		t.Errorf("got the sink's error in the answer: %q", w.Body)
	}
	if !strings.Contains(d.logged(), "outbox.db") {
		t.Errorf("got no sink error in the log: %s", d.logged())
	}
}

type spaces struct{}

func (spaces) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func BenchmarkWebhook(b *testing.B) {
	body := capture(b, "01-firing-single.json")
	recv, err := receiver.New(nullSink{}, receiver.Config{})
	if err != nil {
		b.Fatal(err)
	}
	if err := recv.SetPolicy(oneToOne{}, receiver.Access{}); err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	recv.Register(mux)
	reader := strings.NewReader(body)
	req := httptest.NewRequest(http.MethodPost, receiver.PathWebhook, nil)
	req.Body, req.ContentLength = io.NopCloser(reader), int64(len(body))
	w := &nullWriter{h: http.Header{}}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		mux.ServeHTTP(w, req)
	}
	if w.code != 200 {
		b.Fatalf("got %d, want 200", w.code)
	}
}

func BenchmarkDecode(b *testing.B) {
	body := []byte(capture(b, "01-firing-single.json"))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := receiver.Decode(body, 64); err != nil {
			b.Fatal(err)
		}
	}
}

type nullSink struct{}

func (nullSink) Observe(context.Context, []mapping.Observation) error { return nil }

type nullWriter struct {
	h    http.Header
	code int
}

func (w *nullWriter) Header() http.Header         { return w.h }
func (w *nullWriter) WriteHeader(code int)        { w.code = code }
func (w *nullWriter) Write(b []byte) (int, error) { return len(b), nil }

// TestReloadUnderLoad is for the race detector: each request meets one whole
// policy or the other.
func TestReloadUnderLoad(t *testing.T) {
	d := open(t, receiver.Config{}, receiver.Access{})
	locked := audited(filepath.Join(t.TempDir(), "audit.jsonl"))
	locked.RateLimit = &receiver.RateLimit{PerSecond: 1e6, Burst: 1e6}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if w := d.post(oneAlert, bearer("am")); w.Code != 200 {
					t.Errorf("got %d %s, want 200", w.Code, w.Body)
				}
			}
		})
	}
	for i := range 50 {
		access := locked
		if i%2 == 0 {
			access = receiver.Access{}
		}
		if err := d.recv.SetPolicy(oneToOne{}, access); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if got := len(d.sink.stored()); got != 200 {
		t.Errorf("got %d observations, want 200", got)
	}
}

// Whoever reaches the door cannot fill the log, nor hide what is refused otherwise.
func TestRefusalsInTheLogAreBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := open(t, receiver.Config{MaxBody: 1024}, receiver.Access{})
		lines := func(code string) int { return strings.Count(d.logged(), "code="+code) }
		for range 25 {
			wantCode(t, d.post("nonsense"), 400)
		}
		wantCode(t, d.post(strings.Repeat(" ", 2000)), 413)
		if got, other := lines("400"), lines("413"); got != 10 || other != 1 {
			t.Errorf("got %d lines of 25 with code 400, and %d of one with 413; want 10 and 1", got, other)
		}
		time.Sleep(time.Minute)
		wantCode(t, d.post("nonsense"), 400)
		wantCode(t, d.post("nonsense"), 400)
		if got := lines("400"); got != 11 || !strings.Contains(d.logged(), "unlogged=15\n") {
			t.Errorf("a minute later: got %d lines, want one more, with unlogged=15, in\n%s", got, d.logged())
		}
	})
}
