package coverage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/mapping"
)

// world is an Auditor with everything around it.
type world struct {
	t       *testing.T
	auditor *coverage.Auditor
	sink    *sink
	reg     *prometheus.Registry
	log     *bytes.Buffer
	audits  int // told by OnAudit.

	mtx    sync.Mutex
	result coverage.Result // what the next audit finds.
	unread []coverage.Unread
	failed error       // of the next read.
	reads  []time.Time // of all reads.
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, sink: &sink{firing: map[string]template.Alert{}}}
	w.restart()
	return w
}

// restart makes a new Auditor over the same sink.
func (w *world) restart() {
	w.reg, w.log = prometheus.NewRegistry(), &bytes.Buffer{}
	w.auditor = coverage.NewAuditor(w.sink, coverage.AuditorConfig{
		Judge:      func(*coverage.Snapshot, coverage.Config, time.Time) coverage.Result { return w.result },
		OnAudit:    func() { w.audits++ },
		Logger:     slog.New(slog.NewTextHandler(w.log, nil)),
		Registerer: w.reg,
	})
}

func (w *world) Read(context.Context) (*coverage.Snapshot, error) {
	w.mtx.Lock()
	defer w.mtx.Unlock()
	w.reads = append(w.reads, time.Now())
	if w.failed != nil {
		return nil, w.failed
	}
	now := time.Now()
	return &coverage.Snapshot{At: now, Window: coverage.Span{Start: now, End: now.Add(24 * time.Hour)}, Unread: w.unread}, nil
}

