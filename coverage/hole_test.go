package coverage_test

import (
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/coverage"
)

func TestHole(t *testing.T) {
	nobody := func(w *scene) {
		w.shifts("PPROD", "UANN 2026-11-22 08:00/2026-11-23 07:00", "UBEN 2026-11-23 10:00/2026-12-07 08:00")
		w.shifts("PLEAD", "UCAT 2026-11-23 09:00/2026-12-07 08:00")
	}
	none := coverage.Hole{}
	gap := coverage.Hole{Reason: coverage.NobodyOnCall, Until: instant("2026-11-23 09:01"), Policy: "infra"}
	for _, tc := range []struct {
		name    string
		service string // default infra-core.
		at      string // default now.
		change  func(w *scene)
		want    coverage.Hole
	}{
		{"somebody is on call", "", "", func(*scene) {}, none},
		{"nobody is, until the next shift of any level", "", "", nobody, gap},
		{"at the start of the gap", "", "2026-11-23 07:00", nobody, gap},
		{"before the gap", "", "2026-11-23 06:59:54", nobody, none},
		{"as good as in the gap, by PagerDuty's clock", "", "2026-11-23 06:59:55", nobody, gap},
		{"at the end of the gap", "", "2026-11-23 09:00", nobody, gap},
		{"as good as at its end", "", "2026-11-23 09:00:59", nobody, gap},
		{"a minute after its end", "", "2026-11-23 09:01", nobody, none},
		{"a shift between two gaps that is over before anybody is sure of it", "", "", func(w *scene) {
			nobody(w)
			w.shifts("PLEAD", "UCAT 2026-11-23 08:30/2026-11-23 08:31:05", "UCAT 2026-11-23 09:00/2026-12-07 08:00")
		}, gap},
		{"a shift between two gaps that is just long enough", "", "", func(w *scene) {
			nobody(w)
			w.shifts("PLEAD", "UCAT 2026-11-23 08:30/2026-11-23 08:31:06", "UCAT 2026-11-23 09:00/2026-12-07 08:00")
		}, coverage.Hole{Reason: coverage.NobodyOnCall, Until: instant("2026-11-23 08:31"), Policy: "infra"}},
		{"a gap that ends with what was read, or nearly", "", "2026-12-07 07:58", func(w *scene) {
			w.shifts("PPROD")
			w.shifts("PLEAD", "UCAT 2026-12-07 07:59:10/2026-12-07 08:00")
		}, coverage.Hole{Reason: coverage.NobodyOnCall, Policy: "infra"}},
		{"nobody till the end of what was read", "", "", func(w *scene) { w.OnCalls = nil }, coverage.Hole{Reason: coverage.NobodyOnCall, Policy: "infra"}},
		{"before what was read", "", "2026-11-22 07:59", func(w *scene) { w.OnCalls = nil }, none},
		{"after what was read", "", "2026-12-07 08:00", func(w *scene) { w.OnCalls = nil }, none},
		{"a gap that is too short to be reported", "", "", func(w *scene) {
			nobody(w)
			w.cfg.IgnoreShorterThan = model.Duration(3 * time.Hour)
		}, gap},
		{"a gap of a second", "", "2026-11-23 08:30", func(w *scene) {
			nobody(w)
			w.shifts("PLEAD", "UCAT 2026-11-22 08:00/2026-11-23 08:30", "UCAT 2026-11-23 08:30:01/2026-12-07 08:00")
		}, coverage.Hole{Reason: coverage.NobodyOnCall, Until: instant("2026-11-23 08:31:01"), Policy: "infra"}},
		{"the last minute of a gap, of which little was read", "", "2026-11-23 08:59:50", func(w *scene) {
			nobody(w)
			w.Window.Start = instant("2026-11-23 08:59:40")
		}, gap},
		{"a gap at hours that are not required", "", "", func(w *scene) {
			nobody(w)
			w.cfg.TimeIntervals = intervals("[{name: sundays, time_intervals: [{weekdays: [sunday]}]}]")
			w.cfg.Policies[0].Required = []string{"sundays"}
		}, gap},
		{"a gap that is muted", "", "", func(w *scene) {
			nobody(w)
			w.cfg.Policies[0].Mute = []string{"policy_gap", "policy_nobody_now"}
		}, gap},
		{"somebody without an account", "", "2026-11-23 08:00", func(w *scene) {
			w.Users["UANN"].Gone, w.Users["UCAT"].Gone = true, true
		}, coverage.Hole{Reason: coverage.NobodyOnCall, Until: instant("2026-11-30 08:01"), Policy: "infra"}},
		{"somebody for good", "", "", func(w *scene) {
			nobody(w)
			w.OnCalls = append(w.OnCalls, coverage.OnCall{Policy: "PINFRA", Level: 2, User: "UDAN"})
		}, none},
		{"the on-calls were not read", "", "", func(w *scene) {
			nobody(w)
			w.Unread = []coverage.Unread{{Kind: coverage.KindPolicy, ID: "PINFRA"}}
		}, none},
		{"no on-calls were read", "", "", func(w *scene) {
			nobody(w)
			w.Unread = []coverage.Unread{{Kind: coverage.KindPolicy}}
		}, none},
		{"a policy that is not audited", "", "", func(w *scene) {
			nobody(w)
			w.cfg.Policies = nil
		}, none},
		{"joined by the configuration alone", "", "", func(w *scene) {
			nobody(w)
			w.Services = nil
		}, gap},
		{"joined by the configuration, while the services could not be read", "", "", func(w *scene) {
			nobody(w)
			w.Services = nil
			w.Unread = []coverage.Unread{{Kind: coverage.KindService}}
		}, gap},
		{"joined by PagerDuty alone", "", "", func(w *scene) {
			nobody(w)
			w.cfg.Policies[0].Services = nil
		}, gap},
		{"a service that PagerDuty gives another policy", "", "", func(w *scene) {
			nobody(w)
			w.Services["PCORE"].Policy = "PELSE"
		}, none},
		{"another service", "web", "", nobody, none},
		{"no service", "none", "", func(w *scene) {
			nobody(w)
			w.Services["PCORE"].Relays = nil
		}, none},
		{"two policies, of which one has somebody", "", "", func(w *scene) {
			nobody(w)
			w.Services = nil
			w.Policies["PWEB"] = &coverage.Policy{ID: "PWEB", Name: "web"}
			w.OnCalls = append(w.OnCalls, coverage.OnCall{Policy: "PWEB", Level: 1, User: "UDAN"})
			w.cfg.Policies = append(w.cfg.Policies, coverage.PolicyConfig{Name: "web", Services: []string{"infra-core"}})
		}, none},
		{"two policies, of which one is not known", "", "", func(w *scene) {
			nobody(w)
			w.Services = nil
			w.cfg.Policies = append(w.cfg.Policies, coverage.PolicyConfig{Name: "web", Services: []string{"infra-core"}})
		}, none},
		{"two policies with nobody: the first end", "", "", func(w *scene) {
			nobody(w)
			w.Services = nil
			w.Policies["PWEB"] = &coverage.Policy{ID: "PWEB", Name: "web"}
			w.OnCalls = append(w.OnCalls, coverage.OnCall{Span: span("2026-11-23 08:30/2026-12-07 08:00"), Policy: "PWEB", Level: 1, User: "UDAN"})
			w.cfg.Policies = append(w.cfg.Policies, coverage.PolicyConfig{Name: "web", Services: []string{"infra-core"}})
		}, coverage.Hole{Reason: coverage.NobodyOnCall, Until: instant("2026-11-23 08:31"), Policy: "web"}},

		{"disabled", "", "", func(w *scene) { w.Services["PCORE"].Status = "disabled" }, coverage.Hole{Reason: coverage.DisabledService}},
		{"disabled, at a time that was not read", "", "2026-12-07 08:00", func(w *scene) { w.Services["PCORE"].Status = "disabled" }, none},
		{"disabled counts before nobody", "", "", func(w *scene) {
			nobody(w)
			w.Services["PCORE"].Status = "disabled"
		}, coverage.Hole{Reason: coverage.DisabledService}},
		{"a service that was not read", "", "", func(w *scene) {
			w.Services["PCORE"].Status = "disabled"
			w.Unread = []coverage.Unread{{Kind: coverage.KindService, ID: "PCORE"}}
		}, none},
		{"maintenance", "", "", func(w *scene) {
			w.Services["PCORE"].Maintenance = []coverage.Span{span("2026-11-23 07:00/2026-11-23 08:30"), span("2026-11-23 08:15/2026-11-23 09:00")}
		}, coverage.Hole{Reason: coverage.UnderMaintenance, Since: instant("2026-11-23 06:59:55"), Until: instant("2026-11-23 09:01")}},
		{"disabled, while the maintenance windows are not known", "", "", func(w *scene) {
			windowsUnread(w)
			w.Services["PCORE"].Status = "disabled"
		}, coverage.Hole{Reason: coverage.DisabledService}},
		{"nobody is, and no person was read", "", "", func(w *scene) {
			nobody(w)
			w.Unread = []coverage.Unread{{Kind: coverage.KindUser}}
		}, gap},
		{"nobody is, while the maintenance windows are not known", "", "", func(w *scene) {
			windowsUnread(w)
			nobody(w)
		}, gap},
		{"maintenance to come", "", "", func(w *scene) {
			w.Services["PCORE"].Maintenance = []coverage.Span{span("2026-11-23 08:01/2026-11-23 09:00")}
		}, none},
		{"maintenance that has come since", "", "2026-11-23 08:01", func(w *scene) {
			w.Services["PCORE"].Maintenance = []coverage.Span{span("2026-11-23 08:01/2026-11-23 09:00")}
		}, coverage.Hole{Reason: coverage.UnderMaintenance, Since: instant("2026-11-23 08:00:55"), Until: instant("2026-11-23 09:01")}},
		{"maintenance that begins in a moment", "", "2026-11-23 08:00:55", func(w *scene) {
			w.Services["PCORE"].Maintenance = []coverage.Span{span("2026-11-23 08:01/2026-11-23 09:00")}
		}, coverage.Hole{Reason: coverage.UnderMaintenance, Since: instant("2026-11-23 08:00:55"), Until: instant("2026-11-23 09:01")}},
		{"maintenance that is over since", "", "2026-11-23 09:01", func(w *scene) {
			w.Services["PCORE"].Status = "maintenance"
			w.Services["PCORE"].Maintenance = []coverage.Span{span("2026-11-23 07:00/2026-11-23 09:00")}
		}, none},
		{"maintenance without a window", "", "", func(w *scene) { w.Services["PCORE"].Status = "maintenance" }, coverage.Hole{Reason: coverage.UnderMaintenance}},
		{"maintenance without an end", "", "", func(w *scene) {
			w.Services["PCORE"].Maintenance = []coverage.Span{{Start: instant("2026-11-23 07:00")}}
		}, coverage.Hole{Reason: coverage.UnderMaintenance, Since: instant("2026-11-23 06:59:55")}},
		{"the second of two routing keys of one service", "aux", "", func(w *scene) {
			w.Services["PCORE"].Relays, w.Services["PCORE"].Status = []string{"infra-core", "aux"}, "disabled"
		}, coverage.Hole{Reason: coverage.DisabledService}},
		{"one of two services takes pages", "", "", func(w *scene) {
			w.Services["PCORE"].Status = "disabled"
			w.Services["PTWO"] = &coverage.Service{ID: "PTWO", Relays: []string{"infra-core"}, Policy: "PINFRA", Status: "active"}
		}, none},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := healthy()
			tc.change(w)
			if tc.service == "" {
				tc.service = "infra-core"
			}
			at := w.now
			if tc.at != "" {
				at = instant(tc.at)
			}
			state, got := coverage.NewHearing(w.Snapshot, w.cfg).Heard(tc.service, at)
			if got != tc.want || (state == coverage.NobodyHears) != (tc.want != none) {
				t.Errorf("got %s, %+v, want %+v", state, got, tc.want)
			}
		})
	}
}

