package mapping

import (
	"time"

	"github.com/prometheus/alertmanager/template"
)

// alertData is what the templates of a tier and a service see: one alert in
// Alertmanager's words, and the group it came in. Options documents it.
type alertData struct {
	Labels, Annotations template.KV
	StartsAt, EndsAt    time.Time
	GeneratorURL        string
	Fingerprint         string
	Status              string

	GroupLabels, CommonLabels, CommonAnnotations, RouteLabels template.KV

	Receiver    string
	ExternalURL string
	GroupKey    string
}

// keyData is what the template of a dedup key sees: only what is the same in
// every notification about an alert, from every replica. Times, URLs,
// annotations and what a group has in common at the moment are not.
type keyData struct {
	Labels, GroupLabels, RouteLabels template.KV

	Fingerprint string
	Receiver    string
	GroupKey    string
}

// eventData is what the templates of an event see. Options documents it.
type eventData struct {
	Labels, Annotations template.KV
	StartsAt, EndsAt    time.Time
	GeneratorURL        string
	Fingerprint         string
	Status              string

	GroupLabels, CommonLabels, CommonAnnotations template.KV

	Receiver    string
	ExternalURL string
	GroupKey    string

	Alerts   template.Alerts
	Tier     string
	Urgency  string
	Severity string
	Service  string
	Rule     string
	DedupKey string
}

// The samples are what templates are tried with when they are compiled.

func sampleAlert() template.Alert {
	return template.Alert{
		Status:       Firing,
		Labels:       template.KV{"alertname": "Sample", "severity": "critical", "instance": "host:9100", "job": "node"},
		Annotations:  template.KV{"summary": "A sample", "description": "A sample alert"},
		StartsAt:     time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		GeneratorURL: "http://prometheus.example/graph",
		Fingerprint:  "0123456789abcdef",
	}
}

func sampleAlertData() *alertData {
	a := sampleAlert()
	return &alertData{
		Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.StartsAt,
		GeneratorURL: a.GeneratorURL, Fingerprint: a.Fingerprint, Status: a.Status,
		GroupLabels: template.KV{"alertname": "Sample"}, CommonLabels: a.Labels, CommonAnnotations: a.Annotations,
		RouteLabels: template.KV{}, Receiver: "sample", ExternalURL: "http://alertmanager.example", GroupKey: "{}:{}",
	}
}

func sampleKeyData() *keyData {
	a := sampleAlert()
	return &keyData{
		Labels: a.Labels, GroupLabels: template.KV{"alertname": "Sample"}, RouteLabels: template.KV{},
		Fingerprint: a.Fingerprint, Receiver: "sample", GroupKey: "{}:{}",
	}
}

func sampleEventData() *eventData {
	a := sampleAlert()
	return &eventData{
		Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.StartsAt,
		GeneratorURL: a.GeneratorURL, Fingerprint: a.Fingerprint, Status: a.Status,
		GroupLabels: template.KV{"alertname": "Sample"}, CommonLabels: a.Labels, CommonAnnotations: a.Annotations,
		Receiver: "sample", ExternalURL: "http://alertmanager.example", GroupKey: "{}:{}",
		Alerts: template.Alerts{a}, Tier: "critical", Urgency: string(High), Severity: "critical",
		Service: "sample", Rule: "sample", DedupKey: "sample",
	}
}
