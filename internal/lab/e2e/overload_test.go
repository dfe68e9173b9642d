package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/race"
)

const (
	idleConnections = 3000
	slowHeaders     = 500 // clients that never finish their headers.
	slowBodies      = 200 // clients that stop in the middle of a body of 200 KiB.
	bigClients      = 32  // clients that post bodies of nearly 16 MiB at the same time, ...
	bigRounds       = 2   // ... so many times each.
	pendingTotal    = 100_000
	wideAlerts      = 40_000     // alerts of one body of nearly 16 MiB.
	maxOverload     = 512 << 20  // bytes of memory of its own, while all of them are at it, ...
	maxWide         = 1024 << 20 // ... while those alerts are stored at once, ...
	maxPending      = 768 << 20  // ... and with 100,000 pending incidents.

	// How long an answer may take, on a machine that has other work, too. A body of
	// 16 MiB is read to its end before it is refused, so that its sender hears the
	// answer: 32 at a time, half a GiB. So many alerts at once may take longer than the
	// disk is given: then they are answered 503 after the 10 s in which PagerDuty might
	// have accepted them.
	probePatience   = 3 * time.Second // health and readiness.
	metricsPatience = 10 * time.Second
	smallPatience   = 5 * time.Second  // a webhook of ordinary size.
	bigPatience     = 10 * time.Second // one of nearly 16 MiB.
	widePatience    = 25 * time.Second // the one with 40,000 alerts.
)

// overload watches a pagerelay that more is asked of than it can do.
type overload struct {
	*installation
	url    string
	client *http.Client

	mu      sync.Mutex
	slowest map[string]time.Duration // by path.
	failed  []string
	peak    uint64
}

// watch asks for health, readiness and metrics again and again until stop is called, and
// looks at the memory.
func watch(s *installation) (o *overload, stop func()) {
	o = &overload{installation: s, url: s.members[0].relay.URL(), slowest: map[string]time.Duration{}}
	// A connection a request, as a kubelet does it.
	o.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ctx, cancel := context.WithCancel(s.t.Context())
	var wg sync.WaitGroup
	for _, path := range []string{"/-/healthy", "/-/ready", "/metrics"} {
		wg.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					o.probe(path)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return o, sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
}

func (o *overload) probe(path string) {
	began := time.Now()
	resp, err := o.client.Get(o.url + path)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("answered %s", resp.Status)
		}
	}
	took := time.Since(began)
	memory, memErr := o.memory()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.slowest[path] = max(o.slowest[path], took)
	o.peak = max(o.peak, memory)
	if err != nil || memErr != nil {
		o.failed = append(o.failed, fmt.Sprintf("%s after %s: %v, %v", path, took, err, memErr))
	}
}

// memory is what the process has of its own, in bytes.
func (o *overload) memory() (uint64, error) {
	proc, err := procfs.NewProc(o.members[0].relay.PID())
	if err != nil {
		return 0, err
	}
	status, err := proc.NewStatus()
	return status.RssAnon, err
}

// check holds what was seen since the last time against what is promised.
func (o *overload) check(what string, most uint64) {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for path, took := range o.slowest {
		within := probePatience
		if path == "/metrics" {
			within = metricsPatience
		}
		if took > within {
			o.t.Errorf("%s: %s took %s, want %s at most", what, path, took, within)
		}
	}
	for _, f := range o.failed {
		o.t.Errorf("%s: %s", what, f)
	}
	if o.peak > most {
		o.t.Errorf("%s: %d MiB of memory, want %d at most", what, o.peak>>20, most>>20)
	}
	o.t.Logf("%s: at most %d MiB of memory, %s for health, %s for readiness, %s for metrics", what, o.peak>>20,
		o.slowest["/-/healthy"].Round(time.Millisecond), o.slowest["/-/ready"].Round(time.Millisecond), o.slowest["/metrics"].Round(time.Millisecond))
	clear(o.slowest)
	o.peak, o.failed = 0, nil
}

// connect opens a connection, says something on it, and leaves it open.
func (o *overload) connect(say string) net.Conn {
	o.t.Helper()
	c, err := net.Dial("tcp", o.members[0].relay.Addr)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = c.Close() }) // its only use was to be there.
	if _, err := io.WriteString(c, say); err != nil {
		o.t.Fatal(err)
	}
	return c
}

// webhook posts a body and returns the status and how long it took.
func (o *overload) webhook(body []byte) (int, time.Duration) {
	began := time.Now()
	resp, err := o.client.Post(o.url+"/webhook/alertmanager", "application/json", bytes.NewReader(body))
	if err != nil {
		o.t.Errorf("post %d bytes: %v after %s", len(body), err, time.Since(began))
		return 0, 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "" {
		o.t.Errorf("a 503 after %s says not when to come again", time.Since(began))
	}
	return resp.StatusCode, time.Since(began)
}

// answers are those to webhooks of one kind.
type answers struct {
	mu      sync.Mutex
	codes   map[int]int
	slowest time.Duration
}

func (a *answers) add(code int, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.codes == nil {
		a.codes = map[int]int{}
	}
	a.codes[code]++
	a.slowest = max(a.slowest, took)
}

// check holds the answers against the codes that are allowed, and the time.
func (a *answers) check(t *testing.T, what string, within time.Duration, allowed ...int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for code := range a.codes {
		if !slices.Contains(allowed, code) {
			t.Errorf("%s: answers %v, want none but %v", what, a.codes, allowed)
		}
	}
	if a.slowest > within {
		t.Errorf("%s: the slowest answer came after %s, want %s at most", what, a.slowest, within)
	}
	t.Logf("%s: answers %v, the slowest after %s", what, a.codes, a.slowest.Round(time.Millisecond))
}

func group(names []string, annotation string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"version":"4","groupKey":"{}:{}","status":"firing","receiver":"pagerelay","externalURL":"http://am","groupLabels":{},"commonLabels":{},"commonAnnotations":{},"alerts":[`)
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"status":"firing","labels":{"alertname":%q,"severity":"critical","instance":"node-17.example.com:9100","job":"node"},"annotations":{"summary":"a disk is nearly full","text":%q},"startsAt":"2026-01-02T03:04:05Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":%q}`,
			name, annotation, fingerprint(name))
	}
	b.WriteString("]}")
	return b.Bytes()
}

