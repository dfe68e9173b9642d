package mapping_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/mapping"
)

func TestTiers(t *testing.T) {
	tiers := []mapping.Tier{
		{Name: "P1", Urgency: mapping.High},
		{Name: "p2", Urgency: mapping.High, Severity: "error"},
		{Name: "p3", Urgency: mapping.Low},
		{Name: "p4", Urgency: mapping.Acknowledged},
		{Name: "deploy", Urgency: mapping.Change},
		{Name: "off", Urgency: mapping.None},
	}
	type result struct {
		tier     string
		urgency  mapping.Urgency
		severity string
		faults   string
	}
	for _, tc := range []struct {
		name    string
		options mapping.Options
		labels  template.KV
		want    result
	}{
		{"label", mapping.Options{}, template.KV{"severity": "p3"}, result{"p3", "low", "warning", "[]"}},
		{"case and blanks do not count", mapping.Options{}, template.KV{"severity": " p1 "}, result{"P1", "high", "critical", "[]"}},
		{"upper case", mapping.Options{}, template.KV{"severity": "DEPLOY"}, result{"deploy", "change", "info", "[]"}},
		{"severity of the tier", mapping.Options{}, template.KV{"severity": "p2"}, result{"p2", "high", "error", "[]"}},
		{"acknowledged", mapping.Options{}, template.KV{"severity": "p4"}, result{"p4", "acknowledged", "info", "[]"}},
		{"none", mapping.Options{}, template.KV{"severity": "off"}, result{"off", "none", "info", "[]"}},
		{"unknown", mapping.Options{}, template.KV{"severity": "page"}, result{"P1", "high", "critical", "[unknown_tier]"}},
		{"missing", mapping.Options{}, template.KV{"a": "b"}, result{"P1", "high", "critical", "[unknown_tier]"}},
		{"unknown_tier", mapping.Options{UnknownTier: "P3"}, template.KV{"severity": "page"}, result{"p3", "low", "warning", "[unknown_tier]"}},
		{"constant", mapping.Options{Tier: "P3"}, template.KV{"severity": "p1"}, result{"p3", "low", "warning", "[]"}},
		{
			"template",
			mapping.Options{Tier: `{{ if eq .Labels.env "prod" }}p1{{ else }}p3{{ end }}`},
			template.KV{"env": "dev"},
			result{"p3", "low", "warning", "[]"},
		},
		{"route label", mapping.Options{Tier: `{{ .RouteLabels.tier }}`}, template.KV{"a": "b"}, result{"deploy", "change", "info", "[]"}},
		{"route label, Alertmanager's function", mapping.Options{Tier: `{{ routeLabels "tier" }}`}, template.KV{"a": "b"}, result{"deploy", "change", "info", "[]"}},
		{
			"failing template, good label",
			mapping.Options{Tier: `{{ slice .Labels.env 0 9 }}`},
			template.KV{"severity": "p3"},
			result{"p3", "low", "warning", "[template]"},
		},
		{
			"failing template, no label",
			mapping.Options{Tier: `{{ slice .Labels.env 0 9 }}`},
			template.KV{"a": "b"},
			result{"P1", "high", "critical", "[template unknown_tier]"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := mustNew(t, mapping.Config{Tiers: tiers, Defaults: mapping.Defaults{Options: tc.options}})
			g := group(tc.labels)
			g.RouteLabels = template.KV{"tier": "deploy"}
			o := m.Route(g)[0]
			got := result{o.Tier, o.Urgency, o.Severity, fmt.Sprint(o.Faults)}
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if o.Urgency != mapping.None && !strings.Contains(o.DedupKey, "/"+string(o.Urgency)+"/") {
				t.Errorf("got key %q, want the urgency in it", o.DedupKey)
			}
		})
	}
}

