// Package oncall reads from PagerDuty what the coverage auditor judges: the schedules
// and escalation policies that the configuration names, who is on call by them, and
// the services and people that they concern. It judges nothing and keeps nothing.
//
// It makes as few requests as PagerDuty's API allows, and never passes off what it
// could not read for something that is not there: that is in the snapshot's Unread.
package oncall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

const (
	// defaultHorizon is how far ahead is read if the configuration does not say.
	defaultHorizon = 14 * 24 * time.Hour
	// maxAhead is how far ahead PagerDuty tells who is on call (REST API, "List all of
	// the on-calls"), less some minutes in which our clock may be wrong.
	maxAhead = 90*24*time.Hour - 5*time.Minute
	// back is how far back is read: a gap that has begun is as long as it is, not as
	// what remains of it.
	back = 24 * time.Hour
	// maxWindow bounds the whole: PagerDuty does not say whether its 90 days are counted
	// from now or from the start of what is asked for. With a horizon of more than 89
	// days it leaves less than a day to look back on, and five minutes at least.
	maxWindow = 90 * 24 * time.Hour
	// beyond is how much further than the horizon is read: what is judged when a long
	// audit has been read still reaches to the horizon.
	beyond = 30 * time.Minute
	// failuresToDoubt is after how many calls in a row that failed in spite of their
	// repetitions PagerDuty may be down: if it answers nothing else either, the rest is
	// not asked for.
	failuresToDoubt = 3
	// vainToStop is after how many calls in vain in a row no more of a kind is asked for.
	// Single things may be hidden from a token, or be more than PagerDuty can work out.
	vainToStop = 10
)

// Reader reads snapshots. It is safe for concurrent use.
type Reader struct{ api *pagerduty.REST }

// New makes a reader. It makes no request.
func New(api *pagerduty.REST) *Reader { return &Reader{api: api} }

// Read reads what cfg names, from a day ago to half an hour beyond cfg.Horizon (14 days
// if that is zero), which is 90 days ahead at most. services says which service of pagerelay has a routing key, by the SHA-256 of
// the key in hexadecimal.
//
// progress, unless nil, is told from time to time how many schedules, policies and
// other things are read, of how many; the latter grows as more is found. It is called
// by one goroutine.
//
// The error is for when nothing at all could be read, or ctx was cancelled. The
// snapshot then still says so: it is nil only if ctx was cancelled.
func (r *Reader) Read(ctx context.Context, cfg coverage.Config, services map[string]string, progress func(done, total int)) (*coverage.Snapshot, error) {
	now := time.Now().UTC()
	horizon := time.Duration(cfg.Horizon)
	if horizon == 0 {
		horizon = defaultHorizon
	}
	end := now.Truncate(time.Second).Add(min(horizon+beyond, maxAhead).Truncate(time.Second))
	start := now.Truncate(time.Second).Add(-back)
	if first := end.Add(-maxWindow); start.Before(first) {
		start = first
	}
	p := &pass{
		api: r.api, cfg: cfg, progress: progress, shiftBased: map[string]bool{},
		snap: &coverage.Snapshot{
			At:        now,
			Window:    coverage.Span{Start: start, End: end},
			Schedules: map[string]*coverage.Schedule{},
			Policies:  map[string]*coverage.Policy{},
			Services:  map[string]*coverage.Service{},
			Users:     map[string]*coverage.User{},
		},
	}
	policies := p.policies(ctx)
	p.schedules(ctx)
	p.onCalls(ctx)
	p.services(ctx, services, policies)
	p.users(ctx)
	p.contradictions()

	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, fmt.Errorf("read on-call schedules: %w", ctx.Err())
	}
	if p.read == 0 && p.first != nil {
		p.snap.Unread = nil
		for _, kind := range []coverage.Kind{coverage.KindSchedule, coverage.KindPolicy, coverage.KindService, coverage.KindUser} {
			p.unread(kind, "", p.first)
		}
		return p.snap, fmt.Errorf("read on-call schedules: %w", p.first)
	}
	p.sort()
	return p.snap, nil
}

// pass is one reading.
type pass struct {
	api      *pagerduty.REST
	cfg      coverage.Config
	snap     *coverage.Snapshot
	progress func(done, total int)

	done, total int
	read        int   // calls that were answered.
	first       error // the first that was not.
	failures    int   // in a row.
	stopped     error // why nothing more is asked.

	// shiftBased tells which schedules are of v3.
	shiftBased map[string]bool
}

// call makes one call, unless it is known to be in vain.
func (p *pass) call(ctx context.Context, f func(context.Context) error) error {
	if p.stopped != nil {
		return p.stopped
	}
	err := f(ctx)
	if err == nil {
		p.read++
		p.failures = 0
		return nil
	}
	if p.first == nil {
		p.first = err
	}
	switch code := status(err); {
	case code == http.StatusUnauthorized:
		p.stopped = fmt.Errorf("PagerDuty refuses the API token: %w", err)
		if p.read == 0 {
			p.first = p.stopped
		}
	case ctx.Err() != nil, errors.Is(err, pagerduty.ErrNoToken):
		p.stopped = err
	case errors.Is(err, pagerduty.ErrTooMany), errors.Is(err, pagerduty.ErrID):
	case code == 0, temporary(err):
		if p.failures++; p.failures == failuresToDoubt {
			if !p.alive(ctx) {
				p.stopped = fmt.Errorf("not asked for, as PagerDuty's REST API fails: %w", err)
			}
			p.failures = 0
		}
	default:
		p.failures = 0 // an answer, though a refusal.
	}
	return err
}

