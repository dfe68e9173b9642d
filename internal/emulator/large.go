package emulator

import (
	"fmt"
	"time"
)

// What Large makes, beside what it is asked for.
const (
	largeUsers    = 500
	largeDays     = 120 // of shifts, from a week before from on.
	largePeople   = 5   // of a schedule.
	largeV3Every  = 10
	largeDayEvery = 4
)

// Large is an account to measure with: so many schedules and so many policies of
// three levels (at least one of each), each policy with one service. Every
// schedule is on a policy's level, and has somebody on call without a gap from a
// week before from until over 90 days after it. Three schedules in four change
// hands weekly and the others daily; one in ten is shift-based, with two people
// at a time.
func Large(schedules, policies int, from time.Time) Config {
	from = from.UTC().Truncate(24*time.Hour).AddDate(0, 0, -7)
	var c Config
	for i := range largeUsers {
		id := fmt.Sprintf("PU%04d", i)
		c.Users = append(c.Users, User{
			ID: id, Name: fmt.Sprintf("Engineer %d", i), TimeZone: "Europe/Berlin",
			ContactMethods:    []ContactMethod{{ID: "C1", Type: "phone", Address: "5550100"}, {ID: "C2", Type: "email", Address: id + "@example.com"}},
			NotificationRules: []NotificationRule{{Urgency: urgencyHigh, ContactMethod: "C1"}, {Urgency: urgencyLow, ContactMethod: "C2"}},
		})
	}
	for i := range schedules {
		c.Schedules = append(c.Schedules, largeSchedule(i, from))
	}
	for i := range policies {
		p := EscalationPolicy{ID: fmt.Sprintf("PP%04d", i), Name: fmt.Sprintf("policy %d", i)}
		for range 3 {
			p.Levels = append(p.Levels, Level{Delay: 15 * time.Minute})
		}
		c.EscalationPolicies = append(c.EscalationPolicies, p)
		c.Services = append(c.Services, Service{
			ID: fmt.Sprintf("PS%04d", i), Name: fmt.Sprintf("service %d", i),
			RoutingKeys: []string{fmt.Sprintf("large%027d", i)}, EscalationPolicy: p.ID,
		})
	}
	for i := range max(schedules, 3*policies) { // no level stays empty.
		level := &c.EscalationPolicies[i%policies].Levels[i/policies%3]
		level.Targets = append(level.Targets, Target{Schedule: c.Schedules[i%schedules].ID})
	}
	return c
}

func largeSchedule(i int, from time.Time) Schedule {
	s := Schedule{ID: fmt.Sprintf("PC%04d", i), Name: fmt.Sprintf("schedule %d", i), Type: ScheduleV2, TimeZone: "Europe/Berlin"}
	people := 1
	if i%largeV3Every == 0 {
		s.Type, people = ScheduleV3, 2
	}
	days := 7
	if i%largeDayEvery == 1 {
		days = 1
	}
	for day := 0; day < largeDays; day += days {
		for n := range people {
			s.Entries = append(s.Entries, ScheduleEntry{
				User:  fmt.Sprintf("PU%04d", (i*largePeople+(day/days+n)%largePeople)%largeUsers),
				Start: from.AddDate(0, 0, day), End: from.AddDate(0, 0, day+days),
			})
		}
	}
	return s
}
