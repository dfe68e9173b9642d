package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/internal/web"
	"github.com/pagerelay/pagerelay/mapping"
)

// table is an outbox without a file.
type table struct {
	open, closed []*incident.Incident // closed: newest first.
	err          error                // of Retry, Drop and Ledger.
	did          []string
	read         int // ledger entries handed out.
}

func (t *table) List() []*incident.Incident { return t.open }

func (t *table) Ledger(each func(*incident.Incident) bool) error {
	for _, in := range t.closed {
		t.read++
		if !each(in) {
			break
		}
	}
	return t.err
}

func (t *table) Retry(_ context.Context, id string) error {
	t.did = append(t.did, "retry "+id)
	return t.err
}

func (t *table) Drop(_ context.Context, id, reason string) error {
	t.did = append(t.did, "drop "+id+": "+reason)
	return t.err
}

func at(minute int) time.Time { return time.Date(2026, 11, 21, 10, minute, 0, 0, time.UTC) }

func id(prefix string) string { return prefix + strings.Repeat("0", 32-len(prefix)) }

func fresh(prefix string, urgency mapping.Urgency, change func(*incident.Incident)) *incident.Incident {
	in := &incident.Incident{
		ID: id(prefix), Subject: incident.Subject{Service: "ops", DedupKey: "ops/" + prefix, Urgency: urgency, Tier: "critical", Rule: "all", Severity: "critical", Origin: mapping.OriginAlertmanager}, CreatedAt: at(0), Told: incident.Told{Have: incident.StateOpen, AcceptedRevision: 1}, Revision: 1,
		Members: map[string]*incident.Member{"fp": {
			Firing: true, LastSeen: at(1),
			Alert: incident.Alert{Labels: incident.PairsOf(template.KV{"alertname": "A"}), StartsAt: at(0)},
		}},
		History: []incident.Entry{{At: at(0), What: "received", Text: "fp fires"}},
	}
	if change != nil {
		change(in)
	}
	return in
}

func aTable() *table {
	return &table{
		open: []*incident.Incident{
			fresh("aaaa1", mapping.Low, nil),
			fresh("aaaa2", mapping.High, nil),
			fresh("bbbb", mapping.Low, func(in *incident.Incident) {
				in.Blocked = &incident.Blocked{Reason: "PagerDuty said no", At: at(5)}
			}),
			fresh("cccc", mapping.High, func(in *incident.Incident) {
				in.PendingSince, in.Attempts = at(3), 2
				in.History = append(in.History, incident.Entry{At: at(4), What: "answer", Text: "trigger (a new episode): 500"}, incident.Entry{At: at(4), What: "owed"})
			}),
		},
		closed: []*incident.Incident{
			fresh("cccc", mapping.High, func(in *incident.Incident) { in.ClosedAt = at(2) }),
			fresh("dddd", mapping.High, func(in *incident.Incident) { in.ClosedAt = at(1) }),
			fresh("cccc", mapping.High, func(in *incident.Incident) { in.ClosedAt = at(0) }),
		},
	}
}

func handler(store web.Outbox, cfg web.Config) http.Handler {
	mux := http.NewServeMux()
	web.New(store, cfg).Register(mux)
	return mux
}

func ask(t *testing.T, h http.Handler, method, path string) (int, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return rec.Code, rec.Body.String()
}

// data asks the API and decodes what it answers.
func data[T any](t *testing.T, h http.Handler, method, path string, wantCode int) (T, string) {
	t.Helper()
	code, body := ask(t, h, method, path)
	if code != wantCode {
		t.Errorf("%s %s: got %d, want %d: %s", method, path, code, wantCode, body)
	}
	var v T
	r := web.Response{Data: &v}
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatalf("%s %s: decode %s: %v", method, path, body, err)
	}
	if want := map[bool]string{true: "success", false: "error"}[wantCode == http.StatusOK]; r.Status != want {
		t.Errorf("%s %s: status: got %q, want %q", method, path, r.Status, want)
	}
	return v, r.Error
}

