package oncall_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// duty is an account of one policy with one schedule, whose shifts are given.
const duty = `
services: [{id: PS1, name: core, routing_keys: [0123456789abcdef0123456789abcdef], escalation_policy: PP1}]
escalation_policies: [{id: PP1, name: policy, levels: [{targets: [{schedule: PC1}]}]}]
users: [{id: PU1, name: Ada}, {id: PU2, name: Grace}]
schedules:
  - id: PC1
    name: schedule
    entries: `

// A gap that has begun is as long as it is: not too short to be reported, and no page
// is lost in its last moments.
func TestGapThatHasBegun(t *testing.T) {
	for _, tc := range []struct {
		name, shifts string
		horizon      time.Duration
		gap          bool
		heard        coverage.Heard
	}{
		{"it ends soon", `[{user: PU1, end: 1999-12-31T23:00:00Z}, {user: PU2, start: 2000-01-01T00:00:30Z}]`, 0, true, coverage.NobodyHears},
		{"as far ahead as PagerDuty tells", `[{user: PU1, end: 1999-12-31T23:00:00Z}, {user: PU2, start: 2000-01-01T00:00:30Z}]`, 90 * 24 * time.Hour, true, coverage.NobodyHears},
		{"it is short, but too long for a page", `[{user: PU1, end: 1999-12-31T23:59:50Z}, {user: PU2, start: 2000-01-01T00:00:30Z}]`, 0, false, coverage.NobodyHears},
		{"it is over", `[{user: PU1, end: 1999-12-31T23:00:00Z}, {user: PU2, start: 1999-12-31T23:50:00Z}]`, 0, false, coverage.Hears},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				cfg := config([]string{"schedule"}, []string{"policy"})
				cfg.Horizon = model.Duration(tc.horizon)
				cfg.Schedules[0].MinEngineers = 1
				got, err := readerOver(t, newEmulator(t, duty+tc.shifts).Transport()).
					Read(t.Context(), cfg, map[string]string{hashOf("0123456789abcdef0123456789abcdef"): "core"}, nil)
				if err != nil {
					t.Fatal(err)
				}
				wantUnread(t, got, nil)
				now := time.Now()
				want := []coverage.CheckID(nil)
				if tc.gap {
					want = []coverage.CheckID{coverage.PolicyGap, coverage.PolicyNobodyNow, coverage.ScheduleGap}
				}
				for _, check := range []coverage.CheckID{coverage.PolicyGap, coverage.PolicyNobodyNow, coverage.ScheduleGap} {
					if found := finds(got, cfg, now, check); found != slices.Contains(want, check) {
						t.Errorf("got %s: %v, want %v", check, found, !found)
					}
				}
				if heard, hole := coverage.NewHearing(got, cfg).Heard("core", now.Add(20*time.Second)); heard != tc.heard {
					t.Errorf("got %s, %+v, want %s", heard, hole, tc.heard)
				}
			})
		})
	}
}

func finds(s *coverage.Snapshot, cfg coverage.Config, now time.Time, check coverage.CheckID) bool {
	return slices.ContainsFunc(coverage.Check(s, cfg, now).Findings, func(f coverage.Finding) bool { return f.Check == check })
}

// The default horizon is of 14 days, and so is the overload of somebody who is never
// off duty, also when the reading has taken long.
func TestOverloadWithinTheDefaultHorizon(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		cfg := config([]string{"schedule"}, nil)
		cfg.Horizon = 0
		got, err := readerOver(t, newEmulator(t, duty+`[{user: PU1}]`).Transport()).Read(t.Context(), cfg, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(29*time.Minute + 500*time.Millisecond)
		if !finds(got, cfg, time.Now(), coverage.Overload) {
			t.Error("got no overload, want one")
		}
	})
}

// Layers and rotations that have ended since yesterday are history, though the time
// was read.
func TestHistory(t *testing.T) {
	for _, kind := range []string{"v2", "v3"} {
		t.Run(kind, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				e := newEmulator(t, strings.ReplaceAll(duty, "name: schedule\n", `name: schedule
    type: `+kind+`
    layers: [{name: ended, end: 1999-12-31T12:00:00Z, users: [PU2]}, {name: always, users: [PU1]}]
`)+`[{user: PU1}]`)
				got, err := readerOver(t, e.Transport()).Read(t.Context(), config([]string{"schedule"}, nil), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				s := got.Schedules["PC1"]
				if s == nil || len(s.Layers) > 0 || kind == "v3" && !slices.Equal(s.Engineers, []string{"PU1"}) {
					t.Errorf("got %+v, want one engineer and no layer that ends", s)
				}
			})
		})
	}
}

