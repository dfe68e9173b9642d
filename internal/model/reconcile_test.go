package model_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/mapping"
)

// begin starts a firing of an alert.
func (w *world) begin(i int) {
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
			w.ends[i] = time.Now()
		}
	case "silent fire":
		if !w.firing[i] {
			w.begin(i)
			w.unheard[i] = true
			w.countEpisode(i)
		}
	case "mute":
		w.mu.Lock()
		w.muted[i] = []string{"silencedBy", "inhibitedBy"}[s.N%2]
		w.mu.Unlock()
	case "unmute":
		w.unmute(i)
	}
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
	w.countEpisode(i) // it may page again.
	if w.unheard[i] {
		w.unheard[i] = false
		w.say("new alerts added", i)
	}
}

// group is the webhook that would tell of a firing alert.
func (w *world) group(i int) *mapping.Group {
	g := &mapping.Group{}
	raw, err := json.Marshal(map[string]any{"status": "firing", "labels": alerts()[i]})
	if err != nil {
		panic(err)
	}
	g.Alerts = append(g.Alerts, decodeAlert(raw))
	return g
}

// countEpisode allows one more trigger for what the alert maps to.
func (w *world) countEpisode(i int) {
	for _, o := range w.mapper().Route(w.group(i)) {
		w.mu.Lock()
		w.episodes[o.DedupKey]++
		w.mu.Unlock()
	}
}

func (w *world) mapper() *mapping.Mapper {
	m, err := mapping.New(w.config.Mapping)
	if err != nil {
		panic(err)
	}
	return m
}

// Identity is that of the only Alertmanagers of this world.
func (w *world) Identity() string { return "world" }

// Survey plays Alertmanager's lists.
func (w *world) Survey(_ context.Context, each func(int, *alertmanager.Listing) error) (alertmanager.Standing, error) {
	lists, standing := w.lists()
	for member, list := range lists {
		for i := range list {
			if err := each(member, &list[i]); err != nil {
				return alertmanager.Standing{}, err
			}
		}
	}
	return standing, nil
}

func (w *world) lists() ([][]alertmanager.Listing, alertmanager.Standing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	standing := alertmanager.Standing{Mature: make([]bool, w.peers)}
	var list []alertmanager.Listing
	for i, on := range w.firing {
		if on {
			list = append(list, w.listing(i))
		}
	}
	lists := make([][]alertmanager.Listing, w.peers)
	for i := range lists {
		if w.unclear && i == 0 { // just started: it lists nothing yet.
			standing.Doubts = append(standing.Doubts, alertmanager.Doubt{Kind: alertmanager.DoubtYoung, Text: "young"})
			continue
		}
		lists[i], standing.Mature[i] = list, true
	}
	return lists, standing
}

// listing is an alert as Alertmanager's API lists it. The caller holds the lock.
func (w *world) listing(i int) alertmanager.Listing {
	status := map[string]any{"state": "active", "silencedBy": []string{}, "inhibitedBy": []string{}, "mutedBy": []string{}}
	if by := w.muted[i]; by != "" {
		status["state"], status[by] = "suppressed", []string{"x"}
	}
	raw, err := json.Marshal(map[string]any{
		"fingerprint": fmt.Sprintf("%016x", i+1), "labels": alerts()[i], "annotations": map[string]string{"summary": alerts()[i]["alertname"]},
		"startsAt": w.starts[i], "endsAt": time.Now().Add(5 * time.Minute), "status": status, "receivers": []map[string]string{{"name": "pagerelay"}},
	})
	if err != nil {
		panic(err)
	}
	var l alertmanager.Listing
	if err := json.Unmarshal(raw, &l); err != nil {
		panic(err)
	}
	if w.policy.Adopt && w.muted[i] == "" { // from now on it may be paged without a webhook.
		w.said[0][i] = true
		unknown := !w.held(fmt.Sprintf("%016x", i+1)) // for instance because a peer told late of an earlier end.
		for _, o := range w.mapper().Route(w.group(i)) {
			if w.mapped[o.DedupKey] == nil {
				w.mapped[o.DedupKey] = map[int]bool{}
			}
			w.mapped[o.DedupKey][i] = true
			if unknown {
				w.episodes[o.DedupKey]++
			}
		}
	}
	return l
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
