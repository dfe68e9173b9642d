package pagerduty

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/internal/leaf/register"
)

type restMetrics struct{ requests *prometheus.CounterVec }

// newRESTMetrics registers with reg, or finds what a client before a reload has
// registered there. A nil reg is allowed.
func newRESTMetrics(reg prometheus.Registerer) (*restMetrics, error) {
	requests, err := register.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pagerelay_coverage_api_requests_total",
		Help: "Requests to PagerDuty's REST API by the status of the answer; error is a request without a readable answer, or with one that PagerDuty does not give.",
	}, []string{"code"}))
	if err != nil {
		return nil, err
	}
	m := &restMetrics{requests: requests}
	for _, code := range []string{"200", "400", "401", "402", "403", "404", "429", "5xx", "error"} {
		m.requests.WithLabelValues(code)
	}
	return m, nil
}

// count counts an answer; status 0 is none.
func (m *restMetrics) count(status int) {
	code := "error"
	switch status {
	case http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusPaymentRequired,
		http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests:
		code = strconv.Itoa(status)
	default:
		if status >= 500 && status < 600 {
			code = "5xx"
		}
	}
	m.requests.WithLabelValues(code).Inc()
}
