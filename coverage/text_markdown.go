package coverage

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// markdownWidth is how wide charts are in Markdown.
const markdownWidth = 100

// WriteMarkdown writes the audit as GitHub's Markdown. What PagerDuty's users have
// written is text in it: no markup, link or mention.
func (a *Audit) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## On-call coverage\n\nFrom %s to %s. **%s**\n", utc(a.window().Start), utc(a.window().End), a.Summary())
	if len(a.Result.Findings) > 0 {
		b.WriteString("\n| severity | check | subject | what |\n| --- | --- | --- | --- |\n")
		for i := range a.Result.Findings {
			f := &a.Result.Findings[i]
			name := escape(subjectText(f.Subject))
			if u := link(f.URL); u != "" && !strings.ContainsAny(u, "()<>|\\ ") {
				name = "[" + name + "](" + u + ")"
			}
			fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", f.Severity, f.Check, name, escape(f.Text))
		}
	}
	policies, schedules := a.covers(KindPolicy), a.covers(KindSchedule)
	if len(policies) > 0 {
		b.WriteString("\n### Escalation policies\n")
		n := a.stripWidth(markdownWidth)
		for _, c := range policies {
			fmt.Fprintf(&b, "\n%s\n\n```text\n%s\n```\n", escape(a.policyTitle(c)), strings.Join(a.chart(c, n), "\n"))
		}
		b.WriteString("\n" + legend + "\n")
	}
	if len(schedules) > 0 {
		b.WriteString("\n### Schedules\n\n| schedule | engineers | covered | nobody from |\n| --- | ---: | ---: | --- |\n")
		for _, c := range schedules {
			fmt.Fprintf(&b, "| %s | %d | %s | %s |\n", escape(c.Subject.Name), c.Engineers, percent(c.Ratio), nextGap(c))
		}
	}
	if unknown := a.unknown(); len(unknown) > 0 {
		b.WriteString("\n### Not known\n\n")
		for _, line := range unknown {
			b.WriteString("- " + escape(line) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// escape makes text that Markdown shows as it is.
func escape(s string) string {
	return strings.NewReplacer(
		`\`, `\\`, "`", "\\`", `*`, `\*`, `_`, `\_`, `[`, `\[`, `]`, `\]`, `|`, `\|`, `~`, `\~`, `#`, `\#`,
		`&`, `&amp;`, `<`, `&lt;`, `>`, `&gt;`, `@`, `&#64;`,
		`://`, `&#58;//`, `www.`, `www&#46;`, // not made links of.
	).Replace(oneline.Short(s, 64<<10))
}

func utc(t time.Time) string { return t.UTC().Format("Mon 2006-01-02 15:04 MST") }
