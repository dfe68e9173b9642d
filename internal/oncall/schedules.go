package oncall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

// schedule is a schedule as far as it is read.
type schedule struct {
	id, name string
	read     *coverage.Schedule // nil: it is only known to be there.
	err      error              // why it cannot be read.
}

// schedules reads the schedules that the configuration names and those on which the
// policies depend.
func (p *pass) schedules(ctx context.Context) {
	var names, wanted []string
	for _, c := range p.cfg.Schedules {
		names = append(names, c.Name)
	}
	targets := map[string]bool{}
	for _, policy := range p.snap.Policies {
		for _, level := range policy.Levels {
			for _, t := range level.Targets {
				if t.Kind == coverage.KindSchedule {
					targets[t.ID] = true
				}
			}
		}
	}
	shiftNames, shiftErr := p.shiftReferences(ctx, len(names) > 0)
	for _, want := range append(slices.Clone(names), slices.Sorted(maps.Keys(targets))...) {
		if !p.shiftBased[want] {
			wanted = append(wanted, want)
		}
	}
	f := lookup(ctx, p, wanted, func(want string) bool { return targets[want] }, p.scheduleSource(wanted))

	needed := maps.Clone(targets)
	named := map[string]string{} // by the configuration.
	for _, name := range names {
		same := append(slices.Clone(f.ids[name]), shiftNames[name]...)
		if p.shiftBased[name] {
			same = []string{name}
		}
		err := f.failed[name]
		if err == nil && len(same) == 0 {
			err = shiftErr // it may be one of those that could not be listed.
		}
		if len(same) > 0 {
			err = nil
		}
		if id, ok := resolved(p, map[string][]string{name: same}, map[string]error{name: err}, coverage.KindSchedule, name); ok {
			needed[id] = true
			named[id] = name
		}
	}
	p.expect(len(needed))
	var layered, shifted guard
	for _, id := range slices.Sorted(maps.Keys(needed)) {
		s := f.items[id]
		if s.err == nil {
			s.err = cmp.Or(f.failed[id], f.absent[id])
		}
		if s.read == nil && s.err == nil {
			g := &layered
			if p.shiftBased[id] {
				g = &shifted
			}
			s = p.getSchedule(ctx, g, id)
		}
		p.step(1)
		if s.err != nil {
			p.unread(coverage.KindSchedule, id, s.err)
			if named[id] != id {
				p.snap.Unread[len(p.snap.Unread)-1].Name = named[id]
			}
			continue
		}
		p.snap.Schedules[id] = s.read
	}
}

// shiftReferences learns which schedules are shift-based, and gives their ids by name.
func (p *pass) shiftReferences(ctx context.Context, named bool) (map[string][]string, error) {
	names := map[string][]string{}
	if !named {
		return names, nil // the types of the policies' targets tell.
	}
	err := p.call(ctx, func(ctx context.Context) error {
		refs, err := pagerduty.All(ctx, p.api.ShiftSchedules)
		for _, ref := range refs {
			if !p.shiftBased[ref.ID] || !slices.Contains(names[ref.Summary], ref.ID) {
				names[ref.Summary] = append(names[ref.Summary], ref.ID)
			}
			p.shiftBased[ref.ID] = true
		}
		return err
	})
	return names, err
}

