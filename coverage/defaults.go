package coverage

import (
	"time"

	"github.com/prometheus/common/model"
)

// What a Config that leaves a field empty gets, and what it may say.
const (
	defaultInterval = 6 * time.Hour
	minInterval     = 5 * time.Minute // an audit takes many calls of an account's 960 a minute.
	defaultHorizon  = 14 * 24 * time.Hour
	minHorizon      = time.Hour
	maxHorizon      = 90 * 24 * time.Hour // PagerDuty's limit for on-calls (REST API, GET /oncalls).
	// horizonMargin is how much longer than the interval the horizon must be: what was
	// read has to last until the next audit is made, which takes its time.
	horizonMargin       = time.Hour
	defaultIgnore       = time.Minute
	maxIgnore           = 24 * time.Hour
	defaultMinEngineers = 2
	defaultMinPeople    = 1
)

// WithDefaults returns c with its empty fields filled in. It does not change c.
func (c Config) WithDefaults() Config {
	set := func(d *model.Duration, to time.Duration) {
		if *d == 0 {
			*d = model.Duration(to)
		}
	}
	set(&c.Interval, defaultInterval)
	set(&c.Horizon, defaultHorizon)
	set(&c.IgnoreShorterThan, defaultIgnore)
	c.Schedules = append([]ScheduleConfig(nil), c.Schedules...)
	for i := range c.Schedules {
		if c.Schedules[i].MinEngineers == 0 {
			c.Schedules[i].MinEngineers = defaultMinEngineers
		}
	}
	c.Policies = append([]PolicyConfig(nil), c.Policies...)
	for i := range c.Policies {
		if c.Policies[i].MinPeople == 0 {
			c.Policies[i].MinPeople = defaultMinPeople
		}
	}
	return c
}
