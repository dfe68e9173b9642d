package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
	"github.com/pagerelay/pagerelay/internal/web"
)

const (
	// shortID is how many characters of an ID a list shows.
	shortID = 12
	// shortValue is how many characters of a label's value are printed, and shortText
	// of all labels of an alert, or of another text: a label can be a megabyte long.
	shortValue = 200
	shortText  = 2000
)

// printList prints incidents as a table.
func printList(out io.Writer, list []web.Summary, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "No incidents.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSERVICE\tSTATUS\tURGENCY\tFIRING\tSINCE\tDEDUP KEY\tREASON")
	for _, in := range list {
		id := in.ID
		if len(id) > shortID && !strings.Contains(id, "-") { // one that a changed key left behind begins like another.
			id = id[:shortID]
		}
		row := []string{
			id, in.Service, in.Status, in.Urgency,
			fmt.Sprintf("%d/%d", in.Firing, in.Firing+in.Resolved), age(now, in.Since), in.DedupKey, in.Reason,
		}
		for i := range row {
			row[i] = oneline.Visible(row[i])
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return w.Flush()
}

// printIncident prints all that is known of an incident.
func printIncident(out io.Writer, in web.Incident) error {
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(out, "%-13s %s\n", name+":", oneline.Visible(short(value, shortText)))
		}
	}
	row("ID", in.ID)
	row("Service", in.Service)
	row("Dedup key", in.DedupKey)
	row("Status", fmt.Sprintf("%s since %s", in.Status, moment(in.Since)))
	row("Reason", in.Reason)
	row("PagerDuty", holds(in.Summary))
	row("Urgency", fmt.Sprintf("%s (severity %s, tier %s)", in.Urgency, in.Severity, in.Tier))
	row("Rule", in.Rule)
	row("In place of", in.FallbackFrom)
	row("because", in.FallbackReason)
	row("Receiver", in.Receiver)
	row("Alertmanager", in.ExternalURL)
	row("Created", moment(in.CreatedAt))
	row("Last trigger", moment(in.LastTrigger))
	if in.Attempts > 0 {
		row("Failed", fmt.Sprintf("%d times in a row, next attempt at %s", in.Attempts, moment(in.NotBefore)))
	}
	row("Closed", moment(in.ClosedAt))
	fmt.Fprintf(out, "\nAlerts (%d firing, %d resolved):\n", in.Firing, in.Resolved)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, m := range in.Members {
		state, end := "resolved", ""
		switch {
		case m.Firing:
			state = "firing"
			if m.MutedBy != "" {
				state += ", muted by " + oneline.Visible(short(m.MutedBy, shortValue))
			}
		case m.Held:
			state = "held"
		case !m.EndedAt.IsZero():
			end = " until " + moment(m.EndedAt)
		}
		fmt.Fprintf(w, "  %s\t%s\tsince %s%s\t%s\n", oneline.Visible(short(m.Fingerprint, shortValue)), state, moment(m.StartsAt), end, labels(m.Labels))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nHistory:")
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, e := range in.History {
		if i == 1 && in.Omitted > 0 {
			fmt.Fprintf(w, "  ...\t\t%d entries are not kept\n", in.Omitted)
		}
		text := e.Text
		if e.Count > 1 {
			text += fmt.Sprintf(" (%d times, last at %s)", e.Count, moment(e.Last))
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", moment(e.At), oneline.Visible(e.What), oneline.Visible(short(text, shortText)))
	}
	return w.Flush()
}

// holds says what PagerDuty should hold and does.
func holds(in web.Summary) string {
	if in.Want == "" {
		return "no incident is opened there (urgency " + in.Urgency + ")"
	}
	return "wanted " + in.Want + ", actual " + in.Have
}

// labels writes a label set as Alertmanager's matchers do.
func labels(kv map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(kv)) {
		parts = append(parts, oneline.Visible(short(name, shortValue))+"="+strconv.Quote(short(kv[name], shortValue)))
	}
	return short(strings.Join(parts, " "), shortText)
}

// short cuts s to n characters, and says how much there was.
func short(s string, n int) string {
	at := 0
	for i := range s {
		if at == n {
			return fmt.Sprintf("%s… (%d bytes; --format=json shows all)", s[:i], len(s))
		}
		at++
	}
	return s
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// age is how long ago t was, as Prometheus writes durations, in whole seconds.
func age(now, t time.Time) string {
	return model.Duration(max(0, now.Sub(t)).Truncate(time.Second)).String()
}
