package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/e2e/stack"
)

func small(t *testing.T) *side {
	t.Helper()
	pd, err := emulator.New(emulator.Default(), emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &side{
		name: sidePagerelay, pd: pd, changed: make(chan struct{}, 1),
		fired: map[string]time.Time{}, arrived: map[string]time.Time{}, accepted: map[string]time.Time{},
	}
}

func TestPlanSpreadsTheCriticalOnes(t *testing.T) {
	o := options{warnings: 588, criticals: 12}
	for scenario, want := range map[string]struct{ first, volleys int }{atOnce: {600, 1}, middle: {588, 13}} {
		storm := plan(o, scenario)
		if len(storm) != want.volleys || len(storm[0].alerts) != want.first {
			t.Errorf("%s: got %d volleys, the first of %d alerts, want %d and %d", scenario, len(storm), len(storm[0].alerts), want.volleys, want.first)
		}
		names := map[string]bool{}
		criticals := 0
		for _, v := range storm {
			for _, a := range v.alerts {
				names[a.Labels["alertname"]] = true
				if isCritical(a.Labels["alertname"]) {
					criticals++
				}
			}
		}
		if len(names) != 600 || criticals != 12 {
			t.Errorf("%s: got %d alerts, %d critical, want 600 and 12", scenario, len(names), criticals)
		}
	}
	half := plan(o, atOnce)[0].alerts[300:]
	n := 0
	for _, a := range half {
		if isCritical(a.Labels["alertname"]) {
			n++
		}
	}
	if n != 6 {
		t.Errorf("got %d critical alerts in the second half, want 6", n)
	}
}

func TestFigures(t *testing.T) {
	s := small(t)
	t0 := time.Now()
	storm := []volley{
		{alerts: []stack.Alert{alert("warning-0", severityWarning), alert("warning-1", severityWarning), alert("critical-0", severityCritical)}},
		{after: time.Minute, alerts: []stack.Alert{alert("critical-1", severityCritical), alert("critical-2", severityCritical)}},
	}
	for name, at := range map[string][3]time.Duration{ // fired, arrived, accepted after the storm began.
		"warning-0":  {0, 1, 200 * time.Second},
		"warning-1":  {0, 1, 100 * time.Second},
		"critical-0": {0, time.Second, 3 * time.Second},
		"critical-1": {time.Minute, time.Minute, time.Minute + time.Second},
		"critical-2": {time.Minute, time.Minute, -1},
	} {
		s.fired[name], s.arrived[name] = t0.Add(at[0]), t0.Add(at[1])
		if at[2] >= 0 {
			s.accepted[name] = t0.Add(at[2])
		}
	}
	want := figures{
		scenario: middle, side: sidePagerelay,
		fromFiring:  spread{n: 2, median: time.Second, most: 3 * time.Second},
		fromWebhook: spread{n: 2, median: time.Second, most: 2 * time.Second},
		lastWarning: 200 * time.Second, missing: 1, missingCritical: 1,
	}
	if diff := cmp.Diff(want, s.figures(middle, storm), cmp.AllowUnexported(figures{}, spread{})); diff != "" {
		t.Errorf("figures: -want +got\n%s", diff)
	}
}

func TestTheBestPossible(t *testing.T) {
	o := options{warnings: 588, criticals: 12}
	for _, scenario := range scenarios() {
		f := theory(scenario, plan(o, scenario))
		if f.lastWarning != 240*time.Second || f.requests != 600 || f.fromWebhook.n != 12 || f.fromWebhook.most != 0 {
			t.Errorf("%s: got %+v, want 600 requests, the last warning after 240s, 12 critical ones at once", scenario, f)
		}
	}
	if f := theory(atOnce, plan(options{warnings: 109, criticals: 12}, atOnce)); f.lastWarning != 60*time.Second {
		t.Errorf("one more than a window holds: got %s, want 60s", f.lastWarning)
	}
}

func TestVerdicts(t *testing.T) {
	good := figures{fromWebhook: spread{n: 12, median: wantHalf, most: wantAll}, requests: 600, refused: 5, lastWarning: wantLast}
	for name, tc := range map[string]struct {
		change func(*figures)
		missed int
	}{
		"all is met":           {func(*figures) {}, 0},
		"one is missing":       {func(f *figures) { f.missing = 1 }, 1},
		"a critical one":       {func(f *figures) { f.missing, f.missingCritical = 1, 1 }, 2},
		"one is slow":          {func(f *figures) { f.fromWebhook.most++ }, 1},
		"half are slow":        {func(f *figures) { f.fromWebhook.median++ }, 1},
		"no critical measured": {func(f *figures) { f.fromWebhook = spread{} }, 1},
		"refused":              {func(f *figures) { f.refused = 6 }, 1},
		"late":                 {func(f *figures) { f.lastWarning++ }, 1},
	} {
		f := good
		tc.change(&f)
		if got := strings.Count(strings.Join(f.verdicts(), "\n"), "MISSED"); got != tc.missed {
			t.Errorf("%s: got %d missed, want %d: %q", name, got, tc.missed, f.verdicts())
		}
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	printTable(&out, []figures{{
		scenario: atOnce, side: sideNative, fromFiring: spread{n: 11, median: 186 * time.Second, most: 246 * time.Second},
		requests: 100, refused: 25, lastWarning: 247 * time.Second, missing: 1, missingCritical: 1,
	}}, 8*time.Minute)
	const want = "| at-once | native | 186.000 s | 246.000 s | - | - | 100 | 25 (25.0 %) | 247.0 s | 1 (1 critical) |"
	if !strings.Contains(out.String(), want) {
		t.Errorf("got\n%s\nwant the line\n%s", out.String(), want)
	}
}

func TestDoorNotesTheFirstArrivalAndPassesOn(t *testing.T) {
	s := small(t)
	var bodies []string
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		bodies = append(bodies, r.URL.Path+" "+b.String())
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer relay.Close()
	where := make(chan *url.URL, 1)
	target, err := url.Parse(relay.URL)
	if err != nil {
		t.Fatal(err)
	}
	where <- target
	door := httptest.NewServer(s.door(where))
	defer door.Close()

	body := `{"alerts":[{"labels":{"alertname":"warning-0"}}]}`
	var first time.Time
	for range 2 {
		resp, err := door.Client().Post(door.URL+"/webhook/alertmanager", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("got %s, want pagerelay's own answer", resp.Status)
		}
		if first.IsZero() {
			first = s.arrived["warning-0"]
		}
	}
	if s.arrived["warning-0"] != first || first.IsZero() {
		t.Errorf("arrived %v, want the first arrival %v", s.arrived["warning-0"], first)
	}
	want := "/webhook/alertmanager " + body
	if diff := cmp.Diff([]string{want, want}, bodies); diff != "" {
		t.Errorf("passed on: -want +got\n%s", diff)
	}
}

func TestJournalKeepsTheFirstAcceptance(t *testing.T) {
	s := small(t)
	t0 := time.Now().UTC()
	for i := range 2 {
		line, err := json.Marshal(emulator.Request{Summary: "critical-0", At: t0.Add(time.Duration(i) * time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(journal{s}, "%s\n", line); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.accepted["critical-0"]; !got.Equal(t0) {
		t.Errorf("accepted at %v, want the first, %v", got, t0)
	}
}
