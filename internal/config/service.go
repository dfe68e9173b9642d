package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	promconfig "github.com/prometheus/common/config"
)

const (
	// routingKeyLength is the length of a routing key in characters (Events API v2,
	// "Send an Alert Event": routing_key).
	routingKeyLength = 32
	// maxServiceName bounds a service's name, in characters: it is part of every
	// dedup key, which PagerDuty bounds to 255.
	maxServiceName = 100
	// minEventsPerMinute: a tenth is kept for high urgency, which of fewer would be none.
	minEventsPerMinute = 10
	// maxEventsPerMinute is the highest limit that PagerDuty gives a routing key
	// on request; more is a mistake.
	maxEventsPerMinute = 10_000
)

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
	// EventsPerMinute is the limit of the routing key, 10 to 10,000. Default 120,
	// PagerDuty's documented default (Events API v2, "Rate limits").
	EventsPerMinute int `yaml:"events_per_minute,omitempty"`
}

// String is the service as YAML, with its key hidden.
func (s Service) String() string { return toYAML(s) }

// Key is the routing key. A file is read each time, and white space around its
// content is ignored. No error holds the key.
func (s Service) Key() (string, error) {
	if s.RoutingKeyFile != "" {
		return readKey(s.RoutingKeyFile)
	}
	if s.RoutingKey == "" {
		return "", errors.New("neither routing_key nor routing_key_file is set")
	}
	return string(s.RoutingKey), nil
}

// PreviousKeys are the keys of PreviousRoutingKeyFiles, in their order. What can
// be read is returned beside the errors of what cannot.
func (s Service) PreviousKeys() ([]string, error) {
	var keys []string
	var errs []error
	for _, name := range s.PreviousRoutingKeyFiles {
		key, err := readKey(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		keys = append(keys, key)
	}
	return keys, errors.Join(errs...)
}

// CheckKeyFiles says what is wrong with the key files as they are now: one cannot be
// read, or does not hold what PagerDuty's integration keys look like. Neither is a
// fault of the configuration, since a file may change. No error holds a key.
func (s Service) CheckKeyFiles() error {
	var errs []error
	for _, name := range append([]string{s.RoutingKeyFile}, s.PreviousRoutingKeyFiles...) {
		if name == "" {
			continue
		}
		key, err := readKey(name)
		if err == nil && !isRoutingKey(key) {
			err = fmt.Errorf("read routing key: %s does not hold %d letters and digits, as PagerDuty's integration shows them", name, routingKeyLength)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// readKey reads a routing key from a file. Its length is not judged here: a file
// changes while the program runs, and PagerDuty's own refusal is handled.
func readKey(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("read routing key: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if key == "" {
		return "", fmt.Errorf("read routing key: %s is empty", name)
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("read routing key: %s holds more than one key", name)
	}
	return key, nil
}

func (c *Config) validateServices(faults *Faults) {
	if len(c.Services) == 0 {
		faults.add("services", "is empty; name at least one PagerDuty service with its routing_key_file")
	}
	for _, name := range c.ServiceNames() {
		path := "services." + name
		if fault := badServiceName(name); fault != "" {
			faults.add(path, "the name %s", fault)
		}
		s := c.Services[name]
		s.validate(path, faults)
		c.validateFallback(name, path+".fallback", faults)
	}
}

func badServiceName(name string) string {
	switch {
	case strings.TrimSpace(name) != name || name == "":
		return "is empty or has white space around it"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "holds control characters or is not UTF-8"
	case utf8.RuneCountInString(name) > maxServiceName:
		return fmt.Sprintf("has more than %d characters", maxServiceName)
	}
	return ""
}

func (s Service) validate(path string, faults *Faults) {
	switch {
	case s.RoutingKey == "" && s.RoutingKeyFile == "":
		faults.add(path, "has no routing key; set routing_key_file (or routing_key)")
	case s.RoutingKey != "" && s.RoutingKeyFile != "":
		faults.add(path, "has both routing_key and routing_key_file; keep one")
	case strings.HasPrefix(string(s.RoutingKey), "$"):
		faults.add(path+".routing_key", "environment variables are not expanded; put the key into a file and name it with routing_key_file")
	case s.RoutingKey != "" && !isRoutingKey(string(s.RoutingKey)):
		faults.add(path+".routing_key", "must be %d letters and digits, as PagerDuty's integration shows it", routingKeyLength)
	}
	for i, name := range s.PreviousRoutingKeyFiles {
		at := fmt.Sprintf("%s.previous_routing_key_files[%d]", path, i)
		switch {
		case name == "":
			faults.add(at, "is empty; name a file or remove it")
		case name == s.RoutingKeyFile:
			faults.add(at, "is also routing_key_file; keep the old key in a file of its own")
		case slices.Contains(s.PreviousRoutingKeyFiles[:i], name):
			faults.add(at, "is listed twice")
		}
	}
	switch s.Region {
	case "", "us", "eu":
	default:
		faults.add(path+".region", "is %q, must be us or eu", s.Region)
	}
	if n := s.EventsPerMinute; n != 0 && (n < minEventsPerMinute || n > maxEventsPerMinute) {
		faults.add(path+".events_per_minute", "is %d, must be from %d (a tenth is kept for high urgency) to %d (the most that PagerDuty grants a routing key)",
			n, minEventsPerMinute, maxEventsPerMinute)
	}
}

func isRoutingKey(key string) bool {
	return len(key) == routingKeyLength && !strings.ContainsFunc(key, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// validateFallback follows the fallbacks of a service: each must exist, and the
// way must end.
func (c *Config) validateFallback(name, path string, faults *Faults) {
	next := c.Services[name].Fallback
	if next == "" {
		return
	}
	if next == name {
		faults.add(path, "is the service itself; name another one")
		return
	}
	if _, ok := c.Services[next]; !ok {
		faults.add(path, "no service is named %q; the services are %s", next, strings.Join(c.ServiceNames(), ", "))
		return
	}
	way := []string{name}
	for next != "" && !slices.Contains(way, next) {
		way = append(way, next)
		next = c.Services[next].Fallback
	}
	// Each service of a circle reports it, those that only lead into one do not.
	if next == name {
		faults.add(path, "goes in a circle (%s -> %s); the last service must have no fallback", strings.Join(way, " -> "), name)
	}
}
