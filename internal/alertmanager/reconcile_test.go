package alertmanager_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

// always lets every pass count.
const always = time.Nanosecond

const ourReceiver = "pager"

// openStore runs an outbox until the test, or the returned function, ends it.
func openStore(t testing.TB) (*outbox.Store, func()) {
	t.Helper()
	return openStoreIn(t, t.TempDir())
}

func openStoreIn(t testing.TB, dir string) (*outbox.Store, func()) {
	t.Helper()
	s, err := outbox.Open(dir, outbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			t.Errorf("run outbox: %v", err)
		}
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return s, stop
}

func newMapper(t testing.TB, dedup string) *mapping.Mapper {
	t.Helper()
	c := mapping.Config{Services: []string{"ops"}}
	if dedup != "" {
		c.Defaults.Dedup = &mapping.Dedup{By: mapping.DedupBy{Mode: dedup}}
	}
	m, err := mapping.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// line is an alert as Alertmanager lists it.
type line struct {
	fp       string
	state    string // active.
	by       string // silencedBy, inhibitedBy or mutedBy.
	age      time.Duration
	starts   time.Time     // instead of the age.
	ends     time.Duration // from now; default a minute.
	receiver string        // ours.
}

func (l line) json() string {
	state, receiver, by, starts := "active", ourReceiver, map[string]string{}, time.Now().Add(-l.age)
	if l.ends == 0 {
		l.ends = time.Minute
	}
	if !l.starts.IsZero() {
		starts = l.starts
	}
	if l.state != "" {
		state = l.state
	}
	if l.receiver != "" {
		receiver = l.receiver
	}
	if l.by != "" {
		by[l.by] = `"x"`
	}
	return fmt.Sprintf(`{"annotations":{"summary":"s"},"endsAt":%q,"fingerprint":%q,"receivers":[{"name":%q}],"startsAt":%q,`+
		`"status":{"inhibitedBy":[%s],"mutedBy":[%s],"silencedBy":[%s],"state":%q},"generatorURL":"","labels":{"alertname":"A","id":%q}}`,
		time.Now().Add(l.ends).UTC().Format(time.RFC3339Nano), l.fp, receiver, starts.UTC().Format("2006-01-02T15:04:05.000Z"), // as Alertmanager does.
		by["inhibitedBy"], by["mutedBy"], by["silencedBy"], state, l.fp)
}

func lines(ls ...line) string {
	texts := make([]string, len(ls))
	for i, l := range ls {
		texts[i] = l.json()
	}
	return "[" + strings.Join(texts, ",") + "]"
}

// rig is an outbox and a reconciler that asks fakes.
type rig struct {
	*outbox.Store
	t          *testing.T
	reconciler *alertmanager.Reconciler
	mapper     *mapping.Mapper
	fakes      []*fake
	urls       []string
}

func newRig(t *testing.T, fakes int, policy alertmanager.Reconcile) *rig {
	t.Helper()
	s, _ := openStore(t)
	g := &rig{Store: s, t: t, mapper: newMapper(t, "")}
	g.reconciler = alertmanager.NewReconciler(s, alertmanager.ReconcilerConfig{})
	for range fakes {
		f := &fake{}
		g.fakes = append(g.fakes, f)
		g.urls = append(g.urls, serve(t, f))
	}
	g.apply(policy, g.urls...)
	return g
}

func (g *rig) apply(policy alertmanager.Reconcile, urls ...string) {
	g.t.Helper()
	if policy.Interval == 0 {
		policy.Interval = always
	}
	s := alertmanager.ReconcileSettings{Router: g.mapper, Policy: policy}
	if c := newClient(g.t, alertmanager.Config{URLs: urls}); c.Configured() {
		s.Source = c
	}
	g.reconciler.Apply(s)
}

// list has every fake list the same.
func (g *rig) list(ls ...line) {
	for _, f := range g.fakes {
		f.alerts = lines(ls...)
	}
}

func (g *rig) webhook(fp string, edit ...func(*mapping.Group)) {
	g.t.Helper()
	w := &mapping.Group{Data: template.Data{
		Receiver: ourReceiver, ExternalURL: "http://am-1",
		Alerts: template.Alerts{{Status: mapping.Firing, Fingerprint: fp, Labels: template.KV{"alertname": "A", "id": fp}, StartsAt: time.Now().Add(-time.Hour)}},
	}}
	for _, f := range edit {
		f(w)
	}
	if err := (alertmanager.Learn{Sink: g, Reconciler: g.reconciler}).Observe(g.t.Context(), g.mapper.Route(w)); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) pass() alertmanager.Report {
	g.t.Helper()
	rep, err := g.reconciler.Reconcile(g.t.Context())
	if err != nil {
		g.t.Fatalf("Reconcile: %v", err)
	}
	return rep
}

// firing lists the fingerprints that fire in the outbox.
func (g *rig) firing() []string {
	out := []string{}
	for _, in := range g.List() {
		for fp, m := range in.Members {
			if m.Firing {
				out = append(out, fp)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestAbsence(t *testing.T) {
	type pass = func(g *rig)
	// Every member answers, is old enough, and lists another alert only.
	absent := func(g *rig) {
		for _, f := range g.fakes {
			*f = fake{alerts: lines(line{fp: fpB})}
		}
	}
	with := func(edit func(g *rig)) pass { return func(g *rig) { absent(g); edit(g) } }
	cluster := func(g *rig) {
		g.fakes[0].name, g.fakes[0].peers = "a", []string{"b"}
		g.fakes[1].name, g.fakes[1].peers = "b", []string{"a"}
	}
	for _, tc := range []struct {
		name    string
		passes  []pass
		resolve bool
	}{
		{"three times gone", []pass{absent, absent, absent}, true},
		{"twice only", []pass{absent, absent}, false},
		{"in a whole cluster", []pass{with(cluster), with(cluster), with(cluster)}, true},
		{"nothing listed at all, three times", slices.Repeat([]pass{with(func(g *rig) { g.list() })}, 3), true},
		{"nothing listed at all, once", []pass{with(func(g *rig) { g.list() }), func(g *rig) { g.list(line{fp: fpA}, line{fp: fpB}) }, absent}, false},
		{"the second member does not answer", slices.Repeat([]pass{with(func(g *rig) { g.fakes[1].code = 503 })}, 5), false},
		{"the second list is cut off", slices.Repeat([]pass{with(func(g *rig) { g.fakes[1].alerts = "[" })}, 5), false},
		{"the second status is broken", slices.Repeat([]pass{with(func(g *rig) { g.fakes[1].status = "{}" })}, 5), false},
		{"the second has been up for five minutes only", slices.Repeat([]pass{with(func(g *rig) { g.fakes[1].up = 5*time.Minute - time.Second })}, 5), false},
		{"the second is settling", slices.Repeat([]pass{with(func(g *rig) { cluster(g); g.fakes[1].state = "settling" })}, 5), false},
		{"the cluster has a third member", slices.Repeat([]pass{with(func(g *rig) { cluster(g); g.fakes[0].peers = []string{"b", "c"} })}, 5), false},
		{"the second lists it", slices.Repeat([]pass{with(func(g *rig) { g.fakes[1].alerts = lines(line{fp: fpA}) })}, 5), false},
		{"it is suppressed", slices.Repeat([]pass{with(func(g *rig) { g.list(line{fp: fpA, state: "suppressed", by: "silencedBy"}, line{fp: fpB}) })}, 5), false},
		{"it is unprocessed", slices.Repeat([]pass{with(func(g *rig) { g.list(line{fp: fpA, state: "unprocessed"}, line{fp: fpB}) })}, 5), false},
		{"not in a row: listed again", []pass{absent, absent, with(func(g *rig) { g.list(line{fp: fpA}) }), absent, absent}, false},
		{"not in a row: one did not answer", []pass{absent, absent, with(func(g *rig) { g.fakes[0].code = 503 }), absent, absent}, false},
		{"not in a row: one restarted", []pass{absent, absent, with(func(g *rig) { g.fakes[0].up = time.Second }), absent, absent}, false},
		{"a webhook came in between", []pass{absent, absent, with(func(g *rig) { g.webhook(fpA) }), absent}, false},
		{"and it went after all", []pass{absent, absent, with(func(g *rig) { g.webhook(fpA) }), absent, absent}, true},
		{"other Alertmanagers are asked since", []pass{absent, absent, with(func(g *rig) { g.apply(alertmanager.Reconcile{}, g.urls[0]) }), absent}, false},
		{"passes that come too soon after each other", []pass{with(func(g *rig) { g.apply(alertmanager.Reconcile{Interval: time.Hour}, g.urls...) }), absent, absent, absent}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, 2, alertmanager.Reconcile{})
			g.webhook(fpA)
			g.webhook(fpB)
			g.list(line{fp: fpA}, line{fp: fpB})
			g.pass() // these Alertmanagers know what they are asked about.
			resolved := 0
			for _, prepare := range tc.passes {
				prepare(g)
				resolved += g.pass().Resolved
			}
			want := []string{fpA, fpB}
			if tc.resolve {
				want = []string{fpB}
			}
			if strings.Contains(tc.name, "at all, three") {
				want = []string{}
			}
			if diff := cmp.Diff(want, g.firing()); diff != "" {
				t.Errorf("firing (-want +got):\n%s", diff)
			}
			if got := resolved > 0; got != tc.resolve {
				t.Errorf("reported %d resolved", resolved)
			}
		})
	}
}

// page is the incident of a test that has only one, the digest of what was missed apart.
func (g *rig) page() *incident.Incident {
	g.t.Helper()
	for _, in := range g.List() {
		if in.Digest == nil {
			return in
		}
	}
	g.t.Fatal("there is no incident")
	return nil
}

func TestAbsenceIsOnTheLedger(t *testing.T) {
	g := newRig(t, 1, alertmanager.Reconcile{})
	g.webhook(fpA)
	g.list(line{fp: fpA})
	g.pass()
	g.list()
	for range 3 {
		g.pass()
	}
	in := g.page()
	if in.Want() != incident.StateClosed {
		t.Errorf("want is %s, want closed", in.Want())
	}
	if !slices.ContainsFunc(in.History, func(e incident.Entry) bool { return e.What == "absent" }) {
		t.Errorf("the ledger does not say why: %+v", in.History)
	}
}

func TestOtherOriginsAreLeftAlone(t *testing.T) {
	for _, origin := range []mapping.Origin{mapping.OriginTest, mapping.OriginCoverage, mapping.OriginSelf} {
		g := newRig(t, 1, alertmanager.Reconcile{OnSilence: "resolve", OnInhibit: "resolve"})
		g.webhook(fpA, func(w *mapping.Group) {
			w.Origin = origin
			w.Alerts[0].EndsAt = time.Now().Add(time.Hour)
		})
		g.webhook(fpB)
		g.list(line{fp: fpA, state: "suppressed", by: "silencedBy"}, line{fp: fpB})
		g.pass()
		g.list(line{fp: fpB})
		for range 4 {
			if rep := g.pass(); rep.Resolved+rep.Muted+rep.Missing > 0 {
				t.Errorf("origin %s: got %+v, want nothing done", origin, rep)
			}
		}
		if got := g.firing(); !slices.Contains(got, fpA) {
			t.Errorf("origin %s: firing is %v", origin, got)
		}
	}
}

// What the last survey listed and is not held here is known to be listed by that source:
// the sidecar of a member that leaves the notifying to its peers knows its alerts by this alone.
func TestSurveyRemembersWhatOthersPage(t *testing.T) {
	g := newRig(t, 1, alertmanager.Reconcile{})
	source := newClient(t, alertmanager.Config{URLs: g.urls}).Identity()
	g.webhook(fpA)
	g.list(line{fp: fpA}, line{fp: fpB})
	if g.reconciler.Listed(source, fpB) {
		t.Error("before the first survey: listed")
	}
	g.pass()
	for _, tc := range []struct {
		source, fp string
		want       bool
	}{{source, fpB, true}, {source, fpA, false}, {"other", fpB, false}} {
		if got := g.reconciler.Listed(tc.source, tc.fp); got != tc.want {
			t.Errorf("source %s, alert %s: got listed %t, want %t", tc.source, tc.fp, got, tc.want)
		}
	}
	g.list(line{fp: fpA})
	g.pass()
	if g.reconciler.Listed(source, fpB) {
		t.Error("it is remembered beyond the next survey")
	}
}

// An Alertmanager that posts here and is not asked must not lose its pages.
func TestAnotherClustersAlertsAreNotMissed(t *testing.T) {
	g := newRig(t, 1, alertmanager.Reconcile{})
	g.webhook(fpA, func(w *mapping.Group) { w.ExternalURL = "http://elsewhere" })
	g.webhook(fpB)
	g.list(line{fp: fpB})
	for range 5 {
		rep := g.pass()
		if rep.Resolved != 0 || rep.Foreign != 1 {
			t.Fatalf("got %+v, want nothing resolved, one foreign", rep)
		}
	}
	vouches := func(urls []string, from string, want bool) {
		t.Helper()
		c, err := alertmanager.New(alertmanager.Config{URLs: urls})
		if err != nil {
			t.Fatal(err)
		}
		if got := g.reconciler.Vouches(c.Identity(), from); got != want {
			t.Errorf("the lists of %v speak for alerts of %s: got %t, want %t", urls, from, got, want)
		}
	}
	vouches(g.urls, "http://elsewhere", false)
	// One alert of it in the list, and it counts as one that is asked ...
	g.list(line{fp: fpA}, line{fp: fpB})
	g.pass()
	g.list(line{fp: fpB})
	vouches(g.urls, "http://elsewhere", true)
	restart := func(urls ...string) {
		g.reconciler = alertmanager.NewReconciler(g.Store, alertmanager.ReconcilerConfig{})
		g.apply(alertmanager.Reconcile{}, urls...)
	}
	// ... but not by others ...
	other := serve(t, &fake{alerts: lines(line{fp: fpB})})
	vouches([]string{other}, "http://elsewhere", false)
	g.apply(alertmanager.Reconcile{}, other)
	for i := range 8 {
		if rep := g.pass(); rep.Resolved != 0 || rep.Foreign != 1 {
			t.Fatalf("after the URLs changed: got %+v, want nothing resolved, one foreign", rep)
		}
		if i == 4 {
			restart(other)
		}
	}
	// ... and after a restart, too.
	restart(g.urls...)
	for range 3 {
		g.pass()
	}
	if diff := cmp.Diff([]string{fpB}, g.firing()); diff != "" {
		t.Errorf("firing (-want +got):\n%s", diff)
	}
}

func TestUnknown(t *testing.T) {
	old := 3 * time.Minute
	for _, tc := range []struct {
		name   string
		line   line
		policy alertmanager.Reconcile
		nudge  bool
		deaf   bool          // no webhook was ever seen.
		ahead  time.Duration // Alertmanager's clock, of ours.
		want   string
	}{
		{"fires, unheard", line{fp: fpA, age: old}, alertmanager.Reconcile{}, false, false, 0, "shown"},
		{"only just", line{fp: fpA, age: time.Minute}, alertmanager.Reconcile{Adopt: true}, false, false, 0, "ignored"},
		{"for somebody else", line{fp: fpA, age: old, receiver: "slack"}, alertmanager.Reconcile{Adopt: true}, false, false, 0, "ignored"},
		{"silenced", line{fp: fpA, age: old, state: "suppressed", by: "silencedBy"}, alertmanager.Reconcile{Adopt: true}, false, false, 0, "ignored"},
		{"inhibited", line{fp: fpA, age: old, state: "suppressed", by: "inhibitedBy"}, alertmanager.Reconcile{Adopt: true}, false, false, 0, "ignored"},
		{"muted by a time interval", line{fp: fpA, age: old, by: "mutedBy"}, alertmanager.Reconcile{Adopt: true}, false, false, 0, "ignored"},
		{"unprocessed", line{fp: fpA, age: old, state: "unprocessed"}, alertmanager.Reconcile{Adopt: true}, false, false, 0, "ignored"},
		{"always adopted", line{fp: fpA, age: old}, alertmanager.Reconcile{Adopt: true}, false, false, 0, "adopted"},
		{"adopted after a lost webhook", line{fp: fpA, age: old}, alertmanager.Reconcile{}, true, false, 0, "adopted"},
		{"after a lost webhook sooner", line{fp: fpA, age: 31 * time.Second}, alertmanager.Reconcile{}, true, false, 0, "adopted"},
		{"but not at once", line{fp: fpA, age: 29 * time.Second}, alertmanager.Reconcile{}, true, false, 0, "ignored"},
		{"no receiver known", line{fp: fpA, age: old}, alertmanager.Reconcile{Adopt: true}, true, true, 0, "ignored"},
		{"the receiver is configured", line{fp: fpA, age: old}, alertmanager.Reconcile{Adopt: true, Receivers: []string{ourReceiver}}, false, true, 0, "adopted"},
		{"another one is configured", line{fp: fpA, age: old}, alertmanager.Reconcile{Adopt: true, Receivers: []string{"other"}}, false, false, 0, "ignored"},
		// startsAt is Alertmanager's or Prometheus' time.
		{"our clock is hours behind", line{fp: fpA, age: old}, alertmanager.Reconcile{Adopt: true}, false, false, 2 * time.Hour, "adopted"},
		{"and a webhook was lost", line{fp: fpA, age: old}, alertmanager.Reconcile{}, true, false, 2 * time.Hour, "adopted"},
		{"and nothing is to be adopted", line{fp: fpA, age: old}, alertmanager.Reconcile{}, false, false, 2 * time.Hour, "shown"},
		{"and only just", line{fp: fpA, age: time.Minute}, alertmanager.Reconcile{Adopt: true}, false, false, 2 * time.Hour, "ignored"},
		{"our clock is hours ahead", line{fp: fpA, age: old}, alertmanager.Reconcile{Adopt: true}, false, false, -2 * time.Hour, "adopted"},
		{"ahead, and a webhook was lost", line{fp: fpA, age: old}, alertmanager.Reconcile{}, true, false, -2 * time.Hour, "adopted"},
		{"ahead, and only just", line{fp: fpA, age: time.Minute}, alertmanager.Reconcile{Adopt: true}, false, false, -2 * time.Hour, "adopted"}, // early.
		{"only Alertmanager's clock is hours behind", line{fp: fpA, starts: time.Now().Add(-old)}, alertmanager.Reconcile{Adopt: true}, false, false, -2 * time.Hour, "adopted"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, 2, tc.policy)
			if !tc.deaf {
				g.webhook(fpB)
			}
			if tc.nudge {
				g.reconciler.Adopt()
			}
			for _, f := range g.fakes {
				f.ahead = tc.ahead
			}
			if tc.line.starts.IsZero() {
				tc.line.age -= tc.ahead
			}
			tc.line.ends = time.Minute + tc.ahead
			g.list(tc.line, line{fp: fpB, ends: time.Minute + tc.ahead})
			rep := g.pass()
			got := "ignored"
			switch {
			case rep.Adopted == 1 && rep.Unknown == 0 && slices.Contains(g.firing(), fpA):
				got = "adopted"
			case rep.Unknown == 1 && rep.Adopted == 0 && !slices.Contains(g.firing(), fpA):
				got = "shown"
			case rep.Adopted+rep.Unknown > 0 || slices.Contains(g.firing(), fpA):
				got = fmt.Sprintf("%+v", rep)
			}
			if got != tc.want {
				t.Errorf("it is %s, want %s", got, tc.want)
			}
			if got != "adopted" {
				return
			}
			for _, in := range g.List() {
				if want := map[bool]string{false: "http://am-1"}[tc.deaf]; in.ExternalURL != want {
					t.Errorf("externalURL of %s is %q, want %q", in.DedupKey, in.ExternalURL, want)
				}
			}
			if rep := g.pass(); rep.Adopted != 0 || rep.Unknown != 0 {
				t.Errorf("the second time: %+v, want nothing", rep)
			}
		})
	}
}

// interrupted is a Surveyor during whose lists something happens.
type interrupted struct {
	alertmanager.Surveyor
	by func()
}

func (s interrupted) Survey(ctx context.Context, each func(int, *alertmanager.Listing) error) (alertmanager.Standing, error) {
	defer s.by()
	return s.Surveyor.Survey(ctx, each)
}

// A list that was read before a resolve came in does not bring the alert back.
func TestResolvedWhileItIsListedIsNotAdopted(t *testing.T) {
	g := newRig(t, 1, alertmanager.Reconcile{})
	g.SetPolicy(incident.Policy{Alertmanagers: 1})
	g.webhook(fpB)
	g.list(line{fp: fpA, age: time.Hour}, line{fp: fpB})
	source := interrupted{newClient(t, alertmanager.Config{URLs: g.urls}), func() {
		g.webhook(fpA, func(w *mapping.Group) { w.Alerts[0].Status, w.Alerts[0].EndsAt = mapping.Resolved, time.Now() })
	}}
	g.reconciler.Apply(alertmanager.ReconcileSettings{Source: source, Router: g.mapper, Policy: alertmanager.Reconcile{Interval: always, Adopt: true}})
	g.pass()
	for _, in := range g.List() {
		if m := in.Members[fpA]; m != nil && (m.Firing || m.Late != nil) {
			t.Error("an old list is held against its resolve")
		}
	}
	g.apply(alertmanager.Reconcile{Adopt: true}, g.urls...)
	g.pass() // it is listed again: now that is the newer word.
	for _, in := range g.List() {
		if m := in.Members[fpA]; m != nil && m.Late != nil {
			return
		}
	}
	t.Error("it is listed after its resolve, and nobody is asked about it")
}

func TestAdoptedJoinsWhatItsWebhookWouldHaveMade(t *testing.T) {
	for _, dedup := range []string{"alert", "group", "alertmanager"} {
		t.Run(dedup, func(t *testing.T) {
			g := newRig(t, 1, alertmanager.Reconcile{Adopt: true})
			g.mapper = newMapper(t, dedup)
			g.apply(alertmanager.Reconcile{Adopt: true}, g.urls...)
			starts := time.Now().Add(-time.Hour)
			inGroup := func(w *mapping.Group) {
				w.Alerts[0].StartsAt = starts
				w.GroupKey, w.GroupLabels = `{}:{alertname="A"}`, template.KV{"alertname": "A"}
			}
			g.webhook(fpB, inGroup) // the rest of the group was cut off.
			g.list(line{fp: fpA, starts: starts}, line{fp: fpB})
			if rep := g.pass(); rep.Adopted != 1 {
				t.Fatalf("got %+v, want one adopted", rep)
			}
			before := ids(g)
			g.webhook(fpA, inGroup) // late.
			if diff := cmp.Diff(before, ids(g)); diff != "" {
				t.Errorf("incidents after the webhook (-before +after):\n%s", diff)
			}
			for _, in := range g.List() {
				if m := in.Members[fpA]; m != nil && (in.Revision != len(in.Members) || !m.Firing || m.MovedTo != "") {
					t.Errorf("the webhook did not join: revision %d, %+v", in.Revision, m)
				}
				if in.ExternalURL != "http://am-1" {
					t.Errorf("externalURL is %q", in.ExternalURL)
				}
			}
		})
	}
}

func ids(g *rig) []string {
	var out []string
	for _, in := range g.List() {
		out = append(out, in.DedupKey)
	}
	slices.Sort(out)
	return out
}

func TestMutes(t *testing.T) {
	silenced := line{fp: fpA, state: "suppressed", by: "silencedBy"}
	inhibited := line{fp: fpA, state: "suppressed", by: "inhibitedBy"}
	both := alertmanager.Reconcile{OnSilence: "acknowledge", OnInhibit: "resolve"}
	list := func(ls ...line) func(*rig) { return func(g *rig) { g.list(ls...) } }
	differ := func(first, second line) func(*rig) {
		return func(g *rig) { g.fakes[0].alerts, g.fakes[1].alerts = lines(first), lines(second) }
	}
	for _, tc := range []struct {
		name   string
		policy alertmanager.Reconcile
		passes []func(*rig)
		want   incident.State
	}{
		{"nothing", alertmanager.Reconcile{OnInhibit: "resolve"}, []func(*rig){list(silenced)}, incident.StateOpen},
		{"acknowledge", both, []func(*rig){list(silenced)}, incident.StateAcknowledged},
		{"resolve", both, []func(*rig){list(inhibited)}, incident.StateClosed},
		{"ended", both, []func(*rig){list(inhibited), list(line{fp: fpA})}, incident.StateOpen},
		{"one of them hears it", both, []func(*rig){func(g *rig) { g.list(silenced); g.fakes[1].alerts = lines(line{fp: fpA}) }}, incident.StateOpen},
		{"one of them does not show the silence", both, []func(*rig){func(g *rig) { g.list(silenced); g.fakes[1].alerts = "[]" }}, incident.StateOpen},
		{"one of them has it inhibited instead", both, []func(*rig){differ(silenced, inhibited)}, incident.StateOpen},
		{"one of them has it inhibited instead, and silences do nothing", alertmanager.Reconcile{OnInhibit: "resolve"}, []func(*rig){differ(silenced, inhibited)}, incident.StateOpen},
		{"one of them has not processed it", both, []func(*rig){differ(silenced, line{fp: fpA, state: "unprocessed"})}, incident.StateOpen},
		{"one of them forgets it", both, []func(*rig){list(silenced), func(g *rig) { g.fakes[1].alerts = "[]" }}, incident.StateAcknowledged},
		{"one of them inhibits it later", both, []func(*rig){list(silenced), differ(silenced, inhibited)}, incident.StateAcknowledged},
		{"inhibited in the one that lists it", both, []func(*rig){func(g *rig) { g.list(inhibited); g.fakes[1].alerts = "[]" }}, incident.StateClosed},
		{"inhibited in one and not processed in the other", both, []func(*rig){differ(inhibited, line{fp: fpA, state: "unprocessed"})}, incident.StateOpen},
		{"one of them does not answer", both, []func(*rig){func(g *rig) { g.list(silenced); g.fakes[1].code = 500 }}, incident.StateOpen},
		{"one of them is young", both, []func(*rig){func(g *rig) { g.list(silenced); g.fakes[1].up = time.Second }}, incident.StateOpen},
		{"it lasts while one does not answer", both, []func(*rig){list(silenced), func(g *rig) { g.fakes[1].code = 500 }}, incident.StateAcknowledged},
		{"it ends although one does not answer", both, []func(*rig){list(silenced), func(g *rig) { g.list(line{fp: fpA}); g.fakes[1].code = 500 }}, incident.StateOpen},
		{"a young one does not end it", both, []func(*rig){list(silenced), func(g *rig) { g.fakes[1].alerts, g.fakes[1].up = lines(line{fp: fpA}), time.Second }}, incident.StateAcknowledged},
		{"a time interval is no mute", both, []func(*rig){list(line{fp: fpA, by: "mutedBy"})}, incident.StateOpen},
		{"the policy is taken back", both, []func(*rig){list(inhibited), func(g *rig) { g.apply(alertmanager.Reconcile{}, g.urls...) }}, incident.StateOpen},
		{"nobody is asked any more", both, []func(*rig){list(inhibited), func(g *rig) { g.apply(both) }}, incident.StateOpen},
		{"muted and gone", both, []func(*rig){list(silenced), list(), list(), list()}, incident.StateClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, 2, tc.policy)
			g.webhook(fpA)
			for _, prepare := range tc.passes {
				prepare(g)
				g.pass()
			}
			if got := g.page().Want(); got != tc.want {
				t.Errorf("want is %s, want %s", got, tc.want)
			}
			version := g.page().Version
			g.pass()
			if got := g.page().Version; got != version {
				t.Errorf("the same once more changed the incident: version %d, was %d", got, version)
			}
		})
	}
}

