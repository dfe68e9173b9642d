package coverage

import (
	"fmt"
	"slices"
	"strings"
)

// duty is when somebody is on call, as audited schedules and policies have it.
type duty struct {
	spans []Span
	named []string // the schedules and policies, in the order of the configuration.
	zone  string   // of the first of the schedules.
}

func (d *duty) add(name, zone string, s Span) {
	if !s.End.IsZero() {
		d.spans = append(d.spans, s)
	}
	if !slices.Contains(d.named, name) {
		d.named = append(d.named, name)
	}
	if d.zone == "" {
		d.zone = zone
	}
}

// userChecks looks at the people that audited schedules and policies name.
func (j *judge) userChecks() {
	onCall, assigned := j.duties()
	j.collisions()
	for _, id := range sortedKeys(assigned) {
		u := j.s.Users[id]
		switch {
		case u != nil && u.Gone:
			j.inactive(u, assigned[id])
		case j.s.unread(KindUser, id), u == nil:
			j.unknown("", KindUser, id, "nothing was read of this person")
		case onCall[id] != nil && j.config.People.Profile != "":
			j.unreachable(u, onCall[id])
		}
	}
}

// duties are the times for which each person is on call within the time judged, and
// all people that are on call then or assigned, with what assigns them.
func (j *judge) duties() (onCall, assigned map[string]*duty) {
	onCall, assigned = map[string]*duty{}, map[string]*duty{}
	note := func(m map[string]*duty, user, name, zone string, s Span) {
		if user == "" {
			return // somebody deleted, of whom PagerDuty tells nothing.
		}
		if m[user] == nil {
			m[user] = &duty{}
		}
		m[user].add(name, zone, s)
	}
	for _, a := range j.schedules {
		title := a.title()
		for _, id := range a.Engineers {
			note(assigned, id, title, a.TimeZone, Span{})
		}
		for _, s := range a.Shifts {
			if part, ok := s.within(j.window); ok {
				note(assigned, s.User, title, a.TimeZone, Span{})
				note(onCall, s.User, title, a.TimeZone, part)
			}
		}
	}
	titles := map[string]string{} // of audited policies.
	for i := range j.policies {
		p := &j.policies[i]
		titles[p.ID] = p.title()
		for _, l := range p.Levels {
			for _, t := range l.Targets {
				if t.Kind == KindUser {
					note(assigned, t.ID, titles[p.ID], "", Span{})
				}
			}
		}
	}
	for _, o := range j.s.OnCalls {
		if title, ok := titles[o.Policy]; ok {
			if part, ok := o.within(j.window); ok {
				note(assigned, o.User, title, "", Span{})
				note(onCall, o.User, title, "", part)
			}
		}
	}
	return onCall, assigned
}

func (j *judge) userFinding(u *User, check CheckID, severity Severity, spans []Span, text string) {
	j.add(j.config.People.Mute, Finding{
		Check: check, Severity: severity, Subject: subject(KindUser, u.ID, u.Name),
		Spans: spans, Text: text, URL: link(u.URL),
	})
}

// inactive is inactive_user: an audited schedule or policy still names somebody who
// has no account. Warning: their turns are counted as nobody's by the gap checks,
// which are critical where that loses pages.
func (j *judge) inactive(u *User, d *duty) {
	name := named(u.Name, u.ID)
	j.userFinding(u, InactiveUser, Warning, nil, fmt.Sprintf(
		"%s has no PagerDuty account any more, but is still named by %s. A page finds nobody in their turns.",
		name, list(lowered(d.named))))
}

// unreachable is user_unreachable: somebody who is on call within the time judged
// does not meet people.profile; without a profile nobody is looked at. Critical if
// no rule for high urgency has a contact method that works: a page reaches them by
// nothing at all. Warning otherwise. What PagerDuty does not call disabled is not:
// most contact methods have no such field.
func (j *judge) unreachable(u *User, d *duty) {
	r := ready(u)
	p := profile(j.config.People.Profile)
	lacks := r.lacks(p)
	if len(lacks) == 0 {
		return
	}
	severity, meaning := Warning, "A page is easily missed."
	if len(r.delays) == 0 {
		severity, meaning = Critical, "No high-urgency rule of theirs works: a page reaches them by nothing at all."
	}
	broken := ""
	if len(r.broken) > 0 {
		broken = "; rules of theirs use " + list(r.broken)
	}
	zone := d.zone
	if zone == "" {
		zone = u.TimeZone
	}
	spans := normalise(d.spans, j.window)
	j.userFinding(u, UserUnreachable, severity, spans, fmt.Sprintf(
		"%s does not meet the profile %s: high-urgency notification rules lack %s%s. On call for %s: %s. %s",
		named(u.Name, u.ID), p, list(lacks), broken, list(lowered(d.named)), j.clock(zone).spans(spans), meaning))
}

// collisions is predicted_collision: somebody is on call for two audited schedules
// at once, at times that both require. Warning: of two incidents at once, one has to
// wait or to escalate. A schedule that mutes it does not take part.
func (j *judge) collisions() {
	type turn struct {
		stays     []stay
		schedules map[int]bool
	}
	turns := map[string]*turn{}
	seen := map[string]bool{}
	for i, a := range j.schedules {
		if slices.Contains(a.config.Mute, string(PredictedCollision)) || seen[a.ID] {
			continue
		}
		seen[a.ID] = true
		mine := map[string][]Span{}
		for _, s := range a.Shifts {
			if j.live(s.User) {
				mine[s.User] = append(mine[s.User], s.Span)
			}
		}
		for user, spans := range mine {
			if turns[user] == nil {
				turns[user] = &turn{schedules: map[int]bool{}}
			}
			t := turns[user]
			for _, s := range intersect(normalise(spans, j.read), a.required) {
				// The schedule is the person that sweep counts.
				t.stays = append(t.stays, stay{Span: s, user: a.ID})
				t.schedules[i] = true
			}
		}
	}
	for _, id := range sortedKeys(turns) {
		if t := turns[id]; len(t.schedules) > 1 {
			j.collision(id, t.stays)
		}
	}
}

// collision reports the times of which one person has stays in several schedules.
func (j *judge) collision(id string, stays []stay) {
	var both []Span
	which := map[string]bool{}
	sweep(stays, j.read, func(s Span, r roster) {
		if r.people() < 2 {
			return
		}
		both = join(both, s)
		if s.End.After(j.window.Start) {
			for u, schedule := range r.users {
				if r.on[0][u] > 0 {
					which[schedule] = true
				}
			}
		}
	})
	if both = j.longEnough(both); len(both) == 0 {
		return
	}
	u := j.s.Users[id]
	if u == nil {
		u = &User{ID: id}
	}
	var names []string
	zone := ""
	for _, a := range j.schedules {
		if which[a.ID] && !slices.Contains(names, named(a.Name, a.ID)) {
			names = append(names, named(a.Name, a.ID))
			if zone == "" {
				zone = a.TimeZone
			}
		}
	}
	j.userFinding(u, PredictedCollision, Warning, both, fmt.Sprintf(
		"%s is on call for several schedules at once (%s): %s. Of two pages at once, one waits or escalates.",
		named(u.Name, id), list(names), j.clock(zone).spans(both)))
}

// lowered makes titles fit the middle of a sentence.
func lowered(titles []string) []string {
	out := make([]string, len(titles))
	for i, t := range titles {
		out[i] = strings.ToLower(t[:1]) + t[1:] // begins with a word of ours.
	}
	return out
}
