package model_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/internal/lab/native"
)

const peerTimeout = 15 * time.Second // Alertmanager's default.

// cluster is two of Alertmanager's own pipelines, a sidecar each, and their PagerDuty.
type cluster struct {
	t       *testing.T
	pd      account
	members [2]*native.Member
	relays  [2]*sidecar
	starts  map[string]time.Time
}

// around is what a sidecar of the cluster talks to: PagerDuty, and the lists of both
// members. It answers as alertmanager.Client does.
type around struct {
	account
	*cluster
	asker *alertmanager.Asker
}

// Ask is the program's own asker, of these lists.
func (a *around) Ask(ctx context.Context, q incident.Question, in *incident.Incident) (incident.Verdict, string) {
	return a.asker.Ask(ctx, q, in)
}

func (a *around) Check(_ context.Context, fps []string, _ map[string]map[string]string) (map[string]alertmanager.Verdict, string) {
	verdicts := map[string]alertmanager.Verdict{}
	for _, fp := range fps {
		verdicts[fp] = alertmanager.Gone
		for _, m := range a.members {
			if slices.ContainsFunc(m.List(), func(l native.Listed) bool { return l.Fingerprint == fp }) {
				verdicts[fp] = alertmanager.Firing
			}
		}
	}
	return verdicts, "because"
}

func (a *around) CheckTold(ctx context.Context, fps []string, labels map[string]map[string]string) (map[string]alertmanager.Verdict, string) {
	return a.Check(ctx, fps, labels)
}

func (a *around) AnyFiring(context.Context, func(alertmanager.Alert) bool) (alertmanager.Verdict, string) {
	return alertmanager.Uncertain, "nobody asks that here"
}

func (a *around) Names(string) bool { return false } // both have one externalURL, as behind an ingress.
func (a *around) Identity() string  { return "both" }

func (a *around) Survey(_ context.Context, each func(int, *alertmanager.Listing) error) (alertmanager.Standing, error) {
	for i, m := range a.members {
		for _, l := range m.List() {
			raw, err := json.Marshal(map[string]any{
				"fingerprint": l.Fingerprint, "labels": l.Labels, "annotations": l.Annotations, "startsAt": l.StartsAt, "endsAt": l.EndsAt,
				"status": map[string]any{"state": "active"}, "receivers": []map[string]string{{"name": l.Receivers[0]}},
			})
			if err != nil {
				panic(err)
			}
			var listing alertmanager.Listing
			if err := json.Unmarshal(raw, &listing); err != nil {
				panic(err)
			}
			if err := each(i, &listing); err != nil {
				return alertmanager.Standing{}, err
			}
		}
	}
	return alertmanager.Standing{Mature: []bool{true, true}}, nil
}

// startCluster starts everything. The second member waits for the first.
func startCluster(t *testing.T, interval time.Duration, features string, known int) (*cluster, func()) {
	t.Helper()
	c := &cluster{t: t, pd: newAccount(pagerDuty(10_000)), starts: map[string]time.Time{}}
	conf, err := config.Parse([]byte("services: {infra: {routing_key: "+keyInfra+", events_per_minute: 10000}}\ndefaults: {dedup: {by: alert}}\n"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.relays {
		a := &around{account: c.pd, cluster: c}
		c.relays[i] = newSidecar(newDir(t), a, settings{config: conf, peers: known})
		a.asker = alertmanager.NewAsker(a, nil, c.relays[i].reconcile)
	}
	for i := range c.members {
		c.members[i], err = native.Start(native.Options{
			Config: fmt.Sprintf("route: {receiver: r, group_by: [alertname, instance], group_wait: 1s, group_interval: %s, repeat_interval: 4h}\n", interval) +
				"receivers: [{name: r, webhook_configs: [{url: 'http://pagerelay/webhook/alertmanager'}]}]\n",
			Features: features, URL: "http://alerts.example.test", Wait: time.Duration(i) * peerTimeout,
			Webhooks: c.relays[i].door,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	native.Cluster(200*time.Millisecond, c.members[0], c.members[1])
	for _, r := range c.relays {
		r.start()
	}
	return c, func() {
		for i := range c.members {
			c.members[i].Stop()
			c.relays[i].stop()
		}
	}
}

// post tells a member of alerts; they are over if end is not zero.
func (c *cluster) post(member int, end time.Time, names ...string) {
	c.t.Helper()
	for _, name := range names {
		if _, ok := c.starts[name]; !ok {
			c.starts[name] = time.Now()
		}
		a := native.Alert{
			Labels:   map[string]string{"alertname": "LatePeer", "instance": name, "severity": "critical"},
			StartsAt: c.starts[name], EndsAt: time.Now().Add(10 * time.Hour),
		}
		if !end.IsZero() {
			a.EndsAt = end
		}
		if err := c.members[member].Post(a); err != nil {
			c.t.Fatal(err)
		}
	}
}

// Two members whose flushes are some seconds apart, a sidecar each. Alerts end at every
// moment of an interval, so that many end while the second member waits, and the first
// one's sidecar resolves them meanwhile. Not one is paged again after its resolve.
func TestNoPageAfterAnotherReplicaHasResolved(t *testing.T) {
	for _, tc := range []struct {
		interval time.Duration
		features string
	}{{20 * time.Second, ""}, {5 * time.Minute, ""}, {5 * time.Minute, "muted-alerts-in-nflog"}} {
		t.Run(fmt.Sprintf("group_interval %s, features %q", tc.interval, tc.features), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				paged, again := latePeers(t, tc.interval, tc.features, 2)
				if paged != 60 || again != 0 {
					t.Errorf("got %d alerts paged, %d of them again after their resolve; want 60 and 0", paged, again)
				}
			})
		})
	}
}

// The same without knowing the cluster: what the test above is about does happen.
func TestLatePeersDoPageWhereTheClusterIsNotKnown(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		if paged, again := latePeers(t, 20*time.Second, "", 0); paged != 60 || again == 0 {
			t.Errorf("got %d alerts paged, %d of them again after their resolve; want 60 and some", paged, again)
		}
	})
}

