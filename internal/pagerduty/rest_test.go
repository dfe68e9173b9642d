package pagerduty_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

const testToken = "u+rest-token-AAAAAAAAAA"

// restOf is a client of srv that may ask as fast as it likes to.
func restOf(t *testing.T, url string) *pagerduty.REST {
	t.Helper()
	c, err := pagerduty.NewREST(pagerduty.Config{APIURL: url, APIToken: testToken, APIRequestsPerMinute: 960}, pagerduty.RESTOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// inProcess serves requests with h, without a socket, so that time may be virtual.
type inProcess struct{ h http.HandlerFunc }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	p.h(rec, r)
	return rec.Result(), nil
}

// virtual is a client of h for a synctest bubble.
func virtual(t *testing.T, cfg pagerduty.Config, reg prometheus.Registerer, h http.HandlerFunc) *pagerduty.REST {
	t.Helper()
	cfg.APIToken = testToken
	c, err := pagerduty.NewREST(cfg, pagerduty.RESTOptions{Registerer: reg, Transport: inProcess{h}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func virtualOver(t *testing.T, cfg pagerduty.Config, rt http.RoundTripper) *pagerduty.REST {
	t.Helper()
	cfg.APIToken = testToken
	c, err := pagerduty.NewREST(cfg, pagerduty.RESTOptions{Transport: rt})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func reply(w http.ResponseWriter, code int, body string, headers ...string) {
	w.Header().Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		w.Header().Set(headers[i], headers[i+1])
	}
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body)
}

const noUsers = `{"users":[],"limit":100,"offset":0,"more":false,"total":null}`

func TestRESTRequests(t *testing.T) {
	since := time.Date(2026, 3, 8, 1, 2, 3, 4, time.FixedZone("", 3600))
	until := since.Add(24 * time.Hour)
	window := "since=2026-03-08T00%3A02%3A03Z&until=2026-03-09T00%3A02%3A03Z"
	for _, tc := range []struct {
		name string
		call func(context.Context, *pagerduty.REST) error
		want string
		body string
	}{
		{"policies", func(ctx context.Context, c *pagerduty.REST) error {
			_, err := c.EscalationPolicies(ctx, "a b", 100)
			return err
		}, "/escalation_policies?limit=100&offset=100&query=a+b", `{"escalation_policies":[]}`},
		{"policy", func(ctx context.Context, c *pagerduty.REST) error {
			_, err := c.EscalationPolicy(ctx, "P1")
			return err
		}, "/escalation_policies/P1?", `{"escalation_policy":{}}`},
		{"on-calls", func(ctx context.Context, c *pagerduty.REST) error {
			_, err := c.OnCalls(ctx, []string{"P1", "P2"}, since, until, 0)
			return err
		}, "/oncalls?escalation_policy_ids%5B%5D=P1&escalation_policy_ids%5B%5D=P2&limit=100&offset=0&" + window, `{"oncalls":[]}`},
		{"maintenance windows", func(ctx context.Context, c *pagerduty.REST) error {
			_, err := c.OpenMaintenanceWindows(ctx, 0)
			return err
		}, "/maintenance_windows?filter=open&limit=100&offset=0", `{"maintenance_windows":[]}`},
		{"services", func(ctx context.Context, c *pagerduty.REST) error { _, err := c.Services(ctx, 0); return err }, "/services?include%5B%5D=integrations&limit=100&offset=0", `{"services":[]}`},
		{"users", func(ctx context.Context, c *pagerduty.REST) error { _, err := c.Users(ctx, 0); return err }, "/users?include%5B%5D=contact_methods&include%5B%5D=notification_rules&limit=100&offset=0", noUsers},
		{"user", func(ctx context.Context, c *pagerduty.REST) error { _, err := c.User(ctx, "P1"); return err }, "/users/P1?include%5B%5D=contact_methods&include%5B%5D=notification_rules", `{"user":{}}`},
		{"schedules by name", func(ctx context.Context, c *pagerduty.REST) error {
			_, err := c.Schedules(ctx, "x", time.Time{}, time.Time{}, 0)
			return err
		}, "/schedules?limit=100&offset=0&query=x", `{"schedules":[]}`},
		{"schedules worked out", func(ctx context.Context, c *pagerduty.REST) error {
			_, err := c.Schedules(ctx, "", since, until, 0)
			return err
		}, "/schedules?include%5B%5D=schedule_layers&include%5B%5D=final_schedule&limit=100&offset=0&" + window, `{"schedules":[]}`},
		{"schedule", func(ctx context.Context, c *pagerduty.REST) error {
			_, err := c.Schedule(ctx, "P1", since, until)
			return err
		}, "/schedules/P1?overflow=true&" + window, `{"schedule":{}}`},
		{"shift-based schedules", func(ctx context.Context, c *pagerduty.REST) error { _, err := c.ShiftSchedules(ctx, 0); return err }, "/v3/schedules?limit=1000&offset=0", `{"schedules":[]}`},
		{"shift-based schedule", func(ctx context.Context, c *pagerduty.REST) error {
			_, err := c.ShiftSchedule(ctx, "P1", since, until)
			return err
		}, "/v3/schedules/P1?include%5B%5D=final_schedule&overflow=true&" + window, `{"schedule":{}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got string
			srv := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
				got = r.URL.Path + "?" + r.URL.RawQuery
				for name, want := range map[string]string{
					"Accept": "application/vnd.pagerduty+json;version=2", "Authorization": "Token token=" + testToken, "Content-Type": "application/json",
				} {
					if v := r.Header.Get(name); v != want {
						t.Errorf("got %s %q, want %q", name, v, want)
					}
				}
				if r.Method != http.MethodGet {
					t.Errorf("got %s, want GET", r.Method)
				}
				reply(w, 200, tc.body)
			})
			if err := tc.call(t.Context(), restOf(t, srv.URL+"/pd/")); err != nil {
				t.Fatal(err)
			}
			if want := "/pd" + tc.want; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// An id comes from a configuration or from an answer: it must not choose the path.
func TestRESTRefusesWhatIsNoID(t *testing.T) {
	srv := servePlain(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL) })
	c := restOf(t, srv.URL)
	for _, id := range []string{"", "../users", "P1/../../x", "P1?a=b", "P1 2", "P%2F", strings.Repeat("P", 65)} {
		_, err1 := c.User(t.Context(), id)
		_, err2 := c.EscalationPolicy(t.Context(), id)
		_, err3 := c.Schedule(t.Context(), id, time.Now(), time.Now())
		_, err4 := c.ShiftSchedule(t.Context(), id, time.Now(), time.Now())
		for _, err := range []error{err1, err2, err3, err4} {
			if !errors.Is(err, pagerduty.ErrID) {
				t.Errorf("%q: got %v, want ErrID", id, err)
			}
		}
	}
}

func TestRESTRetries(t *testing.T) {
	limited := `{"error":{"message":"Rate Limit Exceeded","code":2020}}`
	type answer struct {
		code    int
		body    string
		headers []string
	}
	ok := answer{200, noUsers, nil}
	for _, tc := range []struct {
		name     string
		answers  []answer // the last again and again.
		requests int
		min, max time.Duration // from the first request to the last.
		want     string        // the error, if any.
	}{
		{"accepted", []answer{ok}, 1, 0, 0, ""},
		{"429 with Retry-After", []answer{{429, limited, []string{"Retry-After", "7", "Ratelimit-Reset", "99"}}, ok}, 2, 7 * time.Second, 7 * time.Second, ""},
		{"429 with ratelimit-reset", []answer{{429, limited, []string{"Ratelimit-Reset", "42"}}, ok}, 2, 42 * time.Second, 42 * time.Second, ""},
		{"429 with nothing", []answer{{429, "", nil}, {429, "", nil}, ok}, 3, 2500 * time.Millisecond, 5 * time.Second, ""},
		{"429 for ever", []answer{{429, limited, []string{"Retry-After", "60"}}}, 5, 4 * time.Minute, 5 * time.Minute, "GET /users: 429 Too Many Requests: Rate Limit Exceeded (code 2020)"},
		{"429 for too long", []answer{{429, limited, []string{"Retry-After", "600"}}}, 1, 0, 0, "GET /users: 429 Too Many Requests: Rate Limit Exceeded (code 2020)"},
		{"500 once", []answer{{500, "", nil}, ok}, 2, 500 * time.Millisecond, time.Second, ""},
		{"502 for ever", []answer{{502, "<html>", []string{"Content-Type", "text/html"}}}, 3, 2500 * time.Millisecond, 5 * time.Second, "GET /users: 502 Bad Gateway: a page of HTML"},
		{"503 with Retry-After", []answer{{503, "", []string{"Retry-After", "1"}}, ok}, 2, 500 * time.Millisecond, time.Second, ""},
		{"400", []answer{{400, `{"error":{"message":"Invalid Input Provided","code":2001,"errors":["Offset plus limit is too much."]}}`, nil}}, 1, 0, 0, "GET /users: 400 Bad Request: Invalid Input Provided (code 2001): Offset plus limit is too much."},
		{"401", []answer{{401, `{"error":{"message":"Unauthorized","code":2006,"errors":"Bad token"}}`, nil}}, 1, 0, 0, "GET /users: 401 Unauthorized: Unauthorized (code 2006): Bad token"},
		{"402", []answer{{402, `{"error":["The account has no ability teams"]}`, nil}}, 1, 0, 0, "GET /users: 402 Payment Required: The account has no ability teams"},
		{"403", []answer{{403, `{"error":{"message":"Forbidden","code":2010,"errors":{"b":["y"],"a":["x","z"]}}}`, nil}}, 1, 0, 0, "GET /users: 403 Forbidden: Forbidden (code 2010): a x, z; b y"},
		{"404", []answer{{404, "", nil}}, 1, 0, 0, "GET /users: 404 Not Found"},
		{"302", []answer{{302, "", []string{"Location", "/elsewhere"}}}, 1, 0, 0, "GET /users: 302 Found"},
		{"204", []answer{{204, "", nil}}, 1, 0, 0, "GET /users: 204 No Content"},
		{"200 that is no JSON", []answer{{200, "<html>Log in</html>", nil}}, 1, 0, 0, "GET /users: read answer: not JSON"},
		{"200 of something else", []answer{{200, `{"more":false}`, nil}}, 1, 0, 0, "GET /users: read answer: it has no users"},
		{"200 whose list is none", []answer{{200, `{"users":null}`, nil}}, 1, 0, 0, `GET /users: read answer: users: got "<nil>", want [`},
		{"200 that says there is more than nothing", []answer{{200, `{"users":[],"more":true}`, nil}}, 1, 0, 0, "GET /users: read answer: it is an empty page that says there are more"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				var at []time.Time
				reg := prometheus.NewPedanticRegistry()
				c := virtual(t, pagerduty.Config{}, reg, func(w http.ResponseWriter, _ *http.Request) {
					a := tc.answers[min(len(at), len(tc.answers)-1)]
					at = append(at, time.Now())
					reply(w, a.code, a.body, a.headers...)
				})
				_, err := c.Users(t.Context(), 0)
				if got := fmt.Sprint(err); err != nil && got != tc.want || err == nil && tc.want != "" {
					t.Errorf("got error %q, want %q", got, tc.want)
				}
				if len(at) != tc.requests {
					t.Fatalf("got %d requests, want %d", len(at), tc.requests)
				}
				if took := at[len(at)-1].Sub(at[0]); took < tc.min || took > tc.max {
					t.Errorf("got %s between the first and the last, want %s to %s", took, tc.min, tc.max)
				}
				if n := testutil.CollectAndCount(reg, "pagerelay_coverage_api_requests_total"); n != 9 {
					t.Errorf("got %d label values, want the 9 of the closed set", n)
				}
			})
		})
	}
}

func TestRESTStatusErrorKeepsAnswer(t *testing.T) {
	srv := servePlain(t, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 402, `{"error":{"message":"no"}}`, "Ratelimit-Limit", "960")
	})
	_, err := restOf(t, srv.URL).User(t.Context(), "P1")
	se := (*pagerduty.StatusError)(nil)
	if !errors.As(err, &se) {
		t.Fatalf("got %v, want a StatusError", err)
	}
	if se.Code != 402 || se.Header.Get("Ratelimit-Limit") != "960" || !strings.Contains(string(se.Body), "no") || se.Temporary() {
		t.Errorf("got %+v, temporary %v", se, se.Temporary())
	}
	// The same for what go-pagerduty has a type for: its calls would keep the text alone.
	_, err = restOf(t, srv.URL).EscalationPolicy(t.Context(), "P1")
	if se = nil; !errors.As(err, &se) || se.Code != 402 {
		t.Errorf("a type of go-pagerduty: got %v, want a StatusError", err)
	}
}

func TestRESTMetrics(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		codes := []int{200, 500, 429, 400, 401, 402, 403, 404, 418, 302}
		n := 0
		reg := prometheus.NewPedanticRegistry()
		c := virtual(t, pagerduty.Config{}, reg, func(w http.ResponseWriter, _ *http.Request) {
			code := codes[min(n, len(codes)-1)]
			n++
			reply(w, code, noUsers)
		})
		for n < len(codes) {
			_, _ = c.Users(t.Context(), 0)
		}
		want := `# HELP pagerelay_coverage_api_requests_total Requests to PagerDuty's REST API by the status of the answer; error is a request without a readable answer, or with one that PagerDuty does not give.
# TYPE pagerelay_coverage_api_requests_total counter
pagerelay_coverage_api_requests_total{code="200"} 1
pagerelay_coverage_api_requests_total{code="400"} 1
pagerelay_coverage_api_requests_total{code="401"} 1
pagerelay_coverage_api_requests_total{code="402"} 1
pagerelay_coverage_api_requests_total{code="403"} 1
pagerelay_coverage_api_requests_total{code="404"} 1
pagerelay_coverage_api_requests_total{code="429"} 1
pagerelay_coverage_api_requests_total{code="5xx"} 1
pagerelay_coverage_api_requests_total{code="error"} 2
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
		if _, err := pagerduty.NewREST(pagerduty.Config{}, pagerduty.RESTOptions{Registerer: reg}); err != nil {
			t.Errorf("a second client, after a reload: %v", err)
		}
	})
}

// However many ask, no minute has more requests than are allowed, and never two at once.
func TestRESTPace(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var at []time.Time
		busy := false
		c := virtual(t, pagerduty.Config{}, nil, func(w http.ResponseWriter, _ *http.Request) {
			if busy {
				t.Error("two requests at once")
			}
			busy = true
			at = append(at, time.Now())
			time.Sleep(30 * time.Millisecond)
			busy = false
			reply(w, 200, noUsers)
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_, _ = c.Users(ctx, 0)
				}
			})
		}
		time.Sleep(5 * time.Minute)
		cancel()
		wg.Wait()
		for i := range at {
			n := 0
			for _, o := range at[i:] {
				if o.Sub(at[i]) < time.Minute {
					n++
				}
			}
			if n > 480 {
				t.Fatalf("got %d requests in a minute, want at most 480", n)
			}
		}
		if len(at) < 5*470 {
			t.Errorf("got %d requests in 5 minutes: it is too slow", len(at))
		}
	})
}

