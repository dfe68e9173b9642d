package coverage

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Run audits at the start, every interval, and when Apply was called, until ctx
// ends. An audit that left something open is made again sooner. In between, whether
// anybody is on call is judged when that changes, by what was read.
func (a *Auditor) Run(ctx context.Context) error {
	timer, edge := time.NewTimer(0), time.NewTimer(0)
	timer.Stop()
	edge.Stop()
	defer timer.Stop()
	defer edge.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		case <-timer.C:
		case <-a.judged:
			edge.Stop()
			if at := a.nextEdge(); !at.IsZero() {
				edge.Reset(time.Until(at))
			}
			continue
		case <-edge.C:
			if a.judgeAgain(ctx) == nil {
				continue
			}
		}
		_, _ = a.Audit(ctx) // logged there.
		if wait := a.untilNext(); wait > 0 {
			timer.Reset(wait)
		}
	}
}

// untilNext is how long to wait after an audit; 0 if there are no settings yet.
func (a *Auditor) untilNext() time.Duration {
	a.pass.Lock()
	defer a.pass.Unlock()
	s := a.settings.Load()
	if s == nil {
		return 0
	}
	interval := cmp.Or(time.Duration(s.Config.Interval), defaultInterval)
	interval -= time.Duration(a.cfg.Spread * float64(interval))
	if a.failures == 0 {
		return interval
	}
	wait := firstRetry
	for range a.failures - 1 {
		if wait *= 2; wait >= interval {
			return interval
		}
	}
	return min(wait, interval)
}

// nextEdge is when nobody will be on call on an audited policy, or somebody again, by
// what the last audit read; zero if that is not known.
func (a *Auditor) nextEdge() time.Time {
	a.pass.Lock()
	defer a.pass.Unlock()
	var next time.Time
	r, now := a.last.Load(), time.Now()
	if r == nil || a.blind {
		return next
	}
	for _, c := range r.Result.Cover {
		for _, g := range c.Gaps {
			for _, at := range []time.Time{g.Start, g.End} {
				if c.Subject.Kind == KindPolicy && at.After(now) && (next.IsZero() || at.Before(next)) {
					next = at
				}
			}
		}
	}
	return next
}

// judgeAgain judges what the last audit read by the time that it is, and reports what
// changes by time alone: policy_nobody_now. The rest was judged with a longer look
// ahead, and stands. Nothing is read, and nothing done if an audit is due. The error is
// logged.
func (a *Auditor) judgeAgain(ctx context.Context) (err error) {
	a.pass.Lock()
	defer a.pass.Unlock()
	defer poke(a.judged)
	defer func() {
		if err != nil {
			a.log.Error("Who is on call by now could not be judged or reported", "err", err)
		}
	}()
	s, last := a.settings.Load(), a.last.Load()
	if last == nil || a.blind || s != a.heardBy.Load() {
		return nil
	}
	now := time.Now()
	result, err := a.judge(last.Snapshot, s, now)
	if err != nil {
		return err
	}
	timely := func(f Finding) bool { return f.Check == PolicyNobodyNow }
	standing := slices.DeleteFunc(slices.Clone(last.Result.Findings), timely)
	result.Findings = append(slices.DeleteFunc(result.Findings, func(f Finding) bool { return !timely(f) }), standing...)
	result.Unknown = append(result.Unknown, last.Result.Unknown...)
	told, err := a.report(ctx, s, &result, now)
	if err != nil {
		return err
	}
	r := *last
	r.Result.Findings = result.Findings
	a.last.Store(&r)
	if told != (tally{}) {
		a.log.Info("Who is on call has changed since the last audit", "new", told.opened, "resolved", told.resolved)
	}
	return nil
}