// The severity of the audit's findings chooses their tier, whatever the tiers are called.
func TestTierOfFinding(t *testing.T) {
	tiers := func(list string) (out []mapping.Tier) { // "name/urgency ...".
		for text := range strings.FieldsSeq(list) {
			name, urgency, _ := strings.Cut(text, "/")
			out = append(out, mapping.Tier{Name: name, Urgency: mapping.Urgency(urgency)})
		}
		return out
	}
	for _, tc := range []struct{ name, tiers, rule, want string }{ // critical, warning, info.
		{"the default tiers", "", "", "critical warning info"},
		{"the severity's name, whatever its urgency", "page/high warning/high Critical/low info/none", "", "Critical warning info"},
		{"the rule's tier of another label, which findings have not", "page/high ticket/low critical/high", "{{ .Labels.priority }}", "critical ticket ticket"},
		{"the first of the urgency", "off/none wake/high page/high ticket/low mail/low note/acknowledged", "", "wake ticket note"},
		{"none of the urgency: the next more urgent", "page/high ticket/low event/change", "", "page ticket ticket"},
		{"only one that is more urgent", "page/high off/none", "", "page page page"},
		{"only less urgent ones", "off/none event/change note/acknowledged", "", "note note note"},
		{"a rule's constant", "page/high ticket/low", "ticket", "ticket ticket ticket"},
		{"a rule's template", "page/high ticket/low", `{{ if eq .Labels.severity "info" }}page{{ else }}ticket{{ end }}`, "ticket ticket page"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := mustNew(t, mapping.Config{Tiers: tiers(tc.tiers), Defaults: mapping.Defaults{Options: mapping.Options{Tier: tc.rule}}})
			var got []string
			for _, severity := range []string{"critical", "warning", "info"} {
				g := group(template.KV{"alertname": "coverage_gap", "severity": severity})
				g.Origin = mapping.OriginCoverage
				o := m.Route(g)[0]
				got = append(got, o.Tier)
				if len(o.Faults) > 0 {
					t.Errorf("%s: got faults %v, want none", severity, o.Faults)
				}
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("got %s, want %s", s, tc.want)
			}
		})
	}
}

func TestDefaultTiers(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	for severity, want := range map[string]mapping.Urgency{
		"critical": mapping.High, "Warning": mapping.Low, "info": mapping.Acknowledged, "none": mapping.None, "page": mapping.High,
	} {
		if got := routeOne(t, m, template.KV{"severity": severity}).Urgency; got != want {
			t.Errorf("%s: got %s, want %s", severity, got, want)
		}
	}
}

func TestRuleOptionsInherit(t *testing.T) {
	m := mustNew(t, mapping.Config{
		Rules: []mapping.Rule{
			{Name: "own", Matchers: []string{`r="own"`}, Options: mapping.Options{Tier: "warning", Dedup: &mapping.Dedup{Ignore: []string{}}}},
			{Name: "plain", Matchers: []string{`r="plain"`}},
		},
		Defaults: mapping.Defaults{Options: mapping.Options{
			Tier: "info", Dedup: &mapping.Dedup{By: mapping.DedupBy{Mode: "alert"}, Namespace: "eu-1", Ignore: []string{"pod"}},
		}},
	})
	own, plain := routeOne(t, m, template.KV{"r": "own", "pod": "x"}), routeOne(t, m, template.KV{"r": "plain", "pod": "x"})
	if own.Tier != "warning" || plain.Tier != "info" {
		t.Errorf("got tiers %q and %q, want warning and info", own.Tier, plain.Tier)
	}
	if own.Shared || !plain.Shared {
		t.Errorf("got shared %v and %v, want false (ignores nothing) and true (ignores pod)", own.Shared, plain.Shared)
	}
	if !strings.HasPrefix(own.DedupKey, "eu-1/") || !strings.HasPrefix(plain.DedupKey, "eu-1/") {
		t.Errorf("got keys %q and %q, want the namespace of the defaults in both", own.DedupKey, plain.DedupKey)
	}
}

func TestServiceTemplate(t *testing.T) {
	for _, tc := range []struct {
		name, service, label string
		want, faults         string
	}{
		{"known", `{{ .RouteLabels.pd_service }}`, "b", "b", "[]"},
		{"blanks", ` {{ .RouteLabels.pd_service }} `, "b", "b", "[]"},
		{"blanks in a label", `{{ .Labels.s }}`, "", "b", "[]"},
		{"unknown", `{{ .RouteLabels.pd_service }}`, "x", "def", "[unknown_service]"},
		{"empty", `{{ .RouteLabels.pd_service }}`, "", "def", "[unknown_service]"},
		{"failing", `{{ slice .RouteLabels.pd_service 9 }}`, "b", "def", "[template]"},
		{"not set", "", "b", "def", "[]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := mustNew(t, mapping.Config{
				Services: []string{"a", "b", "def"}, Rules: []mapping.Rule{{Name: "r", Service: tc.service}},
				Defaults: mapping.Defaults{Service: "def"},
			})
			g := group(template.KV{"severity": "critical", "s": " b "})
			g.RouteLabels = template.KV{"pd_service": tc.label}
			o := m.Route(g)[0]
			if o.Service != tc.want || fmt.Sprint(o.Faults) != tc.faults {
				t.Errorf("got %q %v, want %q %s", o.Service, o.Faults, tc.want, tc.faults)
			}
			if errs := m.RouteErrors(g); (len(errs) > 0) != (tc.faults == "[template]") {
				t.Errorf("got errors %v", errs)
			} else if len(errs) > 0 && !strings.HasPrefix(errs[0].Error(), "rules[0].service: ") {
				t.Errorf("got %q, want the path in front", errs[0])
			}
		})
	}
}