// source is a Surveyor in memory, for bubbles.
type scripted struct {
	lists   []alertmanager.Listing
	surveys []time.Time
	doubts  []alertmanager.Doubt
}

func (s *scripted) Identity() string { return "scripted" }

func (s *scripted) Survey(_ context.Context, each func(int, *alertmanager.Listing) error) (alertmanager.Standing, error) {
	s.surveys = append(s.surveys, time.Now())
	for i := range s.lists {
		if err := each(0, &s.lists[i]); err != nil {
			return alertmanager.Standing{}, err
		}
	}
	return alertmanager.Standing{Mature: []bool{len(s.doubts) == 0}, Doubts: s.doubts}, nil
}

func (s *scripted) set(ls ...line) {
	s.lists = nil
	for _, l := range ls {
		var v alertmanager.Listing
		if err := json.Unmarshal([]byte(l.json()), &v); err != nil {
			panic(err)
		}
		s.lists = append(s.lists, v)
	}
}

func TestRunLooksEveryIntervalAndSoonerWhenAsked(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store, stop := openStore(t)
		defer stop()
		r := alertmanager.NewReconciler(store, alertmanager.ReconcilerConfig{})
		src := &scripted{}
		r.Apply(alertmanager.ReconcileSettings{Source: src, Router: newMapper(t, "")})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		start := time.Now()
		go func() { done <- r.Run(ctx) }()
		time.Sleep(2*time.Minute + 20*time.Second)
		for range 5 {
			r.Adopt() // at 2:20, a third into the interval.
		}
		time.Sleep(5 * time.Second)
		r.Adopt() // not again: a quarter of an interval has not passed.
		time.Sleep(time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		var got []time.Duration
		for _, at := range src.surveys {
			got = append(got, at.Sub(start))
		}
		want := []time.Duration{0, time.Minute, 2 * time.Minute, 140 * time.Second, 155 * time.Second}
		want = append(want, want[len(want)-1]+time.Minute)
		if diff := cmp.Diff(want[:5], got[:min(5, len(got))]); diff != "" {
			t.Errorf("looks (-want +got):\n%s", diff)
		}
	})
}

