// Package model_test drives the whole pipeline, from the webhook to PagerDuty,
// through random histories in virtual time, and holds what comes of them against
// what Alertmanager said.
package model_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// staleAfter is the program's default.
const staleAfter = 2 * time.Minute

const (
	keyInfra = "11111111111111111111111111111111"
	keyNext  = "22222222222222222222222222222222" // infra's, after a rotation.
	keyOther = "33333333333333333333333333333333"
)

// alerts are the labels of the alerts of the world; some share a dedup key.
func alerts() []map[string]string {
	return []map[string]string{
		{"alertname": "A", "severity": "critical"},
		{"alertname": "B", "severity": "critical"},
		{"alertname": "S", "severity": "critical", "shared": "one", "instance": "1"},
		{"alertname": "S", "severity": "critical", "shared": "one", "instance": "2"},
		{"alertname": "W", "severity": "warning"},
		{"alertname": "I", "severity": "info"},
		{"alertname": "T", "severity": "warning", "shared": "two", "instance": "1"},
		{"alertname": "T", "severity": "warning", "shared": "two", "instance": "2"},
		// They fire always, each said by one peer, and page nobody.
		{"alertname": "Watchdog", "severity": "none", "instance": "1"},
		{"alertname": "Watchdog", "severity": "none", "instance": "2"},
	}
}

const watchdog = 8 // the first of them.

// Configurations that a reload goes between.
func configText(variant int) string {
	services := `
services:
  infra: {routing_key: ` + keyInfra + `, fallback: other}
  other: {routing_key: ` + keyOther + `}
`
	moved := ""
	switch variant {
	case 1: // alert A is routed elsewhere, B becomes low.
		moved = `
  - {name: moved, matchers: ['alertname="A"'], service: other}
  - {name: lowered, matchers: ['alertname="B"'], service: infra, tier: warning}`
	case 2: // infra's routing key has been rotated.
		services = `
services:
  infra: {routing_key: ` + keyNext + `, fallback: other, previous_routing_key_files: [previous]}
  other: {routing_key: ` + keyOther + `}
`
	}
	return services + `
rules:` + moved + `
  - {name: shared, matchers: ['shared=~".+"'], service: infra, dedup: {by: [shared]}}
  - {name: rest, service: infra}
`
}

// world is Alertmanager, pagerelay and PagerDuty, in one bubble.
type world struct {
	dir   string
	pd    account
	peers int // Alertmanagers that pagerelay may ask; 0: none.

	// What Alertmanager says.
	firing []bool
	starts []time.Time
	ends   []time.Time
	said   [2][]bool // by peer: the last observation that was answered 200 says firing.
	// What the peer has said or will say last of each alert, and when.
	peerFires []bool
	peerDue   []time.Time
	later     sync.WaitGroup
	turn      [2]chan struct{}
	unclear   bool // Alertmanager cannot be reached or has just started.
	muted     []string
	unheard   []bool // fires, and no webhook has ever said so.
	reloaded  bool
	policy    alertmanager.Reconcile

	config *config.Config
	*sidecar

	mu       sync.Mutex
	mapped   map[string]map[int]bool // dedup key -> alerts that were ever mapped to it.
	settled  map[string]time.Time    // dedup key -> when a person resolved it.
	problems []string
	touched  map[string]bool // dedup key -> a person did something to it.
	episodes map[string]int  // dedup key -> firings and repeats said, an upper bound of its triggers.
	rough    bool            // something happened after which a trigger may be sent twice.
}

func newWorld(dir string, peers int, emu emulator.Config, policy alertmanager.Reconcile) *world {
	n := len(alerts())
	w := &world{
		dir: dir, pd: newAccount(emu), peers: peers, firing: make([]bool, n), starts: make([]time.Time, n), ends: make([]time.Time, n),
		mapped: map[string]map[int]bool{}, settled: map[string]time.Time{}, episodes: map[string]int{},
	}
	w.peerFires, w.peerDue = make([]bool, n), make([]time.Time, n)
	w.turn[0], w.turn[1] = make(chan struct{}, 1), make(chan struct{}, 1)
	w.said[0], w.said[1] = make([]bool, n), make([]bool, n)
	w.muted, w.unheard, w.policy, w.touched = make([]string, n), make([]bool, n), policy, map[string]bool{}
	w.load(0)
	w.begins()
	for i := range 2 {
		w.begin(watchdog + i)
		w.sayAs(i, "first notification", watchdog+i, true, w.starts[watchdog+i], time.Time{})
	}
	return w
}

