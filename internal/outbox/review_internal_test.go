package outbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"

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
	firing := func() *Member { return &Member{Firing: true, Origin: mapping.OriginAlertmanager} }
	memory := &Incident{ID: "k", Urgency: mapping.High, Have: StateOpen, Revision: 1, AcceptedRevision: 1, Epoch: 1, HaveEpoch: 1, Members: map[string]*Member{"a": firing()}}
	file := &Incident{ID: "k", Urgency: mapping.High, Have: StateClosed, Revision: 1, Epoch: 1, Members: map[string]*Member{"b": firing()}}
	in := memory.merge(file)
	if in.Revision <= in.AcceptedRevision {
		t.Errorf("b was never accepted, and nothing is left to be said: revision %d, accepted %d", in.Revision, in.AcceptedRevision)
	}
}
