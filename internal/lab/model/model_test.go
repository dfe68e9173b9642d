package model_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

func decodeAlert(raw []byte) template.Alert {
	var a template.Alert
	if err := json.Unmarshal(raw, &a); err != nil {
		panic(err)
	}
	return a
}

// step is one thing that happens.
type step struct {
	What  string
	Alert int
	Peer  bool          // the other Alertmanager says it as well, Delay later.
	Delay time.Duration // of the peer, or of the fault.
	Pause time.Duration // after the step.
	N     int
	Group bool // the webhooks of the step hold all that fires in their group.
}

func (s step) String() string {
	out := fmt.Sprintf("%s alert=%d n=%d", s.What, s.Alert, s.N)
	if s.Group {
		out += " with its group"
	}
	if s.Peer {
		out += fmt.Sprintf(" peer+%v", s.Delay)
	}
	return out + fmt.Sprintf(" then %v", s.Pause)
}

func drawSteps(rt *rapid.T) []step {
	what := rapid.SampledFrom([]string{
		"toggle", "toggle", "toggle", "toggle", "toggle", "toggle", "flap", "repeat", "expire",
		"person acknowledges", "person resolves", "crash", "crash in a commit", "crash in a commit", "reload",
		"429", "500", "400", "reset", "answer lost", "hang", "answer hang", "late", "outage", "clear", "clear",
		"alertmanager unclear", "alertmanager clear",
		"silent resolve", "silent resolve", "silent fire", "mute", "mute", "unmute",
		"truncate", "empty answer", "coverage", "late word",
		maintenance, nobody, nobody, "hole over",
	})
	// Few pauses are of hours, so that histories stay quick.
	pauses := slices.Repeat([]time.Duration{0, time.Millisecond, time.Second, 2 * time.Second, 6 * time.Second, 20 * time.Second, 70 * time.Second, 10 * time.Minute}, 4)
	pauses = append(pauses, 3*time.Hour)
	least := rapid.SampledFrom([]int{1, 8, 16}).Draw(rt, "least") // rapid's lists are short.
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
		return step{
			What: what.Draw(rt, "what"), Alert: rapid.IntRange(0, watchdog-1).Draw(rt, "alert"),
			Peer: rapid.Bool().Draw(rt, "peer"), Delay: time.Duration(rapid.IntRange(0, 40).Draw(rt, "delay")) * time.Second,
			Pause: rapid.SampledFrom(pauses).Draw(rt, "pause"),
			N:     rapid.IntRange(1, 8).Draw(rt, "n"), Group: rapid.Bool().Draw(rt, "group"),
		}
	}), least, 40).Draw(rt, "steps")
}

// run plays the steps in a bubble of virtual time and returns what was wrong.
func run(t *testing.T, steps []step, peers, perMinute int, dedup string, policy alertmanager.Reconcile) []string {
	t.Helper()
	dir := newDir(t)
	defer os.RemoveAll(dir) // thousands of histories are one test.
	var problems []string
	bubble.Test(t, func(*testing.T) {
		w := newWorld(dir, peers, pagerDuty(perMinute), dedup, policy)
		for _, s := range steps {
			w.step(s)
			if s.Pause > 0 {
				time.Sleep(s.Pause)
			}
			synctest.Wait()
			w.checkIncidents()
			w.checkBlocked()
			w.checkCopied()
		}
		problems = w.finish()
	})
	return problems
}

// pagerDuty is the account: two services, and somebody on call for both.
func pagerDuty(perMinute int) emulator.Config {
	return emulator.Config{
		Limits: emulator.Limits{EventsPerMinute: perMinute},
		Services: []emulator.Service{
			{ID: "PINFRA", RoutingKeys: []string{keyInfra, keyNext}, EscalationPolicy: "EP"},
			{ID: "POTHER", RoutingKeys: []string{keyOther}, EscalationPolicy: "EP"},
		},
		EscalationPolicies: []emulator.EscalationPolicy{{ID: "EP", Levels: []emulator.Level{{Targets: []emulator.Target{{User: "U"}}}}}},
		Users:              []emulator.User{{ID: "U", Name: "U", Email: "u@example.test"}},
	}
}

func (w *world) step(s step) {
	w.grouped = s.Group
	switch s.What {
	case "", "toggle", "repeat": // nothing that is in a copy's way.
	default:
		w.disturb()
	}
	switch s.What {
	case "toggle":
		w.toggle(s)
	case "flap":
		for range s.N {
			w.toggle(step{Alert: s.Alert})
		}
	case "repeat":
		if w.firing[s.Alert] && w.muted[s.Alert] == "" {
			w.say("repeat interval elapsed", s.Alert)
		}
	case "expire": // Alertmanager lets it expire, and it comes back with the same start.
		if w.firing[s.Alert] && w.muted[s.Alert] == "" {
			if w.peerTells(s.Alert) {
				w.pastSkew(s.Alert)
			}
			w.setFiring(s.Alert, false)
			w.say("all alerts resolved", s.Alert)
			time.Sleep(time.Duration(s.N) * time.Second)
			w.setFiring(s.Alert, true)
			w.setUnheard(s.Alert, false)
			w.say("first notification", s.Alert)
		}
	case "person acknowledges", "person resolves":
		w.person(s)
	case "crash":
		w.crash(time.Duration(s.N%4) * 20 * time.Second)
	case "crash in a commit":
		w.crashInCommit(s)
	case "reload":
		w.reload(s.N % 3)
	case "silent resolve", "silent fire", "mute", "unmute", "truncate", "empty answer":
		w.silently(s)
	case "coverage":
		w.coverage()
	case "late word":
		w.lateWord(s)
	case maintenance, nobody:
		w.beginHole(s)
	case "hole over":
		w.endHoles()
	case "": // time passes.
	case "clear":
		w.clearFaults()
	case "alertmanager unclear":
		kinds := []alertmanager.DoubtKind{alertmanager.DoubtYoung, alertmanager.DoubtUnreachable, alertmanager.DoubtUncovered}
		w.setUnclear(kinds[s.N%3], s.N/4%2)
	case "alertmanager clear":
		w.setUnclear("", 0)
	default:
		w.fault(s)
	}
}

