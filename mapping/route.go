package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/internal/mutant"
)

// routing is the work on one group.
type routing struct {
	m        *Mapper
	g        *Group
	origin   Origin
	receiver string
	data     *alertData  // of the alert at hand; made when a template asks for it.
	odd      bool        // of the alert at hand: not all of it could be read.
	report   func(error) // told of each template that failed; may be nil.
}

func (m *Mapper) route(g *Group, report func(error)) []Observation {
	if g == nil {
		return nil
	}
	r := &routing{m: m, g: g, origin: g.Origin, receiver: unquoteReceiver(g.Receiver), report: report}
	if r.origin == "" {
		r.origin = OriginAlertmanager
	}
	out := make([]Observation, 0, len(g.Alerts))
	var arr [16][]int
	for i := range g.Alerts {
		a := g.Alerts[i]
		normalise(&a)
		r.data, r.odd = nil, g.Odd[i]
		first, taken := len(out), false
		for lists := m.index.lists(arr[:0], a.Labels); ; {
			at, ok := next(lists)
			if !ok {
				break
			}
			rule := &m.rules[at]
			if !matches(rule.matchers, a.Labels) {
				continue
			}
			taken = true
			out = r.observe(out, first, rule, &a)
			if !rule.cont {
				break
			}
		}
		if !taken {
			out = r.observe(out, first, &m.fallback, &a)
		}
	}
	return out
}

// observe appends what rule makes of a, unless the alert already has an
// observation (those from first on) of the same incident.
func (r *routing) observe(out []Observation, first int, rule *rule, a *template.Alert) []Observation {
	var faults []Fault
	if r.odd {
		faults = append(faults, FaultAlert)
	}
	if rule == &r.m.fallback && len(r.m.rules) > 0 && r.g.Service == "" {
		faults = append(faults, FaultNoRule)
	}
	t, f := r.tier(rule, a)
	faults = append(faults, f...)
	service, f := r.service(rule, a)
	faults = append(faults, f...)

	urgency := t.urgency
	id, f := rule.dedup.keyFor(a, r, service, urgency)
	faults = append(faults, f...)
	if id.bare && urgency == Acknowledged {
		// The acknowledge would silence whoever shares the key.
		urgency, faults = Low, append(faults, FaultUrgency)
	}
	for i := first; i < len(out); i++ {
		if out[i].Service == service && out[i].DedupKey == id.key {
			return out
		}
	}
	return append(out, Observation{
		Service: service, DedupKey: id.key,
		Rule: rule.name, Tier: t.name, Urgency: urgency, Severity: t.severity,
		Shared: id.shared, BareKey: id.bare,
		Alert:  *a,
		Origin: r.origin, Receiver: r.receiver, ExternalURL: r.g.ExternalURL,
		GroupKey: r.g.GroupKey, GroupLabels: r.g.GroupLabels,
		Reason: r.g.NotificationReason,
		Faults: once(faults),
	})
}

// tier is the tier that rule gives to a. If there is none of that name, that of a
// finding of the audit is the one for its severity.
func (r *routing) tier(rule *rule, a *template.Alert) (*tier, []Fault) {
	var faults []Fault
	name, err := r.alertText(rule.tier, a)
	if err != nil {
		if mutant.On(mutant.TemplateFaultIsSilent) {
			return &tier{urgency: None}, append(faults, FaultTemplate)
		}
		name, faults = a.Labels["severity"], append(faults, FaultTemplate)
	}
	if t, ok := r.m.tiers[tierKey(name)]; ok {
		return t, faults
	}
	if r.origin == OriginCoverage {
		severity := a.Labels["severity"]
		t := r.m.tiers[tierKey(severity)]
		if t == nil {
			t = r.m.findings[severity]
		}
		if t != nil {
			return t, faults
		}
	}
	if mutant.On(mutant.UnknownTierIsSilent) {
		return &tier{name: name, urgency: None}, append(faults, FaultUnknownTier)
	}
	return rule.unknownTier, append(faults, FaultUnknownTier)
}

// service is the service that rule gives to a, or that the group asks for.
func (r *routing) service(rule *rule, a *template.Alert) (string, []Fault) {
	if name := r.g.Service; name != "" {
		if !r.m.services[name] {
			return r.m.defaultService, []Fault{FaultUnknownService}
		}
		return name, nil
	}
	if rule.service == nil {
		return r.m.defaultService, nil
	}
	if rule.service.tmpl == nil {
		return rule.service.constant, nil
	}
	name, err := r.alertText(rule.service, a)
	if err != nil {
		return r.m.defaultService, []Fault{FaultTemplate}
	}
	if name = strings.TrimSpace(name); !r.m.services[name] {
		return r.m.defaultService, []Fault{FaultUnknownService}
	}
	return name, nil
}

// alertText executes the template of a tier or a service.
func (r *routing) alertText(t *text, a *template.Alert) (string, error) {
	switch {
	case t.tmpl == nil:
		return t.constant, nil
	case t.label != "":
		return a.Labels[t.label], nil
	}
	if r.data == nil {
		r.data = &alertData{
			Labels: a.Labels, Annotations: a.Annotations,
			StartsAt: a.StartsAt, EndsAt: a.EndsAt,
			GeneratorURL: a.GeneratorURL, Fingerprint: a.Fingerprint, Status: a.Status,
			GroupLabels: r.g.GroupLabels, CommonLabels: r.g.CommonLabels,
			CommonAnnotations: r.g.CommonAnnotations, RouteLabels: r.g.RouteLabels,
			Receiver: r.receiver, ExternalURL: r.g.ExternalURL, GroupKey: r.g.GroupKey,
		}
	}
	return r.execute(t, r.data)
}

func (r *routing) keyData(a *template.Alert) *keyData {
	return &keyData{
		Labels: a.Labels, GroupLabels: r.g.GroupLabels, RouteLabels: r.g.RouteLabels,
		Fingerprint: a.Fingerprint, Receiver: r.receiver, GroupKey: r.g.GroupKey,
	}
}

func (r *routing) execute(t *text, data any) (string, error) {
	out, err := t.execute(data, bindings{routeLabels: r.g.RouteLabels})
	if err != nil && r.report != nil {
		r.report(fmt.Errorf("%s: %w", t.path, err))
	}
	return strings.TrimSpace(out), err
}

// normalise makes the status of a one of the two there are, and its fingerprint
// Alertmanager's. What is not known to be over fires: the group's own status is
// never asked, it says "resolved" of groups that still fire (max_alerts, silences).
func normalise(a *template.Alert) {
	if strings.EqualFold(a.Status, Resolved) {
		a.Status = Resolved
	} else {
		a.Status = Firing
	}
	if !isFingerprint(a.Fingerprint) {
		ls := make(model.LabelSet, len(a.Labels))
		for name, v := range a.Labels {
			if v != "" { // Alertmanager drops labels without a value when it takes an alert in.
				ls[model.LabelName(name)] = model.LabelValue(v)
			}
		}
		a.Fingerprint = ls.Fingerprint().String()
	}
}

// isFingerprint says whether s is written as Alertmanager writes a fingerprint.
func isFingerprint(s string) bool {
	if len(s) != 16 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// unquoteReceiver undoes the regexp.QuoteMeta that Alertmanager puts a
// receiver's name through. A name that cannot have come of it is left alone.
func unquoteReceiver(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	if regexp.QuoteMeta(b.String()) != s {
		return s
	}
	return b.String()
}

// tierKey is what tiers are compared by.
func tierKey(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// once drops the repeats of fs, in place.
func once(fs []Fault) []Fault {
	out := fs[:0]
	for _, f := range fs {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}
