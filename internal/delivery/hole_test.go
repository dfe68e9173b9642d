package delivery_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

// audited sets up a service with a fallback that the audit speaks of.
func audited(says *atomic.Pointer[incident.Coverage]) func(*rig) {
	return func(r *rig) {
		infra, catchAll := service("infra"), service("catch-all")
		infra.Fallback = "catch-all"
		catchAll.Key = func() (string, error) { return "fedcba9876543210fedcba9876543210", nil }
		r.settings.Services = map[string]delivery.Service{"infra": infra, "catch-all": catchAll}
		r.settings.Coverage = func(service string, _ time.Time) incident.Coverage {
			if service != "infra" {
				return incident.Coverage{}
			}
			return *says.Load()
		}
		r.settings.Uncovered = func() { r.uncovered.Add(1) }
	}
}

// requestsTo lists what was sent for a dedup key under a routing key.
func (r *rig) requestsTo(key, dedup string) []string {
	var out []string
	for _, s := range r.pd.requests() {
		if s.key == key && s.dedup == dedup {
			out = append(out, s.action)
		}
	}
	return out
}

func wantRequests(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

// A page that nobody would hear of goes to the fallback, too, and is sent again once
// the time has come at which somebody is on call.
func TestPageWhileNobodyIsOnCall(t *testing.T) {
	var says atomic.Pointer[incident.Coverage]
	inBubble(t, &fakePagerDuty{}, audited(&says), func(r *rig) {
		ends := time.Now().Add(time.Hour)
		says.Store(&incident.Coverage{State: incident.CoverageUncovered, Reason: "nobody is on call on infra", Until: ends})
		r.observe(alert{name: "a"}, alert{name: "b", urgency: mapping.Low})
		time.Sleep(time.Minute)
		for _, name := range []string{"a", "b"} {
			wantRequests(t, r.requestsTo(testKey, name), "trigger")
			wantRequests(t, r.requestsTo("fedcba9876543210fedcba9876543210", name), "trigger")
		}
		if n := r.uncovered.Load(); n != 2 {
			t.Errorf("the auditor was told of %d pages that nobody heard of, want 2", n)
		}
		const metric = "pagerelay_uncovered_pages_total"
		if err := testutil.GatherAndCompare(r.reg, strings.NewReader(`# HELP `+metric+` Triggers that PagerDuty accepted while, by the last audit, it opened nothing: nobody on call, disabled, or in maintenance.
# TYPE `+metric+` counter
`+metric+`{service="catch-all"} 0
`+metric+`{service="infra"} 2
`), metric); err != nil {
			t.Error(err)
		}
		says.Store(&incident.Coverage{State: incident.CoverageFull}) // what the schedule said all along of later.
		time.Sleep(time.Until(ends) + time.Second)
		wantRequests(t, r.requestsTo(testKey, "a"), "trigger", "resolve", "trigger")
		wantRequests(t, r.requestsTo("fedcba9876543210fedcba9876543210", "a"), "trigger")
	})
}

// A hole whose end is not known ends with the next audit.
func TestAuditEndsAHole(t *testing.T) {
	var says atomic.Pointer[incident.Coverage]
	says.Store(&incident.Coverage{State: incident.CoverageUncovered, Reason: "the service is disabled"})
	inBubble(t, &fakePagerDuty{}, audited(&says), func(r *rig) {
		r.observe(alert{name: "a"})
		time.Sleep(24 * time.Hour)
		wantRequests(t, r.requestsTo(testKey, "a"), "trigger")
		says.Store(&incident.Coverage{State: incident.CoverageFull})
		r.d.Audited()
		synctest.Wait()
		wantRequests(t, r.requestsTo(testKey, "a"), "trigger", "resolve", "trigger")
		r.observe(alert{name: "a", resolved: true})
		synctest.Wait()
		wantRequests(t, r.requestsTo(testKey, "a"), "trigger", "resolve", "trigger", "resolve")
		wantRequests(t, r.requestsTo("fedcba9876543210fedcba9876543210", "a"), "trigger", "resolve")
	})
}

// A resolve that fell into a maintenance window is sent again after it.
func TestResolveAfterMaintenance(t *testing.T) {
	var says atomic.Pointer[incident.Coverage]
	says.Store(&incident.Coverage{State: incident.CoverageFull})
	inBubble(t, &fakePagerDuty{}, audited(&says), func(r *rig) {
		r.observe(alert{name: "a"})
		synctest.Wait()
		ends := time.Now().Add(2 * time.Hour)
		says.Store(&incident.Coverage{State: incident.CoverageUncovered, Reason: "in maintenance", Until: ends, Maintenance: true})
		r.d.Audited()
		r.observe(alert{name: "a", resolved: true})
		time.Sleep(time.Hour)
		wantRequests(t, r.requestsTo(testKey, "a"), "trigger", "resolve")
		says.Store(&incident.Coverage{State: incident.CoverageFull})
		time.Sleep(time.Until(ends) + time.Second)
		wantRequests(t, r.requestsTo(testKey, "a"), "trigger", "resolve", "resolve")
		if n := len(r.List()); n != 0 {
			t.Errorf("%d incidents are left, want none", n)
		}
	})
}

// When a hole ends for many at once, pages go out from the first request on, and new
// ones go first.
func TestManyAfterAHole(t *testing.T) {
	var says atomic.Pointer[incident.Coverage]
	pd := &fakePagerDuty{}
	inBubble(t, pd, audited(&says), func(r *rig) {
		ends := time.Now().Add(time.Hour)
		says.Store(&incident.Coverage{State: incident.CoverageUncovered, Reason: "nobody is on call", Until: ends})
		r.observe(many("a", 240, mapping.High)...)
		time.Sleep(50 * time.Minute)
		says.Store(&incident.Coverage{State: incident.CoverageFull})
		before := len(pd.requests())
		time.Sleep(time.Until(ends) + time.Second)
		r.observe(alert{name: "fresh"})
		time.Sleep(10 * time.Minute)
		first, fresh, n := -1, -1, 0
		var since time.Duration
		for _, q := range pd.requests()[before:] {
			if q.key != testKey {
				continue
			}
			if q.action == "trigger" && first < 0 {
				first = n
			}
			if q.dedup == "fresh" {
				fresh, since = n, q.at.Sub(ends.Add(time.Second))
			}
			n++
		}
		// Sixteen are in flight at once, and a resolve has to be answered and stored first.
		if first > 3*16 {
			t.Errorf("the first page is request %d after the hole, want it right behind the first resolves", first)
		}
		if since > 70*time.Second {
			t.Errorf("a new page waited for %v (request %d), want no longer than the limit's window", since, fresh)
		}
		if n != 2*240+1 {
			t.Errorf("%d requests, want a resolve and a trigger each, and the new one", n)
		}
	})
}
