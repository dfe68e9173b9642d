package e2e_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

const defaultKills = 10

// Under a constant load of webhooks pagerelay is killed (SIGKILL) at moments left
// to chance, again and again, while it works and while it starts, and restarted
// on the same storage. What it answered 200 must not be lost, and no page may go
// out after the resolve that superseded it.
//
// PAGERELAY_KILLS is how often (default 10), PAGERELAY_SEED repeats a run's
// decisions, though not its timing. A kill takes about half a second: for 1,000 give
// go test a -timeout of 30m.
func TestKillUnderLoad(t *testing.T) {
	kills := int(number(t, "PAGERELAY_KILLS", defaultKills))
	seed := number(t, "PAGERELAY_SEED", uint64(time.Now().UnixNano()))
	t.Logf("PAGERELAY_SEED=%d PAGERELAY_KILLS=%d", seed, kills)

	journal := filepath.Join(t.TempDir(), "journal.jsonl")
	s := install(t, options{
		noAlertmanager: true,
		journal:        journal,
		emulator:       loadAccount(),
		services:       loadServices(),
		relay:          loadRules(),
	})
	// PagerDuty is not at its best either.
	s.faults(
		emulator.Fault{Name: "applied, answer lost", Do: emulator.DoAnswerLost, Every: 37},
		emulator.Fault{Name: "unavailable", Do: emulator.DoAnswer, Status: 503, Every: 41},
	)
	relay := s.members[0].relay
	l := newLoad(seed)
	l.up(relay.URL())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var workers sync.WaitGroup
	for i := range loadWorkers {
		workers.Go(func() { l.work(ctx, i) })
	}

	started := time.Now()
	var young int // killed before it listened.
	rng := rand.New(rand.NewPCG(seed, 1))
	for range kills {
		// Half of the moments are soon after the start, where recovery is at work.
		wait := time.Duration(rng.Int64N(int64(100 * time.Millisecond)))
		if rng.IntN(2) == 0 {
			wait = time.Duration(rng.Int64N(int64(time.Second)))
		}
		if err := pause(ctx, relay.Done(), wait); err != nil {
			t.Fatalf("while pagerelay was under load: %v", err)
		}
		relay.Kill()
		l.down()
		for rng.IntN(8) == 0 {
			young++
			early, cancel := context.WithTimeout(ctx, time.Duration(rng.Int64N(int64(60*time.Millisecond))))
			err := relay.Restart(early)
			cancel()
			if err == nil { // it was quicker.
				relay.Kill()
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
		s.restart(relay)
		l.up(relay.URL())
	}
	l.finish() // lets the workers end what they are at.
	workers.Wait()
	t.Logf("%d kills, and %d more during a start, in %s", kills, young, time.Since(started).Round(time.Millisecond))

	s.faults()
	defer func() {
		if t.Failed() {
			t.Logf("pending:\n%s", s.pagerelay("outbox", "list", "--status=pending", "--format=json"))
		}
	}()
	s.eventually("pagerelay to go quiet", 2*time.Minute, func() error { return s.quiet(s.members[0]) })
	open, err := s.pd.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := l.judge(open, readJournal(t, journal))
	t.Logf("observations: %d answered 200, %d not answered; alerts: %d, of which %d end firing",
		r.acknowledged, r.unanswered, r.alerts, r.firing)
	t.Logf("requests applied at PagerDuty: %d triggers, %d resolves", r.triggers, r.resolves)
	t.Logf("lost: %d; left open: %d; inversions: %d; answers other than 200: %v",
		len(r.lost), len(r.left), len(r.inversions), r.otherAnswers)
	for _, list := range [][]string{r.lost, r.left, r.inversions} {
		for _, text := range list[:min(len(list), 20)] {
			t.Error(text)
		}
	}
	if slices.ContainsFunc(strings.Split(relay.Log(), "\n"), slowDisk) {
		delete(r.otherAnswers, http.StatusServiceUnavailable)
	}
	if len(r.otherAnswers) > 0 {
		t.Errorf("got answers other than 200: %v", r.otherAnswers)
	}
	if r.acknowledged < kills {
		t.Errorf("got %d acknowledged observations over %d kills: there was no load", r.acknowledged, kills)
	}
	s.noneRefused()
}

// pause waits, unless ctx or the process ends first.
func pause(ctx context.Context, ended <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ended:
		return errors.New("it ended by itself")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func number(t *testing.T, env string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(env)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	return n
}
