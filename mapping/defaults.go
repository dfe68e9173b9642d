package mapping

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// maxSummaryLabels is how many labels a summary shows that has no better text.
const maxSummaryLabels = 8

// defaultSummary says what is wrong in the words of whoever wrote the alert, or
// by the alert's name and labels.
func (r *rendering) defaultSummary() string {
	for _, name := range []string{"summary", "title", "message", "description"} {
		for l := range strings.Lines(r.lead.Annotations[name]) {
			if l = oneline.Clean(l); l != "" {
				return l
			}
		}
	}
	name := oneline.Clean(r.lead.Labels["alertname"])
	if name == "" {
		name = "Alert without a name"
	}
	var ls []string
	for _, k := range slices.Sorted(maps.Keys(r.lead.Labels)) {
		if k == "alertname" || k == "severity" || slices.Contains(r.rule.dedup.ignore, k) {
			continue
		}
		if v := oneline.Clean(r.lead.Labels[k]); v != "" && len(ls) < maxSummaryLabels {
			v, _ = cut(v, maxShort)
			ls = append(ls, oneline.Clean(k)+"="+v)
		}
	}
	if len(ls) > 0 {
		name += " (" + strings.Join(ls, ", ") + ")"
	}
	return name
}

// source is what the alert is about: never empty.
func (r *rendering) source() string {
	s := r.firstLabel("instance", "host", "hostname", "node", "pod", "service", "job", "cluster")
	if oneline.Clean(s) != "" {
		return s
	}
	if u, err := url.Parse(r.in.ExternalURL); err == nil && oneline.Clean(u.Host) != "" {
		return u.Host
	}
	if r.ours() {
		return "pagerelay"
	}
	return "alertmanager"
}

// ours says that pagerelay itself raised the incident.
func (r *rendering) ours() bool {
	return r.in.Origin.Ours()
}

// client is the monitoring client that PagerDuty names, and its address: by
// default Alertmanager with the list of the receiver's alerts, as Alertmanager's
// own default template writes it.
func (r *rendering) client() (name, address string) {
	name = "Alertmanager"
	switch {
	case r.ours():
		name = "Pagerelay"
	case r.in.Origin == OriginGrafana:
		name = "Grafana"
	}
	name = r.field(r.e.client, name)
	address = r.text(r.e.clientURL)
	base := r.alertmanager()
	if address == "" && r.in.Origin == OriginGrafana {
		address = base
	}
	if address == "" && base != "" {
		// The page's filter is a pattern: the receiver's name goes in quoted.
		address = base + "/#/alerts?receiver=" + url.QueryEscape(regexp.QuoteMeta(r.in.Receiver))
	}
	if address == "" {
		return name, ""
	}
	address, ok := webURL(address, false)
	if !ok {
		r.fault(FaultLink)
	}
	return name, address
}

// alertmanager is the address of the Alertmanager that an incident came from,
// without a slash at its end; "" if there is none.
func (r *rendering) alertmanager() string {
	if r.ours() {
		return ""
	}
	return strings.TrimRight(r.in.ExternalURL, "/")
}
