package coverage_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/coverage"
)

// auditedAt is when the audits of these tests are made.
func auditedAt() time.Time { return time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC) }

// example is the rotation of a small team: one engineer is left on prod-monitoring,
// and on one Saturday nobody is on call at all.
func example() (*coverage.Snapshot, coverage.Config) {
	at := auditedAt()
	window := coverage.Span{Start: at, End: at.Add(14 * 24 * time.Hour)}
	hour := func(h int) time.Time { return at.Add(time.Duration(h) * time.Hour) }
	s := &coverage.Snapshot{
		At: at, Window: window,
		Users: map[string]*coverage.User{
			"PADA":   {ID: "PADA", Name: "Ada Lovelace"},
			"PGRACE": {ID: "PGRACE", Name: "Grace Hopper"},
			"PLIN":   {ID: "PLIN", Name: "Lin Chen"},
		},
		Schedules: map[string]*coverage.Schedule{
			"PMON": {
				ID: "PMON", Name: "prod-monitoring", TimeZone: "Europe/Berlin", Engineers: []string{"PADA"}, URL: "https://example.pagerduty.com/schedules/PMON",
				Shifts: []coverage.Shift{{Span: window, User: "PADA"}}, Policies: []string{"PINFRA"},
			},
			"PSRE": {
				ID: "PSRE", Name: "platform-sre", TimeZone: "Europe/Berlin", Engineers: []string{"PADA", "PLIN"}, URL: "https://example.pagerduty.com/schedules/PSRE",
				Shifts: []coverage.Shift{
					{Span: coverage.Span{Start: hour(0), End: hour(114)}, User: "PADA"},
					{Span: coverage.Span{Start: hour(138), End: hour(14 * 24)}, User: "PLIN"},
				},
				Policies: []string{"PINFRA"},
			},
		},
		Policies: map[string]*coverage.Policy{"PINFRA": {
			ID: "PINFRA", Name: "infra", URL: "https://example.pagerduty.com/escalation_policies/PINFRA", Services: []string{"PSVC"},
			Levels: []coverage.Level{
				{EscalateAfter: 15 * time.Minute, Targets: []coverage.Target{{Kind: coverage.KindSchedule, ID: "PSRE", Name: "platform-sre"}}},
				{EscalateAfter: 30 * time.Minute, Targets: []coverage.Target{{Kind: coverage.KindSchedule, ID: "PLEAD", Name: "infra-lead"}}},
			},
		}},
		Services: map[string]*coverage.Service{"PSVC": {
			ID: "PSVC", Name: "Infra core", Policy: "PINFRA", Status: "active", Urgency: "severity_based", Relays: []string{"infra-core"},
		}},
		OnCalls: []coverage.OnCall{
			{Span: coverage.Span{Start: hour(0), End: hour(114)}, Policy: "PINFRA", Level: 1, User: "PADA", Schedule: "PSRE"},
			{Span: coverage.Span{Start: hour(138), End: hour(14 * 24)}, Policy: "PINFRA", Level: 1, User: "PLIN", Schedule: "PSRE"},
			{Span: coverage.Span{Start: hour(0), End: hour(117)}, Policy: "PINFRA", Level: 2, User: "PGRACE", Schedule: "PLEAD"},
			{Span: coverage.Span{Start: hour(130), End: hour(14 * 24)}, Policy: "PINFRA", Level: 2, User: "PGRACE", Schedule: "PLEAD"},
		},
	}
	for _, u := range s.Users {
		u.Contacts = []coverage.Contact{{ID: "PPHONE", Type: "phone"}}
		u.Rules = []coverage.NotificationRule{{Contact: "PPHONE", Urgency: "high"}}
	}
	c := coverage.Config{
		Schedules: []coverage.ScheduleConfig{{Name: "prod-monitoring"}, {Name: "platform-sre"}},
		Policies: []coverage.PolicyConfig{{
			Name: "infra", Services: []string{"infra-core"},
			Levels: []coverage.LevelConfig{
				{Targets: []string{"platform-sre"}, EscalateAfter: model.Duration(15 * time.Minute)}, {Targets: []string{"infra-lead"}},
			},
		}},
	}
	return s, c.WithDefaults()
}

