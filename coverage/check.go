package coverage

import (
	"cmp"
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// Check judges s by what c expects, from now until c's horizon or the end of what
// was read, whichever is first. It is pure: the same arguments give the same result.
//
// Nothing is concluded from what was not read: that is in Result.Unknown. A person
// that nothing is known of counts as one who can be paged, one without an account
// (User.Gone) as nobody. Where somebody is on call who was not read, a gap that is
// found is one; that none is found says nothing.
func Check(s *Snapshot, c Config, now time.Time) Result {
	c = c.WithDefaults()
	j := &judge{config: c, now: now.UTC(), listed: map[Key]bool{}, zones: map[string]*time.Location{}}
	if s == nil {
		j.unknown("", "", "", "nothing was read of PagerDuty yet")
		return j.result
	}
	j.s = s
	window, ok := Span{now, now.Add(time.Duration(c.Horizon))}.within(s.Window)
	if !ok {
		j.unknown("", "", "", "what was read of PagerDuty is not about this time")
		return j.result
	}
	j.window = window
	// A gap that has begun is as long as it is, not as what remains of it.
	j.read = Span{s.Window.Start.UTC(), window.End}
	j.required = newRequirements(c, j.read)
	j.doubted = s.doubted()
	j.gone = map[string]bool{}
	for id, u := range s.Users {
		if u.Gone {
			j.gone[id] = true
		}
	}
	j.notFound()
	j.find()
	j.policyChecks()
	j.scheduleChecks()
	j.userChecks()
	j.serviceChecks()
	j.order()
	return j.result
}

// judge is one run of Check.
type judge struct {
	s        *Snapshot
	config   Config
	now      time.Time
	window   Span // what is judged.
	read     Span // window, and what was read of the time before.
	required *requirements

	schedules []auditedSchedule
	policies  []auditedPolicy

	relayed  []*Service // that pagerelay is known to page, by id.
	unjudged []*Policy  // of the configuration; nil where it was not read at all.

	gone    map[string]bool // people without an account.
	doubted func(user string) bool

	zones  map[string]*time.Location
	listed map[Key]bool // what is in result.Unknown.
	result Result
}

type auditedSchedule struct {
	config ScheduleConfig
	*Schedule
	required []Span           // within read.
	turns    map[string][]lap // normal, within read, of people that are there.
}

type auditedPolicy struct {
	config PolicyConfig
	*Policy
	required []Span  // within read.
	onCalls  []int32 // places in Snapshot.OnCalls.
	nobody   []Span  // within read, required or not, however short.
	doubted  bool    // there may be more of that.
}

// find looks up what the configuration names. What it cannot find, or what could
// not be read, is not known.
func (j *judge) find() {
	for _, u := range j.s.Unread {
		if j.unknown(u.Check, u.Kind, u.ID, u.Reason) {
			j.result.Unknown[len(j.result.Unknown)-1].Accepted = u.Accepted
		}
	}
	for _, name := range j.s.keyless() {
		j.result.Keyless = append(j.result.Keyless, name)
		j.unknown("", KindService, name, "its routing key cannot be read: which of PagerDuty's services it pages is not known")
	}
	schedules := byName(j.s.Schedules, func(s *Schedule) string { return s.Name })
	policies := byName(j.s.Policies, func(p *Policy) string { return p.Name })
	for _, sc := range j.config.Schedules {
		sched := schedules(sc.Name)
		if sched == nil && !slices.ContainsFunc(j.s.Unread, func(u Unread) bool { return u.Kind == KindSchedule && u.Name == sc.Name }) {
			j.unknown("", KindSchedule, sc.Name, "it was not read")
		}
		if sched == nil || j.s.unread(KindSchedule, sched.ID, sched.Name, sc.Name) {
			j.notRead(KindSchedule)
			continue
		}
		j.schedules = append(j.schedules, auditedSchedule{
			config: sc, Schedule: sched, required: j.required.of(sc.Required), turns: j.turns(sched),
		})
	}
	onCalls := j.s.byPolicy()
	for _, pc := range j.config.Policies {
		policy := policies(pc.Name)
		if policy == nil {
			j.unknown("", KindPolicy, pc.Name, "it was not read")
		}
		if policy == nil || j.s.unread(KindPolicy, policy.ID, policy.Name, pc.Name) {
			j.notRead(KindPolicy)
			if len(pc.Services) > 0 {
				// One that is known by this policy alone is not among what was read.
				j.unknown("", KindService, "", "an escalation policy that services are known by was not read")
			}
			j.unjudged = append(j.unjudged, policy)
			continue
		}
		j.policies = append(j.policies, auditedPolicy{
			config: pc, Policy: policy, required: j.required.of(pc.Required), onCalls: onCalls[policy.ID],
		})
	}
	for _, id := range sortedKeys(j.s.Services) {
		if s := j.s.Services[id]; len(s.Relays) > 0 && !j.s.unread(KindService, s.ID, s.Name) {
			j.relayed = append(j.relayed, s)
			j.result.Services = append(j.result.Services, s.ID)
		}
	}
}

// turns are when each person that is there is on call in a schedule.
func (j *judge) turns(s *Schedule) map[string][]lap {
	turns := map[string][]lap{}
	for _, shift := range s.Shifts {
		if !j.live(shift.User) {
			continue
		}
		if l, ok := shift.lap(j.read); ok {
			turns[shift.User] = append(turns[shift.User], l)
		}
	}
	for user, laps := range turns {
		turns[user] = merge(laps)
	}
	return turns
}

// notRead notes that a schedule or policy of the configuration is not judged: what
// it may tell of people is not known.
func (j *judge) notRead(kind Kind) {
	const reason = "not all schedules and escalation policies were read"
	j.unknown(UserUnreachable, KindUser, "", reason)
	j.unknown(InactiveUser, KindUser, "", reason)
	if kind == KindSchedule {
		j.unknown(PredictedCollision, KindUser, "", reason)
	}
}

// unknown notes what cannot be judged, unless something wider is noted already; then it
// returns false.
func (j *judge) unknown(check CheckID, kind Kind, id, reason string) bool {
	k := Key{check, kind, oneline.Short(id, maxName)}
	for _, wider := range []Key{{Kind: kind}, {Check: check, Kind: kind}, {Kind: kind, ID: k.ID}, k} {
		if j.listed[wider] {
			return false
		}
	}
	j.listed[k] = true
	j.result.Unknown = append(j.result.Unknown, Unknown{Key: k, Reason: oneline.Short(reason, maxReason)})
	return true
}

// add reports a finding, unless it is muted.
func (j *judge) add(mute []string, f Finding) {
	if !slices.Contains(mute, string(f.Check)) {
		f.Text = oneline.Short(f.Text, maxText)
		j.result.Findings = append(j.result.Findings, f)
	}
}

// order sorts what was found, and leaves one finding of each check and subject: the
// most severe, where the configuration has the same thing by its name and its id.
func (j *judge) order() {
	severities := []Severity{Critical, Warning, Info}
	checks := Checks()
	slices.SortStableFunc(j.result.Findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(severities, a.Severity), slices.Index(severities, b.Severity)),
			cmp.Compare(slices.Index(checks, a.Check), slices.Index(checks, b.Check)),
			cmp.Compare(a.Subject.Kind, b.Subject.Kind),
			cmp.Compare(a.Subject.Name, b.Subject.Name),
			cmp.Compare(a.Subject.ID, b.Subject.ID),
		)
	})
	seen := map[Key]bool{}
	j.result.Findings = slices.DeleteFunc(j.result.Findings, func(f Finding) bool {
		k := Key{f.Check, f.Subject.Kind, f.Subject.ID}
		dup := seen[k]
		seen[k] = true
		return dup
	})
}

