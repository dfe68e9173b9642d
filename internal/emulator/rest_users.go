package emulator

import (
	"fmt"
	"math"
	"slices"
)

type restUser struct {
	reference
	Name              string      `json:"name"`
	Email             string      `json:"email"`
	TimeZone          string      `json:"time_zone"`
	Role              string      `json:"role"`
	Description       *string     `json:"description"`
	InvitationSent    bool        `json:"invitation_sent"`
	ContactMethods    []any       `json:"contact_methods"`    // references or restContactMethod.
	NotificationRules []any       `json:"notification_rules"` // references or restNotificationRule.
	Teams             []reference `json:"teams"`
}

// restContactMethod has the fields of every type; those that a type does not
// have stay nil.
type restContactMethod struct {
	reference
	Label          string `json:"label"`
	Address        string `json:"address"`
	CountryCode    *int   `json:"country_code,omitempty"`
	DeviceType     string `json:"device_type,omitempty"`
	SendShortEmail *bool  `json:"send_short_email,omitempty"`
	Enabled        *bool  `json:"enabled,omitempty"`
	Blacklisted    *bool  `json:"blacklisted,omitempty"`
}

type restNotificationRule struct {
	reference
	DelayMinutes  int    `json:"start_delay_in_minutes"`
	ContactMethod any    `json:"contact_method"` // a reference or restContactMethod.
	Urgency       string `json:"urgency"`
}

func listUsers(c *restCall) (any, error) {
	include, err := c.includes("contact_methods", "notification_rules")
	if err != nil {
		return nil, err
	}
	list, err := byName(c, c.Users, func(u User) string { return u.Name })
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(u User) bool { return u.Deleted })
	list, page, err := paged(c, list, 25, 100)
	if err != nil {
		return nil, err
	}
	out := make([]restUser, 0, len(list))
	for _, u := range list {
		out = append(out, c.user(u, include))
	}
	return struct {
		Users []restUser `json:"users"`
		restPage
	}{out, page}, nil
}

// account is the user that the path names.
func (c *restCall) account() (User, error) {
	u, ok := c.users[c.id]
	if !ok || u.Deleted {
		return User{}, errNotFound()
	}
	return u, nil
}

func getUser(c *restCall) (any, error) {
	include, err := c.includes("contact_methods", "notification_rules")
	if err != nil {
		return nil, err
	}
	u, err := c.account()
	if err != nil {
		return nil, err
	}
	return map[string]any{"user": c.user(u, include)}, nil
}

func listContactMethods(c *restCall) (any, error) {
	u, err := c.account()
	if err != nil {
		return nil, err
	}
	out := []restContactMethod{}
	for _, m := range u.ContactMethods {
		out = append(out, contactMethod(u, m))
	}
	return map[string]any{"contact_methods": out}, nil
}

func listNotificationRules(c *restCall) (any, error) {
	include, err := c.includes("contact_methods")
	if err != nil {
		return nil, err
	}
	u, err := c.account()
	if err != nil {
		return nil, err
	}
	urgency := c.query.Get("urgency")
	setDefault(&urgency, urgencyHigh)
	if !slices.Contains([]string{urgencyHigh, urgencyLow, "all"}, urgency) {
		return nil, errInvalid("urgency %q is not one of high, low, all", urgency)
	}
	out := []restNotificationRule{}
	for i, r := range u.NotificationRules {
		if urgency == "all" || r.Urgency == urgency {
			out = append(out, notificationRule(u, i, include["contact_methods"]))
		}
	}
	return map[string]any{"notification_rules": out}, nil
}

func (c *restCall) user(u User, include map[string]bool) restUser {
	out := restUser{
		reference: c.userRef(u.ID).as("user"),
		Name:      u.Name, Email: u.Email, TimeZone: u.TimeZone, Role: "user",
		ContactMethods: []any{}, NotificationRules: []any{}, Teams: []reference{},
	}
	for _, m := range u.ContactMethods {
		if include["contact_methods"] {
			out.ContactMethods = append(out.ContactMethods, contactMethod(u, m))
		} else {
			out.ContactMethods = append(out.ContactMethods, contactRef(u, m))
		}
	}
	for i := range u.NotificationRules {
		r := notificationRule(u, i, false)
		if include["notification_rules"] {
			out.NotificationRules = append(out.NotificationRules, r)
		} else {
			out.NotificationRules = append(out.NotificationRules, r.as("assignment_notification_rule_reference"))
		}
	}
	return out
}

// contactRef and notificationRule lead to no page for people.
func contactRef(u User, m ContactMethod) reference {
	r := linked(m.Type+"_contact_method_reference", "/users/"+u.ID+"/contact_methods/", m.ID, m.Type)
	r.HTMLURL = nil
	return r
}

func contactMethod(u User, m ContactMethod) restContactMethod {
	out := restContactMethod{
		reference: contactRef(u, m).as(m.Type + "_contact_method"),
		Label:     "Default", Address: m.Address,
	}
	if m.Type == "push_notification" {
		out.DeviceType = "ios"
	} else {
		out.Enabled = new(m.Enabled == nil || *m.Enabled)
	}
	if m.Type == "email" {
		out.SendShortEmail = new(false)
	} else {
		out.Blacklisted = new(m.Blacklisted)
	}
	if slices.Contains([]string{"phone", "sms", "whatsapp"}, m.Type) {
		out.CountryCode = new(1)
	}
	return out
}

func notificationRule(u User, i int, whole bool) restNotificationRule {
	r := u.NotificationRules[i]
	id := fmt.Sprintf("%s-N%d", u.ID, i+1)
	out := restNotificationRule{
		reference:    linked("assignment_notification_rule", "/users/"+u.ID+"/notification_rules/", id, r.Urgency),
		DelayMinutes: int(math.Ceil(r.Delay.Minutes())), Urgency: r.Urgency,
	}
	out.HTMLURL = nil
	for _, m := range u.ContactMethods {
		switch {
		case m.ID != r.ContactMethod:
		case whole:
			out.ContactMethod = contactMethod(u, m)
		default:
			out.ContactMethod = contactRef(u, m)
		}
	}
	return out
}
