package mapping

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// links are the default ones that the alert has something for, then the
// configured ones; each address once.
func (r *rendering) links() []Link {
	var out []Link
	add := func(href, text string) {
		if strings.TrimSpace(href) == "" {
			return
		}
		u, ok := webURL(href, false)
		if !ok {
			r.fault(FaultLink)
			return
		}
		text, _ = cut(oneline.Clean(text), maxShort)
		if !slices.ContainsFunc(out, func(l Link) bool { return l.Href == u }) {
			out = append(out, Link{Href: u, Text: text})
		}
	}
	notes := r.lead.Annotations
	add(notes["runbook_url"], "Runbook")
	add(notes["dashboard_url"], "Dashboard")
	add(notes["panel_url"], "Panel")
	source := "Graph"
	if r.in.Origin == OriginCoverage {
		source = "PagerDuty" // what a finding is about.
	}
	add(r.lead.GeneratorURL, source)
	add(r.silenceURL(), "Silence this alert")
	for _, l := range r.e.links {
		add(r.text(l.href), r.text(l.text))
	}
	return out
}

// images are those of the annotations image_url and dashboard_image_url, then
// the configured ones. PagerDuty shows https only.
func (r *rendering) images() []Image {
	var out []Image
	add := func(src, href, alt string) {
		if strings.TrimSpace(src) == "" {
			return
		}
		im, ok := Image{}, false
		if im.Src, ok = webURL(src, true); !ok {
			r.fault(FaultLink)
			return
		}
		if strings.TrimSpace(href) != "" {
			if im.Href, ok = webURL(href, false); !ok {
				r.fault(FaultLink)
			}
		}
		im.Alt, _ = cut(oneline.Clean(alt), maxShort)
		if !slices.ContainsFunc(out, func(o Image) bool { return o.Src == im.Src }) {
			out = append(out, im)
		}
	}
	name := r.lead.Labels["alertname"]
	add(r.lead.Annotations["image_url"], "", name)
	add(r.lead.Annotations["dashboard_image_url"], "", name)
	for _, im := range r.e.images {
		add(r.text(im.src), r.text(im.href), r.text(im.alt))
	}
	return out
}

// silenceURL opens Alertmanager's form for a silence of this alert, or of all
// members if they have the name of the alert in common.
func (r *rendering) silenceURL() string {
	if r.in.Origin == OriginGrafana {
		return r.lead.Annotations["silence_url"]
	}
	base := r.alertmanager()
	if base == "" {
		return ""
	}
	ls := common(r.said, func(a template.Alert) template.KV { return a.Labels })
	if ls["alertname"] == "" {
		// What unrelated alerts share (a cluster, a severity) would silence far more.
		ls = r.lead.Labels
	}
	var ms labels.Matchers
	for _, name := range slices.Sorted(maps.Keys(ls)) {
		if ls[name] == "" || slices.Contains(r.rule.dedup.ignore, name) {
			continue
		}
		ms = append(ms, &labels.Matcher{Type: labels.MatchEqual, Name: name, Value: ls[name]})
	}
	if len(ms) == 0 {
		return ""
	}
	// The part after # is decoded by the page, which takes %20 and not + for a blank.
	return base + "/#/silences/new?filter=" + strings.ReplaceAll(url.QueryEscape(ms.String()), "+", "%20")
}
