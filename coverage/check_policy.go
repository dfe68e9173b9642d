package coverage

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

func (j *judge) policyChecks() {
	var stays []stay // of one policy after the other.
	for i := range j.policies {
		p := &j.policies[i]
		stays = stays[:0]
		laps := make([]lap, 0, len(p.onCalls))
		for _, at := range p.onCalls {
			o := &j.s.OnCalls[at]
			if l, ok := o.lap(j.read); ok && j.live(o.User) {
				p.doubted = p.doubted || j.doubted(o.User)
				laps = append(laps, l)
				stays = append(stays, stay{o.Span, o.User, o.Level})
			}
		}
		p.nobody = subtract([]Span{j.read}, asSpans(merge(laps), j.read))
		uncovered := intersect(p.nobody, p.required)
		gaps := j.longEnough(uncovered)
		j.cover(subject(KindPolicy, p.ID, p.Name), p.required, uncovered, gaps, 0)
		j.policyGap(p, gaps)
		j.policyLevels(p, stays)
		j.ladder(p)
		if p.doubted {
			for _, check := range []CheckID{PolicyGap, PolicyNobodyNow, BelowMinPeople, SamePersonOnLevels} {
				j.unknown(check, KindPolicy, p.ID, doubtedReason)
			}
		}
	}
}

// doubtedReason is why it is not known who is there.
const doubtedReason = "not all of its people were read, and some may have no account"

func (p *auditedPolicy) finding(check CheckID, severity Severity, spans []Span, text string) Finding {
	return Finding{
		Check: check, Severity: severity, Subject: subject(KindPolicy, p.ID, p.Name),
		Spans: spans, Text: text, URL: link(p.URL),
	}
}

func (p *auditedPolicy) title() string { return "Escalation policy " + named(p.Name, p.ID) }

// uses says whether a level of the policy notifies the schedule.
func (p *Policy) uses(s *Schedule) bool {
	if slices.Contains(s.Policies, p.ID) {
		return true
	}
	for _, l := range p.Levels {
		for _, t := range l.Targets {
			if t.Kind == KindSchedule && t.ID == s.ID {
				return true
			}
		}
	}
	return false
}

// policyClock is the clock of the first schedule that the policy notifies.
func (j *judge) policyClock(p *Policy) clock {
	for _, l := range p.Levels {
		for _, t := range l.Targets {
			if s := j.s.Schedules[t.ID]; t.Kind == KindSchedule && s != nil && s.TimeZone != "" {
				return j.clock(s.TimeZone)
			}
		}
	}
	return j.clock("UTC")
}

// policyGap: at a time that is required, nobody is on call on any level of the
// policy. Critical: PagerDuty answers 202 to a page and opens no incident.
//
// policy_nobody_now is the same of this moment, a finding of its own because it is
// over as soon as somebody is on call again, while gaps lie ahead. Critical too.
func (j *judge) policyGap(p *auditedPolicy, gaps []Span) {
	if len(gaps) == 0 {
		return
	}
	clock := j.policyClock(p.Policy)
	affected := "its services"
	if names := j.paged(p); len(names) > 0 {
		affected += " (pagerelay's " + list(names) + ")"
	}
	j.add(p.config.Mute, p.finding(PolicyGap, Critical, gaps, fmt.Sprintf(
		"%s has nobody on call%s: %s. PagerDuty accepts a page to %s then, opens no incident and notifies nobody.",
		p.title(), onLevels(len(p.Levels)), clock.spans(gaps), affected)))
	for _, g := range gaps {
		if g.contains(j.now) {
			j.add(p.config.Mute, p.finding(PolicyNobodyNow, Critical, []Span{g}, fmt.Sprintf(
				"%s has nobody on call at this moment: %s. PagerDuty accepts pages to %s, opens no incident and notifies nobody.",
				p.title(), clock.span(g), affected)))
		}
	}
}

// onLevels says where nobody is on call, of n levels.
func onLevels(n int) string {
	switch n {
	case 0:
		return ", for it has no levels"
	case 1:
		return " on its only level"
	}
	return fmt.Sprintf(" on any of its %d levels", n)
}

