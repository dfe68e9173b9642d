package mapping_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/mapping"
)

func TestMatchers(t *testing.T) {
	ls := template.KV{
		"team": "infra", "env": "prod-eu", "k8s.pod name": "x y", "ключ": "значение", "quote": `a "b" \c`, "line": "a\nb", "empty": "", "hex": `in\x66ra`,
	}
	for _, tc := range []struct {
		matchers []string
		want     bool
	}{
		{nil, true},
		{[]string{`team="infra"`}, true},
		{[]string{`team=infra`}, true},
		{[]string{`team = "infra" `}, true},
		{[]string{`team="other"`}, false},
		{[]string{`team!="other"`}, true},
		{[]string{`team!="infra"`}, false},
		{[]string{`env=~"prod-.+"`}, true},
		{[]string{`env=~"prod"`}, false}, // anchored.
		{[]string{`env!~"dev|test"`}, true},
		{[]string{`env!~"prod-.*"`}, false},
		{[]string{`missing=""`}, true},
		{[]string{`missing!=""`}, false},
		{[]string{`missing=~".*"`}, true},
		{[]string{`missing=~".+"`}, false},
		{[]string{`missing!="x"`}, true},
		{[]string{`empty=""`}, true},
		{[]string{`team=""`}, false},
		{[]string{`{team="infra",env="prod-eu"}`}, true},
		{[]string{`team="infra", env=~"prod-.*"`}, true},
		{[]string{`{team="infra",env="dev"}`}, false},
		{[]string{`team="infra"`, `env="dev"`}, false},
		{[]string{`"k8s.pod name"="x y"`}, true},
		{[]string{`{"ключ"="значение"}`}, true},
		{[]string{`ключ="значение"`}, true},
		{[]string{`quote="a \"b\" \\c"`}, true},
		{[]string{`line="a\nb"`}, true},
		{[]string{`env=~prod-[a-z]+`}, true}, // the classic parser alone takes it.
		{[]string{`env=~"prod\-eu"`}, true},  // and it keeps the backslash that the other refuses.
		{[]string{`team=~"(infra|x)"`}, true},
		{[]string{`team="in\x66ra"`}, false}, // the parsers disagree: Alertmanager takes the classic one,
		{[]string{`hex="in\x66ra"`}, true},   // for which this is no escape.
	} {
		t.Run(fmt.Sprint(tc.matchers), func(t *testing.T) {
			m := mustNew(t, mapping.Config{Rules: []mapping.Rule{{Name: "r", Matchers: tc.matchers}}})
			if got := routeOne(t, m, ls).Rule == "r"; got != tc.want {
				t.Errorf("got matched %v, want %v", got, tc.want)
			}
		})
	}
}

func TestRulesFirstMatchAndContinue(t *testing.T) {
	rules := []mapping.Rule{
		{Name: "regex", Matchers: []string{`team=~"db|cache"`, `severity="critical"`}, Service: "a", Continue: true},
		{Name: "db", Matchers: []string{`team="db"`}, Service: "b"},
		{Name: "same-incident", Matchers: []string{`severity="critical"`}, Service: "a", Continue: true},
		{Name: "also-a", Matchers: []string{`team="cache"`}, Service: "a", Continue: true},
		{Name: "eu", Matchers: []string{`cluster="eu"`}, Service: "c", Continue: true},
	}
	m := mustNew(t, mapping.Config{Services: []string{"a", "b", "c", "last"}, Rules: rules, Defaults: mapping.Defaults{Service: "last"}})
	for _, tc := range []struct {
		name   string
		labels template.KV
		want   []string // rule@service.
		fault  bool
	}{
		{"continue, then one that ends it", template.KV{"team": "db", "severity": "critical", "cluster": "eu"}, []string{"regex@a", "db@b"}, false},
		{"the same incident once", template.KV{"team": "cache", "severity": "critical", "cluster": "eu"}, []string{"regex@a", "eu@c"}, false},
		{"continue and nothing after it", template.KV{"cluster": "eu", "severity": "warning"}, []string{"eu@c"}, false},
		{"first match", template.KV{"team": "db", "severity": "info", "cluster": "eu"}, []string{"db@b"}, false},
		{"none", template.KV{"team": "web", "severity": "info"}, []string{"@last"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, o := range m.Route(group(tc.labels)) {
				got = append(got, o.Rule+"@"+o.Service)
				if f := slices.Contains(o.Faults, mapping.FaultNoRule); f != tc.fault {
					t.Errorf("%s: got no_rule %v, want %v", o.Rule, f, tc.fault)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestNoRulesIsNoFault(t *testing.T) {
	o := routeOne(t, mustNew(t, mapping.Config{}), template.KV{"alertname": "A", "severity": "critical"})
	if o.Service != "infra" || o.Rule != "" || len(o.Faults) != 0 {
		t.Errorf("got service %q, rule %q, faults %v; want infra, none, none", o.Service, o.Rule, o.Faults)
	}
}

// The index must give what trying all rules one after the other gives.
func TestIndexAgreesWithScan(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	for range 300 {
		var cfg mapping.Config
		var parsed []labels.Matchers
		for i := range 1 + rnd.IntN(30) {
			r := mapping.Rule{Name: fmt.Sprint(i), Continue: rnd.IntN(3) > 0, Options: mapping.Options{
				Dedup: &mapping.Dedup{Namespace: fmt.Sprint(i)}, // every rule its own incident.
			}}
			var ms labels.Matchers
			for range rnd.IntN(4) {
				in := pick("a", "b", "c", "d") + pick("=", "=", "!=", "=~", "!~") + `"` + pick("", "1", "2", "3") + `"`
				m, err := labels.ParseMatcher(in)
				if err != nil {
					t.Fatal(err)
				}
				ms, r.Matchers = append(ms, m), append(r.Matchers, in)
			}
			cfg.Rules, parsed = append(cfg.Rules, r), append(parsed, ms)
		}
		m := mustNew(t, cfg)
		for range 20 {
			ls := template.KV{}
			for _, name := range []string{"a", "b", "c", "d", "e"} {
				if v := pick("", "1", "2", "3", "-"); v != "-" {
					ls[name] = v
				}
			}
			var want []string
			for i, r := range cfg.Rules {
				if !slices.ContainsFunc(parsed[i], func(m *labels.Matcher) bool { return !m.Matches(ls[m.Name]) }) {
					want = append(want, r.Name)
					if !r.Continue {
						break
					}
				}
			}
			if want == nil {
				want = []string{""}
			}
			var got []string
			for _, o := range m.Route(group(ls)) {
				got = append(got, o.Rule)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("labels %v: got rules %v, want %v", ls, got, want)
			}
		}
	}
}
