package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"
)

// arrival is an event that reached the stand-in for PagerDuty.
type arrival struct {
	at   time.Time
	body string
}

// sink stands in for PagerDuty's Events API v2: it accepts everything, at once,
// and never throttles. Plain HTTP: a TLS handshake is not what is measured.
type sink struct {
	*httptest.Server
	watched  atomic.Bool  // hand events on.
	arrivals chan arrival // of watched events.
	mu       sync.Mutex
	open     map[string]bool // dedup keys of accepted triggers.
}

func newSink() *sink {
	s := &sink{arrivals: make(chan arrival, 64), open: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.enqueue))
	return s
}

func (s *sink) enqueue(w http.ResponseWriter, req *http.Request) {
	at := time.Now()
	body, err := io.ReadAll(req.Body)
	var e struct {
		Action string `json:"event_action"`
		Key    string `json:"dedup_key"`
	}
	if err != nil || json.Unmarshal(body, &e) != nil {
		http.Error(w, `{"status":"invalid event","message":"Event object is invalid","errors":["unreadable"]}`, http.StatusBadRequest)
		return
	}
	if s.watched.Load() {
		s.arrivals <- arrival{at: at, body: string(body)}
	}
	if e.Action == "trigger" {
		s.mu.Lock()
		s.open[e.Key] = true
		s.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	// The sender may be gone; nothing is lost here.
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "success", "message": "Event processed", "dedup_key": e.Key})
}

// count is the number of different dedup keys triggered.
func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}
