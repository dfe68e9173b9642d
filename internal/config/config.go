// Package config loads the configuration file: strictly, composing the Config
// types of the packages that use them, and reporting all faults at once, each
// with its path and line.
//
// It does not open connections, and reads no file but the configuration: a file
// that holds a secret is read when the secret is used, so that a rotated one
// needs no reload.
package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
	"github.com/pagerelay/pagerelay/receiver"
)

// Defaults of the fields that belong to this package.
const (
	DefaultStaleAfter = 2 * time.Minute
	// DefaultEventsPerMinute is what PagerDuty documents for a routing key
	// (Events API v2, "Rate limits": about 120 in any 60 seconds).
	DefaultEventsPerMinute = 120
)

// Config is the configuration file.
type Config struct {
	PagerDuty    pagerduty.Config    `yaml:"pagerduty,omitempty"`
	Alertmanager alertmanager.Config `yaml:"alertmanager,omitempty"`
	Services     map[string]Service  `yaml:"services"`
	Access       receiver.Access     `yaml:"access,omitempty"`
	// Coverage is what is audited; nothing if it names nothing.
	Coverage coverage.Config `yaml:"coverage,omitempty"`
	// Reconcile has an effect where Alertmanager.URLs is set.
	Reconcile alertmanager.Reconcile `yaml:"reconcile,omitempty"`
	// StaleAfter: a trigger that waited longer is checked with Alertmanager
	// before it is sent. Default 2m, at least 1s.
	StaleAfter time.Duration `yaml:"stale_after,omitempty"`

	Mapping mapping.Config `yaml:",inline"`
}

// Load reads and checks the file at path. Relative file names in it are relative
// to its folder. What is wrong with the content comes as Faults, all at once.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(text, filepath.Dir(path))
}

// Parse checks a configuration given as text; dir is what its relative file names
// are relative to. Absent fields get their defaults. What is wrong comes as
// Faults, all at once.
func Parse(text []byte, dir string) (*Config, error) {
	c := &Config{}
	faults, lines := decode(text, c)
	if !faults.concern("") {
		c.Mapping.Services = c.ServiceNames()
		for _, f := range c.validate() {
			if !faults.concern(f.Path) {
				faults = append(faults, f)
			}
		}
	}
	if len(faults) > 0 {
		return nil, faults.sorted(lines)
	}
	c.setDefaults()
	c.setDirectory(dir)
	return c, nil
}

// ServiceNames lists the names of the services, sorted.
func (c *Config) ServiceNames() []string {
	return slices.Sorted(maps.Keys(c.Services))
}

// String is the configuration as YAML, with secrets hidden.
func (c *Config) String() string { return toYAML(c) }

// toYAML is v with its secrets hidden, which fmt would show.
func toYAML(v any) string {
	text, err := yaml.Marshal(v)
	if err != nil {
		return fmt.Sprintf("cannot be shown: %v", err)
	}
	return string(text)
}

func (c *Config) validate() Faults {
	var faults Faults
	faults.addAll("pagerduty.", c.PagerDuty.Validate())
	faults.addAll("alertmanager.", c.Alertmanager.Validate())
	faults.addAll("access.", c.Access.Validate())
	faults.addAll("reconcile.", c.Reconcile.Validate())
	c.validateServices(&faults)
	c.validateCoverage(&faults)
	if c.StaleAfter != 0 && c.StaleAfter < time.Second {
		faults.add("stale_after", "is %v, must be at least 1s", model.Duration(c.StaleAfter))
	}
	if len(c.Services) > 0 {
		_, err := mapping.New(c.Mapping)
		faults.addAll("", err)
	}
	return faults
}

func (c *Config) setDefaults() {
	if c.StaleAfter == 0 {
		c.StaleAfter = DefaultStaleAfter
	}
	if c.Coverage.Audits() {
		c.Coverage = c.Coverage.WithDefaults()
	}
	for name, s := range c.Services {
		if s.EventsPerMinute == 0 {
			s.EventsPerMinute = DefaultEventsPerMinute
		}
		if s.Region == "" {
			s.Region = c.PagerDuty.Region
		}
		if s.Region == "" {
			s.Region = "us"
		}
		c.Services[name] = s
	}
}

// setDirectory makes the file names absolute, or at least independent of the
// folder that the process was started in.
func (c *Config) setDirectory(dir string) {
	join := func(name *string) { *name = promconfig.JoinDir(dir, *name) }
	join(&c.PagerDuty.APITokenFile)
	c.PagerDuty.HTTPConfig.SetDirectory(dir)
	c.Alertmanager.HTTPConfig.SetDirectory(dir)
	for name, s := range c.Services {
		join(&s.RoutingKeyFile)
		for i := range s.PreviousRoutingKeyFiles {
			join(&s.PreviousRoutingKeyFiles[i])
		}
		c.Services[name] = s
	}
	for i := range c.Access.Tokens {
		join(&c.Access.Tokens[i].SHA256File)
	}
	if c.Access.AuditLog != nil {
		join(&c.Access.AuditLog.Path)
	}
}
