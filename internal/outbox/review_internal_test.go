package outbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

func running(t *testing.T, dir string) (*Store, func()) {
	t.Helper()
	s, err := Open(dir, Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	return s, func() { cancel(); <-done }
}

func sight(fp, key, status string, at time.Time) mapping.Observation {
	o := mapping.Observation{
		Service: "infra", DedupKey: key, Urgency: mapping.High, Shared: true, Origin: mapping.OriginAlertmanager, ExternalURL: "http://am",
		Alert: template.Alert{Status: status, Fingerprint: fp, StartsAt: at},
	}
	if status == mapping.Resolved {
		o.Alert.EndsAt = at.Add(time.Second)
	}
	return o
}

// The index of fingerprints holds no more than the members of open incidents.
func TestIndexForgetsTrimmedMembers(t *testing.T) {
	s, stop := running(t, t.TempDir())
	began := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for i := range 10 { // pods that come and go while the incident is open.
		obs := []mapping.Observation{sight("stays", "k", mapping.Firing, began)}
		for j := range 100 {
			obs = append(obs, sight(fmt.Sprint(i, " ", j), "k", mapping.Firing, began))
		}
		for j := range 100 {
			obs = append(obs, sight(fmt.Sprint(i, " ", j), "k", mapping.Resolved, began))
		}
		if err := s.Observe(t.Context(), obs[:101]); err != nil {
			t.Fatal(err)
		}
		if err := s.Observe(t.Context(), obs[101:]); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	members := 0
	for _, in := range s.open {
		members += len(in.Members)
	}
	if len(s.index) > members {
		t.Errorf("the index holds %d fingerprints, the incidents have %d members", len(s.index), members)
	}
}

// What survived a damaged file is written to the new one once, not with every
// commit from then on.
func TestWhatSurvivedDamageIsWrittenOnce(t *testing.T) {
	dir := t.TempDir()
	s, stop := running(t, dir)
	began := time.Now()
	var obs []mapping.Observation
	for i := range 500 {
		obs = append(obs, sight(fmt.Sprintf("needle-%d", i), fmt.Sprintf("needle-%d", i), mapping.Firing, began))
	}
	if err := s.Observe(t.Context(), obs); err != nil {
		t.Fatal(err)
	}
	stop()
	path := filepath.Join(dir, fileName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.ReplaceAll(b, []byte(`"needle-7"`), []byte(`"Needle-7"`))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, stop = running(t, dir)
	if s.Damaged() == "" {
		t.Fatal("the damage went unnoticed")
	}
	for i := range 3 {
		o := sight(fmt.Sprint("new", i), fmt.Sprint("new", i), mapping.Firing, began)
		if err := s.Observe(t.Context(), []mapping.Observation{o}); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if n := len(s.unsaved.ids); n != 0 || s.unsaved.all {
		t.Errorf("after three commits %d incidents (all: %v) are still held to be unsaved, and are written with every commit", n, s.unsaved.all)
	}
}

// A member that is known from an older file only, and was never paged, is paged.
func TestMergeKeepsWhatWasNeverPaged(t *testing.T) {
	firing := func() *incident.Member { return &incident.Member{Firing: true, Origin: mapping.OriginAlertmanager} }
	memory := &incident.Incident{ID: "k", Subject: incident.Subject{Urgency: mapping.High}, Told: incident.Told{Have: incident.StateOpen, AcceptedRevision: 1, HaveEpoch: 1}, Revision: 1, Epoch: 1, Members: map[string]*incident.Member{"a": firing()}}
	file := &incident.Incident{ID: "k", Subject: incident.Subject{Urgency: mapping.High}, Told: incident.Told{Have: incident.StateClosed}, Revision: 1, Epoch: 1, Members: map[string]*incident.Member{"b": firing()}}
	in := memory.Merge(file)
	if in.Revision <= in.AcceptedRevision {
		t.Errorf("b was never accepted, and nothing is left to be said: revision %d, accepted %d", in.Revision, in.AcceptedRevision)
	}
}

// A member that is known from an older file only, and was paged since, is not told
// to have been missed; nor is one that memory knew to be paged.
func TestMergeDoesNotTellWhatWasPaged(t *testing.T) {
	began := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	memory := &incident.Incident{
		ID: "k", Subject: incident.Subject{Urgency: mapping.High}, Told: incident.Told{Have: incident.StateOpen, AcceptedRevision: 1, HaveEpoch: 1}, Revision: 1, Epoch: 1,
		Members: map[string]*incident.Member{"a": {Firing: true, Revision: 1, Epoch: 1}},
	}
	file := &incident.Incident{
		ID: "k", Subject: incident.Subject{Urgency: mapping.High}, Told: incident.Told{Have: incident.StateOpen, AcceptedRevision: 5, HaveEpoch: 2}, Revision: 5, Epoch: 2,
		Members: map[string]*incident.Member{"b": {Firing: true, Revision: 5, Epoch: 2}, "over": {Revision: 4, Epoch: 2}},
	}
	in := memory.Merge(file)
	in.Started(incident.Decision{Kind: incident.Send, Action: incident.Trigger}, "k1", began)
	in.Finished(incident.Outcome{Kind: incident.OutcomeAccepted}, began)
	for _, fp := range []string{"a", "b"} {
		in.End(fp, incident.Ended{At: began, Seen: began}, false, began)
	}
	if len(in.Missed) > 0 {
		t.Errorf("%d firings that were paged are told to have been missed", len(in.Missed))
	}
}

// digest is how many firings the digest of the store tells.
func digest(s *Store) int {
	if in, ok := s.Get(incident.ID("infra", "infra/missed")); ok {
		return in.Digest.Count
	}
	return 0
}

// An incident that is over and closed in one commit is told, too.
func TestMissedAndClosedInOneCommitIsTold(t *testing.T) {
	began := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	s, stop := running(t, t.TempDir())
	defer stop()
	if err := s.Observe(t.Context(), []mapping.Observation{sight("a", "k", mapping.Firing, began)}); err != nil {
		t.Fatal(err)
	}
	if err := s.change(t.Context(), func(tx *transaction) error {
		incident.Observe(tx, []mapping.Observation{sight("a", "k", mapping.Resolved, began)}, s.Policy(), tx.now)
		tx.Archive(tx.Edit(incident.ID("infra", "k")), "dropped")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := digest(s); got != 1 {
		t.Errorf("the digest counts %d firings, want 1", got)
	}
}

// Large groups take no work that grows with their square. Counted are the bytes
// that are allocated, which depend on no clock.
func TestBigGroupsEndInLinearWork(t *testing.T) {
	began := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	id := incident.ID("infra", "k")
	group := func(n int, status string) []mapping.Observation {
		var obs []mapping.Observation
		for i := range n {
			obs = append(obs, sight(fmt.Sprint(i), "k", status, began))
		}
		return obs
	}
	for _, tc := range []struct {
		name string
		do   func(tx *transaction, n int) (measured func())
	}{
		{"muted members that end in one webhook", func(tx *transaction, n int) func() {
			in := tx.Edit(id)
			in.Started(incident.Decision{Kind: incident.Send, Action: incident.Trigger}, "k1", tx.now)
			in.Finished(incident.Outcome{Kind: incident.OutcomeAccepted}, tx.now)
			for fp := range in.Members {
				in.Mute(fp, incident.Mute{By: "silence", Do: incident.MuteResolve}, false, tx.now)
			}
			over := group(n, mapping.Resolved)
			return func() { incident.Observe(tx, over, incident.Policy{}, tx.now) }
		}},
		{"an incident that closes after a superseded big one", func(tx *transaction, _ int) func() {
			in := tx.Edit(id)
			incident.Apply(tx, in, incident.Decision{Step: incident.StepSupersede}, "", tx.now)
			ts := incident.NewTombstone(in)
			return func() { ts.Older(&incident.Incident{}, tx.now) }
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			work := func(n int) uint64 {
				s, err := Open(t.TempDir(), Config{})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = s.closeFile() }()
				tx := newTransaction(s, began)
				incident.Observe(tx, group(n, mapping.Firing), incident.Policy{}, tx.now)
				measured := tc.do(tx, n)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				measured()
				runtime.ReadMemStats(&after)
				return after.TotalAlloc - before.TotalAlloc
			}
			small, big := work(1000), work(4000)
			t.Logf("1,000 members: %d bytes, 4,000: %d", small, big)
			if big > 8*small { // 4 times, and rounding.
				t.Errorf("4,000 members allocate %d bytes, %d times what 1,000 do; want about 4 times", big, big/small)
			}
		})
	}
}

// A damaged file that cannot be moved aside is read again at every try to open it:
// what has been done about its incidents since stays done.
func TestFileThatIsReadAgainBringsNothingBack(t *testing.T) {
	s, err := Open(t.TempDir(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.closeFile() }()
	id := incident.ID("infra", "k")
	file := func() *opened {
		return &opened{incidents: []*incident.Incident{{
			ID: id, Subject: incident.Subject{Service: "infra", DedupKey: "k", Urgency: mapping.High}, Told: incident.Told{Have: incident.StateOpen, KeyHash: "k1", AcceptedRevision: 1, HaveEpoch: 1},
			Revision: 1, Epoch: 1,
			Members: map[string]*incident.Member{"a": {Firing: true, Origin: mapping.OriginAlertmanager}},
		}}}
	}
	s.adopt(file())
	o := &op{done: make(chan error, 1), apply: func(tx *transaction) error {
		in := tx.Edit(id)
		in.Mute("a", incident.Mute{By: "silence", Do: incident.MuteResolve}, false, tx.now)
		in.Started(incident.Decision{Kind: incident.Send, Action: incident.Resolve}, "k1", tx.now)
		in.Finished(incident.Outcome{Kind: incident.OutcomeAccepted}, tx.now)
		return nil
	}}
	s.commit([]*op{o})
	if err := <-o.done; err != nil {
		t.Fatal(err)
	}
	s.adopt(file())
	if in, _ := s.Get(id); in.Have != incident.StateClosed {
		t.Errorf("have is %s after the second try, want closed as PagerDuty confirmed", in.Have)
	}
	mended := file()
	mended.complete = true
	s.adopt(mended)
	if in, _ := s.Get(id); in.Have != incident.StateClosed {
		t.Errorf("have is %s once it could be opened, want closed as PagerDuty confirmed", in.Have)
	}
}
