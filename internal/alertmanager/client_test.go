package alertmanager_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
)

// fake answers as an Alertmanager does.
type fake struct {
	alerts  string        // the list; "" is empty.
	up      time.Duration // 0 is an hour.
	name    string        // its own peer name; "" is no cluster.
	peers   []string      // of others.
	state   string        // of the cluster; "" is ready, or disabled without a name.
	code    int           // of the list; 0 is 200.
	status  string        // instead of the status.
	ahead   time.Duration // its clock is, of ours. The lists' own times are as they are given.
	queries []string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	now := time.Now().Add(f.ahead)
	if f.ahead != 0 {
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	}
	switch r.URL.Path {
	case "/am/api/v2/alerts":
		f.queries = append(f.queries, strings.Join(r.URL.Query()["filter"], " "))
		for _, p := range []string{"active", "silenced", "inhibited", "unprocessed"} {
			if r.URL.Query().Get(p) != "true" {
				w.WriteHeader(http.StatusTeapot)
				return
			}
		}
		if f.code != 0 {
			w.WriteHeader(f.code)
		}
		if f.alerts == "" {
			f.alerts = "[]"
		}
		_, _ = io.WriteString(w, f.alerts)
	case "/am/api/v2/status":
		if f.status != "" {
			_, _ = io.WriteString(w, f.status)
			return
		}
		up, state := f.up, f.state
		if up == 0 {
			up = time.Hour
		}
		peers := []map[string]string{}
		if f.name != "" {
			for _, p := range append([]string{f.name}, f.peers...) {
				peers = append(peers, map[string]string{"name": p, "address": "127.0.0.1:9094"})
			}
		}
		switch {
		case state == "" && f.name == "":
			state = "disabled"
		case state == "":
			state = "ready"
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"cluster": map[string]any{"name": f.name, "status": state, "peers": peers},
			"uptime":  now.Add(-up).Format("2006-01-02T15:04:05.000Z07:00"),
			"config":  map[string]string{"original": "route: {}"}, "versionInfo": map[string]string{"version": "0.34.2"},
		})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL + "/am/"
}