func TestList(t *testing.T) {
	for _, tc := range []struct {
		name, query string
		want        []string
	}{
		{"what needs a person first, then by urgency", "", []string{"blocked bbbb", "pending cccc", "open aaaa2", "open aaaa1"}},
		{"by status", "?status=open", []string{"open aaaa2", "open aaaa1"}},
		{"by two statuses", "?status=open&status=blocked", []string{"blocked bbbb", "open aaaa2", "open aaaa1"}},
		{"by service", "?service=other", nil},
		{"by dedup key", "?dedup_key=ops/aaaa1", []string{"open aaaa1"}},
		{"closed ones, newest first", "?status=closed", []string{"closed cccc", "closed dddd", "closed cccc"}},
		{"closed ones, limited", "?status=closed&limit=1", []string{"closed cccc"}},
		{"closed ones of one key", "?closed=true&dedup_key=ops/dddd", []string{"closed dddd"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list, _ := data[[]web.Summary](t, handler(aTable(), web.Config{}), http.MethodGet, "/api/v1/outbox"+tc.query, http.StatusOK)
			var got []string
			for _, s := range list {
				got = append(got, s.Status+" "+strings.TrimRight(s.ID, "0"))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("incidents (-want +got):\n%s", diff)
			}
		})
	}
	h := handler(aTable(), web.Config{})
	list, _ := data[[]web.Summary](t, h, http.MethodGet, "/api/v1/outbox", http.StatusOK)
	want := web.Summary{
		ID: id("bbbb"), Service: "ops", DedupKey: "ops/bbbb", Status: "blocked", Urgency: "low", Tier: "critical", Rule: "all",
		Origin: "alertmanager", Want: "open", Have: "open", Firing: 1, CreatedAt: at(0), Since: at(5), Reason: "PagerDuty said no",
	}
	if diff := cmp.Diff(want, list[0]); diff != "" {
		t.Errorf("blocked incident (-want +got):\n%s", diff)
	}
	if got := list[1]; got.Reason != "trigger (a new episode): 500" || !got.Since.Equal(at(3)) {
		t.Errorf("pending incident: got since %v, reason %q, want %v and the last answer", got.Since, got.Reason, at(3))
	}
	for _, query := range []string{"?status=x", "?limit=x", "?limit=-1", "?limit=10001"} {
		if _, text := data[any](t, h, http.MethodGet, "/api/v1/outbox"+query, http.StatusBadRequest); text == "" {
			t.Errorf("%s: no error text", query)
		}
	}
}

func TestShow(t *testing.T) {
	for _, tc := range []struct {
		name, path string
		code       int
		want       []string // status and ID
		read       int      // of the ledger.
	}{
		{"open, whole ID", id("aaaa1"), 200, []string{"open aaaa1"}, 0},
		{"open, cut ID", "aaaa1", 200, []string{"open aaaa1"}, 0},
		{"ambiguous among the open", "aaaa", 400, nil, 0},
		{"too short", "aaa", 400, nil, 0},
		{"open, not those that closed before", "cccc", 200, []string{"pending cccc"}, 0},
		{"open and those that closed before", "cccc?limit=5", 200, []string{"pending cccc", "closed cccc", "closed cccc"}, 3},
		{"closed, whole ID, reads no further than it must", id("dddd"), 200, []string{"closed dddd"}, 2},
		{"closed, cut ID", "dddd", 200, []string{"closed dddd"}, 3},
		{"unknown", "eeee", 404, nil, 3},
		{"no limit", "cccc?limit=0", 400, nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := aTable()
			list, _ := data[[]web.Incident](t, handler(store, web.Config{}), http.MethodGet, "/api/v1/outbox/"+tc.path, tc.code)
			var got []string
			for _, in := range list {
				got = append(got, in.Status+" "+strings.TrimRight(in.ID, "0"))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("incidents (-want +got):\n%s", diff)
			}
			if store.read != tc.read {
				t.Errorf("ledger entries read: got %d, want %d", store.read, tc.read)
			}
		})
	}
	list, _ := data[[]web.Incident](t, handler(aTable(), web.Config{}), http.MethodGet, "/api/v1/outbox/cccc", http.StatusOK)
	if got := list[0].Members; len(got) != 1 || got[0].Labels["alertname"] != "A" || !got[0].Firing {
		t.Errorf("members: got %+v", got)
	}
	if got := list[0].History; len(got) != 3 || got[1].What != "answer" {
		t.Errorf("history: got %+v", got)
	}
	if code, _ := ask(t, handler(&table{err: errors.New("disk")}, web.Config{}), http.MethodGet, "/api/v1/outbox/eeee"); code != http.StatusInternalServerError {
		t.Errorf("unreadable ledger: got %d, want 500", code)
	}
}

