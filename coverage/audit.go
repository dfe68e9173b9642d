package coverage

import (
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// Audit is what an audit came to. It does not change once made.
type Audit struct {
	At       time.Time // when it was judged.
	Config   Config    // with its defaults.
	Snapshot *Snapshot
	Result   Result
}

// NewAudit judges what was read.
func NewAudit(s *Snapshot, c Config, now time.Time) *Audit {
	return &Audit{At: now, Config: c, Snapshot: s, Result: Check(s, c, now)}
}

// Audits says whether c names anything to audit.
func (c Config) Audits() bool { return len(c.Schedules)+len(c.Policies) > 0 }

// Severities lists all severities, the most severe first.
func Severities() []Severity { return []Severity{Critical, Warning, Info} }

// Count is the number of findings of a severity.
func (a *Audit) Count(s Severity) int {
	n := 0
	for i := range a.Result.Findings {
		if a.Result.Findings[i].Severity == s {
			n++
		}
	}
	return n
}

// AtLeast says whether there is a finding of the given severity or a worse one.
func (a *Audit) AtLeast(s Severity) bool {
	return slices.ContainsFunc(a.Result.Findings, func(f Finding) bool {
		return slices.Index(Severities(), f.Severity) <= slices.Index(Severities(), s)
	})
}

// Whole says whether everything was read, and every question answered, but for those
// that the token may not ask.
func (a *Audit) Whole() bool {
	return !slices.ContainsFunc(a.Snapshot.Unread, func(u Unread) bool { return !u.Accepted }) &&
		!slices.ContainsFunc(a.Result.Unknown, func(u Unknown) bool { return !u.Accepted })
}

// maxReasons bounds Reasons: a thousand schedules mostly fail for one reason.
const maxReasons = 10

// Reasons are why something could not be read or judged, each once; the first ten.
func (a *Audit) Reasons() []string {
	var list []string
	add := func(reason string) {
		if len(list) < maxReasons && !slices.Contains(list, reason) {
			list = append(list, reason)
		}
	}
	for _, u := range a.Snapshot.Unread {
		add(u.Reason)
	}
	for _, u := range a.Result.Unknown {
		add(u.Reason)
	}
	return list
}

// configured is the name that the configuration has for a schedule or policy; ""
// if it does not name it.
func (c Config) configured(s Subject) string {
	is := func(name string) bool { return name == s.ID || oneline.Short(name, maxName) == s.Name }
	switch s.Kind {
	case KindSchedule:
		for _, sc := range c.Schedules {
			if is(sc.Name) {
				return sc.Name
			}
		}
	case KindPolicy:
		for _, p := range c.Policies {
			if is(p.Name) {
				return p.Name
			}
		}
	case KindService, KindUser:
	}
	return ""
}
