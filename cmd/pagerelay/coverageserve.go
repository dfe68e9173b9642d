package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

func newAuditor(store *outbox.Store, reg prometheus.Registerer, logger *slog.Logger, onFault func(mapping.Fault)) *coverage.Auditor {
	return coverage.NewAuditor(coverageSink{store}, coverage.AuditorConfig{
		OnFault: onFault, Logger: logger.With("component", "coverage"), Registerer: reg,
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
