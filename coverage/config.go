package coverage

import (
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/common/model"
)

// Config is the section coverage of the configuration. Its zero value audits nothing.
type Config struct {
	// Interval is how often PagerDuty is read. Default 6h.
	Interval model.Duration `yaml:"interval,omitempty"`
	// Horizon is how far ahead is looked. Default 14d, at most 90d: PagerDuty's own
	// limit for on-calls. At least an hour longer than Interval.
	Horizon model.Duration `yaml:"horizon,omitempty"`
	// Report says where findings go.
	Report Report `yaml:"report,omitempty"`
	// IgnoreShorterThan: gaps shorter than this are not reported. Default 1m.
	IgnoreShorterThan model.Duration `yaml:"ignore_shorter_than,omitempty"`

	Schedules []ScheduleConfig `yaml:"schedules,omitempty"`
	Policies  []PolicyConfig   `yaml:"escalation_policies,omitempty"`
	People    PeopleConfig     `yaml:"people,omitempty"`
	Services  ServicesConfig   `yaml:"services,omitempty"`
	// TimeIntervals are what `required` names, written as in Alertmanager.
	TimeIntervals []TimeInterval `yaml:"time_intervals,omitempty"`
}

// Report says where findings go.
type Report struct {
	// Service is the service of pagerelay that gets them. Default: what the rules say.
	Service string `yaml:"service,omitempty"`
}

// ScheduleConfig is what is expected of a schedule.
type ScheduleConfig struct {
	Name string `yaml:"name"` // or an id.
	// MinEngineers is how many distinct people must be assigned to it. Default 2.
	MinEngineers int `yaml:"min_engineers,omitempty"`
	// Required are the names of the time intervals in which somebody must be on
	// call. Default: around the clock.
	Required []string `yaml:"required,omitempty"`
	// Mute are checks that are not reported for it: those of schedules alone.
	Mute []string `yaml:"mute,omitempty"`
}

// PolicyConfig is what is expected of an escalation policy.
type PolicyConfig struct {
	Name string `yaml:"name"` // or an id.
	// Services are the services of pagerelay that page this policy.
	Services []string `yaml:"services,omitempty"`
	// MinPeople is how many distinct people must be on call across all levels at any
	// instant. Default 1.
	MinPeople int `yaml:"min_people,omitempty"`
	// Levels are what the ladder should be. Default: not compared.
	Levels   []LevelConfig `yaml:"levels,omitempty"`
	Required []string      `yaml:"required,omitempty"`
	// Mute are checks that are not reported for it and its services.
	Mute []string `yaml:"mute,omitempty"`
}

// LevelConfig is what is expected of a level.
type LevelConfig struct {
	Targets       []string       `yaml:"targets"` // names or ids of schedules or people.
	EscalateAfter model.Duration `yaml:"escalate_after,omitempty"`
}

// PeopleConfig is what is expected of the people that are on call.
type PeopleConfig struct {
	// Profile is one of PagerDuty's on-call readiness profiles: never_miss_a_page,
	// try_every_method, more_than_email or must_include_phone. Default: only that
	// anything reaches them.
	Profile string   `yaml:"profile,omitempty"`
	Mute    []string `yaml:"mute,omitempty"`
}

// ServicesConfig is what is expected of PagerDuty's services behind those of pagerelay.
type ServicesConfig struct {
	// IDs are PagerDuty's ids of the services behind those of pagerelay, by the names of
	// the latter, where neither key nor name nor policy tells.
	IDs map[string]string `yaml:"ids,omitempty"`
	// Mute are checks that are not reported for any of them.
	Mute []string `yaml:"mute,omitempty"`
}

// TimeInterval is a named time interval, as Alertmanager's configuration has it.
type TimeInterval struct {
	Name          string                      `yaml:"name"`
	TimeIntervals []timeinterval.TimeInterval `yaml:"time_intervals"`
}