// What a lost webhook would have brought may come to be old enough only later, and
// Alertmanager may not answer meanwhile.
func TestAdoptionLastsUntilItCanHaveSucceeded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store, stop := openStore(t)
		defer stop()
		r := alertmanager.NewReconciler(store, alertmanager.ReconcilerConfig{})
		src := &scripted{doubts: []alertmanager.Doubt{{Kind: alertmanager.DoubtUnreachable, Text: "no answer"}}}
		r.Apply(alertmanager.ReconcileSettings{Source: src, Router: newMapper(t, ""), Policy: alertmanager.Reconcile{Receivers: []string{ourReceiver}}})
		reconcile := func() alertmanager.Report {
			t.Helper()
			rep, err := r.Reconcile(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return rep
		}
		r.Adopt()
		reconcile()
		time.Sleep(30 * time.Minute) // it could not be asked for half an hour.
		reconcile()
		src.doubts = nil
		src.set(line{fp: fpA, age: time.Minute})
		if rep := reconcile(); rep.Adopted != 1 {
			t.Errorf("after half an hour: %+v, want one adopted", rep)
		}
		src.set(line{fp: fpA, age: time.Minute}, line{fp: fpB, age: time.Hour})
		if rep := reconcile(); rep.Adopted != 0 || rep.Unknown != 1 {
			t.Errorf("after that: %+v, want none adopted, one shown", rep)
		}
	})
}

func TestReconcileMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	store, _ := openStore(t)
	r := alertmanager.NewReconciler(store, alertmanager.ReconcilerConfig{Registerer: reg})
	src := &scripted{}
	src.set(line{fp: fpA, age: time.Hour}, line{fp: fpB, age: time.Hour})
	policy := alertmanager.Reconcile{Interval: always, Receivers: []string{ourReceiver}}
	mapper := newMapper(t, "")
	pass := func() {
		t.Helper()
		if _, err := r.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.Apply(alertmanager.ReconcileSettings{Source: src, Router: mapper, Policy: policy})
	pass()
	policy.Adopt = true
	r.Apply(alertmanager.ReconcileSettings{Source: src, Router: mapper, Policy: policy})
	pass()
	src.set(line{fp: fpA, age: time.Hour})
	for range 3 {
		pass()
	}
	policy.Adopt = false
	r.Apply(alertmanager.ReconcileSettings{Source: src, Router: mapper, Policy: policy})
	src.set(line{fp: "cccccccccccccccc", age: time.Hour}, line{fp: fpA})
	src.doubts = []alertmanager.Doubt{{Kind: alertmanager.DoubtUncovered}, {Kind: alertmanager.DoubtYoung}}
	pass()
	if got, _ := r.Notices(); len(got) == 0 || !strings.Contains(got[0], "unknown here: 1.") {
		t.Errorf("the status page would show %q, want the unknown alert", got)
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP pagerelay_reconcile_adopted_total Alerts that fired for our receivers, were unknown here, and were taken in.
# TYPE pagerelay_reconcile_adopted_total counter
pagerelay_reconcile_adopted_total 2
# HELP pagerelay_reconcile_evidence 1 if at the last comparison what no Alertmanager listed was evidence that it is over.
# TYPE pagerelay_reconcile_evidence gauge
pagerelay_reconcile_evidence 0
# HELP pagerelay_reconcile_passes_total Comparisons of the outbox with what Alertmanager lists, by what they came to; only complete ones count towards resolving what is gone.
# TYPE pagerelay_reconcile_passes_total counter
pagerelay_reconcile_passes_total{result="complete"} 5
pagerelay_reconcile_passes_total{result="failed"} 0
pagerelay_reconcile_passes_total{result="uncovered"} 0
pagerelay_reconcile_passes_total{result="unreachable"} 0
pagerelay_reconcile_passes_total{result="young"} 1
# HELP pagerelay_reconcile_resolved_total Alerts whose resolve was lost: no Alertmanager listed them any more.
# TYPE pagerelay_reconcile_resolved_total counter
pagerelay_reconcile_resolved_total 1
# HELP pagerelay_reconcile_unknown_alerts Alerts that fire for our receivers and are unknown here, at the last comparison.
# TYPE pagerelay_reconcile_unknown_alerts gauge
pagerelay_reconcile_unknown_alerts 1
`), "pagerelay_reconcile_adopted_total", "pagerelay_reconcile_evidence", "pagerelay_reconcile_passes_total", "pagerelay_reconcile_resolved_total", "pagerelay_reconcile_unknown_alerts"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

func TestReconcileValidate(t *testing.T) {
	bad := alertmanager.Reconcile{Interval: time.Second, Receivers: []string{"a", "", "a"}, OnSilence: "mute", OnInhibit: "ack"}
	want := `interval: is 1s, must be from 10s to 1h
receivers[1]: is empty; name a receiver or remove it
receivers[2]: is listed twice
on_silence: is "mute", must be nothing, acknowledge or resolve
on_inhibit: is "ack", must be nothing, acknowledge or resolve`
	if err := bad.Validate(); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	good := alertmanager.Reconcile{Interval: 10 * time.Second, Receivers: []string{"a", "b"}, OnSilence: "nothing", OnInhibit: "resolve"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	if err := (alertmanager.Reconcile{}).Validate(); err != nil {
		t.Error(err)
	}
}

// An end of the process is no failure of Alertmanager's.
func TestShutdownIsNoDoubt(t *testing.T) {
	reg := prometheus.NewRegistry()
	store, _ := openStore(t)
	r := alertmanager.NewReconciler(store, alertmanager.ReconcilerConfig{Registerer: reg})
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		cancel()
		<-req.Context().Done()
	}))
	r.Apply(alertmanager.ReconcileSettings{Source: newClient(t, alertmanager.Config{URLs: []string{url}}), Router: newMapper(t, "")})
	if _, err := r.Reconcile(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Reconcile: %v, want that the context was canceled", err)
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP pagerelay_reconcile_passes_total Comparisons of the outbox with what Alertmanager lists, by what they came to; only complete ones count towards resolving what is gone.
# TYPE pagerelay_reconcile_passes_total counter
pagerelay_reconcile_passes_total{result="complete"} 0
pagerelay_reconcile_passes_total{result="failed"} 0
pagerelay_reconcile_passes_total{result="uncovered"} 0
pagerelay_reconcile_passes_total{result="unreachable"} 0
pagerelay_reconcile_passes_total{result="young"} 0
`), "pagerelay_reconcile_passes_total"); err != nil {
		t.Error(err)
	}
}

