package alertmanager_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
)

// Hundreds of looks at hundreds of alerts, most of which show less than there is:
// an empty list, half of one, an Alertmanager that is young or does not answer.
// Nothing that fires is taken for over, and every resolve that was lost is found.
func TestAbsenceOverManyLooks(t *testing.T) {
	const alerts, looks = 500, 600
	store := holding(t, alerts)
	r := alertmanager.NewReconciler(store, alertmanager.ReconcilerConfig{})
	src := &scripted{}
	r.Apply(alertmanager.ReconcileSettings{Source: src, Router: newMapper(t, ""), Policy: alertmanager.Reconcile{Interval: always}})
	var lines []line
	over := make([]bool, alerts)
	for i := range alerts {
		lines = append(lines, line{fp: fmt.Sprintf("%016x", i), age: time.Hour, ends: 24 * time.Hour})
	}
	src.set(lines...)
	all := src.lists

	rng := rand.New(rand.NewPCG(6, 6))
	wrong, found, doubtful, short := 0, 0, 0, 0
	look := func(listed func(int) bool, doubts ...alertmanager.Doubt) {
		t.Helper()
		src.lists, src.doubts = nil, doubts
		for i := range all {
			if !over[i] && listed(i) {
				src.lists = append(src.lists, all[i])
			}
		}
		rep, err := r.Reconcile(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found += rep.Resolved
	}
	whole := func(int) bool { return true }
	none := func(int) bool { return false }
	half := func(i int) bool { return i%2 == 0 }
	in := 0 // short lists in a row.
	for range looks {
		if n := rng.IntN(alerts); rng.IntN(4) == 0 {
			over[n] = true // and nobody tells.
		}
		switch n := rng.IntN(10); {
		case n < 2:
			look(none, alertmanager.Doubt{Kind: alertmanager.DoubtYoung, Text: "up for 3s only"})
			doubtful, in = doubtful+1, 0
		case n < 4:
			look(half, alertmanager.Doubt{Kind: alertmanager.DoubtUnreachable, Text: "cut off"})
			doubtful, in = doubtful+1, 0
		case n < 6 && in < 2: // three in a row are evidence.
			look([]func(int) bool{none, half}[rng.IntN(2)])
			short, in = short+1, in+1
		default:
			look(whole)
			in = 0
		}
	}
	for range 3 {
		look(whole)
	}
	ended := 0
	firing := map[string]bool{}
	for _, in := range store.List() {
		for fp, m := range in.Members {
			firing[fp] = m.Firing
		}
	}
	for i, o := range over {
		fires := firing[fmt.Sprintf("%016x", i)]
		switch {
		case o:
			ended++
			if fires {
				t.Errorf("alert %d is over, and three whole looks have not resolved it", i)
			}
		case !fires:
			wrong++
		}
	}
	if wrong > 0 || found != ended {
		t.Errorf("%d alerts resolved that fire; %d resolved of %d that are over", wrong, found, ended)
	}
	t.Logf("%d looks at %d alerts, %d of them with a doubt, %d that listed too little without one: %d resolved wrongly; %d of %d lost resolves found",
		looks+3, alerts, doubtful, short, wrong, found, ended)
}
