package emulator

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
)

// Transport is a client's way to the emulator without sockets: requests for
// any host are served in this process. A connection that the emulator cuts is
// ECONNRESET to the client, and a context that ends is honoured at once. It works
// in a testing/synctest bubble in which the emulator was made.
func (e *Emulator) Transport() http.RoundTripper { return transport{e.mux} }

type transport struct{ handler http.Handler }

// RoundTrip serves r in a goroutine, as a server would: r may time out and what
// was asked still be done.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		if closeErr := r.Body.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return nil, fmt.Errorf("read request body: %w", err)
		}
	}
	in := r.Clone(r.Context())
	in.Body = io.NopCloser(bytes.NewReader(body))
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:1"
	if in.Host == "" {
		in.Host = r.URL.Host
	}

	done := make(chan *recorder, 1) // nil: the connection was cut.
	go func() {
		rec := &recorder{header: http.Header{}}
		defer func() {
			v := recover()
			err, _ := v.(error)
			switch {
			case v == nil:
				done <- rec
			case errors.Is(err, http.ErrAbortHandler):
				done <- nil
			default:
				panic(v)
			}
		}()
		t.handler.ServeHTTP(rec, in)
	}()
	select {
	case rec := <-done:
		if rec == nil {
			if err := r.Context().Err(); err != nil {
				return nil, err
			}
			return nil, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
		}
		return rec.response(r), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// recorder is the least http.ResponseWriter that keeps what it is given.
type recorder struct {
	header http.Header
	sent   http.Header // as it was when the status was written.
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status, r.sent = status, r.header.Clone()
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

func (r *recorder) response(req *http.Request) *http.Response {
	r.WriteHeader(http.StatusOK)
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", r.status, http.StatusText(r.status)),
		StatusCode: r.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        r.sent,
		Body:          io.NopCloser(bytes.NewReader(r.body.Bytes())),
		ContentLength: int64(r.body.Len()),
		Request:       req,
	}
}