// setFiring ends a firing, or lets it go on as if it had not ended.
func (w *world) setFiring(i int, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.firing[i], w.ends[i] = on, time.Time{}
	if !on {
		w.ends[i] = time.Now()
	}
}

// peerSkew is how much later an alert begins for the second peer.
const peerSkew = 3 * time.Second

// pastSkew waits until what a late peer says of a firing can be told from another
// firing: docs/contract.md, promise 6.
func (w *world) pastSkew(i int) { time.Sleep(time.Until(w.starts[i].Add(2 * peerSkew))) }

// peerTells says whether a peer has told or will tell of an alert.
func (w *world) peerTells(i int) bool { return w.peerFires[i] || w.peerDue[i].After(time.Now()) }

func (w *world) toggle(s step) {
	i := s.Alert
	if s.Peer || w.peerTells(i) {
		w.pastSkew(i)
	}
	reason := "all alerts resolved"
	if !w.firing[i] {
		w.begin(i)
		reason = "first notification"
	} else {
		time.Sleep(time.Nanosecond)
		w.setFiring(i, false)
	}
	if w.muted[i] != "" {
		return
	}
	if s.Peer || w.peerFires[i] { // a peer that said it fires says when it is over, too.
		on, starts, ends := w.firing[i], w.starts[i], w.ends[i]
		due := time.Now().Add(s.Delay)
		if !due.After(w.peerDue[i]) {
			due = w.peerDue[i].Add(time.Second)
		}
		w.peerFires[i], w.peerDue[i] = on, due
		w.later.Go(func() {
			time.Sleep(time.Until(due))
			w.sayAs(1, reason, i, on, starts.Add(peerSkew), ends)
		})
	}
	w.say(reason, i)
}

const byPerson = "a person"

func (w *world) person(s step) {
	for _, in := range w.pd.Incidents() {
		if !in.Open() {
			continue
		}
		if s.N--; s.N > 0 {
			continue
		}
		act := w.pd.Acknowledge
		w.touched[in.DedupKey] = true
		if s.What == "person resolves" {
			act = w.pd.Resolve
			w.mu.Lock()
			w.settled[in.DedupKey] = time.Now()
			w.mu.Unlock()
		}
		if err := act(in.ID, byPerson); err != nil {
			w.problem("%s: %v", s.What, err)
		}
		return
	}
}

func (w *world) fault(s step) {
	w.setFaulty(true)
	f := emulator.Fault{First: s.N, Latency: model.Duration(s.Delay / 10)}
	switch s.What {
	case "429", "500", "400":
		f.Do, f.Status = emulator.DoAnswer, map[string]int{"429": 429, "500": 500, "400": 400}[s.What]
		if f.Status == 400 {
			f.Body = `{"status":"invalid event","message":"Event object is invalid","errors":["no"]}`
		}
	case "reset":
		f.Do = emulator.DoReset
	case "answer lost":
		f.Do = emulator.DoAnswerLost
	case "hang":
		f.Do = emulator.DoHang
	case "answer hang":
		f.Do = emulator.DoAnswerHang
	case "late":
		f.Do, f.Latency = emulator.DoLate, model.Duration(time.Duration(s.N)*6*time.Second)
	case "outage":
		f.Do, f.First, f.Status = emulator.DoAnswer, 0, 503
	}
	if err := w.pd.SetFaults([]emulator.Fault{f}); err != nil {
		panic(err)
	}
}

func TestPagerDutyConvergesToAlertmanager(t *testing.T) {
	histories, played := 0, 0
	defer func() { t.Logf("%d histories of %d steps in all", histories, played) }()
	rapid.Check(t, func(rt *rapid.T) {
		steps := drawSteps(rt)
		histories, played = histories+1, played+len(steps)
		peers := rapid.IntRange(0, 2).Draw(rt, "peers")
		perMinute := rapid.SampledFrom([]int{120, 15}).Draw(rt, "events_per_minute")
		dedup := rapid.SampledFrom([]string{"alert", "group"}).Draw(rt, "dedup")
		mutes := rapid.SampledFrom([]string{"nothing", "acknowledge", "resolve"})
		policy := alertmanager.Reconcile{
			Interval: rapid.SampledFrom([]time.Duration{time.Minute, 10 * time.Minute}).Draw(rt, "interval"),
			Adopt:    rapid.Bool().Draw(rt, "adopt"), OnSilence: mutes.Draw(rt, "on_silence"), OnInhibit: mutes.Draw(rt, "on_inhibit"),
		}
		if problems := run(t, steps, peers, perMinute, dedup, policy); len(problems) > 0 {
			var text []string
			for _, s := range steps {
				text = append(text, s.String())
			}
			rt.Fatalf("%s\nafter, with %d Alertmanagers to ask, by %s, %+v and %d events a minute:\n%s",
				strings.Join(problems, "\n"), peers, dedup, policy, perMinute, strings.Join(text, "\n"))
		}
	})
}
