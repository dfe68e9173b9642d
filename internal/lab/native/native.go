// Package native runs Alertmanager 0.35 inside a test's process, made of its own
// packages: alerts, silences, dispatcher, notification pipeline, notification log and
// webhook notifier are wired as its program wires them. `go install` builds no release
// after 0.31.1, because the user interface is not part of the module; this is how newer
// behaviour is held. It has no sockets and no clock but time's, so it runs in a bubble.
//
// The HTTP API is a stand-in: it lists what Alertmanager's own store holds.
package native

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/notify/webhook"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/silence/silencepb"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/client_golang/prometheus"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Options say what a Member is.
type Options struct {
	// Config is the text of alertmanager.yml. Its only notifiers are webhooks.
	Config string
	// Features is what --enable-feature takes.
	Features string
	// URL is what --web.external-url takes.
	URL string
	// Wait is how long the member waits for those before it in its cluster: position
	// times --cluster.peer-timeout.
	Wait time.Duration
	// Webhooks answers what the member posts, whatever the URL in Config is.
	Webhooks http.Handler
}

// Member is one Alertmanager.
type Member struct {
	alerts     *mem.Alerts
	silences   *silence.Silences
	silencer   *silence.Silencer
	inhibitor  *inhibit.Inhibitor
	log        *nflog.Log
	routes     *dispatch.Route
	dispatcher *dispatch.Dispatcher
}

// Start starts a member; it runs until Stop.
func Start(o Options) (*Member, error) {
	conf, err := config.Load(o.Config)
	if err != nil {
		return nil, fmt.Errorf("load the configuration: %w", err)
	}
	logger := slog.New(slog.DiscardHandler)
	features, err := featurecontrol.NewFlags(logger, o.Features)
	if err != nil {
		return nil, fmt.Errorf("enable features: %w", err)
	}
	reg, events, retention := prometheus.NewRegistry(), eventrecorder.NopRecorder(), 120*time.Hour
	m := &Member{routes: dispatch.NewRoute(conf.Route, nil)}
	if m.log, err = nflog.New(nflog.Options{Retention: retention, Logger: logger, Metrics: reg}); err != nil {
		return nil, err
	}
	if m.silences, err = silence.New(silence.Options{Retention: retention, Logger: logger, Metrics: reg}); err != nil {
		return nil, err
	}
	m.silencer = silence.NewSilencer(m.silences, logger, events)
	if m.alerts, err = mem.NewAlerts(context.Background(), 30*time.Minute, 0, m.silencer, logger, events, reg, features); err != nil {
		return nil, err
	}
	m.inhibitor = inhibit.NewInhibitor(m.alerts, conf.InhibitRules, logger, events)

	tmpl, err := template.FromGlobs(nil)
	if err != nil {
		return nil, err
	}
	if tmpl.ExternalURL, err = url.Parse(o.URL); err != nil {
		return nil, err
	}
	receivers := map[string][]notify.Integration{}
	for _, r := range conf.Receivers {
		for i, c := range r.WebhookConfigs {
			n, err := webhook.New(c, tmpl, logger, promconfig.WithDialContextFunc(dialer(o.Webhooks)))
			if err != nil {
				return nil, err
			}
			receivers[r.Name] = append(receivers[r.Name], notify.NewIntegration(n, c, "webhook", i, r.Name))
		}
	}
	intervals := map[string][]timeinterval.TimeInterval{}
	for _, t := range conf.TimeIntervals {
		intervals[t.Name] = t.TimeIntervals
	}
	intervener := timeinterval.NewIntervener(intervals)
	wait := func() time.Duration { return o.Wait }
	pipeline := notify.NewPipelineBuilder(reg, features, events).
		New(receivers, wait, m.inhibitor, m.silencer, intervener, m.log, nil)
	m.dispatcher = dispatch.NewDispatcher(m.alerts, m.routes, pipeline, intervener,
		func(d time.Duration) time.Duration { return max(d, notify.MinTimeout) + wait() },
		30*time.Second, nil, logger, events, dispatch.NewDispatcherMetrics(false, reg, features), tmpl)

	go m.inhibitor.Run()
	m.inhibitor.WaitForLoading()
	go m.dispatcher.Run(time.Now())
	m.dispatcher.WaitForLoading()
	return m, nil
}

// Stop ends all that Start began.
func (m *Member) Stop() {
	m.dispatcher.Stop()
	m.inhibitor.Stop()
	m.alerts.Close()
}

