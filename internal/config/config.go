// Package config loads the configuration file: strictly, composing the Config
// types of the packages that use them, and reporting all faults at once, each
// with its path.
package config

import (
	"errors"
	"time"

	promconfig "github.com/prometheus/common/config"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
	"github.com/pagerelay/pagerelay/receiver"
)

// Config is the configuration file.
type Config struct {
	PagerDuty    pagerduty.Config    `yaml:"pagerduty,omitempty"`
	Alertmanager alertmanager.Config `yaml:"alertmanager,omitempty"`
	Services     map[string]Service  `yaml:"services"`
	Access       receiver.Access     `yaml:"access,omitempty"`
	// StaleAfter: a trigger that waited longer is checked with Alertmanager
	// before it is sent. Default 2m.
	StaleAfter time.Duration `yaml:"stale_after,omitempty"`

	Mapping mapping.Config `yaml:",inline"`
}

// Service is a PagerDuty service.
type Service struct {
	RoutingKey     promconfig.Secret `yaml:"routing_key,omitempty"`
	RoutingKeyFile string            `yaml:"routing_key_file,omitempty"` // read when it is used.
	// PreviousRoutingKeyFiles are keys that open incidents may still need to be
	// acknowledged and resolved under; used for nothing else.
	PreviousRoutingKeyFiles []string `yaml:"previous_routing_key_files,omitempty"`
	// Fallback is the service that gets what this one refuses for good.
	Fallback string `yaml:"fallback,omitempty"`
	Region   string `yaml:"region,omitempty"` // us or eu; default pagerduty.region.
	// EventsPerMinute is the limit of the routing key. Default 120, PagerDuty's
	// documented default (Events API v2, "Rate limits").
	EventsPerMinute int `yaml:"events_per_minute,omitempty"`
}

// Load reads and checks the file at path. Relative file names in it are relative to its folder.
func Load(path string) (*Config, error) { return nil, errors.New("not built yet") }

// Parse checks a configuration given as text; dir is what its relative file names are relative to.
func Parse(text []byte, dir string) (*Config, error) { return nil, errors.New("not built yet") }
