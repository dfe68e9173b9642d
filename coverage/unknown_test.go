package coverage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/coverage"
)

func withID(kind coverage.Kind, id string) coverage.Subject {
	return coverage.Subject{Kind: kind, ID: id}
}

func TestUnknown(t *testing.T) {
	for _, tc := range []struct {
		name     string
		change   func(w *scene)
		findings []string
		unknown  []string
	}{
		{"everything was read", func(*scene) {}, nil, nil},
		{"a schedule by its id", func(w *scene) {
			w.Unread = []coverage.Unread{{Kind: coverage.KindSchedule, ID: "PPROD", Reason: "PagerDuty answered 500"}}
			w.Schedules["PPROD"].Shifts = nil // what there is of it is not to be judged.
			w.Schedules["PPROD"].Engineers = nil
		}, nil, []string{
			"* schedule PPROD: PagerDuty answered 500",
			"user_unreachable user *: not all schedules and escalation policies were read",
			"inactive_user user *: not all schedules and escalation policies were read",
			"predicted_collision user *: not all schedules and escalation policies were read",
		}},
		{"a schedule by its name", func(w *scene) {
			delete(w.Schedules, "PPROD")
			w.Unread = []coverage.Unread{{Kind: coverage.KindSchedule, ID: "prod-monitoring", Reason: "timed out"}}
		}, nil, []string{
			"* schedule prod-monitoring: timed out",
			"user_unreachable user *: not all schedules and escalation policies were read",
			"inactive_user user *: not all schedules and escalation policies were read",
			"predicted_collision user *: not all schedules and escalation policies were read",
		}},
		{"a schedule that is just not there", func(w *scene) {
			delete(w.Schedules, "PPROD")
		}, nil, []string{
			"* schedule prod-monitoring: it was not read",
			"user_unreachable user *: not all schedules and escalation policies were read",
			"inactive_user user *: not all schedules and escalation policies were read",
			"predicted_collision user *: not all schedules and escalation policies were read",
		}},
		{"the on-calls", func(w *scene) {
			w.Unread = []coverage.Unread{{Kind: coverage.KindPolicy, Reason: "the account's plan has no on-calls"}}
			w.OnCalls = nil
		}, nil, []string{
			"* policy *: the account's plan has no on-calls",
			"user_unreachable user *: not all schedules and escalation policies were read",
			"inactive_user user *: not all schedules and escalation policies were read",
			"* service *: an escalation policy that services are known by was not read",
		}},
		{"a schedule's gap while the on-calls are not known", func(w *scene) {
			w.Unread = []coverage.Unread{{Kind: coverage.KindPolicy, ID: "PINFRA", Reason: "timed out"}}
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-12-06 08:00")
		}, []string{"warning schedule_gap schedule PPROD 2026-12-06 08:00/2026-12-07 08:00"}, []string{
			"* policy PINFRA: timed out",
			"user_unreachable user *: not all schedules and escalation policies were read",
			"inactive_user user *: not all schedules and escalation policies were read",
			"* service *: an escalation policy that services are known by was not read",
			"schedule_gap schedule PPROD: how severe its gaps are depends on an escalation policy that was not read",
		}},
		{"a gap that another policy makes critical, whatever one that is not known says", func(w *scene) {
			w.Policies["PELSE"] = &coverage.Policy{ID: "PELSE", Name: "else", Levels: w.Policies["PINFRA"].Levels[:1]}
			w.cfg.Policies = append(w.cfg.Policies, coverage.PolicyConfig{Name: "else"})
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-12-06 08:00")
			w.Unread = []coverage.Unread{{Kind: coverage.KindPolicy, ID: "PINFRA", Reason: "timed out"}}
		}, []string{
			"critical policy_gap policy PELSE 2026-12-06 08:00/2026-12-07 08:00",
			"critical schedule_gap schedule PPROD 2026-12-06 08:00/2026-12-07 08:00",
		}, []string{
			"* policy PINFRA: timed out",
			"user_unreachable user *: not all schedules and escalation policies were read",
			"inactive_user user *: not all schedules and escalation policies were read",
			"* service *: an escalation policy that services are known by was not read",
		}},
		{"a gap that a policy catches, and one that is not known uses it too", func(w *scene) {
			w.Policies["PELSE"] = &coverage.Policy{ID: "PELSE", Name: "else", Levels: w.Policies["PINFRA"].Levels[:1]}
			w.cfg.Policies = append(w.cfg.Policies, coverage.PolicyConfig{Name: "else"})
			w.cfg.Policies[0].MinPeople = 1
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-12-06 08:00")
			w.Unread = []coverage.Unread{{Kind: coverage.KindPolicy, ID: "PELSE", Reason: "timed out"}}
		}, []string{"warning schedule_gap schedule PPROD 2026-12-06 08:00/2026-12-07 08:00"}, []string{
			"* policy PELSE: timed out",
			"user_unreachable user *: not all schedules and escalation policies were read",
			"inactive_user user *: not all schedules and escalation policies were read",
			"schedule_gap schedule PPROD: how severe its gaps are depends on an escalation policy that was not read",
		}},
		{"a gap in a schedule that a policy does not use which is not known", func(w *scene) {
			w.Policies["PELSE"] = &coverage.Policy{ID: "PELSE", Name: "else"}
			w.cfg.Policies = append(w.cfg.Policies, coverage.PolicyConfig{Name: "else"})
			w.cfg.Policies[0].MinPeople = 1
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-12-06 08:00")
			w.Unread = []coverage.Unread{{Kind: coverage.KindPolicy, ID: "PELSE", Reason: "timed out"}}
		}, []string{"warning schedule_gap schedule PPROD 2026-12-06 08:00/2026-12-07 08:00"}, []string{
			"* policy PELSE: timed out",
			"user_unreachable user *: not all schedules and escalation policies were read",
			"inactive_user user *: not all schedules and escalation policies were read",
		}},
		{"a policy that has another name now, and the service that it alone told of", func(w *scene) {
			w.Policies, w.Services, w.OnCalls = nil, nil, nil
			w.Missing = []coverage.Missing{{Kind: coverage.KindPolicy, Name: "infra"}}
		}, []string{"warning not_found policy infra"}, []string{
			"* policy infra: it was not found",
			"user_unreachable user *: not all schedules and escalation policies were read",
			"inactive_user user *: not all schedules and escalation policies were read",
			"* service *: an escalation policy that services are known by was not read",
		}},
		{"the people", func(w *scene) {
			w.Unread = []coverage.Unread{{Kind: coverage.KindUser, Reason: "the token may not"}}
			w.Users = nil
		}, nil, []string{
			"* user *: the token may not",
			"policy_gap policy PINFRA: not all of its people were read, and some may have no account",
			"policy_nobody_now policy PINFRA: not all of its people were read, and some may have no account",
			"below_min_people policy PINFRA: not all of its people were read, and some may have no account",
			"same_person_on_levels policy PINFRA: not all of its people were read, and some may have no account",
			"schedule_gap schedule PPROD: not all of its people were read, and some may have no account",
			"overload schedule PPROD: not all of its people were read, and some may have no account",
			"below_min_engineers schedule PPROD: not all people assigned to it were read",
			"schedule_gap schedule PLEAD: not all of its people were read, and some may have no account",
			"overload schedule PLEAD: not all of its people were read, and some may have no account",
			"below_min_engineers schedule PLEAD: not all people assigned to it were read",
		}},
		{"one person", func(w *scene) {
			w.Unread = []coverage.Unread{{Kind: coverage.KindUser, ID: "UBEN", Reason: "timed out"}}
			w.Users["UBEN"].Contacts = nil
		}, nil, []string{
			"* user UBEN: timed out",
			"policy_gap policy PINFRA: not all of its people were read, and some may have no account",
			"policy_nobody_now policy PINFRA: not all of its people were read, and some may have no account",
			"below_min_people policy PINFRA: not all of its people were read, and some may have no account",
			"same_person_on_levels policy PINFRA: not all of its people were read, and some may have no account",
			"schedule_gap schedule PPROD: not all of its people were read, and some may have no account",
			"overload schedule PPROD: not all of its people were read, and some may have no account",
			"below_min_engineers schedule PPROD: not all people assigned to it were read",
		}},
		{"too few engineers, whoever they are", func(w *scene) {
			w.Unread = []coverage.Unread{{Kind: coverage.KindUser, ID: "UBEN", Reason: "timed out"}}
			w.cfg.Schedules[0].MinEngineers = 3
		}, []string{"critical below_min_engineers schedule PPROD"}, []string{
			"* user UBEN: timed out",
			"policy_gap policy PINFRA: not all of its people were read, and some may have no account",
			"policy_nobody_now policy PINFRA: not all of its people were read, and some may have no account",
			"below_min_people policy PINFRA: not all of its people were read, and some may have no account",
			"same_person_on_levels policy PINFRA: not all of its people were read, and some may have no account",
			"schedule_gap schedule PPROD: not all of its people were read, and some may have no account",
			"overload schedule PPROD: not all of its people were read, and some may have no account",
		}},
		{"a person who is known to have no account", func(w *scene) {
			w.Unread = []coverage.Unread{{Kind: coverage.KindUser, ID: "UBEN", Reason: "timed out"}}
			w.Users["UBEN"].Gone = true
			w.cfg.Policies[0].MinPeople, w.cfg.Schedules[0].MinEngineers = 1, 1
		}, []string{
			"warning schedule_gap schedule PPROD 2026-11-30 08:00/2026-12-07 08:00",
			"warning inactive_user user UBEN",
		}, []string{"* user UBEN: timed out"}},
		{"a person on another level than the gap", func(w *scene) {
			w.Unread = []coverage.Unread{{Kind: coverage.KindUser, ID: "UDAN", Reason: "timed out"}}
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-30 08:00")
			w.cfg.Policies[0].MinPeople, w.cfg.Schedules[1].MinEngineers = 1, 1
		}, []string{"warning schedule_gap schedule PPROD 2026-11-30 08:00/2026-12-07 08:00"}, []string{
			"* user UDAN: timed out",
			"policy_gap policy PINFRA: not all of its people were read, and some may have no account",
			"policy_nobody_now policy PINFRA: not all of its people were read, and some may have no account",
			"below_min_people policy PINFRA: not all of its people were read, and some may have no account",
			"same_person_on_levels policy PINFRA: not all of its people were read, and some may have no account",
			"schedule_gap schedule PPROD: not all of its people were read, and some may have no account",
			"schedule_gap schedule PLEAD: not all of its people were read, and some may have no account",
			"overload schedule PLEAD: not all of its people were read, and some may have no account",
			"below_min_engineers schedule PLEAD: not all people assigned to it were read",
		}},
		{"somebody's contact methods", func(w *scene) {
			w.Unread = []coverage.Unread{{Check: coverage.UserUnreachable, Kind: coverage.KindUser, ID: "UBEN", Reason: "they are hidden"}}
			w.Users["UBEN"].Contacts = nil
		}, nil, []string{"user_unreachable user UBEN: they are hidden"}},
		{"a person that nothing speaks of", func(w *scene) {
			delete(w.Users, "UBEN")
		}, nil, []string{"* user UBEN: nothing was read of this person"}},
		{"the services", func(w *scene) {
			w.Unread = []coverage.Unread{{Kind: coverage.KindService, Reason: "timed out"}}
			w.Services["PCORE"].Status = "disabled"
		}, nil, []string{
			"* service *: timed out",
			"escalation_ladder_differs policy PINFRA: which policy its services use was not read of all",
		}},
		{"a service, of a policy whose levels differ", func(w *scene) {
			w.Unread = []coverage.Unread{{Kind: coverage.KindService, ID: "PELSE", Reason: "timed out"}}
			w.cfg.Policies[0].Levels = w.cfg.Policies[0].Levels[:1]
		}, []string{"warning escalation_ladder_differs policy PINFRA"}, []string{
			"* service PELSE: timed out",
			"escalation_ladder_differs policy PINFRA: which policy its services use was not read of all",
		}},
		{"the services, of a policy that names none", func(w *scene) {
			w.Unread = []coverage.Unread{{Kind: coverage.KindService, Reason: "timed out"}}
			w.cfg.Policies[0].Services = nil
		}, nil, []string{"* service *: timed out"}},
		{"the maintenance windows, of a service that is disabled", func(w *scene) {
			w.Unread = []coverage.Unread{{Check: coverage.ServiceInMaintenance, Kind: coverage.KindService, Reason: "403"}}
			w.Services["PCORE"].Status = "disabled"
		}, []string{"critical service_disabled service PCORE"}, []string{"service_in_maintenance service *: 403"}},
		{"a service that is not joined", func(w *scene) {
			w.Services["PCORE"].Relays, w.Services["PCORE"].Status = nil, "disabled"
		}, nil, []string{
			"* service infra-core: PagerDuty's service behind it is not known; give its id in coverage.services.ids",
			"* service PCORE: it may be paged by pagerelay's service infra-core",
		}},
		{"an urgency rule", func(w *scene) {
			w.Services["PCORE"].Urgency = ""
		}, nil, []string{"urgency_rule_ignores_severity service PCORE: its urgency rule was not read"}},
		{"what is not there by that name", func(w *scene) {
			delete(w.Schedules, "PPROD")
			w.Missing = []coverage.Missing{{Kind: coverage.KindSchedule, Name: "prod-monitoring"}}
		}, []string{"warning not_found schedule prod-monitoring"}, []string{
			"* schedule prod-monitoring: it was not found",
			"user_unreachable user *: not all schedules and escalation policies were read",
			"inactive_user user *: not all schedules and escalation policies were read",
			"predicted_collision user *: not all schedules and escalation policies were read",
		}},
		{"a name that two bear", func(w *scene) {
			w.Schedules["PLEAD"].Name = "prod-monitoring"
			w.cfg.Policies[0].Levels = nil
		}, nil, []string{
			"* schedule prod-monitoring: it was not read",
			"user_unreachable user *: not all schedules and escalation policies were read",
			"inactive_user user *: not all schedules and escalation policies were read",
			"predicted_collision user *: not all schedules and escalation policies were read",
		}},
		{"a shift of somebody who was deleted", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-30 08:00", " 2026-11-30 08:00/2026-12-07 08:00")
			w.cfg.Policies[0].MinPeople = 1
		}, []string{"warning schedule_gap schedule PPROD 2026-11-30 08:00/2026-12-07 08:00"}, nil},
		{"a snapshot that is too old", func(w *scene) { w.now = w.Window.End }, nil, []string{
			"* * *: what was read of PagerDuty is not about this time",
		}},
		{"no snapshot", func(w *scene) { w.Snapshot = nil }, nil, []string{"* * *: nothing was read of PagerDuty yet"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := healthy()
			tc.change(w)
			r := w.check()
			if diff := cmp.Diff(tc.findings, showAll(r)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.unknown, showUnknown(r)); diff != "" {
				t.Errorf("unknown (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNothingReadIsNothingSaid: whatever is not read, no check finds something that
// it would not find otherwise, and none of it is called judged.
func TestNothingReadIsNothingSaid(t *testing.T) {
	for _, tc := range checkCases() {
		w := healthy()
		tc.change(w)
		for _, f := range w.check().Findings {
			if f.Check == coverage.NotFound {
				continue // of what is not there nothing can be unread.
			}
			t.Run(tc.name+"/"+string(f.Check), func(t *testing.T) {
				w := healthy()
				tc.change(w)
				w.Unread = []coverage.Unread{{Kind: f.Subject.Kind, ID: f.Subject.ID, Reason: "timed out"}}
				if f.Subject.Kind == coverage.KindUser && f.Check == coverage.PredictedCollision {
					w.Unread[0] = coverage.Unread{Kind: coverage.KindSchedule, ID: "PPROD", Reason: "timed out"}
				}
				if f.Check == coverage.InactiveUser {
					delete(w.Users, f.Subject.ID)
				}
				r := w.check()
				for _, line := range showAll(r) {
					if strings.HasPrefix(line, string(f.Severity)+" "+string(f.Check)+" "+string(f.Subject.Kind)+" "+f.Subject.ID) {
						t.Errorf("got %s of what was not read", line)
					}
				}
				if r.Judged(f.Check, f.Subject) {
					t.Errorf("got %s of %s judged, want not", f.Check, f.Subject.ID)
				}
			})
		}
	}
}

func TestJudged(t *testing.T) {
	r := coverage.Result{Unknown: []coverage.Unknown{
		{Key: coverage.Key{Kind: coverage.KindSchedule, ID: "PONE"}},
		{Key: coverage.Key{Check: coverage.InactiveUser, Kind: coverage.KindUser}},
		{Key: coverage.Key{Kind: coverage.KindPolicy, ID: "infra"}},
	}}
	for _, tc := range []struct {
		check   coverage.CheckID
		subject coverage.Subject
		want    bool
	}{
		{coverage.ScheduleGap, withID(coverage.KindSchedule, "PONE"), false},
		{coverage.ScheduleGap, withID(coverage.KindSchedule, "PTWO"), true},
		{coverage.ScheduleGap, withID(coverage.KindPolicy, "PONE"), true},
		{coverage.InactiveUser, withID(coverage.KindUser, "U"), false},
		{coverage.UserUnreachable, withID(coverage.KindUser, "U"), true},
		{coverage.PolicyGap, coverage.Subject{Kind: coverage.KindPolicy, ID: "PINFRA", Name: "infra"}, false},
		{coverage.PolicyGap, coverage.Subject{Kind: coverage.KindPolicy, ID: "PINFRA", Name: "web"}, true},
	} {
		if got := r.Judged(tc.check, tc.subject); got != tc.want {
			t.Errorf("%s of %v: got %v, want %v", tc.check, tc.subject, got, tc.want)
		}
	}
	all := coverage.Result{Unknown: []coverage.Unknown{{}}}
	if all.Judged(coverage.PolicyGap, withID(coverage.KindPolicy, "P")) {
		t.Error("got judged where nothing is known, want not")
	}
}

// TestWindow: nothing is said of times that were not read, nor of those beyond the
// horizon, and a snapshot is judged by the time that it is.
func TestWindow(t *testing.T) {
	w := healthy()
	w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-12-01 08:00")
	w.cfg.Policies[0].MinPeople = 1
	w.now = instant("2026-11-25 08:00") // the snapshot ends with day 12 of 14.
	want := []string{"warning schedule_gap schedule PPROD 2026-12-01 08:00/2026-12-07 08:00"}
	if diff := cmp.Diff(want, showAll(w.check())); diff != "" {
		t.Errorf("two days later (-want +got):\n%s", diff)
	}
	w.cfg.Horizon /= 2
	want = []string{"warning schedule_gap schedule PPROD 2026-12-01 08:00/2026-12-02 08:00"}
	if diff := cmp.Diff(want, showAll(w.check())); diff != "" {
		t.Errorf("half the horizon (-want +got):\n%s", diff)
	}
	w.now = w.Window.Start.Add(-time.Hour)
	if got := w.check().Cover[0].Window.Start; !got.Equal(w.Window.Start) {
		t.Errorf("start before what was read: got %v, want %v", got, w.Window.Start)
	}
}
