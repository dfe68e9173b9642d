package delivery

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

type metrics struct {
	events    *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	throttled *prometheus.CounterVec
	unheard   *prometheus.CounterVec
	backoff   *backoffCollector
	questions *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pagerelay_events_total",
			Help: "Requests to PagerDuty's Events API by what became of them.",
		}, []string{"service", "action", "outcome"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:                            "pagerelay_page_latency_seconds",
			Help:                            "Time from the webhook being stored to PagerDuty's acceptance of the trigger.",
			Buckets:                         []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300, 1800, 7200},
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}, []string{"urgency"}),
		throttled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pagerelay_throttled_total",
			Help: "Requests that PagerDuty answered with 429.",
		}, []string{"service"}),
		unheard: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pagerelay_uncovered_pages_total",
			Help: "Triggers that PagerDuty accepted while, by the last audit, it opened nothing: nobody on call, disabled, or in maintenance.",
		}, []string{"service"}),
		backoff: &backoffCollector{
			until: map[string]time.Time{},
			desc: prometheus.NewDesc("pagerelay_lane_backoff_seconds",
				"Time until the service's lane tries again; 0 while it is not backing off.", []string{"service"}, nil),
		},
		questions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pagerelay_alertmanager_questions_total",
			Help: "Questions put to Alertmanager before a page is sent or dropped, by what it said.",
		}, []string{"question", "verdict"}),
	}
	for _, u := range mapping.Urgencies() {
		m.latency.WithLabelValues(string(u))
	}
	for _, q := range []incident.Question{incident.QuestionLate, incident.QuestionStale, incident.QuestionOpen, incident.QuestionSiblings} {
		for _, v := range []incident.Verdict{incident.VerdictFiring, incident.VerdictGone, incident.VerdictUncertain} {
			m.questions.WithLabelValues(string(q), string(v))
		}
	}
	if reg != nil {
		reg.MustRegister(m.events, m.latency, m.throttled, m.unheard, m.backoff, m.questions)
	}
	return m
}

// init makes the series of every configured service, so that they start at 0.
func (m *metrics) init(services map[string]Service) {
	for name := range services {
		for _, a := range incident.Actions() {
			for _, k := range kinds() {
				m.events.WithLabelValues(name, string(a), string(k))
			}
		}
		m.throttled.WithLabelValues(name)
		m.unheard.WithLabelValues(name)
		m.backoff.set(name, time.Time{})
	}
}

func kinds() []pagerduty.Kind {
	return []pagerduty.Kind{
		pagerduty.Accepted, pagerduty.Refused, pagerduty.BadKey, pagerduty.TooLarge,
		pagerduty.Throttled, pagerduty.Failed, pagerduty.Unsent, pagerduty.Ambiguous,
	}
}

// backoffCollector says how long the lanes still back off when it is asked.
type backoffCollector struct {
	desc *prometheus.Desc

	mu    sync.Mutex
	until map[string]time.Time // by service.
}

func (c *backoffCollector) set(service string, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until[service] = until
}

// Describe implements prometheus.Collector.
func (c *backoffCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *backoffCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for service, until := range c.until {
		left := max(0, time.Until(until).Seconds())
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, left, service)
	}
}
