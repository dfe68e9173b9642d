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
	"time"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/incident"
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
		// What pagerelay's coverage audit reports: no Alertmanager knows of it.
		{"alertname": "Gap", "severity": "critical", "schedule": "night"},
	}
}

const (
	watchdog = 8  // the first of them.
	gap      = 10 // of origin coverage.
)

// groupKey is that of the only group: by group, all alerts of an urgency are one incident.
const groupKey = "{}:{}"

func fingerprint(i int) string { return fmt.Sprintf("%016x", i+1) }

// indexOf is the alert that a fingerprint stands for, or -1.
func indexOf(fp string) int {
	var i int
	if _, err := fmt.Sscanf(fp, "%x", &i); err != nil || i < 1 || i > len(alerts()) {
		return -1
	}
	return i - 1
}

// Configurations that a reload goes between.
func configText(variant int, dedup string) string {
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
defaults: {dedup: {by: ` + dedup + `}}
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
	unclear   alertmanager.DoubtKind // what Alertmanager does not list is no evidence; "": it is.
	unclearAt int                    // the member that cannot be reached or has just started.
	clearFrom time.Time
	empty     int // so many answers more list nothing at all, although all is well.
	emptyRow  int // so many have done so in a row.
	muted     []string
	unheard   []bool // fires, and no webhook has ever said so.
	grouped   bool   // webhooks tell of all that fires in their group.
	truncated bool   // a webhook has left some out: they may be adopted.
	reloaded  bool
	dedup     string // defaults.dedup.by.
	policy    alertmanager.Reconcile

	config *config.Config
	router *mapping.Mapper // of config.
	*sidecar
	life *life

	mu       sync.Mutex
	mapped   map[string]map[int]bool // dedup key -> alerts that were ever mapped to it.
	settled  map[string]time.Time    // dedup key -> when a person resolved it.
	problems []string
	touched  map[string]bool      // dedup key -> a person did something to it.
	epochs   map[string]time.Time // dedup key -> when it was last told to fire while nothing of it was.
	minimal  map[string]bool      // incident -> the last event that was answered 400 was the minimal one.
	twice    *twice
	variant  int // of the configuration.

	// Where PagerDuty pages nobody, and what the audit knows of that.
	holes     map[string]*hole // by service.
	believed  map[string]hole
	audited   bool
	unheardOf map[string]*hole     // dedup key -> the hole of infra's that a page of it fell into.
	faulty    bool                 // PagerDuty may fail.
	throttled map[string]time.Time // by service: when PagerDuty last answered it with 429.
	calmSince time.Time            // when something that delays requests happened last.
}

func newWorld(dir string, peers int, emu emulator.Config, dedup string, policy alertmanager.Reconcile) *world {
	n := len(alerts())
	w := &world{
		dir: dir, pd: newAccount(emu), peers: peers, dedup: dedup, firing: make([]bool, n), starts: make([]time.Time, n), ends: make([]time.Time, n),
		mapped: map[string]map[int]bool{}, settled: map[string]time.Time{}, twice: newTwice(),
	}
	w.peerFires, w.peerDue = make([]bool, n), make([]time.Time, n)
	w.turn[0], w.turn[1] = make(chan struct{}, 1), make(chan struct{}, 1)
	w.said[0], w.said[1] = make([]bool, n), make([]bool, n)
	w.muted, w.unheard, w.policy, w.touched = make([]string, n), make([]bool, n), policy, map[string]bool{}
	w.epochs, w.minimal, w.clearFrom = map[string]time.Time{}, map[string]bool{}, time.Now()
	w.holes, w.believed, w.unheardOf = map[string]*hole{}, map[string]hole{}, map[string]*hole{}
	w.throttled = map[string]time.Time{}
	w.audited = true
	w.load(0)
	w.begins()
	for i := range 2 {
		w.begin(watchdog + i)
		w.sayAs(i, "first notification", watchdog+i, true, w.starts[watchdog+i], time.Time{})
	}
	return w
}

func (w *world) load(variant int) {
	c, err := config.Parse([]byte(configText(variant, w.dedup)), w.dir)
	if err != nil {
		panic(err)
	}
	router, err := mapping.New(c.Mapping)
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.config, w.router = c, router
}

// settings are what is configured now.
func (w *world) settings() settings {
	return settings{config: w.config, peers: w.peers, policy: w.policy, previousKeys: []string{keyInfra, keyNext}, coverage: w.coverageAt}
}

// begins starts pagerelay.
func (w *world) begins() {
	alive, with := newLife(w), w.settings()
	with.committing = alive.committing
	next := newSidecar(w.dir, alive, with)
	w.mu.Lock()
	w.sidecar, w.life = next, alive
	w.mu.Unlock()
	next.start()
}

func (w *world) reload(variant int) {
	w.reloaded = true
	w.load(variant)
	w.mu.Lock()
	if variant != w.variant {
		w.twice.reloaded()
	}
	w.variant = variant
	w.mu.Unlock()
	w.apply(w.settings())
	w.retryBlocked()
}

