package oncall

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

// policies reads the escalation policies that the configuration names, and gives
// their ids by those names.
func (p *pass) policies(ctx context.Context) map[string]string {
	var wanted []string
	for _, c := range p.cfg.Policies {
		wanted = append(wanted, c.Name)
	}
	p.expect(len(wanted))
	f := lookup(ctx, p, wanted, never, source[pagerduty.EscalationPolicy]{
		id:   func(e pagerduty.EscalationPolicy) string { return e.ID },
		name: func(e pagerduty.EscalationPolicy) string { return e.Name },
		list: p.api.EscalationPolicies,
		get:  p.api.EscalationPolicy,
	})
	ids := map[string]string{}
	for _, name := range slices.Sorted(slices.Values(wanted)) {
		if id, ok := resolved(p, f.ids, f.failed, coverage.KindPolicy, name); ok {
			ids[name] = id
			p.policy(f.items[id])
		}
	}
	p.step(len(wanted))
	return ids
}

func never(string) bool { return false }

// resolved is the one id that a name of the configuration stands for; otherwise it
// notes why there is none.
func resolved(p *pass, ids map[string][]string, failed map[string]error, kind coverage.Kind, name string) (string, bool) {
	if err := failed[name]; err != nil {
		p.unread(kind, name, err)
		return "", false
	}
	same := ids[name]
	if len(same) == 1 {
		return same[0], true
	}
	m := coverage.Missing{Kind: kind, Name: name, Same: slices.Sorted(slices.Values(same))}
	if !slices.ContainsFunc(p.snap.Missing, func(o coverage.Missing) bool { return o.Kind == kind && o.Name == name }) {
		p.snap.Missing = append(p.snap.Missing, m)
	}
	return "", false
}

func (p *pass) policy(e pagerduty.EscalationPolicy) {
	out := &coverage.Policy{ID: e.ID, Name: e.Name, URL: e.HTMLURL}
	for i, rule := range e.EscalationRules {
		level := coverage.Level{EscalateAfter: time.Duration(rule.Delay) * time.Minute}
		for _, t := range rule.Targets {
			target := coverage.Target{ID: t.ID, Name: t.Summary}
			switch t.Type {
			case "user", "user_reference":
				target.Kind = coverage.KindUser
				p.person(t.ID, t.Summary, t.HTMLURL)
			case "schedule", "schedule_reference", "schedule_v3", "schedule_v3_reference":
				target.Kind = coverage.KindSchedule
				if strings.HasPrefix(t.Type, "schedule_v3") {
					p.shiftBased[t.ID] = true
				}
			default:
				p.unread(coverage.KindPolicy, e.ID, fmt.Errorf("level %d has a target of a kind that is not known here: %.40q", i+1, t.Type))
				continue
			}
			level.Targets = append(level.Targets, target)
		}
		out.Levels = append(out.Levels, level)
	}
	for _, s := range e.Services {
		out.Services = append(out.Services, s.ID)
	}
	p.snap.Policies[e.ID] = out
}

// maxIDs bounds the ids in one address, in bytes: many servers refuse an address of
// more than 8 KiB. An id takes 27 bytes beside itself.
const maxIDs = 4096

// maxBatch is how many entries one listing of on-calls should come to; PagerDuty ends
// it at 10,000.
const maxBatch = 8000

// onCalls reads who is on call on the levels of the policies.
func (p *pass) onCalls(ctx context.Context) {
	ids := slices.Sorted(maps.Keys(p.snap.Policies))
	p.expect(len(ids))
	for len(ids) > 0 {
		n, bytes, entries := 0, 0, 0
		for n < len(ids) && (n == 0 || bytes < maxIDs && entries < maxBatch) {
			bytes += len(ids[n]) + 27
			entries += p.estimate(p.snap.Policies[ids[n]])
			n++
		}
		p.onCallsOf(ctx, ids[:n], p.snap.Window)
		p.step(n)
		ids = ids[n:]
	}
}

// estimate is about how many on-call entries a policy has.
func (p *pass) estimate(policy *coverage.Policy) int {
	n := 0
	for _, level := range policy.Levels {
		for _, t := range level.Targets {
			n++
			if s := p.snap.Schedules[t.ID]; s != nil {
				n += len(s.Shifts)
			}
		}
	}
	return n
}

