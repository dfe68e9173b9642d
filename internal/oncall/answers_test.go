package oncall_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// answers serves bodies by path; what is not there is 404. It notes what is asked for.
type answers struct {
	bodies map[string]string
	seen   []*url.URL
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.seen = append(a.seen, r.URL)
	rec := httptest.NewRecorder()
	body, ok := a.bodies[r.URL.Path]
	if !ok {
		rec.WriteHeader(http.StatusNotFound)
	}
	_, _ = io.WriteString(rec, body)
	return rec.Result(), nil
}

func (a *answers) count(path string) int {
	n := 0
	for _, u := range a.seen {
		if u.Path == path {
			n++
		}
	}
	return n
}

func listing(key string, items ...string) string {
	return fmt.Sprintf(`{%q:[%s],"limit":100,"offset":0,"more":false,"total":null}`, key, strings.Join(items, ","))
}

const policyP1 = `{"id":"PP1","name":"policy","escalation_rules":[{"escalation_delay_in_minutes":5,"targets":[{"id":"PC1","type":"schedule_reference","summary":"schedule"}]}],"services":[]}`

// onCall1 is somebody on call on policy PP1.
const onCall1 = `{"escalation_policy":{"id":"PP1"},"escalation_level":1,"user":{"id":"PU1"}}`

// account1 has a policy on schedule PC1, whose answer is given.
func account1(schedule string) *answers {
	return &answers{bodies: map[string]string{
		"/escalation_policies": listing("escalation_policies", policyP1),
		"/schedules/PC1":       schedule,
		"/oncalls":             listing("oncalls", onCall1),
		"/users/PU1":           `{"user":{"id":"PU1","name":"Ada"}}`,
		"/users/PU2":           `{"user":{"id":"PU2","name":"Grace"}}`,
	}}
}

func scheduleOf(coverage, entries string) string {
	return `{"schedule":{"id":"PC1","name":"schedule","time_zone":"America/New_York","users":[{"id":"PU1"},{"id":"PU1"},{"id":null}],
		"schedule_layers":[],"final_schedule":{"rendered_coverage_percentage":` + coverage + `,"rendered_schedule_entries":[` + entries + `]}}}`
}