// A service that a reload brings is not taken for one that nobody audits.
func TestHeardAfterAReload(t *testing.T) {
	w := newWorld(t)
	w.apply()
	w.audit()
	expect := func(what string, want coverage.Heard) {
		t.Helper()
		if got, _ := w.auditor.Heard("infra", time.Now().Add(time.Minute)); got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	expect("audited for other services", coverage.NotAudited)
	w.apply(func(c *coverage.Config) { c.Policies[0].Services = []string{"infra"} })
	expect("after a reload that names it", coverage.NotKnown)
	before := w.audits
	w.apply(func(c *coverage.Config) { *c = coverage.Config{} })
	_, _ = w.auditor.Audit(t.Context())
	expect("after a reload that audits nothing", coverage.NotAudited)
	if w.audits != before+1 {
		t.Error("who waits for an audit is not told that there will be none")
	}
}

// apply puts a configuration in force that audits a schedule and a policy and
// reports to the service sre.
func (w *world) apply(change ...func(*coverage.Config)) {
	w.t.Helper()
	c := coverage.Config{
		Report:    coverage.Report{Service: "sre"},
		Schedules: []coverage.ScheduleConfig{{Name: "prod-monitoring"}},
		Policies:  []coverage.PolicyConfig{{Name: "PINFRA"}},
	}
	for _, f := range change {
		f(&c)
	}
	w.auditor.Apply(coverage.Settings{Config: c.WithDefaults(), Source: w, Router: router(w.t)})
}

func router(t *testing.T) *mapping.Mapper {
	t.Helper()
	m, err := mapping.New(mapping.Config{
		Services: []string{"infra", "sre"}, Rules: []mapping.Rule{{Name: "all", Service: "infra"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (w *world) audit() {
	w.t.Helper()
	if _, err := w.auditor.Audit(w.t.Context()); err != nil {
		w.t.Fatalf("Audit: got %v, want no error", err)
	}
}

// found says what the next audit finds.
func (w *world) found(fs ...coverage.Finding) { w.result = coverage.Result{Findings: fs} }

// sink remembers what fires, as the outbox does.
type sink struct {
	mtx    sync.Mutex
	firing map[string]template.Alert
	stored [][]mapping.Observation // by call.
	failed error
}

func (s *sink) Observe(_ context.Context, obs []mapping.Observation) error {
	s.mtx.Lock()
	defer s.mtx.Unlock()
	if s.failed != nil {
		return s.failed
	}
	s.stored = append(s.stored, obs)
	for _, o := range obs {
		if o.Alert.Status == mapping.Resolved {
			delete(s.firing, o.Alert.Fingerprint)
			continue
		}
		s.firing[o.Alert.Fingerprint] = o.Alert
	}
	return nil
}

func (s *sink) Firing() []template.Alert {
	s.mtx.Lock()
	defer s.mtx.Unlock()
	var list []template.Alert
	for _, a := range s.firing {
		list = append(list, a)
	}
	return list
}

// fail makes Observe fail from now on, or not.
func (s *sink) fail(err error) {
	s.mtx.Lock()
	defer s.mtx.Unlock()
	s.failed = err
}

// lines are the firing alerts, a line each.
func (s *sink) lines() []string {
	s.mtx.Lock()
	defer s.mtx.Unlock()
	lines := []string{}
	for _, a := range s.firing {
		lines = append(lines, fmt.Sprintf("%s %s since %s", a.Labels["check"], a.Labels["severity"], a.StartsAt.UTC().Format("15:04")))
	}
	slices.Sort(lines)
	return lines
}

func gap(severity coverage.Severity) coverage.Finding {
	return coverage.Finding{
		Check: coverage.PolicyGap, Severity: severity, Subject: coverage.Subject{Kind: coverage.KindPolicy, ID: "PINFRA", Name: "infra"},
		Text: "Nobody is on call on Saturday.", URL: "https://example.pagerduty.test/escalation_policies/PINFRA",
	}
}

func oneEngineer() coverage.Finding {
	return coverage.Finding{
		Check: coverage.BelowMinEngineers, Severity: coverage.Critical,
		Subject: coverage.Subject{Kind: coverage.KindSchedule, ID: "PSCHED", Name: "prod-monitoring"}, Text: "One engineer is left.",
	}
}

func notFound() coverage.Finding {
	return coverage.Finding{
		Check: coverage.NotFound, Severity: coverage.Warning,
		Subject: coverage.Subject{Kind: coverage.KindSchedule, ID: "prod", Name: "prod"}, Text: "PagerDuty has no prod.",
	}
}

// A finding is an alert like any other: the rules decide everything but its service.
func TestFindingIsReported(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.apply()
		w.found(gap(coverage.Warning))
		w.audit()
		got := w.sink.stored[0]
		if len(got) != 1 {
			t.Fatalf("got %d observations, want 1", len(got))
		}
		o := got[0]
		if o.DedupKey == "" || o.GroupKey == "" || o.Reason == "" || o.Reason == "repeat interval elapsed" || len(o.Faults) > 0 {
			t.Errorf("got dedup key %q, group key %q, reason %q, faults %v; want keys, a reason that is no repeat, no faults", o.DedupKey, o.GroupKey, o.Reason, o.Faults)
		}
		type view struct {
			Service, Rule, Tier, Urgency, Origin string
			Alert                                template.Alert
		}
		labels := template.KV{"alertname": "coverage_gap", "check": "policy_gap", "severity": "warning", "policy": "infra", "id": "PINFRA"}
		set := model.LabelSet{"alertname": "coverage_gap", "check": "policy_gap", "severity": "warning", "kind": "policy", "id": "PINFRA"}
		want := view{"sre", "all", "warning", "low", "coverage", template.Alert{
			Status: "firing", Labels: labels, StartsAt: time.Now().UTC(), Fingerprint: set.Fingerprint().String(),
			Annotations:  template.KV{"summary": "policy_gap: Nobody is on call on Saturday.", "description": "Nobody is on call on Saturday."},
			GeneratorURL: "https://example.pagerduty.test/escalation_policies/PINFRA",
		}}
		if diff := cmp.Diff(want, view{o.Service, o.Rule, o.Tier, string(o.Urgency), string(o.Origin), o.Alert}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestFindingGoesWhereTheRulesSayWithoutService(t *testing.T) {
	w := newWorld(t)
	w.apply(func(c *coverage.Config) { c.Report.Service = "" })
	w.found(gap(coverage.Critical))
	w.audit()
	if o := w.sink.stored[0][0]; o.Service != "infra" {
		t.Errorf("got service %q, want the rule's, infra", o.Service)
	}
}

func TestLongTextIsCutInSummaryOnly(t *testing.T) {
	w := newWorld(t)
	w.apply()
	f := gap(coverage.Critical)
	f.Text = strings.Repeat("ä", 300)
	w.found(f)
	w.audit()
	a := w.sink.stored[0][0].Alert.Annotations
	if got, want := a["summary"], "policy_gap: "+strings.Repeat("ä", 249-len("policy_gap: "))+"…"; got != want {
		t.Errorf("summary: got %q, want %q", got, want)
	}
	if a["description"] != f.Text {
		t.Errorf("description: got %d bytes, want the whole text", len(a["description"]))
	}
}

// What fires after a series of audits, an hour apart, and since when.
func TestFindingsOverTime(t *testing.T) {
	unknown := func(check coverage.CheckID, kind coverage.Kind, id string) coverage.Result {
		return coverage.Result{Unknown: []coverage.Unknown{{Key: coverage.Key{Check: check, Kind: kind, ID: id}, Reason: "not read"}}}
	}
	both := func(w *world) { w.found(gap(coverage.Warning), oneEngineer()) }
	stays := []string{"below_min_engineers critical since 00:00", "policy_gap warning since 00:00"}
	for _, tc := range []struct {
		name  string
		steps []func(*world) // the first audit is of both.
		want  []string
	}{
		{"stays", []func(*world){both, both}, stays},
		{"stays over a restart", []func(*world){func(w *world) { w.restart(); w.apply(); both(w) }}, stays},
		{"one is gone", []func(*world){func(w *world) { w.found(gap(coverage.Warning)) }}, []string{"policy_gap warning since 00:00"}},
		{"gone over a restart", []func(*world){func(w *world) { w.restart(); w.apply(); w.found() }}, []string{}},
		{"comes back", []func(*world){func(w *world) { w.found() }, both}, []string{"below_min_engineers critical since 02:00", "policy_gap warning since 02:00"}},
		{
			"becomes more severe",
			[]func(*world){func(w *world) { w.found(gap(coverage.Critical), oneEngineer()) }},
			[]string{"below_min_engineers critical since 00:00", "policy_gap critical since 01:00"},
		},
		{
			"becomes more severe, and others are not known",
			[]func(*world){func(w *world) {
				w.result = unknown("", coverage.KindPolicy, "")
				w.result.Findings = []coverage.Finding{gap(coverage.Critical)}
			}},
			[]string{"policy_gap critical since 01:00"},
		},
		{
			"seems less severe, and is not known",
			[]func(*world){func(w *world) {
				w.result = unknown(coverage.BelowMinEngineers, coverage.KindSchedule, "PSCHED")
				f := oneEngineer()
				f.Severity = coverage.Warning
				w.result.Findings = []coverage.Finding{f, gap(coverage.Warning)}
			}, both},
			stays,
		},
		{
			"becomes less severe",
			[]func(*world){func(w *world) {
				f := oneEngineer()
				f.Severity = coverage.Warning
				w.found(f, gap(coverage.Warning))
			}},
			[]string{"below_min_engineers warning since 01:00", "policy_gap warning since 00:00"},
		},
		{
			"is new and not known how severe", // a warning is better than silence.
			[]func(*world){func(w *world) { w.found() }, func(w *world) {
				w.result = unknown(coverage.PolicyGap, coverage.KindPolicy, "PINFRA")
				w.result.Findings = []coverage.Finding{gap(coverage.Warning)}
			}},
			[]string{"policy_gap warning since 02:00"},
		},
		{"is called something else", []func(*world){func(w *world) {
			f := gap(coverage.Warning)
			f.Subject.Name = "infrastructure"
			w.found(f, oneEngineer())
		}}, stays},
		{"nothing could be read", []func(*world){func(w *world) { w.found(); w.failed = errors.New("402") }}, stays},
		{"nothing is known", []func(*world){func(w *world) { w.result = unknown("", "", "") }}, stays},
		{
			"the policy is not known",
			[]func(*world){func(w *world) { w.result = unknown("", coverage.KindPolicy, "PINFRA") }},
			[]string{"policy_gap warning since 00:00"},
		},
		{
			"the policy is not known by its name",
			[]func(*world){func(w *world) { w.result = unknown("", coverage.KindPolicy, "infra") }},
			[]string{"policy_gap warning since 00:00"},
		},
		{
			"another policy is not known",
			[]func(*world){func(w *world) {
				w.result = unknown("", coverage.KindPolicy, "POTHER")
				w.result.Cover = []coverage.Cover{{Subject: gap(coverage.Warning).Subject}}
			}},
			[]string{},
		},
		{
			"the policy may be the one of that name", // its alert bears an older one.
			[]func(*world){func(w *world) { w.result = unknown("", coverage.KindPolicy, "infra, renamed") }},
			[]string{"policy_gap warning since 00:00"},
		},
		{
			"one that was judged is not known well", // so that it is no other.
			[]func(*world){func(w *world) {
				w.result = unknown("", coverage.KindPolicy, "POTHER")
				w.result.Cover = []coverage.Cover{{Subject: withID(coverage.KindPolicy, "POTHER")}}
			}},
			[]string{},
		},
		{
			"was not found and is, while another is not",
			[]func(*world){
				func(w *world) { w.found(notFound()) },
				func(w *world) { w.result = unknown("", coverage.KindSchedule, "platform-oncall") },
			},
			[]string{},
		},
		{
			"one check of another policy is not known",
			[]func(*world){func(w *world) { w.result = unknown(coverage.PolicyGap, coverage.KindPolicy, "POTHER") }},
			[]string{},
		},
		{
			"one check is not known",
			[]func(*world){func(w *world) { w.result = unknown(coverage.BelowMinEngineers, coverage.KindSchedule, "") }},
			[]string{"below_min_engineers critical since 00:00"},
		},
		{
			"nothing is audited any more",
			[]func(*world){func(w *world) { w.apply(func(c *coverage.Config) { *c = coverage.Config{} }) }},
			[]string{},
		},
		{"cannot be stored", []func(*world){func(w *world) { w.found(); w.sink.fail(errors.New("outbox is busy")) }}, stays},
		{"is stored later", []func(*world){
			func(w *world) { w.found(); w.sink.fail(errors.New("outbox is busy")) },
			func(w *world) { w.sink.fail(nil) },
		}, []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.apply()
				both(w)
				w.audit()
				for _, step := range tc.steps {
					time.Sleep(time.Hour)
					step(w)
					_, _ = w.auditor.Audit(t.Context()) // it fails in some of the cases.
				}
				if diff := cmp.Diff(tc.want, w.sink.lines()); diff != "" {
					t.Errorf("what fires (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Whatever is called something else is the same: the incident stays, its words are new,
// and its end finds it.
func TestRenamedSubjectIsTheSameIncident(t *testing.T) {
	w := newWorld(t)
	w.apply()
	w.found(oneEngineer())
	w.audit()
	f := oneEngineer()
	f.Subject.Name, f.Text = "production", "One engineer is left on production."
	w.found(f)
	w.audit()
	w.found()
	w.audit()
	first, second, end := w.sink.stored[0], w.sink.stored[1], w.sink.stored[2]
	if len(first) != 1 || len(second) != 1 || len(end) != 1 {
		t.Fatalf("got %d, %d and %d observations, want one each", len(first), len(second), len(end))
	}
	for _, o := range []mapping.Observation{second[0], end[0]} {
		if o.DedupKey != first[0].DedupKey || o.Alert.Fingerprint != first[0].Alert.Fingerprint {
			t.Errorf("%s: got key %s of alert %s, want as at first %s of %s", o.Alert.Status, o.DedupKey, o.Alert.Fingerprint, first[0].DedupKey, first[0].Alert.Fingerprint)
		}
	}
	if got := second[0].Alert.Labels["schedule"]; got != "prod-monitoring" { // which a rule may make the key of.
		t.Errorf("got the label schedule=%q, want it as it was at first", got)
	}
	if got := second[0].Alert; got.Status != mapping.Firing || got.Annotations["description"] != f.Text {
		t.Errorf("got %s with %q, want it firing with the new text", got.Status, got.Annotations["description"])
	}
	if got := end[0].Alert.Status; got != mapping.Resolved {
		t.Errorf("got %s, want resolved", got)
	}
}

// What is counted does not fall because nobody could look.
func TestFindingsMetricOutlastsIgnorance(t *testing.T) {
	w := newWorld(t)
	expect := func(what string, want float64) {
		t.Helper()
		if got := findings(t, w.reg, "below_min_engineers"); got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	expect("before there are settings", 0)
	w.apply()
	w.found(oneEngineer())
	w.audit()
	expect("found", 1)
	notKnown := func(found ...coverage.Finding) {
		w.result = coverage.Result{Findings: found, Unknown: []coverage.Unknown{{Key: coverage.Key{Kind: coverage.KindSchedule, ID: "PSCHED"}, Reason: "500"}}}
	}
	notKnown()
	w.audit()
	expect("not read", 1)
	milder := oneEngineer()
	milder.Severity = coverage.Warning
	notKnown(milder)
	w.audit()
	expect("known in part", 1)
	w.failed = errors.New("402")
	_, _ = w.auditor.Audit(t.Context()) // as told.
	expect("failed", 1)
	w.restart()
	w.apply()
	expect("after a restart", 1)
	w.failed = nil
	notKnown()
	w.audit()
	expect("after a restart, not read", 1)
	w.found()
	w.audit()
	expect("gone", 0)
}

// findings is pagerelay_coverage_findings of a check.
func findings(t *testing.T, reg *prometheus.Registry, check string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			if f.GetName() == "pagerelay_coverage_findings" && m.GetLabel()[0].GetValue() == check {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no series of findings for %s", check)
	return 0
}

// A panic in reading or judging is an audit that failed, and ends nothing.
func TestPanicIsAFailedAudit(t *testing.T) {
	w := newWorld(t)
	w.apply()
	w.found(gap(coverage.Critical))
	w.audit()
	for _, tc := range []struct {
		name          string
		reads, judges bool
	}{{"reads", true, false}, {"judges", false, true}} {
		t.Run(tc.name, func(t *testing.T) {
			log := &bytes.Buffer{}
			auditor := coverage.NewAuditor(w.sink, coverage.AuditorConfig{
				Logger: slog.New(slog.NewTextHandler(log, nil)),
				Judge: func(*coverage.Snapshot, coverage.Config, time.Time) coverage.Result {
					if tc.judges {
						panic("no such level")
					}
					return coverage.Result{}
				},
			})
			auditor.Apply(coverage.Settings{Config: healthy().cfg, Router: router(t), Source: source(func() *scene {
				if tc.reads {
					panic("no such level")
				}
				return healthy()
			})})
			if _, err := auditor.Audit(t.Context()); err == nil || !strings.Contains(err.Error(), "panic: no such level") {
				t.Errorf("got %v, want an error that names the panic", err)
			}
			if costs, warnings := auditor.Notices(); len(w.sink.lines()) != 1 || len(costs)+len(warnings) != 1 {
				t.Errorf("got %q firing and notices %q, %q, want one each", w.sink.lines(), costs, warnings)
			}
			if !strings.Contains(log.String(), "auditor_test.go") {
				t.Errorf("got no stack in the log: %s", log)
			}
		})
	}
}

// Nothing is stored where nothing is found and nothing was.
func TestNothingToReport(t *testing.T) {
	w := newWorld(t)
	w.apply()
	w.audit()
	if len(w.sink.stored) > 0 {
		t.Errorf("got %d calls of Observe, want none", len(w.sink.stored))
	}
}

// When audits are made: at the start, every interval, sooner after a failure, and
// at once when the settings are replaced.
func TestRun(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.auditor.Run(ctx) }()
		begun := time.Now()
		at := func() []string {
			synctest.Wait()
			w.mtx.Lock()
			defer w.mtx.Unlock()
			list := []string{}
			for _, r := range w.reads {
				list = append(list, r.Sub(begun).String())
			}
			w.reads = nil
			return list
		}
		set := func(failed error, unread ...coverage.Unread) {
			w.mtx.Lock()
			defer w.mtx.Unlock()
			w.failed, w.unread = failed, unread
		}
		expect := func(what string, want ...string) {
			t.Helper()
			if got := at(); !slices.Equal(got, want) {
				t.Errorf("%s: got audits at %v, want %v", what, got, want)
			}
		}
		time.Sleep(time.Hour)
		expect("before there are settings")
		w.apply(func(c *coverage.Config) { c.Interval = model.Duration(30 * time.Minute) })
		time.Sleep(65 * time.Minute)
		expect("every interval", "1h0m0s", "1h30m0s", "2h0m0s")
		set(errors.New("no way to PagerDuty"))
		time.Sleep(85 * time.Minute) // until 3h30m.
		expect("backing off", "2h30m0s", "2h31m0s", "2h33m0s", "2h37m0s", "2h45m0s", "3h1m0s")
		set(nil, coverage.Unread{Kind: coverage.KindUser, Reason: "403"})
		time.Sleep(30 * time.Minute)
		expect("in part is not well", "3h31m0s")
		set(nil)
		time.Sleep(35 * time.Minute)
		expect("well again", "4h1m0s", "4h31m0s")
		w.apply(func(c *coverage.Config) { c.Interval = model.Duration(6 * time.Hour) })
		time.Sleep(5 * time.Hour)
		expect("after a reload", "4h35m0s")
		w.apply(func(c *coverage.Config) { *c = coverage.Config{} })
		time.Sleep(24 * time.Hour)
		expect("nothing to audit")
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: got %v, want no error", err)
		}
	})
}

// Replicas that were started together do not audit together.
func TestRunSpreadsAudits(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		auditor := coverage.NewAuditor(w.sink, coverage.AuditorConfig{
			Spread: 0.1,
			Judge:  func(*coverage.Snapshot, coverage.Config, time.Time) coverage.Result { return coverage.Result{} },
		})
		auditor.Apply(coverage.Settings{
			Config: coverage.Config{Interval: model.Duration(10 * time.Hour), Schedules: []coverage.ScheduleConfig{{Name: "s"}}}.WithDefaults(),
			Source: w, Router: router(t),
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		begun := time.Now()
		go func() { ended <- auditor.Run(ctx) }()
		time.Sleep(19 * time.Hour)
		synctest.Wait()
		w.mtx.Lock()
		var got []string
		for _, r := range w.reads {
			got = append(got, r.Sub(begun).String())
		}
		w.mtx.Unlock()
		if want := []string{"0s", "9h0m0s", "18h0m0s"}; !slices.Equal(got, want) {
			t.Errorf("got audits after %v, want %v", got, want)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: got %v, want no error", err)
		}
	})
}

// What is no longer audited is ended, if not at once.
// A page that nobody heard of has it looked whether somebody is on call by now.
func TestSoon(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		w.auditor.Soon() // nothing has been audited.
		w.apply()
		go func() { ended <- w.auditor.Run(ctx) }()
		audits := func() int {
			synctest.Wait()
			w.mtx.Lock()
			defer w.mtx.Unlock()
			return len(w.reads)
		}
		first := audits()
		time.Sleep(4 * time.Minute)
		w.auditor.Soon()
		if got := audits(); got != first {
			t.Errorf("got %d audits, want %d: the last one is fresh", got, first)
		}
		time.Sleep(time.Minute)
		for range 3 {
			w.auditor.Soon()
		}
		if got := audits(); got != first+1 {
			t.Errorf("got %d audits, want %d", got, first+1)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: got %v, want no error", err)
		}
	})
}

func TestRunEndsWhatIsNoLongerAudited(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.apply()
		w.found(gap(coverage.Critical))
		w.audit()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		w.sink.fail(errors.New("outbox is busy"))
		w.auditor.Apply(coverage.Settings{Router: router(t)})
		go func() { ended <- w.auditor.Run(ctx) }()
		synctest.Wait()
		if len(w.sink.lines()) != 1 {
			t.Errorf("got %v, want one alert", w.sink.lines())
		}
		w.sink.fail(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(w.sink.lines()) != 0 {
			t.Errorf("got %v, want none", w.sink.lines())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: got %v, want no error", err)
		}
	})
}

func TestAuditorMetrics(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.apply()
		begin := time.Now()
		cover := func(kind coverage.Kind, id, name string, gaps ...coverage.Span) coverage.Cover {
			return coverage.Cover{Subject: coverage.Subject{Kind: kind, ID: id, Name: name}, Ratio: 0.75, Engineers: 3, Gaps: gaps}
		}
		w.found(gap(coverage.Critical), oneEngineer())
		w.result.Cover = []coverage.Cover{
			cover(coverage.KindSchedule, "PSCHED", "prod-monitoring"),
			cover(coverage.KindSchedule, "PSCHED", "prod-monitoring"), // configured by name and by id.
			cover(coverage.KindPolicy, "PINFRA", "infra", coverage.Span{Start: begin.Add(time.Hour), End: begin.Add(2 * time.Hour)}),
			cover(coverage.KindSchedule, "PNEW", "not configured"),
		}
		w.audit()
		expect := func(what, want string, names ...string) {
			t.Helper()
			if err := testutil.GatherAndCompare(w.reg, strings.NewReader(want), names...); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		named := []string{
			"pagerelay_coverage_schedule_engineers", "pagerelay_coverage_schedule_coverage_ratio",
			"pagerelay_coverage_next_gap_start_timestamp_seconds",
		}
		expect("by name", fmt.Sprintf(`
# HELP pagerelay_coverage_next_gap_start_timestamp_seconds When nobody is on call on the escalation policy next, or has been since; absent if there is no gap within the horizon.
# TYPE pagerelay_coverage_next_gap_start_timestamp_seconds gauge
pagerelay_coverage_next_gap_start_timestamp_seconds{policy="PINFRA"} %d
# HELP pagerelay_coverage_schedule_coverage_ratio The part of the time that is required within the horizon at which somebody is on call.
# TYPE pagerelay_coverage_schedule_coverage_ratio gauge
pagerelay_coverage_schedule_coverage_ratio{schedule="prod-monitoring"} 0.75
# HELP pagerelay_coverage_schedule_engineers People assigned to the schedule, by the last audit; absent where it could not be judged.
# TYPE pagerelay_coverage_schedule_engineers gauge
pagerelay_coverage_schedule_engineers{schedule="prod-monitoring"} 3
`, begin.Add(time.Hour).Unix()), named...)
		expect("success", fmt.Sprintf(`
# HELP pagerelay_coverage_last_success_timestamp_seconds When an audit of on-call coverage last read and judged everything; 0 before the first.
# TYPE pagerelay_coverage_last_success_timestamp_seconds gauge
pagerelay_coverage_last_success_timestamp_seconds %d
`, begin.Unix()), "pagerelay_coverage_last_success_timestamp_seconds")
		if n, err := testutil.GatherAndCount(w.reg, "pagerelay_coverage_findings"); err != nil || n != len(coverage.Checks()) {
			t.Errorf("series of findings: got %d (%v), want %d", n, err, len(coverage.Checks()))
		}

		// What is partial or fails counts as that, and is no success.
		time.Sleep(time.Hour)
		w.unread = []coverage.Unread{{Kind: coverage.KindUser, Reason: "403"}}
		w.audit()
		w.failed = errors.New("402")
		_, _ = w.auditor.Audit(t.Context()) // as told.
		expect("results", `
# HELP pagerelay_coverage_audits_total Audits of on-call coverage.
# TYPE pagerelay_coverage_audits_total counter
pagerelay_coverage_audits_total{result="complete"} 1
pagerelay_coverage_audits_total{result="failed"} 1
pagerelay_coverage_audits_total{result="partial"} 1
`, "pagerelay_coverage_audits_total")
		if got, want := value(t, w.reg, "pagerelay_coverage_last_success_timestamp_seconds"), float64(begin.Unix()); got != want {
			t.Errorf("last success: got %v, want that of the first audit, %v", got, want)
		}

		// What the configuration no longer names is gone at once.
		w.apply(func(c *coverage.Config) { c.Schedules, c.Policies[0].Name = nil, "other" })
		expect("after a reload", "", named...)
	})
}

func value(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// Each audit is one line of the log, which names nobody.
func TestAuditIsLoggedOnce(t *testing.T) {
	w := newWorld(t)
	w.apply()
	w.found(gap(coverage.Critical), oneEngineer())
	w.audit()
	for _, secret := range []string{"infra", "prod-monitoring", "Saturday"} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log has %q: %s", secret, w.log)
		}
	}
	w.unread = []coverage.Unread{{Kind: coverage.KindUser, Reason: "the token may not read users"}, {Kind: coverage.KindUser, ID: "P1", Reason: "the token may not read users"}}
	w.audit()
	w.failed = errors.New("402: the plan lacks it")
	_, err := w.auditor.Audit(t.Context())
	if err == nil || !strings.Contains(err.Error(), "402") {
		t.Errorf("Audit: got %v, want what the source said", err)
	}
	lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("got %d lines, want 3:\n%s", len(lines), w.log)
	}
	for i, want := range []string{
		`level=INFO msg="The on-call coverage was audited" critical=2 warning=0 info=0 unknown=0 new=2 resolved=0 duration=`,
		`level=WARN msg="The on-call coverage was audited in part" critical=2 warning=0 info=0 unknown=0 new=0 resolved=0 duration=`,
		`level=ERROR msg="The on-call coverage could not be audited" err="402: the plan lacks it" failures_in_a_row=2`,
	} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d: got %s, want %s", i, lines[i], want)
		}
	}
	if got := strings.Count(lines[1], "may not read users"); got != 1 {
		t.Errorf("got a reason %d times, want once: %s", got, lines[1])
	}
}

// The status page is told what is wrong, and names nobody.
func TestNotices(t *testing.T) {
	w := newWorld(t)
	expect := func(what string, want ...string) {
		t.Helper()
		costs, warnings := w.auditor.Notices()
		got := slices.Concat(warnings, costs)
		if len(got) != len(want) {
			t.Errorf("%s: got %q, want %d", what, got, len(want))
			return
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) || strings.Contains(got[i], "infra") {
				t.Errorf("%s: got %q, want %q", what, got[i], want[i])
			}
		}
	}
	expect("before the first audit")
	w.apply()
	w.found(gap(coverage.Warning))
	w.audit()
	expect("no critical finding")
	w.found(gap(coverage.Critical))
	w.audit()
	expect("a critical finding", "critical findings: 1.")
	w.unread = []coverage.Unread{{Reason: "no"}}
	w.audit()
	expect("in part", "could not read everything", "critical findings: 1.")
	w.failed = errors.New("no")
	_, _ = w.auditor.Audit(t.Context())
	expect("failed", "failed; the log says why", "critical findings: 1.")
	w.failed, w.unread, w.result = nil, nil, coverage.Result{}
	w.audit()
	expect("well again")
}

// What delivery asks is answered by the last audit that read something.
func TestLastAuditAnswers(t *testing.T) {
	w := newWorld(t)
	if heard, _ := w.auditor.Heard("infra", time.Now()); heard != coverage.NotAudited || w.auditor.Last() != nil {
		t.Error("got an answer before the first audit, want none")
	}
	if _, err := w.auditor.Audit(t.Context()); !errors.Is(err, coverage.ErrNotConfigured) {
		t.Errorf("Audit without settings: got %v, want ErrNotConfigured", err)
	}
	w.apply()
	if heard, _ := w.auditor.Heard("infra", time.Now()); heard != coverage.NotKnown {
		t.Errorf("before the first audit: got %q, want that it is not known", heard)
	}
	w.audit()
	first := w.auditor.Last()
	if first == nil || first.Snapshot == nil || w.audits != 1 {
		t.Fatalf("got %v and %d calls of OnAudit, want a report and 1", first, w.audits)
	}
	w.failed = errors.New("no")
	_, _ = w.auditor.Audit(t.Context())
	if w.auditor.Last() != first || w.audits != 1 {
		t.Errorf("after a failed audit: got another report or %d calls of OnAudit, want the old one and 1", w.audits)
	}
	w.apply(func(c *coverage.Config) { *c = coverage.Config{} })
	if _, err := w.auditor.Audit(t.Context()); !errors.Is(err, coverage.ErrNotConfigured) || w.auditor.Last() != nil {
		t.Errorf("without a configuration: got %v and %v, want ErrNotConfigured and nothing", err, w.auditor.Last())
	}
}
