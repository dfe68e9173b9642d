package pagerduty

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	q := url.Values{}
	if query != "" {
		q.Set("query", query)
	}
	return list[EscalationPolicy](ctx, c, "/escalation_policies", "escalation_policies", q, offset, pageLimit)
}

// EscalationPolicy is one escalation policy.
func (c *REST) EscalationPolicy(ctx context.Context, id string) (EscalationPolicy, error) {
	return one[EscalationPolicy](ctx, c, "/escalation_policies/", id, "escalation_policy", nil)
}

// OnCalls is a page of who is on call on the levels of the given policies between
// since and until, which may be 90 days ahead at most. Entries that overlap the two
// have their own start and end.
func (c *REST) OnCalls(ctx context.Context, policies []string, since, until time.Time, offset int) (Page[OnCall], error) {
	return list[OnCall](ctx, c, "/oncalls", "oncalls", url.Values{
		"escalation_policy_ids[]": policies, "since": {formatTime(since)}, "until": {formatTime(until)},
	}, offset, pageLimit)
}

// OpenMaintenanceWindows is a page of the maintenance windows that are open or to come.
func (c *REST) OpenMaintenanceWindows(ctx context.Context, offset int) (Page[MaintenanceWindow], error) {
	return list[MaintenanceWindow](ctx, c, "/maintenance_windows", "maintenance_windows", url.Values{"filter": {"open"}}, offset, pageLimit)
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
	// A type of ours: go-pagerduty's refuses the whole page for one e-mail integration whose
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
	// A type of ours: to go-pagerduty's a contact method that does not say whether it is
	// enabled, as those of push never do, is not.
	return list[User](ctx, c, "/users", "users", userQuery(), offset, pageLimit)
}

// User is one user. One that is gone is a StatusError of 404.
func (c *REST) User(ctx context.Context, id string) (User, error) {
	return one[User](ctx, c, "/users/", id, "user", userQuery())
}

func userQuery() url.Values {
	return url.Values{"include[]": {"contact_methods", "notification_rules"}}
}