func windowsUnread(w *scene) {
	w.Unread = []coverage.Unread{{Check: coverage.ServiceInMaintenance, Kind: coverage.KindService}}
}

// That nobody knows is not that somebody hears: what fell into a hole waits for it.
func TestHeardOrNotKnown(t *testing.T) {
	unread := func(kind coverage.Kind, id string) func(*scene) {
		return func(w *scene) { w.Unread = []coverage.Unread{{Kind: kind, ID: id}} }
	}
	for _, tc := range []struct {
		name    string
		service string
		at      string // default now.
		change  func(w *scene)
		want    coverage.Heard
	}{
		{"somebody is on call", "infra-core", "", func(*scene) {}, coverage.Hears},
		{"a service that nobody knows", "web", "", func(*scene) {}, coverage.NotAudited},
		{"it may be one that was not read", "web", "", func(w *scene) {
			w.Services = nil
			unread(coverage.KindService, "")(w)
		}, coverage.NotKnown},
		{"the policies were not read", "infra-core", "", unread(coverage.KindPolicy, ""), coverage.NotKnown},
		{"nor the services, with a policy joined", "infra-core", "", func(w *scene) {
			w.Services, w.Policies = nil, nil
			w.Unread = []coverage.Unread{{Kind: coverage.KindPolicy}, {Kind: coverage.KindService}}
		}, coverage.NotKnown},
		{"the services were not read, with a policy joined", "infra-core", "", func(w *scene) {
			w.Services = nil
			unread(coverage.KindService, "")(w)
		}, coverage.NotKnown},
		{"a service of the policy was not read, with the policy joined", "infra-core", "", func(w *scene) {
			w.Services = nil
			unread(coverage.KindService, "PCORE")(w)
		}, coverage.NotKnown},
		{"a service of another policy was not read", "infra-core", "", func(w *scene) {
			w.Services = nil
			unread(coverage.KindService, "PELSE")(w)
		}, coverage.Hears},
		{"the service was not read", "infra-core", "", unread(coverage.KindService, "PCORE"), coverage.NotKnown},
		{"who is on call was not read", "infra-core", "", func(w *scene) {
			w.Unread = []coverage.Unread{{Kind: coverage.KindUser, ID: "UANN"}, {Kind: coverage.KindUser, ID: "UCAT"}}
		}, coverage.NotKnown},
		{"nor are they, who were on call before somebody that was", "infra-core", "2026-11-30 08:01", func(w *scene) {
			w.Unread = []coverage.Unread{{Kind: coverage.KindUser, ID: "UANN"}, {Kind: coverage.KindUser, ID: "UCAT"}}
		}, coverage.Hears},
		{"one of two on call was not read", "infra-core", "", unread(coverage.KindUser, "UANN"), coverage.Hears},
		{"nobody was read", "infra-core", "", unread(coverage.KindUser, ""), coverage.NotKnown},
		{"the contact methods of who is on call are hidden", "infra-core", "", func(w *scene) {
			w.Unread = []coverage.Unread{{Check: coverage.UserUnreachable, Kind: coverage.KindUser}}
		}, coverage.Hears},
		{"the maintenance windows were not read", "infra-core", "", windowsUnread, coverage.NotKnown},
		{"nor are they, of a service that only a policy tells of", "infra-core", "", func(w *scene) {
			windowsUnread(w)
			w.Services = nil
		}, coverage.NotKnown},
		{"nor are they, and nobody knows the service", "web", "", windowsUnread, coverage.NotAudited},
		{"after what was read", "infra-core", "2026-12-07 08:00", func(*scene) {}, coverage.NotKnown},
		{"a policy that is not audited", "infra-core", "", func(w *scene) { w.cfg.Policies = nil }, coverage.Hears},
		{"one of two policies is not known", "infra-core", "", func(w *scene) {
			w.Services, w.OnCalls = nil, nil
			w.cfg.Policies = append(w.cfg.Policies, coverage.PolicyConfig{Name: "web", Services: []string{"infra-core"}})
		}, coverage.NotKnown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := healthy()
			tc.change(w)
			at := w.now
			if tc.at != "" {
				at = instant(tc.at)
			}
			if got, hole := coverage.NewHearing(w.Snapshot, w.cfg).Heard(tc.service, at); got != tc.want || hole != (coverage.Hole{}) {
				t.Errorf("got %q, %+v, want %q", got, hole, tc.want)
			}
		})
	}
}
