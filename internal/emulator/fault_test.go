package emulator_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

func setFaults(t *testing.T, e *emulator.Emulator, rules ...emulator.Fault) {
	t.Helper()
	if err := e.SetFaults(rules); err != nil {
		t.Fatal(err)
	}
}

// codes sends n triggers and says how each went; 0 is a connection that was cut.
func codes(t *testing.T, e *emulator.Emulator, n int, dedupKey string) []int {
	t.Helper()
	var out []int
	for range n {
		a, err := do(t, e, http.MethodPost, "/v2/enqueue", triggerBody(key, dedupKey, "info"))
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("got %v, want a reset", err)
		}
		out = append(out, a.code)
	}
	return out
}

func TestWhichRequestsAFaultMeets(t *testing.T) {
	down := emulator.Fault{Do: emulator.DoAnswer, Status: 503}
	with := func(change func(*emulator.Fault)) emulator.Fault {
		f := down
		change(&f)
		return f
	}
	for _, tc := range []struct {
		name  string
		rules []emulator.Fault
		want  []int
	}{
		{"all", []emulator.Fault{down}, []int{503, 503, 503, 503, 503, 503}},
		{"the first two", []emulator.Fault{with(func(f *emulator.Fault) { f.First = 2 })}, []int{503, 503, 202, 202, 202, 202}},
		{"every third", []emulator.Fault{with(func(f *emulator.Fault) { f.Every = 3 })}, []int{202, 202, 503, 202, 202, 503}},
		{"two after one", []emulator.Fault{with(func(f *emulator.Fault) { f.Skip, f.First = 1, 2 })}, []int{202, 503, 503, 202, 202, 202}},
		{"every second of the first three", []emulator.Fault{with(func(f *emulator.Fault) { f.First, f.Every = 3, 2 })}, []int{202, 503, 202, 202, 202, 202}},
		{"one rule after the other", []emulator.Fault{with(func(f *emulator.Fault) { f.First = 1 }), {Do: emulator.DoReset, First: 1}}, []int{503, 0, 202, 202, 202, 202}},
		{"another key", []emulator.Fault{with(func(f *emulator.Fault) { f.Match.RoutingKey = key2 })}, []int{202, 202, 202, 202, 202, 202}},
		{"this key", []emulator.Fault{with(func(f *emulator.Fault) { f.Match.RoutingKey = key; f.First = 1 })}, []int{503, 202, 202, 202, 202, 202}},
		{"another action", []emulator.Fault{with(func(f *emulator.Fault) { f.Match.Action = "resolve" })}, []int{202, 202, 202, 202, 202, 202}},
		{"this dedup key", []emulator.Fault{with(func(f *emulator.Fault) { f.Match.DedupKeyRegexp = "^db-[0-9]+$"; f.First = 1 })}, []int{503, 202, 202, 202, 202, 202}},
		{"another dedup key", []emulator.Fault{with(func(f *emulator.Fault) { f.Match.DedupKeyRegexp = "^web" })}, []int{202, 202, 202, 202, 202, 202}},
		{"another path", []emulator.Fault{with(func(f *emulator.Fault) { f.Match.Path = "/v2/change/enqueue" })}, []int{202, 202, 202, 202, 202, 202}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEmulator(t, account, emulator.Options{})
			setFaults(t, e, tc.rules...)
			if diff := cmp.Diff(tc.want, codes(t, e, 6, "db-1")); diff != "" {
				t.Errorf("codes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatAFaultDoes(t *testing.T) {
	for _, tc := range []struct {
		name      string
		fault     emulator.Fault
		code      int // as the client sees it.
		incidents int
		outcome   emulator.Outcome
	}{
		{"answer", emulator.Fault{Do: emulator.DoAnswer, Status: 502, Body: "<html>", Headers: map[string]string{"Retry-After": "7"}}, 502, 0, emulator.Faulted},
		{"answer 429", emulator.Fault{Do: emulator.DoAnswer, Status: 429}, 429, 0, emulator.Faulted},
		{"reset", emulator.Fault{Do: emulator.DoReset}, 0, 0, emulator.Faulted},
		{"reset, decided by the body", emulator.Fault{Do: emulator.DoReset, Match: emulator.Match{Action: "trigger"}}, 0, 0, emulator.Faulted},
		{"answer lost", emulator.Fault{Do: emulator.DoAnswerLost}, 0, 1, emulator.Created},
		{"drop", emulator.Fault{Do: emulator.DoDrop}, 202, 0, emulator.DroppedByFault},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEmulator(t, account, emulator.Options{})
			tc.fault.Name = "the fault"
			setFaults(t, e, tc.fault)
			if got := codes(t, e, 1, "k")[0]; got != tc.code {
				t.Errorf("got %d, want %d", got, tc.code)
			}
			if got := len(e.Incidents()); got != tc.incidents {
				t.Errorf("got %d incidents, want %d", got, tc.incidents)
			}
			r := e.Requests()
			if len(r) != 1 || r[0].Outcome != tc.outcome || r[0].Code != tc.code || r[0].Fault != "the fault" {
				t.Errorf("got requests %+v, want one with outcome %s and code %d", r, tc.outcome, tc.code)
			}
			if c := e.Counts(); c.Faulted != 1 || c.InFlight != 0 || c.MaxInFlight != 1 {
				t.Errorf("got counts %+v, want one faulted", c)
			}
			e.ClearFaults()
			if got := codes(t, e, 1, "k")[0]; got != 202 {
				t.Errorf("after the faults were cleared: got %d, want 202", got)
			}
		})
	}
}

func TestAnswerOfAFault(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	setFaults(t, e,
		emulator.Fault{First: 1, Do: emulator.DoAnswer, Status: 502, Body: "<html>bad gateway</html>", Headers: map[string]string{"Retry-After": "7"}},
		emulator.Fault{First: 1, Do: emulator.DoAnswer, Status: 500},
		emulator.Fault{Do: emulator.DoAnswer, Status: 202, Body: `{"status":"success"}`})
	got := post(t, e, "x")
	if got.body != "<html>bad gateway</html>" || got.header.Get("Retry-After") != "7" || !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
		t.Errorf("got %+v, want the body and header of the rule", got)
	}
	if got := post(t, e, "x"); got.body != `{"status":"error","message":"Internal Server Error"}` {
		t.Errorf("got %s, want an error as PagerDuty words it", got.body)
	}
	if got := post(t, e, "x"); got.body != `{"status":"success"}` || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("got %+v, want JSON", got)
	}
	if c := e.Counts(); c.Accepted != 0 {
		t.Errorf("got %d accepted, want 0: a rule's 202 is not PagerDuty's", c.Accepted)
	}
}

