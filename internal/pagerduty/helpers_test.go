package pagerduty_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	promconfig "github.com/prometheus/common/config"

	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

const testKey = "0123456789abcdef0123456789abcdef"

func testEvent() *pagerduty.Event {
	return &pagerduty.Event{
		RoutingKey: testKey,
		Action:     "trigger",
		DedupKey:   "infra/DiskFull/1",
		Payload:    &pagerduty.Payload{Summary: "disk is full", Source: "db-1", Severity: "critical"},
	}
}

// serve runs a TLS server of HTTP/2 and HTTP/1.1 with the given versions.
func serve(t *testing.T, minVersion, maxVersion uint16, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.TLS = &tls.Config{MinVersion: minVersion, MaxVersion: maxVersion}
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func servePlain(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// trusting is an http_config that trusts srv.
func trusting(srv *httptest.Server) *promconfig.HTTPClientConfig {
	hc := promconfig.DefaultHTTPClientConfig
	if c := srv.Certificate(); c != nil {
		hc.TLSConfig.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return &hc
}

func newClient(t *testing.T, cfg pagerduty.Config) *pagerduty.Client {
	t.Helper()
	c, err := pagerduty.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func clientOf(t *testing.T, srv *httptest.Server) *pagerduty.Client {
	t.Helper()
	return newClient(t, pagerduty.Config{EventsURL: srv.URL, HTTPConfig: trusting(srv)})
}

func accept(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"success","message":"Event processed","dedup_key":"infra/DiskFull/1"}`)
}

func answering(code int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func wantKind(t *testing.T, err error, want pagerduty.Kind) pagerduty.Answer {
	t.Helper()
	got := pagerduty.Classify(err)
	if got.Kind != want {
		t.Fatalf("got kind %q (%v), want %q", got.Kind, err, want)
	}
	if strings.Contains(got.Message, testKey) || err != nil && strings.Contains(err.Error(), testKey) {
		t.Fatalf("the routing key is shown: %q, %v", got.Message, err)
	}
	return got
}

// listen accepts on loopback and hands each connection to handle.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mtx sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mtx.Lock()
			conns = append(conns, conn)
			mtx.Unlock()
			wg.Go(func() { handle(conn) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mtx.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mtx.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

// raw serves HTTP/1.1 by hand: it reads one request whole, then writes answer
// and closes the connection.
func raw(t *testing.T, answer string) string {
	t.Helper()
	return "http://" + listen(t, func(conn net.Conn) {
		defer conn.Close()
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = io.WriteString(conn, answer)
	})
}

// proxyURL makes the proxy_url of an http_config.
func proxyURL(t *testing.T, s string) promconfig.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return promconfig.URL{URL: u}
}

func isDeadline(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