func newClient(t *testing.T, cfg alertmanager.Config) *alertmanager.Client {
	t.Helper()
	c, err := alertmanager.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// listed is an alert as Alertmanager lists it.
func listed(fingerprint, state string, ends time.Duration) string {
	return fmt.Sprintf(`{"annotations":{},"endsAt":%q,"fingerprint":%q,"receivers":[{"name":"pager"}],"startsAt":"2026-11-22T04:00:00.000Z","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":[],"state":%q},"updatedAt":"2026-11-22T04:00:00.000Z","generatorURL":"","labels":{"alertname":"A"}}`,
		time.Now().Add(ends).UTC().Format(time.RFC3339Nano), fingerprint, state)
}

const (
	fpA = "aaaaaaaaaaaaaaaa"
	fpB = "bbbbbbbbbbbbbbbb"
)

func TestCheck(t *testing.T) {
	active := "[" + listed(fpA, "active", time.Minute) + "]"
	for _, tc := range []struct {
		name    string
		members []*fake
		want    alertmanager.Verdict
		reason  string // a part of it.
	}{
		{"active", []*fake{{alerts: active}}, alertmanager.Firing, ""},
		{"suppressed", []*fake{{alerts: "[" + listed(fpA, "suppressed", time.Minute) + "]"}}, alertmanager.Firing, ""},
		{"unprocessed", []*fake{{alerts: "[" + listed(fpA, "unprocessed", time.Minute) + "]"}}, alertmanager.Firing, ""},
		{"active in a young one", []*fake{{alerts: active, up: time.Second}}, alertmanager.Firing, ""},
		{"active in the second", []*fake{{}, {alerts: active}}, alertmanager.Firing, ""},
		{"active in one, the other broken", []*fake{{code: 500}, {alerts: active}}, alertmanager.Firing, ""},
		{"active, and the list cut off after it", []*fake{{alerts: strings.TrimSuffix(active, "]")}}, alertmanager.Firing, ""},
		{"no end", []*fake{{alerts: `[{"fingerprint":"` + fpA + `"}]`}}, alertmanager.Firing, ""},
		{"end long ago, in year 1", []*fake{{alerts: `[{"fingerprint":"` + fpA + `","endsAt":"0001-01-01T00:00:00.000Z"}]`}}, alertmanager.Firing, ""},

		{"absent", []*fake{{}}, alertmanager.Gone, ""},
		{"another one", []*fake{{alerts: "[" + listed(fpB, "active", time.Minute) + "]"}}, alertmanager.Gone, ""},
		{"over", []*fake{{alerts: "[" + listed(fpA, "active", -time.Minute) + "]"}}, alertmanager.Gone, ""},
		{"absent in two without a cluster", []*fake{{}, {}}, alertmanager.Gone, ""},
		{"absent in a whole cluster", []*fake{{name: "a", peers: []string{"b"}}, {name: "b", peers: []string{"a"}}}, alertmanager.Gone, ""},
		{"absent in a cluster of one", []*fake{{name: "a"}}, alertmanager.Gone, ""},

		{"young", []*fake{{up: 2 * time.Minute}}, alertmanager.Uncertain, "up for 1m5"},
		{"started in the future", []*fake{{up: -time.Hour}}, alertmanager.Uncertain, "up for -1h0m0s only"},
		{"one of two young", []*fake{{}, {up: time.Minute}}, alertmanager.Uncertain, "s only"},
		{"a peer is not configured", []*fake{{name: "a", peers: []string{"b"}}}, alertmanager.Uncertain, "is in a cluster of 2, 1 of which are not in alertmanager.urls"},
		{"the same member twice", []*fake{{name: "a", peers: []string{"b"}}, {name: "a", peers: []string{"b"}}}, alertmanager.Uncertain, "cluster of 2"},
		{"a peer that only one sees", []*fake{{name: "a"}, {name: "b", peers: []string{"a", "c"}}}, alertmanager.Uncertain, "cluster of 3"},
		{"settling", []*fake{{name: "a", state: "settling"}}, alertmanager.Uncertain, "settling"},
		{"500", []*fake{{code: 500}}, alertmanager.Uncertain, "answered 500"},
		{"401 of one of two", []*fake{{}, {code: 401}}, alertmanager.Uncertain, "answered 401"},
		{"a page instead of a list", []*fake{{alerts: "<html>login</html>"}}, alertmanager.Uncertain, "read its alerts"},
		{"null instead of a list", []*fake{{alerts: "null"}}, alertmanager.Uncertain, "it is no list"},
		{"an object instead of a list", []*fake{{alerts: "{}"}}, alertmanager.Uncertain, "it is no list"},
		{"the list cut off", []*fake{{alerts: "[" + listed(fpB, "active", time.Minute)}}, alertmanager.Uncertain, "the list is cut off"},
		{"the list cut off in an alert", []*fake{{alerts: `[{"fingerprint":"` + fpA}}, alertmanager.Uncertain, "the list is cut off"},
		{"nothing at all", []*fake{{alerts: " "}}, alertmanager.Uncertain, "the list is cut off"},
		{"an alert too long", []*fake{{alerts: `[{"fingerprint":"` + strings.Repeat("a", 2<<20) + `"}]`}}, alertmanager.Uncertain, "an alert is longer than 1 MiB"},
		{"blanks without end", []*fake{{alerts: "[" + strings.Repeat(" ", 2<<20) + "]"}}, alertmanager.Uncertain, "an alert is longer than 1 MiB"},
		{"a page instead of the status", []*fake{{status: "<html>"}}, alertmanager.Uncertain, "read its status"},
		{"a status of another program", []*fake{{status: "{}"}}, alertmanager.Uncertain, "lacks uptime or cluster"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var cfg alertmanager.Config
			for _, f := range tc.members {
				cfg.URLs = append(cfg.URLs, serve(t, f))
			}
			got, reason := newClient(t, cfg).Check(t.Context(), []string{fpA}, nil)
			if diff := cmp.Diff(map[string]alertmanager.Verdict{fpA: tc.want}, got); diff != "" {
				t.Errorf("-want +got:\n%s(%s)", diff, reason)
			}
			if !strings.Contains(reason, tc.reason) || (tc.reason == "") != (reason == "") {
				t.Errorf("got reason %q, want one with %q", reason, tc.reason)
			}
		})
	}
}