// client sends a trigger with a time-out, without sockets, and says what came of it.
func timedTrigger(t *testing.T, e *emulator.Emulator, timeout time.Duration) (code int, took time.Duration, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	r, reqErr := http.NewRequestWithContext(ctx, http.MethodPost, "http://pagerduty.test/v2/enqueue", strings.NewReader(triggerBody(key, "k", "info")))
	if reqErr != nil {
		t.Fatal(reqErr)
	}
	start := time.Now()
	resp, err := e.Transport().RoundTrip(r)
	if err == nil {
		code = resp.StatusCode
		_ = resp.Body.Close()
	}
	return code, time.Since(start), err
}

func TestLatencyAndTimeouts(t *testing.T) {
	second := model.Duration(time.Second)
	for _, tc := range []struct {
		name      string
		fault     emulator.Fault
		code      int
		took      time.Duration
		incidents int // a minute later.
	}{
		{"slow", emulator.Fault{Do: emulator.DoDelay, Latency: second}, 202, time.Second, 1},
		{"too slow", emulator.Fault{Do: emulator.DoDelay, Latency: 10 * second}, 0, 5 * time.Second, 0},
		{"lands later", emulator.Fault{Do: emulator.DoLate, Latency: 10 * second}, 0, 5 * time.Second, 1},
		{"hangs", emulator.Fault{Do: emulator.DoHang}, 0, 5 * time.Second, 0},
		{"applied, then hangs", emulator.Fault{Do: emulator.DoAnswerHang}, 0, 5 * time.Second, 1},
		{"slow, then refused", emulator.Fault{Do: emulator.DoAnswer, Status: 500, Latency: second}, 500, time.Second, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				e := newEmulator(t, account, emulator.Options{})
				setFaults(t, e, tc.fault)
				code, took, err := timedTrigger(t, e, 5*time.Second)
				if code != tc.code || took != tc.took {
					t.Errorf("got %d after %s (%v), want %d after %s", code, took, err, tc.code, tc.took)
				}
				if tc.code == 0 && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want the deadline", err)
				}
				time.Sleep(time.Minute)
				if got := len(e.Incidents()); got != tc.incidents {
					t.Errorf("got %d incidents, want %d", got, tc.incidents)
				}
				if c := e.Counts(); c.InFlight != 0 || c.Total != 1 {
					t.Errorf("got %d in flight of %d, want 0 of 1", c.InFlight, c.Total)
				}
			})
		})
	}
}

