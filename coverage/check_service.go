package coverage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// serviceChecks looks at the services that pagerelay is known to page; others cost
// it no page. Their checks are muted for all of them, or by the policies that they are
// joined to.
func (j *judge) serviceChecks() {
	j.unjoined()
	for _, s := range j.relayed {
		mute := j.muteOf(s)
		j.urgencyRule(s, mute)
		j.serviceDisabled(s, mute)
		j.serviceInMaintenance(s, mute)
	}
}

// unjoined notes services of pagerelay whose service at PagerDuty is not known: any
// that no service of pagerelay is known to page may be it.
func (j *judge) unjoined() {
	known := map[string]bool{}
	for _, s := range j.relayed {
		for _, relay := range s.Relays {
			known[relay] = true
		}
	}
	for _, p := range j.config.Policies {
		for _, name := range p.Services {
			if known[name] {
				continue
			}
			j.unknown("", KindService, name, "PagerDuty's service behind it is not known; give its id in coverage.services.ids")
			for _, id := range sortedKeys(j.s.Services) {
				if len(j.s.Services[id].Relays) == 0 {
					j.unknown("", KindService, id, "it may be paged by pagerelay's service "+name)
				}
			}
		}
	}
}

func (j *judge) muteOf(s *Service) []string {
	mute := slices.Clone(j.config.Services.Mute)
	for _, p := range j.policies {
		if p.ID == s.Policy || slices.ContainsFunc(s.Relays, func(relay string) bool { return slices.Contains(p.config.Services, relay) }) {
			mute = append(mute, p.config.Mute...)
		}
	}
	return mute
}

func (s *Service) finding(check CheckID, severity Severity, spans []Span, text string) Finding {
	return Finding{
		Check: check, Severity: severity, Subject: subject(KindService, s.ID, s.Name),
		Spans: spans, Text: text, URL: link(s.URL),
	}
}

func (s *Service) title() string {
	var relays []string
	for _, relay := range s.Relays {
		relays = append(relays, oneline.Short(relay, maxName))
	}
	return fmt.Sprintf("PagerDuty's service %s (pagerelay's %s)", named(s.Name, s.ID), strings.Join(relays, ", "))
}

// What a service's urgency rule may say (REST API, incident_urgency_rule).
const (
	severityBased = "severity_based"
	constantLow   = "low"
)

// urgencyRule is urgency_rule_ignores_severity: the service does not make an
// incident's urgency of the event's severity, which is all that pagerelay can say, or
// not at all hours. Critical if the urgency is low then, because a critical page uses
// people's low-urgency rules and never escalates. Warning otherwise: warnings wake people.
func (j *judge) urgencyRule(s *Service, mute []string) {
	if s.Urgency == "" {
		j.unknown(UrgencyIgnoresSeverity, KindService, s.ID, "its urgency rule was not read")
		return
	}
	halves := []struct{ urgency, when string }{{s.Urgency, ""}}
	if s.Outside != "" {
		halves = []struct{ urgency, when string }{{s.Urgency, " in support hours"}, {s.Outside, " outside support hours"}}
	}
	severity := Warning
	var rules, ignored, meanings []string
	for _, h := range halves {
		rules = append(rules, oneline.Short(h.urgency, maxName)+h.when)
		if h.urgency == severityBased {
			continue
		}
		ignored = append(ignored, h.when)
		switch h.urgency {
		case constantLow:
			severity = Critical
			meanings = append(meanings, "also a critical page"+h.when+" is of low urgency, which never escalates")
		default:
			meanings = append(meanings, "every page"+h.when+", also a warning, wakes people")
		}
	}
	when := ""
	switch len(ignored) {
	case 0:
		return
	case 1:
		when = ignored[0]
	}
	j.add(mute, s.finding(UrgencyIgnoresSeverity, severity, nil, fmt.Sprintf(
		"%s has the urgency rule %s, and ignores the severity of events%s: %s. Set it to be based on severity.",
		s.title(), list(rules), when, semicolons(meanings))))
}

// serviceDisabled: Critical: PagerDuty accepts pages to it and opens no incident.
func (j *judge) serviceDisabled(s *Service, mute []string) {
	if s.Status != statusDisabled {
		return
	}
	j.add(mute, s.finding(ServiceDisabled, Critical, nil, s.title()+
		" is disabled: PagerDuty accepts pages to it, opens no incident and notifies nobody."))
}

// serviceInMaintenance: a maintenance window is open or begins within the time
// judged. Warning while it is open: pages to the service open no incident, and
// resolves have no effect, but somebody wanted it so. Info before.
func (j *judge) serviceInMaintenance(s *Service, mute []string) {
	windows := j.seen(normalise(s.Maintenance, j.window))
	open := len(windows) > 0 && windows[0].contains(j.now) ||
		len(s.Maintenance) == 0 && s.Status == statusMaintenance
	const meaning = "PagerDuty accepts pages to it then, opens no incident and notifies nobody; resolves have no effect either."
	clock := j.clock("UTC")
	if p := j.s.Policies[s.Policy]; p != nil {
		clock = j.policyClock(p)
	}
	switch {
	case open && len(windows) == 0:
		j.add(mute, s.finding(ServiceInMaintenance, Warning, nil, s.title()+" is in maintenance, nobody knows until when. "+meaning))
	case open:
		j.add(mute, s.finding(ServiceInMaintenance, Warning, windows, fmt.Sprintf(
			"%s is in maintenance: %s. %s", s.title(), clock.spans(windows), meaning)))
	case len(windows) > 0:
		j.add(mute, s.finding(ServiceInMaintenance, Info, windows, fmt.Sprintf(
			"%s will be in maintenance: %s. %s", s.title(), clock.spans(windows), meaning)))
	}
}