// PagerDuty asks for one request at a time, however long each takes.
func TestRESTOneAtATime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		busy := 0
		c := virtual(t, pagerduty.Config{}, nil, func(w http.ResponseWriter, _ *http.Request) {
			if busy++; busy > 1 {
				t.Error("two requests at once")
			}
			time.Sleep(5 * time.Second)
			busy--
			reply(w, 200, noUsers)
		})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := c.Users(t.Context(), 0); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Users(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v from one that could not wait for its turn, want its context's error", err)
		}
		wg.Wait()
	})
}

// The last tenth of the account's limit is left to the others who share it.
func TestRESTLeavesTheLastTenth(t *testing.T) {
	for _, tc := range []struct {
		name    string
		headers []string
		want    time.Duration // until the next request, beside our own pace.
	}{
		{"plenty left", []string{"Ratelimit-Limit", "960", "Ratelimit-Remaining", "97", "Ratelimit-Reset", "30"}, 0},
		{"a tenth left", []string{"Ratelimit-Limit", "960", "Ratelimit-Remaining", "96", "Ratelimit-Reset", "30"}, 30 * time.Second},
		{"an operation's own limit", []string{"Ratelimit-Limit", "20", "Ratelimit-Remaining", "2", "Ratelimit-Reset", "9"}, 9 * time.Second},
		{"none left", []string{"Ratelimit-Remaining", "0", "Ratelimit-Reset", "59"}, 59 * time.Second},
		{"no reset", []string{"Ratelimit-Remaining", "0"}, 0},
		{"nonsense", []string{"Ratelimit-Limit", "x", "Ratelimit-Remaining", "-1", "Ratelimit-Reset", "30"}, 0},
		{"a reset out of all reason", []string{"Ratelimit-Remaining", "0", "Ratelimit-Reset", "3000"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				c := virtual(t, pagerduty.Config{}, nil, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, noUsers, tc.headers...) })
				start := time.Now()
				for range 2 {
					if _, err := c.Users(t.Context(), 0); err != nil {
						t.Fatal(err)
					}
				}
				if got, want := time.Since(start), max(tc.want, time.Second/8); got != want {
					t.Errorf("got the second answer after %s, want %s", got, want)
				}
			})
		})
	}
}

