package coverage

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// What overload is. PagerDuty has no such numbers; these are ours, wide enough that a
// weekly rotation, and one of two weeks, is none.
const (
	overloadFactor = 2                   // times the fair share.
	overloadAtOnce = 14 * 24 * time.Hour // without a break.
)

func (j *judge) scheduleChecks() {
	for _, a := range j.schedules {
		laps := make([]lap, 0, len(a.Shifts))
		doubted := false
		for user, turns := range a.turns {
			laps = append(laps, turns...)
			doubted = doubted || j.doubted(user)
		}
		if doubted {
			j.unknown(ScheduleGap, KindSchedule, a.ID, doubtedReason)
		}
		if doubted || slices.ContainsFunc(a.Engineers, j.doubted) {
			j.unknown(Overload, KindSchedule, a.ID, doubtedReason)
		}
		uncovered := subtract(a.required, asSpans(merge(laps), j.read))
		gaps := j.longEnough(uncovered)
		j.cover(subject(KindSchedule, a.ID, a.Name), a.required, uncovered, gaps, len(j.engineers(a)))
		j.scheduleGap(a, gaps)
		j.emptyMember(a)
		j.belowMinEngineers(a)
		j.overload(a)
		j.layerEndsSoon(a, gaps)
		j.scheduleUnused(a)
	}
}

// cover notes how a subject is covered; uncovered is within what was read.
func (j *judge) cover(s Subject, required, uncovered, gaps []Span, engineers int) {
	c := Cover{Subject: s, Window: j.window, Gaps: gaps, Ratio: 1, Engineers: engineers}
	if need := overlap(required, j.window); need > 0 {
		c.Ratio = 1 - overlap(uncovered, j.window).Seconds()/need.Seconds()
	}
	j.result.Cover = append(j.result.Cover, c)
}