func TestChanges(t *testing.T) {
	for _, tc := range []struct {
		name, path string
		admin      bool
		err        error
		code       int
		did        []string
	}{
		{"off", "aaaa1/retry", false, nil, 403, nil},
		{"off", "aaaa1/drop", false, nil, 403, nil},
		{"retry", "bbbb/retry", true, nil, 200, []string{"retry " + id("bbbb")}},
		{"retry what is put off", "cccc/retry", true, nil, 200, []string{"retry " + id("cccc")}},
		{"retry what is not blocked", "aaaa1/retry", true, nil, 409, nil},
		{"drop", "aaaa1/drop", true, nil, 200, []string{"drop " + id("aaaa1") + ": by hand"}},
		{"drop with a reason", "aaaa1/drop?reason=why+not", true, nil, 200, []string{"drop " + id("aaaa1") + ": why not"}},
		{"drop with a novel", "aaaa1/drop?reason=" + strings.Repeat("x", 501), true, nil, 400, nil},
		{"ambiguous", "aaaa/drop", true, nil, 400, nil},
		{"closed", "dddd/retry", true, nil, 404, nil},
		{"gone meanwhile", "aaaa1/drop", true, outbox.ErrNotFound, 404, []string{"drop " + id("aaaa1") + ": by hand"}},
		{"in flight", "aaaa1/drop", true, fmt.Errorf("in flight: %w", outbox.ErrChanged), 409, []string{"drop " + id("aaaa1") + ": by hand"}},
		{"shutting down", "bbbb/retry", true, outbox.ErrClosed, 503, []string{"retry " + id("bbbb")}},
		{"disk full", "bbbb/retry", true, errors.New("disk full"), 500, []string{"retry " + id("bbbb")}},
	} {
		t.Run(tc.name+" "+tc.path[:min(12, len(tc.path))], func(t *testing.T) {
			store := aTable()
			store.err = tc.err
			h := handler(store, web.Config{EnableAdmin: tc.admin})
			_, text := data[any](t, h, http.MethodPost, "/api/v1/outbox/"+tc.path, tc.code)
			if diff := cmp.Diff(tc.did, store.did); diff != "" {
				t.Errorf("done (-want +got):\n%s", diff)
			}
			if tc.code == http.StatusForbidden && !strings.Contains(text, "--web.enable-admin-api") {
				t.Errorf("error does not say how to mend it: %q", text)
			}
			if code, _ := ask(t, h, http.MethodGet, "/api/v1/outbox/"+tc.path); code != http.StatusMethodNotAllowed {
				t.Errorf("GET: got %d, want 405", code)
			}
		})
	}
}

// What a refused routing key holds up is blocked, too.
func TestRetryUnderARefusedKey(t *testing.T) {
	store := aTable()
	store.open[0].KeyFault = "Invalid routing key"
	data[any](t, handler(store, web.Config{EnableAdmin: true}), http.MethodPost, "/api/v1/outbox/aaaa1/retry", http.StatusOK)
	if diff := cmp.Diff([]string{"retry " + id("aaaa1")}, store.did); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
}

func TestAuditOnDemand(t *testing.T) {
	audit := func(context.Context) (any, error) { return "one engineer is left", nil }
	failing := func(context.Context) (any, error) { return nil, errors.New("402") }
	for _, tc := range []struct {
		name string
		cfg  web.Config
		code int
		want string
	}{
		{"off", web.Config{Audit: audit}, 403, "--web.enable-admin-api"},
		{"audited", web.Config{Audit: audit, EnableAdmin: true}, 200, "one engineer is left"},
		{"failed", web.Config{Audit: failing, EnableAdmin: true}, 503, "402"},
		{"none", web.Config{EnableAdmin: true}, 404, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, body := ask(t, handler(aTable(), tc.cfg), http.MethodPost, "/api/v1/coverage/audit")
			if code != tc.code || !strings.Contains(body, tc.want) {
				t.Errorf("got %d %q, want %d and %q", code, body, tc.code, tc.want)
			}
		})
	}
}

