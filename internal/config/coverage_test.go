package config_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/config"
)

// audited has everything that the section coverage needs of others.
const audited = `pagerduty: {api_token_file: token}
defaults: {service: sre}
services:
  infra: {routing_key: ` + key + `, fallback: sre}
  sre: {routing_key: ` + otherKey + `}
`

func TestParseCoverage(t *testing.T) {
	c, err := config.Parse([]byte(audited+`
coverage:
  horizon: 30d
  report: {service: sre}
  schedules:
    - {name: prod-monitoring, min_engineers: 3, required: [office-hours], mute: [overload]}
  escalation_policies:
    - name: infra
      services: [infra]
      min_people: 2
      levels:
        - {targets: [platform-sre], escalate_after: 15m}
        - {targets: [infra-lead]}
  people: {profile: must_include_phone}
  time_intervals:
    - name: office-hours
      time_intervals:
        - {weekdays: ['monday:friday'], times: [{start_time: '09:00', end_time: '17:00'}], location: Europe/Berlin}
        - {weekdays: ['friday:monday']} # wraps around the end of the week, as from Alertmanager 0.35.
`), ".")
	if err != nil {
		t.Fatal(err)
	}
	cov := c.Coverage
	got := []any{
		time.Duration(cov.Interval), time.Duration(cov.Horizon), cov.Report.Service,
		cov.Schedules[0].MinEngineers, cov.Schedules[0].Required, cov.Schedules[0].Mute,
		cov.Policies[0].Services, cov.Policies[0].MinPeople, time.Duration(cov.Policies[0].Levels[0].EscalateAfter), cov.Policies[0].Levels[1].Targets,
		cov.People.Profile, cov.TimeIntervals[0].Name, cov.TimeIntervals[0].TimeIntervals[0].Location.String(),
	}
	want := []any{
		6 * time.Hour, 30 * 24 * time.Hour, "sre",
		3,
		[]string{"office-hours"},
		[]string{"overload"},
		[]string{"infra"},
		2, 15 * time.Minute,
		[]string{"infra-lead"},
		"must_include_phone", "office-hours", "Europe/Berlin",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A configuration without the section shows none.
func TestParseNoCoverage(t *testing.T) {
	c, err := config.Parse([]byte(minimal), ".")
	if err != nil {
		t.Fatal(err)
	}
	if c.Coverage.Audits() || c.Coverage.Interval != 0 {
		t.Errorf("got %+v, want nothing", c.Coverage)
	}
}

func TestParseCoverageFaults(t *testing.T) {
	section := func(text string) string { return audited + "coverage:\n  schedules: [{name: s}]\n  " + text + "\n" }
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"audits nothing", audited + "coverage: {interval: 1h}\n", []string{"coverage: names nothing to audit; list schedules or escalation_policies, or remove the section (line 6)"}},
		{"unknown field", section("horizont: 3d"), []string{"coverage.horizont: unknown field; did you mean horizon? (line 8)"}},
		{"not a duration", section("interval: soon"), []string{"coverage.interval: is not a duration; write one such as 90s, 1h30m or 14d (line 8)"}},
		{"a list for a duration", section("interval: [6h]"), []string{"coverage.interval: is a list, must be a duration such as 90s, 1h30m or 14d (line 8)"}},
		{
			"several at once", section("horizon: x\n  escalation_policies: [{name: p, services: [infra], levels: [{targets: [a], escalate_after: x}]}]\n  report: {service: nobody}"),
			[]string{
				"coverage.horizon: is not a duration; write one such as 90s, 1h30m or 14d (line 8)",
				"coverage.escalation_policies[0].levels[0].escalate_after: is not a duration; write one such as 90s, 1h30m or 14d (line 9)",
				`coverage.report.service: no service is named "nobody"; the services are infra, sre (line 10)`,
			},
		},
		{
			"time zone", section("time_intervals: [{name: o, time_intervals: [{location: Europe/Nowhere}]}]"),
			[]string{"coverage.time_intervals[0].time_intervals[0].location: unknown time zone Europe/Nowhere (line 8)"},
		},
		{
			"a month that is none", section("time_intervals: [{name: o, time_intervals: [{months: ['13']}]}]"),
			[]string{"coverage.time_intervals[0].time_intervals[0].months[0]: 13 is not a valid month: out of range (line 8)"},
		},
		{
			"unknown field of a time interval", section("time_intervals: [{name: o, time_intervals: [{weekday: [monday]}]}]"),
			[]string{"coverage.time_intervals[0].time_intervals[0].weekday: unknown field; did you mean weekdays? (line 8)"},
		},
		{
			"unknown field of a time", section("time_intervals: [{name: o, time_intervals: [{times: [{start_time: '09:00', end: '17:00'}]}]}]"),
			[]string{"coverage.time_intervals[0].time_intervals[0].times[0].end: unknown field; remove it or fix its name (line 8)"},
		},
		{
			"unknown field of a time, first", section("time_intervals:\n    - name: o\n      time_intervals:\n      - times:\n        - begin: x\n          end_time: y"),
			[]string{"coverage.time_intervals[0].time_intervals[0].times[0].begin: unknown field; remove it or fix its name (line 12)"},
		},
		{
			"times", section("time_intervals: [{name: o, time_intervals: [{times: [{start_time: '17:00', end_time: '09:00'}], weekdays: [fryday]}]}]"),
			[]string{
				"coverage.time_intervals[0].time_intervals[0].times[0]: start time cannot be equal or greater than end time (line 8)",
				"coverage.time_intervals[0].time_intervals[0].weekdays[0]: fryday is not a valid weekday (line 8)",
			},
		},
		{
			"service of a policy", section("escalation_policies: [{name: p, services: [infra, gone]}]"),
			[]string{`coverage.escalation_policies[0].services[1]: no service is named "gone"; the services are infra, sre (line 8)`},
		},
		{
			"id of a service", section("services: {ids: {gone: PABC, infra: PDEF}}"),
			[]string{`coverage.services.ids.gone: no service is named "gone"; the services are infra, sre (line 8)`},
		},
		{
			"reports to whom it audits", section("report: {service: sre}\n  escalation_policies: [{name: p, services: [infra, sre]}]"),
			[]string{"coverage.report.service: pages escalation_policies[0] (p), one of those that are audited: when nobody is on call there, nobody would hear of it; give services.sre a fallback that pages another policy, or report to another service (line 8)"},
		},
		{
			"reports to whom it audits, and so does the fallback", section("report: {service: infra}\n  escalation_policies: [{name: q, services: [infra]}, {name: p, services: [infra, sre]}]"),
			[]string{"coverage.report.service: pages escalation_policies[1] (p), one of those that are audited, and so do its fallbacks (sre): when nobody is on call there, nobody would hear of it; give services.sre a fallback that pages another policy, or report to another service (line 8)"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := config.Parse([]byte(tc.text), ".")
			if err == nil {
				t.Fatalf("got no error, want %q", tc.want)
			}
			if diff := cmp.Diff(tc.want, faultTexts(t, err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// With a fallback, somebody hears of it.
func TestParseCoverageReportsToFallback(t *testing.T) {
	text := audited + "coverage: {report: {service: infra}, escalation_policies: [{name: p, services: [infra]}]}\n"
	if _, err := config.Parse([]byte(text), "."); err != nil {
		t.Error(err)
	}
	if _, err := config.Parse(fmt.Append(nil, audited, "coverage: {report: {service: sre}, escalation_policies: [{name: p, services: [infra]}]}\n"), "."); err != nil {
		t.Error(err)
	}
}

// Without a token the audit says that it knows nothing; pages flow on.
func TestParseCoverageWithoutAToken(t *testing.T) {
	if _, err := config.Parse([]byte(minimal+"coverage: {schedules: [{name: s}]}\n"), ""); err != nil {
		t.Errorf("got %v, want no fault", err)
	}
}