func needProc(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("memory is read from /proc")
	}
	if testing.Short() {
		t.Skip("long")
	}
}

func TestOverloadOfConnectionsAndBodies(t *testing.T) {
	skipUnderRace(t)
	needProc(t)
	s := install(t, options{noAlertmanager: true})
	o, stop := watch(s)
	defer stop()

	for range idleConnections {
		o.connect("")
	}
	for range slowHeaders {
		o.connect("POST /webhook/alertmanager HTTP/1.1\r\nHost: relay\r\nX-Slow: ")
	}
	for range slowBodies {
		o.connect("POST /webhook/alertmanager HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat(" ", 100_000))
	}
	big := group([]string{"Big"}, strings.Repeat("x", 16<<20-2000))
	var many []string
	for i := range wideAlerts {
		many = append(many, fmt.Sprintf("Many%05d", i))
	}
	wide := group(many, "")
	if len(big) > 16<<20 || len(wide) > 16<<20 {
		t.Fatalf("bodies of %d and %d bytes are over the limit: this shows nothing", len(big), len(wide))
	}
	// all posts large bodies from many clients at once and, in the middle of it, small ones.
	all := func() (large, small *answers) {
		large, small = &answers{}, &answers{}
		var wg sync.WaitGroup
		for range bigClients {
			wg.Go(func() {
				for range bigRounds {
					large.add(o.webhook(big))
				}
			})
		}
		for i := range 20 {
			small.add(o.webhook(group([]string{fmt.Sprintf("Small%d", i)}, "")))
		}
		wg.Wait()
		return large, small
	}
	// One client holds all that large bodies may have of memory: the others are told to
	// come again, each of them and soon.
	hold := func() net.Conn {
		return o.connect(fmt.Sprintf("POST /webhook/alertmanager HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", 16<<20, strings.Repeat(" ", 1<<20)))
	}
	holder := hold()
	s.eventually("the large body's being read", soon, func() error {
		if code, _ := o.webhook(big); code != http.StatusServiceUnavailable {
			_ = holder.Close() // the other one came first, and so this one may have been refused.
			holder = hold()
			return fmt.Errorf("another one was answered %d", code)
		}
		return nil
	})
	large, small := all()
	large.check(t, "bodies of 16 MiB with no room for them", bigPatience, http.StatusServiceUnavailable)
	small.check(t, "small webhooks beside them", smallPatience, http.StatusOK)
	_ = holder.Close()

	// Without it they take turns.
	large, small = all()
	large.check(t, "bodies of 16 MiB", bigPatience, http.StatusOK, http.StatusServiceUnavailable)
	small.check(t, "small webhooks beside them", smallPatience, http.StatusOK)
	if large.codes[http.StatusOK] == 0 {
		t.Errorf("no body of 16 MiB was taken: %v", large.codes)
	}
	o.check("overload", maxOverload)

	one := &answers{}
	one.add(o.webhook(wide))
	one.check(t, fmt.Sprintf("a body with %d alerts", wideAlerts), widePatience, http.StatusOK, http.StatusServiceUnavailable)
	stop()
	o.check(fmt.Sprintf("%d alerts at once", wideAlerts), maxWide)
}

func TestOverloadOfPendingIncidents(t *testing.T) {
	skipUnderRace(t)
	needProc(t)
	total := pendingTotal
	s := install(t, options{noAlertmanager: true})
	s.faults(emulator.Fault{Name: "outage", Do: emulator.DoAnswer, Status: 503})
	o, stop := watch(s)
	defer stop()
	var names []string
	taken := &answers{}
	for i := range total {
		if names = append(names, fmt.Sprintf("Pending%06d", i)); len(names) == 500 {
			taken.add(o.webhook(group(names, "")))
			names = names[:0]
		}
	}
	if n, err := s.metric(s.members[0], `pagerelay_outbox_incidents{state="pending"}`); err != nil || int(n) != total {
		t.Errorf("%v pending incidents, %v, want %d", n, err, total)
	}
	small := &answers{}
	for i := range 20 {
		small.add(o.webhook(group([]string{fmt.Sprintf("Small%d", i)}, "")))
	}
	stop()
	taken.check(t, "webhooks of 500 alerts while PagerDuty is away", smallPatience, http.StatusOK)
	small.check(t, fmt.Sprintf("small webhooks with %d pending", total), smallPatience, http.StatusOK)
	o.check(fmt.Sprint(total, " pending incidents"), maxPending)
}

// skipUnderRace leaves a test to the run without the race detector, whose own
// memory and slowness it would measure; `make test` does both.
func skipUnderRace(t *testing.T) {
	t.Helper()
	if race.Enabled {
		t.Skip("measures memory and time: run without the race detector")
	}
}