// alive says whether PagerDuty, which has answered before, answers anything at all: a
// few schedules that it cannot work out do not hide everything else. The listing asked
// for is as good as empty.
func (p *pass) alive(ctx context.Context) bool {
	if p.read == 0 {
		return false
	}
	_, err := p.api.OpenMaintenanceWindows(ctx, 0)
	code := status(err)
	return err == nil || code != 0 && code != http.StatusUnauthorized && !temporary(err)
}

// status is the HTTP status of the answer that err is; 0 if it is none.
func status(err error) int {
	if se := (*pagerduty.StatusError)(nil); errors.As(err, &se) {
		return se.Code
	}
	return 0
}

// denied says whether err is that the plan or the token does not allow a call.
func denied(err error) bool {
	code := status(err)
	return code == http.StatusPaymentRequired || code == http.StatusForbidden
}

func temporary(err error) bool {
	te := interface{ Temporary() bool }(nil)
	return errors.As(err, &te) && te.Temporary()
}

// unread notes that something could not be read.
func (p *pass) unread(kind coverage.Kind, id string, err error) {
	p.snap.Unread = append(p.snap.Unread, coverage.Unread{Kind: kind, ID: id, Reason: err.Error()})
}

// expect adds n to what is to be read, and step to what is done.
func (p *pass) expect(n int) { p.total += n }

func (p *pass) step(n int) {
	p.done = min(p.done+n, p.total)
	if p.progress != nil {
		p.progress(p.done, p.total)
	}
}

// guard makes calls of one kind, until PagerDuty is taken to refuse or to fail all of
// them. A plan or token without the ability refuses each of a thousand from the first
// on (402, 403); what is refused after others were answered is only hidden.
type guard struct {
	answered bool
	vain     int // in a row.
	stopped  error
}

func (g *guard) call(ctx context.Context, p *pass, f func(context.Context) error) error {
	if stopped := cmp.Or(g.stopped, p.stopped); stopped != nil {
		return stopped
	}
	err := p.call(ctx, f)
	switch code := status(err); {
	case denied(err):
		if !g.answered {
			g.vain++
		}
	case err != nil && (code == 0 || temporary(err)):
		g.vain++
	default:
		g.answered, g.vain = true, 0
	}
	if g.vain == vainToStop {
		g.stopped = fmt.Errorf("not asked for, after %d calls in vain: %w", g.vain, err)
	}
	return err
}

// sort puts in order what maps have shuffled.
func (p *pass) sort() {
	s := p.snap
	slices.SortStableFunc(s.Unread, func(a, b coverage.Unread) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Reason, b.Reason))
	})
	s.Unread = slices.Compact(s.Unread)
	slices.SortStableFunc(s.Missing, func(a, b coverage.Missing) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	slices.SortStableFunc(s.OnCalls, func(a, b coverage.OnCall) int {
		return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Level, b.Level), a.Start.Compare(b.Start), cmp.Compare(a.User, b.User), cmp.Compare(a.Schedule, b.Schedule))
	})
}

// span reads the times of an entry and clips them to the window; ok is false for what
// lies outside it. An empty end is none.
func (p *pass) span(start, end string) (s coverage.Span, ok bool, err error) {
	if s.Start, err = pagerduty.ParseTime(start); err != nil {
		return s, false, err
	}
	s.End = p.snap.Window.End
	if end != "" {
		if s.End, err = pagerduty.ParseTime(end); err != nil {
			return s, false, err
		}
	}
	if s.End.Before(s.Start) && end != "" {
		return s, false, fmt.Errorf("an entry ends at %s, before it starts at %s", end, start)
	}
	s, ok = clip(s, p.snap.Window)
	return s, ok, nil
}

// shift is like span, but leaves a shift that began before the window its start: it is
// by that that one shift is told from another.
func (p *pass) shift(start, end string) (coverage.Span, bool, error) {
	s, ok, err := p.span(start, end)
	if ok && err == nil {
		s.Start, err = pagerduty.ParseTime(start)
	}
	return s, ok, err
}

func clip(s, window coverage.Span) (coverage.Span, bool) {
	if s.Start.Before(window.Start) {
		s.Start = window.Start
	}
	if s.End.After(window.End) {
		s.End = window.End
	}
	return s, s.Start.Before(s.End)
}

// person notes somebody who was named; a name that is known is kept.
func (p *pass) person(id, name, url string) {
	if id == "" {
		return // all that PagerDuty leaves of somebody who was deleted.
	}
	u := p.snap.Users[id]
	if u == nil {
		u = &coverage.User{ID: id}
		p.snap.Users[id] = u
	}
	u.Name, u.URL = cmp.Or(u.Name, name), cmp.Or(u.URL, url)
}
