package model_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// How long an answer of Alertmanager's may be acted upon, and so how old what it
// said may be when a request leaves.
const answerHolds = time.Minute

// How long PagerDuty's limit may hold pages back after a 429: its window.
const throttledFor = time.Minute

// Enqueue sends to PagerDuty, and holds each request against the promises.
func (w *world) Enqueue(ctx context.Context, region string, e *pagerduty.Event) error {
	in := w.incident(e)
	switch {
	case e.Action == string(incident.Trigger):
		w.checkSuperseded(e, in)
		w.checkStale(e, in)
	case in != nil && e.Action == string(incident.Resolve):
		w.checkAbsent(e, in)
	}
	w.swallowed(e)
	returned := w.checkTwice(e, in)
	err := w.pd.Enqueue(ctx, region, e)
	w.noteThrottled(e.RoutingKey, err)
	returned(err)
	if answer := pagerduty.Classify(err); in != nil && answer.Kind == pagerduty.Refused {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.minimal[in.ID] = e.Payload == nil || e.Payload.Details == nil
	}
	return err
}

// EnqueueChange sends a change event to PagerDuty.
func (w *world) EnqueueChange(ctx context.Context, region string, e *pagerduty.ChangeEvent) error {
	err := w.pd.EnqueueChange(ctx, region, e)
	w.noteThrottled(e.RoutingKey, err)
	return err
}

func (w *world) noteThrottled(routingKey string, err error) {
	if pagerduty.Classify(err).Kind == pagerduty.Throttled {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.throttled[serviceOfKey(routingKey)] = time.Now()
	}
}

// incident is the one that an event is about, if the outbox holds it.
func (w *world) incident(e *pagerduty.Event) *incident.Incident {
	in, ok := w.store.Get(incident.ID(serviceOf(e), e.DedupKey))
	if !ok {
		return nil
	}
	return in
}

// serviceOf is the service that an event is for.
func serviceOf(e *pagerduty.Event) string { return serviceOfKey(e.RoutingKey) }

func serviceOfKey(routingKey string) string {
	if routingKey == keyOther {
		return "other"
	}
	return "infra"
}

// toldFiring says whether anybody was told that something of the key fires, and
// nobody since that it is over. The caller holds the lock.
func (w *world) toldFiring(key string) bool {
	for i := range w.mapped[key] {
		if w.said[0][i] || w.said[1][i] {
			return true
		}
	}
	return false
}

// checkSuperseded: no trigger after the resolve that superseded it (promise 2),
// but for what is guaranteed (promise 9), and for what was told late and could not be
// asked about while another request of its incident hung.
func (w *world) checkSuperseded(e *pagerduty.Event, in *incident.Incident) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if in != nil && (w.mayBeGuaranteed(in) || slices.ContainsFunc(in.History, func(h incident.Entry) bool {
		return h.What == string(incident.StepAdmit) && strings.HasPrefix(h.Text, "no word")
	})) {
		return
	}
	if !w.toldFiring(e.DedupKey) {
		w.problems = append(w.problems, fmt.Sprintf("trigger of %s after the resolve that superseded it", e.DedupKey))
	}
}

// mayBeGuaranteed says whether an incident that says that its page is guaranteed has a right to: it
// is of high urgency, and since it began, or shortly before, PagerDuty has throttled
// its service. No history is long enough for pagerelay's own limit, 120 a minute.
// The caller holds the lock.
func (w *world) mayBeGuaranteed(in *incident.Incident) bool {
	if in.Guaranteed <= in.AcceptedRevision || in.Urgency != mapping.High {
		return false
	}
	began := time.Now()
	for _, m := range in.Members {
		if m.Alert.StartsAt.Before(began) {
			began = m.Alert.StartsAt
		}
	}
	return w.throttled[in.Service].After(began.Add(-throttledFor))
}

