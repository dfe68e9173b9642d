package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/internal/web"
)

// notices is what the status page says beside the figures. openDoor names the listeners
// that need no token; "" if all do.
func notices(store *outbox.Store, configuration *reloader, waiting []delivery.Waiting, reconciler *alertmanager.Reconciler, auditor *coverage.Auditor, openDoor string) []web.Notice {
	var list []web.Notice
	say := func(level web.Level, format string, args ...any) {
		list = append(list, web.Notice{Level: level, Text: fmt.Sprintf(format, args...)})
	}
	if store.Direct() {
		say(web.CostsPages, "Direct mode: the disk takes no commits. Pages still go out; a webhook is answered once PagerDuty has accepted it, and what only memory knows is lost with the process.")
	}
	if name := store.Damaged(); name != "" {
		say(web.CostsPages, "The outbox was damaged and is now at %s; pagerelay started with what could be read of it. Incidents that were open in PagerDuty and are over may stay open.", name)
	}
	if since, err := configuration.failure(); err != nil {
		say(web.CostsPages, "Reloading the configuration has failed since %s, and the old one stays in force: %s", since.UTC().Format(time.DateTime+" MST"), summarize(err))
	}
	for _, w := range waiting {
		level := web.CostsPages
		if (w.Cause == delivery.CauseQueue || w.Cause == delivery.CauseAlertmanager) && !w.Pages { // what is less urgent may wait its turn.
			level = web.WillCost
		}
		what := many(w.Incidents) + " waiting"
		if w.Incidents == 0 {
			what = "no page has been able to leave"
		}
		say(level, "Service %s: %s since %s: %s", w.Service, what, w.Since.UTC().Format(time.DateTime+" MST"), w.Text)
	}
	costs, warnings := auditor.Notices()
	list = append(list, web.Notices(web.CostsPages, costs...)...)
	list = append(list, web.Notices(web.WillCost, warnings...)...)
	warnings, notes := reconciler.Notices()
	list = append(list, web.Notices(web.WillCost, warnings...)...)
	list = append(list, web.Notices(web.Normal, notes...)...)
	if openDoor != "" {
		say(web.WillCost, "Anybody who reaches %s can page: no access token is configured.", openDoor)
	}
	return list
}

// summarize puts the first faults of a configuration on one line.
func summarize(err error) string {
	const most, width = 3, 300
	all := lines(err.Error())
	var shown []string
	for _, line := range all[:min(most, len(all))] {
		shown = append(shown, oneline.Short(line, width))
	}
	text := strings.Join(shown, "; ")
	if n := len(all) - most; n > 0 {
		text += fmt.Sprintf("; and %d more, which the log has", n)
	}
	return text
}

func many(n int) string {
	if n == 1 {
		return "1 incident is"
	}
	return fmt.Sprintf("%d incidents are", n)
}
