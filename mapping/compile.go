package mapping

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/pkg/labels"
)

// rule is a compiled Rule with the defaults filled in.
type rule struct {
	name        string
	matchers    labels.Matchers
	service     *text // nil: the default service.
	cont        bool
	tier        *text
	unknownTier *tier
	dedup       dedup
	event       *eventTexts
}

// tier is a compiled Tier.
type tier struct {
	name     string
	urgency  Urgency
	severity string
}

// DefaultTiers are the tiers of a configuration that names none.
func DefaultTiers() []Tier {
	return []Tier{
		{Name: "critical", Urgency: High},
		{Name: "warning", Urgency: Low},
		{Name: "info", Urgency: Acknowledged},
		{Name: "none", Urgency: None},
	}
}

// Severities lists PagerDuty's severities, most severe first.
func Severities() []string { return []string{"critical", "error", "warning", "info"} }

// severityOf is the severity that an urgency implies.
func severityOf(u Urgency) string {
	switch u {
	case High:
		return "critical"
	case Low:
		return "warning"
	case Acknowledged, Change, None:
		return "info"
	}
	return "critical"
}

// compiler collects faults while it builds a Mapper.
type compiler struct {
	cfg    Config
	m      *Mapper
	faults []error
}

func (c *compiler) fault(path, format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("%s: %w", path, fmt.Errorf(format, args...)))
}

func compile(cfg Config) (*Mapper, error) {
	c := &compiler{cfg: cfg, m: &Mapper{
		byName: map[string]*rule{}, tiers: map[string]*tier{}, findings: map[string]*tier{}, services: map[string]bool{},
	}}
	first := c.tiers()
	c.services()

	builtIn := rule{
		tier:        c.text("defaults.tier", "{{ .Labels.severity }}", noClock, sampleAlertData()),
		unknownTier: first,
		dedup:       dedup{mode: byGroup, ignore: []string{"replica", "prometheus_replica"}},
		event:       &eventTexts{},
	}
	c.m.fallback = c.options("defaults", cfg.Defaults.Options, builtIn)

	c.m.rules = make([]rule, len(cfg.Rules))
	matchers := make([]labels.Matchers, len(cfg.Rules))
	for i := range cfg.Rules {
		c.rule(i)
		matchers[i] = c.m.rules[i].matchers
	}
	if len(c.faults) > 0 {
		return nil, errors.Join(c.faults...)
	}
	c.m.index = newIndex(matchers)
	return c.m, nil
}

// tiers compiles the tiers and returns the first.
func (c *compiler) tiers() *tier {
	ts := c.cfg.Tiers
	if len(ts) == 0 {
		ts = DefaultTiers()
	}
	var first *tier
	for i, t := range ts {
		path := fmt.Sprintf("tiers[%d]", i)
		key := tierKey(t.Name)
		if key == "" {
			c.fault(path+".name", "a tier needs a name")
		} else if c.m.tiers[key] != nil {
			c.fault(path+".name", "%q is there twice (case does not count)", t.Name)
		}
		if !slices.Contains(Urgencies(), t.Urgency) {
			c.fault(path+".urgency", "%q is not one of %s", t.Urgency, join(Urgencies()))
		}
		severity := t.Severity
		if severity == "" {
			severity = severityOf(t.Urgency)
		} else if !slices.Contains(Severities(), severity) {
			c.fault(path+".severity", "%q is not one of %s", severity, join(Severities()))
		}
		compiled := &tier{name: strings.TrimSpace(t.Name), urgency: t.Urgency, severity: severity}
		c.m.tiers[key] = compiled
		if first == nil {
			first = compiled
		}
		c.findings(compiled)
	}
	return first
}

// findings makes t the tier of a finding's severity if none has that name, and t's urgency
// is nearer than those of the tiers before: the severity's own, else the next more
// urgent one, else the next less urgent one. So there is always one.
func (c *compiler) findings(t *tier) {
	far := func(t *tier, u Urgency) int {
		if less := t.urgency.Rank() - u.Rank(); less > 0 {
			return len(Urgencies()) + less
		}
		return u.Rank() - t.urgency.Rank()
	}
	for severity, u := range map[string]Urgency{"critical": High, "warning": Low, "info": Acknowledged} {
		if best := c.m.findings[severity]; best == nil || far(t, u) < far(best, u) {
			c.m.findings[severity] = t
		}
	}
}

// services notes the services and chooses the default one.
func (c *compiler) services() {
	for _, s := range c.cfg.Services {
		c.m.services[s] = true
	}
	names := slices.Sorted(maps.Keys(c.m.services))
	if len(names) == 0 {
		c.fault("services", "at least one service is needed")
		return
	}
	switch d := c.cfg.Defaults.Service; {
	case d != "":
		if !c.m.services[d] {
			c.fault("defaults.service", "%q is not in services", d)
		}
		c.m.defaultService = d
		return
	case len(c.cfg.Rules) == 0 && len(names) > 1:
		c.fault("defaults.service", "there are no rules and several services: name the one that gets the alerts")
	}
	c.m.defaultService = names[0]
	for _, r := range c.cfg.Rules {
		if len(r.Matchers) == 0 && c.m.services[r.Service] {
			c.m.defaultService = r.Service
		}
	}
}