// scheduleSource looks up schedules of v2, with their shifts as far as a listing
// gives them. Of those that are not wanted only the name is kept.
func (p *pass) scheduleSource(wanted []string) source[schedule] {
	keep := map[string]bool{}
	for _, w := range wanted {
		keep[w] = true
	}
	rendered := true
	return source[schedule]{
		id:   func(s schedule) string { return s.id },
		name: func(s schedule) string { return s.name },
		list: func(ctx context.Context, query string, offset int) (pagerduty.Page[schedule], error) {
			since := p.snap.Window.Start
			if !rendered {
				since = time.Time{}
			}
			page, err := p.api.Schedules(ctx, query, since, p.snap.Window.End, offset)
			if err != nil && rendered && ctx.Err() == nil && p.failures == 0 && tooHeavy(err) {
				// A hundred schedules may be too much to work out at once: their
				// names will do, and each is got by itself.
				rendered = false
				page, err = p.api.Schedules(ctx, query, time.Time{}, time.Time{}, offset)
			}
			out := pagerduty.Page[schedule]{Next: page.Next}
			worked := false
			for i := range page.Items {
				s := schedule{id: page.Items[i].ID, name: page.Items[i].Name}
				if s.id == "" && keep[s.name] && err == nil {
					err = fmt.Errorf("PagerDuty lists a schedule %.40q that has no id", s.name)
				}
				worked = worked || page.Items[i].Final != nil
				if rendered && (keep[s.id] || keep[s.name]) && p.rendered(&page.Items[i]) {
					s.read, s.err = p.layered(&page.Items[i])
				}
				out.Items = append(out.Items, s)
			}
			if len(page.Items) > 0 && !worked {
				rendered = false // the next page would have layers for nothing.
			}
			return out, err
		},
		get: func(ctx context.Context, id string) (schedule, error) {
			s, err := p.api.Schedule(ctx, id, p.snap.Window.Start, p.snap.Window.End)
			if err != nil {
				if status(err) == http.StatusBadRequest {
					return p.getShiftSchedule(ctx, id) // which may have come to be one.
				}
				return schedule{}, err
			}
			out := schedule{id: id, name: s.Name}
			if out.err = another(id, s.ID); out.err == nil {
				out.read, out.err = p.layered(&s)
			}
			return out, nil
		},
	}
}

func tooHeavy(err error) bool {
	code := status(err)
	return code == 0 && !errors.Is(err, pagerduty.ErrNoToken) && !errors.Is(err, pagerduty.ErrTooMany) || code >= 500 || code == http.StatusBadRequest
}

// getSchedule gets one schedule.
func (p *pass) getSchedule(ctx context.Context, g *guard, id string) (s schedule) {
	get := p.scheduleSource(nil).get
	if p.shiftBased[id] {
		get = p.getShiftSchedule
	}
	err := g.call(ctx, p, func(ctx context.Context) (err error) {
		s, err = get(ctx, id)
		return err
	})
	if err != nil {
		s.err = err
	}
	return s
}

func (p *pass) getShiftSchedule(ctx context.Context, id string) (schedule, error) {
	s, err := p.api.ShiftSchedule(ctx, id, p.snap.Window.Start, p.snap.Window.End)
	if err != nil {
		return schedule{}, err
	}
	out := schedule{id: id, name: s.Name}
	if out.err = another(id, s.ID); out.err == nil {
		out.read, out.err = p.shifted(&s)
	}
	return out, nil
}

// another is what is wrong with an answer about another schedule than was asked for.
func another(asked, got string) error {
	switch got {
	case asked:
		return nil
	case "":
		return fmt.Errorf("schedule %s: PagerDuty answers with a schedule that has no id", asked)
	}
	return fmt.Errorf("schedule %s: PagerDuty answers with the schedule %.40q", asked, got)
}

// rendered says whether a listing has truly worked a schedule out: it has been seen
// not to. An empty list of shifts proves nothing, and one that does not come to the
// percentage that PagerDuty gives with it is not of the time that was asked for.
func (p *pass) rendered(s *pagerduty.Schedule) bool {
	if s.Layers == nil || s.Final == nil || s.Final.Coverage == nil || len(s.Final.Entries) == 0 {
		return false
	}
	var covered time.Duration
	for _, e := range s.Final.Entries {
		span, ok, err := p.span(e.Start, e.End)
		if err != nil {
			return false
		}
		if ok {
			covered += span.End.Sub(span.Start)
		}
	}
	window := p.snap.Window.End.Sub(p.snap.Window.Start)
	return math.Abs(100*covered.Seconds()/window.Seconds()-*s.Final.Coverage) <= 0.5
}

