// Package selfalert pages about pagerelay itself, where it knows that pages may
// be missing. It does so through the door and the rules that every alert goes
// through, and knows nothing of either; it finds nothing wrong by itself.
package selfalert

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/promslog"

	"github.com/pagerelay/pagerelay/mapping"
)

// Kind is what is wrong. It is a metric's label.
type Kind string

// The kinds, which are the alerts' names.
const (
	Truncated     Kind = "PagerelayAlertsTruncated" // Alertmanager left alerts out of a webhook.
	BodyRefused   Kind = "PagerelayBodyRefused"     // a webhook was too large or not understood.
	OutboxDamaged Kind = "PagerelayOutboxDamaged"   // the outbox's file was moved aside.
)

// Kinds lists all kinds, to initialise metrics with.
func Kinds() []Kind { return []Kind{Truncated, BodyRefused, OutboxDamaged} }

const (
	// lasts is how long an alert fires after what it is about was last seen.
	lasts = 15 * time.Minute
	// renew is how often at most a firing alert is made to last longer.
	renew = time.Minute
	again = time.Second // after the door did not take it.
)

// Door takes groups in; nil means that their alerts are durable. intake.Door is one.
type Door interface {
	Post(ctx context.Context, groups ...*mapping.Group) error
}

// Config is what Alerts may be told. Its zero value works.
type Config struct {
	// Instance tells this pagerelay from others: the label instance.
	Instance   string
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Alerts raises them. Its methods are safe for concurrent use.
type Alerts struct {
	door     Door
	instance string
	log      *slog.Logger
	raised   *prometheus.CounterVec
	wake     chan struct{}

	mtx     sync.Mutex
	pending map[Kind]bool
}

// New makes Alerts; nothing is posted until Run runs.
func New(door Door, cfg Config) *Alerts {
	a := &Alerts{
		door: door, instance: cfg.Instance, log: cfg.Logger,
		wake: make(chan struct{}, 1), pending: map[Kind]bool{},
		raised: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pagerelay_self_alerts_total",
			Help: "Occurrences of what pagerelay pages about by itself.",
		}, []string{"alertname"}),
	}
	if a.log == nil {
		a.log = promslog.NewNopLogger()
	}
	for _, k := range Kinds() {
		a.raised.WithLabelValues(string(k))
	}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(a.raised)
	}
	return a
}

// Raise says that something is wrong, once more. It does not block; what is
// raised before Run runs is not lost.
func (a *Alerts) Raise(k Kind) {
	a.raised.WithLabelValues(string(k)).Inc()
	a.mtx.Lock()
	a.pending[k] = true
	a.mtx.Unlock()
	a.poke()
}

func (a *Alerts) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// episode is one firing of an alert of ours.
type episode struct{ since, stored time.Time }

// Run pages what is raised until ctx ends. An alert ends by itself 15 minutes
// after it was last raised.
func (a *Alerts) Run(ctx context.Context) error {
	episodes := map[Kind]episode{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		case <-timer.C:
		}
		if next := a.work(ctx, episodes, time.Now()); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// work posts what is due, and returns when to look again.
func (a *Alerts) work(ctx context.Context, episodes map[Kind]episode, now time.Time) (next time.Time) {
	later := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, k := range Kinds() {
		e := episodes[k]
		if !a.take(k) {
			continue
		}
		switch {
		case now.Sub(e.stored) >= lasts: // never, or over.
			e = episode{since: now}
		case now.Sub(e.stored) < renew:
			a.put(k)
			later(e.stored.Add(renew))
			continue
		}
		if err := a.door.Post(ctx, a.group(k, e.since, now)); err != nil {
			if ctx.Err() == nil {
				a.log.Error("Paging about pagerelay itself failed; it is tried again", "alertname", string(k), "err", err)
			}
			a.put(k)
			later(now.Add(again))
			continue
		}
		e.stored = now
		episodes[k] = e
	}
	return next
}

func (a *Alerts) take(k Kind) bool {
	a.mtx.Lock()
	defer a.mtx.Unlock()
	was := a.pending[k]
	delete(a.pending, k)
	return was
}

func (a *Alerts) put(k Kind) {
	a.mtx.Lock()
	defer a.mtx.Unlock()
	a.pending[k] = true
}

// group is the webhook that Alertmanager would send of the alert.
func (a *Alerts) group(k Kind, since, now time.Time) *mapping.Group {
	severity, summary, description := k.text()
	labels := template.KV{"alertname": string(k), "severity": severity}
	if a.instance != "" {
		labels["instance"] = a.instance
	}
	annotations := template.KV{"summary": summary, "description": description}
	return &mapping.Group{
		Data: template.Data{
			Receiver: "pagerelay", Status: mapping.Firing,
			Alerts: template.Alerts{{
				Status: mapping.Firing, Labels: labels, Annotations: annotations,
				StartsAt: since.UTC(), EndsAt: now.Add(lasts).UTC(),
			}},
			GroupLabels: labels, CommonLabels: labels, CommonAnnotations: annotations,
		},
		GroupKey: "pagerelay:" + string(k),
		Origin:   mapping.OriginSelf,
	}
}

func (k Kind) text() (severity, summary, description string) {
	switch k {
	case Truncated:
		return "warning", "Alertmanager leaves alerts out of what it sends to pagerelay",
			"A webhook was cut short by max_alerts in Alertmanager's webhook_configs. Set it to 0, or group by more labels. " +
				"Where alertmanager.urls is set, what was left out is found by asking and is paged within a few minutes."
	case BodyRefused:
		return "critical", "Pagerelay could not read all of a webhook: alerts may not have been paged",
			"The body was too large, was no webhook, or held alerts that cannot be read; the log of pagerelay says which. " +
				"Where alertmanager.urls is set, the alerts are found by asking and are paged within a few minutes."
	case OutboxDamaged:
		return "critical", "The outbox of pagerelay was damaged and starts anew",
			"The file was moved aside; the log names it. Incidents that were open in PagerDuty and are over now may stay open: look through them. " +
				"Where alertmanager.urls is set, what fires is found by asking and is paged within a few minutes."
	}
	return "critical", string(k), ""
}
