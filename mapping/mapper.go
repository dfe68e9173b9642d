package mapping

// Mapper is a compiled configuration. It is safe for concurrent use.
type Mapper struct {
	rules    []rule
	byName   map[string]*rule
	index    *index
	fallback rule // the defaults, as a rule: for what no rule takes.

	tiers          map[string]*tier // by tierKey.
	findings       map[string]*tier // of the audit's findings, by their severity.
	services       map[string]bool
	defaultService string
}

// New compiles cfg. Every fault is reported at once: the error joins one error
// for each, whose text starts with the path of the field (`rules[3].service: ...`).
func New(cfg Config) (*Mapper, error) { return compile(cfg) }

// Rules lists the names of the rules, in order.
func (m *Mapper) Rules() []string {
	names := make([]string, len(m.rules))
	for i := range m.rules {
		names[i] = m.rules[i].name
	}
	return names
}

// DefaultService is the service that takes what no rule or an unknown service
// would lose.
func (m *Mapper) DefaultService() string { return m.defaultService }

// Route says which incidents the alerts of a group belong to: at least one
// observation for each alert, in the group's order; with continue several, never
// two of the same incident. Each alert is judged by its own status; one that is
// not resolved fires. The observations share the labels and annotations of g.
func (m *Mapper) Route(g *Group) []Observation { return m.route(g, nil) }

// RouteErrors says which templates fail when g is routed, each error with the
// template's path: what `pagerelay rules test` shows beside FaultTemplate.
func (m *Mapper) RouteErrors(g *Group) []error {
	var errs []error
	m.route(g, func(err error) { errs = append(errs, err) })
	return errs
}

// Render makes the event of an incident as it is now. Whatever the labels and
// templates are, the event is one that PagerDuty takes: summary and source are
// not empty, the severity is valid, and it leaves 2 KiB of MaxEventSize for the
// sender's part. Each fault is reported once. o.Now must be set: it is the
// timestamp of an incident whose members have none.
//
// The templates are those of the incident's rule, or the defaults' if there is
// no rule of that name any more.
func (m *Mapper) Render(in Incident, o RenderOptions) (Event, []Fault) {
	return m.render(in, o, nil)
}

// RenderErrors says which templates fail when in is rendered, each error with
// the template's path.
func (m *Mapper) RenderErrors(in Incident, o RenderOptions) []error {
	var errs []error
	m.render(in, o, func(err error) { errs = append(errs, err) })
	return errs
}
