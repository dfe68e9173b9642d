package model_test

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

// begin starts a firing of an alert, never in the very moment in which one ended.
func (w *world) begin(i int) {
	time.Sleep(time.Nanosecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.firing[i], w.starts[i], w.ends[i] = true, time.Now(), time.Time{}
	w.unheard[i] = w.muted[i] != ""
}

// silently is what Alertmanager tells nobody of. Without an Alertmanager to ask,
// nobody can know, and it does not happen.
func (w *world) silently(s step) {
	i := s.Alert
	if w.peers == 0 {
		return
	}
	switch s.What {
	case "silent resolve":
		if w.firing[i] {
			w.setFiring(i, false)
		}
	case "silent fire":
		if !w.firing[i] {
			w.begin(i)
			w.setUnheard(i, true)
		}
	case "empty answer":
		w.mu.Lock()
		w.empty = 1 + s.N%2
		w.mu.Unlock()
	case "truncate":
		w.truncate(s)
	case "mute":
		w.mu.Lock()
		w.muted[i] = []string{"silence", "inhibition"}[s.N%2]
		w.mu.Unlock()
	case "unmute":
		w.unmute(i)
	}
}

// truncate begins a firing that max_alerts leaves out of its webhook.
func (w *world) truncate(s step) {
	if w.firing[s.Alert] || w.muted[s.Alert] != "" {
		return
	}
	w.mu.Lock()
	w.truncated = true
	w.mu.Unlock()
	w.begin(s.Alert)
	w.setUnheard(s.Alert, true)
	g := w.webhook(0, "new alerts added", watchdog, true, w.starts[watchdog], time.Time{})
	g.TruncatedAlerts = 1
	w.post(0, g, []int{watchdog})
}

// coverage reports a gap in the on-call schedule, or its end, as the audit does:
// through the door that webhooks come in by, but for its origin.
func (w *world) coverage() {
	on := !w.firing[gap]
	if on {
		w.begin(gap)
	} else {
		w.setFiring(gap, false)
	}
	g := w.webhook(0, "", gap, on, w.starts[gap], w.ends[gap])
	g.Origin, g.ExternalURL = mapping.OriginCoverage, ""
	w.mu.Lock()
	obs := w.router.Route(g)
	answered := w.note(0, obs, []int{gap})
	w.mu.Unlock()
	for life := w.life; w.store.Observe(context.Background(), obs) != nil || life.over(); life = w.life {
		time.Sleep(time.Second)
	}
	w.mu.Lock()
	answered()
	w.said[0][gap] = on
	w.mu.Unlock()
}

// unmute ends a mute. Alertmanager then notifies of what it has never notified of.
func (w *world) unmute(i int) {
	w.mu.Lock()
	was := w.muted[i]
	w.muted[i] = ""
	w.mu.Unlock()
	if was == "" || !w.firing[i] {
		return
	}
	if w.unheard[i] {
		w.setUnheard(i, false)
		w.say("new alerts added", i)
	}
}

// group is the webhook that would tell of a firing alert.
func (w *world) group(i int) *mapping.Group {
	g := &mapping.Group{GroupKey: groupKey}
	raw, err := json.Marshal(map[string]any{"status": "firing", "labels": alerts()[i]})
	if err != nil {
		panic(err)
	}
	g.Alerts = append(g.Alerts, decodeAlert(raw))
	if i == gap {
		g.Origin = mapping.OriginCoverage
	}
	return g
}

// Identity is that of the only Alertmanagers of this world.
func (w *world) Identity() string { return "world" }

// Survey plays Alertmanager's lists. Reading them takes its time, in which webhooks
// come in.
func (w *world) Survey(ctx context.Context, each func(int, *alertmanager.Listing) error) (alertmanager.Standing, error) {
	lists, standing := w.lists()
	for member, list := range lists {
		for i := range list {
			if err := each(member, &list[i]); err != nil {
				return alertmanager.Standing{}, err
			}
		}
	}
	select {
	case <-time.After(surveyTakes):
	case <-ctx.Done():
		return alertmanager.Standing{}, ctx.Err()
	}
	return standing, nil
}

const surveyTakes = 2 * time.Second

func (w *world) lists() ([][]alertmanager.Listing, alertmanager.Standing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	standing := alertmanager.Standing{Mature: make([]bool, w.peers)}
	nothing := w.empty > 0 && w.emptyRow < 2 // never three in a row: that would be evidence.
	if nothing {
		w.empty--
		w.emptyRow++
	} else {
		w.emptyRow = 0
	}
	var which []int
	for i, on := range w.firing {
		if on && i != gap && !nothing {
			which = append(which, i)
		}
	}
	doubtful, read := w.unclearAt%w.peers, len(which) // how much is read of the doubtful one's.
	half := max(0, len(which)-2) / 2                  // the watchdogs stand last.
	switch w.unclear {
	case alertmanager.DoubtYoung:
		read = 0
	case alertmanager.DoubtUnreachable: // it goes away while its list is read.
		read = half
	case alertmanager.DoubtUncovered: // the rest is known to a member alone that is not asked.
		read, which = half, which[:half]
	}
	if w.peers == 1 {
		which = which[:read]
	}
	var list []alertmanager.Listing
	for _, i := range which {
		list = append(list, w.listing(i))
	}
	lists := make([][]alertmanager.Listing, w.peers)
	for i := range lists {
		lists[i], standing.Mature[i] = list, true
	}
	if w.unclear != "" {
		standing.Doubts = []alertmanager.Doubt{{Kind: w.unclear, Text: string(w.unclear)}}
		lists[doubtful], standing.Mature[doubtful] = list[:read], w.unclear == alertmanager.DoubtUncovered
	}
	return lists, standing
}

// listing is an alert as Alertmanager's API lists it. The caller holds the lock.
func (w *world) listing(i int) alertmanager.Listing {
	labels, err := json.Marshal(alerts()[i])
	if err != nil {
		panic(err)
	}
	l := alertmanager.Listing{
		Fingerprint: fingerprint(i), Labels: labels, Annotations: json.RawMessage(`{"summary":"listed"}`),
		StartsAt: w.starts[i].Format(time.RFC3339Nano), EndsAt: time.Now().Add(5 * time.Minute).Format(time.RFC3339Nano),
	}
	l.Receivers = append(l.Receivers, struct {
		Name string `json:"name"`
	}{"pagerelay"})
	l.Status.State = "active"
	if by := w.muted[i]; by != "" {
		l.Status.State = "suppressed"
		l.Status.SilencedBy, l.Status.InhibitedBy = by == "silence", by == "inhibition"
	}
	read := time.Now().Add(surveyTakes - time.Nanosecond)
	effect := map[string]string{"": "nothing", "silence": w.policy.OnSilence, "inhibition": w.policy.OnInhibit}
	if e := effect[w.muted[i]]; e == "nothing" || e == "" { // the mute ends, or its effect.
		for _, in := range w.mutedIn(fingerprint(i)) { // wherever it was routed when it was muted.
			w.twice.begins(in.DedupKey, newEpisode, read, w.peers)
		}
	}
	if (w.policy.Adopt || w.truncated) && w.muted[i] == "" { // from now on it may be paged without a webhook.
		w.said[0][i] = true
		unknown := !w.held(fingerprint(i)) // for instance because a peer told late of an earlier end.
		for _, o := range w.router.Route(w.group(i)) {
			if w.mapped[o.DedupKey] == nil {
				w.mapped[o.DedupKey] = map[int]bool{}
			}
			w.mapped[o.DedupKey][i] = true
			if unknown {
				w.twice.begins(o.DedupKey, adopted, read, w.peers)
				w.twice.allow(o.DedupKey, adopted, read, incident.Resolve) // it may be over before it is paged.
			}
		}
	}
	return l
}

func (w *world) setUnclear(kind alertmanager.DoubtKind, member int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unclear != kind {
		w.clearFrom = time.Now()
	}
	w.unclear, w.unclearAt = kind, member
}

// mutedIn lists the incidents in which the outbox holds an alert as muted.
func (w *world) mutedIn(fp string) []*incident.Incident {
	return slices.DeleteFunc(w.store.List(), func(in *incident.Incident) bool {
		m := in.Members[fp]
		return m == nil || m.Muted == nil
	})
}

// held says whether the outbox holds an alert as firing.
func (w *world) held(fp string) bool {
	for _, in := range w.store.List() {
		if m := in.Members[fp]; m != nil && m.Firing {
			return true
		}
	}
	return false
}
