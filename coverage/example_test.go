package coverage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/coverage"
)

// TestOneEngineerLeft is the story that the auditor was asked for.
func TestOneEngineerLeft(t *testing.T) {
	w := healthy()
	w.cfg.Schedules = []coverage.ScheduleConfig{{Name: "prod-monitoring", MinEngineers: 2}}
	w.Schedules["PPROD"].Engineers = []string{"UANN"}
	r := w.check()
	if diff := cmp.Diff([]string{"critical below_min_engineers schedule PPROD"}, showAll(r)); diff != "" {
		t.Errorf("one engineer (-want +got):\n%s", diff)
	}
	left := r.Findings[0].Subject
	if want := "prod-monitoring"; left.Name != want {
		t.Errorf("got the name %s, want %s", left.Name, want)
	}

	w.Schedules["PPROD"].Engineers = append(w.Schedules["PPROD"].Engineers, "UBEN")
	r = w.check()
	if diff := cmp.Diff([]string(nil), showAll(r)); diff != "" {
		t.Errorf("two engineers (-want +got):\n%s", diff)
	}
	if !r.Judged(coverage.BelowMinEngineers, left) {
		t.Error("got not judged, want the finding to be over")
	}
}

// TestLadders: the first level hands over after 15 minutes; and four levels that are
// notified at minute 0, 5, 15 and 30.
func TestLadders(t *testing.T) {
	level := func(after time.Duration, names ...string) coverage.LevelConfig {
		return coverage.LevelConfig{Targets: names, EscalateAfter: model.Duration(after)}
	}
	has := func(after time.Duration, names ...string) coverage.Level {
		l := coverage.Level{EscalateAfter: after}
		for _, n := range names {
			l.Targets = append(l.Targets, coverage.Target{Kind: coverage.KindSchedule, ID: "P" + strings.ToUpper(n), Name: n})
		}
		return l
	}
	const m = time.Minute
	two := []coverage.LevelConfig{level(15*m, "platform-sre"), level(0, "infra-lead")}
	four := []coverage.LevelConfig{level(5*m, "platform-sre"), level(10*m, "backup"), level(15*m, "infra-lead"), level(0, "cto")}
	for _, tc := range []struct {
		name string
		want []coverage.LevelConfig
		got  []coverage.Level
		diff string // "" if it is as it should be.
	}{
		{"two levels", two, []coverage.Level{has(15*m, "platform-sre"), has(30*m, "infra-lead")}, ""},
		{"two levels, in a hurry", two, []coverage.Level{has(5*m, "platform-sre"), has(30*m, "infra-lead")}, "level 1 hands over after 5m instead of 15m"},
		{"the rotation of another region", two, []coverage.Level{has(15*m, "platform-sre-eu"), has(30*m, "infra-lead")}, "level 1 notifies platform-sre-eu instead of platform-sre"},
		{"no lead", two, []coverage.Level{has(15*m, "platform-sre")}, "it has 1 level instead of 2; level 2 (infra-lead) is missing"},
		{"no level at all", two, nil, "it has 0 levels instead of 2; level 1 (platform-sre) is missing; level 2 (infra-lead) is missing"},
		{"a level that notifies nobody", two, []coverage.Level{has(15*m, "platform-sre"), has(30 * m)}, "level 2 notifies nobody instead of infra-lead"},
		{"four levels", four, []coverage.Level{has(5*m, "platform-sre"), has(10*m, "backup"), has(15*m, "infra-lead"), has(30*m, "cto")}, ""},
		{"four levels, of which two have changed places", four, []coverage.Level{has(5*m, "platform-sre"), has(10*m, "infra-lead"), has(15*m, "backup"), has(30*m, "cto")}, "level 2 notifies infra-lead instead of backup; level 3 notifies backup instead of infra-lead; the order differs: what should be level 2 is level 3, what should be level 3 is level 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := healthy()
			w.cfg.Schedules = nil
			w.cfg.Policies[0].Levels = tc.want
			w.Policies["PINFRA"].Levels = tc.got
			got := ""
			for _, f := range w.check().Findings {
				if f.Check != coverage.EscalationLadder || f.Severity != coverage.Warning {
					t.Errorf("got %s, want nothing else", show(f))
				}
				got = strings.TrimPrefix(f.Text, "Escalation policy infra is not the ladder of the configuration: ")
				got = strings.TrimSuffix(got, ". A page reaches others than was meant, or at another time.")
			}
			if got != tc.diff {
				t.Errorf("got %q, want %q", got, tc.diff)
			}
		})
	}
}