func (w *world) load(variant int) {
	c, err := config.Parse([]byte(configText(variant)), w.dir)
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.config = c
}

// settings are what is configured now.
func (w *world) settings() settings {
	return settings{config: w.config, peers: w.peers, policy: w.policy, previousKeys: []string{keyInfra, keyNext}}
}

func (w *world) crash() {
	w.rough = true
	w.stop()
	w.begins()
}

// begins starts pagerelay.
func (w *world) begins() {
	next := newSidecar(w.dir, w, w.settings())
	w.mu.Lock()
	w.sidecar = next
	w.mu.Unlock()
	next.start()
}

func (w *world) reload(variant int) {
	w.rough, w.reloaded = true, true
	w.load(variant)
	w.apply(w.settings())
	if _, err := w.store.RetryBlocked(context.Background(), "reload"); err != nil {
		w.problem("RetryBlocked: %v", err)
	}
}

func (w *world) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// say has the first peer post the present state of an alert.
func (w *world) say(reason string, i int) {
	w.sayAs(0, reason, i, w.firing[i], w.starts[i], w.ends[i])
}

// sayAs has a peer post a webhook about one alert.
func (w *world) sayAs(peer int, reason string, i int, firing bool, starts, ends time.Time) {
	g := mapping.Group{Version: "4", GroupKey: "{}:{}"}
	g.Receiver, g.Status, g.ExternalURL, g.NotificationReason = "pagerelay", "firing", fmt.Sprint("http://am-", peer+1), reason
	status := mapping.Resolved
	if firing {
		status = mapping.Firing
	}
	raw, err := json.Marshal(map[string]any{
		"status": status, "labels": alerts()[i], "annotations": map[string]string{"summary": alerts()[i]["alertname"]},
		"startsAt": starts, "endsAt": ends, "fingerprint": fmt.Sprintf("%016x", i+1),
	})
	if err != nil {
		panic(err)
	}
	g.Alerts = append(g.Alerts, decodeAlert(raw))
	w.post(peer, &g, []int{i})
}

