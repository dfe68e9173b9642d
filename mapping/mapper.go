package mapping

import "errors"

// Mapper is a compiled configuration. It is safe for concurrent use.
type Mapper struct{}

// New compiles cfg. Every fault is reported at once: the error joins one error
// for each, whose text starts with the path of the field (`rules[3].service: ...`).
func New(cfg Config) (*Mapper, error) { return nil, errors.New("not built yet") }

// Route says which incidents the alerts of a group belong to: at least one
// observation for each alert, in the group's order.
func (m *Mapper) Route(g *Group) []Observation { return nil }

// Render makes the event of an incident as it is now.
func (m *Mapper) Render(in Incident, o RenderOptions) (Event, []Fault) { return Event{}, nil }
