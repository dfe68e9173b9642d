package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// rendering is the work on one event.
type rendering struct {
	in   Incident
	now  time.Time
	e    *eventTexts
	rule *rule
	data *eventData

	// members are sorted: firing first, then the earliest. firing is how many of
	// them fire; lead speaks for the incident; said are those whose common labels
	// count: the firing ones, or all if none fires.
	members []template.Alert
	firing  int
	lead    template.Alert
	said    []template.Alert

	faults []Fault
	report func(error) // told of each template that failed; may be nil.
}

func (m *Mapper) render(in Incident, o RenderOptions, report func(error)) (Event, []Fault) {
	r := m.rendering(in, o, report)
	ev := Event{
		Summary:   r.summary(),
		Source:    r.field(r.e.source, r.source()),
		Severity:  r.severity(),
		Timestamp: r.timestamp(),
	}
	if o.Minimal {
		// Nothing of a template or a label that PagerDuty may have refused stays,
		// but what tells a person what is wrong.
		ev.Summary, _ = cut(ev.Summary, maxShort)
		ev.Source, _ = cut(ev.Source, maxShort)
		return ev, once(r.faults)
	}
	ev.Component = r.field(r.e.component, r.firstLabel("service", "component", "app", "job", "container"))
	ev.Group = r.field(r.e.group, r.firstLabel("cluster", "namespace", "environment", "env", "region"))
	ev.Class = r.field(r.e.class, r.lead.Labels["alertname"])
	ev.Client, ev.ClientURL = r.client()
	ev.Links, ev.Images = r.links(), r.images()
	if r.fit(&ev, r.details()) {
		r.fault(FaultSize)
	}
	return ev, once(r.faults)
}

func (m *Mapper) rendering(in Incident, o RenderOptions, report func(error)) *rendering {
	rule := m.byName[in.Rule]
	if rule == nil {
		rule = &m.fallback
	}
	r := &rendering{in: in, now: o.Now, rule: rule, e: rule.event, report: report}
	r.members = slices.Clone(in.Members)
	slices.SortStableFunc(r.members, func(a, b template.Alert) int {
		return cmp.Or(
			cmp.Compare(resolvedRank(a), resolvedRank(b)),
			a.StartsAt.Compare(b.StartsAt),
			cmp.Compare(a.Fingerprint, b.Fingerprint),
		)
	})
	for r.firing < len(r.members) && r.members[r.firing].Status != Resolved {
		r.members[r.firing].Status = Firing
		r.firing++
	}
	r.said = r.members[:r.firing]
	if r.firing == 0 {
		r.said = r.members
	}
	if len(r.said) > 0 {
		r.lead = r.said[0]
	}
	return r
}

func resolvedRank(a template.Alert) int {
	if a.Status == Resolved {
		return 1
	}
	return 0
}

func (r *rendering) fault(f Fault) { r.faults = append(r.faults, f) }

// text executes t; "" if it fails.
func (r *rendering) text(t *text) string {
	if t == nil {
		return ""
	}
	if t.tmpl != nil && r.data == nil {
		r.data = r.makeData()
	}
	out, err := t.execute(r.data, bindings{now: r.now})
	if err != nil {
		r.fault(FaultTemplate)
		if r.report != nil {
			r.report(fmt.Errorf("%s: %w", t.path, err))
		}
		return ""
	}
	return out
}

// makeData is what event templates see.
func (r *rendering) makeData() *eventData {
	status := Resolved
	if r.firing > 0 {
		status = Firing
	}
	return &eventData{
		Labels: r.lead.Labels, Annotations: r.lead.Annotations,
		StartsAt: r.lead.StartsAt, EndsAt: r.lead.EndsAt,
		GeneratorURL: r.lead.GeneratorURL, Fingerprint: r.lead.Fingerprint, Status: status,
		GroupLabels:       r.in.GroupLabels,
		CommonLabels:      common(r.said, func(a template.Alert) template.KV { return a.Labels }),
		CommonAnnotations: common(r.said, func(a template.Alert) template.KV { return a.Annotations }),
		Receiver:          r.in.Receiver, ExternalURL: r.in.ExternalURL, GroupKey: r.in.GroupKey,
		Alerts: template.Alerts(r.members), Tier: r.in.Tier, Urgency: string(r.in.Urgency),
		Severity: r.in.Severity, Service: r.in.Service, Rule: r.in.Rule, DedupKey: r.in.DedupKey,
	}
}

// field is one line of what t makes, or of what it falls back to.
func (r *rendering) field(t *text, def string) string {
	s := oneline.Clean(r.text(t))
	if s == "" {
		s = oneline.Clean(def)
	}
	s, _ = cut(s, maxField)
	return s
}

// summary is never empty and never longer than MaxSummary.
func (r *rendering) summary() string {
	s := oneline.Clean(r.text(r.e.summary))
	more := ""
	if s == "" {
		s = r.defaultSummary()
		if r.firing > 1 {
			more = fmt.Sprintf(" (+%d more)", r.firing-1)
		}
	}
	before := ""
	if r.in.FallbackFrom != "" {
		before, _ = cut("[stands in for "+oneline.Clean(r.in.FallbackFrom), maxShort)
		before += "] "
	}
	s, wasCut := cut(s, MaxSummary-len([]rune(before))-len(more))
	if wasCut {
		r.fault(FaultSummary)
	}
	return before + s + more
}

func (r *rendering) severity() string {
	if slices.Contains(Severities(), r.in.Severity) {
		return r.in.Severity
	}
	return severityOf(r.in.Urgency)
}

// timestamp is when the earliest member that counts began.
func (r *rendering) timestamp() time.Time {
	for _, a := range r.said { // sorted; a zero time comes first.
		if y := a.StartsAt.Year(); !a.StartsAt.IsZero() && y > 0 && y < 10000 { // what JSON can hold.
			return a.StartsAt.UTC()
		}
	}
	return r.now.UTC()
}

// common is what get has in common over all alerts.
func common(alerts []template.Alert, get func(template.Alert) template.KV) template.KV {
	out := template.KV{}
	if len(alerts) == 0 {
		return out
	}
	for k, v := range get(alerts[0]) {
		if !slices.ContainsFunc(alerts[1:], func(a template.Alert) bool { return get(a)[k] != v }) {
			out[k] = v
		}
	}
	return out
}

func (r *rendering) firstLabel(names ...string) string {
	for _, name := range names {
		if v := strings.TrimSpace(r.lead.Labels[name]); v != "" {
			return v
		}
	}
	return ""
}