func (w *world) post(peer int, g *mapping.Group, which []int) {
	w.mu.Lock()
	mapper, err := mapping.New(w.config.Mapping)
	if err != nil {
		panic(err)
	}
	for n, o := range mapper.Route(g) {
		i := which[n]
		if w.mapped[o.DedupKey] == nil {
			w.mapped[o.DedupKey] = map[int]bool{}
		}
		w.mapped[o.DedupKey][i] = true
		if o.Alert.Status == mapping.Firing {
			w.episodes[o.DedupKey]++
			w.said[peer][i] = true // from now on it may be paged.
		}
	}
	w.mu.Unlock()
	body, err := json.Marshal(g)
	if err != nil {
		panic(err)
	}
	w.turn[peer] <- struct{}{} // a peer sends one webhook after the other, and again until it is taken.
	defer func() { <-w.turn[peer] }()
	for {
		w.mu.Lock()
		door := w.door
		w.mu.Unlock()
		rec := post(door, body)
		if rec.Code == http.StatusOK {
			break
		}
		if rec.Code != http.StatusServiceUnavailable {
			w.problem("the webhook was answered %d: %s", rec.Code, rec.Body)
			return
		}
		time.Sleep(time.Second)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, i := range which {
		if g.Alerts[n].Status == mapping.Resolved {
			w.said[peer][i] = false
		}
	}
}

// Ask plays Alertmanager's API.
func (w *world) Ask(_ context.Context, q outbox.Question, in *outbox.Incident) (outbox.Verdict, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unclear {
		return outbox.VerdictUncertain, "just started"
	}
	which := slices.Collect(maps.Keys(w.mapped[in.DedupKey]))
	if q != outbox.QuestionSiblings {
		which = nil
		for fp, m := range in.Members {
			if m.Firing || !m.HeldUntil.IsZero() {
				var i int
				_, _ = fmt.Sscanf(fp, "%x", &i)
				which = append(which, i-1)
			}
		}
	}
	for _, i := range which {
		if w.firing[i] {
			return outbox.VerdictFiring, ""
		}
	}
	return outbox.VerdictGone, ""
}

// Enqueue sends to the emulator, and holds each trigger against the second promise.
func (w *world) Enqueue(ctx context.Context, region string, e *pagerduty.Event) error {
	if e.Action == "trigger" {
		w.checkTrigger(e)
	}
	return w.pd.Enqueue(ctx, region, e)
}

// EnqueueChange sends a change event to the emulator.
func (w *world) EnqueueChange(ctx context.Context, region string, e *pagerduty.ChangeEvent) error {
	return w.pd.EnqueueChange(ctx, region, e)
}

func (w *world) checkTrigger(e *pagerduty.Event) {
	owed := false
	for _, in := range w.store.List() {
		if in.DedupKey == e.DedupKey && in.Owed > in.AcceptedRevision {
			owed = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.mapped[e.DedupKey] {
		if w.said[0][i] || w.said[1][i] {
			return
		}
	}
	if !owed {
		w.problems = append(w.problems, fmt.Sprintf("trigger of %s after the resolve that superseded it", e.DedupKey))
	}
}

// finish lets everything come to rest and compares PagerDuty with Alertmanager.
func (w *world) finish() []string {
	w.later.Wait()
	w.pd.ClearFaults()
	w.mu.Lock()
	w.unclear = false
	w.mu.Unlock()
	for i := range w.muted {
		w.unmute(i)
	}
	time.Sleep(10 * time.Minute)
	w.retryBlocked()
	for i, on := range w.firing { // Alertmanager's repeat_interval.
		if on && (!w.unheard[i] || !w.policy.Adopt || w.reloaded) { // only a webhook tells of a new route.
			w.say("repeat interval elapsed", i)
		}
	}
	time.Sleep(3 * time.Hour)
	synctest.Wait()

	mapper, err := mapping.New(w.config.Mapping)
	if err != nil {
		panic(err)
	}
	want := map[string]mapping.Urgency{}
	for i, labels := range alerts() {
		if !w.firing[i] {
			continue
		}
		g := mapping.Group{}
		raw, _ := json.Marshal(map[string]any{"status": "firing", "labels": labels})
		g.Alerts = append(g.Alerts, decodeAlert(raw))
		for _, o := range mapper.Route(&g) {
			want[o.DedupKey] = o.Urgency
		}
	}
	open := map[string]emulator.Status{}
	triggers := map[string]int{}
	for _, in := range w.pd.Incidents() {
		for _, a := range in.Alerts {
			triggers[a.DedupKey] += a.Triggers
			if a.Status != emulator.Resolved {
				open[a.DedupKey] = in.Status
			}
		}
	}
	for key := range open {
		if _, ok := want[key]; !ok {
			w.problem("%s is open at PagerDuty and does not fire", key)
		}
	}
	for key, urgency := range want {
		status, ok := open[key]
		_, byHand := w.settled[key]
		switch {
		case urgency == mapping.None:
		case !ok && !byHand:
			w.problem("%s fires and is not open at PagerDuty", key)
		case ok && urgency == mapping.Acknowledged && status != emulator.Acknowledged && !byHand:
			w.problem("%s is not acknowledged", key)
		case ok && urgency != mapping.Acknowledged && status == emulator.Acknowledged && !w.touched[key]:
			w.problem("%s is acknowledged, and nobody did that", key)
		}
	}
	if !w.rough {
		for key, n := range triggers {
			if n > w.episodes[key] {
				w.problem("%s was triggered %d times for %d firings and repeats", key, n, w.episodes[key])
			}
		}
	}
	for _, in := range w.store.List() {
		if _, ok := want[in.DedupKey]; !ok {
			w.problem("%s is over and still in the outbox: have %s, blocked %v", in.DedupKey, in.Have, in.Blocked)
		}
	}
	if len(w.problems) > 0 {
		w.tell()
	}
	w.stop()
	return w.problems
}

// tell adds the ledger and PagerDuty's log to the problems, for people.
func (w *world) tell() {
	ledger := func(in *outbox.Incident) bool {
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
	if _, err := w.store.RetryBlocked(context.Background(), "reload"); err != nil {
		w.problem("RetryBlocked: %v", err)
	}
}
