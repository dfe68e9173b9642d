package model_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
	"github.com/pagerelay/pagerelay/receiver"
)

// surroundings are what a sidecar talks to.
type surroundings interface {
	delivery.Sender
	delivery.Asker
	alertmanager.Surveyor
}

// settings are what a reload of a sidecar replaces.
type settings struct {
	config *config.Config
	peers  int // Alertmanagers that may be asked; 0: none.
	policy alertmanager.Reconcile
	// previousKeys are every service's.
	previousKeys []string
	// readKey is called whenever a routing key is read from its file; nil: nothing is.
	readKey func()
	// committing is called before the outbox commits; nil: nothing is.
	committing func()
	// coverage is what the coverage audit says; nil: there is none.
	coverage func(service string, at time.Time) incident.Coverage
}

// sidecar is pagerelay from its door to its transport, wired as the program does
// it, with the real file.
type sidecar struct {
	store     *outbox.Store
	door      *http.ServeMux
	deliver   *delivery.Deliverer
	reconcile *alertmanager.Reconciler
	receiver  *receiver.Receiver
	around    surroundings
	stop      func()
}

// newSidecar opens the outbox, as a start of the process does.
func newSidecar(dir string, around surroundings, with settings) *sidecar {
	store, err := outbox.Open(dir, outbox.Config{Now: func() time.Time { // read before each commit.
		if with.committing != nil {
			with.committing()
		}
		return time.Now()
	}})
	if err != nil {
		panic(err)
	}
	s := &sidecar{store: store, around: around, door: http.NewServeMux()}
	s.deliver = delivery.New(store, delivery.Config{})
	s.reconcile = alertmanager.NewReconciler(store, alertmanager.ReconcilerConfig{})
	s.receiver, err = receiver.New(alertmanager.Learn{Sink: store, Reconciler: s.reconcile}, receiver.Config{
		OnTruncated: func(string) { s.reconcile.Adopt() },
	})
	if err != nil {
		panic(err)
	}
	s.apply(with)
	s.receiver.Register(s.door)
	return s
}

// start lets everything run.
func (s *sidecar) start() {
	storeCtx, stopStore := context.WithCancel(context.Background())
	ctx, stopDelivery := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.store.Run(storeCtx) })
	running.Go(func() { _ = s.deliver.Run(ctx) })
	running.Go(func() { _ = s.reconcile.Run(ctx) })
	// The outbox goes first: nothing that happens from now on is stored, as in a crash.
	s.stop = func() {
		stopStore()
		stopDelivery()
		running.Wait()
	}
}

func (s *sidecar) apply(with settings) {
	mapper, err := mapping.New(with.config.Mapping)
	if err != nil {
		panic(err)
	}
	if err := s.receiver.SetPolicy(mapper, receiver.Access{}); err != nil {
		panic(err)
	}
	s.store.SetPolicy(incident.Policy{StaleAfter: staleAfter, Alertmanagers: with.peers})
	services := map[string]delivery.Service{}
	for name, c := range with.config.Services {
		services[name] = delivery.Service{
			Name: name, Fallback: c.Fallback, EventsPerMinute: c.EventsPerMinute,
			Key: func() (string, error) {
				if with.readKey != nil {
					with.readKey()
				}
				return string(c.RoutingKey), nil
			},
			PreviousKeys: func() []string { return with.previousKeys },
		}
	}
	var asker delivery.Asker
	reconcile := alertmanager.ReconcileSettings{Router: mapper, Policy: with.policy}
	if with.peers > 0 {
		asker, reconcile.Source = s.around, s.around
	}
	s.deliver.Apply(delivery.Settings{Services: services, Renderer: mapper, Sender: s.around, Asker: asker, Coverage: with.coverage})
	s.reconcile.Apply(reconcile)
}

// post is one try of Alertmanager to deliver a webhook.
func post(door http.Handler, body []byte) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodPost, receiver.PathWebhook, bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	door.ServeHTTP(rec, req)
	return rec
}

// account is PagerDuty. It is a delivery.Sender without sockets, so that virtual
// time goes on.
type account struct{ *emulator.Emulator }

func newAccount(c emulator.Config) account {
	pd, err := emulator.New(c, emulator.Options{})
	if err != nil {
		panic(err)
	}
	return account{pd}
}

// Enqueue sends an event.
func (a account) Enqueue(ctx context.Context, _ string, e *pagerduty.Event) error {
	return a.send(ctx, "http://pagerduty/v2/enqueue", e)
}

// EnqueueChange sends a change event.
func (a account) EnqueueChange(ctx context.Context, _ string, e *pagerduty.ChangeEvent) error {
	return a.send(ctx, "http://pagerduty/v2/change/enqueue", e)
}

func (a account) send(ctx context.Context, url string, e any) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := a.Transport().RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusAccepted {
		return &pagerduty.StatusError{Code: resp.StatusCode, Header: resp.Header, Body: answer}
	}
	return nil
}

// newDir is a folder for the outbox, in memory where that can be had: a commit
// flushes twice. It holds the file of previous routing keys that the world's
// configuration names.
func newDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "model") //nolint:usetesting // t.TempDir is on a disk.
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(dir+"/previous", []byte(keyInfra), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
