package oncall_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// The account of the scale that is promised.
const (
	schedules      = 1000
	shiftSchedules = 100 // of them.
	policies       = 200 // of three levels.
	users          = 400
)

// large is an account of that size, with a shift a day in every schedule, a service
// for each policy, and a configuration that names all schedules and policies.
func large(days int) (emulator.Config, coverage.Config) {
	var account emulator.Config
	cfg := coverage.Config{Horizon: model.Duration(time.Duration(days) * 24 * time.Hour)}
	for i := range users {
		account.Users = append(account.Users, emulator.User{
			ID: fmt.Sprintf("PU%05d", i), Name: fmt.Sprintf("Engineer %d", i), Email: fmt.Sprintf("engineer-%d@example.com", i), TimeZone: "UTC",
			ContactMethods:    []emulator.ContactMethod{{ID: fmt.Sprintf("PM%05d", i), Type: "phone", Address: "5550100"}},
			NotificationRules: []emulator.NotificationRule{{Urgency: "high", ContactMethod: fmt.Sprintf("PM%05d", i)}},
		})
	}
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range schedules {
		s := emulator.Schedule{ID: fmt.Sprintf("PC%05d", i), Name: fmt.Sprintf("schedule %d", i), Type: emulator.ScheduleV2}
		if i%(schedules/shiftSchedules) == 0 {
			s.Type = emulator.ScheduleV3
		}
		for d := range days {
			s.Entries = append(s.Entries, emulator.ScheduleEntry{
				User:  fmt.Sprintf("PU%05d", (i*7+d%5)%users),
				Start: start.AddDate(0, 0, d-1).Add(9 * time.Hour), End: start.AddDate(0, 0, d).Add(9 * time.Hour),
			})
		}
		account.Schedules = append(account.Schedules, s)
		cfg.Schedules = append(cfg.Schedules, coverage.ScheduleConfig{Name: s.Name})
	}
	for i := range policies {
		p := emulator.EscalationPolicy{ID: fmt.Sprintf("PP%05d", i), Name: fmt.Sprintf("policy %d", i)}
		for level := range 3 {
			p.Levels = append(p.Levels, emulator.Level{Targets: []emulator.Target{{Schedule: fmt.Sprintf("PC%05d", i*3+level)}}, Delay: 15 * time.Minute})
		}
		account.EscalationPolicies = append(account.EscalationPolicies, p)
		account.Services = append(account.Services, emulator.Service{
			ID: fmt.Sprintf("PS%05d", i), Name: fmt.Sprintf("service %d", i), RoutingKeys: []string{fmt.Sprintf("%032d", i)}, EscalationPolicy: p.ID,
		})
		cfg.Policies = append(cfg.Policies, coverage.PolicyConfig{Name: p.Name})
	}
	return account, cfg
}

// heap measures the live heap now and then, at the end of an answer: that is when the
// reader has most in its hands.
type heap struct {
	next      http.RoundTripper
	base      uint64
	requests  int
	live, all uint64 // the most, in bytes above base: what is in use, and with garbage.
}

func (h *heap) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := h.next.RoundTrip(r)
	if err == nil {
		resp.Body = &measured{ReadCloser: resp.Body, heap: h}
		h.requests++
	}
	return resp, err
}

func (h *heap) measure() {
	now := heapNow()
	h.all = max(h.all, now-min(now, h.base))
	if h.requests%100 != 0 {
		return
	}
	runtime.GC()
	now = heapNow()
	h.live = max(h.live, now-min(now, h.base))
}

func heapNow() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

type measured struct {
	io.ReadCloser
	heap *heap
	done bool
}

func (m *measured) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	if err != nil && !m.done {
		m.done = true
		m.heap.measure()
	}
	return n, err
}

// rendering gives listings of schedules their final schedules, as PagerDuty's
// specification has it; the emulator does as PagerDuty was seen to do, and does not.
type rendering struct{ next, whole http.RoundTripper }

func (rt rendering) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := rt.next.RoundTrip(r)
	if err != nil || r.URL.Path != "/schedules" || resp.StatusCode != http.StatusOK || !strings.Contains(r.URL.RawQuery, "final_schedule") {
		return resp, err
	}
	var page map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		return nil, err
	}
	for i, item := range page["schedules"].([]any) {
		one := r.Clone(r.Context())
		one.URL.Path += "/" + item.(map[string]any)["id"].(string)
		q := one.URL.Query()
		one.URL.RawQuery = "since=" + q.Get("since") + "&until=" + q.Get("until")
		got, err := rt.whole.RoundTrip(one)
		if err != nil {
			return nil, err
		}
		var answer map[string]any
		if err := json.NewDecoder(got.Body).Decode(&answer); err != nil {
			return nil, err
		}
		page["schedules"].([]any)[i] = answer["schedule"]
	}
	body, err := json.Marshal(page)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// reading is what a reading of the large account took.