// A maintenance window that is over says nothing of a service that is in maintenance.
func TestMaintenanceThatIsOver(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a := account1(scheduleOf("0", ""))
		a.bodies["/services"] = listing("services", `{"id":"PS1","name":"core","status":"maintenance","escalation_policy":{"id":"PP1"}}`)
		a.bodies["/maintenance_windows"] = listing("maintenance_windows",
			`{"id":"PM1","start_time":"1999-12-31T12:00:00Z","end_time":"1999-12-31T23:00:00Z","services":[{"id":"PS1"}]}`,
			`{"id":"PM2","start_time":"2000-01-02T00:00:00Z","end_time":"2000-01-03T00:00:00Z","services":[{"id":"PS1"}]}`)
		got, err := readerOver(t, a).Read(t.Context(), config(nil, []string{"policy"}), map[string]string{hashOf("0123456789abcdef0123456789abcdef"): "core"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantUnread(t, got, nil)
		if s := got.Services["PS1"]; s == nil || !slices.Equal(s.Maintenance, []coverage.Span{span(2, 0, 3, 0)}) {
			t.Errorf("got %+v, want the window to come alone", s)
		}
	})
}

// A level that names a person always has somebody on call, and one that names a
// schedule has while the schedule has a shift of somebody: a list without anybody is
// not one to believe.
func TestNobodyListedThoughALevelNamesSomebody(t *testing.T) {
	const (
		person    = `{"id":"PU1","type":"user_reference","summary":"Ada"}`
		schedule1 = `{"id":"PC1","type":"schedule_reference","summary":"schedule"}`
		user      = `{"user":{"id":"PU1"}}`
		shift     = `{"user":{"id":"PU1"},"start":"2000-01-03T00:00:00Z","end":"2000-01-04T00:00:00Z"}`
		deleted   = `{"user":null,"start":"2000-01-03T00:00:00Z","end":"2000-01-04T00:00:00Z"}`
	)
	for _, tc := range []struct {
		name    string
		target  string
		shifts  string
		oncalls string
		user    string // "": 404.
		unread  []string
	}{
		{"a person", person, "", "", user, []string{"policy/PP1: lists nobody on call, though level 1 names the person PU1"}},
		{"a person who is listed", person, "", onCall1, user, nil},
		{"a person without an account", person, "", "", "", nil},
		{"a schedule without shifts", schedule1, "", "", user, nil},
		{"a schedule with a shift", schedule1, shift, "", user, []string{"policy/PP1: lists nobody on call, though level 1 names the schedule PC1, which has somebody"}},
		{"a schedule with a shift that is listed", schedule1, shift, onCall1, user, nil},
		{"a schedule with a shift of somebody without an account", schedule1, shift, "", "", nil},
		{"a schedule with a shift of somebody who was deleted", schedule1, deleted, "", user, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				a := account1(scheduleOf("0", tc.shifts))
				a.bodies["/escalation_policies"] = listing("escalation_policies", `{"id":"PP1","name":"policy","escalation_rules":[{"escalation_delay_in_minutes":5,"targets":[`+tc.target+`]}],"services":[]}`)
				a.bodies["/oncalls"] = listing("oncalls")
				if tc.oncalls != "" {
					a.bodies["/oncalls"] = listing("oncalls", tc.oncalls)
				}
				if a.bodies["/users/PU1"] = tc.user; tc.user == "" {
					delete(a.bodies, "/users/PU1")
				}
				got, err := readerOver(t, a).Read(t.Context(), config(nil, []string{"policy"}), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				wantUnread(t, got, tc.unread)
			})
		})
	}
}

// An answer about another schedule is none.
func TestAnotherSchedule(t *testing.T) {
	v3 := func(id string) string {
		return `{"schedule":{` + id + `"name":"schedule","final_schedule":{"computed_shift_assignments":[]}}}`
	}
	v2 := scheduleOf("0", "")
	for _, tc := range []struct{ name, schedule, shifts, unread string }{
		{"another", strings.ReplaceAll(v2, "PC1", "PC2"), "", `schedule/PC1: PagerDuty answers with the schedule "PC2"`},
		{"none", strings.ReplaceAll(v2, `"id":"PC1",`, ""), "", "schedule/PC1: PagerDuty answers with a schedule that has no id"},
		{"nothing at all", `{"schedule":{}}`, "", "schedule/PC1: PagerDuty answers with a schedule that has no id"},
		{"another shift-based one", "", v3(`"id":"PC2",`), `schedule/PC1: PagerDuty answers with the schedule "PC2"`},
		{"no shift-based one", "", v3(""), "schedule/PC1: PagerDuty answers with a schedule that has no id"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				a := account1(tc.schedule)
				if tc.shifts != "" {
					a.bodies["/escalation_policies"] = strings.ReplaceAll(a.bodies["/escalation_policies"], "schedule_reference", "schedule_v3_reference")
					a.bodies["/v3/schedules/PC1"] = tc.shifts
				}
				got, err := readerOver(t, a).Read(t.Context(), config(nil, []string{"policy"}), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				wantUnread(t, got, []string{tc.unread})
				if len(got.Schedules) > 0 {
					t.Errorf("got %v, want no schedule", got.Schedules)
				}
			})
		})
	}
	t.Run("listed without an id", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			a := &answers{bodies: map[string]string{"/v3/schedules": listing("schedules"), "/schedules": listing("schedules", `{"name":"schedule"}`)}}
			got, err := readerOver(t, a).Read(t.Context(), config([]string{"schedule"}, nil), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantUnread(t, got, []string{`schedule/schedule: lists a schedule "schedule" that has no id`})
		})
	})
}
