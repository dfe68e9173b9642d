package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/mapping"
)

const (
	loadWorkers = 8
	deckSize    = 12 // alerts that a worker has in play at once.
	groupSize   = 4  // alerts in one webhook, at most.
	retireOneIn = 40 // an alert is left as it is after an observation, one time in so many.
)

// observation is one alert in one webhook.
type observation struct {
	episode int
	firing  bool
	acked   bool // the webhook was answered 200.
}

// subject is an alert that the load plays with. Its episodes count from 1.
type subject struct {
	name     string
	critical bool
	labels   template.KV
	starts   time.Time // of the running or last episode.
	history  []observation
}

// next is what the subject is observed as after its last observation.
func (s *subject) next() observation {
	if len(s.history) == 0 {
		return observation{episode: 1, firing: true}
	}
	last := s.history[len(s.history)-1]
	if last.firing {
		return observation{episode: last.episode}
	}
	return observation{episode: last.episode + 1, firing: true}
}

// load posts webhooks and remembers which were answered.
type load struct {
	seed uint64

	mu       sync.Mutex
	url      string        // "" while pagerelay is down.
	starts   int           // how often it was up.
	changed  chan struct{} // closed when url or starts changes.
	last     bool          // no new webhooks.
	subjects []*subject
	other    map[int]int // answers other than 200, by status.
}

func newLoad(seed uint64) *load {
	return &load{seed: seed, changed: make(chan struct{}), other: map[int]int{}}
}

func (l *load) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *load) up(url string) { l.change(func() { l.url = url; l.starts++ }) }
func (l *load) down()         { l.change(func() { l.url = "" }) }
func (l *load) finish()       { l.change(func() { l.last = true }) }

// address waits for a start of pagerelay after the given one. It is false when
// there is nothing more to do.
func (l *load) address(ctx context.Context, after int) (url string, start int, ok bool) {
	for {
		l.mu.Lock()
		url, start, changed, last := l.url, l.starts, l.changed, l.last
		l.mu.Unlock()
		switch {
		case last:
			return "", 0, false
		case url != "" && start > after:
			return url, start, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", 0, false
		}
	}
}

// work is one client: it posts groups of its own alerts, one webhook after the other.
func (l *load) work(ctx context.Context, id int) {
	rng := rand.New(rand.NewPCG(l.seed, uint64(100+id)))
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2}}
	defer client.CloseIdleConnections()
	var deck []*subject
	failed := 0 // the start during which the last webhook got no answer.
	for {
		url, start, ok := l.address(ctx, failed)
		if !ok {
			return
		}
		for len(deck) < deckSize {
			deck = append(deck, l.subject(id, rng))
		}
		rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		group := deck[:1+rng.IntN(groupSize)]

		now := time.Now()
		body := webhook(group, now, rng)
		if l.post(ctx, client, url, body, group) {
			// Now and then another replica, or a retry, says the same again.
			if rng.IntN(8) == 0 {
				l.again(ctx, client, url, group)
			}
		} else {
			failed = start
		}
		// An alert that was not answered for is, like any other, tried again, or
		// goes on, or is left: Alertmanager does all three.
		kept := deck[:0]
		for _, s := range deck {
			if len(s.history) == 0 || rng.IntN(retireOneIn) > 0 {
				kept = append(kept, s)
			}
		}
		deck = kept
	}
}

func (l *load) subject(worker int, rng *rand.Rand) *subject {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &subject{name: fmt.Sprintf("W%dN%d", worker, len(l.subjects)), critical: rng.IntN(2) == 0}
	s.labels = template.KV{"alertname": s.name, "severity": "warning", "worker": strconv.Itoa(worker)}
	if s.critical {
		s.labels["severity"] = "critical"
	}
	l.subjects = append(l.subjects, s)
	return s
}

// webhook moves each alert of the group on by one observation, or repeats one
// that was not answered for, and makes the body that says so.
func webhook(group []*subject, now time.Time, rng *rand.Rand) []byte {
	for _, s := range group {
		o := s.next()
		if n := len(s.history); n > 0 && !s.history[n-1].acked && rng.IntN(2) == 0 {
			o = s.history[n-1]
		}
		if o.firing && (len(s.history) == 0 || s.history[len(s.history)-1].episode != o.episode) {
			s.starts = now
		}
		s.history = append(s.history, o)
	}
	return encode(group, now, "http://alertmanager-a:9093")
}

func encode(group []*subject, now time.Time, externalURL string) []byte {
	g := mapping.Group{
		Version: "4", GroupKey: `{}:{worker="load"}`,
		Data: template.Data{
			Receiver: "pagerelay", Status: mapping.Firing, ExternalURL: externalURL,
			GroupLabels: template.KV{}, CommonLabels: template.KV{}, CommonAnnotations: template.KV{},
		},
	}
	for _, s := range group {
		o := s.history[len(s.history)-1]
		a := template.Alert{
			Status: mapping.Firing, Labels: s.labels, StartsAt: s.starts,
			Annotations: template.KV{"summary": fmt.Sprintf("episode %d", o.episode)},
			Fingerprint: fingerprint(s.name),
		}
		if !o.firing {
			a.Status, a.EndsAt = mapping.Resolved, now
		}
		g.Alerts = append(g.Alerts, a)
	}
	b, err := json.Marshal(g)
	if err != nil {
		panic(err) // a struct of strings and times.
	}
	return b
}

func fingerprint(name string) string {
	h := uint64(14695981039346656037)
	for _, c := range []byte(name) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return fmt.Sprintf("%016x", h)
}