// paged are pagerelay's services that page the policy, as far as is known.
func (j *judge) paged(p *auditedPolicy) []string {
	names := map[string]bool{}
	for _, n := range p.config.Services {
		names[oneline.Short(n, maxName)] = true
	}
	for _, s := range j.s.Services {
		if s.Policy != p.ID {
			continue
		}
		for _, relay := range s.Relays {
			names[oneline.Short(relay, maxName)] = true
		}
	}
	return sortedKeys(names)
}

// policyLevels looks at who is on which level at the same time.
//
// below_min_people: at a time that is required, fewer than min_people distinct people
// are on call over all levels. Not looked for with a min_people of 1, which is
// policy_gap. Warning: a page still reaches somebody, or else policy_gap says so.
//
// same_person_on_levels: at a time that is required, everybody on a level is on an
// earlier level too, so that the escalation to it notifies nobody new. A level with
// a further person, such as one that notifies the whole team, is none. Warning: the
// first page arrives.
func (j *judge) policyLevels(p *auditedPolicy, stays []stay) {
	var few, again []Span
	least := p.config.MinPeople
	repeated := map[int]map[string]bool{} // people by level.
	var before []bool
	counts := func(s Span) bool { // reports whether some of s is required and judged.
		part, ok := s.within(j.window)
		return ok && overlap(p.required, part) > 0
	}
	sweep(stays, j.read, func(s Span, r roster) {
		n := r.people()
		if n < p.config.MinPeople {
			few = join(few, s)
			if counts(s) {
				least = min(least, n)
			}
		}
		before = append(before[:0], make([]bool, len(r.users))...)
		for l, on := range r.on {
			known, fresh := 0, 0
			for u := range on {
				if on[u] > 0 && before[u] {
					known++
				} else if on[u] > 0 {
					fresh++
				}
			}
			if known > 0 && fresh == 0 {
				again = join(again, s)
				if counts(s) {
					note(repeated, r.levels[l], r, on)
				}
			}
			for u := range on {
				before[u] = before[u] || on[u] > 0
			}
		}
	})
	clock := j.policyClock(p.Policy)
	few = j.longEnough(intersect(few, p.required))
	if len(few) > 0 && p.config.MinPeople > 1 {
		fewest := "nobody"
		if least > 0 {
			fewest = fmt.Sprintf("only %d", least)
		}
		j.add(p.config.Mute, p.finding(BelowMinPeople, Warning, few, fmt.Sprintf(
			"%s has fewer than %d people on call over all its levels, at times %s: %s. A page that they miss goes no further.",
			p.title(), p.config.MinPeople, fewest, clock.spans(few))))
	}
	if again = j.longEnough(intersect(again, p.required)); len(again) > 0 {
		var who []string
		for _, l := range slices.Sorted(maps.Keys(repeated)) {
			who = append(who, fmt.Sprintf("level %d, %s", l, j.people(sortedKeys(repeated[l]))))
		}
		j.add(p.config.Mute, p.finding(SamePersonOnLevels, Warning, again, fmt.Sprintf(
			"%s has levels with nobody who is not on an earlier one (%s): %s. Who misses a page is paged again, and the escalation reaches nobody new.",
			p.title(), semicolons(who), clock.spans(again))))
	}
}

func note(repeated map[int]map[string]bool, level int, r roster, on []int) {
	if repeated[level] == nil {
		repeated[level] = map[string]bool{}
	}
	for u, n := range on {
		if n > 0 {
			repeated[level][r.users[u]] = true
		}
	}
}