// onCallsOf reads the on-calls of some policies in a window. What is more than
// PagerDuty lists is read in halves: of the policies, and then of the window.
func (p *pass) onCallsOf(ctx context.Context, ids []string, window coverage.Span) {
	var entries []coverage.OnCall
	faults := map[string]error{}
	for offset := 0; ; {
		var page pagerduty.Page[pagerduty.OnCall]
		err := p.call(ctx, func(ctx context.Context) (err error) {
			page, err = p.api.OnCalls(ctx, ids, window.Start, window.End, offset)
			return err
		})
		if errors.Is(err, pagerduty.ErrTooMany) && p.halves(ctx, ids, window) {
			return
		}
		if err != nil {
			for _, id := range ids {
				p.unread(coverage.KindPolicy, id, err)
			}
			return
		}
		for i := range page.Items {
			o, ok, err := p.onCall(&page.Items[i], window)
			switch {
			case err != nil:
				faults[page.Items[i].EscalationPolicy.ID] = err
			case ok && p.snap.Policies[o.Policy] != nil:
				entries = append(entries, o)
			}
		}
		p.step(0)
		if offset = page.Next; offset == 0 {
			break
		}
	}
	for id, err := range faults {
		p.unread(coverage.KindPolicy, id, err)
	}
	p.snap.OnCalls = append(p.snap.OnCalls, entries...)
}

// contradictions finds the policies of which PagerDuty lists nobody, though a level
// names a person, who is always on call there, or a schedule that has a shift of
// somebody: they were not read, and have not nobody.
func (p *pass) contradictions() {
	listed := map[string]bool{}
	for i := range p.snap.OnCalls {
		listed[p.snap.OnCalls[i].Policy] = true
	}
	for _, u := range p.snap.Unread {
		if u.Kind == coverage.KindPolicy {
			listed[u.ID] = true // it is known not to be known.
		}
	}
	for id, policy := range p.snap.Policies {
		if who, level := p.somebody(policy); level > 0 && !listed[id] {
			p.unread(coverage.KindPolicy, id, fmt.Errorf("PagerDuty lists nobody on call, though level %d names %s", level, who))
		}
	}
}

// somebody is the first person that a level names and that has an account, or the
// first schedule that has such a person on call, and the level; 0 if there is none.
func (p *pass) somebody(policy *coverage.Policy) (who string, level int) {
	there := func(user string) bool { u := p.snap.Users[user]; return u != nil && !u.Gone }
	for i, l := range policy.Levels {
		for _, t := range l.Targets {
			s := p.snap.Schedules[t.ID]
			switch {
			case t.Kind == coverage.KindUser && there(t.ID):
				return fmt.Sprintf("the person %.40s", t.ID), i + 1
			case t.Kind == coverage.KindSchedule && s != nil &&
				slices.ContainsFunc(s.Shifts, func(shift coverage.Shift) bool { return there(shift.User) }):
				return fmt.Sprintf("the schedule %.40s, which has somebody", t.ID), i + 1
			}
		}
	}
	return "", 0
}

func (p *pass) halves(ctx context.Context, ids []string, window coverage.Span) bool {
	if half := len(ids) / 2; half > 0 {
		p.onCallsOf(ctx, ids[:half], window)
		p.onCallsOf(ctx, ids[half:], window)
		return true
	}
	half := window.End.Sub(window.Start).Truncate(2*time.Minute) / 2
	if half < time.Hour {
		return false
	}
	middle := window.Start.Add(half)
	p.onCallsOf(ctx, ids, coverage.Span{Start: window.Start, End: middle})
	p.onCallsOf(ctx, ids, coverage.Span{Start: middle, End: window.End})
	return true
}

// onCall takes an entry over, clipped to the window; ok is false for what lies
// outside. Who is on call for good has neither start nor end.
func (p *pass) onCall(e *pagerduty.OnCall, window coverage.Span) (o coverage.OnCall, ok bool, err error) {
	o = coverage.OnCall{
		Policy: p.own(e.EscalationPolicy.ID), Level: int(e.EscalationLevel),
		User: p.own(e.User.ID), Schedule: p.own(e.Schedule.ID),
	}
	p.person(o.User, e.User.Summary, e.User.HTMLURL)
	if o.Level < 1 {
		return o, false, fmt.Errorf("an on-call entry has the level %d", o.Level)
	}
	span := window
	if e.Start != "" {
		if span.Start, err = pagerduty.ParseTime(e.Start); err != nil {
			return o, false, err
		}
	}
	if e.End != "" {
		if span.End, err = pagerduty.ParseTime(e.End); err != nil {
			return o, false, err
		}
	}
	if e.Start != "" && e.End != "" && span.End.Before(span.Start) {
		return o, false, fmt.Errorf("an on-call entry ends at %s, before it starts at %s", e.End, e.Start)
	}
	if span, ok = clip(span, window); !ok {
		return o, false, nil
	}
	if e.Start != "" {
		o.Start = span.Start
	}
	if e.End != "" {
		o.End = span.End
	}
	return o, true, nil
}

// own is the one copy of an id that all share: there are tens of thousands of entries.
func (p *pass) own(id string) string {
	if u := p.snap.Users[id]; u != nil {
		return u.ID
	}
	if s := p.snap.Schedules[id]; s != nil {
		return s.ID
	}
	if e := p.snap.Policies[id]; e != nil {
		return e.ID
	}
	return id
}
