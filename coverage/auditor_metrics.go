package coverage

import (
	"github.com/prometheus/client_golang/prometheus"
)

// The results of an audit, as a metric's label.
const (
	resultComplete = "complete"
	resultPartial  = "partial" // something could not be read or judged.
	resultFailed   = "failed"  // nothing could be read, or what was found not be stored.
)

// auditorMetrics are the Auditor's. What is said of single schedules and policies
// is collected from the last report: it is right at every moment, and gone with
// what the configuration no longer names.
type auditorMetrics struct {
	auditor *Auditor
	audits  *prometheus.CounterVec
	success prometheus.Gauge

	findings, engineers, ratio, nextGap *prometheus.Desc
}

func newAuditorMetrics(reg prometheus.Registerer, a *Auditor) *auditorMetrics {
	m := &auditorMetrics{
		auditor: a,
		audits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pagerelay_coverage_audits_total",
			Help: "Audits of on-call coverage.",
		}, []string{"result"}),
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pagerelay_coverage_last_success_timestamp_seconds",
			Help: "When an audit of on-call coverage last read and judged everything; 0 before the first.",
		}),
		findings: prometheus.NewDesc("pagerelay_coverage_findings",
			"What is wrong with on-call coverage: what the last audit found, and what was found before and could not be looked for.", []string{"check"}, nil),
		engineers: prometheus.NewDesc("pagerelay_coverage_schedule_engineers",
			"People assigned to the schedule, by the last audit; absent where it could not be judged.", []string{"schedule"}, nil),
		ratio: prometheus.NewDesc("pagerelay_coverage_schedule_coverage_ratio",
			"The part of the time that is required within the horizon at which somebody is on call.", []string{"schedule"}, nil),
		nextGap: prometheus.NewDesc("pagerelay_coverage_next_gap_start_timestamp_seconds",
			"When nobody is on call on the escalation policy next, or has been since; absent if there is no gap within the horizon.", []string{"policy"}, nil),
	}
	for _, r := range []string{resultComplete, resultPartial, resultFailed} {
		m.audits.WithLabelValues(r)
	}
	if reg != nil {
		reg.MustRegister(m, m.audits, m.success)
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *auditorMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.findings, m.engineers, m.ratio, m.nextGap} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *auditorMetrics) Collect(ch chan<- prometheus.Metric) {
	report, settings := m.auditor.last.Load(), m.auditor.settings.Load()
	counts := m.auditor.counts()
	for _, check := range Checks() {
		gauge(ch, m.findings, float64(counts[check]), string(check))
	}
	if report == nil || settings == nil {
		return
	}
	seen := map[string]bool{} // two entries that are the same thing are one series.
	for _, c := range report.Result.Cover {
		name := settings.Config.configured(c.Subject)
		if name == "" || seen[string(c.Subject.Kind)+name] {
			continue
		}
		seen[string(c.Subject.Kind)+name] = true
		switch c.Subject.Kind {
		case KindSchedule:
			if report.Result.Judged(BelowMinEngineers, c.Subject) {
				gauge(ch, m.engineers, float64(c.Engineers), name)
			}
			if report.Result.Judged(ScheduleGap, c.Subject) {
				gauge(ch, m.ratio, c.Ratio, name)
			}
		case KindPolicy:
			if len(c.Gaps) > 0 {
				gauge(ch, m.nextGap, float64(c.Gaps[0].Start.Unix()), name)
			}
		case KindService, KindUser:
		}
	}
}

// counts are the findings by check. Until there is a report, what was open before a
// restart stands: that nobody has looked yet is no reason to think it over.
func (a *Auditor) counts() map[CheckID]int {
	if counts := a.standing.Load(); counts != nil {
		return *counts
	}
	counts := map[CheckID]int{}
	if s := a.settings.Load(); s == nil || !s.Config.Audits() {
		return counts
	}
	for _, alert := range a.sink.Firing() {
		check, _ := subjectOf(alert)
		counts[check]++
	}
	return counts
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, label string) {
	m, err := prometheus.NewConstMetric(d, prometheus.GaugeValue, v, label)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	ch <- m
}