// post sends a webhook, and notes for each alert of it whether it was answered 200.
func (l *load) post(ctx context.Context, client *http.Client, url string, body []byte, group []*subject) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/webhook/alertmanager", bytes.NewReader(body))
	if err != nil {
		panic(err) // the URL is our own.
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	// The status line is the answer: what follows may be cut off by the kill.
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.other[resp.StatusCode]++
		return false
	}
	for _, s := range group {
		s.history[len(s.history)-1].acked = true
	}
	return true
}

// again sends what the group was last observed as once more, as another replica
// does. It changes nothing, so its answer does not matter.
func (l *load) again(ctx context.Context, client *http.Client, url string, group []*subject) {
	l.post(ctx, client, url, encode(group, time.Now(), "http://alertmanager-b:9093"), group)
}

// report is what came of a run.
type report struct {
	alerts, firing, acknowledged, unanswered int
	triggers, resolves                       int
	lost, left, inversions                   []string
	otherAnswers                             map[int]int
}

// judge compares what PagerDuty holds and was told with what was observed. The
// workers must have ended.
func (l *load) judge(open []emulator.Incident, journal []emulator.Request) report {
	r := report{alerts: len(l.subjects), otherAnswers: l.other}
	requests := map[string][]emulator.Request{}
	for _, q := range journal {
		requests[nameOf(q.DedupKey)] = append(requests[nameOf(q.DedupKey)], q)
	}
	isOpen := map[string]int{}
	for _, in := range open {
		isOpen[nameOf(in.DedupKey)]++
	}
	for _, s := range l.subjects {
		r.subject(s, isOpen[s.name], requests[s.name])
		delete(isOpen, s.name)
	}
	for name := range isOpen {
		r.left = append(r.left, "an incident of nobody is open: "+name)
	}
	return r
}

func (r *report) subject(s *subject, open int, requests []emulator.Request) {
	// Whatever follows the last observation that was answered for may or may not
	// have been taken in.
	allowed := map[bool]bool{false: len(s.history) == 0 || !s.history[0].acked}
	var certain *observation
	for i, o := range s.history {
		if o.acked {
			r.acknowledged++
			certain = &s.history[i]
			allowed = map[bool]bool{}
		} else {
			r.unanswered++
		}
		allowed[o.firing] = true
	}
	if certain == nil {
		allowed[false] = true
	}
	if open > 0 {
		r.firing++
	}
	switch {
	case open > 1:
		r.left = append(r.left, fmt.Sprintf("%s: %d open incidents; history %v; requests %s", s.name, open, s.history, texts(requests)))
	case open == 0 && !allowed[false]:
		r.lost = append(r.lost, fmt.Sprintf("%s: fires and is not open; history %v; requests %s", s.name, s.history, texts(requests)))
	case open == 1 && !allowed[true]:
		r.left = append(r.left, fmt.Sprintf("%s: is open and does not fire; history %v; requests %s", s.name, s.history, texts(requests)))
	}
	newest, closed := 0, 0 // the newest episode triggered, and that of them which a resolve ended.
	for _, q := range requests {
		if q.Action == "resolve" {
			r.resolves++
			closed = newest
			continue
		}
		r.triggers++
		n, err := strconv.Atoi(strings.TrimPrefix(q.Summary, "episode "))
		if err != nil {
			r.inversions = append(r.inversions, fmt.Sprintf("%s: summary %q", s.name, q.Summary))
			continue
		}
		if n <= closed {
			r.inversions = append(r.inversions, fmt.Sprintf("%s: episode %d was triggered after the resolve that ended episode %d; history %v; requests %s",
				s.name, n, closed, s.history, texts(requests)))
		}
		newest = max(newest, n)
	}
	// A page for an earlier episode does not stand for the one that fires.
	if certain != nil && certain.firing && open == 1 && newest < certain.episode {
		r.lost = append(r.lost, fmt.Sprintf("%s: episode %d was never triggered, only %d; history %v; requests %s",
			s.name, certain.episode, newest, s.history, texts(requests)))
	}
}

func texts(requests []emulator.Request) string {
	var b strings.Builder
	for _, q := range requests {
		fmt.Fprintf(&b, "\n  #%d %s received %s: %s %q -> %s", q.Seq, q.At.Format("05.000000"), q.ReceivedAt.Format("05.000000"), q.Action, q.Summary, q.Outcome)
	}
	return b.String()
}

func readJournal(t *testing.T, path string) []emulator.Request {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read.
	var list []emulator.Request
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var q emulator.Request
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			t.Fatalf("journal: %v: %s", err, lines.Text())
		}
		list = append(list, q)
	}
	return list
}

// loadKey is the routing key of a worker's service. PagerDuty grants a key 10,000
// events a minute at most, which pagerelay holds itself to: more go to more keys.
func loadKey(worker int) string { return fmt.Sprintf("pagerelayloadworker%013d", worker) }

// loadAccount is an account in which somebody is always on call and no limit
// holds anything up.
func loadAccount() string {
	var keys []string
	for i := range loadWorkers {
		keys = append(keys, loadKey(i))
	}
	return `
limits: {unlimited: true}
services:
  - {id: PLOAD, name: load, routing_keys: [` + strings.Join(keys, ", ") + `], escalation_policy: PPOLICY}
escalation_policies:
  - {id: PPOLICY, levels: [{targets: [{user: PADA}]}]}
users:
  - {id: PADA, name: Ada}
`
}

func loadServices() string {
	var b strings.Builder
	for i := range loadWorkers {
		fmt.Fprintf(&b, "  load-%d: {routing_key: %s, events_per_minute: 10000}\n", i, loadKey(i))
	}
	return b.String()
}

func loadRules() string {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range loadWorkers {
		fmt.Fprintf(&b, "  - {name: worker-%d, matchers: ['worker=\"%d\"'], service: load-%d}\n", i, i, i)
	}
	return b.String()
}