// render is an audit in each of its formats.
func render(t *testing.T, a *coverage.Audit) map[string]string {
	t.Helper()
	var text, wide, markdown, document bytes.Buffer
	for _, err := range []error{a.WriteText(&text, 80), a.WriteText(&wide, 140), a.WriteMarkdown(&markdown), json.NewEncoder(&document).Encode(a.Document())} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, document.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"txt": text.String(), "wide.txt": wide.String(), "md": markdown.String(), "json": indented.String()}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestRender(t *testing.T) {
	s, c := example()
	partly, _ := example()
	partly.Unread = []coverage.Unread{{Kind: coverage.KindSchedule, ID: "PMON", Reason: "GET /schedules/PMON: 500 Internal Server Error"}}
	well, _ := example()
	well.Schedules["PMON"].Engineers = []string{"PADA", "PLIN"}
	well.Schedules["PSRE"].Shifts = well.Schedules["PMON"].Shifts
	well.OnCalls = []coverage.OnCall{{Policy: "PINFRA", Level: 1, User: "PADA"}, {Policy: "PINFRA", Level: 2, User: "PGRACE"}}
	for _, tc := range []struct {
		name     string
		snapshot *coverage.Snapshot
	}{{"gaps", s}, {"partly", partly}, {"well", well}} {
		a := coverage.NewAudit(tc.snapshot, c, auditedAt())
		for i := range a.Result.Findings { // the checks' own words are not this test's.
			f := &a.Result.Findings[i]
			f.Text = fmt.Sprintf("The %s named %s is not as it should be, says the check %s. This sentence is only here to go over several lines.", f.Subject.Kind, f.Subject.Name, f.Check)
		}
		for format, got := range render(t, a) {
			t.Run(tc.name+"."+format, func(t *testing.T) { golden(t, "audit-"+tc.name+"."+format, got) })
		}
	}
}

// A schedule that the configuration has by its name and by its id is shown once, as
// the stricter of the two sees it.
func TestTextShowsAScheduleOnce(t *testing.T) {
	s, c := example()
	c.TimeIntervals = intervals("[{name: mondays, time_intervals: [{weekdays: [monday]}]}]")
	strict, lax := coverage.ScheduleConfig{Name: "PSRE"}, coverage.ScheduleConfig{Name: "platform-sre", Required: []string{"mondays"}}
	for _, c.Schedules = range [][]coverage.ScheduleConfig{{lax, strict}, {strict, lax}} {
		got := render(t, coverage.NewAudit(s, c, auditedAt()))
		for format, row := range map[string]string{"txt": "  platform-sre\n", "md": "| platform-sre |", "json": "\"engineers\""} {
			if n := strings.Count(got[format], row); n != 1 {
				t.Errorf("%s: got %q %d times, want once:\n%s", format, row, n, got[format])
			}
		}
		if !strings.Contains(got["txt"], "92.9%") {
			t.Errorf("got no row of what is required around the clock:\n%s", got["txt"])
		}
	}
}

// A gap that takes many characters to say leaves the columns where they are.
func TestTextOfALongGap(t *testing.T) {
	s, c := example()
	s.Window.End = auditedAt().Add(90 * 24 * time.Hour)
	c.Horizon = model.Duration(90 * 24 * time.Hour)
	s.Schedules["PSRE"].Shifts = []coverage.Shift{{Span: coverage.Span{Start: auditedAt(), End: auditedAt().Add(83 * time.Minute)}, User: "PADA"}}
	var b bytes.Buffer
	if err := coverage.NewAudit(s, c, auditedAt()).WriteText(&b, 80); err != nil {
		t.Fatal(err)
	}
	at := map[int]bool{}
	for line := range strings.Lines(b.String()) {
		for _, name := range []string{"  schedule\n", "  prod-monitoring\n", "  platform-sre\n"} {
			if strings.HasSuffix(line, name) {
				at[strings.LastIndex(line, name)] = true
			}
		}
	}
	if len(at) != 1 || !strings.Contains(b.String(), "(89d22h37m)") {
		t.Errorf("got names of schedules at columns %v, want one, beside a gap of 89d22h37m:\n%s", at, &b)
	}
}