// ladder is escalation_ladder_differs: the policy's levels are not those of the
// configuration, in number, targets, order or delay, or one of pagerelay's services
// that the configuration joins to the policy pages another one. The order of the
// targets of one level does not matter, nor a delay that the configuration leaves
// out. Warning: a page reaches others than was meant, or later.
func (j *judge) ladder(p *auditedPolicy) {
	var diffs []string
	if len(p.config.Levels) > 0 {
		diffs = compareLevels(p.config.Levels, p.Levels)
	}
	unread := func(u Unread) bool { return u.Kind == KindService && u.Check == "" }
	keyless := func(name string) bool { return slices.Contains(j.result.Keyless, name) }
	if len(p.config.Services) > 0 && slices.ContainsFunc(j.s.Unread, unread) || slices.ContainsFunc(p.config.Services, keyless) {
		j.unknown(EscalationLadder, KindPolicy, p.ID, "which policy its services use was not read of all")
	}
	for _, s := range j.relayed {
		if s.Policy == "" || s.Policy == p.ID {
			continue
		}
		for _, relay := range s.Relays {
			if slices.Contains(p.config.Services, relay) && !j.joinedBy(s.Policy, relay) {
				diffs = append(diffs, fmt.Sprintf("pagerelay's service %s pages PagerDuty's service %s, which uses the policy %s instead",
					oneline.Short(relay, maxName), named(s.Name, s.ID), j.policyName(s.Policy)))
			}
		}
	}
	if len(diffs) == 0 {
		return
	}
	j.add(p.config.Mute, p.finding(EscalationLadder, Warning, nil, fmt.Sprintf(
		"%s is not the ladder of the configuration: %s. A page reaches others than was meant, or at another time.",
		p.title(), semicolons(diffs))))
}

// joinedBy says whether the configuration joins the service to that policy too, as
// with a routing key that leads to several.
func (j *judge) joinedBy(policy, relay string) bool {
	return slices.ContainsFunc(j.policies, func(p auditedPolicy) bool {
		return p.ID == policy && slices.Contains(p.config.Services, relay)
	})
}

func (j *judge) policyName(id string) string {
	if p := j.s.Policies[id]; p != nil {
		return named(p.Name, id)
	}
	return named("", id)
}

// compareLevels says what differs, level by level from the first.
func compareLevels(want []LevelConfig, got []Level) []string {
	var diffs []string
	if len(want) != len(got) {
		diffs = append(diffs, fmt.Sprintf("it has %s instead of %d", count(len(got), "level"), len(want)))
	}
	var moved []string
	for i := range min(len(want), len(got)) {
		if !sameTargets(want[i], got[i]) {
			for at := range got {
				if at != i && sameTargets(want[i], got[at]) {
					moved = append(moved, fmt.Sprintf("what should be level %d is level %d", i+1, at+1))
					break
				}
			}
			diffs = append(diffs, fmt.Sprintf("level %d notifies %s instead of %s", i+1, targetNames(got[i]), wantedNames(want[i])))
		}
		if d := time.Duration(want[i].EscalateAfter); d != 0 && d != got[i].EscalateAfter {
			diffs = append(diffs, fmt.Sprintf("level %d hands over after %s instead of %s", i+1, length(got[i].EscalateAfter), length(d)))
		}
	}
	for i := len(got); i < len(want); i++ {
		diffs = append(diffs, fmt.Sprintf("level %d (%s) is missing", i+1, wantedNames(want[i])))
	}
	for i := len(want); i < len(got); i++ {
		diffs = append(diffs, fmt.Sprintf("level %d (%s) is not in the configuration", i+1, targetNames(got[i])))
	}
	if len(moved) > 0 {
		diffs = append(diffs, "the order differs: "+strings.Join(moved, ", "))
	}
	return diffs
}

func sameTargets(want LevelConfig, got Level) bool {
	is := func(t Target, name string) bool { return t.ID == name || t.Name == name }
	for _, t := range got.Targets {
		if !slices.ContainsFunc(want.Targets, func(n string) bool { return is(t, n) }) {
			return false
		}
	}
	for _, n := range want.Targets {
		if !slices.ContainsFunc(got.Targets, func(t Target) bool { return is(t, n) }) {
			return false
		}
	}
	return true
}

func targetNames(l Level) string {
	names := make([]string, len(l.Targets))
	for i, t := range l.Targets {
		names[i] = named(t.Name, t.ID)
	}
	if slices.Sort(names); len(names) == 0 {
		return "nobody"
	}
	return list(names)
}

func wantedNames(l LevelConfig) string {
	names := make([]string, len(l.Targets))
	for i, t := range l.Targets {
		names[i] = oneline.Short(t, maxName)
	}
	slices.Sort(names)
	return list(names)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
