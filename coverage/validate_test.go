package coverage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"github.com/pagerelay/pagerelay/coverage"
)

func TestValidate(t *testing.T) {
	for _, tc := range []struct{ name, config, want string }{
		{"nothing", "{}", ""},
		{"everything", `
interval: 5m
horizon: 90d
report: {service: sre-catch-all}
ignore_shorter_than: 24h
schedules:
  - {name: prod-monitoring, min_engineers: 1, required: [office-hours], mute: [overload, not_found]}
escalation_policies:
  - name: infra
    services: [infra-core]
    min_people: 1
    required: [office-hours]
    levels: [{targets: [platform-sre, PABC], escalate_after: 15m}, {targets: [infra-lead]}]
people: {profile: never_miss_a_page, mute: [inactive_user]}
services: {ids: {infra-core: PABC}, mute: [service_in_maintenance]}
time_intervals: [{name: office-hours, time_intervals: [{weekdays: [monday]}]}]`, ""},
		{"durations too short", "{interval: 4m, horizon: 59m, ignore_shorter_than: 1ms}", `
interval: is 4m, must be at least 5m
horizon: is 59m, must be from 1h to 90d
ignore_shorter_than: is 1ms, must be from 1s to 1d`},
		{"a horizon shorter than the interval", "{interval: 1d, horizon: 12h}", `
horizon: the horizon (12h) must be at least 1h longer than the interval (1d), or nobody knows who is on call until the next audit; make the horizon longer, or the interval shorter`},
		{"a horizon that ends before the next audit is made", "{interval: 1d, horizon: 24h59m}", `
horizon: the horizon (1d59m) must be at least 1h longer than the interval (1d), or nobody knows who is on call until the next audit; make the horizon longer, or the interval shorter`},
		{"a horizon that just lasts", "{interval: 1d, horizon: 25h}", ""},
		{"a horizon shorter than the default interval", "{horizon: 6h}", `
horizon: the horizon (6h) must be at least 1h longer than the interval (6h), or nobody knows who is on call until the next audit; make the horizon longer, or the interval shorter`},
		{"an interval longer than the default horizon", "{interval: 14d}", `
interval: the horizon (2w) must be at least 1h longer than the interval (2w), or nobody knows who is on call until the next audit; make the horizon longer, or the interval shorter`},
		{"an interval that no horizon outlasts", "{interval: 90d, horizon: 90d}", `
horizon: the horizon (90d) must be at least 1h longer than the interval (90d), or nobody knows who is on call until the next audit; make the interval shorter`},
		{"durations too long", "{interval: 1y, horizon: 91d, ignore_shorter_than: 25h}", `
horizon: is 13w, must be from 1h to 90d
ignore_shorter_than: is 1d1h, must be from 1s to 1d`},
		{"names", `{schedules: [{name: a}, {name: " "}, {name: a}], escalation_policies: [{name: a}, {}, {name: a}],
			time_intervals: [{name: b, time_intervals: [{}]}, {time_intervals: [{}]}, {name: b}]}`, `
time_intervals[1].name: is missing
time_intervals[2].name: "b" is the name of another time interval already
time_intervals[2].time_intervals: is missing; without it nothing would ever be required
schedules[1].name: is missing; give PagerDuty's name or id
schedules[2].name: "a" is the name of schedules[0] already
escalation_policies[1].name: is missing; give PagerDuty's name or id
escalation_policies[2].name: "a" is the name of escalation_policies[0] already`},
		{"numbers", "{schedules: [{name: a, min_engineers: -1}], escalation_policies: [{name: a, min_people: -2}]}", `
schedules[0].min_engineers: must be at least 1, got -1
escalation_policies[0].min_people: must be at least 1, got -2`},
		{"required", `{time_intervals: [{name: b, time_intervals: [{}]}],
			schedules: [{name: a, required: [c, b, b]}], escalation_policies: [{name: a, required: [""]}]}`, `
schedules[0].required[0]: "c" is not the name of one of time_intervals
schedules[0].required[2]: "b" is listed twice
escalation_policies[0].required[0]: "" is not the name of one of time_intervals`},
		{"mute", `{schedules: [{name: a, mute: [overload, overload]}], escalation_policies: [{name: a, mute: [gaps]}], people: {mute: [""]}}`, `
schedules[0].mute[1]: "overload" is listed twice
escalation_policies[0].mute[0]: "gaps" is not a check; the checks are CHECKS
people.mute[0]: "" is not a check; the checks are CHECKS`},
		{"mutes that would be in vain", `{schedules: [{name: a, mute: [policy_gap]}], escalation_policies: [{name: a, mute: [overload, predicted_collision]}],
			people: {mute: [service_disabled]}, services: {mute: [not_found, inactive_user]}}`, `
schedules[0].mute[0]: policy_gap is not muted here; move it to escalation_policies[].mute
escalation_policies[0].mute[0]: overload is not muted here; move it to schedules[].mute
escalation_policies[0].mute[1]: predicted_collision is not muted here; move it to schedules[].mute or people.mute
people.mute[0]: service_disabled is not muted here; move it to escalation_policies[].mute or services.mute
services.mute[0]: not_found is not muted here; move it to schedules[].mute or escalation_policies[].mute
services.mute[1]: inactive_user is not muted here; move it to people.mute`},
		{"services and levels", `{escalation_policies: [{name: a, services: [s, "", s],
			levels: [{targets: [x, x, ""]}, {escalate_after: 90s}]}]}`, `
escalation_policies[0].services[1]: is empty; name a service or remove it
escalation_policies[0].services[2]: "s" is listed twice
escalation_policies[0].levels[0].targets[1]: "x" is listed twice
escalation_policies[0].levels[0].targets[2]: is empty; name a schedule or person or remove it
escalation_policies[0].levels[1].targets: is missing; name the schedules or people that the level notifies
escalation_policies[0].levels[1].escalate_after: is 1m30s, must be whole minutes; PagerDuty knows no others`},
		{"ids of services", `{services: {ids: {b: " ", a: PABC, c: ""}}}`, `
services.ids.b: is empty; give the id of PagerDuty's service, or remove it
services.ids.c: is empty; give the id of PagerDuty's service, or remove it`},
		{"profile", "{people: {profile: phone}}", `
people.profile: is "phone", must be never_miss_a_page, try_every_method, more_than_email or must_include_phone`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var c coverage.Config
			if err := yaml.Unmarshal([]byte(strings.ReplaceAll(tc.config, "\t", " ")), &c); err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, id := range coverage.Checks() {
				names = append(names, string(id))
			}
			want := strings.TrimPrefix(strings.ReplaceAll(tc.want, "CHECKS", strings.Join(names, ", ")), "\n")
			got := ""
			if err := c.Validate(); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if tc.want == "" {
				if err := c.WithDefaults().Validate(); err != nil {
					t.Errorf("with defaults: got %v, want no fault", err)
				}
			}
		})
	}
}