func TestProfiles(t *testing.T) {
	contacts := []coverage.Contact{
		{ID: "E", Type: "email"},
		{ID: "P", Type: "phone"},
		{ID: "S", Type: "sms"},
		{ID: "A", Type: "push"},
		{ID: "W", Type: "whatsapp"},
		{ID: "D", Type: "phone", Disabled: true},
		{ID: "B", Type: "sms", Blocked: true},
	}
	for _, tc := range []struct {
		name    string
		profile string
		rules   string // contacts, each with its delay in minutes; l before one is of low urgency.
		want    string // severity and what is lacked.
	}{
		{"no rule", "must_include_phone", "", "critical phone"},
		{"low urgency only", "must_include_phone", "lP0", "critical phone"},
		{"phone", "must_include_phone", "P5", ""},
		{"a disabled phone", "must_include_phone", "D0 E0", "warning phone; rules of theirs use a disabled phone"},
		{"a blocked SMS and nothing else", "more_than_email", "B0", "critical anything but email; rules of theirs use a blocked sms"},
		{"a contact method that is gone", "more_than_email", "X0 E0", "warning anything but email; rules of theirs use a contact method that is gone"},
		{"email only", "more_than_email", "E0 E5", "warning anything but email"},
		{"push", "more_than_email", "A0", ""},
		{"whatsapp", "more_than_email", "W0", ""},
		{"whatsapp is no phone", "must_include_phone", "W0", "warning phone"},
		{"every method", "try_every_method", "A0 E0 P0 S0", ""},
		{"not every method", "try_every_method", "A0 P0", "warning email and sms"},
		{"never miss a page", "never_miss_a_page", "A0 E0 P5 S10", ""},
		{"all at once", "never_miss_a_page", "A0 E0 P0 S0", "warning a rule with a delay"},
		{"all late", "never_miss_a_page", "A1 E1 P1 S1", "warning a rule without delay"},
		{"one missing", "never_miss_a_page", "A0 E0 P5 B0", "warning sms; rules of theirs use a blocked sms"},
		{"nothing", "never_miss_a_page", "", "critical push, email, phone and sms"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := healthy()
			u := w.Users["UANN"]
			u.Contacts, u.Rules = contacts, nil
			for r := range strings.FieldsSeq(tc.rules) {
				urgency := "high"
				if r[0] == 'l' {
					urgency, r = "low", r[1:]
				}
				delay, err := time.ParseDuration(r[1:] + "m")
				if err != nil {
					t.Fatal(err)
				}
				u.Rules = append(u.Rules, coverage.NotificationRule{Contact: r[:1], Urgency: urgency, Delay: delay})
			}
			w.cfg.People.Profile = tc.profile
			w.cfg.Schedules, w.cfg.Policies[0].Levels = nil, nil
			got := ""
			for _, f := range w.check().Findings {
				if f.Subject.ID == "UANN" {
					_, text, _ := strings.Cut(f.Text, " lack ")
					text, _, _ = strings.Cut(text, ".")
					got = string(f.Severity) + " " + text
				}
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestZones: times are written by the schedule's clock, and by UTC where that is not
// known; the machine's own place does not matter.
func TestZones(t *testing.T) {
	local := time.Local
	time.Local = time.FixedZone("HERE", 3600)
	t.Cleanup(func() { time.Local = local })
	for zone, want := range map[string]string{
		"Europe/Berlin":       "Sun 2026-11-29 18:00 to Mon 2026-11-30 09:00 CET (15h)",
		"Australia/Lord_Howe": "Mon 2026-11-30 04:00 to 19:00 +11 (15h)",
		"UTC":                 "Sun 2026-11-29 17:00 to Mon 2026-11-30 08:00 UTC (15h)",
		"":                    "Sun 2026-11-29 17:00 to Mon 2026-11-30 08:00 UTC (15h)",
		"Local":               "Sun 2026-11-29 17:00 to Mon 2026-11-30 08:00 UTC (15h)",
		"../../etc/passwd":    "Sun 2026-11-29 17:00 to Mon 2026-11-30 08:00 UTC (15h)",
	} {
		w := healthy()
		w.cfg.Policies[0].MinPeople = 1
		w.Schedules["PPROD"].TimeZone = zone
		w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-29 17:00", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
		if got := w.check().Findings[0].Text; !strings.Contains(got, want) {
			t.Errorf("zone %q: got %q, want %q in it", zone, got, want)
		}
	}

	w := healthy() // across a change of the clock.
	w.now, w.Window = instant("2026-10-20 00:00"), span("2026-10-20 00:00/2026-10-30 00:00")
	w.cfg.Policies[0].MinPeople = 1
	w.shifts("PPROD", "UANN 2026-10-20 00:00/2026-10-25 00:30", "UBEN 2026-10-25 01:30/2026-10-30 00:00")
	w.shifts("PLEAD", "UCAT 2026-10-20 00:00/2026-10-25 00:30", "UDAN 2026-10-25 00:30/2026-10-30 00:00")
	if got, want := w.check().Findings[0].Text, "Sun 2026-10-25 02:30 CEST to Sun 2026-10-25 02:30 CET (1h)"; !strings.Contains(got, want) {
		t.Errorf("when the clock changes: got %q, want %q in it", got, want)
	}
}

// TestHostileNames: what somebody wrote at PagerDuty stays one bounded line.
func TestHostileNames(t *testing.T) {
	evil := "\x00\x1b[31mred\nCRITICAL: all\r\n is\u202e well\u2028\u200b \xff" + strings.Repeat("ü", 1<<16)
	for _, tc := range checkCases() {
		w := healthy()
		tc.change(w)
		for _, s := range w.Schedules {
			s.Name, s.TimeZone, s.URL = evil, evil, "https://acme.pagerduty.com/\n"+evil
			for i := range s.Layers {
				s.Layers[i].Name = evil
			}
		}
		for _, p := range w.Policies {
			p.Name, p.URL = evil, "javascript:alert(1)"
			for _, l := range p.Levels {
				for i := range l.Targets {
					l.Targets[i].Name = evil
				}
			}
		}
		for _, u := range w.Users {
			u.Name, u.TimeZone = evil, evil
			for i := range u.Contacts {
				u.Contacts[i].Type = evil
			}
		}
		for _, s := range w.Services {
			s.Name = evil
			if s.Urgency != "severity_based" {
				s.Urgency = evil
			}
		}
		if w.Policies["PINFRA"] == nil {
			continue
		}
		for range 9 { // more than is listed of anything.
			l := coverage.Level{}
			for range 9 {
				l.Targets = append(l.Targets, coverage.Target{Kind: coverage.KindUser, ID: "X", Name: evil})
			}
			w.Policies["PINFRA"].Levels = append(w.Policies["PINFRA"].Levels, l)
		}
		w.cfg.Schedules = []coverage.ScheduleConfig{{Name: "PPROD"}, {Name: "PLEAD"}}
		w.cfg.Policies = []coverage.PolicyConfig{{
			Name: "PINFRA", Services: []string{"infra-core"}, MinPeople: 2,
			Levels: []coverage.LevelConfig{{Targets: []string{evil, evil + "2"}}},
		}}
		for i := range w.Missing {
			w.Missing[i].Name, w.Missing[i].Same = evil, []string{evil, evil}
		}
		w.Unread = []coverage.Unread{{Kind: coverage.KindUser, ID: evil, Reason: evil}}
		r := w.check()
		if len(r.Findings) == 0 {
			t.Errorf("%s: got no finding, want at least the ladder", tc.name)
		}
		for _, f := range r.Findings {
			for _, s := range []string{f.Text, f.Subject.Name, f.Subject.ID, f.URL} {
				if bad := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e || r == 0x2028 || r == 0x200b }); bad >= 0 {
					t.Errorf("%s: got a character %q in %.60q", f.Check, s[bad:][:1], s)
				}
			}
			if n := len([]rune(f.Text)); n > 2000 {
				t.Errorf("%s: got a text of %d characters, want 2000 at most", f.Check, n)
			}
			if n := len([]rune(f.Subject.Name)); n > 100 {
				t.Errorf("%s: got a name of %d characters, want 100 at most", f.Check, n)
			}
			if f.URL != "" {
				t.Errorf("%s: got the URL %.40q, want none", f.Check, f.URL)
			}
		}
		for _, u := range r.Unknown {
			if len([]rune(u.ID)) > 100 || len([]rune(u.Reason)) > 300 || strings.ContainsAny(u.Reason+u.ID, "\n\x00") {
				t.Errorf("got an unknown %.60q that is not a bounded line", u.Reason)
			}
		}
	}
}