// In a strip as in the checks, somebody without an account is nobody.
func TestStripOfTheGone(t *testing.T) {
	s, c := example()
	s.Users["PADA"].Gone = true
	var b bytes.Buffer
	if err := coverage.NewAudit(s, c, auditedAt()).WriteText(&b, 80); err != nil {
		t.Fatal(err)
	}
	if want := "  level 1  ·····"; !strings.Contains(b.String(), want) {
		t.Errorf("got no line like %q in:\n%s", want, &b)
	}
}

// Whoever may name a schedule writes into these texts.
func TestRenderIsSafe(t *testing.T) {
	const evil = "a\x1b[2J\r\n| ``` |<img src=x>[l](https://evil.example)@team _x_ \u202e\u2028\u009b1m www.evil.example"
	s, c := example()
	s.Schedules["PMON"].Name, c.Schedules[0].Name = evil, "PMON"
	s.Policies["PINFRA"].Name, c.Policies[0].Name = evil, "PINFRA"
	s.Policies["PINFRA"].Levels[0].Targets[0].Name = evil
	s.Policies["PINFRA"].URL = "https://x.example/)|<b>\x1b"
	s.Services["PSVC"].Relays = []string{evil}
	s.Unread = []coverage.Unread{{Kind: coverage.KindUser, ID: evil, Reason: evil}, {Kind: coverage.KindSchedule, ID: "PX", Name: evil, Reason: evil}}
	a := coverage.NewAudit(s, c, auditedAt())
	if len(a.Result.Findings) < 3 || len(a.Result.Unknown) == 0 {
		t.Fatalf("got %d findings and %d unknown, want some of each", len(a.Result.Findings), len(a.Result.Unknown))
	}
	// Check cleans what it says, and these do not rely on it.
	a.Result.Findings = append(a.Result.Findings, coverage.Finding{
		Check: coverage.NotFound, Severity: coverage.Info, Subject: coverage.Subject{Kind: coverage.KindUser, Name: evil}, Text: evil, URL: evil,
	})
	for format, text := range render(t, a) {
		if format == "json" {
			continue // which escapes what it must; who prints it has to do more.
		}
		for _, r := range text {
			if r != '\n' && (!unicode.IsPrint(r) || r == utf8.RuneError) {
				t.Errorf("%s: got the character %U in:\n%s", format, r, text)
				break
			}
		}
		if format != "md" {
			continue
		}
		for i, part := range strings.Split(text, "\n```") {
			if i%2 == 1 && strings.HasPrefix(part, "text\n") {
				continue // a chart: nothing is markup in it.
			}
			for _, markup := range []string{"<img", "[l](", "@team", "://evil", "www.evil", "| ``` |", " _x_ "} {
				if strings.Contains(part, markup) {
					t.Errorf("md: got %q in:\n%s", markup, part)
				}
			}
		}
	}
}

// What was not read is told once, by the name that people know.
func TestUnreadByName(t *testing.T) {
	s, c := example()
	c.Schedules = append(c.Schedules, coverage.ScheduleConfig{Name: "sched 31"})
	s.Unread = []coverage.Unread{{Kind: coverage.KindSchedule, ID: "PSCH31", Name: "sched 31", Reason: "500"}}
	text := render(t, coverage.NewAudit(s, c, auditedAt()))["txt"]
	if n := strings.Count(text, "sched 31"); n != 1 || !strings.Contains(text, "    schedule sched 31 (PSCH31): 500\n") {
		t.Errorf("got sched 31 %d times, want once, with its id and why:\n%s", n, text)
	}
}

// No line of the text is longer than asked for, whatever the names are.
func TestTextFits(t *testing.T) {
	s, c := example()
	s.Policies["PINFRA"].Levels[1].Targets = nil
	for range 12 {
		s.Policies["PINFRA"].Levels[1].Targets = append(s.Policies["PINFRA"].Levels[1].Targets,
			coverage.Target{Kind: coverage.KindSchedule, ID: "PX", Name: "ein sehr langer Name für einen Dienstplan"})
	}
	a := coverage.NewAudit(s, c, auditedAt())
	for _, width := range []int{0, 80, 100, 200} {
		var b bytes.Buffer
		if err := a.WriteText(&b, width); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > max(width, 76) {
				t.Errorf("width %d: got a line of %d characters: %s", width, n, line)
			}
		}
	}
}
