package coverage

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/mapping"
)

// AlertName is the name of the alerts that findings are reported as.
const AlertName = "coverage_gap"

// The labels of an alert, beside alertname, severity and the one that bears the
// name of the subject's kind and holds its name.
const (
	labelCheck = "check"
	labelID    = "id" // PagerDuty's: several people may bear one name.
)

// reasonAudit is why these alerts are observed: not Alertmanager's repeat, which
// would page again.
const reasonAudit = "coverage audit"

// maxSummary bounds the summary of an alert, in characters; the description has all.
const maxSummary = 250

// Sink is where findings go, and what remembers them.
type Sink interface {
	// Observe stores observations; nil means that they are durable.
	Observe(ctx context.Context, obs []mapping.Observation) error
	// Firing returns the alerts of origin coverage that fire, also those from before
	// a restart.
	Firing() []template.Alert
}

// Router says which incidents an alert belongs to.
type Router interface {
	Route(g *mapping.Group) []mapping.Observation
}

// tally counts what a report changed.
type tally struct{ opened, resolved int }

// report stores what was found, and the end of what was found before and is gone.
// One transaction does both: what became more severe is never closed before its new
// alert is open.
func (a *Auditor) report(ctx context.Context, s *Settings, r *Result, now time.Time) (tally, error) {
	var told tally
	before := map[string]template.Alert{} // by fingerprint.
	for _, alert := range a.sink.Firing() {
		before[alert.Fingerprint] = alert
	}
	var obs []mapping.Observation
	for i := range r.Findings {
		alert := alertOf(&r.Findings[i], now)
		if old, ok := before[alert.Fingerprint]; ok {
			alert.StartsAt = old.StartsAt
			delete(before, alert.Fingerprint)
		} else {
			told.opened++
		}
		obs = append(obs, a.route(s, alert)...)
	}
	found := map[Key]bool{}
	for _, f := range r.Findings {
		found[Key{f.Check, f.Subject.Kind, f.Subject.ID}] = true
	}
	for _, old := range before {
		check, subject := subjectOf(old)
		if !found[Key{check, subject.Kind, subject.ID}] && !r.Judged(check, subject) {
			continue
		}
		told.resolved++
		old.Status, old.EndsAt = mapping.Resolved, now
		obs = append(obs, a.route(s, old)...)
	}
	if len(obs) == 0 {
		return told, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	if err := a.sink.Observe(ctx, obs); err != nil {
		return tally{}, fmt.Errorf("store findings: %w", err)
	}
	for i := range obs {
		for _, f := range obs[i].Faults {
			a.cfg.OnFault(f)
		}
	}
	return told, nil
}

// route says which incidents an alert belongs to.
func (a *Auditor) route(s *Settings, alert template.Alert) []mapping.Observation {
	check, subject := subjectOf(alert)
	return s.Router.Route(&mapping.Group{
		Data: template.Data{
			Receiver: "pagerelay", Status: alert.Status, Alerts: template.Alerts{alert},
			GroupLabels: alert.Labels, CommonLabels: alert.Labels, CommonAnnotations: alert.Annotations,
			NotificationReason: reasonAudit,
		},
		GroupKey: fmt.Sprintf("pagerelay:%s:%s:%s:%s", AlertName, check, subject.Kind, subject.ID),
		Origin:   mapping.OriginCoverage,
		Service:  s.Config.Report.Service,
	})
}

// alertOf is the alert that reports a finding. Its labels are the finding's identity
// and severity, so that one that becomes more severe pages anew.
func alertOf(f *Finding, now time.Time) template.Alert {
	summary := []rune(f.Text)
	if len(summary) > maxSummary {
		summary = append(summary[:maxSummary-1:maxSummary-1], '…')
	}
	labels := template.KV{
		"alertname": AlertName, "severity": string(f.Severity),
		labelCheck: string(f.Check), labelID: f.Subject.ID,
		string(f.Subject.Kind): cmp.Or(f.Subject.Name, f.Subject.ID),
	}
	set := model.LabelSet{}
	for name, v := range labels {
		if v == "" { // as good as no label, to Alertmanager and to mapping.
			delete(labels, name)
			continue
		}
		set[model.LabelName(name)] = model.LabelValue(v)
	}
	return template.Alert{
		Status: mapping.Firing, Labels: labels,
		Annotations:  template.KV{"summary": string(summary), "description": f.Text},
		StartsAt:     now.UTC(),
		GeneratorURL: f.URL,
		Fingerprint:  set.Fingerprint().String(),
	}
}

// subjectOf is what an alert was reported of.
func subjectOf(alert template.Alert) (CheckID, Subject) {
	s := Subject{ID: alert.Labels[labelID]}
	for _, kind := range []Kind{KindSchedule, KindPolicy, KindService, KindUser} {
		if name, ok := alert.Labels[string(kind)]; ok {
			s.Kind, s.Name = kind, name
		}
	}
	return CheckID(alert.Labels[labelCheck]), s
}
