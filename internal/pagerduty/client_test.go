package pagerduty_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	promconfig "github.com/prometheus/common/config"

	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

func TestRequest(t *testing.T) {
	type request struct {
		Path, Proto, ContentType, Accept string
		Body                             map[string]any
	}
	var got request
	srv := serve(t, tls.VersionTLS13, 0, func(w http.ResponseWriter, r *http.Request) {
		got = request{Path: r.URL.Path, Proto: r.Proto, ContentType: r.Header.Get("Content-Type"), Accept: r.Header.Get("Accept")}
		if !strings.HasPrefix(r.UserAgent(), "pagerelay/") {
			t.Errorf("got User-Agent %q, want pagerelay/ and its version", r.UserAgent())
		}
		if r.TLS.Version != tls.VersionTLS13 {
			t.Errorf("got TLS %s, want 1.3", tls.VersionName(r.TLS.Version))
		}
		if err := json.NewDecoder(r.Body).Decode(&got.Body); err != nil {
			t.Error(err)
		}
		accept(w, r)
	})
	c := clientOf(t, srv)

	wantKind(t, c.Enqueue(t.Context(), "", testEvent()), pagerduty.Accepted)
	want := request{Path: "/v2/enqueue", Proto: "HTTP/2.0", ContentType: "application/json", Accept: "application/json", Body: map[string]any{
		"routing_key": testKey, "event_action": "trigger", "dedup_key": "infra/DiskFull/1",
		"payload": map[string]any{"summary": "disk is full", "source": "db-1", "severity": "critical"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event: -want +got:\n%s", diff)
	}

	change := &pagerduty.ChangeEvent{RoutingKey: testKey}
	change.Payload.Summary = "deployed"
	wantKind(t, c.EnqueueChange(t.Context(), "eu", change), pagerduty.Accepted)
	want.Path = "/v2/change/enqueue"
	want.Body = map[string]any{"routing_key": testKey, "payload": map[string]any{"summary": "deployed"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("change event: -want +got:\n%s", diff)
	}
}

func TestEndpoint(t *testing.T) {
	for _, tc := range []struct {
		name, region, service, want string
	}{
		{"default is us", "", "", "events.pagerduty.com:443"},
		{"us", "us", "", "events.pagerduty.com:443"},
		{"eu", "eu", "", "events.eu.pagerduty.com:443"},
		{"service in eu", "us", "eu", "events.eu.pagerduty.com:443"},
		{"service in us", "eu", "us", "events.pagerduty.com:443"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// A proxy that refuses every tunnel sees where the client wants to go.
			var got string
			proxy := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
				got = r.Method + " " + r.Host
				w.WriteHeader(http.StatusForbidden)
			})
			hc := promconfig.DefaultHTTPClientConfig
			hc.ProxyURL = proxyURL(t, proxy.URL)
			c := newClient(t, pagerduty.Config{Region: tc.region, HTTPConfig: &hc})
			wantKind(t, c.Enqueue(t.Context(), tc.service, testEvent()), pagerduty.Unsent)
			if got != "CONNECT "+tc.want {
				t.Errorf("got %q, want CONNECT %s", got, tc.want)
			}
		})
	}
}

func TestEventsURL(t *testing.T) {
	var got string
	srv := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.Path
		accept(w, r)
	})
	for _, tc := range []struct{ name, path, event, change string }{
		{"scheme and host", "", "/v2/enqueue", "/v2/change/enqueue"},
		{"slash", "/", "/v2/enqueue", "/v2/change/enqueue"},
		{"alertmanager's pagerduty_url", "/v2/enqueue", "/v2/enqueue", "/v2/change/enqueue"},
		{"behind a prefix", "/pd/v2/enqueue", "/pd/v2/enqueue", "/pd/v2/change/enqueue"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newClient(t, pagerduty.Config{EventsURL: srv.URL + tc.path})
			wantKind(t, c.Enqueue(t.Context(), "eu", testEvent()), pagerduty.Accepted) // the override wins over a region.
			if got != tc.event {
				t.Errorf("event: got path %q, want %q", got, tc.event)
			}
			wantKind(t, c.EnqueueChange(t.Context(), "", &pagerduty.ChangeEvent{RoutingKey: testKey}), pagerduty.Accepted)
			if got != tc.change {
				t.Errorf("change event: got path %q, want %q", got, tc.change)
			}
		})
	}
}

func TestTLSMinimum(t *testing.T) {
	srv := serve(t, tls.VersionTLS12, tls.VersionTLS12, accept)
	err := clientOf(t, srv).Enqueue(t.Context(), "", testEvent())
	if got := wantKind(t, err, pagerduty.Unsent); !strings.Contains(got.Message, "protocol version") {
		t.Errorf("got %q, want a message about the protocol version", got.Message)
	}

	hc := trusting(srv)
	hc.TLSConfig.MinVersion = promconfig.TLSVersion(tls.VersionTLS12)
	c := newClient(t, pagerduty.Config{EventsURL: srv.URL, HTTPConfig: hc})
	wantKind(t, c.Enqueue(t.Context(), "", testEvent()), pagerduty.Accepted)
}