func TestStatusIsTheAlertsOwn(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	for _, tc := range []struct{ group, alert, want string }{
		{"resolved", "firing", "firing"},
		{"firing", "resolved", "resolved"},
		{"resolved", "", "firing"},
		{"resolved", "suppressed", "firing"},
		{"firing", "Resolved", "resolved"},
	} {
		g := group(template.KV{"a": "b"})
		g.Status, g.Alerts[0].Status, g.Alerts[0].EndsAt = tc.group, tc.alert, start()
		if got := m.Route(g)[0].Alert.Status; got != tc.want {
			t.Errorf("group %q, alert %q: got %q, want %q", tc.group, tc.alert, got, tc.want)
		}
		if g.Alerts[0].Status != tc.alert {
			t.Errorf("got the group changed to %q", g.Alerts[0].Status)
		}
	}
}

func TestFingerprint(t *testing.T) {
	labels := template.KV{"alertname": "DiskFull", "cluster": "eu-1", "instance": "db-1:9100", "job": "node", "severity": "critical"}
	const want = "1f9cfbd33f2c2530" // Alertmanager's own, from capture 01.
	m := mustNew(t, mapping.Config{})
	for _, given := range []string{"", want, "1F9CFBD33F2C2530", "x", strings.Repeat("a", 1000)} {
		g := group(labels)
		g.Alerts[0].Fingerprint = given
		if got := m.Route(g)[0].Alert.Fingerprint; got != want {
			t.Errorf("given %.20q: got %q, want %q", given, got, want)
		}
	}
	g := group(labels)
	g.Alerts[0].Fingerprint = "00000000000000aa"
	if got := m.Route(g)[0].Alert.Fingerprint; got != "00000000000000aa" {
		t.Errorf("got %q, want the one that was given", got)
	}
	g = group(template.KV{"a": "1", "empty": ""})
	if got, want := m.Route(g)[0].Alert.Fingerprint, (model.LabelSet{"a": "1"}).Fingerprint().String(); got != want {
		t.Errorf("empty label: got %q, want %q", got, want)
	}
}

