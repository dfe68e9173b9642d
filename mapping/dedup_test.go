package mapping_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/mapping"
)

// withDedup makes one incident of each alert where d does not say otherwise.
func withDedup(d mapping.Dedup) mapping.Config {
	if d.By.IsZero() {
		d.By.Mode = "alert"
	}
	return mapping.Config{Defaults: mapping.Defaults{Options: mapping.Options{Dedup: &d}}}
}

func labelsBy(names ...string) mapping.Dedup {
	return mapping.Dedup{By: mapping.DedupBy{Labels: names}}
}

// These keys must never change from one release to the next: every incident that
// is open during the upgrade would be orphaned, and paged again.
func TestGoldenKeys(t *testing.T) {
	labels := template.KV{
		"alertname": "DiskFull", "cluster": "eu-1", "instance": "db-1:9100", "replica": "a", "severity": "critical",
	}
	for _, tc := range []struct {
		name   string
		dedup  mapping.Dedup
		labels template.KV
		want   string
	}{
		{"alert", mapping.Dedup{}, labels, "infra/DiskFull/high/33e0d71be8f9581c64e974ac53a7a2ba"},
		{"alert, nothing ignored", mapping.Dedup{Ignore: []string{}}, labels, "infra/DiskFull/high/545eedd6efc6ee5ee848b37e8896db94"},
		{"alert, namespace", mapping.Dedup{Namespace: "eu-west/1"}, labels, "eu-west_1/infra/DiskFull/high/dd215bad16526af526b26b093ca9498d"},
		{"alert, low", mapping.Dedup{}, template.KV{"alertname": "DiskFull", "severity": "warning"}, "infra/DiskFull/low/cdf7b9fa3d578e9795a366677bde2150"},
		{"alert, no name", mapping.Dedup{}, template.KV{"x": "y"}, "infra/alert/high/24a48ef5a1f4fb7d5d52b115dd745c35"},
		{"alert, UTF-8", mapping.Dedup{}, template.KV{"alertname": "Высокая загрузка 🔥", "k8s.pod name": "x\ny"}, "infra/Высокая_загрузка_🔥/high/dc3c496a050d25276d1ab093c2ad75de"},
		{"group", mapping.Dedup{By: mapping.DedupBy{Mode: "group"}}, labels, "infra/DiskFull/high/c0f9cf2a7b27af271f0d61eec15c0455"},
		{"alertmanager", mapping.Dedup{By: mapping.DedupBy{Mode: "alertmanager"}, Namespace: "not used"}, labels, "17c4e445d234645c9e547ff6d32a864af0ebdadcd1902771c24c8d366637ff41"},
		{"labels with the name", labelsBy("cluster", "alertname"), labels, "infra/DiskFull/high/300484585d690d804d9acd1c262c37b4"},
		{"labels without the name", labelsBy("cluster", "missing", "severity"), labels, "infra/cluster=eu-1,severity=critical/high/6e580528c2baed0d8994934ca61bc378"},
		{"template", mapping.Dedup{By: mapping.DedupBy{Key: "{{ .Labels.cluster }}:{{ .GroupLabels.alertname }}"}}, labels, "infra/eu-1:DiskFull/high/a298f2871a0bbcfdbc779253542702c5"},
		{"constant", mapping.Dedup{By: mapping.DedupBy{Key: "everything"}}, labels, "infra/everything/high/9a8b8667f8152b2840ac73c4b4393ccf"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := routeOne(t, mustNew(t, withDedup(tc.dedup)), tc.labels)
			if o.DedupKey != tc.want {
				t.Errorf("got %q, want %q", o.DedupKey, tc.want)
			}
		})
	}
}

