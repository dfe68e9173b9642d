package emulator

import (
	"errors"
	"fmt"
	"slices"
)

// SetAccount replaces the account: schedules, policies, users, services and
// limits. Incidents stay open, and what was changed at run time in services that
// keep their ID stays so. Reset takes it back.
func (e *Emulator) SetAccount(cfg Config) error {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.use(newDirectory(cfg))
	return nil
}

// use takes d for the account. The lock must be held.
func (e *Emulator) use(d *directory) {
	old := e.services
	e.services, e.byKey = nil, map[string]*service{}
	for _, s := range d.Services {
		svc := &service{Service: s}
		if i := slices.IndexFunc(old, func(o *service) bool { return o.ID == s.ID }); i >= 0 {
			svc = old[i] // incidents hold it.
			svc.Service = s
		}
		e.services = append(e.services, svc)
		for _, key := range s.RoutingKeys {
			e.byKey[key] = svc
		}
	}
	e.ledger.directory = d
	e.dir.Store(d)
}

// ServiceOverride is what differs from the file at run time; nil fields are as in the file.
type ServiceOverride struct {
	Status             *string   `json:"status,omitempty"` // active or disabled.
	MaintenanceWindows *[]Window `json:"maintenance_windows,omitempty"`
	// OnCall are the IDs of the users on call on the first level, in place of
	// the whole policy; empty: nobody is on call. REST, which knows policies and
	// schedules, does not show it: change the account where it is to agree.
	OnCall *[]string `json:"on_call,omitempty"`
}

// OverrideService replaces all run-time differences of the service with this ID;
// the zero value takes them back.
func (e *Emulator) OverrideService(id string, o ServiceOverride) error {
	var f faults
	if o.Status != nil {
		validateStatus(&f, "status", *o.Status)
	}
	if o.MaintenanceWindows != nil {
		validateWindows(&f, "maintenance_windows", *o.MaintenanceWindows)
		o.MaintenanceWindows = new(slices.Clone(*o.MaintenanceWindows))
	}
	if o.OnCall != nil {
		for i, u := range *o.OnCall {
			if _, ok := e.dir.Load().users[u]; !ok {
				f.add(fmt.Sprintf("on_call[%d]", i), "%q is not in users", u)
			}
		}
		o.OnCall = new(slices.Clone(*o.OnCall))
	}
	if err := errors.Join(f...); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.services {
		if s.ID == id {
			s.override = o
			return nil
		}
	}
	return fmt.Errorf("service %q: %w", id, ErrNotFound)
}
