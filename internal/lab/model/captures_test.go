package model_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/mapping"
)

const capturesDir = "../../../receiver/testdata/captures"

// moment is one thing that happens in a story, and what comes of it until the next.
type moment struct {
	post string // the capture that Alertmanager posts: what its name begins with.
	over bool   // its alerts are resolved, for stories whose end was not captured.
	code int    // of the answer; 0: 200.
	// lists is what Alertmanager's API lists from now on, as alertname and instance;
	// one in brackets is silenced.
	lists []string
	// person resolves this incident in PagerDuty.
	person string

	stay time.Duration // until the next; default 5 s.

	// What pagerelay sends until then, in order; what is sent at the same time stands
	// by name.
	sent []string
	open []string // at PagerDuty, then.
}

// stories are the sequences of webhooks that real Alertmanagers have sent, and
// what each must come to.
func stories() []story {
	return []story{
		{
			name: "a group that grows, shrinks and ends",
			moments: []moment{
				{post: "01", sent: []string{"trigger DiskFull db-1"}, open: []string{"DiskFull db-1"}},
				{post: "02", sent: []string{"trigger DiskFull db-2", "trigger DiskFull db-3"}, open: []string{"DiskFull db-1", "DiskFull db-2", "DiskFull db-3"}},
				{post: "03", sent: []string{"resolve DiskFull db-1"}, open: []string{"DiskFull db-2", "DiskFull db-3"}},
				{post: "04", stay: time.Hour, sent: []string{"resolve DiskFull db-2", "resolve DiskFull db-3"}},
			},
		},
		{
			name:  "the same with one incident a group: a further alert triggers it again, a partial resolve nothing",
			dedup: "group",
			moments: []moment{
				{post: "01", sent: []string{"trigger DiskFull high"}, open: []string{"DiskFull high"}},
				{post: "02", sent: []string{"trigger DiskFull high", "trigger DiskFull low"}, open: []string{"DiskFull high", "DiskFull low"}},
				{post: "03", open: []string{"DiskFull high", "DiskFull low"}},
				{post: "04", stay: time.Hour, sent: []string{"resolve DiskFull high", "resolve DiskFull low"}},
			},
		},
		{
			name: "webhooks that are retried after they were stored",
			moments: []moment{
				{post: "01", sent: []string{"trigger DiskFull db-1"}, open: []string{"DiskFull db-1"}},
				{post: "01", open: []string{"DiskFull db-1"}},
				{post: "02", sent: []string{"trigger DiskFull db-2", "trigger DiskFull db-3"}, open: []string{"DiskFull db-1", "DiskFull db-2", "DiskFull db-3"}},
				{post: "02", open: []string{"DiskFull db-1", "DiskFull db-2", "DiskFull db-3"}},
				{post: "03", sent: []string{"resolve DiskFull db-1"}, open: []string{"DiskFull db-2", "DiskFull db-3"}},
				{post: "04", sent: []string{"resolve DiskFull db-2", "resolve DiskFull db-3"}},
				{post: "04", stay: time.Hour},
			},
		},
		{
			name: "the last webhooks in the wrong order: what Alertmanager no longer lists is not paged again",
			asks: true,
			moments: []moment{
				{post: "02", lists: []string{"DiskFull db-2", "DiskFull db-3"}, sent: []string{"trigger DiskFull db-1", "trigger DiskFull db-2", "trigger DiskFull db-3"}, open: []string{"DiskFull db-1", "DiskFull db-2", "DiskFull db-3"}},
				{post: "04", lists: []string{}, sent: []string{"resolve DiskFull db-2", "resolve DiskFull db-3"}, open: []string{"DiskFull db-1"}},
				{post: "03", stay: time.Hour, sent: []string{"resolve DiskFull db-1"}},
			},
		},
		{
			name: "only the end arrives: PagerDuty may hold it, opened by another replica",
			moments: []moment{
				{post: "04", stay: time.Hour, sent: []string{"resolve DiskFull db-2", "resolve DiskFull db-3"}},
			},
		},
		{
			name: "truncated, and then said to be resolved while three still fire: with an Alertmanager to ask",
			asks: true,
			moments: []moment{
				{
					post: "06", stay: 10 * time.Minute, lists: []string{"PodCrash pod-0", "PodCrash pod-1", "PodCrash pod-2", "PodCrash pod-3", "PodCrash pod-4"},
					sent: []string{"trigger PodCrash pod-0", "trigger PodCrash pod-1", "trigger PodCrash pod-2", "trigger PodCrash pod-3", "trigger PodCrash pod-4"},
					open: []string{"PodCrash pod-0", "PodCrash pod-1", "PodCrash pod-2", "PodCrash pod-3", "PodCrash pod-4"},
				},
				{
					post: "07", stay: time.Hour, lists: []string{"PodCrash pod-2", "PodCrash pod-3", "PodCrash pod-4"},
					sent: []string{"resolve PodCrash pod-0", "resolve PodCrash pod-1"},
					open: []string{"PodCrash pod-2", "PodCrash pod-3", "PodCrash pod-4"},
				},
				{lists: []string{}, stay: 10 * time.Minute, sent: []string{"resolve PodCrash pod-2", "resolve PodCrash pod-3", "resolve PodCrash pod-4"}},
			},
		},
		{
			name: "truncated, with nobody to ask: what is in the body is right, the rest is not known",
			moments: []moment{
				{post: "06", sent: []string{"trigger PodCrash pod-0", "trigger PodCrash pod-1"}, open: []string{"PodCrash pod-0", "PodCrash pod-1"}},
				{post: "07", stay: time.Hour, sent: []string{"resolve PodCrash pod-0", "resolve PodCrash pod-1"}},
			},
		},
		{
			name:  "truncated and falsely resolved, one incident a group: what was adopted keeps it open",
			asks:  true,
			dedup: "group",
			moments: []moment{
				{
					post: "06", stay: 10 * time.Minute, lists: []string{"PodCrash pod-0", "PodCrash pod-1", "PodCrash pod-2"},
					sent: []string{"trigger PodCrash low", "trigger PodCrash high"}, open: []string{"PodCrash high", "PodCrash low"},
				},
				{
					post: "07", stay: time.Hour, lists: []string{"PodCrash pod-2"},
					sent: []string{"resolve PodCrash low"}, open: []string{"PodCrash high"},
				},
			},
		},
		{
			name: "a body that is not Alertmanager's is refused, and what it was about is found by asking",
			asks: true,
			moments: []moment{
				{post: "01", lists: []string{"DiskFull db-1"}, sent: []string{"trigger DiskFull db-1"}, open: []string{"DiskFull db-1"}},
				{
					post: "12", code: http.StatusBadRequest, lists: []string{"DiskFull db-1", "P"}, stay: 10 * time.Minute,
					sent: []string{"trigger P"}, open: []string{"DiskFull db-1", "P"},
				},
			},
		},
		{
			name: "a silence: 'all alerts resolved' is about B alone, and A's return is nothing new",
			moments: []moment{
				{post: "13a", sent: []string{"trigger M A", "trigger M B"}, open: []string{"M A", "M B"}},
				{post: "13b", stay: 20 * time.Second, sent: []string{"resolve M B"}, open: []string{"M A"}},
				{post: "13c", stay: time.Hour, open: []string{"M A"}},
			},
		},
		{
			name:  "a silence, one incident a group: B's end does not close it",
			dedup: "group",
			moments: []moment{
				{post: "13a", sent: []string{"trigger M high"}, open: []string{"M high"}},
				{post: "13b", open: []string{"M high"}},
				{post: "13c", open: []string{"M high"}},
				{post: "13c", over: true, stay: time.Hour, sent: []string{"resolve M high"}},
			},
		},
		{
			name:  "a silence, with Alertmanager's own keys: B's end does not close the group's incident",
			dedup: "alertmanager",
			moments: []moment{
				{post: "13a", sent: []string{"trigger M"}, open: []string{"M"}},
				{post: "13b", open: []string{"M"}},
				{post: "13c", open: []string{"M"}},
				{post: "13c", over: true, stay: time.Hour, sent: []string{"resolve M"}},
			},
		},
		{
			name: "A ends in a silence and nothing is sent: its resolve is found by asking",
			asks: true,
			moments: []moment{
				{post: "13a", lists: []string{"M A", "M B"}, stay: 10 * time.Minute, sent: []string{"trigger M A", "trigger M B"}, open: []string{"M A", "M B"}},
				{post: "13b", lists: []string{"(M A)"}, stay: 10 * time.Minute, sent: []string{"resolve M B"}, open: []string{"M A"}},
				{post: "13d", lists: []string{"M C"}, stay: 10 * time.Minute, sent: []string{"trigger M C", "resolve M A"}, open: []string{"M C"}},
			},
		},
		{
			name: "the same with nobody to ask: A stays open until a person closes it",
			moments: []moment{
				{post: "13a", sent: []string{"trigger M A", "trigger M B"}, open: []string{"M A", "M B"}},
				{post: "13b", sent: []string{"resolve M B"}, open: []string{"M A"}},
				{post: "13d", stay: time.Hour, sent: []string{"trigger M C"}, open: []string{"M A", "M C"}},
			},
		},
		{
			name: "on_silence resolve: A is closed while it is silenced, and pages again after it",
			asks: true, onSilence: "resolve",
			moments: []moment{
				{post: "13a", lists: []string{"M A", "M B"}, stay: 10 * time.Minute, sent: []string{"trigger M A", "trigger M B"}, open: []string{"M A", "M B"}},
				{post: "13b", lists: []string{"(M A)"}, stay: 10 * time.Minute, sent: []string{"resolve M B", "resolve M A"}},
				{post: "13c", lists: []string{"M A"}, stay: time.Hour, sent: []string{"trigger M A"}, open: []string{"M A"}},
			},
		},
		{
			name: "on_silence acknowledge: A is acknowledged while it is silenced, and notifies again after it",
			asks: true, onSilence: "acknowledge",
			noCrash: "what else was triggered before a start is not known: then an acknowledge is not repeated",
			moments: []moment{
				{post: "13a", lists: []string{"M A", "M B"}, stay: 10 * time.Minute, sent: []string{"trigger M A", "trigger M B"}, open: []string{"M A", "M B"}},
				{
					post: "13b", lists: []string{"(M A)"}, stay: 10 * time.Minute,
					sent: []string{"resolve M B", "acknowledge M A", "acknowledge M A"}, open: []string{"M A, acknowledged"},
				},
				{post: "13c", lists: []string{"M A"}, stay: time.Hour, sent: []string{"resolve M A", "trigger M A"}, open: []string{"M A"}},
			},
		},
		{
			name: "two members of a cluster say the same: one page",
			moments: []moment{
				{post: "15a", stay: 15 * time.Second, sent: []string{"trigger H-slow"}, open: []string{"H-slow"}},
				{post: "15b", stay: time.Minute, open: []string{"H-slow"}},
				{post: "15a", over: true, stay: 15 * time.Second, sent: []string{"resolve H-slow"}},
				{post: "15b", over: true, stay: time.Hour},
			},
		},
		{
			name: "the second member first, and its page late: still one",
			moments: []moment{
				{post: "15b", stay: 15 * time.Second, sent: []string{"trigger H-slow"}, open: []string{"H-slow"}},
				{post: "15a", stay: time.Minute, open: []string{"H-slow"}},
				{post: "15a", over: true, stay: 15 * time.Second, sent: []string{"resolve H-slow"}},
				{post: "15b", stay: time.Hour}, // within 60 s of the resolve, from another member.
			},
		},
		{
			name: "a repeat triggers again: a person may have closed it",
			moments: []moment{
				{post: "10", stay: time.Hour, sent: []string{"trigger R 1"}, open: []string{"R 1"}},
				{person: "R 1", stay: time.Hour},
				{post: "10", stay: time.Hour, sent: []string{"trigger R 1"}, open: []string{"R 1"}},
				{post: "10", over: true, stay: time.Hour, sent: []string{"resolve R 1"}},
			},
		},
		{
			name: "before 0.32 no reason is given: the same again is a repeat after five minutes, and a duplicate before",
			moments: []moment{
				{post: "14", stay: time.Minute, sent: []string{"trigger Old i1"}, open: []string{"Old i1"}},
				{post: "14", stay: 10 * time.Minute, open: []string{"Old i1"}},
				{post: "14", stay: time.Minute, sent: []string{"trigger Old i1"}, open: []string{"Old i1"}},
				{post: "14", over: true, stay: time.Hour, sent: []string{"resolve Old i1"}},
			},
		},
		{
			name: "labels in UTF-8, and with dots and blanks in their names",
			moments: []moment{
				{post: "05", sent: []string{"trigger Высокая загрузка 🔥 x y", "trigger Высокая загрузка 🔥 z"}, open: []string{"Высокая загрузка 🔥 x y", "Высокая загрузка 🔥 z"}},
				{post: "05", over: true, stay: time.Hour, sent: []string{"resolve Высокая загрузка 🔥 x y", "resolve Высокая загрузка 🔥 z"}},
			},
		},
		{
			name: "no group labels, and an alert without a name",
			moments: []moment{
				{post: "08", sent: []string{"trigger A", "trigger alert"}, open: []string{"A", "alert"}},
				{post: "08", over: true, stay: time.Hour, sent: []string{"resolve A", "resolve alert"}},
			},
		},
		{
			name: "annotations of 2 MB are cut, and nothing is refused",
			moments: []moment{
				{
					post: "09", stay: time.Minute, open: []string{"Huge h0, acknowledged", "Huge h1, acknowledged"},
					sent: []string{"trigger Huge h0", "acknowledge Huge h0", "trigger Huge h1", "acknowledge Huge h1", "acknowledge Huge h0", "acknowledge Huge h1"},
				},
				{post: "09", over: true, stay: time.Hour, sent: []string{"resolve Huge h0", "resolve Huge h1"}},
			},
		},
		{
			name: "a receiver whose name Alertmanager has quoted",
			moments: []moment{
				{post: "11", sent: []string{"trigger RL"}, open: []string{"RL"}},
				{post: "11", over: true, stay: time.Hour, sent: []string{"resolve RL"}},
			},
		},
		{
			name: "Alertmanager's log knows of mutes: what comes out of one is 'first notification', with its old start, and nothing new",
			asks: true,
			moments: []moment{
				{post: "17a", lists: []string{"Native a", "Native b"}, sent: []string{"trigger Native a", "trigger Native b"}, open: []string{"Native a", "Native b"}},
				{lists: []string{"(Native a)"}, stay: 10 * time.Minute, sent: []string{"resolve Native b"}, open: []string{"Native a"}},
				{post: "17b", lists: []string{"Native a"}, stay: time.Hour, open: []string{"Native a"}},
			},
		},
		{
			name: "the same with on_silence resolve: it pages again",
			asks: true, onSilence: "resolve",
			moments: []moment{
				{post: "17a", lists: []string{"Native a", "Native b"}, sent: []string{"trigger Native a", "trigger Native b"}, open: []string{"Native a", "Native b"}},
				{lists: []string{"(Native a)"}, stay: 10 * time.Minute, sent: []string{"resolve Native a", "resolve Native b"}},
				{post: "17b", lists: []string{"Native a"}, stay: time.Hour, sent: []string{"trigger Native a"}, open: []string{"Native a"}},
			},
		},
		{
			name: "a waiting member tells of what its peer's sidecar has resolved: no page; of its end: a resolve, as that peer may have died",
			asks: true, members: 2,
			moments: []moment{
				{post: "18c", lists: []string{}, stay: 30 * time.Second},
				{post: "18d", stay: time.Hour, sent: []string{"resolve Native a"}},
			},
		},
		{
			name: "a waiting member tells of what still fires: its peer's sidecar may be down",
			asks: true, members: 2,
			moments: []moment{
				{post: "18c", lists: []string{"Native a"}, stay: 30 * time.Second, sent: []string{"trigger Native a"}, open: []string{"Native a"}},
				{post: "18d", lists: []string{}, stay: time.Hour, sent: []string{"resolve Native a"}},
			},
		},
		{
			name: "the same with one Alertmanager to ask, or a cluster of which one is known: nobody is asked first",
			asks: true,
			moments: []moment{
				{post: "18c", lists: []string{}, stay: 30 * time.Second, sent: []string{"trigger Native a"}, open: []string{"Native a"}},
				{post: "18d", stay: time.Hour, sent: []string{"resolve Native a"}},
			},
		},
		{
			name: "one sidecar hears both members",
			asks: true, members: 2,
			moments: []moment{
				{post: "18a", lists: []string{"Native a"}, stay: 30 * time.Second, sent: []string{"trigger Native a"}, open: []string{"Native a"}},
				{post: "18b", lists: []string{}, stay: 12 * time.Second, sent: []string{"resolve Native a"}},
				{post: "18c", stay: 15 * time.Second},
				{post: "18d", stay: time.Hour},
			},
		},
		{
			name: "grouped by all labels",
			moments: []moment{
				{post: "16", sent: []string{"trigger A 1"}, open: []string{"A 1"}},
				{post: "16", over: true, stay: time.Hour, sent: []string{"resolve A 1"}},
			},
		},
	}
}

