package coverage

import (
	"cmp"
	"slices"
	"time"
)

// A list of spans is normal if it is in order and no two of its spans overlap or
// touch, and none is empty. All arithmetic takes and gives normal lists, in UTC.

// within is the part of s that lies in w. A zero Start (which is long ago) or End is
// open: it is w's.
// ok is false if nothing is left.
func (s Span) within(w Span) (part Span, ok bool) {
	part = Span{Start: w.Start.UTC(), End: w.End.UTC()}
	if s.Start.After(w.Start) {
		part.Start = s.Start.UTC()
	}
	if !s.End.IsZero() && s.End.Before(w.End) {
		part.End = s.End.UTC()
	}
	return part, part.Start.Before(part.End)
}

func (s Span) contains(t time.Time) bool { return !t.Before(s.Start) && t.Before(s.End) }

func (s Span) duration() time.Duration { return s.End.Sub(s.Start) }

// lap is a span counted from the start of a window: what is sorted many thousand
// times is better two numbers than two times.
type lap struct{ from, to time.Duration }

func (l lap) since(start time.Time) Span { return Span{start.Add(l.from), start.Add(l.to)} }

// lap is the part of s that lies in w, as within has it, counted from the start of w.
func (s Span) lap(w Span) (lap, bool) {
	l := lap{0, w.End.Sub(w.Start)}
	if s.Start.After(w.Start) {
		l.from = s.Start.Sub(w.Start)
	}
	if !s.End.IsZero() && s.End.Before(w.End) {
		l.to = s.End.Sub(w.Start)
	}
	return l, l.from < l.to
}

// merge makes a normal list of laps, in their place.
func merge(laps []lap) []lap {
	slices.SortFunc(laps, func(a, b lap) int { return cmp.Compare(a.from, b.from) })
	out := laps[:0] // never ahead of what is read.
	for _, l := range laps {
		if n := len(out); n > 0 && l.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, l.to)
		} else {
			out = append(out, l)
		}
	}
	return out
}

// normalise makes a normal list of the parts of spans that lie in w. It does not
// change spans.
func normalise(spans []Span, w Span) []Span {
	laps := make([]lap, 0, len(spans))
	for _, s := range spans {
		if l, ok := s.lap(w); ok {
			laps = append(laps, l)
		}
	}
	return asSpans(merge(laps), w)
}

func asSpans(laps []lap, w Span) []Span {
	out := make([]Span, len(laps))
	for i, l := range laps {
		out[i] = l.since(w.Start.UTC())
	}
	return out
}

// join adds s, which starts in or after the last span of the normal list.
func join(list []Span, s Span) []Span {
	if n := len(list); n > 0 && !s.Start.After(list[n-1].End) {
		if s.End.After(list[n-1].End) {
			list[n-1].End = s.End
		}
		return list
	}
	return append(list, s)
}

// intersect is what lies in both normal lists.
func intersect(a, b []Span) []Span {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	out := make([]Span, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		if s, ok := a[0].within(b[0]); ok {
			out = append(out, s) // cannot touch the last: there is a hole in a or in b between.
		}
		if a[0].End.Before(b[0].End) {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// subtract is what lies in the normal list a and not in the normal list b.
func subtract(a, b []Span) []Span {
	var out []Span
	for _, s := range a {
		for len(b) > 0 && !b[0].End.After(s.Start) {
			b = b[1:]
		}
		for _, hole := range b {
			if !hole.Start.Before(s.End) {
				break
			}
			if s.Start.Before(hole.Start) {
				out = append(out, Span{s.Start, hole.Start})
			}
			s.Start = hole.End
		}
		if s.Start.Before(s.End) {
			out = append(out, s)
		}
	}
	return out
}

// atLeast is the spans of a normal list that last d or longer.
func atLeast(spans []Span, d time.Duration) []Span {
	short := func(s Span) bool { return s.duration() < d }
	if !slices.ContainsFunc(spans, short) {
		return spans // as nearly always.
	}
	return slices.DeleteFunc(slices.Clone(spans), short)
}

// total is how long the spans of a normal list last together.
func total(spans []Span) time.Duration {
	var d time.Duration
	for _, s := range spans {
		d += s.duration()
	}
	return d
}

// overlap is how long the spans of a normal list last together within w.
func overlap(spans []Span, w Span) time.Duration {
	var d time.Duration
	for _, s := range spans {
		if part, ok := s.within(w); ok {
			d += part.duration()
		}
	}
	return d
}

// stay is a time for which somebody is on call on a level.
type stay struct {
	Span
	user  string
	level int
}

// roster is who is on call at an instant.
type roster struct {
	users  []string // all that are ever on call.
	levels []int    // in order.
	on     [][]int  // of each of levels and users, how many stays are running.
}

// people is how many distinct people are on call.
func (r roster) people() int {
	n := 0
	for u := range r.users {
		for _, level := range r.on {
			if level[u] > 0 {
				n++
				break
			}
		}
	}
	return n
}

// sweep calls visit for one stretch of w after the other, from its start to its end
// without a gap, in each of which the roster stays as it is. The roster is only
// valid during the call.
func sweep(stays []stay, w Span, visit func(Span, roster)) {
	type edge struct {
		at               time.Duration
		level, user, add int32
	}
	r := roster{}
	known := map[string]int32{}
	for _, s := range stays {
		if at, ok := slices.BinarySearch(r.levels, s.level); !ok {
			r.levels = slices.Insert(r.levels, at, s.level)
		}
	}
	edges := make([]edge, 0, 2*len(stays))
	for _, s := range stays {
		l, ok := s.lap(w)
		if !ok {
			continue
		}
		u, ok := known[s.user]
		if !ok {
			u = int32(len(r.users))
			known[s.user] = u
			r.users = append(r.users, s.user)
		}
		level, _ := slices.BinarySearch(r.levels, s.level)
		edges = append(edges, edge{l.from, int32(level), u, 1}, edge{l.to, int32(level), u, -1})
	}
	for range r.levels {
		r.on = append(r.on, make([]int, len(r.users)))
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.at, b.at) })
	start := w.Start.UTC()
	var from time.Duration
	for _, e := range edges {
		if from < e.at {
			visit(lap{from, e.at}.since(start), r)
			from = e.at
		}
		r.on[e.level][e.user] += int(e.add)
	}
	if end := w.End.Sub(w.Start); from < end {
		visit(lap{from, end}.since(start), r)
	}
}