// Alertmanager's own key, so that incidents it opened can be resolved.
func TestAlertmanagersKey(t *testing.T) {
	m := mustNew(t, withDedup(mapping.Dedup{By: mapping.DedupBy{Mode: "alertmanager"}}))
	o := routeOne(t, m, template.KV{"alertname": "DiskFull", "severity": "critical"})
	sum := sha256.Sum256([]byte(`{}:{alertname="DiskFull"}`))
	if want := hex.EncodeToString(sum[:]); o.DedupKey != want || !o.BareKey || !o.Shared {
		t.Errorf("got %q, bare %v, shared %v; want %q, true, true", o.DedupKey, o.BareKey, o.Shared, want)
	}
	o = routeOne(t, m, template.KV{"alertname": "DiskFull", "severity": "info"})
	if o.Urgency != mapping.Low || o.Severity != "info" || o.Tier != "info" || !slices.Contains(o.Faults, mapping.FaultUrgency) {
		t.Errorf("acknowledged: got %s %s %s %v, want low, info, info and the urgency fault", o.Urgency, o.Severity, o.Tier, o.Faults)
	}
}

func TestWhoSharesAKey(t *testing.T) {
	a := template.KV{"alertname": "A", "cluster": "x", "instance": "1", "severity": "critical"}
	with := func(name, value string) template.KV {
		out := maps.Clone(a)
		out[name] = value
		return out
	}
	for _, tc := range []struct {
		name   string
		dedup  mapping.Dedup
		other  template.KV
		same   bool
		shared bool // of the other.
	}{
		{"another instance", mapping.Dedup{}, with("instance", "2"), false, false},
		{"another replica", mapping.Dedup{}, with("replica", "b"), true, true},
		{"another prometheus_replica", mapping.Dedup{}, with("prometheus_replica", "b"), true, true},
		{"replica that counts", mapping.Dedup{Ignore: []string{}}, with("replica", "b"), false, false},
		{"own ignored label", mapping.Dedup{Ignore: []string{"instance"}}, with("instance", "2"), true, true},
		{"a label that is empty is missing", mapping.Dedup{}, with("x", ""), true, false},
		{"another urgency", mapping.Dedup{}, with("severity", "warning"), false, false},
		{"labels: the same", labelsBy("cluster"), with("alertname", "B"), true, true},
		{"labels: another", labelsBy("cluster"), with("cluster", "y"), false, true},
		{"labels: same labels, another urgency", labelsBy("cluster"), with("severity", "warning"), false, true},
		{"group", mapping.Dedup{By: mapping.DedupBy{Mode: "group"}}, with("alertname", "B"), true, true},
		{"template", mapping.Dedup{By: mapping.DedupBy{Key: "{{ .Labels.cluster }}"}}, with("alertname", "B"), true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := mustNew(t, withDedup(tc.dedup))
			one, two := routeOne(t, m, a), routeOne(t, m, tc.other)
			if same := one.DedupKey == two.DedupKey; same != tc.same {
				t.Errorf("got %q and %q, want same %v", one.DedupKey, two.DedupKey, tc.same)
			}
			if two.Shared != tc.shared {
				t.Errorf("got shared %v, want %v", two.Shared, tc.shared)
			}
		})
	}
}