type reading struct {
	calls     int
	took      time.Duration
	live, all float64 // MiB.
}

// readLarge reads the large account from an emulator that allows 960 requests a
// minute, in virtual time, and checks that all of it is read.
func readLarge(t *testing.T, days int, rendered bool) (out reading) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		account, cfg := large(days)
		e := emulate(t, account)
		rt := e.Transport()
		if rendered {
			account.Limits.Unlimited = true
			rt = rendering{rt, emulate(t, account).Transport()}
		}
		runtime.GC()
		h := &heap{next: rt, base: heapNow()}
		start := time.Now()
		got, err := readerOver(t, h).Read(t.Context(), cfg, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		counts := e.RESTCounts()
		out = reading{calls: counts.Total, took: time.Since(start), live: float64(h.live) / (1 << 20), all: float64(h.all) / (1 << 20)}
		if counts.ByCode[http.StatusTooManyRequests] > 0 {
			t.Errorf("met %d answers of 429, want none", counts.ByCode[http.StatusTooManyRequests])
		}
		wantUnread(t, got, nil)
		shifts := 0
		for _, s := range got.Schedules {
			shifts += len(s.Shifts)
			if cap(s.Shifts) > len(s.Shifts)+1 {
				t.Fatalf("got room for %d shifts, want no more than for the %d that there are: they are kept", cap(s.Shifts), len(s.Shifts))
			}
		}
		if len(got.Schedules) != schedules || shifts != schedules*days || len(got.Policies) != policies || len(got.OnCalls) < policies*3*days {
			t.Errorf("got %d schedules with %d shifts, %d policies with %d on-calls, want %d, %d, %d, %d",
				len(got.Schedules), shifts, len(got.Policies), len(got.OnCalls), schedules, schedules*days, policies, policies*3*days)
		}
		if len(got.Users) != users || len(got.Services) != policies || len(got.Missing) > 0 {
			t.Errorf("got %d users, %d services and %d missing, want %d, %d and none", len(got.Users), len(got.Services), len(got.Missing), users, policies)
		}
		runtime.KeepAlive(account)
		t.Logf("%d days: %d calls %v in %s, %.1f MiB in use, %.1f MiB with garbage", days, out.calls, counts.ByRoute, out.took, out.live, out.all)
	})
	return out
}

// mostMiB is what a reading may keep in use.
const mostMiB = 50

func TestScale(t *testing.T) {
	for _, tc := range []struct {
		name     string
		rendered bool
		calls    int // at most.
	}{
		// A request for each schedule (there is no other way to its shifts), and the
		// pages of 100 of all else.
		{"each schedule by itself", false, schedules + 9 + 1 + 2 + 86 + 2 + 1 + 4},
		// If PagerDuty's listing keeps to its specification.
		{"schedules worked out by the listing", true, shiftSchedules + 9 + 1 + 2 + 86 + 2 + 1 + 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := readLarge(t, 14, tc.rendered)
			if got.calls > tc.calls {
				t.Errorf("got %d calls, want at most %d", got.calls, tc.calls)
			}
			if most := time.Duration(got.calls+1) * time.Minute / 480; got.took > most {
				t.Errorf("it took %s, want at most %s: as fast as half of the limit allows", got.took, most)
			}
			if got.live > mostMiB {
				t.Errorf("got %.1f MiB in use, want at most %d", got.live, mostMiB)
			}
		})
	}
}

// BenchmarkRead reads the large account. Time is virtual: the minutes are those that
// the reading would take at the usual half of the limit.
func BenchmarkRead(b *testing.B) {
	for _, bc := range []struct {
		name     string
		days     int
		rendered bool
	}{
		{"each_schedule", 14, false},
		{"listing_with_shifts", 14, true},
		{"each_schedule_90_days", 90, false},
	} {
		b.Run(bc.name, func(b *testing.B) {
			var last reading
			for b.Loop() {
				all := func(string, string) (bool, error) { return true, nil }
				// A bubble needs a test.
				if !testing.RunTests(all, []testing.InternalTest{{Name: "read", F: func(t *testing.T) { last = readLarge(t, bc.days, bc.rendered) }}}) {
					b.Fatal("the reading failed")
				}
			}
			if last.live > mostMiB {
				b.Errorf("got %.1f MiB in use, want at most %d", last.live, mostMiB)
			}
			b.ReportMetric(float64(last.calls), "calls")
			b.ReportMetric(last.took.Minutes(), "minutes")
			b.ReportMetric(last.live, "live-MiB")
			b.ReportMetric(last.all, "heap-MiB")
		})
	}
}
