package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

func newAuditor(store *outbox.Store, onAudit func(), reg prometheus.Registerer, logger *slog.Logger, onFault func(mapping.Fault)) *coverage.Auditor {
	return coverage.NewAuditor(coverageSink{store}, coverage.AuditorConfig{
		OnAudit: onAudit, OnFault: onFault, Logger: logger.With("component", "coverage"), Registerer: reg,
	})
}

// coverageSink is the outbox as the auditor sees it.
type coverageSink struct{ *outbox.Store }

// Firing returns the alerts of the auditor that fire.
func (s coverageSink) Firing() []template.Alert {
	var list []template.Alert
	for _, in := range s.List() {
		for fingerprint, m := range in.Members {
			if m.Origin == mapping.OriginCoverage && m.Firing {
				alert := m.Alert
				alert.Fingerprint = fingerprint
				list = append(list, alert)
			}
		}
	}
	return list
}

// heard tells delivery what the last audit says of a service.
func heard(auditor *coverage.Auditor) func(service string, at time.Time) outbox.Coverage {
	return func(service string, at time.Time) outbox.Coverage {
		state, hole := auditor.Heard(service, at)
		switch state {
		case coverage.NobodyHears:
			c := outbox.Coverage{State: outbox.CoverageHole, Since: hole.Since, Until: hole.Until, Maintenance: hole.Reason == coverage.UnderMaintenance}
			switch hole.Reason {
			case coverage.NobodyOnCall:
				c.Reason = fmt.Sprintf("nobody is on call on PagerDuty's escalation policy %.100q", hole.Policy)
			case coverage.DisabledService:
				c.Reason = "the service is disabled in PagerDuty"
			case coverage.UnderMaintenance:
				c.Reason = "the service is in maintenance in PagerDuty"
			}
			return c
		case coverage.NotKnown:
			return outbox.Coverage{State: outbox.CoverageUnknown}
		case coverage.Hears:
			return outbox.Coverage{State: outbox.CoverageFull}
		case coverage.NotAudited:
		}
		return outbox.Coverage{}
	}
}

// auditOnDemand makes an audit for POST /api/v1/coverage/audit.
func auditOnDemand(auditor *coverage.Auditor) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		audit, err := auditor.Audit(ctx)
		if err != nil {
			return nil, err
		}
		return audit.Document(), nil
	}
}