// TestScopes lists what a token is needed for, so that a new path is put on one side on purpose.
func TestScopes(t *testing.T) {
	asked := ""
	h := handler(aTable(), web.Config{
		EnableAdmin: true, Reload: func(context.Context) error { return nil }, Audit: func(context.Context) (any, error) { return nil, nil },
		Authorize: func(scope string, _ http.Handler) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = scope })
		},
	})
	for path, want := range map[string]string{
		"GET /": "", "GET /-/healthy": "", "HEAD /-/healthy": "", "GET /-/ready": "", "GET /metrics": "",
		"POST /-/reload": "read-write", "GET /debug/pprof/": "read", "GET /debug/pprof/heap": "read", "GET /debug/pprof/cmdline": "read",
		"GET /debug/pprof/profile": "read", "GET /debug/pprof/symbol": "read", "GET /debug/pprof/trace": "read",
		"GET /api/v1/outbox": "read", "GET /api/v1/outbox/aaaa1": "read",
		"POST /api/v1/outbox/aaaa1/retry": "read-write", "POST /api/v1/outbox/aaaa1/drop": "read-write",
		"POST /api/v1/coverage/audit": "read-write",
	} {
		asked = ""
		method, target, _ := strings.Cut(path, " ")
		if code, _ := ask(t, h, method, target); code != http.StatusOK {
			t.Errorf("%s: got %d, want 200", path, code)
		}
		if asked != want {
			t.Errorf("%s: got scope %q, want %q", path, asked, want)
		}
	}
}

func TestReadyReloadMetrics(t *testing.T) {
	h := handler(aTable(), web.Config{})
	if code, body := ask(t, h, http.MethodGet, "/-/ready"); code != http.StatusOK || body != "Pagerelay is Ready.\n" {
		t.Errorf("ready: got %d %q", code, body)
	}
	if code, _ := ask(t, h, http.MethodPost, "/-/reload"); code != http.StatusNotFound {
		t.Errorf("reload where there is none: got %d, want 404", code)
	}
	bad := errors.New("no good")
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "x", Help: "x"}))
	h = handler(aTable(), web.Config{
		Ready: func(context.Context) error { return bad }, Reload: func(context.Context) error { return bad }, Gatherer: reg,
	})
	if code, body := ask(t, h, http.MethodGet, "/-/ready"); code != http.StatusServiceUnavailable || body != "Pagerelay is not ready: no good\n" {
		t.Errorf("not ready: got %d %q", code, body)
	}
	if code, _ := ask(t, h, http.MethodGet, "/-/healthy"); code != http.StatusOK {
		t.Errorf("healthy while not ready: got %d, want 200", code)
	}
	if code, body := ask(t, h, http.MethodPost, "/-/reload"); code != http.StatusInternalServerError || !strings.Contains(body, "no good") {
		t.Errorf("bad reload: got %d %q", code, body)
	}
	if code, body := ask(t, h, http.MethodGet, "/metrics"); code != http.StatusOK || !strings.Contains(body, "\nx 0\n") {
		t.Errorf("metrics: got %d %q", code, body)
	}
}

// An incident whose urgency opens nothing is recorded, not open.
func TestRecorded(t *testing.T) {
	h := handler(&table{open: []*incident.Incident{
		fresh("aaaa", mapping.None, nil), fresh("bbbb", mapping.Change, nil),
	}}, web.Config{})
	list, _ := data[[]web.Summary](t, h, http.MethodGet, "/api/v1/outbox?status=recorded", http.StatusOK)
	if len(list) != 2 {
		t.Fatalf("got %+v, want both", list)
	}
	for _, s := range list {
		if s.Status != "recorded" || s.Want != "" || s.Have != "" {
			t.Errorf("%s: got status %s, want %s, have %s; it must say that nothing is open", s.Urgency, s.Status, s.Want, s.Have)
		}
	}
	if open, _ := data[[]web.Summary](t, h, http.MethodGet, "/api/v1/outbox?status=open", http.StatusOK); len(open) != 0 {
		t.Errorf("open: got %+v, want none", open)
	}
}

