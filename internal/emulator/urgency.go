package emulator

import (
	"fmt"
	"slices"
	"time"
)

const (
	ruleConstant     = "constant"
	ruleSupportHours = "use_support_hours"
)

// UrgencyRule says how urgent the incidents of a service are: high, low or
// severity_based, always or by its support hours.
type UrgencyRule struct {
	Type    string `yaml:"type,omitempty"`    // constant (default) or use_support_hours.
	Urgency string `yaml:"urgency,omitempty"` // of constant; default severity_based.
	// During and Outside are those of use_support_hours. Default high and low.
	During  string `yaml:"during_support_hours,omitempty"`
	Outside string `yaml:"outside_support_hours,omitempty"`
}

// SupportHours are the same hours on some days of the week.
type SupportHours struct {
	TimeZone string `yaml:"time_zone,omitempty"`    // default UTC.
	Days     []int  `yaml:"days_of_week,omitempty"` // 1 is Monday, 7 Sunday. Default 1 to 5.
	Start    string `yaml:"start,omitempty"`        // default 09:00.
	End      string `yaml:"end,omitempty"`          // not included; default 17:00.
}

const clockLayout = "15:04"

func (h SupportHours) contains(t time.Time) bool {
	loc, _ := time.LoadLocation(h.TimeZone) // was checked, as the others were.
	t = t.In(loc)
	clock := t.Format(clockLayout)
	return slices.Contains(h.Days, (int(t.Weekday())+6)%7+1) && clock >= h.Start && clock < h.End
}

// urgency is what the service's rule makes of a severity at t (KB "Dynamic notifications").
func (s *service) urgency(severity string, t time.Time) string {
	urgency := s.UrgencyRule.Urgency
	if s.UrgencyRule.Type == ruleSupportHours {
		urgency = s.UrgencyRule.Outside
		if s.SupportHours.contains(t) {
			urgency = s.UrgencyRule.During
		}
	}
	switch {
	case urgency != urgencyBySeverity:
		return urgency
	case severity == severityWarning || severity == severityInfo:
		return urgencyLow
	default:
		return urgencyHigh
	}
}

func (s *Service) urgencyDefaults() {
	r := &s.UrgencyRule
	setDefault(&r.Type, ruleConstant)
	if r.Type == ruleConstant {
		setDefault(&r.Urgency, urgencyBySeverity)
		return
	}
	setDefault(&r.During, urgencyHigh)
	setDefault(&r.Outside, urgencyLow)
	h := SupportHours{}
	if s.SupportHours != nil {
		h = *s.SupportHours
	}
	setDefault(&h.TimeZone, "UTC")
	setDefault(&h.Start, "09:00")
	setDefault(&h.End, "17:00")
	if len(h.Days) == 0 {
		h.Days = []int{1, 2, 3, 4, 5}
	}
	s.SupportHours = &h
}

func (s Service) validateUrgency(f *faults, path string, zones zoneSet) {
	r, at := s.UrgencyRule, path+".incident_urgency_rule"
	f.oneOf(at+".type", r.Type, ruleConstant, ruleSupportHours)
	if r.Type != ruleSupportHours {
		f.oneOf(at+".urgency", r.Urgency, urgencyHigh, urgencyLow, urgencyBySeverity)
		if r.During != "" || r.Outside != "" || s.SupportHours != nil {
			f.add(at, "support hours go with type use_support_hours only")
		}
		return
	}
	if r.Urgency != "" {
		f.add(at+".urgency", "goes with type constant only")
	}
	f.oneOf(at+".during_support_hours", r.During, urgencyHigh, urgencyLow, urgencyBySeverity)
	f.oneOf(at+".outside_support_hours", r.Outside, urgencyHigh, urgencyLow, urgencyBySeverity)
	h, at := *s.SupportHours, path+".support_hours"
	zones.check(f, at+".time_zone", h.TimeZone)
	for i, day := range h.Days {
		if day < 1 || day > 7 {
			f.add(fmt.Sprintf("%s.days_of_week[%d]", at, i), "%d is not between 1 and 7", day)
		}
	}
	validateClock(f, at+".start", h.Start)
	validateClock(f, at+".end", h.End)
	if h.End <= h.Start {
		f.add(at+".end", "is not after start")
	}
}

func validateClock(f *faults, path, clock string) {
	if _, err := time.Parse(clockLayout, clock); err != nil || len(clock) != len(clockLayout) {
		f.add(path, "%q is not a time of day as 09:00", clock)
	}
}

// restUrgencyRule is the rule as REST shows it.
type restUrgencyRule struct {
	Type    string           `json:"type"`
	Urgency string           `json:"urgency,omitempty"`
	During  *restUrgencyRule `json:"during_support_hours,omitempty"`
	Outside *restUrgencyRule `json:"outside_support_hours,omitempty"`
}

type restSupportHours struct {
	Type     string `json:"type"`
	TimeZone string `json:"time_zone"`
	Days     []int  `json:"days_of_week"`
	Start    string `json:"start_time"`
	End      string `json:"end_time"`
}

func (s Service) restUrgency() (restUrgencyRule, *restSupportHours) {
	r := s.UrgencyRule
	if r.Type == ruleConstant {
		return restUrgencyRule{Type: r.Type, Urgency: r.Urgency}, nil
	}
	h := s.SupportHours
	rule := restUrgencyRule{
		Type:    r.Type,
		During:  &restUrgencyRule{Type: ruleConstant, Urgency: r.During},
		Outside: &restUrgencyRule{Type: ruleConstant, Urgency: r.Outside},
	}
	return rule, &restSupportHours{
		Type: "fixed_time_per_day", TimeZone: h.TimeZone, Days: h.Days, Start: h.Start + ":00", End: h.End + ":00",
	}
}
