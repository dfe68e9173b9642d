package coverage

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// minWidth is the narrowest text that is written.
const minWidth = 76

// gapWidth is how wide the column is that says when a schedule has nobody next; more
// where that takes more.
const gapWidth = 32

// WriteText writes the audit for a person, in lines of at most width characters
// where words and charts allow it. Nothing in it controls a terminal.
func (a *Audit) WriteText(w io.Writer, width int) error {
	width = max(width, minWidth)
	var b strings.Builder
	fmt.Fprintf(&b, "On-call coverage from %s to %s\n", utc(a.window().Start), utc(a.window().End))
	policies, schedules := a.covers(KindPolicy), a.covers(KindSchedule)
	for _, c := range policies {
		fmt.Fprintf(&b, "\n%s\n", a.policyTitle(c))
		for _, line := range a.chart(c, a.stripWidth(width)) {
			b.WriteString(line + "\n")
		}
	}
	if len(policies) > 0 {
		fmt.Fprintf(&b, "\n%s%s\n", strings.Repeat(" ", gutter), legend)
	}
	if len(schedules) > 0 {
		from := gapWidth
		for _, c := range schedules {
			from = max(from, len(nextGap(c)))
		}
		const columns = "  %9s  %7s  %-*s  "
		head := fmt.Sprintf(columns, "engineers", "covered", from, "nobody from")
		fmt.Fprintf(&b, "\nSchedules\n%sschedule\n", head)
		for _, c := range schedules {
			fmt.Fprintf(&b, columns+"%s\n", strconv.Itoa(c.Engineers), percent(c.Ratio), from, nextGap(c), fit(c.Subject.Name, width-len(head)))
		}
	}
	if len(a.Result.Findings) > 0 {
		b.WriteString("\nFindings\n")
		for i := range a.Result.Findings {
			f := &a.Result.Findings[i]
			fmt.Fprintf(&b, "\n  %-8s  %s  %s\n", strings.ToUpper(string(f.Severity)), f.Check, subjectText(f.Subject))
			wrap(&b, f.Text, "    ", width)
			if u := link(f.URL); u != "" {
				b.WriteString("    " + u + "\n")
			}
		}
	}
	if unknown := a.unknown(); len(unknown) > 0 {
		b.WriteString("\nNot known\n")
		for _, line := range unknown {
			wrap(&b, line, "    ", width)
		}
	}
	b.WriteString("\n")
	wrap(&b, a.Summary(), "", width)
	_, err := io.WriteString(w, b.String())
	return err
}

// Summary is the counts, in one line.
func (a *Audit) Summary() string {
	var parts []string
	for _, s := range Severities() {
		parts = append(parts, fmt.Sprintf("%d %s", a.Count(s), s))
	}
	text := "Findings: " + strings.Join(parts, ", ") + "."
	if n := len(a.Result.Unknown); n > 0 {
		text += fmt.Sprintf(" Not known: %d; what is not known is not known to be covered.", n)
	}
	return text
}

// window is the time that was judged.
func (a *Audit) window() Span {
	if len(a.Result.Cover) > 0 {
		return a.Result.Cover[0].Window
	}
	return a.Snapshot.ahead()
}

// covers is how each schedule, or policy, is covered: once, and at its worst, where
// the configuration has the same thing by its name and its id.
func (a *Audit) covers(k Kind) []Cover {
	var out []Cover
	place := map[string]int{}
	for _, c := range a.Result.Cover {
		if c.Subject.Kind != k {
			continue
		}
		at, again := place[c.Subject.ID]
		switch {
		case !again:
			place[c.Subject.ID] = len(out)
			out = append(out, c)
		case c.Ratio < out[at].Ratio:
			out[at] = c
		}
	}
	return out
}

// policyTitle names a policy and the services of pagerelay that page it.
func (a *Audit) policyTitle(c Cover) string {
	title := "Escalation policy " + c.Subject.Name
	if names := a.pagedBy(c.Subject); len(names) > 0 {
		title += ", paged by " + list(names)
	}
	return title
}

// pagedBy are the services of pagerelay that page a policy: those that PagerDuty's
// integrations tell of, and those of the configuration.
func (a *Audit) pagedBy(policy Subject) []string {
	var names []string
	for _, s := range a.Snapshot.Services {
		if s.Policy != policy.ID {
			continue
		}
		for _, relay := range s.Relays {
			names = append(names, oneline.Short(relay, maxName))
		}
	}
	for _, p := range a.Config.Policies {
		if p.Name == a.Config.configured(policy) {
			for _, s := range p.Services {
				names = append(names, oneline.Short(s, maxName))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// nextGap is when a schedule has nobody next, and for how long.
func nextGap(c Cover) string {
	if len(c.Gaps) == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%s)", utc(c.Gaps[0].Start), length(c.Gaps[0].duration()))
}

// unknown is what could not be judged, and why, a line for each subject and reason.
func (a *Audit) unknown() []string {
	type about struct{ what, reason string }
	var order []about
	checks := map[about][]string{}
	for _, u := range a.Result.Unknown {
		k := about{"everything", oneline.Short(u.Reason, maxReason)}
		switch {
		case u.ID != "":
			k.what = kindName(u.Kind) + " " + oneline.Short(u.ID, maxName)
			for _, unread := range a.Snapshot.Unread {
				if unread.Kind == u.Kind && unread.ID == u.ID && unread.Name != "" {
					k.what = kindName(u.Kind) + " " + oneline.Short(unread.Name, maxName) + " (" + oneline.Short(u.ID, maxName) + ")"
				}
			}
		case u.Kind != "":
			k.what = "every " + kindName(u.Kind)
		}
		if _, ok := checks[k]; !ok {
			order = append(order, k)
		}
		checks[k] = append(checks[k], string(u.Check))
	}
	var lines []string
	for _, k := range order {
		line := k.what + ": " + k.reason
		if names := checks[k]; !slices.Contains(names, "") { // which stands for all.
			line = k.what + " (" + list(names) + "): " + k.reason
		}
		lines = append(lines, line)
	}
	return lines
}

func subjectText(s Subject) string { return kindName(s.Kind) + " " + named(s.Name, s.ID) }

// percent never says 100% of what is not whole, nor 0% of what is not nothing.
func percent(ratio float64) string {
	switch {
	case ratio >= 1:
		return "100%"
	case ratio > 0.999:
		return "99.9%"
	case ratio > 0 && ratio < 0.001:
		return "0.1%"
	}
	return fmt.Sprintf("%.1f%%", ratio*100)
}

// wrap writes text in lines of at most width characters, each after indent.
func wrap(b *strings.Builder, text, indent string, width int) {
	line := indent
	for word := range strings.FieldsSeq(oneline.Short(text, 64<<10)) {
		if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width && strings.TrimSpace(line) != "" {
			b.WriteString(line + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
}