func TestScheduleAnswers(t *testing.T) {
	for _, tc := range []struct {
		name     string
		schedule string
		shifts   []coverage.Shift
		unread   string // "": it is read.
	}{
		{"nobody", scheduleOf("0.0", ""), nil, ""},
		{"not worked out", scheduleOf("null", ""), nil, "schedule/PC1: PagerDuty has not worked out who is on call"},
		{"no final schedule", `{"schedule":{"id":"PC1","name":"schedule"}}`, nil, "schedule/PC1: PagerDuty has not worked out who is on call"},
		{
			"begun before, clipped, and outside", scheduleOf("50", `
			{"user":{"id":"PU1"},"start":"1999-12-25T00:00:00Z","end":"1999-12-30T19:00:00-05:00"},
			{"user":{"id":"PU1"},"start":"1999-12-30T00:00:00Z","end":"2000-01-01T01:00:00+00:00"},
			{"user":{"id":"PU2"},"start":"2000-01-05T23:00:00Z","end":"2000-02-01T00:00:00Z"},
			{"user":{"id":"PU1"},"start":"2000-01-06T00:30:00Z","end":"2000-01-07T00:00:00Z"}`),
			[]coverage.Shift{{Span: span(-1, 0, 1, 1), User: "PU1"}, {Span: coverage.Span{Start: day(5, 23), End: lastRead()}, User: "PU2"}},
			"",
		},
		{
			"offsets of two sides of a change of the clock", scheduleOf("1", `{"user":{"id":"PU1"},"start":"2000-01-02T01:30:00-04:00","end":"2000-01-02T01:30:00-05:00"}`),
			[]coverage.Shift{{Span: coverage.Span{Start: day(2, 5).Add(30 * time.Minute), End: day(2, 6).Add(30 * time.Minute)}, User: "PU1"}},
			"",
		},
		{
			"no end", scheduleOf("100", `{"user":{"id":"PU1"},"start":"2000-01-05T00:00:00Z","end":null}`),
			[]coverage.Shift{{Span: coverage.Span{Start: day(5, 0), End: lastRead()}, User: "PU1"}},
			"",
		},
		{
			"somebody who was deleted", scheduleOf("100", `{"user":null,"start":"2000-01-02T00:00:00Z","end":"2000-01-03T00:00:00Z"}`),
			[]coverage.Shift{{Span: span(2, 0, 3, 0)}},
			"",
		},
		{"no time", scheduleOf("100", `{"user":{"id":"PU1"},"start":"2000-01-02T00:00:00Z","end":"2000-01-02T00:00:00Z"}`), nil, ""},
		{"backwards", scheduleOf("100", `{"user":{"id":"PU1"},"start":"2000-01-03T00:00:00Z","end":"2000-01-02T00:00:00Z"}`), nil, "schedule/PC1: before it starts"},
		{"a time without an offset", scheduleOf("100", `{"user":{"id":"PU1"},"start":"2000-01-03T00:00:00","end":"2000-01-04T00:00:00Z"}`), nil, "schedule/PC1: is not ISO 8601 with an offset"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				got, err := readerOver(t, account1(tc.schedule)).Read(t.Context(), config(nil, []string{"policy"}), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				s := got.Schedules["PC1"]
				if tc.unread != "" {
					wantUnread(t, got, []string{tc.unread})
					if s != nil {
						t.Errorf("got %+v, want no schedule: it would be one gap", s)
					}
					return
				}
				wantUnread(t, got, nil)
				if s == nil {
					t.Fatal("got no schedule")
				}
				if diff := cmp.Diff(tc.shifts, s.Shifts, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if diff := cmp.Diff([]string{"PU1"}, s.Engineers); diff != "" {
					t.Errorf("engineers: -want +got:\n%s", diff)
				}
			})
		})
	}
}

// A policy's reference is that of the day; the schedule may have become shift-based.
func TestScheduleThatBecameShiftBased(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a := account1("")
		delete(a.bodies, "/schedules/PC1")
		a.bodies["/v3/schedules/PC1"] = `{"schedule":{"id":"PC1","name":"schedule","type":"schedule_v3","time_zone":"UTC","final_schedule":{"computed_shift_assignments":[]}}}`
		rt := roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := a.RoundTrip(r)
			if r.URL.Path == "/schedules/PC1" {
				resp.StatusCode = http.StatusBadRequest
			}
			return resp, err
		})
		got, err := readerOver(t, rt).Read(t.Context(), config(nil, []string{"policy"}), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantUnread(t, got, nil)
		if s := got.Schedules["PC1"]; s == nil || !s.ShiftBased {
			t.Errorf("got %+v, want a shift-based schedule", s)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestShiftScheduleAnswers(t *testing.T) {
	for _, tc := range []struct{ name, body, unread string }{
		{"no final schedule", `{"schedule":{"id":"PC1","rotations":[]}}`, "schedule/PC1: has not worked out"},
		{"a member of a new kind", `{"schedule":{"id":"PC1","final_schedule":{"computed_shift_assignments":[{"start_time":"2000-01-01T00:00:00Z","end_time":"2000-01-02T00:00:00Z","member":{"type":"team_member"}}]}}}`, `schedule/PC1: a kind that is not known here: "team_member"`},
		{"an end of a rotation without an offset", `{"schedule":{"id":"PC1","rotations":[{"events":[{"effective_until":"2000-01-01"}]}],"final_schedule":{}}}`, "schedule/PC1: is not ISO 8601"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				a := account1("")
				a.bodies["/escalation_policies"] = strings.ReplaceAll(a.bodies["/escalation_policies"], "schedule_reference", "schedule_v3_reference")
				a.bodies["/v3/schedules/PC1"] = tc.body
				got, err := readerOver(t, a).Read(t.Context(), config(nil, []string{"policy"}), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				wantUnread(t, got, []string{tc.unread})
			})
		})
	}
}

