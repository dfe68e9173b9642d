package alertmanager_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/lab/race"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

const many = 50_000 // alerts; the figure.

// manyListed serves that many alerts from a file, so that the other end costs
// this process nothing but the copying.
func manyListed(t testing.TB) alertmanager.Surveyor {
	t.Helper()
	file := filepath.Join(t.TempDir(), "alerts.json")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range many {
		_, _ = w.WriteString(map[bool]string{true: "[", false: ","}[i == 0])
		l := line{fp: fmt.Sprintf("%016x", i), age: time.Hour, ends: 24 * time.Hour}
		_, _ = w.WriteString(strings.Replace(l.json(), `"summary":"s"`, `"summary":"s","description":"`+strings.Repeat("x", 300)+`"`, 1))
	}
	_, _ = w.WriteString("]")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	rest := &fake{}
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/alerts") {
			http.ServeFile(w, r, file)
			return
		}
		rest.ServeHTTP(w, r)
	}))
	c, err := alertmanager.New(alertmanager.Config{URLs: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// holding is an outbox in which the first n of them fire.
func holding(t testing.TB, n int) *outbox.Store {
	t.Helper()
	s, _ := openStore(t)
	mapper := newMapper(t, "")
	for from := 0; from < n; from += 5000 {
		g := &mapping.Group{Data: template.Data{Receiver: ourReceiver, ExternalURL: "http://am-1"}}
		for i := from; i < min(n, from+5000); i++ {
			fp := fmt.Sprintf("%016x", i)
			g.Alerts = append(g.Alerts, template.Alert{
				Status: mapping.Firing, Fingerprint: fp, StartsAt: time.Now().Add(-time.Hour),
				Labels:      template.KV{"alertname": "A", "id": fp},
				Annotations: template.KV{"summary": "s", "description": strings.Repeat("x", 300)},
			})
		}
		if err := s.Observe(t.Context(), mapper.Route(g)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// sampled measures the heap while the lists are read.
type sampled struct {
	alertmanager.Surveyor
	lines int
	peak  uint64
}

func (s *sampled) Survey(ctx context.Context, each func(int, *alertmanager.Listing) error) (alertmanager.Standing, error) {
	return s.Surveyor.Survey(ctx, func(member int, l *alertmanager.Listing) error {
		if s.lines++; s.lines%(many/5) == 0 {
			s.peak = max(s.peak, heap())
		}
		return each(member, l)
	})
}

// What one pass over that many may cost, Alertmanager's own time apart.
const (
	passLimit = time.Second
	heapLimit = 30 << 20 // bytes above idle.
)

// A pass over 50,000 alerts, all of them open incidents, takes less than a second of
// the processor, in which the sending end of the lists is counted, too.
func TestReconcileIsQuick(t *testing.T) {
	if race.Enabled {
		t.Skip("measures time: run without the race detector")
	}
	r := alertmanager.NewReconciler(holding(t, many), alertmanager.ReconcilerConfig{})
	r.Apply(alertmanager.ReconcileSettings{Source: manyListed(t), Router: newMapper(t, ""), Policy: alertmanager.Reconcile{Interval: always}})
	best := time.Hour // what else the machine does only adds.
	for range 3 {
		began := cpuTime()
		if rep, err := r.Reconcile(t.Context()); err != nil || rep.Listed != many {
			t.Fatalf("%+v, %v, want %d listed", rep, err, many)
		}
		best = min(best, cpuTime()-began)
	}
	t.Logf("one pass over %d alerts: %v of the processor", many, best)
	if best > passLimit {
		t.Errorf("one pass over %d alerts takes %v of the processor, want %v at most", many, best, passLimit)
	}
}

// A pass over 50,000 alerts holds little, whether they are known or not.
func TestReconcileMemoryStaysFlat(t *testing.T) {
	const known = 5000
	store := holding(t, known)
	src := &sampled{Surveyor: manyListed(t)}
	r := alertmanager.NewReconciler(store, alertmanager.ReconcilerConfig{})
	r.Apply(alertmanager.ReconcileSettings{Source: src, Router: newMapper(t, ""), Policy: alertmanager.Reconcile{Interval: always}})
	before := heap()
	start := time.Now()
	rep, err := r.Reconcile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	more := src.peak - min(src.peak, before)
	t.Logf("%d alerts, %d of them unknown: %v, at most %d KiB of live heap more", rep.Listed, rep.Unknown, time.Since(start), more>>10)
	if rep.Listed != many || rep.Unknown != many-known || len(rep.Doubts) > 0 || more > heapLimit {
		t.Errorf("got %+v and %d KiB, want %d listed, %d unknown, less than 30 MiB", rep, more>>10, many, many-known)
	}
}

// One pass over 50,000 alerts that are all open incidents. cpu-ms is what the
// process used in all, the sending end of the lists included.
func BenchmarkReconcile(b *testing.B) {
	for _, known := range []int{0, many} {
		b.Run(fmt.Sprintf("known=%d", known), func(b *testing.B) {
			r := alertmanager.NewReconciler(holding(b, known), alertmanager.ReconcilerConfig{})
			src := &sampled{Surveyor: manyListed(b)}
			settings := alertmanager.ReconcileSettings{Source: src, Router: newMapper(b, ""), Policy: alertmanager.Reconcile{Interval: always, Receivers: []string{ourReceiver}}}
			r.Apply(settings)
			before := heap()
			if _, err := r.Reconcile(b.Context()); err != nil {
				b.Fatal(err)
			}
			more := src.peak - min(src.peak, before)
			settings.Source = src.Surveyor
			r.Apply(settings)
			cpu := cpuTime()
			for b.Loop() {
				rep, err := r.Reconcile(b.Context())
				if err != nil || rep.Listed != many || len(rep.Doubts) > 0 {
					b.Fatalf("%+v, %v", rep, err)
				}
			}
			b.ReportMetric(float64((cpuTime()-cpu).Milliseconds())/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(more)/(1<<20), "live-MiB")
			b.ReportMetric(float64(passLimit.Milliseconds()), "limit-ms/op")
			b.ReportMetric(heapLimit>>20, "limit-MiB")
		})
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
