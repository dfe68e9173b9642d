package emulator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

func TestMemoryIsBounded(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{KeepRequests: 10, KeepResolved: 7, KeepChanges: 5})
	send(t, e, triggerBody(key, "open", "critical"))
	for i := range 100 {
		send(t, e, triggerBody(key, fmt.Sprint(i), "critical"))
		send(t, e, actBody(key, "resolve", fmt.Sprint(i)))
		mustDo(t, e, http.MethodPost, "/v2/change/enqueue", `{"routing_key":"`+key+`","payload":{"summary":"s"}}`)
	}
	list := e.Incidents()
	if len(list) != 8 || list[0].DedupKey != "open" || list[7].DedupKey != "99" || list[1].DedupKey != "93" {
		t.Errorf("got %d incidents, want the open one and the newest seven", len(list))
	}
	if n := len(e.Requests()); n != 10 {
		t.Errorf("got %d requests, want 10", n)
	}
	if n := len(e.Changes()); n != 5 {
		t.Errorf("got %d changes, want 5", n)
	}
	// Bodies count too: 140 of 500,000 bytes are more than the 64 MiB that are kept.
	e = newEmulator(t, account, emulator.Options{})
	big := strings.Repeat("x", 500_000)
	for range 140 {
		post(t, e, big)
	}
	if n := len(e.Requests()); n != 134 {
		t.Errorf("got %d requests of 500,000 bytes, want the 134 that 64 MiB hold", n)
	}
}

func TestConcurrentUse(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{Journal: new(bytes.Buffer)})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				k := fmt.Sprintf("%d-%d", w, i)
				post(t, e, triggerBody(key, k, "critical"))
				post(t, e, actBody(key, "acknowledge", k))
				_, _, _ = e.Incidents(), e.Requests(), e.Counts()
				post(t, e, actBody(key, "resolve", k))
				if i%10 == 0 {
					_ = e.SetFaults([]emulator.Fault{{Do: emulator.DoDrop, Match: emulator.Match{DedupKeyRegexp: "^never"}}})
					_ = e.OverrideService("PS1", emulator.ServiceOverride{OnCall: &[]string{"PU2"}})
				}
			}
		})
	}
	wg.Wait()
	for _, i := range e.Incidents() {
		if i.Open() {
			t.Errorf("%s is open", i.DedupKey)
		}
	}
	if c := e.Counts(); c.Total != 1200 || c.Accepted != 1200 || c.ByOutcome[emulator.Created] != 400 || c.ByOutcome[emulator.DidResolve] != 400 {
		t.Errorf("got counts %+v, want 1200 accepted, 400 created, 400 resolved", c)
	}
}

// FuzzEnqueue: any body gets one of the documented answers, and what is accepted
// keeps to the documented limits.
func FuzzEnqueue(f *testing.F) {
	for _, s := range []string{
		triggerBody(key, "k", "critical"), actBody(key, "resolve", "k"), actBody(lowK, "acknowledge", ""), `{}`, `[]`, `null`, "\xff", `{"routing_key":7}`,
		`{"routing_key":"` + key + `","payload":{"summary":"s","timestamp":"2015-07-17T08:42:58.315+0000","custom_details":{"a":[{}]}},"links":[{"href":"x"}],"images":[null]}`,
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	cfg, err := emulator.Parse([]byte(account))
	if err != nil {
		f.Fatal(err)
	}
	e, err := emulator.New(*cfg, emulator.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, change bool) {
		e.Reset()
		path := "/v2/enqueue"
		if change {
			path = "/v2/change/enqueue"
		}
		w := httptest.NewRecorder()
		e.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)))
		var reply struct {
			Status, Message string
			DedupKey        string `json:"dedup_key"`
			Errors          []string
		}
		if w.Body.String() == "Invalid routing key" && w.Code == 400 {
			return
		}
		if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || reply.Status == "" || reply.Message == "" {
			t.Fatalf("got %d %s (%v)", w.Code, w.Body, err)
		}
		switch w.Code {
		case 400:
			if len(reply.Errors) == 0 {
				t.Errorf("refused without a reason: %s", w.Body)
			}
		case 202:
			var ev struct {
				RoutingKey string `json:"routing_key"`
			}
			if json.Unmarshal(body, &ev) != nil || !utf8.Valid(body) {
				t.Errorf("accepted what is no JSON object: %q", body)
			}
			if n := utf8.RuneCountInString(reply.DedupKey); !change && (n == 0 || n > 255) {
				t.Errorf("accepted with a dedup key of %d characters", n)
			}
		default:
			t.Errorf("got %d, want 202 or 400", w.Code)
		}
	})
}

func BenchmarkEnqueue(b *testing.B) {
	e := newEmulator(b, account, emulator.Options{})
	h := e.Handler()
	b.ReportAllocs()
	var mu sync.Mutex
	n := 0
	b.RunParallel(func(pb *testing.PB) {
		mu.Lock()
		n++
		k := fmt.Sprint("k", n)
		mu.Unlock()
		bodies := []string{triggerBody(key, k, "critical"), actBody(key, "resolve", k)}
		for i := 0; pb.Next(); i++ {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v2/enqueue", strings.NewReader(bodies[i%2])))
			if w.Code != http.StatusAccepted {
				b.Fatalf("got %d", w.Code)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