func TestReceiverIsUnquoted(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	for _, name := range []string{"default", "pd.prod/eu", `a\b`, `\\.\`, "a+b(c)[d]{e}|f^$g*h?", "ключ.1", ""} {
		g := group(template.KV{"a": "b"})
		g.Receiver = regexp.QuoteMeta(name)
		if got := m.Route(g)[0].Receiver; got != name {
			t.Errorf("got %q, want %q", got, name)
		}
	}
	for _, raw := range []string{"not.quoted", `half\.quoted.`, `tail\`, `\d`} {
		g := group(template.KV{"a": "b"})
		g.Receiver = raw
		if got := m.Route(g)[0].Receiver; got != raw {
			t.Errorf("got %q, want %q as it was", got, raw)
		}
	}
}

func TestObservationCarriesTheGroup(t *testing.T) {
	m := mustNew(t, mapping.Config{})
	g := group(template.KV{"a": "b", "severity": "info"}, template.KV{"a": "c", "severity": "info"})
	g.NotificationReason = "first notification"
	obs := m.Route(g)
	if len(obs) != 2 {
		t.Fatalf("got %d observations, want 2", len(obs))
	}
	for i, o := range obs {
		if o.Alert.Labels["a"] != g.Alerts[i].Labels["a"] {
			t.Errorf("observation %d: got alert %v, want the group's order", i, o.Alert.Labels)
		}
		if o.Origin != mapping.OriginAlertmanager || o.Reason != "first notification" || o.GroupKey != g.GroupKey ||
			o.ExternalURL != g.ExternalURL || o.GroupLabels["alertname"] != "DiskFull" {
			t.Errorf("got %+v, want what the group says", o)
		}
	}
	g.Origin = mapping.OriginTest
	if got := m.Route(g)[0].Origin; got != mapping.OriginTest {
		t.Errorf("got origin %q, want test", got)
	}
	if got := m.Route(nil); got != nil {
		t.Errorf("nil group: got %v, want nothing", got)
	}
}

// Templates of a tier see the alert and its group in Alertmanager's words.
func TestDataOfATier(t *testing.T) {
	for tpl, want := range map[string]string{
		`{{ .Labels.alertname }}`:                              "A",
		`{{ .Annotations.tier }}`:                              "note",
		`{{ .Status }}`:                                        "firing",
		`{{ .StartsAt.Year }}`:                                 "2026",
		`{{ .EndsAt.IsZero }}`:                                 "true",
		`{{ .GeneratorURL }}`:                                  "http://prom",
		`{{ len .Fingerprint }}`:                               "16",
		`{{ .GroupLabels.alertname }}`:                         "DiskFull",
		`{{ .CommonLabels.c }}`:                                "common",
		`{{ .CommonAnnotations.c }}`:                           "commonnote",
		`{{ .Receiver }}`:                                      "pd.x",
		`{{ .ExternalURL }}`:                                   "http://am.example.test:9093",
		`{{ .GroupKey | len }}`:                                "25",
		`{{ range .Labels.SortedPairs }}{{ .Name }}-{{ end }}`: "alertname-",
		`{{ .Labels.Names }}`:                                  "[alertname]", // methods, and no labels of these names.
		`{{ .Labels.Values }}`:                                 "[a]",
		`{{ .Labels.String }}`:                                 "alertname=a",
		`{{ .Labels.SortedPairs }}`:                            "alertname=A",
		`{{ .Labels.missing }}x`:                               "x",
		`{{ .Labels.alertname | toLower }}`:                    "a",
		`{{ printf "%s-%d" .Labels.alertname 7 }}`:             "A-7",
		`{{ reReplaceAll "A(.*)" "b$1" "Ax" }}`:                "bx",
	} {
		m := mustNew(t, mapping.Config{
			Tiers:    []mapping.Tier{{Name: "other", Urgency: mapping.Low}, {Name: want, Urgency: mapping.High}},
			Defaults: mapping.Defaults{Options: mapping.Options{Tier: tpl}},
		})
		g := group(template.KV{"alertname": "A"})
		g.Receiver, g.CommonLabels, g.CommonAnnotations = `pd\.x`, template.KV{"c": "common"}, template.KV{"c": "commonnote"}
		g.Alerts[0].Annotations, g.Alerts[0].GeneratorURL = template.KV{"tier": "note"}, "http://prom"
		if o := m.Route(g)[0]; o.Tier != want || len(o.Faults) > 0 {
			t.Errorf("%s: got tier %q, faults %v, want %q (%v)", tpl, o.Tier, o.Faults, want, m.RouteErrors(g))
		}
	}
}

func TestTemplatesSeeTheirOwnAlert(t *testing.T) {
	m := mustNew(t, mapping.Config{Defaults: mapping.Defaults{Options: mapping.Options{Tier: `{{ .Annotations.tier | toLower }}`}}})
	g := group(template.KV{"a": "1"}, template.KV{"a": "2"})
	g.Alerts[0].Annotations, g.Alerts[1].Annotations = template.KV{"tier": "warning"}, template.KV{"tier": "info"}
	if obs := m.Route(g); obs[0].Tier != "warning" || obs[1].Tier != "info" {
		t.Errorf("got %q and %q, want warning and info", obs[0].Tier, obs[1].Tier)
	}
}

// A label must not make a template build any amount of text.
func TestHostileLabelInTemplate(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for name, tc := range map[string]struct{ tpl, label string }{
		"width in a format":        {`{{ printf .Labels.x }}`, strings.Repeat("%999999d", 2000)},
		"repeated verb":            {`{{ printf .Labels.x .Labels.y }}`, strings.Repeat("%[1]s", 2000)},
		"long value":               {`{{ .Labels.x }}-`, long},
		"length as a range":        {`{{ range len .Labels.x }}{{ end }}critical`, long},
		"bad pattern":              {`{{ reReplaceAll .Labels.x "" "a" }}`, "("},
		"replacement for each":     {`{{ reReplaceAll "x" .Labels.y .Labels.x }}`, long},
		"pattern that needs paths": {`{{ match .Labels.x "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }}`, "((a*)*)*b{1001}"},
	} {
		t.Run(name, func(t *testing.T) {
			m := mustNew(t, mapping.Config{Defaults: mapping.Defaults{Options: mapping.Options{Tier: tc.tpl}}})
			o := routeOne(t, m, template.KV{"x": tc.label, "y": long, "severity": "warning"})
			if !slices.Contains(o.Faults, mapping.FaultTemplate) || o.Tier != "warning" {
				t.Errorf("got tier %q, faults %v, want a template fault and the label's tier", o.Tier, o.Faults)
			}
		})
	}
}

// A door of our own may name the service: the rules then decide everything else.
func TestServiceOfTheGroup(t *testing.T) {
	m := mustNew(t, mapping.Config{
		Services: []string{"infra", "sre", "trail"},
		Rules: []mapping.Rule{
			{Name: "copy", Matchers: []string{`check="copied"`}, Service: "trail", Continue: true},
			{Name: "own", Matchers: []string{`check=~"own|copied"`}, Service: "infra", Options: mapping.Options{Tier: "warning"}},
		},
		Defaults: mapping.Defaults{Service: "infra"},
	})
	for _, tc := range []struct {
		name, service, check string
		want                 string
	}{
		{"of a rule", "sre", "own", "[sre own warning []]"},
		{"of no rule", "sre", "other", "[sre  critical []]"},
		{"of two rules", "sre", "copied", "[sre copy critical [] sre own warning []]"},
		{"unknown", "gone", "own", "[infra own warning [unknown_service]]"},
		{"not named", "", "own", "[infra own warning []]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := group(template.KV{"alertname": "coverage_gap", "check": tc.check, "severity": "critical"})
			g.Service = tc.service
			var got []any
			for _, o := range m.Route(g) {
				got = append(got, o.Service, o.Rule, o.Tier, o.Faults)
				if !strings.HasPrefix(o.DedupKey, o.Service+"/") {
					t.Errorf("got key %q, want one of %s", o.DedupKey, o.Service)
				}
			}
			if fmt.Sprint(got) != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// All that the audit reports has one name: the key shows what it is of. What is not
// part of the key is not shown.
func TestCoverageKeyShowsTheCheck(t *testing.T) {
	for _, tc := range []struct {
		origin mapping.Origin
		ignore []string
		want   string
	}{
		{mapping.OriginCoverage, nil, "sre/coverage_gap,check=policy_gap,policy=PINFRA/high/"},
		{mapping.OriginCoverage, []string{"id"}, "sre/coverage_gap,check=policy_gap,policy=infra/high/"},
		{mapping.OriginCoverage, []string{"policy"}, "sre/coverage_gap,check=policy_gap/high/"},
		{mapping.OriginAlertmanager, nil, "sre/coverage_gap/high/"},
	} {
		m, err := mapping.New(mapping.Config{
			Services: []string{"sre"}, Defaults: mapping.Defaults{Service: "sre", Options: mapping.Options{Dedup: &mapping.Dedup{By: mapping.DedupBy{Mode: "alert"}, Ignore: tc.ignore}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		g := group(template.KV{"alertname": "coverage_gap", "check": "policy_gap", "policy": "infra", "id": "PINFRA", "severity": "critical"})
		g.Origin = tc.origin
		if got := m.Route(g)[0].DedupKey; !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s without %v: got %s, want %s and a hash", tc.origin, tc.ignore, got, tc.want)
		}
		key := m.Route(g)[0].DedupKey
		g.Alerts[0].Labels["policy"] = "renamed" // which a sidecar that has nothing open hears first.
		same := tc.origin == mapping.OriginCoverage && !slices.Equal(tc.ignore, []string{"id"})
		if got := m.Route(g)[0].DedupKey; (got == key) != same {
			t.Errorf("%s without %v: got key %s after a change of name, %s before; want the same: %v", tc.origin, tc.ignore, got, key, same)
		}
	}
}
