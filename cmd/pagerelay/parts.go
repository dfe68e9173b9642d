package main

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/oncall"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// parts is what is made of a configuration: all that a reload replaces.
type parts struct {
	config       *config.Config
	mapper       *mapping.Mapper
	sender       *pagerduty.Client
	rest         *pagerduty.REST
	alertmanager *alertmanager.Client // nil: there is nobody to ask.
	settings     delivery.Settings
	policy       incident.Policy
	reconcile    alertmanager.ReconcileSettings
	source       *coverageSource
	coverage     coverage.Settings
}

// assemble makes the parts. Nothing is opened, and nothing that runs is touched.
// reg may be nil.
func assemble(cfg *config.Config, reg prometheus.Registerer) (*parts, error) {
	mapper, err := mapping.New(cfg.Mapping)
	if err != nil {
		return nil, err
	}
	sender, err := pagerduty.New(cfg.PagerDuty)
	if err != nil {
		return nil, fmt.Errorf("pagerduty: %w", err)
	}
	rest, err := pagerduty.NewREST(cfg.PagerDuty, pagerduty.RESTOptions{Registerer: reg})
	if err != nil {
		return nil, fmt.Errorf("pagerduty: %w", err)
	}
	cfg.Alertmanager.Registerer = reg
	client, err := alertmanager.New(cfg.Alertmanager)
	if err != nil {
		return nil, fmt.Errorf("alertmanager: %w", err)
	}
	if err := cfg.Access.Validate(); err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	p := &parts{
		config: cfg, mapper: mapper, sender: sender, rest: rest,
		source: &coverageSource{reader: oncall.New(rest), config: cfg},
		settings: delivery.Settings{
			Services: map[string]delivery.Service{}, Renderer: mapper, Sender: sender,
		},
		policy:    incident.Policy{StaleAfter: cfg.StaleAfter, Alertmanagers: client.Members(), Services: cfg.ServiceNames()},
		reconcile: alertmanager.ReconcileSettings{Router: mapper, Policy: cfg.Reconcile},
	}
	p.coverage = coverage.Settings{Config: cfg.Coverage, Source: p.source, Router: mapper, Fallback: map[string]string{}}
	if client.Configured() {
		p.reconcile.Source, p.alertmanager = client, client
	}
	for name, s := range cfg.Services {
		p.coverage.Fallback[name] = s.Fallback
		p.settings.Services[name] = delivery.Service{
			Name: name, Region: s.Region, Fallback: s.Fallback, EventsPerMinute: s.EventsPerMinute,
			Key: s.Key,
			PreviousKeys: func() []string {
				keys, _ := s.PreviousKeys() // one that cannot be read is as good as none.
				return keys
			},
		}
	}
	return p, nil
}

// loadParts reads the configuration file for a subcommand.
func loadParts(file string) (*parts, error) {
	cfg, err := config.Load(file)
	if err != nil {
		if _, ok := errors.AsType[config.Faults](err); ok {
			return nil, fmt.Errorf("%s has faults:\n%w", file, err)
		}
		return nil, err
	}
	return assemble(cfg, nil)
}
