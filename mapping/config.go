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

// Options are what both a rule and the defaults may set. A rule inherits each
// field that it does not set; of dedup and event, each field of those.
//
// Templates are Go's text/template with Alertmanager's functions, compiled once;
// {{ template }} and {{ range }} over a number are refused, and what one writes
// is bounded to 64 KiB. They see Alertmanager's words:
//
//   - tier and service: one alert, .Labels .Annotations .StartsAt .EndsAt
//     .GeneratorURL .Fingerprint .Status, and its group, .GroupLabels
//     .CommonLabels .CommonAnnotations .RouteLabels .Receiver .ExternalURL
//     .GroupKey. The functions now and since are refused: every replica must
//     come to the same result.
//   - the key of a dedup: only what is the same in every notification about the
//     alert: .Labels .GroupLabels .RouteLabels .Fingerprint .Receiver .GroupKey.
//   - event: the incident as it is now: the fields of tier and service (without
//     .RouteLabels) for its leading member, the one that has fired longest;
//     .Status is firing while any member fires; .CommonLabels and
//     .CommonAnnotations are over the firing members; .Alerts has all members
//     (.Alerts.Firing, .Alerts.Resolved); and .Tier .Urgency .Severity .Service
//     .Rule .DedupKey. now is the time of rendering.
//
// .Receiver is the name as it is in Alertmanager's configuration, not quoted as
// a regular expression as Alertmanager's own templates see it.
type Options struct {
	Tier        string         `yaml:"tier,omitempty"`         // a template or a constant.
	UnknownTier string         `yaml:"unknown_tier,omitempty"` // default: the first tier.
	Dedup       *Dedup         `yaml:"dedup,omitempty"`
	Event       EventTemplates `yaml:"event,omitempty"`
}

// Dedup says which alerts share an incident.
type Dedup struct {
	By DedupBy `yaml:"by,omitempty"` // default: group.
	// Ignore are labels that do not count when the key is made of all labels, nor
	// in a silence that an event links to. Default: replica, prometheus_replica;
	// an empty list ignores none. A list of labels in By is taken as it is.
	Ignore []string `yaml:"ignore,omitempty"`
	// Namespace is part of every key but Alertmanager's own.
	Namespace string `yaml:"namespace,omitempty"`
}

// DedupBy is alert, group, alertmanager, a list of labels, or {key: template}.
// Exactly one of its fields is set.
type DedupBy struct {
	Mode   string   // alert, group or alertmanager.
	Labels []string // the labels that make the key.
	Key    string   // a template.
}

// EventTemplates are the templates of an event. One that is not set, writes
// nothing or fails means the built-in default. A rule's links or images replace
// those of the defaults; its details join them, name by name.
type EventTemplates struct {
	Summary   string `yaml:"summary,omitempty"`
	Source    string `yaml:"source,omitempty"`
	Component string `yaml:"component,omitempty"`
	Group     string `yaml:"group,omitempty"`
	Class     string `yaml:"class,omitempty"`
	Client    string `yaml:"client,omitempty"`
	ClientURL string `yaml:"client_url,omitempty"`
	// Details are added to the default ones. What a template writes as JSON
	// ({{ .CommonLabels | toJson }}) is taken as JSON.
	Details map[string]string `yaml:"details,omitempty"`
	Links   []LinkTemplate    `yaml:"links,omitempty"` // added to the default ones.
	Images  []ImageTemplate   `yaml:"images,omitempty"`
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