func TestWhatHangsIsLetGo(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, account, emulator.Options{})
		setFaults(t, e, emulator.Fault{Do: emulator.DoHang})
		go func() {
			time.Sleep(time.Minute)
			e.ClearFaults()
		}()
		if _, took, err := timedTrigger(t, e, time.Hour); took != time.Minute || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v after %s, want a reset after 1m", err, took)
		}
	})
}

func TestTransportHonoursAContextThatHasEnded(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://x/v2/enqueue", strings.NewReader(triggerBody(key, "k", "info")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Transport().RoundTrip(r); !errors.Is(err, context.Canceled) || e.Counts().Total != 0 {
		t.Errorf("got %v and %d requests, want it not sent", err, e.Counts().Total)
	}
}

// Over real sockets a cut connection has to look like one, and a hanging
// request must not outlive its client.
func TestFaultsOverSockets(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	server := httptest.NewServer(e.Handler())
	defer server.Close() // blocks while a request is being served.
	send := func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/v2/enqueue", strings.NewReader(triggerBody(key, "k", "info")))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	for _, do := range []emulator.Do{emulator.DoReset, emulator.DoAnswerLost} {
		setFaults(t, e, emulator.Fault{Do: do})
		if err := send(t.Context()); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: got %v, want a reset", do, err)
		}
	}
	if got := e.Counts().ByOutcome[emulator.Created]; got != 1 {
		t.Errorf("got %d incidents, want 1, from the answer that was lost", got)
	}
	setFaults(t, e, emulator.Fault{Do: emulator.DoHang})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := send(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hang: got %v, want the deadline", err)
	}
}

func TestFaultsAreChecked(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	setFaults(t, e, emulator.Fault{Do: emulator.DoDrop})
	err := e.SetFaults([]emulator.Fault{
		{},
		{Do: emulator.DoAnswer, Status: 199},
		{Do: emulator.DoReset, Status: 500},
		{Do: emulator.DoDelay},
		{Do: emulator.DoLate, Latency: -1, Skip: -1},
		{Do: emulator.DoDrop, Match: emulator.Match{Path: "/v3", Action: "close", DedupKeyRegexp: "("}},
	})
	want := []string{
		`[0].do: "" is not one of delay, late, answer, reset, answer_lost, hang, answer_hang, drop`,
		`[1].status: 199 is not between 200 and 599`,
		`[2]: status, body and headers go with do: answer only`,
		`[3].latency: is missing: delay does nothing without it`,
		`[4]: skip, first and every cannot be negative`,
		`[4].latency: is negative`,
		`[5].match.path: "/v3" is not one of /v2/enqueue, /v2/change/enqueue`,
		`[5].match.action: "close" is not one of trigger, acknowledge, resolve`,
		"[5].match.dedup_key_regexp: error parsing regexp: missing closing ): `(`",
	}
	if err == nil {
		t.Fatal("got no error")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if got := e.Faults(); len(got) != 1 || got[0].Do != emulator.DoDrop {
		t.Errorf("got %+v, want the old rules kept", got)
	}
}
