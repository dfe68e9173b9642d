package outbox

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

type metrics struct {
	commits      prometheus.Histogram
	commitErrors prometheus.Counter
	observations *prometheus.CounterVec
	superseded   prometheus.Counter
	direct       prometheus.Gauge
	damaged      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *Store) *metrics {
	m := &metrics{
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:                            "pagerelay_outbox_commit_duration_seconds",
			Help:                            "Time that one commit took, fsync included.",
			Buckets:                         prometheus.ExponentialBuckets(0.0002, 2, 14),
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}),
		commitErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pagerelay_outbox_commit_failures_total",
			Help: "Commits that the disk did not take.",
		}),
		superseded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pagerelay_events_superseded_total",
			Help: "Firings that were over before PagerDuty confirmed them or anybody could be paged: not paged, but told in a change event.",
		}),
		direct: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pagerelay_outbox_direct_mode",
			Help: "1 while the disk takes no commits and a webhook is answered only once PagerDuty has accepted it.",
		}),
		observations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pagerelay_outbox_observations_total",
			Help: "What the alerts taken in turned out to be.",
		}, []string{"kind"}),
	}
	m.damaged = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "pagerelay_outbox_damaged_total",
		Help: "Files that were found damaged and moved aside.",
	})
	for _, what := range incident.CountedAll() {
		m.observations.WithLabelValues(string(what))
	}
	if reg != nil {
		reg.MustRegister(m.commits, m.commitErrors, m.observations, m.superseded, m.direct, m.damaged, &collector{
			store: s,
			incidents: prometheus.NewDesc("pagerelay_outbox_incidents",
				"Incidents that are not closed, by state.", []string{"state"}, nil),
			oldest: prometheus.NewDesc("pagerelay_outbox_oldest_pending_seconds",
				"Age of the oldest thing that PagerDuty has not been told yet; 0 when there is none.", []string{"service", "urgency"}, nil),
			size: prometheus.NewDesc("pagerelay_outbox_file_size_bytes",
				"Size of the outbox's file.", nil, nil),
		})
	}
	return m
}

// collector counts the incidents when it is asked: nothing can drift.
type collector struct {
	store                   *Store
	incidents, oldest, size *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.incidents
	ch <- c.oldest
	ch <- c.size
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	type lane struct {
		service string
		urgency mapping.Urgency
	}
	now := c.store.cfg.Now()
	states, oldest := map[string]int{}, map[lane]time.Duration{}
	for _, service := range c.store.Policy().Services {
		for _, u := range mapping.Urgencies() {
			oldest[lane{service, u}] = 0
		}
	}
	for _, in := range c.store.List() {
		states[in.Status()]++
		k := lane{in.Service, in.Urgency}
		age := time.Duration(0)
		if !in.PendingSince.IsZero() {
			age = max(0, now.Sub(in.PendingSince))
		}
		oldest[k] = max(oldest[k], age)
	}
	for _, state := range incident.Statuses() {
		ch <- prometheus.MustNewConstMetric(c.incidents, prometheus.GaugeValue, float64(states[state]), state)
	}
	for k, age := range oldest {
		ch <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, age.Seconds(), k.service, string(k.urgency))
	}
	ch <- prometheus.MustNewConstMetric(c.size, prometheus.GaugeValue, float64(fileSize(c.store.path)))
}
