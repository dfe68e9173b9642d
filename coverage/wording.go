package coverage

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// Bounds of what findings say, in characters and in parts of a list. An alert's
// summary is cut at 1024 characters by PagerDuty (Events API v2).
const (
	maxName   = 100
	maxReason = 300
	maxURL    = 1000
	maxText   = 2000
	maxSpans  = 3
	maxList   = 5
)

// named is a name for people, or the id of what has none.
func named(name, id string) string {
	if name = oneline.Short(name, maxName); name != "" {
		return name
	}
	return oneline.Short(id, maxName)
}

func subject(kind Kind, id, name string) Subject {
	return Subject{Kind: kind, ID: oneline.Short(id, maxName), Name: named(name, id)}
}

// link is a URL that can be shown, "" otherwise.
func link(s string) string {
	if len(s) > maxURL || !strings.HasPrefix(s, "https://") || s != oneline.Short(s, maxURL) {
		return ""
	}
	return s
}

// list is names in a row, not all if there are many.
func list(names []string) string {
	more := ""
	if n := len(names) - maxList; n > 0 {
		names, more = names[:maxList], fmt.Sprintf(" and %d more", n)
		return strings.Join(names, ", ") + more
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// clock writes times by the clock of a place.
type clock struct {
	*time.Location
	read Span
}

// clock is the clock of a time zone of the IANA database; UTC if it is not known.
func (j *judge) clock(zone string) clock {
	loc := j.zones[zone]
	if loc == nil {
		var err error
		if loc, err = time.LoadLocation(zone); err != nil || zone == "Local" { // the machine's own place is nobody's.
			loc = time.UTC
		}
		j.zones[zone] = loc
	}
	return clock{loc, j.read}
}

const (
	dayLayout    = "Mon 2006-01-02 "
	minuteLayout = "15:04"
	secondLayout = "15:04:05"
)

func (c clock) at(t time.Time) string {
	return t.In(c.Location).Format(dayLayout + minuteLayout + " MST")
}

// span is like "Fri 2026-11-27 18:00 to Mon 2026-11-30 09:00 CET (2d15h)".
func (c clock) span(s Span) string {
	start, end := s.Start.In(c.Location), s.End.In(c.Location)
	hour := minuteLayout
	if s.duration() < time.Hour && (start.Second() != 0 || end.Second() != 0) {
		hour = secondLayout
	}
	from, to := start.Format(dayLayout+hour), end.Format(dayLayout+hour+" MST")
	if zoneName(start) != zoneName(end) {
		from = start.Format(dayLayout + hour + " MST")
	} else if start.YearDay() == end.YearDay() && start.Year() == end.Year() {
		to = end.Format(hour + " MST")
	}
	if !s.Start.After(c.read.Start) {
		from = "at least from " + from // what was before was not read.
	}
	if !s.End.Before(c.read.End) {
		to = "at least " + to // what comes after was not judged.
	}
	return fmt.Sprintf("%s to %s (%s)", from, to, length(s.duration()))
}

func zoneName(t time.Time) string {
	name, _ := t.Zone()
	return name
}

// spans are the first of a list, and how much there is in all.
func (c clock) spans(all []Span) string {
	var texts []string
	for _, s := range all[:min(len(all), maxSpans)] {
		texts = append(texts, c.span(s))
	}
	text := strings.Join(texts, "; ")
	if n := len(all) - maxSpans; n > 0 {
		text += fmt.Sprintf("; and %d more, %s in all", n, length(total(all)))
	}
	return text
}

// length is like 2d15h30m; seconds count below an hour only.
func length(d time.Duration) string {
	if d >= time.Hour {
		d = d.Round(time.Minute)
	}
	return model.Duration(d.Round(time.Second)).String()
}

func notFoundText(m Missing) string {
	name := oneline.Short(m.Name, maxName)
	if len(m.Same) == 0 {
		return fmt.Sprintf("PagerDuty has no %s that %s is the name or id of: nothing is known of its coverage. "+
			"Correct the name in the configuration, or give the id, which a change of name leaves as it is.", kindName(m.Kind), name)
	}
	var ids []string
	for _, id := range m.Same {
		ids = append(ids, oneline.Short(id, maxName))
	}
	return fmt.Sprintf("PagerDuty has several of the kind %s with the name %s (%s): nothing is known of their coverage. "+
		"Give the id in the configuration.", kindName(m.Kind), name, list(ids))
}

func kindName(k Kind) string {
	switch k {
	case KindPolicy:
		return "escalation policy"
	case KindSchedule, KindService, KindUser:
	}
	return string(k)
}
