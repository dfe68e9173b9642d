package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/e2e/stack"
)

// The ways to page.
const (
	sidePagerelay = "pagerelay"
	sideNative    = "native"
)

const startTimeout = 30 * time.Second

// side is one way to page: an Alertmanager, what it posts to, and an emulated
// PagerDuty at the end.
type side struct {
	name string
	last time.Duration // until its alerts end.
	pd   *emulator.Emulator
	am   stack.Alertmanager
	ends []func() // what is to be closed, the newest first.

	mu       sync.Mutex
	fired    map[string]time.Time // when the alert was about to be posted to Alertmanager.
	arrived  map[string]time.Time // when its webhook arrived, of sidePagerelay.
	accepted map[string]time.Time // when PagerDuty took its first trigger.
	changed  chan struct{}        // has a value when accepted has grown.
}

// startSide starts what belongs to a side in a folder of its own. The side is to
// be closed even when there is an error.
func startSide(ctx context.Context, name, dir string, o options) (*side, error) {
	s := &side{
		name: name, last: o.alertsLast,
		fired: map[string]time.Time{}, arrived: map[string]time.Time{}, accepted: map[string]time.Time{},
		changed: make(chan struct{}, 1),
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return s, err
	}
	var err error
	if s.pd, err = emulator.New(emulator.Default(), emulator.Options{Journal: journal{s}}); err != nil {
		return s, err
	}
	pdURL, err := s.serve(s.pd.Handler())
	if err != nil {
		return s, err
	}
	receiver := fmt.Sprintf( // as much like pagerelay's events as its templates allow.
		"pagerduty_configs: [{routing_key: %s, url: %s/v2/enqueue, severity: '{{ .CommonLabels.severity }}', description: '{{ .CommonLabels.alertname }}'}]",
		emulator.DefaultRoutingKey, pdURL)
	relay := make(chan *url.URL, 1)
	if name == sidePagerelay {
		// Alertmanager and pagerelay each need the other's address: the door is there first.
		door, err := s.serve(s.door(relay))
		if err != nil {
			return s, err
		}
		receiver = "webhook_configs: [{url: " + door + "/webhook/alertmanager}]"
	}
	// An incident an alert, as pagerelay makes by default. Without a group_wait it is
	// the delivery that is measured; its default of 30 s would be added to both.
	config, err := write(dir, "alertmanager.yml", fmt.Sprintf(`
route:
  receiver: pages
  group_by: ['...']
  group_wait: 0s
  group_interval: %s
receivers:
  - name: pages
    %s
`, o.groupInterval, receiver))
	if err != nil {
		return s, err
	}
	am, err := s.start(ctx, "alertmanager of "+name, o.alertmanager,
		"--config.file="+config, "--storage.path="+filepath.Join(dir, "alertmanager"), "--cluster.listen-address=")
	if err != nil {
		return s, err
	}
	s.am = stack.Alertmanager{URL: am.URL()}
	if name == sidePagerelay {
		return s, s.startRelay(ctx, dir, pdURL, o, relay)
	}
	return s, nil
}

// startRelay starts pagerelay and says where it is.
func (s *side) startRelay(ctx context.Context, dir, pdURL string, o options, where chan<- *url.URL) error {
	config, err := write(dir, "pagerelay.yml", fmt.Sprintf("pagerduty: {events_url: %s}\nalertmanager: {urls: [%s]}\nservices: {storm: {routing_key: %s}}\ndefaults: {dedup: {by: alert}}\n",
		pdURL, s.am.URL, emulator.DefaultRoutingKey))
	if err != nil {
		return err
	}
	relay, err := s.start(ctx, "pagerelay", o.pagerelay, "serve", "--config.file="+config, "--storage.path="+filepath.Join(dir, "pagerelay"))
	if err != nil {
		return err
	}
	target, err := url.Parse(relay.URL())
	if err != nil {
		return err
	}
	where <- target
	return nil
}

// door notes which alerts a webhook holds, and passes it on as it is.
func (s *side) door(relay <-chan *url.URL) http.Handler {
	target := sync.OnceValue(func() *url.URL { return <-relay })
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target()) },
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		var group struct {
			Alerts []struct {
				Labels map[string]string `json:"labels"`
			} `json:"alerts"`
		}
		if err := json.Unmarshal(body, &group); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		s.mu.Lock()
		for _, a := range group.Alerts {
			if name := a.Labels["alertname"]; s.arrived[name].IsZero() {
				s.arrived[name] = now
			}
		}
		s.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	})
}

// journal is where the emulator writes what it accepts; it holds its lock meanwhile.
type journal struct{ *side }

func (j journal) Write(line []byte) (int, error) {
	var r emulator.Request
	if err := json.Unmarshal(line, &r); err != nil {
		return 0, fmt.Errorf("read journal: %w", err)
	}
	j.mu.Lock()
	if j.accepted[r.Summary].IsZero() {
		j.accepted[r.Summary] = r.At
	}
	j.mu.Unlock()
	select {
	case j.changed <- struct{}{}:
	default:
	}
	return len(line), nil
}

// loose fires the alerts of a storm after a delay, and returns when PagerDuty has
// taken all of them, or when limit has passed since the first.
func (s *side) loose(ctx context.Context, delay, limit time.Duration, storm []volley) error {
	began := time.Now().Add(delay)
	ctx, cancel := context.WithDeadline(ctx, began.Add(limit))
	defer cancel()
	total := 0
	for _, v := range storm {
		total += len(v.alerts)
	}
	for _, v := range storm {
		timer := time.NewTimer(time.Until(began.Add(v.after)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		now := time.Now()
		s.mu.Lock()
		for i := range v.alerts {
			s.fired[v.alerts[i].Labels["alertname"]] = now
		}
		s.mu.Unlock()
		// Prometheus sends an alert again and again; these are sent once.
		alerts := make([]stack.Alert, len(v.alerts))
		for i, a := range v.alerts {
			a.StartsAt, a.EndsAt = now, now.Add(s.last)
			alerts[i] = a
		}
		if err := s.am.Post(ctx, alerts...); err != nil {
			return fmt.Errorf("post alerts to the alertmanager of %s: %w", s.name, err)
		}
	}
	for {
		s.mu.Lock()
		n := len(s.accepted)
		s.mu.Unlock()
		if n >= total {
			return nil
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *side) progress() string {
	counts := s.pd.Counts()
	s.mu.Lock()
	defer s.mu.Unlock()
	critical := 0
	for name := range s.accepted {
		if isCritical(name) {
			critical++
		}
	}
	return fmt.Sprintf("%s: %d of %d accepted, %d critical, %d requests, %d refused", s.name, len(s.accepted), len(s.fired), critical, counts.Total, counts.Throttled)
}

// serve serves h on a free port of loopback until the side is closed.
func (s *side) serve(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(stack.Loopback(), "0"))
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintf(os.Stderr, "storm: serve %s: %v\n", l.Addr(), err)
		}
	}()
	s.ends = append(s.ends, func() {
		_ = server.Close() // nothing that is under way matters any more.
		<-ended
	})
	return "http://" + l.Addr().String(), nil
}

func (s *side) start(ctx context.Context, name, path string, args ...string) (*stack.Process, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p, err := stack.Start(ctx, stack.Program{Name: name, Path: path, Args: args, Addr: net.JoinHostPort(stack.Loopback(), "0")})
	s.ends = append(s.ends, p.Kill)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, p.Tail(20))
	}
	return p, nil
}

func (s *side) close() {
	for _, end := range slices.Backward(s.ends) {
		end()
	}
}

func write(dir, name, text string) (string, error) {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	return path, nil
}
