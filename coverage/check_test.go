package coverage_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/coverage"
)

var update = flag.Bool("update", false, "write what findings say to testdata")

// checkCases change one thing each in a scene with nothing wrong in it.
func checkCases() []struct {
	name   string
	change func(w *scene)
	want   []string
} {
	ladder := []coverage.LevelConfig{
		{Targets: []string{"prod-monitoring"}, EscalateAfter: model.Duration(15 * time.Minute)},
		{Targets: []string{"infra-lead"}},
	}
	return []struct {
		name   string
		change func(w *scene)
		want   []string
	}{
		{"nothing", func(*scene) {}, nil},

		{"schedule gap that the next level catches", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-27 17:00", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
		}, []string{
			"warning schedule_gap schedule PPROD 2026-11-27 17:00/2026-11-30 08:00",
			"warning below_min_people policy PINFRA 2026-11-27 17:00/2026-11-30 08:00",
		}},
		{"schedule gap without a policy that is audited", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-30 07:58:59", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
			w.cfg.Policies = nil
		}, []string{"critical schedule_gap schedule PPROD 2026-11-30 07:58:59/2026-11-30 08:00"}},
		{"gap shorter than what counts", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-30 07:59:01", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
		}, nil},
		{"gap as long as what counts", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-30 07:59", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
			w.cfg.Policies[0].MinPeople = 1
		}, []string{"warning schedule_gap schedule PPROD 2026-11-30 07:59/2026-11-30 08:00"}},
		{"gap on all levels", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-27 17:00", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
			w.shifts("PLEAD", "UCAT 2026-11-22 08:00/2026-11-28 08:00", "UDAN 2026-11-29 08:00/2026-12-07 08:00")
		}, []string{
			"critical policy_gap policy PINFRA 2026-11-28 08:00/2026-11-29 08:00",
			"critical schedule_gap schedule PLEAD 2026-11-28 08:00/2026-11-29 08:00",
			"critical schedule_gap schedule PPROD 2026-11-27 17:00/2026-11-30 08:00",
			"warning below_min_people policy PINFRA 2026-11-27 17:00/2026-11-30 08:00",
		}},
		{"gap on all levels, where one person is enough", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-12-01 08:00")
			w.shifts("PLEAD", "UCAT 2026-11-22 08:00/2026-12-01 08:00")
			w.cfg.Policies[0].MinPeople, w.cfg.Schedules = 0, nil
		}, []string{"critical policy_gap policy PINFRA 2026-12-01 08:00/2026-12-07 08:00"}},
		{"somebody on the policy for good", func(w *scene) {
			w.shifts("PPROD")
			w.shifts("PLEAD")
			w.Policies["PINFRA"].Levels = append(w.Policies["PINFRA"].Levels, coverage.Level{
				Targets: []coverage.Target{{Kind: coverage.KindUser, ID: "UANN", Name: "Ann"}},
			})
			w.OnCalls = append(w.OnCalls, coverage.OnCall{Policy: "PINFRA", Level: 3, User: "UANN"})
			w.cfg.Policies[0].MinPeople, w.cfg.Policies[0].Levels = 1, nil
		}, []string{
			"warning schedule_gap schedule PLEAD 2026-11-22 08:00/2026-12-07 08:00",
			"warning schedule_gap schedule PPROD 2026-11-22 08:00/2026-12-07 08:00",
		}},
		{"nobody now, since yesterday", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-22 20:00", "UBEN 2026-11-23 08:00:30/2026-12-07 08:00")
			w.shifts("PLEAD", "UCAT 2026-11-23 08:00:30/2026-11-30 08:00", "UDAN 2026-11-30 08:00/2026-12-07 08:00")
		}, []string{
			"critical policy_gap policy PINFRA 2026-11-22 20:00/2026-11-23 08:00:30",
			"critical policy_nobody_now policy PINFRA 2026-11-22 20:00/2026-11-23 08:00:30",
			"critical schedule_gap schedule PLEAD 2026-11-22 08:00/2026-11-23 08:00:30",
			"critical schedule_gap schedule PPROD 2026-11-22 20:00/2026-11-23 08:00:30",
			"warning below_min_people policy PINFRA 2026-11-22 08:00/2026-11-23 08:00:30",
		}},
		{"nobody in a schedule, and on its policy no more", func(w *scene) {
			w.shifts("PPROD", "UBEN 2026-11-24 08:00/2026-12-07 08:00")
			w.shifts("PLEAD", "UCAT 2026-11-22 20:00/2026-11-30 08:00", "UDAN 2026-11-30 08:00/2026-12-07 08:00")
			w.cfg.Policies[0].MinPeople = 1
		}, []string{"warning schedule_gap schedule PPROD 2026-11-22 08:00/2026-11-24 08:00"}},
		{"nobody at hours that are not required", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-27 17:00", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
			w.shifts("PLEAD", "UCAT 2026-11-22 08:00/2026-11-27 17:00", "UDAN 2026-11-30 08:00/2026-12-07 08:00")
			w.cfg.TimeIntervals = weekdays()
			w.cfg.Schedules[0].Required = []string{"weekdays"}
			w.cfg.Schedules[1].Required = []string{"weekdays"}
			w.cfg.Policies[0].Required = []string{"weekdays"}
		}, []string{
			"critical policy_gap policy PINFRA 2026-11-27 17:00/2026-11-28 00:00 2026-11-30 00:00/2026-11-30 08:00",
			"critical schedule_gap schedule PLEAD 2026-11-27 17:00/2026-11-28 00:00 2026-11-30 00:00/2026-11-30 08:00",
			"critical schedule_gap schedule PPROD 2026-11-27 17:00/2026-11-28 00:00 2026-11-30 00:00/2026-11-30 08:00",
			"warning below_min_people policy PINFRA 2026-11-27 17:00/2026-11-28 00:00 2026-11-30 00:00/2026-11-30 08:00",
		}},
		{"one engineer", func(w *scene) {
			w.Schedules["PPROD"].Engineers = []string{"UANN", "UANN"}
			w.cfg.Schedules[0].Mute = []string{"overload"}
		}, []string{"critical below_min_engineers schedule PPROD"}},
		{"fewer engineers than are asked for", func(w *scene) {
			w.cfg.Schedules[0].MinEngineers = 3
		}, []string{"critical below_min_engineers schedule PPROD"}},
		{"no engineers", func(w *scene) {
			w.Schedules["PPROD"].Engineers = nil
		}, []string{"critical below_min_engineers schedule PPROD"}},
		{"an engineer without an account", func(w *scene) {
			w.Users["UBEN"].Gone = true
		}, []string{
			"critical below_min_engineers schedule PPROD",
			"warning schedule_gap schedule PPROD 2026-11-30 08:00/2026-12-07 08:00",
			"warning below_min_people policy PINFRA 2026-11-30 08:00/2026-12-07 08:00",
			"warning inactive_user user UBEN",
		}},
		{"people whom the token may not read", func(w *scene) {
			w.Unread = []coverage.Unread{
				{Kind: coverage.KindUser, ID: "UANN", Reason: "403", Denied: true},
				{Check: coverage.UserUnreachable, Kind: coverage.KindUser, ID: "UBEN", Reason: "hidden", Denied: true},
				{Kind: coverage.KindUser, ID: "UCAT", Reason: "503"},
			}
		}, []string{"warning people_unreadable user people"}},
		{"a shift of somebody who was deleted", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-30 08:00", " 2026-11-30 08:00/2026-12-07 08:00")
			w.cfg.Policies[0].MinPeople = 1
		}, []string{"warning schedule_gap schedule PPROD 2026-11-30 08:00/2026-12-07 08:00"}},
		{"an empty member", func(w *scene) {
			w.shifts("PLEAD", "UCAT 2026-11-22 08:00/2026-11-30 08:00", "UDAN 2026-12-01 08:00/2026-12-07 08:00")
			w.Schedules["PLEAD"].Empty = []coverage.Span{span("2026-11-30 08:00/2026-12-01 08:00")}
			w.cfg.Policies[0].MinPeople = 1
		}, []string{
			"warning schedule_gap schedule PLEAD 2026-11-30 08:00/2026-12-01 08:00",
			"warning empty_member schedule PLEAD 2026-11-30 08:00/2026-12-01 08:00",
		}},
		{"an empty member beside somebody", func(w *scene) {
			w.Schedules["PLEAD"].Empty = []coverage.Span{span("2026-11-30 08:00/2026-12-01 08:00")}
		}, []string{"warning empty_member schedule PLEAD 2026-11-30 08:00/2026-12-01 08:00"}},
		{"the same person on both levels", func(w *scene) {
			w.shifts("PLEAD", "UCAT 2026-11-22 08:00/2026-11-29 08:00", "UANN 2026-11-29 08:00/2026-12-02 08:00", "UDAN 2026-12-02 08:00/2026-12-07 08:00")
			w.cfg.Policies[0].MinPeople = 1
		}, []string{
			"warning same_person_on_levels policy PINFRA 2026-11-29 08:00/2026-11-30 08:00",
			"warning predicted_collision user UANN 2026-11-29 08:00/2026-11-30 08:00",
		}},
		{"the first person again on the third level", func(w *scene) {
			w.OnCalls = append(w.OnCalls, coverage.OnCall{Span: span("2026-11-24 08:00/2026-12-01 08:00"), Policy: "PINFRA", Level: 3, User: "UANN"})
		}, []string{"warning same_person_on_levels policy PINFRA 2026-11-24 08:00/2026-11-30 08:00"}},
		{"the same person on both levels, and somebody else", func(w *scene) {
			w.shifts("PLEAD", "UCAT 2026-11-22 08:00/2026-11-30 08:00", "UDAN 2026-11-30 08:00/2026-12-07 08:00", "UANN 2026-11-22 08:00/2026-11-30 08:00")
			w.cfg.Schedules[1].Mute = []string{"predicted_collision"}
		}, nil},
		{"levels that change places at the same moment", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-30 08:00", "UCAT 2026-11-30 08:00/2026-12-07 08:00")
			w.shifts("PLEAD", "UCAT 2026-11-22 08:00/2026-11-30 08:00", "UANN 2026-11-30 08:00/2026-12-07 08:00")
		}, nil},
		{"somebody without a phone", func(w *scene) {
			w.Users["UANN"].Contacts[0].Type = "email"
		}, []string{"warning user_unreachable user UANN 2026-11-23 08:00/2026-11-30 08:00"}},
		{"somebody with a blocked phone", func(w *scene) {
			w.Users["UANN"].Contacts[0].Blocked = true
		}, []string{"critical user_unreachable user UANN 2026-11-23 08:00/2026-11-30 08:00"}},
		{"somebody unreachable and no profile", func(w *scene) {
			w.Users["UANN"].Contacts[0].Blocked = true
			w.cfg.People.Profile = ""
		}, []string{"critical user_unreachable user UANN 2026-11-23 08:00/2026-11-30 08:00"}},
		{"somebody with a rule for low urgency alone and no profile", func(w *scene) {
			w.Users["UANN"].Rules[0].Urgency = "low"
			w.cfg.People.Profile = ""
		}, []string{"critical user_unreachable user UANN 2026-11-23 08:00/2026-11-30 08:00"}},
		{"somebody with email alone and no profile", func(w *scene) {
			w.Users["UANN"].Contacts[0].Type = "email"
			w.cfg.People.Profile = ""
		}, nil},
		{"somebody unreachable who is not on call, and no profile", func(w *scene) {
			w.Users["UEVE"] = &coverage.User{ID: "UEVE", Name: "Eve"}
			w.Schedules["PPROD"].Engineers = append(w.Schedules["PPROD"].Engineers, "UEVE")
			w.cfg.People.Profile = ""
		}, nil},
		{"nobody, on a policy of one level", func(w *scene) {
			w.Policies["PINFRA"].Levels = w.Policies["PINFRA"].Levels[:1]
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-12-01 08:00")
			w.OnCalls = w.OnCalls[len(w.OnCalls)-1:]
			w.cfg.Schedules, w.cfg.Policies[0].Levels, w.cfg.Policies[0].MinPeople = nil, nil, 1
		}, []string{"critical policy_gap policy PINFRA 2026-12-01 08:00/2026-12-07 08:00"}},
		{"nobody, on a policy of no level", func(w *scene) {
			w.Policies["PINFRA"].Levels, w.OnCalls = nil, nil
			w.cfg.Schedules, w.cfg.Policies[0].Levels, w.cfg.Policies[0].MinPeople = nil, nil, 1
		}, []string{
			"critical policy_gap policy PINFRA 2026-11-22 08:00/2026-12-07 08:00",
			"critical policy_nobody_now policy PINFRA 2026-11-22 08:00/2026-12-07 08:00",
		}},
		{"somebody unreachable who is not on call", func(w *scene) {
			w.Users["UEVE"] = &coverage.User{ID: "UEVE", Name: "Eve"}
			w.Schedules["PPROD"].Engineers = append(w.Schedules["PPROD"].Engineers, "UEVE")
		}, nil},
		{"somebody on call for 14 days", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-12-01 08:00", "UANN 2026-12-01 08:00/2026-12-07 08:00")
		}, []string{"info overload schedule PPROD 2026-11-23 08:00/2026-12-07 08:00"}},
		{"somebody on call for most of the time", func(w *scene) {
			w.Schedules["PPROD"].Engineers = []string{"UANN", "UBEN", "UEVE"}
			w.Users["UEVE"] = &coverage.User{ID: "UEVE", Name: "Eve"}
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-27 08:00", "UBEN 2026-11-27 08:00/2026-11-28 08:00",
				"UANN 2026-11-28 08:00/2026-12-02 08:00", "UBEN 2026-12-02 08:00/2026-12-03 08:00", "UANN 2026-12-03 08:00/2026-12-07 08:00")
		}, []string{"info overload schedule PPROD 2026-11-23 08:00/2026-11-27 08:00 2026-11-28 08:00/2026-12-02 08:00 2026-12-03 08:00/2026-12-07 08:00"}},
		{"a week of each of many", func(w *scene) {
			for _, id := range []string{"UEVE", "UFAY", "UGUS", "UHAL"} {
				w.Schedules["PPROD"].Engineers = append(w.Schedules["PPROD"].Engineers, id)
				w.Users[id] = &coverage.User{ID: id, Name: id}
			}
		}, nil},
		{"layers that end", func(w *scene) {
			w.Schedules["PPROD"].Layers = []coverage.Layer{
				{Name: "holidays", End: instant("2026-12-06 23:00")},
				{Name: "days", End: instant("2026-12-01 08:00")},
				{Name: "over", End: instant("2026-11-23 08:00")},
				{Name: "long", End: instant("2026-12-07 08:00")},
			}
		}, []string{"info layer_ends_soon schedule PPROD 2026-12-01 08:00/2026-12-07 08:00"}},
		{"a layer that ends, and a gap after it", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-30 08:00", "UBEN 2026-11-30 08:00/2026-12-06 08:00")
			w.Schedules["PPROD"].Layers = []coverage.Layer{{Name: "days", End: instant("2026-12-06 08:00")}}
			w.cfg.Policies[0].MinPeople = 1
		}, []string{
			"warning schedule_gap schedule PPROD 2026-12-06 08:00/2026-12-07 08:00",
			"warning layer_ends_soon schedule PPROD 2026-12-06 08:00/2026-12-07 08:00",
		}},
		{"a layer that ends after the only gap", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-30 08:00", "UBEN 2026-11-30 09:00/2026-12-07 08:00")
			w.Schedules["PPROD"].Layers = []coverage.Layer{{Name: "days", End: instant("2026-11-30 09:00")}}
			w.cfg.Policies[0].MinPeople = 1
		}, []string{
			"warning schedule_gap schedule PPROD 2026-11-30 08:00/2026-11-30 09:00",
			"info layer_ends_soon schedule PPROD 2026-11-30 09:00/2026-12-07 08:00",
		}},
		{"a level too many", func(w *scene) {
			w.cfg.Policies[0].Levels = ladder[:1]
		}, []string{"warning escalation_ladder_differs policy PINFRA"}},
		{"a level too few", func(w *scene) {
			w.cfg.Policies[0].Levels = append(slices.Clone(ladder), coverage.LevelConfig{Targets: []string{"cto", "Eve"}})
		}, []string{"warning escalation_ladder_differs policy PINFRA"}},
		{"levels in another order", func(w *scene) {
			w.cfg.Policies[0].Levels = []coverage.LevelConfig{ladder[1], ladder[0]}
		}, []string{"warning escalation_ladder_differs policy PINFRA"}},
		{"another delay", func(w *scene) {
			w.Policies["PINFRA"].Levels[0].EscalateAfter = 10 * time.Minute
		}, []string{"warning escalation_ladder_differs policy PINFRA"}},
		{"another target beside the right one", func(w *scene) {
			w.Policies["PINFRA"].Levels[0].Targets = append(w.Policies["PINFRA"].Levels[0].Targets,
				coverage.Target{Kind: coverage.KindUser, ID: "UDAN", Name: "Dan"})
		}, []string{"warning escalation_ladder_differs policy PINFRA"}},
		{"targets by their ids", func(w *scene) {
			w.cfg.Policies[0].Levels = []coverage.LevelConfig{{Targets: []string{"PPROD"}}, {Targets: []string{"PLEAD"}}}
		}, nil},
		{"a service that uses another policy", func(w *scene) {
			w.Services["PCORE"].Policy = "PELSE"
		}, []string{"warning escalation_ladder_differs policy PINFRA"}},
		{"a service that pages two policies", func(w *scene) {
			w.Policies["PELSE"] = &coverage.Policy{ID: "PELSE", Name: "else"}
			w.OnCalls = append(w.OnCalls, coverage.OnCall{Policy: "PELSE", Level: 1, User: "UANN"})
			w.cfg.Policies = append(w.cfg.Policies, coverage.PolicyConfig{Name: "else", Services: []string{"infra-core"}})
			w.Services["PELSE"] = &coverage.Service{ID: "PELSE", Policy: "PELSE", Status: "active", Urgency: "severity_based", Relays: []string{"infra-core"}}
		}, nil},
		{"urgency always high", func(w *scene) {
			w.Services["PCORE"].Urgency = "high"
		}, []string{"warning urgency_rule_ignores_severity service PCORE"}},
		{"urgency always low", func(w *scene) {
			w.Services["PCORE"].Urgency = "low"
		}, []string{"critical urgency_rule_ignores_severity service PCORE"}},
		{"urgency by the time of day", func(w *scene) {
			w.Services["PCORE"].Urgency, w.Services["PCORE"].Outside = "high", "low"
		}, []string{"critical urgency_rule_ignores_severity service PCORE"}},
		{"urgency low outside support hours, else by severity", func(w *scene) {
			w.Services["PCORE"].Outside = "low"
		}, []string{"critical urgency_rule_ignores_severity service PCORE"}},
		{"urgency low in support hours", func(w *scene) {
			w.Services["PCORE"].Urgency, w.Services["PCORE"].Outside = "low", "severity_based"
		}, []string{"critical urgency_rule_ignores_severity service PCORE"}},
		{"urgency high outside support hours, else by severity", func(w *scene) {
			w.Services["PCORE"].Outside = "high"
		}, []string{"warning urgency_rule_ignores_severity service PCORE"}},
		{"a disabled service", func(w *scene) {
			w.Services["PCORE"].Status = "disabled"
		}, []string{"critical service_disabled service PCORE"}},
		{"a disabled service that pagerelay does not page", func(w *scene) {
			w.Services["PELSE"] = &coverage.Service{ID: "PELSE", Name: "Else", Status: "disabled", Policy: "PINFRA"}
		}, nil},
		{"maintenance now", func(w *scene) {
			w.Services["PCORE"].Status = "maintenance"
			w.Services["PCORE"].Maintenance = []coverage.Span{span("2026-11-23 07:00/2026-11-23 09:00")}
		}, []string{"warning service_in_maintenance service PCORE 2026-11-23 08:00/2026-11-23 09:00"}},
		{"maintenance to come", func(w *scene) {
			w.Services["PCORE"].Maintenance = []coverage.Span{span("2026-11-24 07:00/2026-11-24 09:00"), span("2027-11-24 07:00/2027-11-24 09:00")}
		}, []string{"info service_in_maintenance service PCORE 2026-11-24 07:00/2026-11-24 09:00"}},
		{"maintenance without a window", func(w *scene) {
			w.Services["PCORE"].Status = "maintenance"
		}, []string{"warning service_in_maintenance service PCORE"}},
		{"maintenance that is over since it was read", func(w *scene) {
			w.Services["PCORE"].Status = "maintenance"
			w.Services["PCORE"].Maintenance = []coverage.Span{span("2026-11-23 07:00/2026-11-23 08:00")}
		}, nil},
		{"a schedule that nothing uses", func(w *scene) {
			w.Schedules["PPROD"].Policies = nil
			w.Policies["PINFRA"].Levels = w.Policies["PINFRA"].Levels[1:]
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-30 08:00", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
			w.shifts("PLEAD", "UCAT 2026-11-22 08:00/2026-11-30 08:00", "UDAN 2026-11-30 08:00/2026-12-07 08:00")
			w.cfg.Policies[0].Levels, w.cfg.Policies[0].MinPeople = nil, 1
		}, []string{"warning schedule_unused schedule PPROD"}},
		{"a schedule that is not there", func(w *scene) {
			w.cfg.Schedules = append(w.cfg.Schedules, coverage.ScheduleConfig{Name: "gone"})
			w.Missing = []coverage.Missing{{Kind: coverage.KindSchedule, Name: "gone"}}
		}, []string{"warning not_found schedule gone"}},
		{"a policy whose name is not its own", func(w *scene) {
			w.cfg.Policies = append(w.cfg.Policies, coverage.PolicyConfig{Name: "web"})
			w.Missing = []coverage.Missing{{Kind: coverage.KindPolicy, Name: "web", Same: []string{"PWEB1", "PWEB2"}}}
		}, []string{"warning not_found policy web"}},
		{"a gap in a schedule whose policy does not list it", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-30 08:00")
			w.Policies["PINFRA"].Levels = nil
			w.cfg.Policies[0].Levels, w.cfg.Policies[0].MinPeople = nil, 1
		}, []string{"warning schedule_gap schedule PPROD 2026-11-30 08:00/2026-12-07 08:00"}},
		{"a gap in a schedule that does not list its policy", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-30 08:00")
			w.Schedules["PPROD"].Policies = nil
			w.cfg.Policies[0].MinPeople = 1
		}, []string{"warning schedule_gap schedule PPROD 2026-11-30 08:00/2026-12-07 08:00"}},
		{"schedules that a policy uses which was not asked for", func(w *scene) {
			w.cfg.Policies, w.Policies, w.OnCalls = nil, nil, nil
		}, nil},
		{"somebody on call for a little more than a fair share", func(w *scene) {
			w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-27 08:00", "UBEN 2026-11-27 08:00/2026-11-30 08:00",
				"UANN 2026-11-30 08:00/2026-12-05 08:00", "UBEN 2026-12-05 08:00/2026-12-07 08:00")
			w.shifts("PLEAD", "UCAT 2026-11-22 08:00/2026-11-24 08:00", "UDAN 2026-11-24 08:00/2026-11-25 08:00",
				"UCAT 2026-11-25 08:00/2026-11-27 08:00", "UDAN 2026-11-27 08:00/2026-11-28 08:00",
				"UCAT 2026-11-28 08:00/2026-11-30 08:00", "UDAN 2026-11-30 08:00/2026-12-01 08:00",
				"UCAT 2026-12-01 08:00/2026-12-03 08:00", "UDAN 2026-12-03 08:00/2026-12-04 08:00",
				"UCAT 2026-12-04 08:00/2026-12-06 08:00", "UCAT 2026-12-06 08:00/2026-12-07 08:00")
		}, nil},
		{"a disabled service of a policy that mutes it", func(w *scene) {
			w.Services["PCORE"].Status = "disabled"
			w.cfg.Policies[0].Services, w.cfg.Policies[0].Mute = nil, []string{"service_disabled"}
		}, nil},
		{"two schedules at once and an empty member, at hours that are not required", func(w *scene) {
			w.shifts("PLEAD", "UCAT 2026-11-22 08:00/2026-11-29 08:00", "UANN 2026-11-29 08:00/2026-11-30 08:00", "UDAN 2026-11-30 08:00/2026-12-07 08:00")
			w.Schedules["PLEAD"].Empty = []coverage.Span{span("2026-11-28 08:00/2026-11-30 08:00")}
			w.cfg.TimeIntervals = weekdays()
			w.cfg.Schedules[1].Required = []string{"weekdays"}
			w.cfg.Policies = nil
		}, []string{
			"warning empty_member schedule PLEAD 2026-11-30 00:00/2026-11-30 08:00",
			"warning predicted_collision user UANN 2026-11-30 00:00/2026-11-30 08:00",
		}},
		{"the same schedule by name and id", func(w *scene) {
			w.cfg.Schedules[0].MinEngineers = 4
			w.cfg.Schedules = append(w.cfg.Schedules, coverage.ScheduleConfig{Name: "PPROD", MinEngineers: 3})
		}, []string{"critical below_min_engineers schedule PPROD"}},
	}
}