func TestValidateNegative(t *testing.T) {
	c := coverage.Config{Interval: -1e9, Horizon: -1e9, IgnoreShorterThan: -1e9, Policies: []coverage.PolicyConfig{{
		Name: "a", Levels: []coverage.LevelConfig{{Targets: []string{"b"}, EscalateAfter: -60e9}},
	}}}
	want := `interval: is -1s, must be at least 5m
horizon: is -1s, must be from 1h to 90d
ignore_shorter_than: is -1s, must be from 1s to 1d
escalation_policies[0].levels[0].escalate_after: is -1m0s, must be whole minutes; PagerDuty knows no others`
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestDefaults(t *testing.T) {
	given := coverage.Config{
		Schedules: []coverage.ScheduleConfig{{Name: "a"}, {Name: "b", MinEngineers: 1}},
		Policies:  []coverage.PolicyConfig{{Name: "a"}, {Name: "b", MinPeople: 3}},
	}
	got := given.WithDefaults()
	want := coverage.Config{
		Interval: model.Duration(6 * time.Hour), Horizon: model.Duration(14 * day), IgnoreShorterThan: model.Duration(time.Minute),
		Schedules: []coverage.ScheduleConfig{{Name: "a", MinEngineers: 2}, {Name: "b", MinEngineers: 1}},
		Policies:  []coverage.PolicyConfig{{Name: "a", MinPeople: 1}, {Name: "b", MinPeople: 3}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("with defaults (-want +got):\n%s", diff)
	}
	if given.Schedules[0].MinEngineers != 0 || given.Policies[0].MinPeople != 0 {
		t.Error("got defaults in what was given, want it left alone")
	}
	own := coverage.Config{Interval: 1, Horizon: 2, IgnoreShorterThan: 3}
	if diff := cmp.Diff(own, own.WithDefaults(), cmp.Transformer("empty", func(c []coverage.ScheduleConfig) int { return len(c) }),
		cmp.Transformer("empty", func(c []coverage.PolicyConfig) int { return len(c) })); diff != "" {
		t.Errorf("what is given (-want +got):\n%s", diff)
	}
}