// checkStale: a page that waited for longer than stale_after does not leave when
// Alertmanager clearly says that it is over.
func (w *world) checkStale(e *pagerduty.Event, in *incident.Incident) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.peers == 0, w.unclear != "", now.Sub(w.clearFrom) <= answerHolds:
		return
	case in == nil, in.Origin != mapping.OriginAlertmanager, in.Revision == in.AcceptedRevision, in.Guaranteed > in.AcceptedRevision:
		return
	case in.Urgency == mapping.High && w.throttled[in.Service].After(in.PendingSince.Add(-throttledFor)): // it may wait for the rate limit.
		return
	case in.PendingSince.IsZero(), now.Sub(in.PendingSince) <= staleAfter+answerHolds:
		return
	}
	for fp, m := range in.Members {
		if i := indexOf(fp); m.Firing && (w.firing[i] || now.Sub(w.ends[i]) <= answerHolds) {
			return
		}
	}
	w.problems = append(w.problems, fmt.Sprintf("page of %s, which waited since %v and is over", e.DedupKey, in.PendingSince))
}

// checkAbsent: nothing is resolved for want of a line in Alertmanager's list while
// it fires, and nothing ever that no Alertmanager knows of (promise 6). An alert
// that began less than two looks before may have been listed by none of three.
func (w *world) checkAbsent(e *pagerduty.Event, in *incident.Incident) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for fp, m := range in.Members {
		i := indexOf(fp)
		if m.Ended.By == "absent" && w.firing[i] && w.starts[i].Before(m.Ended.At.Add(-2*w.interval())) {
			w.problems = append(w.problems, fmt.Sprintf("resolve of %s, as alert %d is listed by nobody; it fires", e.DedupKey, i))
		}
	}
}

func (w *world) interval() time.Duration {
	if w.policy.Interval > 0 {
		return w.policy.Interval
	}
	return time.Minute
}

// checkIncidents: every part of every incident is as it is meant to be.
func (w *world) checkIncidents() {
	for _, in := range w.store.List() {
		if err := in.Check(); err != nil {
			w.problem("%s on %s: %v", in.DedupKey, in.Service, err)
		}
	}
}

// checkBlocked: what fails for a time is tried again, and what PagerDuty refuses is
// tried once more as the minimal event, before it is given up (promise 5).
func (w *world) checkBlocked() {
	for _, in := range w.store.List() {
		w.mu.Lock()
		minimal := w.minimal[in.ID]
		w.mu.Unlock()
		if in.Blocked != nil && !minimal && !in.Parted {
			w.problem("%s is blocked (%s), and PagerDuty has not refused the minimal event", in.DedupKey, in.Blocked.Reason)
		}
	}
}

// finish lets everything come to rest and compares PagerDuty with Alertmanager.
func (w *world) finish() []string {
	w.grouped = false // each is repeated by itself.
	w.later.Wait()
	w.pd.ClearFaults()
	w.endHoles()
	w.setUnclear("", 0)
	for i := range w.muted {
		w.unmute(i)
	}
	time.Sleep(10 * time.Minute)
	w.retryBlocked()
	time.Sleep(3 * time.Hour)
	synctest.Wait()
	// Only a webhook tells of a new route. All else must have been delivered without
	// Alertmanager's repeat.
	if !w.reloaded {
		w.compare("before Alertmanager repeats anything", func(i int) bool {
			return !w.unheard[i] || (w.peers > 0 && w.policy.Adopt)
		}, nil)
	}
	var again []int
	for i, on := range w.firing {
		if on && i != gap && (!w.unheard[i] || !w.policy.Adopt || w.reloaded) {
			w.say("repeat interval elapsed", i)
			again = append(again, i)
		}
	}
	time.Sleep(time.Hour)
	synctest.Wait()
	w.compare("in the end", func(int) bool { return true }, again)
	w.checkNotified()
	w.checkLeft()
	if len(w.problems) > 0 {
		w.tell()
	}
	w.stop()
	return w.problems
}

// wanted are the urgencies of what fires, by dedup key.
func (w *world) wanted() map[string]mapping.Urgency {
	want := map[string]mapping.Urgency{}
	for i, on := range w.firing {
		if !on {
			continue
		}
		for _, o := range w.router.Route(w.group(i)) {
			want[o.DedupKey] = o.Urgency
		}
	}
	return want
}

