package alertmanager

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/internal/leaf/register"
)

type metrics struct{ requests *prometheus.CounterVec }

// newMetrics registers with reg, or finds what a client before a reload has
// registered there. A nil reg is allowed.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	requests, err := register.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pagerelay_alertmanager_requests_total",
		Help: "Requests to the API of Alertmanager, by the class of the answer's status; error is a request without a readable answer.",
	}, []string{"code"}))
	if err != nil {
		return nil, err
	}
	m := &metrics{requests: requests}
	for _, code := range []string{"2xx", "3xx", "4xx", "5xx", "error"} {
		m.requests.WithLabelValues(code)
	}
	return m, nil
}

// count counts an answer; status 0 is none.
func (m *metrics) count(status int) {
	code := "error"
	if status >= 200 && status < 600 {
		code = fmt.Sprintf("%dxx", status/100)
	}
	m.requests.WithLabelValues(code).Inc()
}
