package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

// auditSpread is the part of the interval by which an audit comes sooner at most; how
// much is drawn once a process.
const auditSpread = 0.1

// unresolveTimeout bounds how long an audit waits for the outbox.
const unresolveTimeout = 30 * time.Second

// newAuditor makes the auditor. audited is called when what heard answers has changed.
func newAuditor(store *outbox.Store, audited func(), reg prometheus.Registerer, logger *slog.Logger, onFault func(mapping.Fault)) *coverage.Auditor {
	log := logger.With("component", "coverage")
	var auditor *coverage.Auditor
	auditor = coverage.NewAuditor(coverageSink{store}, coverage.AuditorConfig{
		Spread: auditSpread * rand.Float64(),
		OnAudit: func() {
			unresolve(store, heard(auditor), log)
			audited()
		},
		OnFault: onFault, Logger: log, Registerer: reg,
	})
	return auditor
}

// unresolve brings back what was resolved in a maintenance window that the audit
// knows of only now.
func unresolve(store *outbox.Store, heard func(string, time.Time) incident.Coverage, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), unresolveTimeout)
	defer cancel()
	for _, service := range store.Policy().Services {
		c := heard(service, time.Now())
		if c.State != incident.CoverageUncovered || !c.Maintenance || c.Since.IsZero() {
			continue
		}
		n, err := store.ReopenResolved(ctx, service, c.Since, incident.Uncovered{Reason: c.Reason, Until: c.Until})
		switch {
		case err != nil && !errors.Is(err, outbox.ErrClosed):
			log.Error("What was resolved in a maintenance window could not be brought back; the next audit tries again", "service", service, "err", err)
		case n > 0:
			log.Warn("Incidents were resolved in a maintenance window that was not known; they are resolved again after it", "service", service, "incidents", n)
		}
	}
}

// coverageSink is the outbox as the auditor sees it.
type coverageSink struct{ *outbox.Store }

// Firing returns the alerts of the auditor that fire.
func (s coverageSink) Firing() []template.Alert {
	return s.FiringOf(mapping.OriginCoverage)
}

// heard tells delivery what the last audit says of a service.
func heard(auditor *coverage.Auditor) func(service string, at time.Time) incident.Coverage {
	return func(service string, at time.Time) incident.Coverage {
		state, hole := auditor.Heard(service, at)
		switch state {
		case coverage.NobodyHears:
			c := incident.Coverage{State: incident.CoverageUncovered, Since: hole.Since, Until: hole.Until, Maintenance: hole.Reason != coverage.NobodyOnCall}
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
			return incident.Coverage{State: incident.CoverageUnknown}
		case coverage.Hears:
			return incident.Coverage{State: incident.CoverageFull}
		case coverage.NotAudited:
		}
		return incident.Coverage{}
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
