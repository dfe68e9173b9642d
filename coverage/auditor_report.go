package coverage

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
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
	// labelKind is of the fingerprint alone.
	labelKind = "kind"
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
	kept := keep(before, r)
	a.standing.Store(standing(kept, r))
	var obs []mapping.Observation
	for i := range r.Findings {
		f := &r.Findings[i]
		alert := alertOf(f, now)
		switch old, open := before[alert.Fingerprint]; {
		case open:
			// The name, too: rules may make the dedup key of it, and whatever is called
			// something else now is not paged anew.
			alert.StartsAt, alert.Labels = old.StartsAt, old.Labels
			delete(before, alert.Fingerprint)
		case kept[f.key()]:
			continue
		default:
			told.opened++
		}
		obs = append(obs, a.route(s, alert)...)
	}
	for _, old := range before {
		check, subject := subjectOf(old)
		if kept[Key{check, subject.Kind, subject.ID}] {
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

// keep says of which subjects the alert that is open stays as it is: the check was not
// really made, and found nothing, or nothing as severe.
func keep(open map[string]template.Alert, r *Result) map[Key]bool {
	found := map[Key]Severity{}
	for _, f := range r.Findings {
		found[f.key()] = f.Severity
	}
	kept := map[Key]bool{}
	for _, old := range open {
		check, subject := subjectOf(old)
		k := Key{check, subject.Kind, subject.ID}
		if severity, ok := found[k]; (!r.Judged(check, subject) || r.maybe(check, subject)) && (!ok || severity.below(Severity(old.Labels["severity"]))) {
			kept[k] = true
		}
	}
	return kept
}

// standing counts what is wrong as far as is known, by check: what was found, and what
// was open and could not be looked for.
func standing(kept map[Key]bool, r *Result) *map[CheckID]int {
	counts := map[CheckID]int{}
	for k := range kept {
		counts[k.Check]++
	}
	for _, f := range r.Findings {
		if !kept[f.key()] {
			counts[f.Check]++
		}
	}
	return &counts
}

const circularText = "What is wrong with an audited escalation policy is reported to that policy alone: when nobody is on call there, nobody hears of it. " +
	"Give the service of coverage.report a fallback that pages another policy, or report to another service."

// circular says whether a report about one of the audited policies goes to that policy
// alone, also by way of its fallbacks, as PagerDuty has it. What the configuration says
// of this is refused when it is loaded.
func (a *Audit) circular(fallback map[string]string) bool {
	var way []string
	for next := a.Config.Report.Service; next != "" && !slices.Contains(way, next); next = fallback[next] {
		way = append(way, next)
	}
	policies := byName(a.Snapshot.Policies, func(p *Policy) string { return p.Name })
	for _, c := range a.Config.Policies {
		p := policies(c.Name)
		leaves := func(service string) bool { return p == nil || !a.Snapshot.pages(service, p.ID) }
		if len(way) > 0 && !slices.ContainsFunc(way, leaves) {
			return true
		}
	}
	return false
}

// pages says whether all that is known to be behind one of pagerelay's services uses a
// policy, and something is known.
func (s *Snapshot) pages(service, policy string) bool {
	known := false
	for _, svc := range s.Services {
		if slices.Contains(svc.Relays, service) {
			if known = true; svc.Policy != policy {
				return false
			}
		}
	}
	return known
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

// alertOf is the alert that reports a finding. Its fingerprint is the finding's identity
// and severity, so that one that becomes more severe pages anew. The name of the
// subject is a label for rules, but no part of that: names change.
func alertOf(f *Finding, now time.Time) template.Alert {
	summary := []rune(string(f.Check) + ": " + f.Text)
	if len(summary) > maxSummary {
		summary = append(summary[:maxSummary-1:maxSummary-1], '…')
	}
	labels := template.KV{
		"alertname": AlertName, "severity": string(f.Severity),
		labelCheck: string(f.Check), labelID: f.Subject.ID,
		string(f.Subject.Kind): cmp.Or(f.Subject.Name, f.Subject.ID),
	}
	maps.DeleteFunc(labels, func(_, v string) bool { return v == "" }) // as good as no label, to Alertmanager and to mapping.
	identity := model.LabelSet{
		"alertname": AlertName, "severity": model.LabelValue(f.Severity),
		labelCheck: model.LabelValue(f.Check), labelID: model.LabelValue(f.Subject.ID), labelKind: model.LabelValue(f.Subject.Kind),
	}
	return template.Alert{
		Status: mapping.Firing, Labels: labels,
		Annotations:  template.KV{"summary": string(summary), "description": f.Text},
		StartsAt:     now.UTC(),
		GeneratorURL: f.URL,
		Fingerprint:  identity.Fingerprint().String(),
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
