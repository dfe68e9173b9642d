package emulator_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

type ref struct{ ID, Type, Summary string }

type oncalls struct {
	Oncalls []struct {
		Policy   ref  `json:"escalation_policy"`
		Level    int  `json:"escalation_level"`
		Schedule *ref `json:"schedule"`
		User     ref  `json:"user"`
		Start    *string
		End      *string
	}
}

// lines shows on-calls in short: "PP1 1 PC1 PU1 start end".
func (o oncalls) lines() []string {
	var out []string
	for _, v := range o.Oncalls {
		schedule := "-"
		if v.Schedule != nil {
			schedule = v.Schedule.Type + ":" + v.Schedule.ID
		}
		bound := func(s *string) string {
			if s == nil {
				return "null"
			}
			return strings.TrimSuffix(strings.TrimPrefix(*s, "2000-01-"), ":00:00Z")
		}
		out = append(out, fmt.Sprintf("%s %d %s %s %s %s", v.Policy.ID, v.Level, schedule, v.User.ID, bound(v.Start), bound(v.End)))
	}
	return out
}

func TestOncalls(t *testing.T) {
	e := newEmulator(t, restAccount, emulator.Options{})
	const (
		open1   = "PP1 1 schedule_reference:PC1 PU1 null 02T00"
		grace1  = "PP1 1 schedule_reference:PC1 PU2 02T06 03T00"
		again1  = "PP1 1 schedule_reference:PC1 PU1 04T00 null"
		direct2 = "PP1 2 - PU2 null null"
		ada2    = "PP1 2 schedule_v3_reference:PC2 PU1 01T00 02T00"
		grace2  = "PP1 2 schedule_v3_reference:PC2 PU2 01T12 02T12"
		later2  = "PP1 2 schedule_v3_reference:PC2 PU2 03T00 null"
		batch   = "PP2 1 - PU1 null null"
	)
	for _, tc := range []struct {
		name, query string
		want        []string
	}{
		{"overlapping, with their own bounds", "since=2000-01-01T13:00:00Z&until=2000-01-02T07:00:00Z", []string{open1, grace1, direct2, ada2, grace2, batch}},
		{"until is not included", "since=2000-01-01T13:00:00Z&until=2000-01-02T06:00:00Z&schedule_ids[]=PC1", []string{open1}},
		{"nor is an end", "since=2000-01-02T00:00:00Z&until=2000-01-02T07:00:00Z&schedule_ids[]=PC1", []string{grace1}},
		{"an empty shift and a gap are nobody's", "since=2000-01-02T12:00:00Z&until=2000-01-03T00:00:00Z&schedule_ids[]=PC2", nil},
		{"neither is who is gone", "since=2000-01-03T00:00:00Z&until=2000-01-04T00:00:00Z&schedule_ids[]=PC1", nil},
		{"by policy", "since=2000-01-04T00:00:00Z&until=2000-01-05T00:00:00Z&escalation_policy_ids[]=PP2", []string{batch}},
		{"by user", "since=2000-01-01T13:00:00Z&until=2000-01-02T07:00:00Z&user_ids[]=PU1", []string{open1, ada2, batch}},
		{"without a schedule", "since=2000-01-04T00:00:00Z&until=2000-01-05T00:00:00Z&schedule_ids[]=null", []string{direct2, batch}},
		{"at once", "since=2000-01-02T00:00:00Z&until=2000-01-02T00:00:00Z&escalation_policy_ids[]=PP1", []string{direct2, grace2}},
		{"earliest of a user on a level", "since=2000-01-01T00:00:00Z&until=2000-01-05T00:00:00Z&earliest=true&escalation_policy_ids[]=PP1", []string{open1, grace1, direct2, ada2}},
		{"all of them", "since=2000-01-01T00:00:00Z&until=2000-01-05T00:00:00Z&escalation_policy_ids[]=PP1", []string{open1, grace1, again1, direct2, ada2, grace2, later2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, getInto[oncalls](t, e, "/oncalls?"+tc.query).lines()); diff != "" {
				t.Errorf("on-calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOncallsOfNow(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, restAccount, emulator.Options{})
		time.Sleep(30 * time.Hour) // to the 2nd, 06:00.
		want := []string{"PP1 1 schedule_reference:PC1 PU2 02T06 03T00", "PP1 2 - PU2 null null", "PP1 2 schedule_v3_reference:PC2 PU2 01T12 02T12", "PP2 1 - PU1 null null"}
		if diff := cmp.Diff(want, getInto[oncalls](t, e, "/oncalls").lines()); diff != "" {
			t.Errorf("on-calls (-want +got):\n%s", diff)
		}
		const day = 24 * time.Hour
		for _, tc := range []struct {
			name         string
			since, until time.Duration // from now.
			code         int
		}{
			{"90 days", 0, 90 * day, 200},
			{"90 days from before", -day, 89 * day, 200},
			{"too far ahead", 10 * day, 90*day + time.Second, 400},
			{"too long", -day, 89*day + time.Second, 400},
			{"backwards", day, 0, 400},
		} {
			q := url.Values{"since": {time.Now().Add(tc.since).Format(time.RFC3339)}, "until": {time.Now().Add(tc.until).Format(time.RFC3339)}}
			if a := get(t, e, "/oncalls?"+q.Encode()); a.code != tc.code {
				t.Errorf("%s: got %d %s, want %d", tc.name, a.code, a.body, tc.code)
			}
		}
	})
}

// What REST says of now is what becomes of an event sent now, whatever the
// account: nobody on /oncalls is no incident, and the first level that has
// somebody is who is notified.
func TestOncallsAgreeWithEvents(t *testing.T) {
	const config = `
limits: {unlimited: true}
services: [{id: PS1, routing_keys: [` + key + `], escalation_policy: PP1}]
escalation_policies: [{id: PP1, levels: [{targets: [{schedule: PC1}, {user: PU3}]}, {targets: [{schedule: PC2}]}]}]
schedules:
  - {id: PC1, entries: [{user: PU1, end: 2000-01-01T04:00:00Z}, {user: PU3, start: 2000-01-01T04:00:00Z, end: 2000-01-01T08:00:00Z}, {user: PU2, start: 2000-01-01T20:00:00Z}]}
  - id: PC2
    type: v3
    entries:
      - {user: PU1, start: 2000-01-01T06:00:00Z, end: 2000-01-01T12:00:00Z}
      - {user: PU2, start: 2000-01-01T10:00:00Z, end: 2000-01-01T14:00:00Z}
      - {empty: true, start: 2000-01-01T14:00:00Z, end: 2000-01-01T18:00:00Z}
users: [{id: PU1}, {id: PU2}, {id: PU3, deleted: true}]
`
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, config, emulator.Options{})
		seen := map[string]int{}
		for hour := range 24 {
			first := map[string]bool{}
			level := 0
			for _, o := range getInto[oncalls](t, e, "/oncalls?escalation_policy_ids[]=PP1").Oncalls {
				if level == 0 || o.Level == level {
					level, first[o.User.ID] = o.Level, true
				}
			}
			outcome := send(t, e, triggerBody(key, fmt.Sprint(hour), "critical"))
			seen[string(outcome)]++
			if (outcome == emulator.Created) != (len(first) > 0) {
				t.Errorf("hour %d: got %s, but on call are %v", hour, outcome, first)
			}
			if outcome == emulator.Created {
				list := e.Incidents()
				notified := map[string]bool{}
				for _, l := range list[len(list)-1].Log {
					if l.Kind == emulator.LogNotify {
						notified[l.User] = true
					}
				}
				if diff := cmp.Diff(first, notified); diff != "" {
					t.Errorf("hour %d: notified (-on call +notified):\n%s", hour, diff)
				}
			}
			time.Sleep(time.Hour)
		}
		// 04-06 the account that is gone, 14-20 an empty shift and a gap.
		if diff := cmp.Diff(map[string]int{"created": 16, "nobody_on_call": 8}, seen); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
	})
}