// What must not make another key, and what must.
func TestKeyDependsOnWhatTheRuleNames(t *testing.T) {
	base := template.KV{"alertname": "A", "cluster": "x", "severity": "critical"}
	key := func(cfg mapping.Config, change func(*mapping.Group)) string {
		g := group(base)
		if change != nil {
			change(g)
		}
		return mustNew(t, cfg).Route(g)[0].DedupKey
	}
	want := key(withDedup(labelsBy("cluster", "alertname")), nil)
	for name, got := range map[string]string{
		"order of the labels": key(withDedup(labelsBy("alertname", "cluster")), nil),
		"name of the rule": key(mapping.Config{Rules: []mapping.Rule{{Name: "x", Options: mapping.Options{
			Dedup: &mapping.Dedup{By: mapping.DedupBy{Labels: []string{"cluster", "alertname"}}},
		}}}}, nil),
		"times, URLs, annotations, group": key(withDedup(labelsBy("cluster", "alertname")), func(g *mapping.Group) {
			g.ExternalURL, g.GroupKey, g.Receiver, g.Status = "http://other", "{}/{x}:{}", "other", "resolved"
			g.Alerts[0].StartsAt, g.Alerts[0].EndsAt = now(), now()
			g.Alerts[0].Status, g.Alerts[0].GeneratorURL = "resolved", "http://x"
			g.Alerts[0].Annotations = template.KV{"summary": "x"}
		}),
	} {
		if got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	other := withDedup(labelsBy("cluster", "alertname"))
	other.Services = []string{"infra2"}
	spaced := labelsBy("cluster", "alertname")
	spaced.Namespace = "n"
	for name, got := range map[string]string{
		"service":   key(other, nil),
		"namespace": key(withDedup(spaced), nil),
		"mode":      key(withDedup(mapping.Dedup{By: mapping.DedupBy{Key: "A"}}), nil),
	} {
		if got == want {
			t.Errorf("%s: got the same key %q", name, got)
		}
	}
}

// Two different inputs of the hash must not read the same.
func TestKeyIsUnambiguous(t *testing.T) {
	seen := map[string]string{}
	m := mustNew(t, withDedup(mapping.Dedup{Ignore: []string{}}))
	for _, ls := range []template.KV{
		{"a": "b", "c": "d"}, {"a": "bcd"}, {"a": "b\x01c\x01d"}, {"ab": "cd"}, {"a": "b,c=d"}, {"a": "b\",c=\"d"}, {"abc": "d"},
	} {
		key := routeOne(t, m, ls).DedupKey
		if other, ok := seen[key]; ok {
			t.Errorf("%v and %s: the same key %q", ls, other, key)
		}
		seen[key] = fmt.Sprint(ls)
	}
}

func TestKeyFallsBackToTheAlert(t *testing.T) {
	full := template.KV{"alertname": "A", "severity": "critical"}
	for _, tc := range []struct {
		name   string
		dedup  mapping.Dedup
		labels template.KV
		change func(*mapping.Group)
		fault  mapping.Fault
	}{
		{"no label of the list", labelsBy("missing", "empty"), full, nil, mapping.FaultDedupKey},
		{"group without a key", mapping.Dedup{By: mapping.DedupBy{Mode: "group"}}, full, func(g *mapping.Group) { g.GroupKey = "" }, mapping.FaultDedupKey},
		{"Alertmanager's without a key", mapping.Dedup{By: mapping.DedupBy{Mode: "alertmanager"}}, full, func(g *mapping.Group) { g.GroupKey = "" }, mapping.FaultDedupKey},
		{"empty template", mapping.Dedup{By: mapping.DedupBy{Key: " {{ .Labels.x }} "}}, full, nil, mapping.FaultDedupKey},
		{"failing template", mapping.Dedup{By: mapping.DedupBy{Key: "{{ slice .Labels.x 3 }}"}}, full, nil, mapping.FaultTemplate},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, plain := group(tc.labels), group(tc.labels)
			if tc.change != nil {
				tc.change(g)
			}
			got := mustNew(t, withDedup(tc.dedup)).Route(g)[0]
			want := mustNew(t, withDedup(mapping.Dedup{})).Route(plain)[0]
			if got.DedupKey != want.DedupKey || got.Shared || got.BareKey {
				t.Errorf("got %q, shared %v, bare %v; want %q, false, false", got.DedupKey, got.Shared, got.BareKey, want.DedupKey)
			}
			if !slices.Equal(got.Faults, []mapping.Fault{tc.fault}) {
				t.Errorf("got faults %v, want %s", got.Faults, tc.fault)
			}
		})
	}
	t.Run("nothing but ignored labels", func(t *testing.T) {
		m := mustNew(t, withDedup(mapping.Dedup{}))
		a, b := routeOne(t, m, template.KV{"replica": "a"}), routeOne(t, m, template.KV{"replica": "b"})
		if a.DedupKey == b.DedupKey {
			t.Errorf("got the same key %q, want one for each alert", a.DedupKey)
		}
		if !slices.Contains(a.Faults, mapping.FaultDedupKey) || a.Shared {
			t.Errorf("got faults %v, shared %v; want dedup_key, false", a.Faults, a.Shared)
		}
	})
}