// layered takes over a schedule of v2.
func (p *pass) layered(s *pagerduty.Schedule) (*coverage.Schedule, error) {
	if s.Final == nil || s.Final.Coverage == nil && len(s.Final.Entries) == 0 {
		return nil, fmt.Errorf("schedule %s: PagerDuty has not worked out who is on call", s.ID)
	}
	out := &coverage.Schedule{ID: s.ID, Name: s.Name, URL: s.HTMLURL, TimeZone: s.TimeZone, Policies: ids(s.EscalationPolicies)}
	for _, u := range s.Users {
		p.person(u.ID, u.Summary, u.HTMLURL)
		p.engineer(out, u.ID)
	}
	out.Shifts = make([]coverage.Shift, 0, len(s.Final.Entries)) // no larger: they are kept.
	for _, e := range s.Final.Entries {
		span, ok, err := p.shift(e.Start, e.End)
		if err != nil {
			return nil, fmt.Errorf("schedule %s: %w", s.ID, err)
		}
		if ok {
			p.person(e.User.ID, e.User.Summary, e.User.HTMLURL)
			out.Shifts = append(out.Shifts, coverage.Shift{Span: span, User: p.own(e.User.ID)})
		}
	}
	for _, l := range s.Layers {
		if l.End == "" {
			continue
		}
		if err := p.layer(out, l.Name, l.End); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// shifted takes over a shift-based schedule.
func (p *pass) shifted(s *pagerduty.ShiftSchedule) (*coverage.Schedule, error) {
	if s.Final == nil {
		return nil, fmt.Errorf("schedule %s: PagerDuty has not worked out who is on call", s.ID)
	}
	out := &coverage.Schedule{ID: s.ID, Name: s.Name, URL: s.HTMLURL, TimeZone: s.TimeZone, ShiftBased: true, Policies: ids(s.EscalationPolicies)}
	for _, r := range s.Rotations {
		if err := p.rotation(out, r); err != nil {
			return nil, err
		}
	}
	out.Shifts = make([]coverage.Shift, 0, len(s.Final.Shifts))
	for _, a := range s.Final.Shifts {
		span, ok, err := p.shift(a.Start, a.End)
		switch {
		case err != nil:
			return nil, fmt.Errorf("schedule %s: %w", s.ID, err)
		case !ok:
		case a.Member.Type == "empty_member":
			out.Empty = append(out.Empty, span)
		case a.Member.Type == "user_member":
			p.person(a.Member.UserID, "", "")
			out.Shifts = append(out.Shifts, coverage.Shift{Span: span, User: p.own(a.Member.UserID)})
		default:
			return nil, fmt.Errorf("schedule %s: a shift has a member of a kind that is not known here: %.40q", s.ID, a.Member.Type)
		}
	}
	return out, nil
}

// rotation takes over who is assigned to a rotation, and its end if it has one.
func (p *pass) rotation(out *coverage.Schedule, r pagerduty.Rotation) error {
	name, last, ends := "", time.Time{}, len(r.Events) > 0
	for _, e := range r.Events {
		name = e.Name
		if e.EffectiveUntil == "" {
			ends = false
		} else {
			until, err := pagerduty.ParseTime(e.EffectiveUntil)
			if err != nil {
				return fmt.Errorf("schedule %s: %w", out.ID, err)
			}
			if !until.After(p.snap.At) {
				continue // its members have nothing to do with the schedule any more.
			}
			if until.After(last) {
				last = until
			}
		}
		for _, m := range e.Assignment.Members {
			p.person(m.UserID, "", "")
			p.engineer(out, m.UserID)
		}
	}
	if ends && !last.IsZero() {
		out.Layers = append(out.Layers, coverage.Layer{Name: name, End: last})
	}
	return nil
}

// layer takes over a layer that has an end to come; what has ended is history.
func (p *pass) layer(out *coverage.Schedule, name, end string) error {
	at, err := pagerduty.ParseTime(end)
	if err != nil {
		return fmt.Errorf("schedule %s: %w", out.ID, err)
	}
	if at.After(p.snap.At) {
		out.Layers = append(out.Layers, coverage.Layer{Name: name, End: at})
	}
	return nil
}

func (p *pass) engineer(out *coverage.Schedule, id string) {
	if id != "" && !slices.Contains(out.Engineers, id) {
		out.Engineers = append(out.Engineers, p.own(id))
	}
}

func ids(refs []pagerduty.Reference) []string {
	var out []string
	for _, r := range refs {
		out = append(out, r.ID)
	}
	return out
}
