package receiver

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/mapping"
)

// Why a request was answered 503.
const (
	deferSink      = "sink"       // the alerts could not be stored.
	deferRateLimit = "rate_limit" // over access.rate_limit.
	deferShutdown  = "shutdown"   // shutting down, or not started yet.
	deferTokenFile = "token_file" // a token's hash could not be read.
	deferCanceled  = "canceled"   // the caller left, or its body did not arrive whole.
	deferBusy      = "busy"       // as many bodies are in memory as may be.
)

// Why a token was refused.
const (
	tokenMissing = "missing" // no bearer token.
	tokenPrefix  = "prefix"  // its prefix belongs to no configured token.
	tokenUnknown = "unknown" // its hash is not configured.
	tokenScope   = "scope"   // it may read only.
)

func codes() []int {
	return []int{
		http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden,
		http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable,
	}
}

type metrics struct {
	webhooks      *prometheus.CounterVec // code
	deferred      *prometheus.CounterVec // reason
	refusedTokens *prometheus.CounterVec // reason
	alerts        *prometheus.CounterVec // rule, status
	truncated     prometheus.Counter
	unread        prometheus.Counter
	auditFailures prometheus.Counter
	duration      prometheus.Histogram
	bodyBytes     prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		webhooks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pagerelay_webhooks_total",
			Help: "Webhooks received from Alertmanager, by the status code of the answer.",
		}, []string{"code"}),
		deferred: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pagerelay_webhooks_deferred_total",
			Help: "Webhooks answered 503, by reason: the sender has to send them again.",
		}, []string{"reason"}),
		refusedTokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pagerelay_tokens_refused_total",
			Help: "Requests refused for their access token, by reason.",
		}, []string{"reason"}),
		// Rule names come from the configuration file, so they are few.
		alerts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pagerelay_alerts_total",
			Help: "Alerts stored, by the rule that took them (empty if none did) and their status. An alert that several rules take counts for each.",
		}, []string{"rule", "status"}),
		truncated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pagerelay_webhook_truncated_alerts_total",
			Help: "Alerts that Alertmanager left out of its webhooks because of max_alerts.",
		}),
		unread: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pagerelay_webhook_unread_alerts_total",
			Help: "Alerts of webhooks that could not be read; the others of the same webhook were stored.",
		}),
		auditFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pagerelay_audit_log_failures_total",
			Help: "Records that could not be written to the audit log.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pagerelay_webhook_duration_seconds",
			Help:    "Time from the request's headers to its answer, storing included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},

			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}),
		bodyBytes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pagerelay_webhook_body_bytes",
			Help:    "Size of the bodies that were read whole.",
			Buckets: prometheus.ExponentialBuckets(1<<10, 4, 8), // 1 KiB to 16 MiB.

			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}),
	}
	for _, code := range codes() {
		m.webhooks.WithLabelValues(strconv.Itoa(code))
	}
	for _, reason := range []string{deferSink, deferRateLimit, deferShutdown, deferTokenFile, deferCanceled, deferBusy} {
		m.deferred.WithLabelValues(reason)
	}
	for _, reason := range []string{tokenMissing, tokenPrefix, tokenUnknown, tokenScope} {
		m.refusedTokens.WithLabelValues(reason)
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.webhooks, m.deferred, m.refusedTokens, m.alerts, m.truncated, m.unread, m.auditFailures, m.duration, m.bodyBytes,
	} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// initRules makes the alert counters of rules visible before the first alert.
func (m *metrics) initRules(rules []string) {
	for _, rule := range append([]string{""}, rules...) {
		for _, status := range []string{mapping.Firing, mapping.Resolved} {
			m.alerts.WithLabelValues(rule, status)
		}
	}
}

// webhook counts one answered webhook.
func (m *metrics) webhook(a answer, took time.Duration) {
	m.webhooks.WithLabelValues(strconv.Itoa(a.code)).Inc()
	if a.reason != "" {
		m.deferred.WithLabelValues(a.reason).Inc()
	}
	m.duration.Observe(took.Seconds())
}
