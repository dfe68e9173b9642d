package coverage

import (
	"time"

	"github.com/prometheus/alertmanager/timeinterval"
)

// requirements works out when coverage is required: each name once a window.
type requirements struct {
	window Span
	named  map[string][]timeinterval.TimeInterval
	known  map[string][]Span
}

func newRequirements(c Config, window Span) *requirements {
	r := &requirements{
		window: window,
		named:  map[string][]timeinterval.TimeInterval{},
		known:  map[string][]Span{},
	}
	for _, t := range c.TimeIntervals {
		r.named[t.Name] = t.TimeIntervals
	}
	return r
}

// of is the normal list of the times within the window that any of the named time
// intervals contains; the whole window if none is named.
func (r *requirements) of(names []string) []Span {
	if len(names) == 0 {
		return normalise([]Span{{}}, r.window)
	}
	if len(names) == 1 {
		return r.one(names[0])
	}
	var all []Span
	for _, n := range names {
		all = append(all, r.one(n)...)
	}
	return normalise(all, r.window)
}

func (r *requirements) one(name string) []Span {
	spans, ok := r.known[name]
	if !ok {
		var all []Span
		for _, t := range r.named[name] {
			all = append(all, expand(t, r.window)...)
		}
		spans = normalise(all, r.window)
		r.known[name] = spans
	}
	return spans
}

// expand is the times within w that a time interval contains, by the clock of its
// location, UTC by default, as in Alertmanager. The hour that a clock repeats is in
// twice, the one that it skips is not there.
//
// It goes from one change of the clock to the next: in between, the clock is UTC
// plus a constant, and days and minutes can be counted.
func expand(t timeinterval.TimeInterval, w Span) []Span {
	loc := time.UTC
	if t.Location != nil && t.Location.Location != nil {
		loc = t.Location.Location
	}
	times := t.Times
	if times == nil {
		times = []timeinterval.TimeRange{{StartMinute: 0, EndMinute: 24 * 60}}
	}
	t.Times, t.Location = nil, nil

	var out []Span
	for from := w.Start; from.Before(w.End); {
		piece := Span{from, w.End}
		local := from.In(loc)
		if _, change := local.ZoneBounds(); !change.IsZero() && change.Before(w.End) {
			piece.End = change
		}
		_, seconds := local.Zone()
		offset := time.Duration(seconds) * time.Second
		until := piece.End.UTC().Add(offset)
		clock := from.UTC().Add(offset)
		day := time.Date(clock.Year(), clock.Month(), clock.Day(), 0, 0, 0, 0, time.UTC)
		for ; day.Before(until); day = day.AddDate(0, 0, 1) {
			if !t.ContainsTime(day) {
				continue
			}
			for _, m := range times {
				start := day.Add(time.Duration(m.StartMinute)*time.Minute - offset)
				end := day.Add(time.Duration(m.EndMinute)*time.Minute - offset)
				if p, ok := (Span{start, end}).within(piece); ok {
					out = append(out, p)
				}
			}
		}
		from = piece.End
	}
	return out
}
