package mapping_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pagerelay/pagerelay/mapping"
)

func TestNewReportsEveryFaultWithItsPath(t *testing.T) {
	rule := func(r mapping.Rule) mapping.Config {
		if r.Name == "" {
			r.Name = "r"
		}
		return mapping.Config{Services: []string{"infra"}, Rules: []mapping.Rule{r}}
	}
	options := func(o mapping.Options) mapping.Config { return rule(mapping.Rule{Options: o}) }
	event := func(e mapping.EventTemplates) mapping.Config { return options(mapping.Options{Event: e}) }
	by := func(by mapping.DedupBy) mapping.Config {
		return mapping.Config{Services: []string{"infra"}, Defaults: mapping.Defaults{
			Options: mapping.Options{Dedup: &mapping.Dedup{By: by}},
		}}
	}
	for _, tc := range []struct {
		name string
		cfg  mapping.Config
		want []string // the beginning of each error.
	}{
		{"no service", mapping.Config{}, []string{"services: "}},
		{"several services, no rules, no default", mapping.Config{Services: []string{"a", "b"}}, []string{"defaults.service: "}},
		{"unknown default service", mapping.Config{Services: []string{"a"}, Defaults: mapping.Defaults{Service: "b"}}, []string{`defaults.service: "b"`}},
		{"tier without a name", mapping.Config{Services: []string{"a"}, Tiers: []mapping.Tier{{Urgency: mapping.High}}}, []string{"tiers[0].name: "}},
		{
			"tier twice",
			mapping.Config{Services: []string{"a"}, Tiers: []mapping.Tier{{Name: "p1", Urgency: mapping.High}, {Name: "P1", Urgency: mapping.Low}}},
			[]string{`tiers[1].name: "P1" is there twice`},
		},
		{
			"bad urgency and severity",
			mapping.Config{Services: []string{"a"}, Tiers: []mapping.Tier{{Name: "a", Urgency: "highest"}, {Name: "b", Severity: "fatal"}}},
			[]string{`tiers[0].urgency: "highest"`, `tiers[1].urgency: ""`, `tiers[1].severity: "fatal"`},
		},
		{
			"rule without a name, and a name twice",
			mapping.Config{Services: []string{"a"}, Rules: []mapping.Rule{{Name: "x"}, {}, {Name: "x"}}},
			[]string{"rules[1].name: ", "rules[2].name: "},
		},
		{"unknown service", rule(mapping.Rule{Service: "nope"}), []string{`rules[0].service: "nope"`}},
		{"bad regex", rule(mapping.Rule{Matchers: []string{`a="b"`, `a=~"("`}}), []string{"rules[0].matchers[1]: "}},
		{"bad matcher", rule(mapping.Rule{Matchers: []string{"nonsense"}}), []string{"rules[0].matchers[0]: "}},
		{"empty matcher", rule(mapping.Rule{Matchers: []string{"", "{}"}}), []string{"rules[0].matchers[0]: no matcher", "rules[0].matchers[1]: no matcher"}},
		{"matcher without a name", rule(mapping.Rule{Matchers: []string{`""="x"`}}), []string{"rules[0].matchers[0]: "}},
		{"unknown constant tier", options(mapping.Options{Tier: "nope"}), []string{`rules[0].tier: "nope"`}},
		{"unknown unknown_tier", options(mapping.Options{UnknownTier: "nope"}), []string{`rules[0].unknown_tier: "nope"`}},
		{"template that does not parse", options(mapping.Options{Tier: "{{ .Labels.severity"}), []string{"rules[0].tier: "}},
		{"unknown function", event(mapping.EventTemplates{Summary: "{{ nope }}"}), []string{"rules[0].event.summary: "}},
		{"unknown field", event(mapping.EventTemplates{Source: "{{ .Label.instance }}"}), []string{"rules[0].event.source: "}},
		{"field that an event does not have", event(mapping.EventTemplates{Class: "{{ .RouteLabels.x }}"}), []string{"rules[0].event.class: "}},
		{"wrong argument", event(mapping.EventTemplates{Group: "{{ .Labels | toUpper }}"}), []string{"rules[0].event.group: "}},
		{"clock in a tier", options(mapping.Options{Tier: `{{ if now.IsZero }}{{ end }}`}), []string{"rules[0].tier: now and since"}},
		{"clock in a service", rule(mapping.Rule{Service: `{{ since .StartsAt }}`}), []string{"rules[0].service: now and since"}},
		{"clock in a variable of a key", by(mapping.DedupBy{Key: `{{ with $x := now }}{{ $x }}{{ end }}`}), []string{"defaults.dedup.by.key: now and since"}},
		{"time in a key", by(mapping.DedupBy{Key: "{{ .StartsAt }}"}), []string{"defaults.dedup.by.key: "}},
		{"annotation in a key", by(mapping.DedupBy{Key: "{{ .Annotations.summary }}"}), []string{"defaults.dedup.by.key: "}},
		{"what a group has in common in a key", by(mapping.DedupBy{Key: "{{ .CommonLabels.a }}"}), []string{"defaults.dedup.by.key: "}},
		{"blank key", by(mapping.DedupBy{Key: " "}), []string{"defaults.dedup.by.key: "}},
		{"unknown mode", by(mapping.DedupBy{Mode: "labels"}), []string{`defaults.dedup.by: "labels"`}},
		{"two ways at once", by(mapping.DedupBy{Mode: "group", Key: "x"}), []string{"defaults.dedup.by: "}},
		{"empty list", by(mapping.DedupBy{Labels: []string{}}), []string{"defaults.dedup.by: the list"}},
		{"label twice, label empty", by(mapping.DedupBy{Labels: []string{"a", "a", ""}}), []string{"defaults.dedup.by[1]: ", "defaults.dedup.by[2]: "}},
		{"empty ignored label", options(mapping.Options{Dedup: &mapping.Dedup{Ignore: []string{""}}}), []string{"rules[0].dedup.ignore[0]: "}},
		{"detail without a name", event(mapping.EventTemplates{Details: map[string]string{"": "x"}}), []string{"rules[0].event.details: "}},
		{"bad template of a detail", event(mapping.EventTemplates{Details: map[string]string{"a": "{{"}}), []string{"rules[0].event.details.a: "}},
		{
			"links and images",
			event(mapping.EventTemplates{
				ClientURL: "/relative",
				Links:     []mapping.LinkTemplate{{Href: "javascript:alert(1)"}, {}},
				Images:    []mapping.ImageTemplate{{Src: "http://x.example/a.png"}, {Src: "https://x.example/a.png", Href: "x"}, {}},
			}),
			[]string{
				"rules[0].event.client_url: ", "rules[0].event.links[0].href: ", "rules[0].event.links[1].href: ",
				"rules[0].event.images[0].src: ", "rules[0].event.images[1].href: ", "rules[0].event.images[2].src: ",
			},
		},
		{"template call", event(mapping.EventTemplates{Summary: `{{ template "x" . }}`}), []string{"rules[0].event.summary: "}},
		{"number as a range", event(mapping.EventTemplates{Summary: `{{ range 9000000000 }}{{ end }}`}), []string{"rules[0].event.summary: its loops"}},
		{"variable", event(mapping.EventTemplates{Summary: `{{ $n := 9000000000 }}{{ range $n }}{{ end }}x`}), []string{"rules[0].event.summary: its loops"}},
		{"parentheses", event(mapping.EventTemplates{Summary: `{{ range $i := (9000000000) }}{{ continue }}{{ end }}`}), []string{"rules[0].event.summary: its loops"}},
		{"what a function returns", event(mapping.EventTemplates{Summary: `{{ range index (list 9000000000) 0 }}{{ end }}`}), []string{"rules[0].event.summary: its loops"}},
		{"what a method returns", options(mapping.Options{Tier: `{{ range .StartsAt.Unix }}{{ end }}`}), []string{"rules[0].tier: its loops"}},
		{"range in a range", by(mapping.DedupBy{Key: `{{ range 4000 }}{{ range 4000 }}{{ end }}{{ end }}`}), []string{"defaults.dedup.by.key: its loops"}},
		{"range in a condition", event(mapping.EventTemplates{Summary: `{{ if .Labels }}{{ with 9000000000 }}{{ range . }}{{ else }}{{ end }}{{ end }}{{ end }}`}), []string{"rules[0].event.summary: its loops"}},
		{"range in an else", event(mapping.EventTemplates{Summary: `{{ range .Alerts.Resolved }}{{ else }}{{ range 9000000000 }}{{ end }}{{ end }}`}), []string{"rules[0].event.summary: its loops"}},
		{
			"all at once",
			mapping.Config{
				Services: []string{"a"},
				Tiers:    []mapping.Tier{{Name: "a", Urgency: "x"}},
				Rules:    []mapping.Rule{{Name: "r", Service: "x", Matchers: []string{"("}}},
				Defaults: mapping.Defaults{Options: mapping.Options{Tier: "{{"}},
			},
			[]string{"tiers[0].urgency: ", "defaults.tier: ", "rules[0].matchers[0]: ", "rules[0].service: "},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := mapping.New(tc.cfg)
			if err == nil {
				t.Fatal("got no error")
			}
			if m != nil {
				t.Error("got a mapper beside the error, want none")
			}
			var list interface{ Unwrap() []error }
			if !errors.As(err, &list) {
				t.Fatalf("got %v, want joined errors", err)
			}
			got := list.Unwrap()
			if len(got) != len(tc.want) {
				t.Fatalf("got %d faults, want %d:\n%v", len(got), len(tc.want), err)
			}
			for i, want := range tc.want {
				if !strings.HasPrefix(got[i].Error(), want) {
					t.Errorf("got %q, want it to begin with %q", got[i], want)
				}
			}
		})
	}
}