func TestRESTStopsWithItsContext(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := virtual(t, pagerduty.Config{}, nil, func(w http.ResponseWriter, _ *http.Request) {
			reply(w, 429, "", "Retry-After", "60")
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := c.Users(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("it took %s, want 10s", got)
		}
	})
}

// Nothing is waited for without end: each of three requests has half a minute.
func TestRESTTimeout(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := 0
		c := virtualOver(t, pagerduty.Config{Timeout: time.Second}, roundTrip(func(r *http.Request) (*http.Response, error) {
			n++
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		start := time.Now()
		_, err := c.Users(t.Context(), 0)
		if want := "GET /users: api.pagerduty.com: no answer within 30s"; err == nil || err.Error() != want || !isDeadline(err) {
			t.Errorf("got %v, want %s", err, want)
		}
		if took := time.Since(start); n != 3 || took < 92*time.Second || took > 95*time.Second {
			t.Errorf("got %d requests in %s, want 3 in a minute and a half", n, took)
		}
	})
}

// An answer that breaks off is asked for again; what was read of it does not count.
func TestRESTAnswerThatBreaksOff(t *testing.T) {
	n := 0
	srv := servePlain(t, func(w http.ResponseWriter, _ *http.Request) {
		body := `{"users":[{"id":"P1"},{"id":"P2"}],"more":false}`
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if n++; n == 1 {
			_, _ = io.WriteString(w, body[:30])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, body)
	})
	page, err := restOf(t, srv.URL).Users(t.Context(), 0)
	if err != nil || n != 2 || len(page.Items) != 2 {
		t.Errorf("got %d users after %d requests and %v, want 2 after 2", len(page.Items), n, err)
	}
}

// blanks is an answer that never ends.
type blanks struct{ start io.Reader }

func (b blanks) Read(p []byte) (int, error) {
	if n, err := b.start.Read(p); n > 0 || err == nil {
		return n, err
	}
	return copy(p, strings.Repeat(" ", min(len(p), 1<<16))), nil
}

func TestRESTAnswerWithoutEnd(t *testing.T) {
	c := virtualOver(t, pagerduty.Config{APIRequestsPerMinute: 960}, roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(blanks{strings.NewReader(`{"users":[`)}), Request: r}, nil
	}))
	_, err1 := c.Users(t.Context(), 0)
	_, err2 := c.EscalationPolicies(t.Context(), "", 0)
	for _, err := range []error{err1, err2} {
		if err == nil || !strings.Contains(err.Error(), "larger than 32 MiB") {
			t.Errorf("got %v, want that it is too large", err)
		}
	}
}

