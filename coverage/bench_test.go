package coverage_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/coverage"
)

// BenchmarkCheck1000Schedules90Days3Levels judges 1,000 schedules of daily turns on
// 333 policies of three levels, half of them at office hours only, for 90 days.
func BenchmarkCheck1000Schedules90Days3Levels(b *testing.B) {
	for _, bench := range []struct {
		name  string
		holes bool
	}{{"covered", false}, {"holes", true}} {
		b.Run(bench.name, func(b *testing.B) {
			s, cfg := large(bench.holes)
			b.ReportAllocs()
			var findings int
			for b.Loop() {
				findings = len(coverage.Check(s, cfg, s.At).Findings)
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/op")
			b.ReportMetric(float64(findings), "findings")
		})
	}
}

// BenchmarkHeard asks the same snapshot about one page.
func BenchmarkHeard(b *testing.B) {
	s, cfg := large(true)
	hearing := coverage.NewHearing(s, cfg)
	b.ReportAllocs()
	for b.Loop() {
		hearing.Heard("relay-7", s.At.Add(day))
	}
}

// large is a snapshot of 1,000 schedules; with holes, everybody is away for an hour
// a day, and every third shift is of somebody from the level before.
func large(holes bool) (*coverage.Snapshot, coverage.Config) {
	const schedules, days, levels, people = 1000, 90, 3, 6
	start := instant("2026-11-23 08:00")
	s := &coverage.Snapshot{
		At: start, Window: coverage.Span{Start: start, End: start.Add(days * day)},
		Schedules: map[string]*coverage.Schedule{}, Policies: map[string]*coverage.Policy{},
		Services: map[string]*coverage.Service{}, Users: map[string]*coverage.User{},
	}
	cfg := coverage.Config{
		Horizon: model.Duration(days * day),
		People:  coverage.PeopleConfig{Profile: "must_include_phone"},
		TimeIntervals: intervals(`[{name: office-hours, time_intervals: [{location: Europe/Berlin,
			weekdays: ["monday:friday"], times: [{start_time: "09:00", end_time: "17:00"}]}]}]`),
	}
	for i := range schedules {
		id, policy, level := fmt.Sprintf("S%d", i), fmt.Sprintf("P%d", i/levels), i%levels
		sched := &coverage.Schedule{ID: id, Name: "schedule-" + id, TimeZone: "Europe/Berlin", Policies: []string{policy}}
		for n := range people {
			user := fmt.Sprintf("U%d-%d", i, n)
			sched.Engineers = append(sched.Engineers, user)
			s.Users[user] = &coverage.User{
				ID: user, Name: user, Contacts: []coverage.Contact{{ID: "C", Type: "phone"}},
				Rules: []coverage.NotificationRule{{Contact: "C", Urgency: "high"}},
			}
		}
		p := s.Policies[policy]
		if p == nil {
			p = &coverage.Policy{ID: policy, Name: "policy-" + policy}
			s.Policies[policy] = p
			s.Services["V"+policy] = &coverage.Service{ID: "V" + policy, Policy: policy, Relays: []string{fmt.Sprintf("relay-%d", i/levels)}, Status: "active", Urgency: "severity_based"}
			cfg.Policies = append(cfg.Policies, coverage.PolicyConfig{Name: p.Name, MinPeople: levels, Services: []string{fmt.Sprintf("relay-%d", i/levels)}})
		}
		p.Levels = append(p.Levels, coverage.Level{Targets: []coverage.Target{{Kind: coverage.KindSchedule, ID: id}}, EscalateAfter: 15 * time.Minute})
		for d := range days {
			shift := coverage.Span{Start: start.Add(time.Duration(d) * day), End: start.Add(time.Duration(d+1) * day)}
			user := sched.Engineers[d%people]
			if holes {
				shift.End = shift.End.Add(-time.Hour)
				if level > 0 && d%3 == 0 {
					user = fmt.Sprintf("U%d-%d", i-1, d%people)
				}
			}
			sched.Shifts = append(sched.Shifts, coverage.Shift{Span: shift, User: user})
			s.OnCalls = append(s.OnCalls, coverage.OnCall{Span: shift, Policy: policy, Level: level + 1, User: user, Schedule: id})
		}
		s.Schedules[id] = sched
		sc := coverage.ScheduleConfig{Name: sched.Name}
		if i%2 == 0 {
			sc.Required = []string{"office-hours"}
		}
		cfg.Schedules = append(cfg.Schedules, sc)
	}
	return s, cfg
}