// Cluster lets members gossip: what one of them logs or silences reaches the others
// after delay.
func Cluster(delay time.Duration, members ...*Member) {
	for i, m := range members {
		others := slices.Delete(slices.Clone(members), i, i+1)
		tell := func(merge func(*Member, []byte) error) func([]byte) {
			return func(b []byte) {
				b = slices.Clone(b)
				time.AfterFunc(delay, func() {
					for _, other := range others {
						_ = merge(other, b) // it was encoded in this process.
					}
				})
			}
		}
		m.log.SetBroadcast(tell(func(other *Member, b []byte) error { return other.log.Merge(b) }))
		m.silences.SetBroadcast(tell(func(other *Member, b []byte) error { return other.silences.Merge(b) }))
	}
}

// Alert is an alert as Prometheus posts it. Without an end it lasts for five minutes
// from now, as with --resolve-timeout.
type Alert struct {
	Labels       map[string]string
	Annotations  map[string]string
	StartsAt     time.Time
	EndsAt       time.Time
	GeneratorURL string
}

// Post is POST /api/v2/alerts.
func (m *Member) Post(alerts ...Alert) error {
	now := time.Now()
	for _, a := range alerts {
		posted := model.Alert{
			Labels: set(a.Labels), Annotations: set(a.Annotations),
			StartsAt: a.StartsAt, EndsAt: a.EndsAt, GeneratorURL: a.GeneratorURL,
		}
		timeout := posted.EndsAt.IsZero()
		if timeout {
			posted.EndsAt = now.Add(5 * time.Minute)
		}
		if err := posted.Validate(); err != nil {
			return err
		}
		if err := m.alerts.Put(context.Background(), alert.New(posted, now, timeout)); err != nil {
			return err
		}
	}
	return nil
}

// Silence mutes the alerts with a label, for a while, and returns the silence's id.
func (m *Member) Silence(name, value string, d time.Duration) (string, error) {
	now := time.Now()
	s := &silencepb.Silence{
		MatcherSets: []*silencepb.MatcherSet{{Matchers: []*silencepb.Matcher{{Type: silencepb.Matcher_EQUAL, Name: name, Pattern: value}}}},
		StartsAt:    timestamppb.New(now), EndsAt: timestamppb.New(now.Add(d)), CreatedBy: "test", Comment: "test",
	}
	err := m.silences.Set(context.Background(), s)
	return s.Id, err
}

// Expire ends a silence.
func (m *Member) Expire(id string) error { return m.silences.Expire(context.Background(), id) }

// Listed is an alert as GET /api/v2/alerts lists it.
type Listed struct {
	Fingerprint string
	Labels      map[string]string
	Annotations map[string]string
	StartsAt    time.Time
	EndsAt      time.Time
	Silenced    bool
	Receivers   []string
}

// List is GET /api/v2/alerts: what is not over.
func (m *Member) List() []Listed {
	now := time.Now()
	var list []Listed
	it := m.alerts.GetPending()
	defer it.Close()
	for a := range it.Next() {
		if a.Data.ResolvedAt(now) {
			continue
		}
		l := Listed{
			Fingerprint: a.Data.Fingerprint().String(), Labels: unset(a.Data.Labels), Annotations: unset(a.Data.Annotations),
			StartsAt: a.Data.StartsAt, EndsAt: a.Data.EndsAt, Silenced: m.silencer.Mutes(context.Background(), a.Data.LabelSet()),
		}
		for _, r := range m.routes.Match(a.Data.Labels) {
			l.Receivers = append(l.Receivers, r.RouteOpts.Receiver)
		}
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b Listed) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	return list
}

func set(labels map[string]string) model.LabelSet {
	out := model.LabelSet{}
	for name, value := range labels {
		out[model.LabelName(name)] = model.LabelValue(value)
	}
	return out
}

func unset(labels model.LabelSet) map[string]string {
	out := map[string]string{}
	for name, value := range labels {
		out[string(name)] = string(value)
	}
	return out
}

// dialer reaches a handler without a socket.
func dialer(h http.Handler) promconfig.DialContextFunc {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
		srv.SetKeepAlivesEnabled(false) // nothing is left when a request is over.
		go func() { _ = srv.Serve(&pipe{server: server}) }()
		return client, nil
	}
}

// pipe is a listener that accepts one connection.
type pipe struct{ server net.Conn }

func (p *pipe) Accept() (net.Conn, error) {
	if p.server == nil {
		return nil, net.ErrClosed
	}
	c := p.server
	p.server = nil
	return c, nil
}

func (p *pipe) Close() error   { return nil }
func (p *pipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
