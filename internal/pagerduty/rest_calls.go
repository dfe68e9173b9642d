package pagerduty

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	gopagerduty "github.com/PagerDuty/go-pagerduty"
)

// EscalationPolicy is an escalation policy as go-pagerduty reads it.
type EscalationPolicy = gopagerduty.EscalationPolicy

// OnCall is an on-call entry as go-pagerduty reads it: Start and End are "" and the
// ids of User and Schedule are "" where PagerDuty's are null. The type of Schedule is
// that of its reference, of v2 or v3.
type OnCall = gopagerduty.OnCall

// MaintenanceWindow is a maintenance window as go-pagerduty reads it.
type MaintenanceWindow = gopagerduty.MaintenanceWindow

// Reference is PagerDuty's way to name something.
type Reference struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Summary string `json:"summary"` // its name, mostly.
	HTMLURL string `json:"html_url"`
}

// EscalationPolicies is a page of the account's escalation policies, of those whose
// name holds query if that is not "".
func (c *REST) EscalationPolicies(ctx context.Context, query string, offset int) (Page[EscalationPolicy], error) {
	if err := checkOffset(offset, pageLimit); err != nil {
		return Page[EscalationPolicy]{}, fmt.Errorf("GET /escalation_policies: %w", err)
	}
	r, err := library(ctx, c, func(ctx context.Context, pd *gopagerduty.Client) (*gopagerduty.ListEscalationPoliciesResponse, error) {
		return pd.ListEscalationPoliciesWithContext(ctx, gopagerduty.ListEscalationPoliciesOptions{Query: query, Limit: pageLimit, Offset: uint(offset)})
	})
	if err != nil {
		return Page[EscalationPolicy]{}, err
	}
	return libraryPage(r.EscalationPolicies, r.APIListObject, offset)
}

// EscalationPolicy is one escalation policy.
func (c *REST) EscalationPolicy(ctx context.Context, id string) (EscalationPolicy, error) {
	if !IsID(id) {
		return EscalationPolicy{}, notAnID(id)
	}
	p, err := library(ctx, c, func(ctx context.Context, pd *gopagerduty.Client) (*EscalationPolicy, error) {
		return pd.GetEscalationPolicyWithContext(ctx, id, &gopagerduty.GetEscalationPolicyOptions{})
	})
	if err != nil {
		return EscalationPolicy{}, err
	}
	return *p, nil
}

// OnCalls is a page of who is on call on the levels of the given policies between
// since and until, which may be 90 days ahead at most. Entries that overlap the two
// have their own start and end.
func (c *REST) OnCalls(ctx context.Context, policies []string, since, until time.Time, offset int) (Page[OnCall], error) {
	if err := checkOffset(offset, pageLimit); err != nil {
		return Page[OnCall]{}, fmt.Errorf("GET /oncalls: %w", err)
	}
	r, err := library(ctx, c, func(ctx context.Context, pd *gopagerduty.Client) (*gopagerduty.ListOnCallsResponse, error) {
		return pd.ListOnCallsWithContext(ctx, gopagerduty.ListOnCallOptions{
			EscalationPolicyIDs: policies, Since: formatTime(since), Until: formatTime(until), Limit: pageLimit, Offset: uint(offset),
		})
	})
	if err != nil {
		return Page[OnCall]{}, err
	}
	return libraryPage(r.OnCalls, r.APIListObject, offset)
}

// OpenMaintenanceWindows is a page of the maintenance windows that are open or to come.
func (c *REST) OpenMaintenanceWindows(ctx context.Context, offset int) (Page[MaintenanceWindow], error) {
	if err := checkOffset(offset, pageLimit); err != nil {
		return Page[MaintenanceWindow]{}, fmt.Errorf("GET /maintenance_windows: %w", err)
	}
	r, err := library(ctx, c, func(ctx context.Context, pd *gopagerduty.Client) (*gopagerduty.ListMaintenanceWindowsResponse, error) {
		return pd.ListMaintenanceWindowsWithContext(ctx, gopagerduty.ListMaintenanceWindowsOptions{Filter: "open", Limit: pageLimit, Offset: uint(offset)})
	})
	if err != nil {
		return Page[MaintenanceWindow]{}, err
	}
	return libraryPage(r.MaintenanceWindows, r.APIListObject, offset)
}