func TestRESTRateLimit(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, "limits: {rest_per_minute: 3}"+restAccount, emulator.Options{})
		ask := func(token string, code int, remaining, reset string) {
			t.Helper()
			a, err := getAs(t, e, token, "/services")
			if err != nil {
				t.Fatal(err)
			}
			h := a.header
			if a.code != code || h.Get("ratelimit-limit") != "3" || h.Get("ratelimit-remaining") != remaining || h.Get("ratelimit-reset") != reset {
				t.Errorf("got %d with %v, want %d with %s left and reset in %s", a.code, h, code, remaining, reset)
			}
			if code == http.StatusTooManyRequests && a.body != `{"error":{"code":2020,"message":"Rate Limit Exceeded"}}` {
				t.Errorf("got %s, want PagerDuty's error 2020", a.body)
			}
		}
		ask("a", 200, "2", "60")
		time.Sleep(20 * time.Second)
		ask("a", 200, "1", "40")
		ask("a", 200, "0", "40")
		ask("a", 429, "0", "40")
		ask("b", 200, "2", "60") // another token has its own.
		wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.Created)
		time.Sleep(40 * time.Second)
		ask("a", 200, "0", "20") // the window slides: only the first is out of it.
		ask("a", 429, "0", "20")
		if n := e.RESTCounts().ByCode[429]; n != 2 {
			t.Errorf("got %d calls refused, want 2", n)
		}
	})
	e := newEmulator(t, restAccount, emulator.Options{})
	if got := get(t, e, "/services").header.Get("ratelimit-limit"); got != "960" {
		t.Errorf("got a limit of %s by default, want 960", got)
	}
}
