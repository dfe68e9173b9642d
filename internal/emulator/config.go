package emulator

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// DefaultRoutingKey is the integration key of the only service of Default.
const DefaultRoutingKey = "pagerelayemulator000000000000001"

//go:embed default.yml
var defaultConfig []byte

// Config is the account that the emulator plays: who is on call, which services
// there are, and what the account's limits are.
type Config struct {
	Limits             Limits             `yaml:"limits,omitempty"`
	Services           []Service          `yaml:"services"`
	EscalationPolicies []EscalationPolicy `yaml:"escalation_policies,omitempty"`
	Schedules          []Schedule         `yaml:"schedules,omitempty"`
	Users              []User             `yaml:"users,omitempty"`

	// APITokens are the tokens that REST accepts. Default: any but an empty one.
	APITokens []string `yaml:"api_tokens,omitempty"`
	// PlanLacks and Forbidden are the resources of REST that answer 402 and 403,
	// as their paths begin: services, escalation_policies, schedules,
	// v3/schedules, oncalls, users or maintenance_windows.
	PlanLacks []string `yaml:"plan_lacks,omitempty"`
	Forbidden []string `yaml:"forbidden,omitempty"`
}

// Limits are those of the APIs.
type Limits struct {
	// EventsPerMinute is how many calls one routing key may make in any 60 s.
	// Default 120 (PagerDuty, Events API v2, "Rate limits").
	EventsPerMinute int `yaml:"events_per_minute,omitempty"`
	// RESTPerMinute is how many REST calls one token may make in any 60 s.
	// Default 960 (PagerDuty, REST API, "Rate limits").
	RESTPerMinute int `yaml:"rest_per_minute,omitempty"`
	// Unlimited turns both limits off.
	Unlimited bool `yaml:"unlimited,omitempty"`
	// RequestBytes is the longest body that is read. Default 512000: PagerDuty
	// says 512 KB, and the stricter reading finds the fault earlier.
	RequestBytes int64 `yaml:"request_bytes,omitempty"`
	// OversizeStatus is the answer to a longer one, 413 or 400. PagerDuty does
	// not document which; default 413.
	OversizeStatus int `yaml:"oversize_status,omitempty"`
	// ThrottleHeaders are sent with a 429: retry-after, ratelimit, or both.
	// Default none, because the Events API documents none.
	ThrottleHeaders []string `yaml:"throttle_headers,omitempty"`
}

// Service is a PagerDuty service with its Events API v2 integrations.
type Service struct {
	ID   string `yaml:"id"`
	Name string `yaml:"name,omitempty"` // default: the ID.
	// RoutingKeys are the integration keys: 32 letters and digits each, unique in the file.
	RoutingKeys      []string `yaml:"routing_keys"`
	Region           string   `yaml:"region,omitempty"` // us or eu; accepted and not used.
	EscalationPolicy string   `yaml:"escalation_policy"`
	Status           string   `yaml:"status,omitempty"` // active (default) or disabled.

	UrgencyRule        UrgencyRule   `yaml:"incident_urgency_rule,omitempty"`
	SupportHours       *SupportHours `yaml:"support_hours,omitempty"` // of the rule use_support_hours.
	MaintenanceWindows []Window      `yaml:"maintenance_windows,omitempty"`
	// AcknowledgementTimeout is after how long an acknowledged incident goes
	// back to triggered. Default 0: never.
	AcknowledgementTimeout time.Duration `yaml:"acknowledgement_timeout,omitempty"`
}

// Window is a span of time, Start included, End not.
type Window struct {
	Start time.Time `yaml:"start" json:"start"`
	End   time.Time `yaml:"end" json:"end"`
}

func (w Window) contains(t time.Time) bool { return !t.Before(w.Start) && t.Before(w.End) }

// EscalationPolicy is an ordered list of levels. It is gone through once.
type EscalationPolicy struct {
	ID     string  `yaml:"id"`
	Name   string  `yaml:"name,omitempty"`
	Levels []Level `yaml:"levels"`
}

// Level is who is notified together, and for how long before the next level is.
type Level struct {
	Targets []Target      `yaml:"targets"`
	Delay   time.Duration `yaml:"delay,omitempty"` // default 30m.
}