// engineers are the people assigned to a schedule that have an account, as far as is
// known, each once.
func (j *judge) engineers(a auditedSchedule) []string {
	var ids []string
	for _, id := range a.Engineers {
		if j.live(id) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (a auditedSchedule) finding(check CheckID, severity Severity, spans []Span, text string) Finding {
	return Finding{
		Check: check, Severity: severity, Subject: subject(KindSchedule, a.ID, a.Name),
		Spans: spans, Text: text, URL: link(a.URL),
	}
}

func (a auditedSchedule) title() string { return "Schedule " + named(a.Name, a.ID) }

// scheduleGap: nobody is on call in the schedule at a time that is required. A person
// that was deleted, or an empty member of a shift-based schedule, is nobody.
//
// Warning if audited policies use the schedule and each of them has somebody else on
// call then: pages come through, by way of another level. Critical otherwise, also
// where no policy of the configuration uses it: nothing shows then that anybody would
// be paged.
//
// Where a policy that may use it could not be judged, or the people on call on it not
// be read, and no other one makes it critical, it is a warning and the check is not
// known: it may be critical, and what is open of it stays.
func (j *judge) scheduleGap(a auditedSchedule, gaps []Span) {
	if len(gaps) == 0 {
		return
	}
	var caught, lost []string
	doubted := false
	for _, p := range j.policies {
		if !p.uses(a.Schedule) {
			continue
		}
		if len(intersect(p.nobody, j.seen(gaps))) > 0 {
			lost = append(lost, named(p.Name, p.ID))
		} else {
			caught = append(caught, named(p.Name, p.ID))
			doubted = doubted || p.doubted
		}
	}
	severity, meaning := Critical, ""
	maybe := slices.ContainsFunc(j.unjudged, func(p *Policy) bool { return p == nil || p.uses(a.Schedule) })
	if len(lost) == 0 && maybe {
		j.unknown(ScheduleGap, KindSchedule, a.ID, "how severe its gaps are depends on an escalation policy that was not read")
	}
	if len(lost) == 0 && doubted {
		j.unknown(ScheduleGap, KindSchedule, a.ID, doubtedReason)
	}
	switch {
	case len(lost) > 0:
		meaning = fmt.Sprintf("Nobody else is on call then on escalation policy %s: pages to its services open no incident.", list(lost))
	case len(caught) > 0:
		severity = Warning
		meaning = fmt.Sprintf("Pages reach somebody else on escalation policy %s, where the level is passed over.", list(caught))
	case maybe:
		severity = Warning
		meaning = "Whether somebody else is paged then could not be judged."
	default:
		meaning = "No audited escalation policy that uses it shows that somebody else is paged then: pages may open no incident."
	}
	j.add(a.config.Mute, a.finding(ScheduleGap, severity, gaps, fmt.Sprintf(
		"%s has nobody on call: %s. %s", a.title(), j.clock(a.TimeZone).spans(gaps), meaning)))
}

// emptyMember: a shift-based schedule gives required times expressly to nobody, by
// intent or because somebody was taken out of a rotation. Warning: what it means for
// pages is for schedule_gap and policy_gap, which count nobody as nobody.
func (j *judge) emptyMember(a auditedSchedule) {
	empty := j.longEnough(intersect(normalise(a.Empty, j.read), a.required))
	if len(empty) == 0 {
		return
	}
	j.add(a.config.Mute, a.finding(EmptyMember, Warning, empty, fmt.Sprintf(
		"%s gives shifts to nobody (an empty member): %s. Unless somebody else has a shift at the same time, a page finds nobody in it.",
		a.title(), j.clock(a.TimeZone).spans(empty))))
}

// belowMinEngineers: fewer people than min_engineers are assigned to the schedule,
// each counted once, on call within the horizon or not; people without an account do
// not count. Critical: it is what the configuration asks for, and with one person
// left a single illness is a gap.
func (j *judge) belowMinEngineers(a auditedSchedule) {
	people := j.engineers(a)
	want := a.config.MinEngineers
	if len(people) >= want {
		if slices.ContainsFunc(people, j.doubted) {
			j.unknown(BelowMinEngineers, KindSchedule, a.ID, "not all people assigned to it were read")
		}
		return
	}
	who, meaning := "nobody is", "A page finds nobody in it."
	switch names := j.people(people); len(people) {
	case 0:
	case 1:
		who, meaning = "only "+names+" is", "When that person is ill, asleep or away, a page finds nobody else in it."
	default:
		who, meaning = "only "+names+" are", "When one of them is ill or away, few are left that a page can find."
	}
	j.add(a.config.Mute, a.finding(BelowMinEngineers, Critical, nil, fmt.Sprintf(
		"%s has %s, at least %d are required: %s assigned to it. %s",
		a.title(), count(len(people), "engineer"), want, who, meaning)))
}

// overload: within the time judged, somebody has more than twice the fair share of
// the schedule (its on-call time by the number of its engineers) and also more than
// the fair share and one turn, so that a short horizon, in which not all have their
// turn, is no overload; or is on call for 14 days or more without a break. Nothing
// can be said of shares with fewer than two engineers, or of 14 days with a shorter
// horizon. Info: it costs no page, but tired people answer late.
func (j *judge) overload(a auditedSchedule) {
	var longest, all, fair time.Duration
	for _, s := range a.Shifts {
		if part, ok := s.within(j.window); ok {
			longest = max(longest, part.duration())
		}
	}
	mine := make(map[string]time.Duration, len(a.turns))
	atOnce := map[string]bool{}
	judged := lap{j.window.Start.Sub(j.read.Start), j.window.End.Sub(j.read.Start)}
	for user, laps := range a.turns {
		for _, l := range laps {
			long := min(l.to, judged.to) - max(l.from, judged.from)
			if long > 0 {
				mine[user] += long
				all += long
			}
			if long >= overloadAtOnce {
				atOnce[user] = true
			}
		}
	}
	if n := len(j.engineers(a)); n >= 2 {
		fair = all / time.Duration(n)
	}
	var who []string
	var when []Span
	for _, user := range sortedKeys(mine) {
		if !atOnce[user] && (fair == 0 || mine[user] <= overloadFactor*fair || mine[user] <= fair+longest) {
			continue
		}
		turns := j.seen(asSpans(a.turns[user], j.read))
		if atOnce[user] {
			turns = atLeast(turns, overloadAtOnce)
			who = append(who, fmt.Sprintf("%s is on call without a break: %s", j.person(user), j.clock(a.TimeZone).spans(turns)))
		} else {
			who = append(who, fmt.Sprintf("%s is on call for %s, a fair share is %s", j.person(user), length(mine[user]), length(fair)))
		}
		when = append(when, turns...)
	}
	if len(who) == 0 {
		return
	}
	j.add(a.config.Mute, a.finding(Overload, Info, normalise(when, j.window), fmt.Sprintf(
		"%s is a burden to some: %s. Tired people miss pages.", a.title(), semicolons(who))))
}

// layerEndsSoon: a layer or rotation ends by itself within the time judged. Warning if
// the schedule has a gap after that, which may be its turns'; the gap itself is
// schedule_gap's. Info otherwise: another one has its turns.
func (j *judge) layerEndsSoon(a auditedSchedule, gaps []Span) {
	severity, meaning := Info, "Others have their turns after that, as far as was judged."
	clock := j.clock(a.TimeZone)
	var ends []string
	var spans []Span
	layers := slices.Clone(a.Layers)
	slices.SortStableFunc(layers, func(x, y Layer) int { return x.End.Compare(y.End) })
	for _, l := range layers {
		if l.End.After(j.window.Start) && l.End.Before(j.window.End) {
			ends = append(ends, fmt.Sprintf("%s at %s", named(l.Name, "one without a name"), clock.at(l.End)))
			spans = append(spans, Span{Start: l.End, End: j.window.End})
			if len(gaps) > 0 && gaps[len(gaps)-1].End.After(l.End) {
				severity, meaning = Warning, "A page finds nobody in their turns after that, unless another one takes them."
			}
		}
	}
	if len(ends) == 0 {
		return
	}
	if severity == Info && j.s.unread(KindUser, sortedKeys(a.turns)...) {
		j.unknown(LayerEndsSoon, KindSchedule, a.ID, "not all people on call in it were read")
	}
	j.add(a.config.Mute, a.finding(LayerEndsSoon, severity, normalise(spans, j.window), fmt.Sprintf(
		"%s has layers or rotations that end: %s. %s", a.title(), semicolons(ends), meaning)))
}

// scheduleUnused: no escalation policy uses the schedule. Warning: whoever is on call
// in it believes to be paged and is not.
func (j *judge) scheduleUnused(a auditedSchedule) {
	if len(a.Policies) > 0 {
		return
	}
	for _, p := range j.s.Policies {
		if p.uses(a.Schedule) {
			return
		}
	}
	j.add(a.config.Mute, a.finding(ScheduleUnused, Warning, nil, fmt.Sprintf(
		"%s is used by no escalation policy: no page ever reaches those who are on call in it.", a.title())))
}

// semicolons joins clauses, not all if there are many.
func semicolons(clauses []string) string {
	text := strings.Join(clauses[:min(len(clauses), maxList)], "; ")
	if n := len(clauses) - maxList; n > 0 {
		text += fmt.Sprintf("; and %d more", n)
	}
	return text
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// person is what somebody is called.
func (j *judge) person(id string) string {
	if u := j.s.Users[id]; u != nil {
		return named(u.Name, id)
	}
	return named("", id)
}

func (j *judge) people(ids []string) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = j.person(id)
	}
	slices.Sort(names)
	return list(names)
}
