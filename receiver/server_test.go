package receiver_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/receiver"
)

// serve runs h behind NewServer on a loopback port of the system's choice.
func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	ts := httptest.NewUnstartedServer(nil)
	ts.Config = receiver.NewServer(h, nil)
	ts.Start()
	t.Cleanup(ts.Close)
	return ts
}

// pipeListener hands out one end of a pipe.
type pipeListener struct{ conns chan net.Conn }

func (l pipeListener) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l pipeListener) Close() error   { return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// TestSlowCallersAreCutOff runs on synctest's clock: a caller that sends one
// byte a second is never idle, and would hold its connection for ever.
func TestSlowCallersAreCutOff(t *testing.T) {
	cases := []struct {
		name, head string
		want       time.Duration
		answer     string
	}{
		{"slow headers", "POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nX-Slow: ", receiver.ReadHeaderTimeout, ""},
		{"slow body", "POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", receiver.ReadTimeout, "HTTP/1.1 503 Service Unavailable"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				d := open(t, receiver.Config{}, receiver.Access{})
				srv := receiver.NewServer(d.mux, nil)
				ln := pipeListener{conns: make(chan net.Conn, 1)}
				served := make(chan error, 1)
				go func() { served <- srv.Serve(ln) }()

				mine, theirs := net.Pipe()
				ln.conns <- theirs
				start := time.Now()
				hungUp := make(chan struct{})
				go func() {
					defer close(hungUp)
					if _, err := io.WriteString(mine, tc.head); err != nil {
						return
					}
					for {
						if _, err := io.WriteString(mine, "x"); err != nil {
							return
						}
						time.Sleep(time.Second) // synctest's clock.
					}
				}()
				answer, _ := io.ReadAll(mine) // until the server hangs up.
				if got, _, _ := strings.Cut(string(answer), "\r\n"); got != tc.answer {
					t.Errorf("got answer %q, want %q", got, tc.answer)
				}
				// The server may wait half a second more for the other end to hang up.
				if took := time.Since(start); took < tc.want || took > tc.want+2*time.Second {
					t.Errorf("got cut off after %s, want %s", took, tc.want)
				}
				mine.Close()
				<-hungUp
				close(ln.conns)
				if err := <-served; !errors.Is(err, net.ErrClosed) {
					t.Errorf("got %v from Serve", err)
				}
				if err := srv.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestHeaderLimit(t *testing.T) {
	d := open(t, receiver.Config{}, receiver.Access{})
	srv := serve(t, d.mux)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+receiver.PathWebhook, strings.NewReader(oneAlert))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Large", strings.Repeat("x", 2*receiver.MaxHeaderBytes))
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %s, want 431", resp.Status)
	}
}

// TestDrainBeforeShutdown: once draining, an open connection still gets an answer.
func TestDrainBeforeShutdown(t *testing.T) {
	d := open(t, receiver.Config{}, receiver.Access{})
	srv := serve(t, d.mux)
	for _, want := range []int{200, 503} {
		resp, err := srv.Client().Post(srv.URL+receiver.PathWebhook, "application/json", strings.NewReader(oneAlert))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("got %s, want %d", resp.Status, want)
		}
		d.recv.Drain()
	}
}