func TestUntrustedCertificate(t *testing.T) {
	srv := serve(t, tls.VersionTLS13, 0, accept)
	c := newClient(t, pagerduty.Config{EventsURL: srv.URL})
	wantKind(t, c.Enqueue(t.Context(), "", testEvent()), pagerduty.Unsent)
}

func TestConnectionsAreKept(t *testing.T) {
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(accept))
	srv.EnableHTTP2 = true
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	c := clientOf(t, srv)
	for range 5 {
		wantKind(t, c.Enqueue(t.Context(), "", testEvent()), pagerduty.Accepted)
	}
	if got := conns.Load(); got != 1 {
		t.Errorf("got %d connections for 5 events, want 1", got)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		var followed atomic.Bool
		other := servePlain(t, func(http.ResponseWriter, *http.Request) { followed.Store(true) })
		srv := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/?routing_key="+testKey, code)
		})
		err := clientOf(t, srv).Enqueue(t.Context(), "", testEvent())
		wantKind(t, err, pagerduty.Failed)
		if followed.Load() {
			t.Errorf("%d was followed", code)
		}
	}
}

func TestUnsent(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	silent := listen(t, func(net.Conn) {})
	hangUp := listen(t, func(conn net.Conn) { _ = conn.Close() })
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancelLate()

	for _, tc := range []struct {
		name     string
		ctx      context.Context
		cfg      pagerduty.Config
		deadline bool
	}{
		{"connection refused", t.Context(), pagerduty.Config{EventsURL: "http://" + closed.Addr().String()}, false},
		{"tls handshake hangs", t.Context(), pagerduty.Config{EventsURL: "https://" + silent, Timeout: 50 * time.Millisecond}, true},
		{"tls handshake cut", t.Context(), pagerduty.Config{EventsURL: "https://" + hangUp}, false},
		{"cancelled before", cancelled, pagerduty.Config{EventsURL: "http://" + silent}, false},
		{"too late before", late, pagerduty.Config{EventsURL: "http://" + silent}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := newClient(t, tc.cfg).Enqueue(tc.ctx, "", testEvent())
			wantKind(t, err, pagerduty.Unsent)
			if got := isDeadline(err); got != tc.deadline {
				t.Errorf("got errors.Is(%v, DeadlineExceeded) %t, want %t", err, got, tc.deadline)
			}
		})
	}
	err = newClient(t, pagerduty.Config{}).Enqueue(t.Context(), "mars", testEvent())
	if got := wantKind(t, err, pagerduty.Unsent); !strings.Contains(got.Message, `"mars"`) {
		t.Errorf("got %q, want the region in it", got.Message)
	}
}

func TestAmbiguous(t *testing.T) {
	for _, tc := range []struct{ name, url string }{
		{"closed after the request was read", raw(t, "")},
		{"half a status line", raw(t, "HTTP/1.1 20")},
		{"half the headers", raw(t, "HTTP/1.1 202 Accepted\r\nContent-Le")},
		{"half the body of a 202", raw(t, "HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{\"status\":\"success\"}")},
		{"not http", raw(t, "220 mail.example.com ESMTP\r\n")},
		{"closed before the request was read", "http://" + listen(t, func(conn net.Conn) { _ = conn.Close() })},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newClient(t, pagerduty.Config{EventsURL: tc.url})
			wantKind(t, c.Enqueue(t.Context(), "", testEvent()), pagerduty.Ambiguous)
		})
	}
}

// The status says enough, whatever becomes of the body.
func TestHalfBodies(t *testing.T) {
	for _, tc := range []struct {
		status string
		want   pagerduty.Kind
	}{
		{"400 Bad Request", pagerduty.Failed},
		{"413 Content Too Large", pagerduty.TooLarge},
		{"429 Too Many Requests", pagerduty.Throttled},
		{"502 Bad Gateway", pagerduty.Failed},
	} {
		c := newClient(t, pagerduty.Config{EventsURL: raw(t, "HTTP/1.1 "+tc.status+"\r\nContent-Length: 100\r\n\r\n{\"status\":")})
		wantKind(t, c.Enqueue(t.Context(), "", testEvent()), tc.want)
	}
}