func TestCheckSeveral(t *testing.T) {
	url := serve(t, &fake{alerts: "[" + listed(fpA, "active", time.Minute) + "]"})
	c := newClient(t, alertmanager.Config{URLs: []string{url}})
	got, reason := c.Check(t.Context(), []string{fpA, fpB}, nil)
	if diff := cmp.Diff(map[string]alertmanager.Verdict{fpA: alertmanager.Firing, fpB: alertmanager.Gone}, got); diff != "" || reason != "" {
		t.Errorf("-want +got:\n%s(%s)", diff, reason)
	}
	got, reason = c.Check(t.Context(), []string{fpB, ""}, nil)
	if diff := cmp.Diff(map[string]alertmanager.Verdict{fpB: alertmanager.Uncertain, "": alertmanager.Uncertain}, got); diff != "" || reason == "" {
		t.Errorf("-want +got:\n%s(%s)", diff, reason)
	}
}

// An Alertmanager that told of an alert just now and no longer lists it need not have been
// up for long.
func TestCheckTold(t *testing.T) {
	for _, tc := range []struct {
		name    string
		members []*fake
		want    alertmanager.Verdict
	}{
		{"up since before it told", []*fake{{up: 20 * time.Second}, {}}, alertmanager.Gone},
		{"it may have started since", []*fake{{up: 10 * time.Second}, {}}, alertmanager.Uncertain},
		{"one of them lists it", []*fake{{up: 20 * time.Second}, {alerts: "[" + listed(fpA, "active", time.Minute) + "]"}}, alertmanager.Firing},
		{"one of them does not answer", []*fake{{}, {code: 500}}, alertmanager.Uncertain},
		{"the cluster has more members", []*fake{{name: "a", peers: []string{"b"}}}, alertmanager.Uncertain},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var urls []string
			for _, f := range tc.members {
				urls = append(urls, serve(t, f))
			}
			verdicts, why := newClient(t, alertmanager.Config{URLs: urls}).CheckTold(t.Context(), []string{fpA}, nil)
			if got := verdicts[fpA]; got != tc.want {
				t.Errorf("got %q (%s), want %q", got, why, tc.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	c := newClient(t, alertmanager.Config{URLs: []string{"http://am-1:9093/", "https://example.test/am"}})
	for address, want := range map[string]bool{
		"http://am-1:9093": true, "http://am-1:9093/": true, "https://example.test/am": true,
		"http://am-2:9093": false, "https://example.test": false, "": false,
	} {
		if got := c.Names(address); got != want {
			t.Errorf("%q: got %t, want %t", address, got, want)
		}
	}
}

func TestUnconfigured(t *testing.T) {
	c := newClient(t, alertmanager.Config{})
	got, reason := c.Check(t.Context(), []string{fpA}, nil)
	if c.Configured() || got[fpA] != alertmanager.Uncertain || reason == "" {
		t.Errorf("got %v %q, want uncertain", got, reason)
	}
	if v, reason := c.AnyFiring(t.Context(), func(alertmanager.Alert) bool { return true }); v != alertmanager.Uncertain || reason == "" {
		t.Errorf("got %v %q, want uncertain", v, reason)
	}
}

// One member that hangs does not delay the news that an alert fires, and
// counts as no answer when ctx ends.
func TestHangingMember(t *testing.T) {
	release := make(chan struct{})
	hanging := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(func() { close(release) })
	live := serve(t, &fake{alerts: "[" + listed(fpA, "active", time.Minute) + "]"})
	c := newClient(t, alertmanager.Config{URLs: []string{hanging, live}, Timeout: time.Hour})
	if got, _ := c.Check(t.Context(), []string{fpA}, nil); got[fpA] != alertmanager.Firing {
		t.Errorf("got %v, want firing", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	got, reason := c.Check(ctx, []string{fpB}, nil)
	if got[fpB] != alertmanager.Uncertain || !strings.Contains(reason, "deadline") {
		t.Errorf("got %v %q, want uncertain for the deadline", got, reason)
	}
	c = newClient(t, alertmanager.Config{URLs: []string{hanging}, Timeout: 10 * time.Millisecond})
	if got, _ := c.Check(t.Context(), []string{fpB}, nil); got[fpB] != alertmanager.Uncertain {
		t.Errorf("got %v, want uncertain after the default time", got)
	}
}

// A clock that runs ahead must not make anything look old or over.
func TestClocks(t *testing.T) {
	ahead := func() time.Time { return time.Now().Add(time.Hour) }
	c := newClient(t, alertmanager.Config{URLs: []string{serve(t, &fake{alerts: "[" + listed(fpA, "active", time.Minute) + "]", up: time.Minute})}, Now: ahead})
	got, _ := c.Check(t.Context(), []string{fpA, fpB}, nil)
	if got[fpA] != alertmanager.Firing || got[fpB] != alertmanager.Uncertain {
		t.Errorf("got %v, want firing and uncertain", got)
	}
	behind := func() time.Time { return time.Now().Add(-2 * time.Hour) }
	c = newClient(t, alertmanager.Config{URLs: []string{serve(t, &fake{})}, Now: behind})
	if got, _ := c.Check(t.Context(), []string{fpA}, nil); got[fpA] != alertmanager.Uncertain {
		t.Errorf("got %v, want uncertain by the injected clock", got)
	}
}

func fingerprint(labels map[string]string) string {
	set := model.LabelSet{}
	for k, v := range labels {
		set[model.LabelName(k)] = model.LabelValue(v)
	}
	return set.Fingerprint().String()
}

func TestFilters(t *testing.T) {
	a := map[string]string{"alertname": "Disk", "host": `a "b"`, "größe.x": "1"}
	b := map[string]string{"alertname": "Disk", "host": "c"}
	for _, tc := range []struct {
		name   string
		labels []map[string]string
		lie    bool
		want   string
	}{
		{"one", []map[string]string{a}, false, `alertname="Disk" größe.x="1" host="a \"b\""`},
		{"what both have", []map[string]string{a, b}, false, `alertname="Disk"`},
		{"nothing in common", []map[string]string{a, {"x": "y"}}, false, ""},
		{"labels of another alert", []map[string]string{b}, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &fake{}
			c := newClient(t, alertmanager.Config{URLs: []string{serve(t, f)}})
			var fps []string
			sets := map[string]map[string]string{}
			for _, l := range tc.labels {
				fp := fingerprint(l)
				if tc.lie {
					fp = fpA
				}
				fps = append(fps, fp)
				sets[fp] = l
			}
			c.Check(t.Context(), fps, sets)
			if diff := cmp.Diff([]string{tc.want}, f.queries); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	t.Run("refused, then without", func(t *testing.T) {
		f := &fake{code: http.StatusBadRequest}
		c := newClient(t, alertmanager.Config{URLs: []string{serve(t, f)}})
		c.Check(t.Context(), []string{fingerprint(b)}, map[string]map[string]string{fingerprint(b): b})
		if diff := cmp.Diff([]string{`alertname="Disk" host="c"`, ""}, f.queries); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestAnyFiringAndAlerts(t *testing.T) {
	f := &fake{alerts: "[" + listed(fpA, "suppressed", time.Minute) + "," + listed(fpB, "active", -time.Minute) + "]"}
	c := newClient(t, alertmanager.Config{URLs: []string{serve(t, f)}})
	is := func(fp string) func(alertmanager.Alert) bool {
		return func(a alertmanager.Alert) bool { return a.Fingerprint == fp && a.Labels["alertname"] == "A" }
	}
	for fp, want := range map[string]alertmanager.Verdict{fpA: alertmanager.Firing, fpB: alertmanager.Gone, "cc": alertmanager.Gone} {
		if got, reason := c.AnyFiring(t.Context(), is(fp)); got != want || reason != "" {
			t.Errorf("%s: got %q (%s), want %q", fp, got, reason, want)
		}
	}
	var got []string
	if err := c.Alerts(t.Context(), 0, func(a alertmanager.Alert) error {
		got = append(got, a.Fingerprint+" "+a.State+" "+a.Receivers[0])
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{fpA + " suppressed pager", fpB + " active pager"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	enough := errors.New("enough of it")
	if err := c.Alerts(t.Context(), 0, func(alertmanager.Alert) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want the caller's error", err)
	}
	if err := c.Alerts(t.Context(), 1, nil); err == nil {
		t.Error("got nil for a member that is not configured")
	}
}

func TestLeaksNoSecret(t *testing.T) {
	url := serve(t, &fake{code: 503})
	login := &promconfig.HTTPClientConfig{BasicAuth: &promconfig.BasicAuth{Username: "me", Password: "hunter2"}}
	for _, u := range []string{url, "http://127.0.0.1:1"} {
		c := newClient(t, alertmanager.Config{URLs: []string{u}, HTTPConfig: login})
		_, reason := c.Check(t.Context(), []string{fpA}, nil)
		if err := c.Alerts(t.Context(), 0, nil); err == nil || strings.Contains(err.Error()+reason+c.Address(0), "hunter2") {
			t.Errorf("got %q, %v, %q; want no credentials", reason, err, c.Address(0))
		}
	}
}

func TestValidate(t *testing.T) {
	cfg := alertmanager.Config{URLs: []string{
		"http://a:9093", "a:9093", "http://me:hunter2@b:port", "http://a:9093/", "http://b?x=y", "http://b/api/v2", "https://b/am",
		"http://me:hunter2@c:9093", "http://me@c:9093",
	}}
	err := cfg.Validate()
	if err == nil {
		t.Fatal("got nil")
	}
	want := []string{
		"urls[1]: must start with https:// (or http://) and a host",
		"urls[2]: is not a URL",
		"urls[3]: names the same member as another entry",
		"urls[4]: must not hold a query or fragment",
		"urls[5]: must not end in /api/v2, which is added",
		"urls[7]: must not hold a user or password; use http_config",
		"urls[8]: must not hold a user or password; use http_config",
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	url := serve(t, &fake{})
	for range 2 { // the second is a reload.
		c := newClient(t, alertmanager.Config{URLs: []string{url, "http://127.0.0.1:1"}, Registerer: reg})
		c.Check(t.Context(), []string{fpA}, nil)
	}
	want := `
# HELP pagerelay_alertmanager_requests_total Requests to the API of Alertmanager, by the class of the answer's status; error is a request without a readable answer.
# TYPE pagerelay_alertmanager_requests_total counter
pagerelay_alertmanager_requests_total{code="2xx"} 4
pagerelay_alertmanager_requests_total{code="3xx"} 0
pagerelay_alertmanager_requests_total{code="4xx"} 0
pagerelay_alertmanager_requests_total{code="5xx"} 0
pagerelay_alertmanager_requests_total{code="error"} 2
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// 50,000 alerts pass without being held.
func TestMemoryStaysFlat(t *testing.T) {
	const n = 50_000
	one := listed(fpB, "active", time.Hour)
	hundred := strings.Repeat(","+one, 100)
	fill := &fake{}
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/alerts") {
			fill.ServeHTTP(w, r)
			return
		}
		_, _ = io.WriteString(w, "["+hundred[1:])
		for range n/100 - 1 {
			_, _ = io.WriteString(w, hundred)
		}
		_, _ = io.WriteString(w, "]")
	}))
	c := newClient(t, alertmanager.Config{URLs: []string{url}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	count, peak := 0, uint64(0)
	start := time.Now()
	if err := c.Alerts(ctx, 0, func(alertmanager.Alert) error {
		if count++; count%10_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d alerts, %d MB, %s, at most %d KiB of live heap more", count, n*len(one)/1_000_000, time.Since(start), peak>>10)
	if count != n || peak > 4<<20 {
		t.Errorf("got %d alerts and %d KiB, want %d and less than 4 MiB", count, peak>>10, n)
	}
}
