package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// validateCoverage checks the section coverage, and what it names of others.
func (c *Config) validateCoverage(faults *Faults) {
	cov := c.Coverage
	faults.addAll("coverage.", cov.Validate())
	if !cov.Audits() {
		if !reflect.ValueOf(cov).IsZero() {
			faults.add("coverage", "names nothing to audit; list schedules or escalation_policies, or remove the section")
		}
		return
	}
	known := func(path, name string) {
		if _, ok := c.Services[name]; !ok {
			faults.add(path, "no service is named %q; the services are %s", name, strings.Join(c.ServiceNames(), ", "))
		}
	}
	for i, p := range cov.Policies {
		for j, name := range p.Services {
			known(fmt.Sprintf("coverage.escalation_policies[%d].services[%d]", i, j), name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cov.Services.IDs)) {
		known("coverage.services.ids."+name, name)
	}
	report := cov.Report.Service
	if report == "" {
		return
	}
	known("coverage.report.service", report)
	for i, p := range cov.Policies {
		// A page that nobody there would hear goes from fallback to fallback.
		var way []string
		for next := report; slices.Contains(p.Services, next) && !slices.Contains(way, next); next = c.Services[next].Fallback {
			way = append(way, next)
		}
		if len(way) == 0 {
			continue
		}
		last := c.Services[way[len(way)-1]].Fallback
		if last != "" && !slices.Contains(way, last) {
			continue
		}
		also := ""
		if len(way) > 1 {
			also = fmt.Sprintf(", and so do its fallbacks (%s)", strings.Join(way[1:], ", "))
		}
		faults.add("coverage.report.service", "pages escalation_policies[%d] (%s), one of those that are audited%s: when nobody is on call there, nobody would hear of it; give services.%s a fallback that pages another policy, or report to another service",
			i, p.Name, also, way[len(way)-1])
		return
	}
}

// tryCoverage returns what makes a value of the section coverage stop the YAML
// package: its durations and time intervals read themselves. Faults of structure
// come with everybody else's.
func tryCoverage(path string, n *yaml.Node) error {
	var into any
	switch {
	case regexp.MustCompile(`^coverage\.(interval|horizon|ignore_shorter_than|escalation_policies\[\d+\]\.levels\[\d+\]\.escalate_after)$`).MatchString(path):
		into = new(model.Duration)
	case regexp.MustCompile(`^coverage\.time_intervals\[\d+\]\.time_intervals\[\d+\]$`).MatchString(path):
		into = new(timeinterval.TimeInterval)
	default:
		return nil
	}
	err := n.Decode(into)
	var typed *yaml.TypeError
	if err == nil || errors.As(err, &typed) {
		return nil
	}
	return err
}
