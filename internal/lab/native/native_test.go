package native_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/internal/lab/native"
	"github.com/pagerelay/pagerelay/mapping"
)

var update = flag.Bool("update", false, "write the captures")

// wire notes the webhooks of one Alertmanager or several, in order.
type wire struct {
	mtx    sync.Mutex
	bodies [][]byte
}

func (w *wire) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	w.mtx.Lock()
	defer w.mtx.Unlock()
	w.bodies = append(w.bodies, body)
}

// said sums the webhooks up since the one of this number: who says what of which alerts, and why.
func (w *wire) said(t *testing.T, since int) []string {
	t.Helper()
	w.mtx.Lock()
	defer w.mtx.Unlock()
	var out []string
	for _, body := range w.bodies[since:] {
		var g mapping.Group
		if err := json.Unmarshal(body, &g); err != nil {
			t.Fatal(err)
		}
		text := g.ExternalURL + ", " + g.NotificationReason + ":"
		for _, a := range g.Alerts {
			text += " " + a.Labels["instance"] + " " + a.Status + " since " + a.StartsAt.Format(time.TimeOnly)
		}
		out = append(out, text)
	}
	return out
}

// captured holds a webhook against the capture of its name.
func (w *wire) captured(t *testing.T, number int, name string) {
	t.Helper()
	file := filepath.Join("..", "..", "..", "receiver", "testdata", "captures", name)
	w.mtx.Lock()
	got := w.bodies[number]
	w.mtx.Unlock()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not what Alertmanager sends (-capture +sent; -update writes it):\n%s", name, diff)
	}
}

// noon is when the histories begin: the captures are of that time.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func start(t *testing.T, o native.Options) *native.Member {
	t.Helper()
	o.Config = `
route: {receiver: native, group_by: [alertname], group_wait: 1s, group_interval: 30s, repeat_interval: 4h}
receivers: [{name: native, webhook_configs: [{url: 'http://pagerelay/webhook'}]}]
`
	m, err := native.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func fires(instance string) native.Alert {
	return native.Alert{
		Labels:   map[string]string{"alertname": "Native", "instance": instance, "severity": "critical"},
		StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour),
	}
}

func over(a native.Alert) native.Alert {
	a.EndsAt = time.Now()
	return a
}

func post(t *testing.T, m *native.Member, alerts ...native.Alert) {
	t.Helper()
	if err := m.Post(alerts...); err != nil {
		t.Fatal(err)
	}
}

// What comes out of a mute is not told again, as ever; but where the notification log
// knows of mutes (since 0.35, a feature) it is told as if it were new, with its old
// start. What ends in the mute is never told.
func TestComingOutOfAMute(t *testing.T) {
	for _, tc := range []struct {
		features string
		after    []string
		captures []string
	}{
		{"", nil, []string{""}},
		{
			"muted-alerts-in-nflog",
			[]string{"http://am-1, first notification: a firing since 12:00:00"},
			[]string{"17a-mute-logged-before.json", "17b-mute-logged-AGAIN-first.json"},
		},
	} {
		t.Run(fmt.Sprintf("features %q", tc.features), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(noon))
				w := &wire{}
				m := start(t, native.Options{URL: "http://am-1", Features: tc.features, Webhooks: w})
				defer m.Stop()
				a, b := fires("a"), fires("b")
				post(t, m, a, b)
				time.Sleep(10 * time.Second)
				if diff := cmp.Diff([]string{"http://am-1, first notification: a firing since 12:00:00 b firing since 12:00:00"}, w.said(t, 0)); diff != "" {
					t.Fatalf("before the mute (-want +got):\n%s", diff)
				}
				id, err := m.Silence("alertname", "Native", time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				if list := m.List(); len(list) != 2 || !list[0].Silenced {
					t.Errorf("got listed %+v, want two silenced alerts", list)
				}
				time.Sleep(time.Minute)
				post(t, m, over(b))
				time.Sleep(time.Minute)
				if diff := cmp.Diff([]string(nil), w.said(t, 1)); diff != "" {
					t.Errorf("in the mute (-want +got):\n%s", diff)
				}
				if err := m.Expire(id); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if diff := cmp.Diff(tc.after, w.said(t, 1)); diff != "" {
					t.Fatalf("after it (-want +got):\n%s", diff)
				}
				for i, name := range tc.captures {
					if name != "" {
						w.captured(t, i, name)
					}
				}
			})
		})
	}
}

// Two members of a cluster share their log a little late. The second one's flush
// begins before an alert ends, and is over after the first has told that end: it tells
// of the alert as if it were new, and of its end a group_interval later. The log and
// the flag make no difference.
func TestLateWordOfAWaitingMember(t *testing.T) {
	for _, features := range []string{"", "muted-alerts-in-nflog"} {
		t.Run(fmt.Sprintf("features %q", features), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(noon))
				w := &wire{}
				first := start(t, native.Options{URL: "http://am-1", Features: features, Webhooks: w})
				second := start(t, native.Options{URL: "http://am-2", Features: features, Webhooks: w, Wait: 15 * time.Second})
				defer first.Stop()
				defer second.Stop()
				native.Cluster(200*time.Millisecond, first, second)
				a := fires("a")
				post(t, second, a)
				time.Sleep(5 * time.Second) // the first flushes at 5 s and 35 s, the second at 1 s and 31 s.
				post(t, first, a)
				time.Sleep(28 * time.Second)
				post(t, first, over(a)) // after 33 s.
				post(t, second, over(a))
				if list := second.List(); len(list) != 0 {
					t.Errorf("got listed %+v, want nothing", list)
				}
				time.Sleep(2 * time.Minute)
				want := []string{
					"http://am-1, first notification: a firing since 12:00:00",
					"http://am-1, all alerts resolved: a resolved since 12:00:00",
					"http://am-2, first notification: a firing since 12:00:00",
					"http://am-2, all alerts resolved: a resolved since 12:00:00",
				}
				if diff := cmp.Diff(want, w.said(t, 0)); diff != "" {
					t.Fatalf("(-want +got):\n%s", diff)
				}
				for i, name := range []string{"18a-late-peer-fires.json", "18b-late-peer-over.json", "18c-late-peer-FALSE-first.json", "18d-late-peer-over-again.json"} {
					w.captured(t, i, name)
				}
			})
		})
	}
}