func TestRESTPaging(t *testing.T) {
	// serve lists the given number of things, at most perPage a page.
	serve := func(key string, total, perPage int, more bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var limit, offset int
			_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
			_, _ = fmt.Sscan(r.URL.Query().Get("offset"), &offset)
			if offset+limit > 10_000 {
				reply(w, 400, `{"error":{"message":"Invalid Input Provided","code":2001}}`)
				return
			}
			limit = min(limit, perPage)
			var items []string
			for i := offset; i < min(offset+limit, total); i++ {
				items = append(items, fmt.Sprintf(`{"id":"P%d","summary":"P%d"}`, i, i))
			}
			said := ""
			if more {
				said = fmt.Sprintf(`,"more":%v`, offset+limit < total)
			}
			reply(w, 200, fmt.Sprintf(`{"%s":[%s],"limit":%d,"offset":%d%s}`, key, strings.Join(items, ","), limit, offset, said))
		}
	}
	for _, tc := range []struct {
		name            string
		total, perPage  int
		users, policies string // the last of them, or the error.
	}{
		{"none", 0, 100, "", ""},
		{"one page", 100, 100, "P99", "P99"},
		{"three pages", 201, 100, "P200", "P200"},
		{"fewer a page than asked for", 60, 25, "P59", "P59"},
		{"all that may be listed", 10_000, 100, "P9999", "P9999"},
		{"more than may be listed", 10_001, 100, "too many", "too many"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				last := func(id string, n int, err error) string {
					if errors.Is(err, pagerduty.ErrTooMany) {
						return "too many"
					}
					if err != nil || n != tc.total {
						t.Errorf("got %d and %v, want %d", n, err, tc.total)
					}
					return id
				}
				c := virtual(t, pagerduty.Config{}, nil, serve("users", tc.total, tc.perPage, true))
				users, err := pagerduty.All(t.Context(), c.Users)
				got := ""
				if len(users) > 0 {
					got = users[len(users)-1].ID
				}
				if got = last(got, len(users), err); got != tc.users {
					t.Errorf("users: got %q, want %q", got, tc.users)
				}
				c = virtual(t, pagerduty.Config{}, nil, serve("escalation_policies", tc.total, tc.perPage, true))
				policies, err := pagerduty.All(t.Context(), func(ctx context.Context, offset int) (pagerduty.Page[pagerduty.EscalationPolicy], error) {
					return c.EscalationPolicies(ctx, "", offset)
				})
				got = ""
				if len(policies) > 0 {
					got = policies[len(policies)-1].ID
				}
				if got = last(got, len(policies), err); got != tc.policies {
					t.Errorf("policies: got %q, want %q", got, tc.policies)
				}
			})
		})
	}
	t.Run("of v3, which need not say that there are more", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			for _, more := range []bool{true, false} {
				for _, total := range []int{0, 999, 1000, 2500} {
					c := virtual(t, pagerduty.Config{}, nil, serve("schedules", total, 1000, more))
					refs, err := pagerduty.All(t.Context(), c.ShiftSchedules)
					if err != nil || len(refs) != total {
						t.Errorf("more is said %v: got %d and %v, want %d", more, len(refs), err, total)
					}
				}
			}
		})
	})
}

func TestRESTToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got string
	srv := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		reply(w, 200, noUsers)
	})
	client := func(cfg pagerduty.Config) *pagerduty.REST {
		t.Helper()
		cfg.APIURL = srv.URL
		c, err := pagerduty.NewREST(cfg, pagerduty.RESTOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.CloseIdleConnections)
		return c
	}
	c := client(pagerduty.Config{APITokenFile: path})
	wantNone := func(c *pagerduty.REST, want string) {
		t.Helper()
		got = ""
		_, err := c.Users(t.Context(), 0)
		if !errors.Is(err, pagerduty.ErrNoToken) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want ErrNoToken that says %q", err, want)
		}
		if got != "" {
			t.Errorf("asked with %q", got)
		}
	}
	wantNone(client(pagerduty.Config{}), "pagerduty.api_token_file is not set")
	wantNone(c, "no such file")
	write(" \n")
	wantNone(c, "is empty")
	write("secret one\nsecret two")
	wantNone(c, "a character that no token has")
	for _, token := range []string{"first", "second"} { // a rotated token needs no reload.
		write(token + "\n")
		if _, err := c.Users(t.Context(), 0); err != nil || got != "Token token="+token {
			t.Errorf("got %q and %v, want %s", got, err, token)
		}
	}
}

