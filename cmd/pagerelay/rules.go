package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
	"github.com/pagerelay/pagerelay/mapping"
)

const (
	formatText = "text"
	formatJSON = "json"
)

// rulesCommand is `pagerelay rules test`.
type rulesCommand struct {
	test        string
	labels      []string
	annotations []string
	receiver    string
	groupBy     []string
	format      string
}

func newRules(app *kingpin.Application) *rulesCommand {
	c := &rulesCommand{}
	cmd := app.Command("rules", "Look at what the rules do.")
	test := cmd.Command("test", "Show what would become of an alert: rule, tier, urgency, service, dedup key and event.")
	test.Arg("label", "The alert's labels, as NAME=VALUE.").Required().StringsVar(&c.labels)
	test.Flag("annotation", "An annotation of the alert, as NAME=VALUE; repeatable.").StringsVar(&c.annotations)
	test.Flag("receiver", "The name of Alertmanager's receiver.").Default("pagerelay").StringVar(&c.receiver)
	test.Flag("group-by", "A label of Alertmanager's group_by; repeatable. The dedup key is made of the group, unless dedup.by says otherwise.").Default("alertname").StringsVar(&c.groupBy)
	test.Flag("format", "text or json.").Default(formatText).EnumVar(&c.format, formatText, formatJSON)
	c.test = test.FullCommand()
	return c
}

// verdict is what one rule makes of an alert.
type verdict struct {
	Rule     string          `json:"rule"` // "" if none took it.
	Tier     string          `json:"tier"`
	Urgency  mapping.Urgency `json:"urgency"`
	Service  string          `json:"service"`
	DedupKey string          `json:"dedup_key"`
	Faults   []mapping.Fault `json:"faults,omitempty"`
	Errors   []string        `json:"errors,omitempty"` // of templates that failed.
	Event    *mapping.Event  `json:"event"`            // null with urgency none.
}

func (c *rulesCommand) run(file string, out io.Writer) error {
	p, err := loadParts(file)
	if err != nil {
		return err
	}
	labels, err := pairs(c.labels)
	if err != nil {
		return err
	}
	annotations, err := pairs(c.annotations)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	verdicts := judge(p.mapper, testGroup(labels, annotations, c.receiver, c.groupBy, now), now)
	if c.format == formatJSON {
		return writeJSON(out, verdicts, "  ")
	}
	for i, v := range verdicts {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if err := v.print(out); err != nil {
			return err
		}
	}
	return nil
}

// judge routes and renders the alerts of g, one verdict an incident.
func judge(m *mapping.Mapper, g *mapping.Group, now time.Time) []verdict {
	var errs []string
	for _, err := range m.RouteErrors(g) {
		errs = append(errs, err.Error())
	}
	verdicts := []verdict{}
	for _, in := range incidents(m.Route(g)) {
		v := verdict{
			Rule: in.view.Rule, Tier: in.view.Tier, Urgency: in.view.Urgency, Service: in.view.Service,
			DedupKey: in.view.DedupKey, Faults: in.faults, Errors: errs,
		}
		if in.view.Urgency.Sends() {
			o := mapping.RenderOptions{Now: now}
			e, faults := m.Render(in.view, o)
			v.Event, v.Faults = &e, append(v.Faults, faults...)
			for _, err := range m.RenderErrors(in.view, o) {
				v.Errors = append(v.Errors, err.Error())
			}
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

func (v *verdict) print(out io.Writer) error {
	rule := v.Rule
	if rule == "" {
		rule = "(none)"
	}
	for _, row := range [][2]string{
		{"Rule", rule}, {"Tier", v.Tier}, {"Urgency", string(v.Urgency)}, {"Service", v.Service}, {"Dedup key", v.DedupKey},
	} {
		fmt.Fprintf(out, "%-10s %s\n", row[0]+":", oneline.Visible(row[1]))
	}
	for _, f := range v.Faults {
		fmt.Fprintf(out, "%-10s %s\n", "Fault:", f)
	}
	for _, e := range v.Errors {
		fmt.Fprintf(out, "%-10s %s\n", "Error:", oneline.Visible(e))
	}
	if v.Event == nil {
		fmt.Fprintf(out, "%-10s nothing is sent\n", "Event:")
		return nil
	}
	fmt.Fprintln(out, "Event:")
	return writeJSON(out, v.Event, "  ")
}

// pairs reads NAME=VALUE arguments.
func pairs(args []string) (template.KV, error) {
	kv := template.KV{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, misused("read %q: write it as NAME=VALUE", arg)
		}
		if _, twice := kv[name]; twice {
			return nil, misused("read %q: %s is given twice", arg, name)
		}
		kv[name] = value
	}
	return kv, nil
}

// testGroup is the webhook that brings one firing alert, in the group that groupBy
// makes of it. Its groupKey lacks the path of routes, which only Alertmanager knows.
func testGroup(labels, annotations template.KV, receiver string, groupBy []string, now time.Time) *mapping.Group {
	grouped, groupLabels := model.LabelSet{}, template.KV{}
	for _, name := range groupBy {
		if v, ok := labels[name]; ok {
			grouped[model.LabelName(name)], groupLabels[name] = model.LabelValue(v), v
		}
	}
	ls := model.LabelSet{}
	for name, v := range labels {
		ls[model.LabelName(name)] = model.LabelValue(v)
	}
	return &mapping.Group{
		Data: template.Data{
			Receiver: receiver, Status: mapping.Firing,
			Alerts: template.Alerts{{
				Status: mapping.Firing, Labels: labels, Annotations: annotations, StartsAt: now,
				Fingerprint: ls.Fingerprint().String(),
			}},
			GroupLabels: groupLabels, CommonLabels: labels, CommonAnnotations: annotations,
		},
		Version: "4", GroupKey: "{}:" + grouped.String(),
	}
}

// told is what a webhook says of one incident.
type told struct {
	view   mapping.Incident
	faults []mapping.Fault
}

// incidents puts observations together by incident, in their order.
func incidents(obs []mapping.Observation) []*told {
	var list []*told
	byID := map[string]*told{}
	for _, o := range obs {
		id := incident.ID(o.Service, o.DedupKey)
		in := byID[id]
		if in == nil {
			in = &told{view: mapping.Incident{
				Service: o.Service, DedupKey: o.DedupKey, Rule: o.Rule, Tier: o.Tier, Urgency: o.Urgency, Severity: o.Severity,
				Origin: o.Origin, Receiver: o.Receiver, ExternalURL: o.ExternalURL, GroupKey: o.GroupKey, GroupLabels: o.GroupLabels,
			}}
			byID[id] = in
			list = append(list, in)
		}
		in.view.Members = append(in.view.Members, o.Alert)
		in.faults = append(in.faults, o.Faults...)
	}
	return list
}