func TestTimeoutAfterSending(t *testing.T) {
	for _, tls13 := range []bool{false, true} {
		var hang atomic.Bool
		release := make(chan struct{})
		h := func(w http.ResponseWriter, r *http.Request) {
			if hang.Load() {
				<-release
				return
			}
			accept(w, r)
		}
		var srv *httptest.Server
		if tls13 {
			srv = serve(t, tls.VersionTLS13, 0, h)
		} else {
			srv = servePlain(t, h)
		}
		t.Cleanup(func() { close(release) })
		c := clientOf(t, srv)
		wantKind(t, c.Enqueue(t.Context(), "", testEvent()), pagerduty.Accepted) // the connection is up.
		hang.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // time enough to send it.
		defer cancel()
		err := c.Enqueue(ctx, "", testEvent())
		wantKind(t, err, pagerduty.Ambiguous)
		if !isDeadline(err) {
			t.Errorf("got %v, want errors.Is DeadlineExceeded", err)
		}
		if te := (interface{ Temporary() bool })(nil); !errors.As(err, &te) || !te.Temporary() {
			t.Errorf("got %v, want it temporary", err)
		}
	}
}

func TestConfiguredTimeout(t *testing.T) {
	release := make(chan struct{})
	srv := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
		// Headers in time, and then a body that never ends: the limit is on the whole.
		w.WriteHeader(http.StatusAccepted)
		_ = http.NewResponseController(w).Flush()
		<-release
	})
	t.Cleanup(func() { close(release) })
	c := newClient(t, pagerduty.Config{EventsURL: srv.URL, Timeout: 200 * time.Millisecond})
	err := c.Enqueue(t.Context(), "", testEvent())
	if !isDeadline(err) {
		t.Errorf("got %v, want errors.Is DeadlineExceeded", err)
	}
}

func TestCancelledWhileSending(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	srv := servePlain(t, func(http.ResponseWriter, *http.Request) {
		cancel()
		<-release
	})
	t.Cleanup(func() { close(release) })
	err := clientOf(t, srv).Enqueue(ctx, "", testEvent())
	wantKind(t, err, pagerduty.Ambiguous)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want errors.Is Canceled", err)
	}
}

// A firewall that forgets a connection costs one request, not every request
// until HTTP/2's ping finds out.
func TestForgottenConnection(t *testing.T) {
	srv := serve(t, tls.VersionTLS13, 0, accept)
	var mtx sync.Mutex
	var links []*link
	front := listen(t, func(conn net.Conn) {
		back, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer back.Close()
		l := &link{}
		mtx.Lock()
		links = append(links, l)
		mtx.Unlock()
		var wg sync.WaitGroup
		wg.Go(func() { l.copy(back, conn); _ = back.Close() })
		wg.Go(func() { l.copy(conn, back); _ = conn.Close() })
		wg.Wait()
	})
	c := newClient(t, pagerduty.Config{EventsURL: "https://" + front, HTTPConfig: trusting(srv)})
	wantKind(t, c.Enqueue(t.Context(), "", testEvent()), pagerduty.Accepted)

	mtx.Lock()
	for _, l := range links {
		l.dead.Store(true)
	}
	mtx.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // time enough to send it.
	defer cancel()
	wantKind(t, c.Enqueue(ctx, "", testEvent()), pagerduty.Ambiguous)
	wantKind(t, c.Enqueue(t.Context(), "", testEvent()), pagerduty.Accepted)
}

// link swallows what it should copy once it is dead.
type link struct{ dead atomic.Bool }

func (l *link) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if !l.dead.Load() {
			_, _ = to.Write(buf[:n])
		}
	}
}

func TestUnencodable(t *testing.T) {
	c := newClient(t, pagerduty.Config{})
	e := testEvent()
	e.Payload.Details = map[string]any{"load": math.NaN()}
	wantKind(t, c.Enqueue(t.Context(), "", e), pagerduty.Refused)
	wantKind(t, c.Enqueue(t.Context(), "", nil), pagerduty.Refused)
	wantKind(t, c.EnqueueChange(t.Context(), "", nil), pagerduty.Refused)
}

func TestHugeBody(t *testing.T) {
	for _, code := range []int{202, 400, 502} {
		srv := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(code)
			for {
				if _, err := io.WriteString(w, strings.Repeat("no ", 1000)); err != nil {
					return // the client has had enough.
				}
			}
		})
		err := clientOf(t, srv).Enqueue(t.Context(), "", testEvent())
		got := wantKind(t, err, pagerduty.Failed)
		se := (*pagerduty.StatusError)(nil)
		if !errors.As(err, &se) || len(se.Body) > 4<<10 {
			t.Errorf("got %d bytes of body, want 4 KiB at most", len(se.Body))
		}
		if n := len([]rune(got.Message)); n > 300 {
			t.Errorf("got a message of %d characters, want 300 at most", n)
		}
	}
}

func BenchmarkEnqueue(b *testing.B) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(accept))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	c, err := pagerduty.New(pagerduty.Config{EventsURL: srv.URL, HTTPConfig: trusting(srv)})
	if err != nil {
		b.Fatal(err)
	}
	e := testEvent()
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Enqueue(b.Context(), "", e); err != nil {
			b.Fatal(err)
		}
	}
}
