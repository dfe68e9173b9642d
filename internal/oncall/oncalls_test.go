package oncall_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// crowd serves policies on which somebody else is on call every few minutes.
type crowd struct {
	policies int
	every    time.Duration
	asked    int // for on-calls.
	longest  int // address, in bytes.
}

func (c *crowd) RoundTrip(r *http.Request) (*http.Response, error) {
	c.longest = max(c.longest, len(r.URL.RequestURI()))
	q := r.URL.Query()
	offset, _ := strconv.Atoi(q.Get("offset"))
	if r.URL.Path != "/oncalls" {
		var items []string
		for i := offset; i < min(offset+100, c.policies); i++ {
			items = append(items, fmt.Sprintf(`{"id":"PP%012d","name":"policy %d"}`, i, i))
		}
		body := fmt.Sprintf(`{"escalation_policies":[%s],"limit":100,"offset":%d,"more":%v}`, strings.Join(items, ","), offset, offset+100 < c.policies)
		return (&answers{bodies: map[string]string{"/escalation_policies": body}}).RoundTrip(r)
	}
	c.asked++
	since, _ := time.Parse(time.RFC3339, q.Get("since"))
	until, _ := time.Parse(time.RFC3339, q.Get("until"))
	ids := q["escalation_policy_ids[]"]
	// A turn begins 7 minutes before the hour: it straddles whatever window is asked for.
	first := since.Truncate(c.every).Add(-7 * time.Minute)
	turns := int((until.Sub(first) + c.every - 1) / c.every)
	total := turns * len(ids)
	var items []string
	for i := offset; i < min(offset+100, total); i++ {
		start := first.Add(time.Duration(i/len(ids)) * c.every)
		items = append(items, fmt.Sprintf(`{"escalation_policy":{"id":%q},"escalation_level":1,"user":{"id":"PU1"},"schedule":null,"start":%q,"end":%q}`,
			ids[i%len(ids)], start.Format(time.RFC3339), start.Add(c.every).Format(time.RFC3339)))
	}
	body := fmt.Sprintf(`{"oncalls":[%s],"limit":100,"offset":%d,"more":%v}`, strings.Join(items, ","), offset, offset+100 < total)
	return (&answers{bodies: map[string]string{"/oncalls": body}}).RoundTrip(r)
}

// PagerDuty lists 10,000 on-calls at most; what is more is read in parts, and no
// minute is lost at the seams.
func TestMoreOnCallsThanAreListed(t *testing.T) {
	for _, tc := range []struct {
		name     string
		policies int
		every    time.Duration
		days     int
	}{
		{"by policies", 30, time.Hour, 15},
		{"by time", 1, 10 * time.Minute, 80},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				c := &crowd{policies: tc.policies, every: tc.every}
				var names []string
				for i := range tc.policies {
					names = append(names, fmt.Sprintf("policy %d", i))
				}
				cfg := config(nil, names)
				cfg.Horizon = model.Duration(time.Duration(tc.days) * 24 * time.Hour)
				got, err := readerOver(t, c).Read(t.Context(), cfg, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, u := range got.Unread {
					if u.Kind != coverage.KindUser {
						t.Errorf("got unread %+v", u)
					}
				}
				until := map[string]time.Time{}
				for _, o := range got.OnCalls { // in order of policy and start.
					if at := until[o.Policy]; o.Start.After(at) && !at.IsZero() || at.IsZero() && !o.Start.Equal(got.Window.Start) {
						t.Fatalf("%s: nobody between %s and %s", o.Policy, at, o.Start)
					}
					until[o.Policy] = o.End
				}
				if len(until) != tc.policies {
					t.Errorf("got on-calls of %d policies, want %d", len(until), tc.policies)
				}
				for id, at := range until {
					if !at.Equal(got.Window.End) {
						t.Errorf("%s: nobody from %s to %s", id, at, got.Window.End)
					}
				}
			})
		})
	}
}

// So many that even an hour of one policy cannot be listed: it is not known.
func TestOnCallsBeyondAllMeasure(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := &crowd{policies: 1, every: 100 * time.Millisecond}
		cfg := config(nil, []string{"policy 0"})
		cfg.Horizon = model.Duration(time.Hour)
		got, err := readerOver(t, c).Read(t.Context(), cfg, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Unread) == 0 || got.Unread[0].ID != "PP000000000000" || !strings.Contains(got.Unread[0].Reason, "more than the 10,000 that PagerDuty lists") {
			t.Errorf("got %v, want that the policy is unread", got.Unread)
		}
	})
}

