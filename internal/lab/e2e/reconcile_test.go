package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/e2e/stack"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
	"github.com/pagerelay/pagerelay/receiver"
)

// sidecar is pagerelay in this process, with times that a test can wait for: the
// program itself takes an Alertmanager for young during five minutes.
type sidecar struct {
	*installation
	store *outbox.Store

	mtx    sync.Mutex
	bodies []string // of all webhooks.
}

const (
	minUptime = 5 * time.Second
	looks     = 200 * time.Millisecond
)

func startSidecar(t *testing.T, policy alertmanager.Reconcile, o options) *sidecar {
	t.Helper()
	s := &sidecar{installation: &installation{t: t, dir: t.TempDir(), loopback: stack.Loopback(), programs: all(t)}}
	t.Cleanup(s.end)
	s.pd = stack.Emulator{URL: s.start("emulator", s.programs.emulator).URL()}
	s.members = []*member{{}}
	s.startAlertmanager(0, o)

	c, err := config.Parse([]byte(s.relayConfig(options{})), s.dir)
	must(t, err)
	mapper, err := mapping.New(c.Mapping)
	must(t, err)
	sender, err := pagerduty.New(c.PagerDuty)
	must(t, err)
	c.Alertmanager.MinUptime = minUptime
	client, err := alertmanager.New(c.Alertmanager)
	must(t, err)
	s.store, err = outbox.Open(filepath.Join(s.dir, "storage"), outbox.Config{})
	must(t, err)
	s.store.SetPolicy(incident.Policy{StaleAfter: c.StaleAfter, Alertmanagers: client.Members()})
	deliverer := delivery.New(s.store, delivery.Config{})
	services := map[string]delivery.Service{}
	for name, svc := range c.Services {
		services[name] = delivery.Service{Name: name, Region: svc.Region, Key: svc.Key, PreviousKeys: func() []string { return nil }}
	}
	reconciler := alertmanager.NewReconciler(s.store, alertmanager.ReconcilerConfig{UnknownAfter: time.Second})
	deliverer.Apply(delivery.Settings{Services: services, Renderer: mapper, Sender: sender, Asker: alertmanager.NewAsker(client, mapper, reconciler)})
	policy.Interval = looks
	reconciler.Apply(alertmanager.ReconcileSettings{Source: client, Router: mapper, Policy: policy})
	door, err := receiver.New(alertmanager.Learn{Sink: s.store, Reconciler: reconciler}, receiver.Config{OnTruncated: func(string) { reconciler.Adopt() }})
	must(t, err)
	must(t, door.SetPolicy(mapper, receiver.Access{}))

	mux := http.NewServeMux()
	door.Register(mux)
	server := httptest.NewServer(s.listen(mux))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for name, run := range map[string]func(context.Context) error{"outbox": s.store.Run, "deliverer": deliverer.Run, "reconciler": reconciler.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("run %s: %v", name, err)
			}
		})
	}
	t.Cleanup(func() { server.Close(); cancel(); running.Wait() })
	s.write(webhookFile(0), server.URL+"/webhook/alertmanager")
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listen notes what comes in.
func (s *sidecar) listen(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.mtx.Lock()
		s.bodies = append(s.bodies, string(body))
		s.mtx.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// said counts the webhooks that hold a text.
func (s *sidecar) said(text string) int {
	s.mtx.Lock()
	defer s.mtx.Unlock()
	n := 0
	for _, b := range s.bodies {
		if strings.Contains(b, text) {
			n++
		}
	}
	return n
}

// pages waits until the incidents of an alert, oldest first, have these states.
func (s *sidecar) pages(name string, want ...emulator.Status) {
	s.t.Helper()
	s.eventually("the incidents of "+name, soon, func() error {
		got := []emulator.Status{}
		for _, in := range s.incidents(name) {
			got = append(got, in.Status)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
}

func (s *sidecar) silence(name string) (id string) {
	s.t.Helper()
	return strings.TrimSpace(s.amtool("silence", "add", "alertname="+name, "--author=test", "--comment=test", "--duration=1h"))
}

// listed waits until the reconciler has seen the alerts in Alertmanager's list.
func (s *sidecar) listed() {
	s.t.Helper()
	s.eventually("the reconciler's first look", soon, func() error {
		for _, in := range s.store.List() {
			for _, m := range in.Members {
				if m.Vouched != "" {
					return nil
				}
			}
		}
		return errors.New("no alert is vouched for")
	})
}

// A silenced alert that resolves is never told of by Alertmanager.
func TestResolveLostInASilenceArrives(t *testing.T) {
	t.Parallel()
	s := startSidecar(t, alertmanager.Reconcile{}, options{})
	stuck, other := alert("Stuck", "severity=critical"), alert("Other", "severity=critical")
	s.post(stuck, other)
	s.pages("Stuck", emulator.Triggered)
	s.pages("Other", emulator.Triggered)
	s.silence("Stuck")
	s.post(over(stuck))
	s.pages("Stuck", emulator.Resolved)
	s.pages("Other", emulator.Triggered)
	if n := s.said(`"status":"resolved"`); n != 0 {
		t.Errorf("Alertmanager told of %d resolves: this test proves nothing", n)
	}
}

// A restarted Alertmanager lists nothing at first.
func TestRestartedAlertmanagerResolvesNothingTooSoon(t *testing.T) {
	t.Parallel()
	s := startSidecar(t, alertmanager.Reconcile{}, options{})
	survivor, lost := alert("Survivor", "severity=critical"), alert("Lost", "severity=critical")
	s.post(survivor, lost)
	s.pages("Survivor", emulator.Triggered)
	s.pages("Lost", emulator.Triggered)
	s.listed()
	s.members[0].alertmanager.Kill()
	restarted := time.Now()
	s.restart(s.members[0].alertmanager)
	s.until(restarted.Add(minUptime / 2)) // it lists nothing, look after look.
	if _, counts := s.requests(); counts.Total != 2 {
		t.Errorf("PagerDuty got %d requests while Alertmanager was young, want the 2 triggers alone", counts.Total)
	}
	s.post(survivor) // Prometheus sends it again; the other one is over.
	s.pages("Lost", emulator.Resolved)
	s.pages("Survivor", emulator.Triggered)
	s.one("Survivor")
	s.one("Lost")
	list, _ := s.requests()
	said := map[string][]string{}
	for _, r := range list {
		said[nameOf(r.DedupKey)] = append(said[nameOf(r.DedupKey)], r.Action)
		if early := restarted.Add(minUptime).Sub(r.At); r.Action == "resolve" && early > 0 {
			t.Errorf("%s was resolved %v before Alertmanager was old enough", r.DedupKey, early)
		}
	}
	if diff := gocmp.Diff(map[string][]string{"Survivor": {"trigger"}, "Lost": {"trigger", "resolve"}}, said); diff != "" {
		t.Errorf("what PagerDuty was told (-want +got):\n%s", diff)
	}
}

// until waits for a moment of the wall clock.
func (s *installation) until(moment time.Time) {
	s.t.Helper()
	s.eventually("the time to pass", soon, func() error {
		if left := time.Until(moment); left > 0 {
			return fmt.Errorf("%v are left", left)
		}
		return nil
	})
}

func TestSilencedAlerts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		do    string
		muted emulator.Status
	}{
		{"resolve", emulator.Resolved},
		{"acknowledge", emulator.Acknowledged},
	} {
		t.Run(tc.do, func(t *testing.T) {
			t.Parallel()
			s := startSidecar(t, alertmanager.Reconcile{OnSilence: tc.do}, options{})
			a := alert("Muted", "severity=critical")
			s.post(a)
			s.pages("Muted", emulator.Triggered)
			id := s.silence("Muted")
			s.pages("Muted", tc.muted)
			s.amtool("silence", "expire", id)
			s.pages("Muted", emulator.Resolved, emulator.Triggered)
			s.silence("Muted")
			s.pages("Muted", emulator.Resolved, tc.muted)
			s.post(over(a))
			s.pages("Muted", emulator.Resolved, emulator.Resolved)
			s.eventually("an empty outbox", soon, func() error {
				if n := len(s.store.List()); n != 0 {
					return fmt.Errorf("%d incidents", n)
				}
				return nil
			})
		})
	}
}

// What max_alerts cuts off is paged, and resolved, all the same.
func TestTruncatedAlertsAreAdopted(t *testing.T) {
	t.Parallel()
	s := startSidecar(t, alertmanager.Reconcile{}, options{groupBy: "[team]", maxAlerts: 1})
	first, second := alert("First", "severity=critical", "team=infra", "instance=1"), alert("Second", "severity=warning", "team=infra", "instance=2")
	s.post(first, second)
	s.pages("First", emulator.Triggered)
	s.pages("Second", emulator.Triggered)
	if n := s.said("Second"); n != 0 {
		t.Errorf("Alertmanager told of it %d times: this test proves nothing", n)
	}
	s.post(over(second))
	s.pages("Second", emulator.Resolved)
	s.post(over(first))
	s.pages("First", emulator.Resolved)
}

// The status page shows what the reconciler has found.
func TestStatusPageShowsWhatIsNoEvidence(t *testing.T) {
	t.Parallel()
	s := install(t, options{}) // Alertmanager has just started.
	s.eventually("the status page", soon, func() error {
		page, err := stack.HTTP{}.Text(t.Context(), s.members[0].relay.URL()+"/")
		if err == nil && !strings.Contains(page, `<p class="notice note">Stale-alert clean-up is paused: `) {
			err = fmt.Errorf("it does not say that Alertmanager is young:\n%s", page)
		}
		return err
	})
}
