package delivery_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// bulky renders events of half a megabyte, but for the minimal one.
type bulky struct{ render }

func (b bulky) Render(in mapping.Incident, o mapping.RenderOptions) (mapping.Event, []mapping.Fault) {
	e, faults := b.render.Render(in, o)
	if !o.Minimal {
		e.Details = map[string]any{"log": strings.Repeat("x", 512_000)}
	}
	return e, faults
}

// wired is a deliverer that sends over real sockets to pd, with what stands in
// the way before it: stand answers in PagerDuty's place, or returns false.
func wired(t *testing.T, stand func(w http.ResponseWriter, r *http.Request) bool, settings delivery.Settings) *outbox.Store {
	t.Helper()
	pd, err := emulator.New(emulator.Default(), emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !stand(w, r) {
			pd.Handler().ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	client, err := pagerduty.New(pagerduty.Config{EventsURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	settings.Sender = client
	if settings.Renderer == nil {
		settings.Renderer = render{}
	}
	store, err := outbox.Open(quickDir(t), outbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	store.SetPolicy(incident.Policy{StaleAfter: 2 * time.Minute})
	d := delivery.New(store, delivery.Config{})
	d.Apply(settings)
	ctx, cancel := context.WithCancel(context.Background())
	storeCtx, cancelStore := context.WithCancel(context.Background())
	var running, delivering sync.WaitGroup
	running.Go(func() { _ = store.Run(storeCtx) })
	delivering.Go(func() { _ = d.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		delivering.Wait()
		cancelStore()
		running.Wait()
	})
	return store
}

func fire(t *testing.T, store *outbox.Store, name string) {
	t.Helper()
	err := store.Observe(t.Context(), []mapping.Observation{{
		Service: "infra", DedupKey: name, Urgency: mapping.High, Severity: "critical", Origin: mapping.OriginAlertmanager, ExternalURL: "http://am",
		Alert: template.Alert{Status: mapping.Firing, Fingerprint: name, StartsAt: time.Now()},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for an incident to be as good says.
func until(t *testing.T, store *outbox.Store, service, name string, good func(*incident.Incident) bool) *incident.Incident {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		in, ok := store.Get(incident.ID(service, name))
		if ok && good(in) {
			return in
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s on %s did not become so within 20s: %+v", name, service, in)
		}
	}
}

func isOpen(in *incident.Incident) bool { return in.Have == incident.StateOpen }

func keyOf(key string) func() (string, error) { return func() (string, error) { return key, nil } }

func TestOverTheWireAProxyInTheWayIsTemporary(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"403 and HTML": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("<html>blocked by policy</html>"))
		},
		"a login page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<!DOCTYPE html><html>log in</html>"))
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:9/login", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			asked := 0
			stand := func(w http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				if asked++; asked <= 2 {
					answer(w, r)
					return true
				}
				return false
			}
			store := wired(t, stand, delivery.Settings{Services: map[string]delivery.Service{
				"infra":     {Name: "infra", Fallback: "catch-all", Key: keyOf(emulator.DefaultRoutingKey)},
				"catch-all": {Name: "catch-all", Key: keyOf(nextKey)},
			}})
			fire(t, store, "a")
			in := until(t, store, "infra", "a", isOpen)
			if in.Blocked != nil || len(store.List()) != 1 {
				t.Errorf("blocked %+v, %d incidents, want not blocked and no copy for the fallback", in.Blocked, len(store.List()))
			}
		})
	}
}

func TestOverTheWireAnOversizedEventGoesInItsMinimalForm(t *testing.T) {
	store := wired(t, func(http.ResponseWriter, *http.Request) bool { return false }, delivery.Settings{
		Services: map[string]delivery.Service{"infra": {Name: "infra", Key: keyOf(emulator.DefaultRoutingKey)}}, Renderer: bulky{},
	})
	fire(t, store, "a")
	if in := until(t, store, "infra", "a", isOpen); !in.Minimal {
		t.Error("the event of half a megabyte was taken: this shows nothing")
	}
}

func TestOverTheWireAnUnknownKeyGoesToTheFallback(t *testing.T) {
	store := wired(t, func(http.ResponseWriter, *http.Request) bool { return false }, delivery.Settings{Services: map[string]delivery.Service{
		"infra":     {Name: "infra", Fallback: "catch-all", Key: keyOf(nextKey)},
		"catch-all": {Name: "catch-all", Key: keyOf(emulator.DefaultRoutingKey)},
	}})
	fire(t, store, "a")
	until(t, store, "catch-all", "a", isOpen)
	in := until(t, store, "infra", "a", func(in *incident.Incident) bool { return in.KeyFault != "" })
	if in.Status() != "blocked" || !strings.Contains(in.KeyFault, "Invalid routing key") {
		t.Errorf("status %s, key fault %q, want blocked with PagerDuty's words", in.Status(), in.KeyFault)
	}
}