// Many policies are asked for at once, in addresses that servers take.
func TestOnCallBatches(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := &crowd{policies: 500, every: 24 * time.Hour}
		var names []string
		for i := range c.policies {
			names = append(names, fmt.Sprintf("policy %d", i))
		}
		cfg := config(nil, names)
		cfg.Horizon = model.Duration(time.Hour)
		got, err := readerOver(t, c).Read(t.Context(), cfg, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.longest > 5<<10 || c.asked > 10 || len(got.OnCalls) != 2*c.policies {
			t.Errorf("got %d on-calls by %d requests of up to %d bytes, want %d by at most 10 of 5 KiB", len(got.OnCalls), c.asked, c.longest, 2*c.policies)
		}
	})
}

// An account whose others use up nearly all of its limit: it is waited for, not met.
func TestBusyAccount(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, "limits: {rest_per_minute: 5}"+account)
		start := time.Now()
		got, err := readerOver(t, e.Transport()).Read(t.Context(), config([]string{"prod-monitoring", "same"}, []string{"infra policy"}), map[string]string{hashOf(key): "infra"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantUnread(t, got, nil)
		counts := e.RESTCounts()
		if counts.ByCode[http.StatusTooManyRequests] > 0 {
			t.Errorf("got %v, want no 429", counts.ByCode)
		}
		if took := time.Since(start); counts.Total < 10 || took > 4*time.Minute {
			t.Errorf("got %d requests in %s, want all of them in some minutes", counts.Total, took)
		}
	})
	// Others that take all that there is.
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, account)
		if err := e.SetFaults([]emulator.Fault{{Match: emulator.Match{API: emulator.APIREST}, Every: 2, Do: emulator.DoAnswer, Status: 429}}); err != nil {
			t.Fatal(err)
		}
		got, err := readerOver(t, e.Transport()).Read(t.Context(), config([]string{"prod-monitoring"}, []string{"infra policy"}), nil, nil)
		if err != nil || len(got.Schedules) != 2 {
			t.Errorf("got %d schedules and %v, want 2", len(got.Schedules), err)
		}
		wantUnread(t, got, nil)
	})
}

// Listings of several pages.
func TestPaging(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var cfg emulator.Config
		var names []string
		for i := range 250 {
			cfg.Users = append(cfg.Users, emulator.User{ID: fmt.Sprintf("PU%05d", i), Name: fmt.Sprint("user ", i)})
			cfg.Schedules = append(cfg.Schedules, emulator.Schedule{
				ID: fmt.Sprintf("PC%05d", i), Name: fmt.Sprint("schedule ", i), Type: []emulator.ScheduleType{emulator.ScheduleV2, emulator.ScheduleV3}[i%2],
				Entries: []emulator.ScheduleEntry{{User: fmt.Sprintf("PU%05d", i)}},
			})
			cfg.EscalationPolicies = append(cfg.EscalationPolicies, emulator.EscalationPolicy{
				ID: fmt.Sprintf("PP%05d", i), Name: fmt.Sprint("policy ", i), Levels: []emulator.Level{{Targets: []emulator.Target{{Schedule: fmt.Sprintf("PC%05d", i)}}}},
			})
			cfg.Services = append(cfg.Services, emulator.Service{
				ID: fmt.Sprintf("PS%05d", i), RoutingKeys: []string{fmt.Sprintf("%032d", i)}, EscalationPolicy: fmt.Sprintf("PP%05d", i),
				MaintenanceWindows: []emulator.Window{{Start: day(2, 0), End: day(3, 0)}},
			})
			names = append(names, fmt.Sprint("policy ", i))
		}
		e := emulate(t, cfg)
		got, err := readerOver(t, e.Transport()).Read(t.Context(), config(nil, names), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantUnread(t, got, nil)
		if len(got.Policies) != 250 || len(got.Schedules) != 250 || len(got.Users) != 250 || len(got.Services) != 250 || len(got.OnCalls) != 250 {
			t.Errorf("got %d policies, %d schedules, %d users, %d services and %d on-calls, want 250 of each",
				len(got.Policies), len(got.Schedules), len(got.Users), len(got.Services), len(got.OnCalls))
		}
		for id, s := range got.Services {
			if !slices.Equal(s.Maintenance, []coverage.Span{span(2, 0, 3, 0)}) {
				t.Errorf("%s: got maintenance %v", id, s.Maintenance)
			}
		}
	})
}
