package mapping

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/template"
)

// details are an event's custom_details before they are put together, so that
// each part can be cut by itself.
type details struct {
	labels, annotations map[string]string
	members             []member
	omitted             int
	about               map[string]any // small and always kept.
	context             map[string]any // group_key and the like.
	custom              map[string]any // the configured ones; they replace a default of the same name.
	cut                 []string       // names of the parts that were cut.
}

// member is one alert of an incident that several share. Labels and annotations
// are those that the incident's own do not say already.
type member struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    time.Time         `json:"starts_at,omitzero"`
	EndsAt      time.Time         `json:"ends_at,omitzero"`
	Fingerprint string            `json:"fingerprint,omitempty"`
}

func (r *rendering) details() *details {
	d := &details{
		labels: plainMap(r.lead.Labels), annotations: plainMap(r.lead.Annotations),
		about:   map[string]any{"counts": map[string]int{"firing": r.firing, "resolved": len(r.members) - r.firing}},
		context: map[string]any{}, custom: map[string]any{},
	}
	if len(r.members) > 1 {
		ls := common(r.said, func(a template.Alert) template.KV { return a.Labels })
		notes := common(r.said, func(a template.Alert) template.KV { return a.Annotations })
		d.labels, d.annotations = plainMap(ls), plainMap(notes)
		for i, a := range r.members {
			if i == maxMembers {
				d.omitted = len(r.members) - maxMembers
				break
			}
			d.members = append(d.members, newMember(a, ls, notes))
		}
	}
	keep := func(to map[string]any, name, v string) {
		if v, _ = cut(plain(v), maxField); v != "" {
			to[name] = v
		}
	}
	keep(d.about, "tier", r.in.Tier)
	keep(d.about, "urgency", string(r.in.Urgency))
	keep(d.about, "rule", r.in.Rule)
	keep(d.about, "fallback_from", r.in.FallbackFrom)
	keep(d.about, "fallback_reason", r.in.FallbackReason)
	keep(d.context, "group_key", r.in.GroupKey)
	keep(d.context, "receiver", r.in.Receiver)
	keep(d.context, "alertmanager", r.alertmanager())
	for _, c := range r.e.details {
		if v := r.text(c.text); v != "" {
			d.custom[plain(c.name)] = structured(v)
		}
	}
	return d
}

// structured is what a template made: text, or the object or list that it is
// the JSON of (toJson), as in Alertmanager's own PagerDuty details.
func structured(s string) any {
	if t := strings.TrimSpace(s); strings.HasPrefix(t, "{") || strings.HasPrefix(t, "[") {
		var v any
		dec := json.NewDecoder(strings.NewReader(t))
		dec.UseNumber() // a number stays as it was written.
		if dec.Decode(&v) == nil && !dec.More() {
			return v
		}
	}
	return plain(s)
}

func newMember(a template.Alert, labels, annotations template.KV) member {
	differs := func(own, shared template.KV) map[string]string {
		out := map[string]string{}
		for k, v := range own {
			if v != "" && shared[k] != v {
				name, _ := cut(plain(k), maxMemberText)
				out[name], _ = cut(plain(v), maxMemberText)
			}
		}
		return out
	}
	m := member{
		Status: a.Status, Labels: differs(a.Labels, labels), Annotations: differs(a.Annotations, annotations),
		StartsAt: jsonTime(a.StartsAt),
	}
	m.Fingerprint, _ = cut(plain(a.Fingerprint), maxShort)
	if a.Status == Resolved {
		m.EndsAt = jsonTime(a.EndsAt)
	}
	return m
}

// jsonTime is t, or the zero time if JSON cannot hold it.
func jsonTime(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// build puts the parts together.
func (d *details) build() map[string]any {
	out := maps.Clone(d.about)
	maps.Copy(out, d.context)
	if len(d.labels) > 0 {
		out["labels"] = d.labels
	}
	if len(d.annotations) > 0 {
		out["annotations"] = d.annotations
	}
	if len(d.members) > 0 {
		out["members"] = d.members
	}
	if d.omitted > 0 {
		out["members_omitted"] = d.omitted
	}
	maps.Copy(out, d.custom)
	if len(d.cut) > 0 {
		out["cut_to_fit"] = d.cut
	}
	return out
}

// fit puts d into ev and brings ev within maxEvent, the least important first:
// members, annotations, labels, the details as a whole, images, links. It says
// whether something had to go.
func (r *rendering) fit(ev *Event, d *details) bool {
	size := func() int {
		ev.Details = d.build()
		return jsonSize(ev)
	}
	over := size() - maxEvent
	if over <= 0 {
		return false
	}
	mark := func(name string) {
		if !slices.Contains(d.cut, name) {
			d.cut = append(d.cut, name)
		}
	}
	if len(d.members) > 0 {
		mark("members")
		for over > 0 && len(d.members) > 0 {
			last := len(d.members) - 1
			over -= jsonSize(d.members[last])
			d.members = d.members[:last]
			d.omitted++
		}
		over = size() - maxEvent
	}
	for _, part := range []struct {
		name string
		kv   *map[string]string
	}{{"annotations", &d.annotations}, {"labels", &d.labels}} {
		if over <= 0 {
			break
		}
		if len(*part.kv) == 0 {
			continue
		}
		mark(part.name)
		over = size() - maxEvent // with the mark.
		if !shorten(*part.kv, jsonSize(*part.kv)-over) {
			*part.kv = nil
		}
		over = size() - maxEvent
	}
	if over > 0 {
		mark("details")
		d.custom, d.context = nil, nil
		over = size() - maxEvent
	}
	for over > 0 && len(ev.Images) > 0 {
		ev.Images = ev.Images[:len(ev.Images)-1]
		over = size() - maxEvent
	}
	for over > 0 && len(ev.Links) > 0 {
		ev.Links = ev.Links[:len(ev.Links)-1]
		over = size() - maxEvent
	}
	return true
}
