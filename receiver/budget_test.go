package receiver_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pagerelay/pagerelay/mapping"
	"github.com/pagerelay/pagerelay/receiver"
)

// slowSink stores nothing until it is let go.
type slowSink struct {
	began, goOn chan struct{}
}

func (s *slowSink) Observe(context.Context, []mapping.Observation) error {
	s.began <- struct{}{}
	<-s.goOn
	return nil
}

func TestLargeBodiesShareWhatOneMayTake(t *testing.T) {
	sink := &slowSink{began: make(chan struct{}), goOn: make(chan struct{})}
	recv, err := receiver.New(sink, receiver.Config{MaxBody: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := recv.SetPolicy(oneToOne{}, receiver.Access{}); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	recv.Register(mux)
	post := func(size int, chunked bool) *httptest.ResponseRecorder {
		text := `{"version":"4","receiver":"r","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"A"},"startsAt":"2026-01-02T03:04:05Z"}],"groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"","groupKey":"k"` + strings.Repeat(" ", size) + "}"
		req := httptest.NewRequest(http.MethodPost, receiver.PathWebhook, strings.NewReader(text))
		if chunked {
			req.ContentLength = -1
		}
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, req)
		if rest, _ := req.Body.Read(make([]byte, 1)); rest != 0 {
			t.Errorf("a body of %d bytes was answered %d before it was read", size, rec.Code)
		}
		return rec
	}
	done := make(chan int)
	begin := func(size int) {
		t.Helper()
		go func() { done <- post(size, false).Code }()
		select {
		case <-sink.began:
		case code := <-done:
			t.Fatalf("a body of %d bytes was answered %d before it was to be stored", size, code)
		}
	}
	begin(900 << 10)
	for name, second := range map[string]func() *httptest.ResponseRecorder{
		"another large one":     func() *httptest.ResponseRecorder { return post(600<<10, false) },
		"one of unknown length": func() *httptest.ResponseRecorder { return post(0, true) },
	} {
		if rec := second(); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
			t.Errorf("%s beside a large one was answered %d, Retry-After %q, want 503 with one", name, rec.Code, rec.Header().Get("Retry-After"))
		}
	}
	begin(200 << 10) // a small one is within its budget.
	close(sink.goOn)
	for range 2 {
		if code := <-done; code != http.StatusOK {
			t.Errorf("got %d, want 200", code)
		}
	}
	begin(600 << 10) // the budget is free again.
	if code := <-done; code != http.StatusOK {
		t.Errorf("got %d, want 200", code)
	}
}