// Target is a user or a schedule, by ID; exactly one of the two.
type Target struct {
	User     string `yaml:"user,omitempty"`
	Schedule string `yaml:"schedule,omitempty"`
}

// User is somebody who can be notified.
type User struct {
	ID                string             `yaml:"id"`
	Name              string             `yaml:"name,omitempty"`
	Email             string             `yaml:"email,omitempty"`
	TimeZone          string             `yaml:"time_zone,omitempty"`
	ContactMethods    []ContactMethod    `yaml:"contact_methods,omitempty"`
	NotificationRules []NotificationRule `yaml:"notification_rules,omitempty"`
	// Deleted: schedules and policies may still name them, but they have no
	// account, are not notified and are not on call. What PagerDuty does with such
	// leftovers is not documented.
	Deleted bool `yaml:"deleted,omitempty"`
}

// ContactMethod is one way to reach a user.
type ContactMethod struct {
	ID      string `yaml:"id"`
	Type    string `yaml:"type"` // email, phone, sms, push_notification or whatsapp.
	Address string `yaml:"address,omitempty"`
	// Enabled is false for one that PagerDuty does not use. Default true;
	// push_notification has no such field.
	Enabled *bool `yaml:"enabled,omitempty"`
	// Blacklisted is PagerDuty refusing to use it; email has no such field.
	Blacklisted bool `yaml:"blacklisted,omitempty"`
}

// usable says whether PagerDuty notifies by m.
func (m ContactMethod) usable() bool { return !m.Blacklisted && (m.Enabled == nil || *m.Enabled) }

// NotificationRule is when a contact method is used.
type NotificationRule struct {
	Urgency       string        `yaml:"urgency"`        // high or low.
	ContactMethod string        `yaml:"contact_method"` // the ID of one of the user's.
	Delay         time.Duration `yaml:"delay,omitempty"`
}

// Default is the account that is played when no file is given: one service
// with DefaultRoutingKey and a severity-based urgency rule, one policy, one
// schedule and two users, somebody always on call.
func Default() Config {
	c, err := Parse(defaultConfig)
	if err != nil {
		panic(fmt.Sprintf("built-in configuration: %v", err)) // covered by a test; cannot depend on input.
	}
	return *c
}

// Load reads and checks the file at path.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read emulator configuration: %w", err)
	}
	c, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse checks a configuration given as YAML and fills in the defaults. An
// unknown field is an error; all faults are reported at once, each with its path.
func Parse(text []byte) (*Config, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	var c Config
	if err := dec.Decode(&c); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the configuration is empty")
		}
		return nil, fmt.Errorf("parse YAML: %w", err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("parse YAML: more than one document")
	}
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &c, nil
}

// withDefaults returns a copy of c, sharing nothing with it that is changed here.
func (c Config) withDefaults() Config {
	setDefault(&c.Limits.EventsPerMinute, 120)
	setDefault(&c.Limits.RESTPerMinute, 960)
	setDefault(&c.Limits.RequestBytes, 512_000)
	setDefault(&c.Limits.OversizeStatus, 413)
	c.Services = slices.Clone(c.Services)
	for i := range c.Services {
		s := &c.Services[i]
		setDefault(&s.Name, s.ID)
		setDefault(&s.Status, statusActive)
		s.urgencyDefaults()
	}
	c.EscalationPolicies = slices.Clone(c.EscalationPolicies)
	for i := range c.EscalationPolicies {
		p := &c.EscalationPolicies[i]
		setDefault(&p.Name, p.ID)
		p.Levels = slices.Clone(p.Levels)
		for j := range p.Levels {
			setDefault(&p.Levels[j].Delay, 30*time.Minute)
		}
	}
	c.Schedules = slices.Clone(c.Schedules)
	for i := range c.Schedules {
		c.Schedules[i] = c.Schedules[i].withDefaults()
	}
	c.Users = slices.Clone(c.Users)
	for i := range c.Users {
		u := &c.Users[i]
		setDefault(&u.Name, u.ID)
		setDefault(&u.Email, strings.ToLower(u.ID)+"@example.com")
		setDefault(&u.TimeZone, "UTC")
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
