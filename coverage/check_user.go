package coverage

import (
	"fmt"
	"slices"

	"github.com/prometheus/common/model"
)

// duty is what assigns somebody, by its place in the configuration.
type duty struct {
	schedules, policies []int
}

// userChecks looks at the people that audited schedules and policies name.
func (j *judge) userChecks() {
	assigned := j.duties()
	j.unreadable(assigned)
	j.collisions(assigned)
	for _, id := range sortedKeys(assigned) {
		u := j.s.Users[id]
		switch {
		case u != nil && u.Gone:
			j.inactive(u, assigned[id])
		case j.s.unread(KindUser, id), u == nil:
			j.unknown("", KindUser, id, "nothing was read of this person")
		case j.s.lacks(UserUnreachable, KindUser, id): // noted already.
		default:
			j.unreachable(u, assigned[id])
		}
	}
}

// peopleID is the id of all people together, which are what people_unreadable is about.
const peopleID = "people"

// unreadable is people_unreadable: the API token may not read people, or not how they are
// notified. Warning: who has no account, or can be reached by nothing, is not found.
func (j *judge) unreadable(assigned map[string]*duty) {
	if !j.s.denied() {
		return
	}
	hidden := map[string]bool{}
	for _, u := range j.s.Unread {
		if u.Kind == KindUser && u.Denied {
			hidden[u.ID] = true
		}
	}
	who := fmt.Sprintf("%d people", len(hidden))
	switch {
	case hidden[""], len(hidden) >= len(assigned):
		who = "people"
	case len(hidden) == 1:
		who = j.people(sortedKeys(hidden))
	}
	j.add(j.config.People.Mute, Finding{
		Check: PeopleUnreadable, Severity: Warning, Subject: Subject{Kind: KindUser, ID: peopleID, Name: peopleID},
		Text: fmt.Sprintf("The API token may not read %s, or how they are notified: whether they have an account, and whether a page reaches them, is not checked. "+
			"Until it may, they are taken to have one; what was found about them before is resolved after %s. "+
			"Give the token the right to read users, or mute people_unreadable.", who, model.Duration(deniedGrace)),
	})
}

// duties are all people that are assigned or on call.
func (j *judge) duties() map[string]*duty {
	all := map[string]*duty{}
	of := func(user string) *duty {
		if all[user] == nil {
			all[user] = &duty{}
		}
		return all[user]
	}
	once := func(list []int, i int) []int {
		if n := len(list); n > 0 && list[n-1] == i {
			return list
		}
		return append(list, i)
	}
	for i, a := range j.schedules {
		for _, id := range a.Engineers {
			of(id).schedules = once(of(id).schedules, i)
		}
		for id, turns := range a.turns {
			if turns[len(turns)-1].since(j.read.Start).End.After(j.window.Start) {
				of(id).schedules = once(of(id).schedules, i)
			}
		}
		for _, s := range a.Shifts {
			if _, ok := s.within(j.window); ok && !j.live(s.User) {
				of(s.User).schedules = once(of(s.User).schedules, i)
			}
		}
	}
	for i, p := range j.policies {
		for _, l := range p.Levels {
			for _, t := range l.Targets {
				if t.Kind == KindUser {
					of(t.ID).policies = once(of(t.ID).policies, i)
				}
			}
		}
		for _, at := range p.onCalls {
			o := &j.s.OnCalls[at]
			if d := all[o.User]; d != nil && len(d.policies) > 0 && d.policies[len(d.policies)-1] == i {
				continue
			}
			if _, ok := o.within(j.window); ok {
				of(o.User).policies = append(of(o.User).policies, i)
			}
		}
	}
	delete(all, "") // somebody deleted, of whom PagerDuty tells nothing.
	return all
}

// by is what assigns somebody, for the middle of a sentence.
func (j *judge) by(d *duty) string {
	var names []string
	for _, i := range d.schedules {
		names = append(names, "schedule "+named(j.schedules[i].Name, j.schedules[i].ID))
	}
	for _, i := range d.policies {
		names = append(names, "escalation policy "+named(j.policies[i].Name, j.policies[i].ID))
	}
	return list(names)
}

// onCall is when somebody is on call within the time judged.
func (j *judge) onCall(user string, d *duty) []Span {
	var spans []Span
	for _, i := range d.schedules {
		spans = append(spans, asSpans(j.schedules[i].turns[user], j.read)...)
	}
	for _, i := range d.policies {
		for _, at := range j.policies[i].onCalls {
			if o := &j.s.OnCalls[at]; o.User == user {
				spans = append(spans, o.Span)
			}
		}
	}
	return normalise(spans, j.window)
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
		name, j.by(d)))
}

// unreachable is user_unreachable: somebody who is on call within the time judged
// has no rule for high urgency with a contact method that works, or does not meet
// people.profile, if there is one. Critical in the first case: a page reaches them by
// nothing at all. Warning otherwise. What PagerDuty does not call disabled is not:
// most contact methods have no such field.
func (j *judge) unreachable(u *User, d *duty) {
	r := ready(u)
	p := profile(j.config.People.Profile)
	lacks := r.lacks(p)
	nothing := len(r.delays) == 0
	if len(lacks) == 0 && !nothing {
		return
	}
	spans := j.onCall(u.ID, d)
	if len(spans) == 0 {
		return
	}
	severity, meaning := Warning, "A page is easily missed."
	if nothing {
		severity, meaning = Critical, "No high-urgency rule of theirs works: a page reaches them by nothing at all."
	}
	what := fmt.Sprintf("does not meet the profile %s: high-urgency notification rules lack %s", p, list(lacks))
	if len(lacks) == 0 {
		what = "has no high-urgency notification rule with a contact method that works"
	}
	broken := ""
	if len(r.broken) > 0 {
		broken = "; rules of theirs use " + list(r.broken)
	}
	zone := u.TimeZone
	if len(d.schedules) > 0 {
		zone = j.schedules[d.schedules[0]].TimeZone
	}
	j.userFinding(u, UserUnreachable, severity, spans, fmt.Sprintf(
		"%s %s%s. On call for %s: %s. %s",
		named(u.Name, u.ID), what, broken, j.by(d), j.clock(zone).spans(spans), meaning))
}

// collisions is predicted_collision: somebody is on call for two audited schedules
// at once, at times that both require. Warning: of two incidents at once, one has to
// wait or to escalate. A schedule that mutes it does not take part.
func (j *judge) collisions(assigned map[string]*duty) {
	for _, id := range sortedKeys(assigned) {
		var stays []stay
		for _, i := range assigned[id].schedules {
			a := &j.schedules[i]
			if len(assigned[id].schedules) < 2 || slices.Contains(a.config.Mute, string(PredictedCollision)) {
				continue
			}
			for _, s := range intersect(asSpans(a.turns[id], j.read), a.required) {
				// The schedule is the person that sweep counts.
				stays = append(stays, stay{Span: s, user: a.ID})
			}
		}
		if len(stays) > 1 {
			j.collision(id, stays)
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
	// When it began is not told: schedules of which only the past has a turn take no part.
	if both = j.seen(j.longEnough(both)); len(both) == 0 {
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