func (c *compiler) rule(i int) {
	path, cfg := fmt.Sprintf("rules[%d]", i), c.cfg.Rules[i]
	r := c.options(path, cfg.Options, c.m.fallback)
	r.name, r.cont = cfg.Name, cfg.Continue
	switch other := c.m.byName[r.name]; {
	case r.name == "":
		c.fault(path+".name", "a rule needs a name: metrics and the outbox use it")
	case other != nil:
		c.fault(path+".name", "%q is there twice", r.name)
	default:
		c.m.byName[r.name] = &c.m.rules[i]
	}
	for j, in := range cfg.Matchers {
		ms, err := parseMatchers(in)
		if err != nil {
			c.fault(fmt.Sprintf("%s.matchers[%d]", path, j), "%w", err)
		}
		r.matchers = append(r.matchers, ms...)
	}
	if cfg.Service != "" {
		r.service = c.text(path+".service", cfg.Service, noClock, sampleAlertData())
		if r.service.tmpl == nil && r.service.path != "" && !c.m.services[cfg.Service] {
			c.fault(path+".service", "%q is not in services", cfg.Service)
		}
	}
	c.m.rules[i] = r
}

// options compiles o over what is inherited.
func (c *compiler) options(path string, o Options, inherited rule) rule {
	r := inherited
	if o.Tier != "" {
		r.tier = c.text(path+".tier", o.Tier, noClock, sampleAlertData())
		if r.tier.tmpl == nil && r.tier.path != "" && c.m.tiers[tierKey(o.Tier)] == nil {
			c.fault(path+".tier", "%q is not in tiers", o.Tier)
		}
	}
	if o.UnknownTier != "" {
		if r.unknownTier = c.m.tiers[tierKey(o.UnknownTier)]; r.unknownTier == nil {
			c.fault(path+".unknown_tier", "%q is not in tiers", o.UnknownTier)
		}
	}
	if o.Dedup != nil {
		c.dedup(path+".dedup", o.Dedup, &r.dedup)
	}
	r.event = c.event(path+".event", o.Event, inherited.event)
	return r
}

// dedup compiles cfg over what d holds.
func (c *compiler) dedup(path string, cfg *Dedup, d *dedup) {
	if cfg.Namespace != "" {
		d.namespace = cfg.Namespace
	}
	if cfg.Ignore != nil {
		d.ignore = slices.Clone(cfg.Ignore)
		for i, l := range cfg.Ignore {
			if l == "" {
				c.fault(fmt.Sprintf("%s.ignore[%d]", path, i), "the name of a label is empty")
			}
		}
	}
	by, set := cfg.By, 0
	for _, is := range []bool{by.Mode != "", by.Labels != nil, by.Key != ""} {
		if is {
			set++
		}
	}
	path += ".by"
	switch {
	case set == 0:
		return
	case set > 1:
		c.fault(path, "give one of a mode, a list of labels and a key")
	case by.Mode != "":
		if by.Mode != byAlert && by.Mode != byGroup && by.Mode != byAlertmanager {
			c.fault(path, "%q is not alert, group or alertmanager (a list of labels is written [a, b])", by.Mode)
		}
		d.mode = by.Mode
	case by.Key != "":
		d.mode, d.key = byTemplate, c.text(path+".key", by.Key, noClock, sampleKeyData())
		if d.key.tmpl == nil && d.key.path != "" && strings.TrimSpace(by.Key) == "" {
			c.fault(path+".key", "the key is empty")
		}
	default:
		if len(by.Labels) == 0 {
			c.fault(path, "the list of labels is empty: every alert would share one incident")
		}
		for i, l := range by.Labels {
			if l == "" {
				c.fault(fmt.Sprintf("%s[%d]", path, i), "the name of a label is empty")
			} else if slices.Contains(by.Labels[:i], l) {
				c.fault(fmt.Sprintf("%s[%d]", path, i), "%q is there twice", l)
			}
		}
		// Sorted: the order in which labels are listed makes no other incident.
		d.mode, d.labels = byLabels, slices.Sorted(slices.Values(by.Labels))
	}
}

// text compiles a template; after a fault it returns an empty one.
func (c *compiler) text(path, src string, k clock, sample any) *text {
	t, err := compileText(path, src, k, sample)
	if err != nil {
		c.faults = append(c.faults, err)
		return &text{}
	}
	return t
}

func join[S ~string](list []S) string {
	var b strings.Builder
	for i, s := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(s))
	}
	return b.String()
}