func weekdays() []coverage.TimeInterval {
	return intervals("[{name: weekdays, time_intervals: [{weekdays: ['monday:friday']}]}]")
}

func TestCheck(t *testing.T) {
	found := map[coverage.CheckID]bool{}
	for _, tc := range checkCases() {
		t.Run(tc.name, func(t *testing.T) {
			w := healthy()
			tc.change(w)
			if err := w.cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			r := w.check()
			if diff := cmp.Diff(tc.want, showAll(r)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			for _, f := range r.Findings {
				found[f.Check] = true
			}
			if again := w.check(); !cmp.Equal(r, again) {
				t.Error("got another result the second time, want the same")
			}
		})
	}
	for _, c := range coverage.Checks() {
		if !found[c] {
			t.Errorf("no case finds %s", c)
		}
	}
}

// TestTexts holds what findings say to a file, to be read by people.
func TestTexts(t *testing.T) {
	var b strings.Builder
	for _, tc := range checkCases() {
		w := healthy()
		tc.change(w)
		b.WriteString("# " + tc.name + "\n")
		for _, f := range w.check().Findings {
			b.WriteString(string(f.Check) + ": " + f.Text + "\n")
		}
	}
	const path = "testdata/findings.txt"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("texts (-want +got); -update writes them:\n%s", diff)
	}
}

