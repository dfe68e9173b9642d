package emulator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// faults collects what is wrong, each with the path of the field.
type faults []error

func (f *faults) add(path, format string, args ...any) {
	*f = append(*f, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

func (f *faults) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		f.add(path, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
}

// id checks an identifier and that its kind has no other of the same text.
func (f *faults) id(path, id string, seen map[string]bool) {
	switch {
	case id == "":
		f.add(path+".id", "is missing")
	case strings.Trim(id, idAlphabet) != "":
		f.add(path+".id", "%q may hold letters, digits, - and _ only", id)
	case seen[id]:
		f.add(path+".id", "%q is used twice", id)
	}
	seen[id] = true
}

const (
	alphanumerics = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	idAlphabet    = alphanumerics + "-_"
	tokenAlphabet = alphanumerics + "-_+="
)

// zoneSet is which time zones there are. Each is looked up once: it is a file to read.
type zoneSet map[string]bool

func (z zoneSet) check(f *faults, path, name string) {
	known, looked := z[name]
	if !looked {
		_, err := time.LoadLocation(name)
		known = err == nil
		z[name] = known
	}
	if !known {
		f.add(path, "%q is not a time zone of the IANA database", name)
	}
}

// Validate reports every fault of c at once, each starting with its path. It
// expects the defaults to be filled in, as Parse and New do.
func (c Config) Validate() error {
	var f faults
	users, schedules, policies := map[string]bool{}, map[string]bool{}, map[string]bool{}
	zones := zoneSet{}
	c.Limits.validate(&f)
	for i, t := range c.APITokens {
		// The token itself is a secret to those who copied it from their account.
		if t == "" || strings.Trim(t, tokenAlphabet) != "" {
			f.add(fmt.Sprintf("api_tokens[%d]", i), "is not a text of letters, digits, +, -, _ and =")
		}
	}
	validateResources(&f, "plan_lacks", c.PlanLacks)
	validateResources(&f, "forbidden", c.Forbidden)
	for i, u := range c.Users {
		path := fmt.Sprintf("users[%d]", i)
		f.id(path, u.ID, users)
		u.validate(&f, path, zones)
	}
	for i, s := range c.Schedules {
		path := fmt.Sprintf("schedules[%d]", i)
		f.id(path, s.ID, schedules)
		s.validate(&f, path, users, zones)
	}
	for i, p := range c.EscalationPolicies {
		path := fmt.Sprintf("escalation_policies[%d]", i)
		f.id(path, p.ID, policies)
		p.validate(&f, path, users, schedules)
	}
	if len(c.Services) == 0 {
		f.add("services", "is missing: at least one is needed")
	}
	ids, keys := map[string]bool{}, map[string]bool{}
	for i, s := range c.Services {
		path := fmt.Sprintf("services[%d]", i)
		f.id(path, s.ID, ids)
		s.validate(&f, path, policies, keys, zones)
	}
	return errors.Join(f...)
}

func (l Limits) validate(f *faults) {
	if l.EventsPerMinute < 1 {
		f.add("limits.events_per_minute", "%d is not positive; to have no limit set limits.unlimited", l.EventsPerMinute)
	}
	if l.RESTPerMinute < 1 {
		f.add("limits.rest_per_minute", "%d is not positive; to have no limit set limits.unlimited", l.RESTPerMinute)
	}
	if l.RequestBytes < 1 {
		f.add("limits.request_bytes", "%d is not positive", l.RequestBytes)
	}
	if l.OversizeStatus != 413 && l.OversizeStatus != 400 {
		f.add("limits.oversize_status", "%d is not one of 413, 400", l.OversizeStatus)
	}
	for i, h := range l.ThrottleHeaders {
		f.oneOf(fmt.Sprintf("limits.throttle_headers[%d]", i), h, throttleRetryAfter, throttleRateLimit)
	}
}

func validateResources(f *faults, path string, names []string) {
	for i, n := range names {
		f.oneOf(fmt.Sprintf("%s[%d]", path, i), n, resourceServices, resourcePolicies, resourceSchedules,
			resourceSchedulesV3, resourceOncalls, resourceUsers, resourceWindows)
	}
}

func (u User) validate(f *faults, path string, zones zoneSet) {
	if !strings.Contains(u.Email, "@") {
		f.add(path+".email", "%q is not an address", u.Email)
	}
	zones.check(f, path+".time_zone", u.TimeZone)
	methods := map[string]bool{}
	for i, m := range u.ContactMethods {
		p := fmt.Sprintf("%s.contact_methods[%d]", path, i)
		f.id(p, m.ID, methods)
		f.oneOf(p+".type", m.Type, "email", "phone", "sms", "push_notification", "whatsapp")
		if m.Type == "push_notification" && m.Enabled != nil {
			f.add(p+".enabled", "does not exist for push_notification")
		}
		if m.Type == "email" && m.Blacklisted {
			f.add(p+".blacklisted", "does not exist for email")
		}
	}
	for i, r := range u.NotificationRules {
		p := fmt.Sprintf("%s.notification_rules[%d]", path, i)
		f.oneOf(p+".urgency", r.Urgency, urgencyHigh, urgencyLow)
		if !methods[r.ContactMethod] {
			f.add(p+".contact_method", "%q is not a contact method of this user", r.ContactMethod)
		}
		if r.Delay < 0 {
			f.add(p+".delay", "%s is negative", r.Delay)
		}
	}
}

// maxTargets is how many targets a level may have (REST specification, EscalationRule).
const maxTargets = 10

func (p EscalationPolicy) validate(f *faults, path string, users, schedules map[string]bool) {
	if len(p.Levels) == 0 {
		f.add(path+".levels", "is missing: at least one is needed")
	}
	for i, l := range p.Levels {
		lp := fmt.Sprintf("%s.levels[%d]", path, i)
		if l.Delay < 0 {
			f.add(lp+".delay", "%s is negative", l.Delay)
		}
		if len(l.Targets) == 0 {
			f.add(lp+".targets", "is missing: at least one is needed")
		}
		if len(l.Targets) > maxTargets {
			f.add(lp+".targets", "are %d, a level has at most %d", len(l.Targets), maxTargets)
		}
		for j, t := range l.Targets {
			tp := fmt.Sprintf("%s.targets[%d]", lp, j)
			switch {
			case (t.User == "") == (t.Schedule == ""):
				f.add(tp, "needs either user or schedule")
			case t.User != "" && !users[t.User]:
				f.add(tp+".user", "%q is not in users", t.User)
			case t.Schedule != "" && !schedules[t.Schedule]:
				f.add(tp+".schedule", "%q is not in schedules", t.Schedule)
			}
		}
	}
}

func (s Service) validate(f *faults, path string, policies, keys map[string]bool, zones zoneSet) {
	if len(s.RoutingKeys) == 0 {
		f.add(path+".routing_keys", "is missing: at least one is needed")
	}
	for i, k := range s.RoutingKeys {
		p := fmt.Sprintf("%s.routing_keys[%d]", path, i)
		// The key itself is a secret to those who copied it from their account.
		if len(k) != 32 || strings.Trim(k, alphanumerics) != "" {
			f.add(p, "is not 32 letters and digits")
		} else if keys[k] {
			f.add(p, "is used twice")
		}
		keys[k] = true
	}
	if s.Region != "" {
		f.oneOf(path+".region", s.Region, "us", "eu")
	}
	if !policies[s.EscalationPolicy] {
		f.add(path+".escalation_policy", "%q is not in escalation_policies", s.EscalationPolicy)
	}
	s.validateUrgency(f, path, zones)
	if s.AcknowledgementTimeout < 0 {
		f.add(path+".acknowledgement_timeout", "%s is negative", s.AcknowledgementTimeout)
	}
	validateStatus(f, path+".status", s.Status)
	validateWindows(f, path+".maintenance_windows", s.MaintenanceWindows)
}

func validateStatus(f *faults, path, status string) {
	f.oneOf(path, status, statusActive, statusDisabled)
}

func validateWindows(f *faults, path string, windows []Window) {
	for i, w := range windows {
		p := fmt.Sprintf("%s[%d]", path, i)
		if w.Start.IsZero() {
			f.add(p+".start", "is missing")
		}
		if !w.End.After(w.Start) {
			f.add(p+".end", "is not after start")
		}
	}
}
