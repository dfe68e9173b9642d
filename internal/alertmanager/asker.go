package alertmanager

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

// Router says which incidents an alert belongs to. mapping.Mapper is one.
type Router interface {
	Route(g *mapping.Group) []mapping.Observation
}

// Source says what fires. Client is one.
type Source interface {
	Check(ctx context.Context, fingerprints []string, labels map[string]map[string]string) (map[string]Verdict, string)
	CheckTold(ctx context.Context, fingerprints []string, labels map[string]map[string]string) (map[string]Verdict, string)
	Names(address string) bool
	AnyFiring(ctx context.Context, match func(Alert) bool) (Verdict, string)
	Identity() string
}

// Voucher knows whose alerts a source lists. Reconciler is one.
type Voucher interface {
	Vouches(source, externalURL string) bool
	Listed(source, fingerprint string) bool
}

// Asker answers the questions that outbox.Next has about an incident. It is safe
// for concurrent use.
type Asker struct {
	source  Source
	router  Router
	voucher Voucher
	told    *told
}

// NewAsker makes an Asker that asks source, and routes by router what
// Alertmanager lists. That source does not list an alert means something only
// where voucher says that it lists those of the Alertmanager that sent it.
func NewAsker(source Source, router Router, voucher Voucher) *Asker {
	return &Asker{source: source, router: router, voucher: voucher, told: &told{source: source}}
}

// Ask puts q about in to Alertmanager; the text says why, for people, and holds
// no alert text. Whatever is in doubt is outbox.VerdictUncertain.
func (a *Asker) Ask(ctx context.Context, q incident.Question, in *incident.Incident) (incident.Verdict, string) {
	switch q {
	case incident.QuestionLate:
		return a.members(ctx, in, a.check, func(m *incident.Member) bool { return m.Late != nil })
	case incident.QuestionStale:
		return a.members(ctx, in, a.check, func(m *incident.Member) bool { return m.Firing })
	case incident.QuestionOpen:
		return a.members(ctx, in, a.told.check, func(m *incident.Member) bool { return m.Firing })
	case incident.QuestionSiblings:
		v, why := a.source.AnyFiring(ctx, func(alert Alert) bool { return a.sibling(in, alert) })
		return verdict(v), why
	}
	return incident.VerdictUncertain, fmt.Sprintf("there is no question %q", q)
}

// check gives the source's verdict about alerts, whose labels are given by fingerprint.
func (a *Asker) check(ctx context.Context, labels map[string]map[string]string) (map[string]Verdict, string) {
	return a.source.Check(ctx, slices.Sorted(maps.Keys(labels)), labels)
}

// members asks about the members that are asked for: firing if one of them
// fires, gone only if all of them are.
func (a *Asker) members(
	ctx context.Context, in *incident.Incident,
	check func(context.Context, map[string]map[string]string) (map[string]Verdict, string), asked func(*incident.Member) bool,
) (incident.Verdict, string) {
	labels := map[string]map[string]string{}
	for fp, m := range in.Members {
		if !asked(m) {
			continue
		}
		if !m.Origin.KnownToAlertmanager() {
			return incident.VerdictUncertain, "an alert that did not come from Alertmanager is none that it can answer for"
		}
		labels[fp] = m.Alert.Labels.KV()
	}
	if len(labels) == 0 {
		return incident.VerdictUncertain, "there is no alert to ask about"
	}
	verdicts, why := check(ctx, labels)
	gone := true
	for fp := range labels {
		switch verdicts[fp] {
		case Firing:
			return incident.VerdictFiring, "Alertmanager knows the alert"
		case Gone:
			if !a.vouched(fp, in.Members[fp]) {
				gone, why = false, "the Alertmanagers that can be asked have not yet listed an alert of the one that sent this"
			}
		default: // uncertain, or not answered at all.
			gone = false
		}
	}
	if gone {
		return incident.VerdictGone, why
	}
	return incident.VerdictUncertain, why
}

// vouched says whether the source lists the alerts of the Alertmanager that sent
// the member, or that had ended it before; or has listed this one.
func (a *Asker) vouched(fp string, m *incident.Member) bool {
	source := a.source.Identity()
	return a.source.Names(m.ExternalURL) || a.voucher.Listed(source, fp) || a.voucher.Vouches(source, m.ExternalURL) || (m.Ended.By != "" && a.voucher.Vouches(source, m.Ended.By))
}

// sibling says whether an alert that Alertmanager lists maps to the incident.
func (a *Asker) sibling(in *incident.Incident, alert Alert) bool {
	// What belongs to the incident's own group is routed as that group was: the
	// API names no group keys, so a key made of one can be had in no other way.
	if slices.Contains(alert.Receivers, in.Receiver) && includes(alert.Labels, in.GroupLabels) {
		if in.BareKey {
			return true // the key is the group's, whatever the rules say.
		}
		g := group(alert, in.Receiver)
		g.GroupKey, g.GroupLabels, g.ExternalURL = in.GroupKey, in.GroupLabels.KV(), in.ExternalURL
		if a.maps(g, in.ID) {
			return true
		}
	}
	receivers := alert.Receivers
	if len(receivers) == 0 { // not yet dispatched.
		receivers = []string{""}
	}
	for _, receiver := range receivers {
		if a.maps(group(alert, receiver), in.ID) {
			return true
		}
	}
	return false
}

// maps says whether any alert of g belongs to the incident.
func (a *Asker) maps(g *mapping.Group, id string) bool {
	return slices.ContainsFunc(a.router.Route(g), func(o mapping.Observation) bool {
		return incident.ID(o.Service, o.DedupKey) == id
	})
}

// group is the webhook that would bring alert alone to a receiver.
func group(alert Alert, receiver string) *mapping.Group {
	labels, annotations := template.KV(alert.Labels), template.KV(alert.Annotations)
	return &mapping.Group{
		Data: template.Data{
			Receiver: regexp.QuoteMeta(receiver), // as Alertmanager writes it in a webhook.
			Status:   mapping.Firing,
			Alerts: template.Alerts{{
				Status: mapping.Firing, Labels: labels, Annotations: annotations,
				Fingerprint: alert.Fingerprint, GeneratorURL: alert.GeneratorURL,
			}},
			CommonLabels: labels, CommonAnnotations: annotations,
		},
		Origin: mapping.OriginAlertmanager,
	}
}

// includes says whether labels hold all of want.
func includes(labels map[string]string, want incident.Pairs) bool {
	for name, v := range want.All() {
		if labels[name] != v {
			return false
		}
	}
	return true
}

func verdict(v Verdict) incident.Verdict {
	switch v {
	case Firing:
		return incident.VerdictFiring
	case Gone:
		return incident.VerdictGone
	case Uncertain:
	}
	return incident.VerdictUncertain
}