func TestPolicyAnswers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a := account1(scheduleOf("0", ""))
		a.bodies["/escalation_policies"] = strings.ReplaceAll(a.bodies["/escalation_policies"], "schedule_reference", "team_reference")
		a.bodies["/oncalls"] = listing("oncalls",
			`{"escalation_policy":{"id":"PP1"},"escalation_level":0,"user":{"id":"PU1"}}`,
			`{"escalation_policy":{"id":"PPX"},"escalation_level":1,"user":{"id":"PU1"}}`)
		got, err := readerOver(t, a).Read(t.Context(), config(nil, []string{"policy"}), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantUnread(t, got, []string{`policy/PP1: an on-call entry has the level 0`, `policy/PP1: level 1 has a target of a kind that is not known here: "team_reference"`})
		if len(got.OnCalls) > 0 {
			t.Errorf("got %v, want no on-calls: one has no level and one is of a policy that was not asked for", got.OnCalls)
		}
	})
}

func TestUserAnswers(t *testing.T) {
	for _, tc := range []struct{ name, user, unread string }{
		{"nothing to reach them by", `{"user":{"id":"PU1","contact_methods":[],"notification_rules":[]}}`, ""},
		{"contact methods are hidden", `{"user":{"id":"PU1","contact_methods":[{"id":"C1","type":"phone_contact_method_reference"}]}}`, "user/PU1 user_unreachable: shows this token no contact methods"},
		{"rules are hidden", `{"user":{"id":"PU1","notification_rules":[{"id":"C1","type":"assignment_notification_rule_reference"}]}}`, "user/PU1 user_unreachable: shows this token no contact methods"},
		{"not what it should be", `{"user":{"id":"PU1","contact_methods":"none"}}`, "user/PU1: read answer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				a := account1(scheduleOf("0", ""))
				a.bodies["/users/PU1"] = tc.user
				got, err := readerOver(t, a).Read(t.Context(), config(nil, []string{"policy"}), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				var want []string
				if tc.unread != "" {
					want = []string{tc.unread}
				}
				wantUnread(t, got, want)
				if u := got.Users["PU1"]; u == nil || u.Gone || len(u.Contacts)+len(u.Rules) > 0 {
					t.Errorf("got %+v, want somebody without contacts who is not gone", u)
				}
			})
		})
	}
}