func libraryPage[T any](items []T, l gopagerduty.APIListObject, offset int) (Page[T], error) {
	n, err := next(offset, pageLimit, int(min(l.Limit, pageLimit)), len(items), l.More)
	if err != nil {
		return Page[T]{}, fmt.Errorf("read answer: %w", err)
	}
	return Page[T]{Items: items, Next: n}, nil
}

// Service is what is read of a service.
type Service struct {
	ID                  string        `json:"id"`
	Name                string        `json:"name"`
	HTMLURL             string        `json:"html_url"`
	Status              string        `json:"status"`
	EscalationPolicy    Reference     `json:"escalation_policy"`
	IncidentUrgencyRule *UrgencyRule  `json:"incident_urgency_rule"`
	Integrations        []Integration `json:"integrations"`
}

// UrgencyRule says how a service makes the urgency of its incidents.
type UrgencyRule struct {
	Type    string       `json:"type"`    // constant or use_support_hours.
	Urgency string       `json:"urgency"` // high, low or severity_based, where Type is constant.
	During  *UrgencyRule `json:"during_support_hours"`
	Outside *UrgencyRule `json:"outside_support_hours"`
}

// Integration is a door of a service.
type Integration struct {
	Key KeyHash `json:"integration_key"`
}

// KeyHash is the SHA-256 of an integration key, which is the routing key of events,
// in hexadecimal; "" where PagerDuty hides the key or there is none.
type KeyHash string

// UnmarshalJSON takes a key, and keeps its hash alone.
func (h *KeyHash) UnmarshalJSON(data []byte) error {
	*h = ""
	var key *string
	if json.Unmarshal(data, &key) != nil || key == nil || *key == "" || strings.Contains(*key, "*") {
		return nil // what is no text is no key, and must not be repeated by an error.
	}
	sum := sha256.Sum256([]byte(*key))
	*h = KeyHash(hex.EncodeToString(sum[:]))
	return nil
}

// Services is a page of the account's services, with their integrations.
func (c *REST) Services(ctx context.Context, offset int) (Page[Service], error) {
	// By hand: go-pagerduty refuses the whole page for one e-mail integration whose
	// email_filter_mode is null or new.
	return list[Service](ctx, c, "/services", "services", url.Values{"include[]": {"integrations"}}, offset, pageLimit)
}

// User is what is read of a user. Where they are to be hidden from the token,
// ContactMethods and NotificationRules may be references: their types then say so.
type User struct {
	ID                string             `json:"id"`
	Name              string             `json:"name"`
	HTMLURL           string             `json:"html_url"`
	TimeZone          string             `json:"time_zone"`
	ContactMethods    []ContactMethod    `json:"contact_methods"`
	NotificationRules []NotificationRule `json:"notification_rules"`
}

// ContactMethod is a contact method of a user, without its address.
type ContactMethod struct {
	ID          string `json:"id"`
	Type        string `json:"type"`    // email_contact_method, push_notification_contact_method, ...
	Enabled     *bool  `json:"enabled"` // nil: PagerDuty does not say; not every type has it.
	Blacklisted bool   `json:"blacklisted"`
}

// NotificationRule is a notification rule of a user.
type NotificationRule struct {
	ID                  string    `json:"id"`
	Type                string    `json:"type"`
	StartDelayInMinutes int       `json:"start_delay_in_minutes"`
	ContactMethod       Reference `json:"contact_method"`
	Urgency             string    `json:"urgency"` // high or low.
}

// Users is a page of the account's users.
func (c *REST) Users(ctx context.Context, offset int) (Page[User], error) {
	// By hand: to go-pagerduty a contact method that does not say whether it is
	// enabled, as those of push never do, is not.
	return list[User](ctx, c, "/users", "users", userQuery(), offset, pageLimit)
}

// User is one user. One that is gone is a StatusError of 404.
func (c *REST) User(ctx context.Context, id string) (User, error) {
	// By hand: as for Users.
	return one[User](ctx, c, "/users/", id, "user", userQuery())
}

func userQuery() url.Values {
	return url.Values{"include[]": {"contact_methods", "notification_rules"}}
}
