package main

import (
	"fmt"
	"time"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/delivery"
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
		say(web.CostsPages, "The last reload failed at %s, and the old configuration stays in force: %s", since.UTC().Format(time.DateTime+" MST"), err)
	}
	for _, w := range waiting {
		level := web.CostsPages
		if w.Cause == delivery.CauseQueue || w.Cause == delivery.CauseAlertmanager {
			level = web.WillCost
		}
		say(level, "Service %s: %s waiting since %s: %s", w.Service, many(w.Incidents), w.Since.UTC().Format(time.DateTime+" MST"), w.Text)
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

func many(n int) string {
	if n == 1 {
		return "1 incident is"
	}
	return fmt.Sprintf("%d incidents are", n)
}
