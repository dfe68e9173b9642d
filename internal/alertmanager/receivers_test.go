package alertmanager_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
)

// After an outbox that was damaged beyond reading, what fires is adopted for the
// receivers that webhooks came from before.
func TestAdoptionAfterTotalDamage(t *testing.T) {
	for _, tc := range []struct {
		name     string
		remember bool
		spoil    bool // the file of receivers, too.
		policy   alertmanager.Reconcile
		adopted  int
	}{
		{name: "receivers are remembered", remember: true, adopted: 1},
		{name: "the receivers' file is damaged, too", remember: true, spoil: true},
		{name: "receivers are not remembered"},
		{name: "receivers are configured", policy: alertmanager.Reconcile{Receivers: []string{ourReceiver}}, adopted: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := alertmanager.ReconcilerConfig{}
			if tc.remember {
				cfg.ReceiversFile = filepath.Join(dir, "receivers.json")
			}
			g := &rig{t: t, mapper: newMapper(t, "")}
			f := &fake{}
			g.fakes, g.urls = append(g.fakes, f), append(g.urls, serve(t, f))
			live := func() func() {
				var stop func()
				g.Store, stop = openStoreIn(t, dir)
				g.reconciler = alertmanager.NewReconciler(g.Store, cfg)
				g.apply(tc.policy, g.urls...)
				return stop
			}
			stop := live()
			g.webhook(fpA)
			g.list(line{fp: fpA, age: time.Hour})
			g.pass()
			stop()
			garbage := bytes.Repeat([]byte("no outbox "), 10_000)
			if err := os.WriteFile(filepath.Join(dir, "outbox.db"), garbage, 0o600); err != nil {
				t.Fatal(err)
			}
			if tc.spoil {
				if err := os.WriteFile(cfg.ReceiversFile, garbage, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			live()
			if g.Damaged() == "" {
				t.Fatal("the outbox is not damaged")
			}
			if rep := g.pass(); rep.Adopted != tc.adopted {
				t.Errorf("got %+v, want %d adopted", rep, tc.adopted)
			}
			// Where nobody was known, the next webhook tells for whom.
			g.list(line{fp: fpA, age: time.Hour}, line{fp: fpB, age: time.Hour})
			g.webhook(fpB)
			g.pass()
			if got := len(g.firing()); got != 2 {
				t.Errorf("%d alerts fire in the outbox after the next webhook, want 2", got)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if m, _ := filepath.Match("receivers.json.*", e.Name()); m {
					t.Errorf("%s is left behind", e.Name())
				}
			}
		})
	}
}
