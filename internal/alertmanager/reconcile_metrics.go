package alertmanager

import (
	"github.com/prometheus/client_golang/prometheus"
)

// passResult is what a pass came to. It is a metric's label.
type passResult string

// The results, besides the kinds of doubt.
const (
	passComplete passResult = "complete" // what nobody lists is gone.
	passFailed   passResult = "failed"   // the outbox did not take what was found.
)

type reconcileMetrics struct {
	passes                     *prometheus.CounterVec
	duration                   prometheus.Histogram
	resolved, adopted          prometheus.Counter
	muted                      *prometheus.CounterVec
	unknown, foreign, evidence prometheus.Gauge
	success                    prometheus.Gauge
}

func newReconcileMetrics(reg prometheus.Registerer) *reconcileMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "pagerelay_reconcile_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "pagerelay_reconcile_" + name, Help: help})
	}
	m := &reconcileMetrics{
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pagerelay_reconcile_passes_total",
			Help: "Comparisons of the outbox with what Alertmanager lists, by what they came to; only complete ones count towards resolving what is gone.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pagerelay_reconcile_duration_seconds",
			Help:    "Time that one comparison took, Alertmanager's answers included.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		resolved: counter("resolved_total", "Alerts whose resolve was lost: no Alertmanager listed them any more."),
		adopted:  counter("adopted_total", "Alerts that fired for our receivers, were unknown here, and were taken in."),
		muted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pagerelay_reconcile_muted_total",
			Help: "Alerts of open incidents that became muted in Alertmanager, or ceased to be, where that has an effect.",
		}, []string{"change"}),
		unknown:  gauge("unknown_alerts", "Alerts that fire for our receivers and are unknown here, at the last comparison."),
		foreign:  gauge("foreign_alerts", "Alerts that fire here, that nobody lists, and that came from an Alertmanager of which no configured one has ever listed an alert: they are never resolved for their absence."),
		evidence: gauge("evidence", "1 if at the last comparison what no Alertmanager listed was evidence that it is over."),
		success:  gauge("last_success_timestamp_seconds", "Time of the last complete comparison."),
	}
	for _, r := range passResults() {
		m.passes.WithLabelValues(string(r))
	}
	for _, change := range []string{"muted", "unmuted"} {
		m.muted.WithLabelValues(change)
	}
	if reg != nil {
		reg.MustRegister(m.passes, m.duration, m.resolved, m.adopted, m.muted, m.unknown, m.foreign, m.evidence, m.success)
	}
	return m
}

// passResults lists all results, the worst first.
func passResults() []passResult {
	return []passResult{
		passFailed, passResult(DoubtUnreachable), passResult(DoubtYoung), passResult(DoubtUncovered), passComplete,
	}
}