func TestNewTakesWhatDependsOnTheData(t *testing.T) {
	mustNew(t, mapping.Config{Defaults: mapping.Defaults{Options: mapping.Options{Event: mapping.EventTemplates{
		Summary: `{{ slice .Labels.pod 0 5 }}`,      // no such label in the trial.
		Source:  `{{ (index .Alerts 7).Labels.x }}`, // nor so many alerts.
		Class:   `{{ .Labels.url | urlUnescape }}`,
		Group:   `{{ reReplaceAll "(" "" .Labels.a }}`, // a bad pattern is found at run time only.
		Client:  `{{ range 100000 }}{{ end }}x`,        // as many passes as a template may make.
	}}}})
}

func TestDefaultService(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  mapping.Config
		want string
	}{
		{"the only one", mapping.Config{Services: []string{"a"}}, "a"},
		{"the one named", mapping.Config{Services: []string{"b", "a"}, Defaults: mapping.Defaults{Service: "b"}}, "b"},
		{
			"that of the last rule without matchers",
			mapping.Config{Services: []string{"a", "b", "c"}, Rules: []mapping.Rule{
				{Name: "1", Service: "b"}, {Name: "2", Service: "c"}, {Name: "3", Matchers: []string{`x="y"`}, Service: "a"},
			}},
			"c",
		},
		{
			"the first by name",
			mapping.Config{Services: []string{"c", "b"}, Rules: []mapping.Rule{{Name: "1", Service: "{{ .Labels.s }}"}}},
			"b",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := mustNew(t, tc.cfg).DefaultService(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestRules(t *testing.T) {
	m := mustNew(t, mapping.Config{Rules: []mapping.Rule{{Name: "b"}, {Name: "a"}}})
	if got, want := m.Rules(), []string{"b", "a"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
