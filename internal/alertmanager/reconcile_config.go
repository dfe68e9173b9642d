package alertmanager

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"

	"github.com/prometheus/common/model"
)

const (
	defaultInterval = time.Minute
	minInterval     = 10 * time.Second
	maxInterval     = time.Hour
)

// The effects of a mute, as the configuration names them.
const (
	muteNothing     = "nothing"
	muteAcknowledge = string(incident.MuteAcknowledge)
	muteResolve     = string(incident.MuteResolve)
)

// Reconcile is the `reconcile` section of the configuration file.
type Reconcile struct {
	// Interval is the time between two looks, 10s to 1h. Default 1m.
	Interval time.Duration `yaml:"interval,omitempty"`
	// Adopt takes in whatever fires for our receivers and was never heard of. Without
	// it that is only done after something that may have lost a webhook.
	Adopt bool `yaml:"adopt,omitempty"`
	// Receivers are the names, in Alertmanager's configuration, of the receivers that
	// post here. Default: those whose webhooks were seen.
	Receivers []string `yaml:"receivers,omitempty"`
	// OnSilence and OnInhibit say what becomes of an open incident whose alert is
	// muted: nothing, acknowledge or resolve. Default nothing.
	OnSilence string `yaml:"on_silence,omitempty"`
	OnInhibit string `yaml:"on_inhibit,omitempty"`
}

// Validate reports every fault of c at once, each starting with its path below `reconcile`.
func (c Reconcile) Validate() error {
	var errs []error
	if c.Interval != 0 && (c.Interval < minInterval || c.Interval > maxInterval) {
		errs = append(errs, fmt.Errorf("interval: is %v, must be from %v to %v", model.Duration(c.Interval), model.Duration(minInterval), model.Duration(maxInterval)))
	}
	for i, name := range c.Receivers {
		switch {
		case name == "":
			errs = append(errs, fmt.Errorf("receivers[%d]: is empty; name a receiver or remove it", i))
		case slices.Contains(c.Receivers[:i], name):
			errs = append(errs, fmt.Errorf("receivers[%d]: is listed twice", i))
		}
	}
	for _, f := range []struct{ name, value string }{{"on_silence", c.OnSilence}, {"on_inhibit", c.OnInhibit}} {
		switch f.value {
		case "", muteNothing, muteAcknowledge, muteResolve:
		default:
			errs = append(errs, fmt.Errorf("%s: is %q, must be %s, %s or %s", f.name, f.value, muteNothing, muteAcknowledge, muteResolve))
		}
	}
	return errors.Join(errs...)
}

// effect is what a mute of this kind is to do; nil is nothing.
func (c Reconcile) effect(by string) *incident.Mute {
	do := c.OnSilence
	if by == byInhibition {
		do = c.OnInhibit
	}
	if by == "" || do == "" || do == muteNothing {
		return nil
	}
	return &incident.Mute{By: by, Do: incident.MuteAction(do)}
}