// latePeers counts the alerts that were paged, and those paged again after their resolve.
func latePeers(t *testing.T, interval time.Duration, features string, known int) (paged, again int) {
	t.Helper()
	c, stop := startCluster(t, interval, features, known)
	defer stop()
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("n%02d", i))
	}
	c.post(1, time.Time{}, names...)
	time.Sleep(5 * time.Second) // so that the second one's flushes are so much before the first one's.
	c.post(0, time.Time{}, names...)
	time.Sleep(2*interval + time.Minute)
	for _, name := range names {
		c.post(0, time.Now(), name)
		c.post(1, time.Now(), name)
		time.Sleep(interval / time.Duration(len(names)))
	}
	time.Sleep(3*interval + time.Minute)
	synctest.Wait()
	opened, resolved := map[string]bool{}, map[string]bool{}
	for _, r := range c.pd.Requests() {
		switch {
		case r.Code != http.StatusAccepted:
			t.Errorf("%s of %s was answered %d", r.Action, r.DedupKey, r.Code)
		case r.Action == string(incident.Resolve):
			resolved[r.DedupKey] = true
		case r.Action == string(incident.Trigger):
			opened[r.DedupKey] = true
			if resolved[r.DedupKey] {
				again++
			}
		}
	}
	for _, in := range c.pd.Incidents() {
		if in.Open() {
			t.Errorf("%s is still open", in.DedupKey)
		}
	}
	return len(opened), again
}

// lateWord is what the second peer tells of an alert that began and ended while it
// waited, and that another replica's sidecar has paged and resolved: nothing is sent,
// and it is not held. Its end comes later.
func (w *world) lateWord(s step) {
	i, fp := s.Alert, fingerprint(s.Alert)
	if w.peers < 2 || w.unclear != "" || w.firing[i] || w.muted[i] != "" || w.peerTells(i) || w.held(fp) {
		return
	}
	starts := time.Now()
	time.Sleep(2 * peerSkew)
	w.mu.Lock()
	w.starts[i], w.ends[i] = starts, time.Now()
	ends := w.ends[i]
	keys := map[string]bool{}
	for _, o := range w.router.Route(w.webhook(1, "", i, true, starts, time.Time{})) {
		keys[o.DedupKey] = true
	}
	w.mu.Unlock()
	if slices.ContainsFunc(w.store.List(), func(in *incident.Incident) bool { return keys[in.DedupKey] }) {
		return // it would join what is there, or wait for a request in flight.
	}
	sent := len(w.pd.Requests())
	w.sayAs(1, "first notification", i, true, starts.Add(peerSkew), time.Time{})
	synctest.Wait()
	for _, r := range w.pd.Requests()[sent:] {
		if keys[r.DedupKey] {
			w.problem("%s of %s for a late word of another replica's", r.Action, r.DedupKey)
		}
	}
	if w.held(fp) {
		w.problem("alert %d is held as firing after a late word", i)
	}
	w.peerDue[i] = time.Now().Add(s.Delay)
	w.later.Go(func() {
		time.Sleep(s.Delay)
		w.sayAs(1, "all alerts resolved", i, false, starts.Add(peerSkew), ends)
	})
}