// Whatever is answered, no error shows the token.
func TestRESTLeaksNoToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(testToken), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, code := range []int{200, 302, 400, 401, 404, 500} {
		for _, cfg := range []pagerduty.Config{{APIToken: testToken}, {APITokenFile: path}} {
			bubble.Test(t, func(t *testing.T) {
				c, err := pagerduty.NewREST(cfg, pagerduty.RESTOptions{Transport: inProcess{func(w http.ResponseWriter, r *http.Request) {
					auth := r.Header.Get("Authorization")
					if !strings.HasSuffix(auth, testToken) {
						t.Errorf("got Authorization %q: the test cannot fail", auth)
					}
					reply(w, code, `{"error":{"message":"you sent `+auth+`","errors":["`+auth+`"]}}`, "X-Echo", auth, "Location", "/"+auth)
				}}})
				if err != nil {
					t.Fatal(err)
				}
				_, err1 := c.User(t.Context(), "P1")
				_, err2 := c.EscalationPolicy(t.Context(), "P1")
				for _, err := range []error{err1, err2} {
					if err == nil {
						t.Fatalf("%d: got no error", code)
					}
					shown := fmt.Sprintf("%v %+v %#v %v", err, err, errors.Unwrap(err), cfg)
					if se := (*pagerduty.StatusError)(nil); errors.As(err, &se) {
						shown += fmt.Sprint(se.Header, string(se.Body))
					}
					if strings.Contains(shown, "rest-token") {
						t.Errorf("%d: shows the token: %s", code, shown)
					}
				}
			})
		}
	}
}

