package coverage

import (
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// profile is one of PagerDuty's on-call readiness profiles (support.pagerduty.com,
// On-Call Readiness Reports). PagerDuty describes them for people; how each is read
// here is in its comment. Only rules for high urgency count, and only those for a
// contact method that exists and is neither disabled nor blocked.
type profile string

const (
	// A rule for each of push, email, phone and SMS, the first of them at once and
	// another later.
	neverMissAPage profile = "never_miss_a_page"
	// A rule for each of push, email, phone and SMS, whenever.
	tryEveryMethod profile = "try_every_method"
	// A rule for something other than email.
	moreThanEmail profile = "more_than_email"
	// A rule for a phone call.
	mustIncludePhone profile = "must_include_phone"
)

func profiles() []profile {
	return []profile{neverMissAPage, tryEveryMethod, moreThanEmail, mustIncludePhone}
}

// The types of contact methods that profiles speak of.
const (
	contactPush  = "push"
	contactEmail = "email"
	contactPhone = "phone"
	contactSMS   = "sms"
)

// readiness is how somebody can be notified of what is urgent.
type readiness struct {
	delays map[string][]time.Duration // by the type of a contact method that works.
	broken []string                   // what rules name that does not work.
}

// ready works out a user's readiness.
func ready(u *User) readiness {
	r := readiness{delays: map[string][]time.Duration{}}
	for _, rule := range u.Rules {
		if rule.Urgency != "high" {
			continue
		}
		i := slices.IndexFunc(u.Contacts, func(c Contact) bool { return c.ID == rule.Contact })
		problem := ""
		switch {
		case i < 0:
			problem = "a contact method that is gone"
		case u.Contacts[i].Blocked:
			problem = "a blocked " + oneline.Short(u.Contacts[i].Type, maxName)
		case u.Contacts[i].Disabled:
			problem = "a disabled " + oneline.Short(u.Contacts[i].Type, maxName)
		default:
			r.delays[u.Contacts[i].Type] = append(r.delays[u.Contacts[i].Type], rule.Delay)
		}
		if problem != "" && !slices.Contains(r.broken, problem) {
			r.broken = append(r.broken, problem)
		}
	}
	return r
}

// lacks is what the profile asks for that is not there.
func (r readiness) lacks(p profile) []string {
	var out []string
	need := func(types ...string) {
		for _, t := range types {
			if len(r.delays[t]) == 0 {
				out = append(out, t)
			}
		}
	}
	switch p {
	case neverMissAPage, tryEveryMethod:
		need(contactPush, contactEmail, contactPhone, contactSMS)
		if p == neverMissAPage && len(out) == 0 {
			out = r.lacksDelays()
		}
	case moreThanEmail:
		if len(r.delays) == 0 || len(r.delays) == 1 && len(r.delays[contactEmail]) > 0 {
			out = append(out, "anything but email")
		}
	case mustIncludePhone:
		need(contactPhone)
	}
	return out
}

func (r readiness) lacksDelays() []string {
	atOnce, later := false, false
	for _, delays := range r.delays {
		for _, d := range delays {
			atOnce = atOnce || d == 0
			later = later || d > 0
		}
	}
	var out []string
	if !atOnce {
		out = append(out, "a rule without delay")
	}
	if !later {
		out = append(out, "a rule with a delay")
	}
	return out
}