// A listing's own final schedule is taken if it proves itself: it saves a request for
// each schedule.
func TestRenderedListing(t *testing.T) {
	const half = `{"user":{"id":"PU1"},"start":"2000-01-01T00:00:00Z","end":"2000-01-04T00:15:00Z"}`
	entry := func(i int, layers, final string) string {
		return fmt.Sprintf(`{"id":"PC%02d","name":"s%d","time_zone":"UTC","users":[],"escalation_policies":[],"schedule_layers":%s,"final_schedule":%s}`, i, i, layers, final)
	}
	for _, tc := range []struct {
		name          string
		layers, final string
		gets          int
	}{
		{"proven", "[]", `{"rendered_coverage_percentage":50.0,"rendered_schedule_entries":[` + half + `]}`, 0},
		{"of another time", "[]", `{"rendered_coverage_percentage":60.0,"rendered_schedule_entries":[` + half + `]}`, 20},
		{"empty", "[]", `{"rendered_coverage_percentage":0,"rendered_schedule_entries":[]}`, 20},
		{"not worked out", "[]", `{"rendered_coverage_percentage":null,"rendered_schedule_entries":[` + half + `]}`, 20},
		{"without layers", "null", `{"rendered_coverage_percentage":50.0,"rendered_schedule_entries":[` + half + `]}`, 20},
		{"not there", "[]", `null`, 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				a := &answers{bodies: map[string]string{"/v3/schedules": listing("schedules"), "/users/PU1": `{"user":{"id":"PU1"}}`}}
				var items, names []string
				for i := range 20 {
					items = append(items, entry(i, tc.layers, tc.final))
					names = append(names, fmt.Sprintf("s%d", i))
					a.bodies[fmt.Sprintf("/schedules/PC%02d", i)] = `{"schedule":` + entry(i, "[]", `{"rendered_coverage_percentage":50.0,"rendered_schedule_entries":[`+half+`]}`) + `}`
				}
				a.bodies["/schedules"] = listing("schedules", items...)
				got, err := readerOver(t, a).Read(t.Context(), config(names, nil), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				wantUnread(t, got, nil)
				gets := len(a.seen) - a.count("/v3/schedules") - a.count("/schedules") - a.count("/users/PU1")
				if gets != tc.gets || a.count("/schedules") != 1 || len(got.Schedules) != 20 {
					t.Errorf("got %d schedules by %d listings and %d single requests, want 20, 1 and %d", len(got.Schedules), a.count("/schedules"), gets, tc.gets)
				}
				if s := got.Schedules["PC07"]; len(s.Shifts) != 1 || s.Shifts[0].Span != (coverage.Span{Start: day(1, 0), End: day(4, 0).Add(15 * time.Minute)}) {
					t.Errorf("got %+v, want one shift", s)
				}
			})
		})
	}
	t.Run("too much for PagerDuty", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			a := &answers{bodies: map[string]string{"/v3/schedules": listing("schedules"), "/users/PU1": `{"user":{"id":"PU1"}}`}}
			var items, names []string
			for i := range 20 {
				items = append(items, fmt.Sprintf(`{"id":"PC%02d","name":"s%d"}`, i, i))
				names = append(names, fmt.Sprintf("s%d", i))
				a.bodies[fmt.Sprintf("/schedules/PC%02d", i)] = `{"schedule":` + entry(i, "[]", `{"rendered_coverage_percentage":50.0,"rendered_schedule_entries":[`+half+`]}`) + `}`
			}
			heavy := 0
			rt := roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/schedules" && r.URL.Query().Has("since") {
					heavy++
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				a.bodies["/schedules"] = listing("schedules", items[10:]...)
				if r.URL.Query().Get("offset") == "0" {
					a.bodies["/schedules"] = strings.Replace(listing("schedules", items[:10]...), `"more":false`, `"more":true`, 1)
				}
				return a.RoundTrip(r)
			})
			got, err := readerOver(t, rt).Read(t.Context(), config(names, nil), nil, nil)
			if err != nil || len(got.Schedules) != 20 {
				t.Errorf("got %d schedules and %v, want 20", len(got.Schedules), err)
			}
			if heavy != 3 {
				t.Errorf("got %d requests that are too much, want the first and its repetitions", heavy)
			}
			wantUnread(t, got, nil)
		})
	})
}

func TestWindow(t *testing.T) {
	const day = 24 * time.Hour
	for _, tc := range []struct{ horizon, back, ahead time.Duration }{
		{0, day, 14*day + 30*time.Minute},
		{day, day, day + 30*time.Minute},
		{89 * day, day - 30*time.Minute, 89*day + 30*time.Minute},
		// Our clock may be ahead of PagerDuty's, and the whole must not be over 90 days.
		{90 * day, 5 * time.Minute, 90*day - 5*time.Minute},
	} {
		bubble.Test(t, func(t *testing.T) {
			time.Sleep(1500 * time.Millisecond)
			a := account1(scheduleOf("0", ""))
			c := config(nil, []string{"policy"})
			c.Horizon = model.Duration(tc.horizon)
			got, err := readerOver(t, a).Read(t.Context(), c, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			at := got.At.Truncate(time.Second)
			if want := (coverage.Span{Start: at.Add(-tc.back), End: at.Add(tc.ahead)}); got.Window != want {
				t.Errorf("horizon %s: got %v at %s, want %v", tc.horizon, got.Window, got.At, want)
			}
			for _, u := range a.seen {
				if q := u.Query(); q.Has("since") && (q.Get("since") != got.Window.Start.Format(time.RFC3339) || q.Get("until") != got.Window.End.Format(time.RFC3339)) {
					t.Errorf("got %s, want the window %v", u, got.Window)
				}
			}
		})
	}
}