// compare holds what is open at PagerDuty against what fires. told says of an
// alert whether pagerelay can know. What a person settled may stay closed, unless an
// alert of it was repeated since.
func (w *world) compare(when string, told func(int) bool, repeated []int) {
	want := w.wanted()
	open, openOn := map[string]emulator.Status{}, map[string]bool{}
	for _, in := range w.pd.Incidents() {
		if in.Open() {
			open[in.DedupKey], openOn[in.ServiceID+in.DedupKey] = in.Status, true
		}
	}
	for key := range open {
		if _, ok := want[key]; !ok {
			w.problem("%s: %s is open at PagerDuty and does not fire", when, key)
		}
	}
	for key, urgency := range want {
		firing := w.firingOf(key)
		if !slices.ContainsFunc(firing, told) {
			continue
		}
		status, ok := open[key]
		if ok && !openOn[w.serviceID(key)+key] {
			status, ok = "", false // a copy on the fallback does not do.
		}
		settled, byHand := w.settled[key]
		byHand = byHand && !w.epochs[key].After(settled) &&
			!slices.ContainsFunc(firing, func(i int) bool { return slices.Contains(repeated, i) })
		switch {
		case urgency == mapping.None:
		case !ok && !byHand:
			w.problem("%s: %s fires and is not open at PagerDuty", when, key)
		case ok && urgency == mapping.Acknowledged && status != emulator.Acknowledged && !byHand:
			w.problem("%s: %s is not acknowledged", when, key)
		case ok && urgency != mapping.Acknowledged && status == emulator.Acknowledged && !w.touched[key]:
			w.problem("%s: %s is acknowledged, and nobody did that", when, key)
		}
	}
}

// serviceID is PagerDuty's name of the service that a firing key is routed to.
func (w *world) serviceID(key string) string {
	for _, i := range w.firingOf(key) {
		for _, o := range w.router.Route(w.group(i)) {
			if o.DedupKey == key {
				return serviceIDs()[o.Service]
			}
		}
	}
	return ""
}

// firingOf lists the alerts that fire and map to a key.
func (w *world) firingOf(key string) []int {
	var out []int
	for i, on := range w.firing {
		for _, o := range w.router.Route(w.group(i)) {
			if on && o.DedupKey == key {
				out = append(out, i)
			}
		}
	}
	return out
}

// checkNotified: what began to fire again is in no incident that a person had
// acknowledged before (promise 8).
func (w *world) checkNotified() {
	want := w.wanted()
	for _, in := range w.pd.Incidents() {
		if urgency, ok := want[in.DedupKey]; !ok || urgency == mapping.Acknowledged || in.Status != emulator.Acknowledged {
			continue
		}
		last := emulator.LogEntry{}
		for _, entry := range in.Log {
			if entry.Kind == emulator.LogAcknowledge {
				last = entry
			}
		}
		if epoch := w.epochs[in.DedupKey]; last.By == byPerson && last.At.Before(epoch) {
			w.problem("%s fired again at %s, in the incident that a person had acknowledged at %s",
				in.DedupKey, epoch.Format(time.TimeOnly), last.At.Format(time.TimeOnly))
		}
	}
}

// checkLeft: nothing stays in the outbox once it is over.
func (w *world) checkLeft() {
	want := w.wanted()
	for _, in := range w.store.List() {
		if _, ok := want[in.DedupKey]; !ok {
			w.problem("%s is over and still in the outbox: have %s, blocked %v", in.DedupKey, in.Have, in.Blocked)
		}
	}
}

// tell adds the ledger and PagerDuty's log to the problems, for people.
func (w *world) tell() {
	ledger := func(in *incident.Incident) bool {
		text := in.Service + " " + in.DedupKey + " " + in.ID
		for _, e := range in.History {
			text += fmt.Sprintf("\n    %s %s %s", e.At.Format(time.TimeOnly), e.What, e.Text)
		}
		w.problem("ledger: %s", text)
		return true
	}
	for _, in := range w.store.List() {
		ledger(in)
	}
	if err := w.store.Ledger(ledger); err != nil {
		w.problem("ledger: %v", err)
	}
	for _, r := range w.pd.Requests() {
		w.problem("pagerduty: %s %s %s %d %s", r.At.Format(time.TimeOnly), r.Action, r.DedupKey, r.Code, r.Outcome)
	}
}

// retryBlocked lifts what refusals have blocked, as an operator would.
func (w *world) retryBlocked() {
	w.mu.Lock()
	w.twice.lifted()
	w.mu.Unlock()
	if _, err := w.store.RetryBlocked(context.Background(), "reload"); err != nil {
		w.problem("RetryBlocked: %v", err)
	}
}
