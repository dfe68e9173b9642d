package coverage

import (
	"time"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// Document is an audit as JSON. Its field names do not change.
type Document struct {
	At     time.Time `json:"at"`     // when it was judged.
	Window Span      `json:"window"` // what was judged.
	// Complete says whether everything was read and judged.
	Complete  bool               `json:"complete"`
	Counts    map[Severity]int   `json:"counts"`
	Findings  []Finding          `json:"findings"`
	Unknown   []UnknownDocument  `json:"unknown"`
	Policies  []PolicyDocument   `json:"escalation_policies"`
	Schedules []ScheduleDocument `json:"schedules"`
}

// UnknownDocument is what could not be judged. An empty field stands for all.
type UnknownDocument struct {
	Check  CheckID `json:"check"`
	Kind   Kind    `json:"kind"`
	ID     string  `json:"id"`
	Reason string  `json:"reason"`
}

// PolicyDocument is how an escalation policy is covered.
type PolicyDocument struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Services []string        `json:"services"` // pagerelay's that page it.
	Coverage float64         `json:"coverage_ratio"`
	Gaps     []Span          `json:"gaps"`
	Levels   []LevelDocument `json:"levels"`
}

// LevelDocument is a level of an escalation policy.
type LevelDocument struct {
	Targets       []string `json:"targets"`
	EscalateAfter float64  `json:"escalate_after_seconds"`
	OnCall        []Span   `json:"on_call"` // when somebody is, as far as was judged.
}

// ScheduleDocument is how a schedule is covered.
type ScheduleDocument struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Engineers int     `json:"engineers"`
	Coverage  float64 `json:"coverage_ratio"`
	Gaps      []Span  `json:"gaps"`
}

// Document makes it. It has what PagerDuty's users have written, in one line each.
func (a *Audit) Document() Document {
	d := Document{
		At: a.At.UTC(), Window: a.window(), Complete: a.Whole(), Counts: map[Severity]int{},
		Findings: append([]Finding{}, a.Result.Findings...),
		Unknown:  []UnknownDocument{}, Policies: []PolicyDocument{}, Schedules: []ScheduleDocument{},
	}
	for _, s := range Severities() {
		d.Counts[s] = a.Count(s)
	}
	for _, u := range a.Result.Unknown {
		d.Unknown = append(d.Unknown, UnknownDocument{u.Check, u.Kind, oneline.Short(u.ID, maxName), oneline.Short(u.Reason, maxReason)})
	}
	for _, c := range a.covers(KindPolicy) {
		p := PolicyDocument{
			ID: c.Subject.ID, Name: c.Subject.Name, Services: append([]string{}, a.pagedBy(c.Subject)...),
			Coverage: c.Ratio, Gaps: append([]Span{}, c.Gaps...), Levels: []LevelDocument{},
		}
		if read := a.Snapshot.Policies[c.Subject.ID]; read != nil {
			for i, l := range read.Levels {
				level := LevelDocument{
					Targets: []string{}, EscalateAfter: l.EscalateAfter.Seconds(),
					OnCall: append([]Span{}, normalise(a.onLevel(read.ID, i+1), c.Window)...),
				}
				for _, t := range l.Targets {
					level.Targets = append(level.Targets, named(t.Name, t.ID))
				}
				p.Levels = append(p.Levels, level)
			}
		}
		d.Policies = append(d.Policies, p)
	}
	for _, c := range a.covers(KindSchedule) {
		d.Schedules = append(d.Schedules, ScheduleDocument{
			ID: c.Subject.ID, Name: c.Subject.Name, Engineers: c.Engineers, Coverage: c.Ratio, Gaps: append([]Span{}, c.Gaps...),
		})
	}
	return d
}
