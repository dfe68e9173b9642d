package mapping

// Config is what the mapping reads of the configuration file. Its zero value,
// with one service, routes every alert to that service by its severity label.
type Config struct {
	// Tiers are ranked: the first is the most important. Default: critical high,
	// warning low, info acknowledged, none none.
	Tiers []Tier `yaml:"tiers,omitempty"`
	// Rules are tried in order; the first that matches takes the alert, unless it
	// says continue. Without rules everything goes to the default service.
	Rules []Rule `yaml:"rules,omitempty"`
	// Defaults are what a rule may set for itself.
	Defaults Defaults `yaml:"defaults,omitempty"`
	// Services are the names that a rule may use; filled in by internal/config.
	Services []string `yaml:"-"`
}

// Tier is a named importance.
type Tier struct {
	Name    string  `yaml:"name"`
	Urgency Urgency `yaml:"urgency"`
	// Severity overrides the one the urgency implies: critical, error, warning or info.
	Severity string `yaml:"severity,omitempty"`
}

// Rule routes the alerts that match all its matchers.
type Rule struct {
	Name     string   `yaml:"name"`
	Matchers []string `yaml:"matchers,omitempty"` // Alertmanager's syntax, UTF-8 names included.
	Service  string   `yaml:"service,omitempty"`  // a name or a template.
	Continue bool     `yaml:"continue,omitempty"`
	Options  `yaml:",inline"`
}

// Defaults are the options of every rule that does not set its own, and the
// service of what no rule takes.
type Defaults struct {
	// Service takes what no rule or an unknown service would lose. Default: the
	// service of the last rule without matchers, else the first by name.
	Service string `yaml:"service,omitempty"`
	Options `yaml:",inline"`
}

// Options are what both a rule and the defaults may set.
type Options struct {
	Tier        string         `yaml:"tier,omitempty"`         // a template or a constant.
	UnknownTier string         `yaml:"unknown_tier,omitempty"` // default: the first tier.
	Dedup       *Dedup         `yaml:"dedup,omitempty"`
	Event       EventTemplates `yaml:"event,omitempty"`
}

// Dedup says which alerts share an incident.
type Dedup struct {
	By        DedupBy  `yaml:"by,omitempty"`
	Ignore    []string `yaml:"ignore,omitempty"` // labels that do not count. Default: replica, prometheus_replica.
	Namespace string   `yaml:"namespace,omitempty"`
}

// DedupBy is alert, group, alertmanager, a list of labels, or {key: template}.
// Exactly one of its fields is set.
type DedupBy struct {
	Mode   string   // alert, group or alertmanager.
	Labels []string // the labels that make the key.
	Key    string   // a template.
}

// EventTemplates are the templates of an event; an empty one means the default.
type EventTemplates struct {
	Summary   string            `yaml:"summary,omitempty"`
	Source    string            `yaml:"source,omitempty"`
	Component string            `yaml:"component,omitempty"`
	Group     string            `yaml:"group,omitempty"`
	Class     string            `yaml:"class,omitempty"`
	Client    string            `yaml:"client,omitempty"`
	ClientURL string            `yaml:"client_url,omitempty"`
	Details   map[string]string `yaml:"details,omitempty"` // added to the default ones.
	Links     []LinkTemplate    `yaml:"links,omitempty"`   // added to the default ones.
	Images    []ImageTemplate   `yaml:"images,omitempty"`
}

// LinkTemplate is a link whose fields are templates.
type LinkTemplate struct {
	Href string `yaml:"href"`
	Text string `yaml:"text,omitempty"`
}

// ImageTemplate is an image whose fields are templates.
type ImageTemplate struct {
	Src  string `yaml:"src"`
	Href string `yaml:"href,omitempty"`
	Alt  string `yaml:"alt,omitempty"`
}
