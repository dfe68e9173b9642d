package coverage

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// The marks of a strip, told apart by their shape.
const (
	markCovered = '█' // somebody is on call.
	markPart    = '▒' // part of the time.
	markNobody  = '·'
)

const legend = "█ somebody is on call   ▒ part of the time   · nobody"

// How wide strips and what stands beside them are, in characters.
const (
	gutter    = 11 // before a strip.
	minStrip  = 20
	maxStrip  = 112
	maxLabel  = 32
	tickWidth = 9 // the least that a tick of the axis gets.
)

// strip draws for how much of w somebody is on call: n characters, each an equal
// part of w. spans is a normal list.
func strip(spans []Span, w Span, n int) string {
	var b strings.Builder
	for i := range n {
		cell := Span{cellStart(w, i, n), cellStart(w, i+1, n)}
		switch covered := total(intersect(spans, []Span{cell})); {
		case covered == 0:
			b.WriteRune(markNobody)
		case covered < cell.duration():
			b.WriteRune(markPart)
		default:
			b.WriteRune(markCovered)
		}
	}
	return b.String()
}

func cellStart(w Span, i, n int) time.Time {
	return w.Start.Add(time.Duration(float64(w.duration()) * float64(i) / float64(n)))
}

// axis names some of the times below strips of n characters, in UTC.
func axis(w Span, n int) string {
	const day = 24 * time.Hour
	step := 28 * day
	for _, s := range []time.Duration{15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 3 * day, 4 * day, 7 * day, 14 * day} {
		if float64(s)/float64(w.duration())*float64(n) >= tickWidth {
			step = s
			break
		}
	}
	layout := "2 Jan"
	if step < day {
		layout = "15:04"
	}
	line := []rune(strings.Repeat(" ", n))
	for t := w.Start.UTC().Truncate(min(step, day)); t.Before(w.End); t = t.Add(step) {
		if t.Before(w.Start) {
			t = t.Add(min(step, day)) // the first that is not.
		}
		// The cell that the time lies in.
		at := int(float64(t.Sub(w.Start)) / float64(w.duration()) * float64(n))
		text := []rune("╵" + t.Format(layout))
		if at+len(text) > n {
			continue
		}
		copy(line[at:], text)
	}
	return strings.TrimRight(string(line), " ")
}

// stripWidth is how long strips may be in lines of the given width: the same for
// all policies, so that a time is at one place in all of them.
func (a *Audit) stripWidth(width int) int {
	longest := 0
	for _, c := range a.covers(KindPolicy) {
		if p := a.Snapshot.Policies[c.Subject.ID]; p != nil {
			for i := range p.Levels {
				longest = max(longest, utf8.RuneCountInString(levelLabel(p, i)))
			}
		}
	}
	return min(max(width-gutter-2-longest, minStrip), maxStrip)
}

// chart draws the levels of a policy below each other, in strips of n characters, and
// all of them together where there are several: who gets a page that nobody
// acknowledges, and whether anybody does.
func (a *Audit) chart(c Cover, n int) []string {
	p := a.Snapshot.Policies[c.Subject.ID]
	if p == nil {
		return nil
	}
	var lines []string
	add := func(name string, spans []Span, label string) {
		line := "  " + pad(name, gutter-2) + strip(normalise(spans, c.Window), c.Window, n) + "  " + label
		lines = append(lines, strings.TrimRight(line, " "))
	}
	var all []Span
	for i := range p.Levels {
		spans := a.onLevel(p.ID, i+1)
		all = append(all, spans...)
		add(fmt.Sprintf("level %d", i+1), spans, levelLabel(p, i))
	}
	if len(p.Levels) > 1 {
		add("anybody", all, "")
	}
	return append(lines, strings.Repeat(" ", gutter)+axis(c.Window, n))
}

// onLevel is when somebody is on call on a level of a policy, from 1.
func (a *Audit) onLevel(policy string, level int) []Span {
	var spans []Span
	for _, o := range a.Snapshot.OnCalls {
		if o.Policy == policy && o.Level == level && a.Snapshot.live(o.User) {
			spans = append(spans, o.Span)
		}
	}
	return spans
}

// levelLabel says whom a level notifies, and for how long it waits for them.
func levelLabel(p *Policy, i int) string {
	var names []string
	for _, t := range p.Levels[i].Targets {
		names = append(names, named(t.Name, t.ID))
	}
	wait := ""
	if i < len(p.Levels)-1 {
		wait = " (" + length(p.Levels[i].EscalateAfter) + ")"
	}
	return fit(list(names), maxLabel-len(wait)) + wait
}

// fit cuts s to n characters.
func fit(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// pad fills s up to n characters.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(n-utf8.RuneCountInString(s), 0))
}
