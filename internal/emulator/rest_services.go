package emulator

import (
	"fmt"
	"math"
	"slices"
	"time"
)

type restService struct {
	reference
	Name                   string            `json:"name"`
	Description            string            `json:"description"`
	CreatedAt              string            `json:"created_at"`
	Status                 string            `json:"status"`
	AcknowledgementTimeout *int              `json:"acknowledgement_timeout,omitempty"`
	AlertCreation          string            `json:"alert_creation"`
	EscalationPolicy       any               `json:"escalation_policy"` // a reference or restPolicy.
	Integrations           []any             `json:"integrations"`      // references or restIntegration.
	UrgencyRule            restUrgencyRule   `json:"incident_urgency_rule"`
	SupportHours           *restSupportHours `json:"support_hours,omitempty"`
	Teams                  []reference       `json:"teams"`
}

type restIntegration struct {
	reference
	Name           string    `json:"name"`
	Service        reference `json:"service"`
	CreatedAt      string    `json:"created_at"`
	IntegrationKey string    `json:"integration_key"`
}

func listServices(c *restCall) (any, error) {
	include, err := c.includes("escalation_policies", "integrations")
	if err != nil {
		return nil, err
	}
	list, err := byName(c, c.Services, func(s Service) string { return s.Name })
	if err != nil {
		return nil, err
	}
	if name := c.query.Get("name"); name != "" {
		list = slices.DeleteFunc(list, func(s Service) bool { return s.Name != name })
	}
	list, page, err := paged(c, list, 25, 100)
	if err != nil {
		return nil, err
	}
	out := make([]restService, 0, len(list))
	for _, s := range list {
		out = append(out, c.service(s, include))
	}
	return struct {
		Services []restService `json:"services"`
		restPage
	}{out, page}, nil
}

func getService(c *restCall) (any, error) {
	include, err := c.includes("escalation_policies", "integrations")
	if err != nil {
		return nil, err
	}
	for _, s := range c.Services {
		if s.ID == c.id {
			return map[string]any{"service": c.service(s, include)}, nil
		}
	}
	return nil, errNotFound()
}

func getIntegration(c *restCall) (any, error) {
	if _, err := c.includes(); err != nil {
		return nil, err
	}
	for _, s := range c.Services {
		for _, i := range integrations(s) {
			if s.ID == c.id && i.ID == c.sub {
				return map[string]any{"integration": i}, nil
			}
		}
	}
	return nil, errNotFound()
}

func (c *restCall) service(s Service, include map[string]bool) restService {
	out := restService{
		reference: serviceRef(s).as("service"),
		Name:      s.Name, CreatedAt: created().Format(time.RFC3339), Status: c.states[s.ID].status,
		AlertCreation:    "create_alerts_and_incidents",
		EscalationPolicy: c.policyRef(s.EscalationPolicy),
		Integrations:     []any{},
		Teams:            []reference{},
	}
	out.UrgencyRule, out.SupportHours = s.restUrgency()
	if d := s.AcknowledgementTimeout; d > 0 {
		out.AcknowledgementTimeout = new(int(math.Ceil(d.Seconds())))
	}
	if include["escalation_policies"] {
		out.EscalationPolicy = c.policy(c.policies[s.EscalationPolicy], nil)
	}
	for _, i := range integrations(s) {
		if include["integrations"] {
			out.Integrations = append(out.Integrations, i)
		} else {
			out.Integrations = append(out.Integrations, i.as(i.Type+"_reference"))
		}
	}
	return out
}

// integrations are one for each routing key.
func integrations(s Service) []restIntegration {
	out := make([]restIntegration, 0, len(s.RoutingKeys))
	for n, key := range s.RoutingKeys {
		id := fmt.Sprintf("%s-I%d", s.ID, n+1)
		name := fmt.Sprintf("Events API v2 %d", n+1)
		out = append(out, restIntegration{
			reference: linked("events_api_v2_inbound_integration", "/services/"+s.ID+"/integrations/", id, name),
			Name:      name, Service: serviceRef(s), CreatedAt: created().Format(time.RFC3339), IntegrationKey: key,
		})
	}
	return out
}