// Why an incident waits is in the list and in what is shown of it.
func TestWaits(t *testing.T) {
	store := aTable()
	h := handler(store, web.Config{Why: func(incident string) (string, string) {
		if incident != id("cccc") {
			return "", ""
		}
		return "key_unreadable", "open key: permission denied"
	}})
	list, _ := data[[]web.Summary](t, h, http.MethodGet, "/api/v1/outbox?status=pending", http.StatusOK)
	if len(list) != 1 || list[0].WaitsFor != "key_unreadable" || list[0].Reason != "open key: permission denied" {
		t.Errorf("list: got %+v, want what it waits for, not the last answer", list)
	}
	found, _ := data[[]web.Incident](t, h, http.MethodGet, "/api/v1/outbox/cccc", http.StatusOK)
	if len(found) != 1 || found[0].WaitsFor != "key_unreadable" || found[0].Reason != "open key: permission denied" {
		t.Errorf("show: got %+v, want what it waits for", found)
	}
}

// A mistake in a request is told, instead of answering another question.
func TestMistakesInARequest(t *testing.T) {
	for _, tc := range []struct{ method, path, want string }{
		{"GET", "?foo=1", `unknown parameter "foo"; known are status, service, dedup_key, closed, limit`},
		{"GET", "?closed=yes", `closed: "yes" is neither true nor false`},
		{"GET", "?limit=abc", `limit: "abc" is not a number from 0 to 10000`},
		{"GET", "?limit=%zz", `the parameters cannot be read`},
		{"GET", "?service=nosuch", `no service is named "nosuch"; the services are infra, ops`},
		{"GET", "?service=ops&service=nosuch", `no service is named "nosuch"`},
		{"GET", "/aaaa1?foo=1", `unknown parameter "foo"; known are limit`},
		{"POST", "/bbbb/retry?foo=1", `unknown parameter "foo"; known are none`},
		{"POST", "/bbbb/drop?why=1", `unknown parameter "why"; known are reason`},
	} {
		t.Run(tc.method+" "+tc.path, func(t *testing.T) {
			store := aTable()
			h := handler(store, web.Config{EnableAdmin: true, Services: func() []string { return []string{"infra"} }})
			if _, got := data[any](t, h, tc.method, "/api/v1/outbox"+tc.path, http.StatusBadRequest); !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q in it", got, tc.want)
			}
			if len(store.did) > 0 {
				t.Errorf("did %q", store.did)
			}
		})
	}
	h := handler(aTable(), web.Config{Services: func() []string { return []string{"infra"} }})
	data[[]web.Summary](t, h, http.MethodGet, "/api/v1/outbox?service=infra", http.StatusOK) // nothing to report.
}

func TestShowSaysWhyAPageIsNotHeard(t *testing.T) {
	h := handler(&table{open: []*incident.Incident{
		fresh("aaaa", mapping.High, func(in *incident.Incident) {
			in.Have = incident.StateUnknown
			in.Doubts = []incident.Doubt{{About: incident.Trigger, Cause: incident.CauseUncovered, Reason: "nobody is on call"}}
		}),
		fresh("bbbb", mapping.High, func(in *incident.Incident) {
			in.FallbackFrom, in.FallbackReason = "infra", "nobody is on call"
			m := *in.Members["fp"]
			m.Muted = &incident.Mute{By: "silence", Do: incident.MuteAcknowledge}
			in.Members = map[string]*incident.Member{"fp": &m}
		}),
	}}, web.Config{})
	list, _ := data[[]web.Summary](t, h, http.MethodGet, "/api/v1/outbox?status=uncovered", http.StatusOK)
	if len(list) != 1 || list[0].ID != id("aaaa") || list[0].Reason != "nobody is on call" {
		t.Errorf("got %+v, want the incident that fell into a hole, with why", list)
	}
	found, _ := data[[]web.Incident](t, h, http.MethodGet, "/api/v1/outbox/"+id("bbbb"), http.StatusOK)
	if len(found) != 1 || found[0].FallbackReason != "nobody is on call" || found[0].Members[0].MutedBy != "silence" {
		t.Errorf("got %+v, want why it stands in, and what mutes its alert", found)
	}
}