// story is a sequence of captured webhooks.
type story struct {
	name      string
	dedup     string // dedup.by; here alert, if it is empty.
	asks      bool   // there is an Alertmanager to ask.
	members   int    // of its cluster; default one.
	onSilence string
	noCrash   string // why the story is different with crashes.
	moments   []moment
}

// Each story comes to what is written down; and to the same when pagerelay is
// killed and started again before everything that happens.
func TestCapturedSequences(t *testing.T) {
	for _, s := range stories() {
		for _, crashes := range []bool{false, true} {
			name := s.name
			if crashes && s.noCrash != "" {
				continue
			}
			if crashes {
				name += ", with a crash before each"
			}
			t.Run(name, func(t *testing.T) {
				dir := newDir(t)
				bubble.Test(t, func(t *testing.T) { playStory(t, dir, s, crashes) })
			})
		}
	}
}

// Every capture belongs to a story.
func TestEveryCaptureIsInASequence(t *testing.T) {
	files, err := filepath.Glob(capturesDir + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	posted := map[string]bool{}
	for _, s := range stories() {
		for _, m := range s.moments {
			posted[m.post] = true
		}
	}
	for _, f := range files {
		if number, _, _ := strings.Cut(filepath.Base(f), "-"); !posted[number] {
			t.Errorf("%s is in no sequence", filepath.Base(f))
		}
	}
}

func playStory(t *testing.T, dir string, s story, crashes bool) {
	t.Helper()
	captured := time.Date(2026, 11, 21, 19, 30, 0, 0, time.UTC) // the last was, a little before.
	time.Sleep(time.Until(captured))
	w := &stage{t: t, captured: captured, account: newAccount(pagerDuty(0)), dedup: s.dedup, names: map[string]string{}}
	w.learn()
	text := "services: {infra: {routing_key: " + keyInfra + "}}\n"
	text += "defaults: {dedup: {by: " + cmp.Or(s.dedup, "alert") + "}}\n"
	c, err := config.Parse([]byte(text), dir)
	if err != nil {
		t.Fatal(err)
	}
	if w.mapper, err = mapping.New(c.Mapping); err != nil {
		t.Fatal(err)
	}
	with := settings{config: c, policy: alertmanager.Reconcile{OnSilence: s.onSilence}}
	if s.asks {
		with.peers = max(1, s.members)
	}
	start := func() {
		w.sidecar = newSidecar(dir, w, with)
		w.start()
	}
	start()
	time.Sleep(time.Second) // past the first look at Alertmanager.
	for n, m := range s.moments {
		if crashes {
			w.stop()
			start()
			synctest.Wait()
		}
		w.happen(m)
		time.Sleep(cmp.Or(m.stay, 5*time.Second))
		synctest.Wait()
		at := fmt.Sprintf("moment %d, %s", n, cmp.Or(m.post, "a person"))
		if got := w.sent(); !slices.Equal(got, m.sent) {
			t.Errorf("%s: got sent %q, want %q", at, got, m.sent)
		}
		if got := w.open(); !slices.Equal(got, m.open) {
			t.Errorf("%s: got open %q, want %q", at, got, m.open)
		}
	}
	w.stop()
}

// stage is what surrounds pagerelay in a story.
type stage struct {
	*sidecar
	account
	t        *testing.T
	mapper   *mapping.Mapper
	captured time.Time
	dedup    string
	seen     int               // requests that were looked at.
	names    map[string]string // dedup key -> its name in the story.

	mu     sync.Mutex
	known  map[string]knownAlert // by name: all that the captures hold, and what they only count.
	listed []string
}

type knownAlert struct {
	template.Alert
	receiver string
}

// learn reads every capture.
func (w *stage) learn() {
	w.known = map[string]knownAlert{}
	files, err := filepath.Glob(capturesDir + "/*.json")
	if err != nil || len(files) == 0 {
		w.t.Fatalf("no captures: %v", err)
	}
	for _, file := range files {
		var g mapping.Group
		if err := json.Unmarshal(read(w.t, file), &g); err != nil {
			w.t.Fatalf("%s: %v", file, err)
		}
		for _, a := range g.Alerts {
			w.known[alertName(a.Labels)] = knownAlert{a, g.Receiver}
		}
	}
	first := w.known["PodCrash pod-0"] // three more were cut off, one of them critical.
	for i, severity := range map[int]string{2: "critical", 3: "warning", 4: "warning"} {
		more := first
		more.Labels = template.KV{"alertname": "PodCrash", "instance": fmt.Sprint("pod-", i), "severity": severity, "test": "trunc"}
		more.Fingerprint = fmt.Sprintf("%016x", i)
		w.known[alertName(more.Labels)] = more
	}
	w.known["P"] = knownAlert{template.Alert{ // of capture 12.
		Labels: template.KV{"alertname": "P", "severity": "critical", "test": "payload"}, StartsAt: first.StartsAt, Fingerprint: "000000000000000c",
	}, "default"}
}

func alertName(labels template.KV) string {
	name := cmp.Or(labels["alertname"], "alert")
	if what := cmp.Or(labels["instance"], labels["i"], labels["x"], labels["k8s.pod name"]); what != "" {
		host, _, _ := strings.Cut(what, ":")
		name += " " + host
	}
	return name
}

// incidentName is what a story calls an incident.
func (w *stage) incidentName(o *mapping.Observation) string {
	switch w.dedup {
	case "group":
		return o.Alert.Labels["alertname"] + " " + string(o.Urgency)
	case "alertmanager":
		return o.Alert.Labels["alertname"]
	}
	return alertName(o.Alert.Labels)
}

func (w *stage) happen(m moment) {
	w.t.Helper()
	w.mu.Lock()
	if m.lists != nil {
		w.listed = m.lists
	}
	w.mu.Unlock()
	for _, in := range w.Incidents() {
		if m.person != "" && w.names[in.DedupKey] == m.person && in.Open() {
			if err := w.Resolve(in.ID, "a person"); err != nil {
				w.t.Error(err)
			}
		}
	}
	if m.post == "" {
		return
	}
	body := w.body(m.post, m.over)
	if rec := post(w.door, body); rec.Code != cmp.Or(m.code, http.StatusOK) {
		w.t.Errorf("capture %s was answered %d: %s", m.post, rec.Code, rec.Body)
	}
}

// body is that of a capture, byte for byte unless its alerts are to be over.
func (w *stage) body(number string, over bool) []byte {
	w.t.Helper()
	var body []byte
	if number == "09" { // too long to be kept.
		body = hugeBody(w.t)
	} else {
		files, err := filepath.Glob(capturesDir + "/" + number + "-*.json")
		if err != nil || len(files) != 1 {
			w.t.Fatalf("captures %q of number %s: %v", files, number, err)
		}
		body = read(w.t, files[0])
	}
	var g mapping.Group
	if err := json.Unmarshal(body, &g); err != nil {
		w.t.Fatal(err)
	}
	for _, o := range w.mapper.Route(&g) {
		w.names[o.DedupKey] = w.incidentName(&o)
	}
	if over {
		g.Status, g.NotificationReason = mapping.Resolved, "all alerts resolved"
		for i := range g.Alerts { // the members of a cluster agree on the end.
			g.Alerts[i].Status, g.Alerts[i].EndsAt = mapping.Resolved, w.captured
		}
		var err error
		if body, err = json.Marshal(&g); err != nil {
			w.t.Fatal(err)
		}
	}
	return body
}

// hugeBody is a webhook of 2 MB: two alerts whose description is 600 kB long, which
// the group's common annotations repeat.
func hugeBody(t *testing.T) []byte {
	t.Helper()
	annotations := map[string]string{"description": strings.Repeat("L", 600_000), "summary": "short"}
	var alerts []map[string]any
	for _, instance := range []string{"h0", "h1"} {
		alerts = append(alerts, map[string]any{
			"status": "firing", "labels": map[string]string{"alertname": "Huge", "instance": instance, "severity": "info"}, "annotations": annotations,
			"startsAt": "2026-11-21T19:23:21.8Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "00000000000000" + strings.Replace(instance, "h", "b", 1),
		})
	}
	body, err := json.Marshal(map[string]any{
		"version": "4", "groupKey": `{}:{alertname="Huge"}`, "status": "firing", "receiver": "default", "groupLabels": map[string]string{"alertname": "Huge"},
		"commonLabels": map[string]string{"alertname": "Huge", "severity": "info"}, "commonAnnotations": annotations,
		"externalURL": "http://am.example.test:9093", "notification_reason": "first notification", "alerts": alerts,
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// sent lists what has reached PagerDuty since it was last looked at.
func (w *stage) sent() []string {
	for _, in := range w.store.List() {
		for _, m := range in.Members {
			w.names[in.DedupKey] = w.incidentName(&mapping.Observation{Alert: m.Alert.Unpack(), Urgency: in.Urgency})
		}
	}
	requests := w.Requests()[w.seen:]
	w.seen += len(requests)
	name := func(r emulator.Request) string { return cmp.Or(w.names[r.DedupKey], r.DedupKey) }
	slices.SortStableFunc(requests, func(a, b emulator.Request) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(name(a), name(b)))
	})
	var out []string
	for _, r := range requests {
		text := r.Action + " " + name(r)
		if r.Code != http.StatusAccepted {
			text += fmt.Sprint(", answered ", r.Code)
		}
		out = append(out, text)
	}
	return out
}

// open lists what is open at PagerDuty.
func (w *stage) open() []string {
	var out []string
	for _, in := range w.Incidents() {
		if !in.Open() {
			continue
		}
		name := w.names[in.DedupKey]
		if in.Status == emulator.Acknowledged {
			name += ", acknowledged"
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// fires says whether Alertmanager lists an alert, and whether it is silenced.
func (w *stage) fires(name string) (listed, silenced bool) {
	silenced = slices.Contains(w.listed, "("+name+")")
	return silenced || slices.Contains(w.listed, name), silenced
}

// Ask plays Alertmanager's API.
func (w *stage) Ask(_ context.Context, _ incident.Question, in *incident.Incident) (incident.Verdict, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range in.Members {
		if on, _ := w.fires(alertName(m.Alert.Labels.KV())); on {
			return incident.VerdictFiring, ""
		}
	}
	return incident.VerdictGone, ""
}

// Identity is that of the only Alertmanager.
func (w *stage) Identity() string { return "one" }

// Survey plays Alertmanager's list.
func (w *stage) Survey(_ context.Context, each func(int, *alertmanager.Listing) error) (alertmanager.Standing, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	standing := alertmanager.Standing{Mature: []bool{true}}
	for name, a := range w.known {
		on, silenced := w.fires(name)
		if !on {
			continue
		}
		status := map[string]any{"state": "active", "silencedBy": []string{}}
		if silenced {
			status = map[string]any{"state": "suppressed", "silencedBy": []string{"x"}}
		}
		raw, err := json.Marshal(map[string]any{
			"fingerprint": a.Fingerprint, "labels": a.Labels, "annotations": a.Annotations, "startsAt": a.StartsAt,
			"endsAt": time.Now().Add(5 * time.Minute), "status": status, "receivers": []map[string]string{{"name": a.receiver}},
		})
		if err != nil {
			return standing, err
		}
		var l alertmanager.Listing
		if err := json.Unmarshal(raw, &l); err != nil {
			return standing, err
		}
		if err := each(0, &l); err != nil {
			return standing, err
		}
	}
	return standing, nil
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