// live says whether somebody can be paged, as far as is known, as Snapshot.live does:
// it is asked for every shift.
func (j *judge) live(user string) bool { return user != "" && !j.gone[user] }

// seen cuts spans of what was read to what is judged.
func (j *judge) seen(spans []Span) []Span { return intersect(spans, []Span{j.window}) }

// longEnough is the spans of a normal list that are worth a report and not over. Who
// asks how long it has lasted is told when it began, as far as was read.
func (j *judge) longEnough(spans []Span) []Span {
	spans = atLeast(spans, time.Duration(j.config.IgnoreShorterThan))
	i := slices.IndexFunc(spans, func(s Span) bool { return s.End.After(j.window.Start) })
	if i < 0 {
		return nil
	}
	return spans[i:]
}

// notFound: a schedule or policy of the configuration is not there by that name or
// id, or several bear the name. Warning: nobody's page is lost by it, but nothing
// watches over it any more.
func (j *judge) notFound() {
	for _, m := range j.s.Missing {
		j.unknown("", m.Kind, m.Name, "it was not found")
		var mute []string
		for _, sc := range j.config.Schedules {
			if m.Kind == KindSchedule && sc.Name == m.Name {
				mute = sc.Mute
			}
		}
		for _, pc := range j.config.Policies {
			if m.Kind == KindPolicy && pc.Name == m.Name {
				mute = pc.Mute
			}
		}
		name := oneline.Short(m.Name, maxName)
		j.add(mute, Finding{
			Check: NotFound, Severity: Warning,
			Subject: Subject{Kind: m.Kind, ID: name, Name: name},
			Text:    notFoundText(m),
		})
	}
}
