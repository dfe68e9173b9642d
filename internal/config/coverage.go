package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
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