// Receivers are whoever a caller says; they must not fill the memory.
func TestReceiversAreBounded(t *testing.T) {
	g := newRig(t, 1, alertmanager.Reconcile{Adopt: true})
	for i := range 1000 {
		g.reconciler.Heard(fmt.Sprint("r", i), "")
	}
	g.list(line{fp: fpA, age: time.Hour, receiver: "r99"}, line{fp: fpB, age: time.Hour, receiver: "r100"})
	g.pass()
	if diff := cmp.Diff([]string{fpA}, g.firing()); diff != "" {
		t.Errorf("adopted (-want +got):\n%s", diff)
	}
}

// What the last look found is for people, too.
func TestNotices(t *testing.T) {
	store, _ := openStore(t)
	r := alertmanager.NewReconciler(store, alertmanager.ReconcilerConfig{})
	src := &scripted{}
	look := func(s alertmanager.ReconcileSettings, wantNotes int, want ...string) {
		t.Helper()
		r.Apply(s)
		if _, err := r.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		warnings, notes := r.Notices()
		if len(notes) != wantNotes {
			t.Errorf("got notes %q, want %d", notes, wantNotes)
		}
		got := slices.Concat(warnings, notes)
		if len(got) != len(want) {
			t.Fatalf("got %q, want %q in it", got, want)
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("got %q, want %q in it", got[i], want[i])
			}
		}
	}
	settings := alertmanager.ReconcileSettings{
		Source: src, Router: newMapper(t, ""), Policy: alertmanager.Reconcile{Interval: always, Receivers: []string{ourReceiver}},
	}
	if got, notes := r.Notices(); got != nil || notes != nil {
		t.Errorf("before the first look: %q, %q, want nothing", got, notes)
	}
	look(settings, 0)
	src.set(line{fp: fpA, age: time.Hour}, line{fp: fpB, age: time.Hour})
	look(settings, 0, "unknown here: 2.")
	src.set()
	src.doubts = []alertmanager.Doubt{{Kind: alertmanager.DoubtYoung, Text: "up for 3s only"}}
	look(settings, 1, "Stale-alert clean-up is paused: up for 3s only. Paging is not affected.") // normal after a restart.
	src.doubts = []alertmanager.Doubt{{Kind: alertmanager.DoubtUncovered, Text: "a member is not asked"}}
	look(settings, 0, "paused: a member is not asked")
	src.doubts = []alertmanager.Doubt{{Kind: alertmanager.DoubtYoung, Text: "up for 3s only"}, {Kind: alertmanager.DoubtUnreachable, Text: "no answer"}}
	look(settings, 0, "paused: no answer")    // what does not pass by itself.
	look(alertmanager.ReconcileSettings{}, 0) // nobody is asked any more.
}