// TestMute mutes every finding of every case in each list of mutes: it is taken away
// by those that the validation accepts for its check, and they alone.
func TestMute(t *testing.T) {
	lists := []struct {
		name  string
		kinds []coverage.Kind // of what it mutes.
		mute  func(c *coverage.Config, check string)
	}{
		{"schedules", []coverage.Kind{coverage.KindSchedule, coverage.KindUser}, func(c *coverage.Config, check string) {
			for i := range c.Schedules {
				c.Schedules[i].Mute = append(c.Schedules[i].Mute, check)
			}
		}},
		{"escalation_policies", []coverage.Kind{coverage.KindPolicy, coverage.KindService}, func(c *coverage.Config, check string) {
			for i := range c.Policies {
				c.Policies[i].Mute = append(c.Policies[i].Mute, check)
			}
		}},
		{"people", []coverage.Kind{coverage.KindUser}, func(c *coverage.Config, check string) { c.People.Mute = append(c.People.Mute, check) }},
		{"services", []coverage.Kind{coverage.KindService}, func(c *coverage.Config, check string) { c.Services.Mute = append(c.Services.Mute, check) }},
	}
	for _, tc := range checkCases() {
		w := healthy()
		tc.change(w)
		for _, f := range w.check().Findings {
			muted := 0
			for _, list := range lists {
				t.Run(tc.name+"/"+string(f.Check)+"/"+list.name, func(t *testing.T) {
					w := healthy()
					tc.change(w)
					check := string(f.Check)
					list.mute(&w.cfg, check)
					want := tc.want
					switch err := w.cfg.Validate(); {
					case err != nil && !strings.Contains(err.Error(), check+" is not muted here; move it to "):
						t.Fatal(err)
					case err == nil && slices.Contains(list.kinds, f.Subject.Kind):
						want = slices.DeleteFunc(slices.Clone(tc.want), func(line string) bool {
							return strings.Contains(line, " "+check+" "+string(f.Subject.Kind)+" ")
						})
						if len(want) == len(tc.want) {
							t.Fatal("the case does not tell the finding from others")
						}
						muted++
					}
					if diff := cmp.Diff(want, showAll(w.check())); diff != "" && len(want)+len(w.check().Findings) > 0 {
						t.Errorf("findings (-want +got):\n%s", diff)
					}
				})
			}
			if muted == 0 {
				t.Errorf("%s: nothing mutes %s", tc.name, f.Check)
			}
		}
	}
}
