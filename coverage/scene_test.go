package coverage_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"github.com/pagerelay/pagerelay/coverage"
)

// scene is a snapshot, what is expected of it, and when it is judged.
type scene struct {
	*coverage.Snapshot
	cfg coverage.Config
	now time.Time
}

func (w *scene) check() coverage.Result { return coverage.Check(w.Snapshot, w.cfg, w.now) }

// healthy is a scene with nothing wrong in it: two schedules in Berlin, of two people
// each that take weekly turns, a policy of two levels and the service that it is for.
func healthy() *scene {
	w := &scene{
		now: instant("2026-11-23 08:00"), // a Monday, 09:00 in Berlin.
		cfg: coverage.Config{
			Horizon: model.Duration(14 * day),
			Schedules: []coverage.ScheduleConfig{
				{Name: "prod-monitoring"},
				{Name: "PLEAD"},
			},
			Policies: []coverage.PolicyConfig{{
				Name: "infra", Services: []string{"infra-core"}, MinPeople: 2,
				Levels: []coverage.LevelConfig{
					{Targets: []string{"prod-monitoring"}, EscalateAfter: model.Duration(15 * time.Minute)},
					{Targets: []string{"infra-lead"}},
				},
			}},
			People: coverage.PeopleConfig{Profile: "must_include_phone"},
		},
	}
	w.Snapshot = &coverage.Snapshot{
		At:     w.now,
		Window: coverage.Span{Start: w.now.Add(-day), End: w.now.Add(14 * day)},
		Schedules: map[string]*coverage.Schedule{
			"PPROD": {
				ID: "PPROD", Name: "prod-monitoring", TimeZone: "Europe/Berlin", Engineers: []string{"UANN", "UBEN"},
				URL: "https://acme.pagerduty.com/schedules/PPROD", Policies: []string{"PINFRA"},
			},
			"PLEAD": {
				ID: "PLEAD", Name: "infra-lead", TimeZone: "Europe/Berlin", Engineers: []string{"UCAT", "UDAN"},
				ShiftBased: true, Policies: []string{"PINFRA"},
			},
		},
		Policies: map[string]*coverage.Policy{"PINFRA": {
			ID: "PINFRA", Name: "infra", URL: "https://acme.pagerduty.com/escalation_policies/PINFRA",
			Levels: []coverage.Level{
				{Targets: []coverage.Target{{Kind: coverage.KindSchedule, ID: "PPROD", Name: "prod-monitoring"}}, EscalateAfter: 15 * time.Minute},
				{Targets: []coverage.Target{{Kind: coverage.KindSchedule, ID: "PLEAD", Name: "infra-lead"}}, EscalateAfter: 30 * time.Minute},
			},
			Services: []string{"PCORE"},
		}},
		Services: map[string]*coverage.Service{"PCORE": {
			ID: "PCORE", Name: "Core", Policy: "PINFRA", Status: "active", Urgency: "severity_based", Relays: []string{"infra-core"},
		}},
		Users: map[string]*coverage.User{},
	}
	for id, name := range map[string]string{"UANN": "Ann", "UBEN": "Ben", "UCAT": "Cat", "UDAN": "Dan"} {
		w.Users[id] = &coverage.User{
			ID: id, Name: name, TimeZone: "Europe/Berlin",
			Contacts: []coverage.Contact{{ID: "C" + id, Type: "phone"}},
			Rules:    []coverage.NotificationRule{{Contact: "C" + id, Urgency: "high"}},
		}
	}
	w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-30 08:00", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
	w.shifts("PLEAD", "UCAT 2026-11-22 08:00/2026-11-30 08:00", "UDAN 2026-11-30 08:00/2026-12-07 08:00")
	return w
}

const day = 24 * time.Hour

// shifts gives a schedule these shifts, and the policies that use it the on-calls.
func (w *scene) shifts(schedule string, shifts ...string) {
	s := w.Schedules[schedule]
	s.Shifts = nil
	var rest []coverage.OnCall
	for _, o := range w.OnCalls {
		if o.Schedule != schedule {
			rest = append(rest, o)
		}
	}
	w.OnCalls = rest
	for _, text := range shifts {
		user, when, _ := strings.Cut(text, " ")
		s.Shifts = append(s.Shifts, coverage.Shift{Span: span(when), User: user})
		for _, p := range w.Policies {
			for i, l := range p.Levels {
				for _, t := range l.Targets {
					if t.ID == schedule {
						w.OnCalls = append(w.OnCalls, coverage.OnCall{Span: span(when), Policy: p.ID, Level: i + 1, User: user, Schedule: schedule})
					}
				}
			}
		}
	}
}

// instant reads "2006-01-02 15:04", with seconds if it has them, as UTC.
func instant(s string) time.Time {
	for _, layout := range []string{"2006-01-02 15:04", time.DateTime} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	panic("not a time: " + s)
}

func span(s string) coverage.Span {
	start, end, _ := strings.Cut(s, "/")
	return coverage.Span{Start: instant(start), End: instant(end)}
}

func showSpan(s coverage.Span) string {
	show := func(t time.Time) string {
		if t.Second() != 0 {
			return t.UTC().Format(time.DateTime)
		}
		return t.UTC().Format("2006-01-02 15:04")
	}
	return show(s.Start) + "/" + show(s.End)
}

// show is a finding in a line, without its text.
func show(f coverage.Finding) string {
	parts := []string{string(f.Severity), string(f.Check), string(f.Subject.Kind), f.Subject.ID}
	for _, s := range f.Spans {
		parts = append(parts, showSpan(s))
	}
	return strings.Join(parts, " ")
}

func showAll(r coverage.Result) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, show(f))
	}
	return out
}

func showUnknown(r coverage.Result) []string {
	var out []string
	for _, u := range r.Unknown {
		out = append(out, fmt.Sprintf("%s %s %s: %s", orAll(string(u.Check)), orAll(string(u.Kind)), orAll(u.ID), u.Reason))
	}
	return out
}

func orAll(s string) string {
	if s == "" {
		return "*"
	}
	return s
}

// intervals reads time intervals as the configuration has them.
func intervals(text string) []coverage.TimeInterval {
	var out []coverage.TimeInterval
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		panic(err)
	}
	return out
}