func TestKeyStaysWithinItsLimit(t *testing.T) {
	for _, part := range []string{"a", "🔥", "é", "\xff", "\n", "/", "\u202e"} {
		long := strings.Repeat(part, 400)
		for _, by := range []mapping.DedupBy{
			{}, {Mode: "group"}, {Labels: []string{"alertname"}}, {Labels: []string{"x"}}, {Key: "{{ .Labels.x }}"},
		} {
			m := mustNew(t, mapping.Config{
				Services: []string{long},
				Defaults: mapping.Defaults{Options: mapping.Options{Tier: "info", Dedup: &mapping.Dedup{By: by, Namespace: long}}},
			})
			key := routeOne(t, m, template.KV{"alertname": long, "x": long}).DedupKey
			if len(key) == 0 || len(key) > mapping.MaxDedupKey || !utf8.ValidString(key) || strings.Count(key, "/") != 4 {
				t.Errorf("%q by %v: got %d bytes, %q", part, by, len(key), key)
			}
		}
	}
}

// The same notification from two peers of an Alertmanager cluster, and the
// resolve that a third would send.
func TestPeersMakeTheSameKey(t *testing.T) {
	for _, by := range []mapping.DedupBy{
		{}, {Mode: "group"}, {Mode: "alertmanager"}, {Labels: []string{"alertname", "t"}}, {Key: "{{ .Labels.t }}/{{ .GroupKey }}"},
	} {
		m := mustNew(t, withDedup(mapping.Dedup{By: by}))
		a, b := m.Route(capture(t, "15a-ha-peer1.json"))[0], m.Route(capture(t, "15b-ha-peer2-duplicate.json"))[0]
		if a.ExternalURL == b.ExternalURL || a.Alert.StartsAt.Equal(b.Alert.StartsAt) {
			t.Fatal("the captures do not differ as they should")
		}
		if a.DedupKey != b.DedupKey || a.Alert.Fingerprint != b.Alert.Fingerprint {
			t.Errorf("%+v: got %q and %q, want the same key", by, a.DedupKey, b.DedupKey)
		}
	}
}

// People have told Alertmanager's group_by how they want to be paged: a group of 40 alerts
// is one incident for each urgency in it.
func TestDefaultIsOneIncidentAGroup(t *testing.T) {
	var labels []template.KV
	for i := range 40 {
		severity := "critical"
		if i%2 == 1 {
			severity = "warning"
		}
		labels = append(labels, template.KV{"alertname": "DiskFull", "instance": fmt.Sprint(i), "severity": severity})
	}
	m := mustNew(t, mapping.Config{})
	keys := map[mapping.Urgency]map[string]bool{}
	for _, o := range m.Route(group(labels...)) {
		if keys[o.Urgency] == nil {
			keys[o.Urgency] = map[string]bool{}
		}
		keys[o.Urgency][o.DedupKey] = true
		if !o.Shared {
			t.Errorf("%s is not shared", o.DedupKey)
		}
	}
	if len(keys) != 2 || len(keys[mapping.High]) != 1 || len(keys[mapping.Low]) != 1 {
		t.Errorf("got keys %v, want one for each urgency", keys)
	}
}

// What pagerelay raises itself is in no group of Alertmanager's: each is its own incident.
func TestOwnAlertsAreNotGrouped(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	for _, origin := range []mapping.Origin{mapping.OriginSelf, mapping.OriginCoverage} {
		g := group(template.KV{"alertname": "A", "id": "1"}, template.KV{"alertname": "A", "id": "2"})
		g.Origin = origin
		obs := m.Route(g)
		if obs[0].DedupKey == obs[1].DedupKey || len(obs[0].Faults) > 1 {
			t.Errorf("%s: got keys %s and %s, faults %v", origin, obs[0].DedupKey, obs[1].DedupKey, obs[0].Faults)
		}
	}
}