// What go-pagerduty reads otherwise, or not at all.
func TestRESTReads(t *testing.T) {
	answers := map[string]string{
		"/services": `{"services":[{"id":"PS1","name":"infra","status":"active","escalation_policy":{"id":"PE1"},"html_url":"https://x/PS1",
			"incident_urgency_rule":{"type":"use_support_hours","during_support_hours":{"type":"constant","urgency":"high"},"outside_support_hours":{"type":"constant","urgency":"low"}},
			"integrations":[{"id":"PI1","integration_key":"` + testKey + `"},{"id":"PI2","integration_key":null,"email_filter_mode":null},{"id":"PI3"},{"integration_key":"****cdef"},{"integration_key":7}]}],"more":false}`,
		"/users/PU1": `{"user":{"id":"PU1","name":"Ann","time_zone":"Europe/Paris","contact_methods":[
			{"id":"PC1","type":"push_notification_contact_method"},
			{"id":"PC2","type":"phone_contact_method","enabled":false,"blacklisted":true,"address":"5550100"}],
			"notification_rules":[{"id":"PR1","type":"assignment_notification_rule","start_delay_in_minutes":5,"urgency":"low","contact_method":{"id":"PC1","type":"push_notification_contact_method_reference"}}]}}`,
		"/oncalls": `{"oncalls":[{"user":{"id":"PU1"},"schedule":null,"escalation_policy":{"id":"PE1"},"escalation_level":2,"start":null,"end":null},
			{"user":null,"schedule":{"id":"PV3","type":"schedule_v3_reference"},"escalation_policy":{"id":"PE1"},"escalation_level":1,"start":"2026-03-08T01:00:00-08:00","end":"2026-03-08T03:00:00-07:00"}],"more":false,"total":null}`,
		"/schedules/PS1": `{"schedule":{"id":"PS1","final_schedule":{"rendered_coverage_percentage":null,"rendered_schedule_entries":[{"start":"2026-03-08T01:00:00-08:00","end":null,"user":null}]}}}`,
	}
	srv := servePlain(t, func(w http.ResponseWriter, r *http.Request) { reply(w, 200, answers[r.URL.Path]) })
	c := restOf(t, srv.URL)

	services, err := c.Services(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	// printf %s 0123456789abcdef0123456789abcdef | sha256sum
	const hash = "3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9"
	wantService := pagerduty.Service{
		ID: "PS1", Name: "infra", HTMLURL: "https://x/PS1", Status: "active", EscalationPolicy: pagerduty.Reference{ID: "PE1"},
		IncidentUrgencyRule: &pagerduty.UrgencyRule{Type: "use_support_hours", During: &pagerduty.UrgencyRule{Type: "constant", Urgency: "high"}, Outside: &pagerduty.UrgencyRule{Type: "constant", Urgency: "low"}},
		Integrations:        []pagerduty.Integration{{Key: hash}, {}, {}, {}, {}},
	}
	if diff := cmp.Diff([]pagerduty.Service{wantService}, services.Items); diff != "" {
		t.Errorf("services: -want +got:\n%s", diff)
	}

	user, err := c.User(t.Context(), "PU1")
	if err != nil {
		t.Fatal(err)
	}
	off := false
	if diff := cmp.Diff(pagerduty.User{
		ID: "PU1", Name: "Ann", TimeZone: "Europe/Paris",
		ContactMethods:    []pagerduty.ContactMethod{{ID: "PC1", Type: "push_notification_contact_method"}, {ID: "PC2", Type: "phone_contact_method", Enabled: &off, Blacklisted: true}},
		NotificationRules: []pagerduty.NotificationRule{{ID: "PR1", Type: "assignment_notification_rule", StartDelayInMinutes: 5, Urgency: "low", ContactMethod: pagerduty.Reference{ID: "PC1", Type: "push_notification_contact_method_reference"}}},
	}, user); diff != "" {
		t.Errorf("user: -want +got:\n%s", diff)
	}

	oncalls, err := c.OnCalls(t.Context(), []string{"PE1"}, time.Now(), time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"PU1//2//", "/PV3/1/2026-03-08T01:00:00-08:00/2026-03-08T03:00:00-07:00"} {
		o := oncalls.Items[i]
		if got := fmt.Sprintf("%s/%s/%d/%s/%s", o.User.ID, o.Schedule.ID, o.EscalationLevel, o.Start, o.End); got != want {
			t.Errorf("on-call %d: got %s, want %s", i, got, want)
		}
	}

	schedule, err := c.Schedule(t.Context(), "PS1", time.Now(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if schedule.Final == nil || schedule.Final.Coverage != nil || schedule.Final.Entries[0].End != "" || schedule.Final.Entries[0].User.ID != "" {
		t.Errorf("got %+v, want no percentage, no end and nobody", schedule.Final)
	}
}

func TestParseTime(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"2026-03-08T01:30:00Z", "2026-03-08T01:30:00Z"},
		{"2026-11-01T01:30:00-07:00", "2026-11-01T08:30:00Z"}, // the same clock twice, an hour apart.
		{"2026-11-01T01:30:00-08:00", "2026-11-01T09:30:00Z"},
		{"2026-04-05T01:45:00+10:30", "2026-04-04T15:15:00Z"}, // Lord Howe.
		{"2026-03-08T01:30:00.123+0000", "2026-03-08T01:30:00.123Z"},
		{"2026-03-08T01:30:00", ""},
		{"2026-03-08", ""},
		{"yesterday", ""},
		{"", ""},
	} {
		got, err := pagerduty.ParseTime(tc.text)
		if tc.want == "" {
			if err == nil {
				t.Errorf("%q: got %s, want an error", tc.text, got)
			}
			continue
		}
		if err != nil || got.Format(time.RFC3339Nano) != tc.want || got.Location() != time.UTC {
			t.Errorf("%q: got %s and %v, want %s", tc.text, got, err, tc.want)
		}
	}
}

func TestRESTRegion(t *testing.T) {
	for region, want := range map[string]string{"": "api.pagerduty.com", "us": "api.pagerduty.com", "eu": "api.eu.pagerduty.com"} {
		var got string
		c, err := pagerduty.NewREST(pagerduty.Config{Region: region, APIToken: testToken}, pagerduty.RESTOptions{Transport: inProcess{func(w http.ResponseWriter, r *http.Request) {
			got = r.URL.Scheme + "://" + r.URL.Host
			reply(w, 200, noUsers)
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Users(t.Context(), 0); err != nil || got != "https://"+want {
			t.Errorf("region %q: got %s and %v, want %s", region, got, err, want)
		}
	}
}