func (w *world) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// say has the first peer post the present state of an alert, alone or with what else
// fires in its group.
func (w *world) say(reason string, i int) {
	g, which := w.webhook(0, reason, i, w.firing[i], w.starts[i], w.ends[i]), []int{i}
	if w.grouped {
		for _, other := range groupOf(i) {
			if other != i && w.firing[other] && w.muted[other] == "" {
				w.setUnheard(other, false)
				more := w.webhook(0, reason, other, true, w.starts[other], time.Time{})
				g.Alerts, which = append(g.Alerts, more.Alerts...), append(which, other)
			}
		}
	}
	w.post(0, g, which)
}

// groupOf lists the alerts of a group of Alertmanager's.
func groupOf(i int) []int {
	switch {
	case i < 3:
		return []int{0, 1, 2}
	case i < 6:
		return []int{3, 4, 5}
	case i < watchdog:
		return []int{6, 7}
	}
	return nil
}

// setUnheard notes that an alert fires of which no webhook has told, or that one has.
func (w *world) setUnheard(i int, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unheard[i] = on
}

// sayAs has a peer post a webhook about one alert.
func (w *world) sayAs(peer int, reason string, i int, firing bool, starts, ends time.Time) {
	w.post(peer, w.webhook(peer, reason, i, firing, starts, ends), []int{i})
}

func (w *world) webhook(peer int, reason string, i int, firing bool, starts, ends time.Time) *mapping.Group {
	g := mapping.Group{Version: "4", GroupKey: groupKey}
	g.Receiver, g.Status, g.ExternalURL, g.NotificationReason = "pagerelay", "firing", fmt.Sprint("http://am-", peer+1), reason
	status := mapping.Resolved
	if firing {
		status = mapping.Firing
	}
	raw, err := json.Marshal(map[string]any{
		"status": status, "labels": alerts()[i], "annotations": map[string]string{"summary": alerts()[i]["alertname"]},
		"startsAt": starts, "endsAt": ends, "fingerprint": fingerprint(i),
	})
	if err != nil {
		panic(err)
	}
	g.Alerts = append(g.Alerts, decodeAlert(raw))
	return &g
}

// note remembers what pagerelay is about to be told. The caller holds the lock.
func (w *world) note(peer int, obs []mapping.Observation, which []int) (answered func()) {
	var told []func()
	for n, o := range obs {
		i := which[n]
		if w.mapped[o.DedupKey] == nil {
			w.mapped[o.DedupKey] = map[int]bool{}
		}
		w.mapped[o.DedupKey][i] = true
		if o.Alert.Status == mapping.Firing {
			if peer == 0 && !w.toldFiring(o.DedupKey) {
				w.epochs[o.DedupKey] = time.Now()
			}
			w.said[peer][i] = true // from now on it may be paged.
		}
		told = append(told, w.twice.observed(peer, &o, i, w.peers, len(w.mutedIn(fingerprint(i))) > 0, time.Now()))
	}
	return func() {
		for _, f := range told {
			f()
		}
	}
}

func (w *world) post(peer int, g *mapping.Group, which []int) {
	w.mu.Lock()
	router := w.router
	answered := w.note(peer, router.Route(g), which)
	w.mu.Unlock()
	body, err := json.Marshal(g)
	if err != nil {
		panic(err)
	}
	w.turn[peer] <- struct{}{} // a peer sends one webhook after the other, and again until it is taken.
	defer func() { <-w.turn[peer] }()
	for {
		w.mu.Lock()
		if w.router != router { // what is told again is routed anew.
			router = w.router
			answered()
			answered = w.note(peer, router.Route(g), which)
		}
		door, life := w.door, w.life
		w.mu.Unlock()
		rec := post(door, body)
		unseen := life.over()
		if rec.Code == http.StatusOK && !unseen {
			break
		}
		if rec.Code != http.StatusServiceUnavailable && !unseen {
			w.problem("the webhook was answered %d: %s", rec.Code, rec.Body)
			return
		}
		time.Sleep(time.Second)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	answered()
	for n, i := range which {
		if g.Alerts[n].Status == mapping.Resolved {
			w.said[peer][i] = false
		}
	}
}

// Ask plays Alertmanager's API.
func (w *world) Ask(_ context.Context, q incident.Question, in *incident.Incident) (incident.Verdict, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unclear != "" {
		w.mayAdmit(q, in)
		return incident.VerdictUncertain, string(w.unclear)
	}
	which := slices.Collect(maps.Keys(w.mapped[in.DedupKey]))
	if q != incident.QuestionSiblings {
		which = nil
		for fp, m := range in.Members {
			if q != incident.QuestionLate && m.Firing || q == incident.QuestionLate && m.Late != nil {
				which = append(which, indexOf(fp))
			}
		}
	}
	for _, i := range which {
		if w.firing[i] {
			if w.unheard[i] {
				w.mayAdmit(q, in)
			}
			return incident.VerdictFiring, ""
		}
	}
	return incident.VerdictGone, ""
}

// mayAdmit notes that what a late webhook told may page. The caller holds the lock.
func (w *world) mayAdmit(q incident.Question, in *incident.Incident) {
	if q == incident.QuestionLate {
		w.twice.begins(in.DedupKey, lateInDoubt, time.Now(), w.peers)
	}
}
