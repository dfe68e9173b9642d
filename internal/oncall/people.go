package oncall

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

// users reads the people that something was found to name. Who is not there any more
// is gone.
func (p *pass) users(ctx context.Context) {
	wanted := slices.Sorted(maps.Keys(p.snap.Users))
	p.expect(len(wanted))
	f := lookup(ctx, p, wanted, func(string) bool { return true }, source[pagerduty.User]{
		id:   func(u pagerduty.User) string { return u.ID },
		name: func(u pagerduty.User) string { return u.Name },
		list: func(ctx context.Context, _ string, offset int) (pagerduty.Page[pagerduty.User], error) {
			page, err := p.api.Users(ctx, offset)
			page.Items = slices.DeleteFunc(page.Items, func(u pagerduty.User) bool { return p.snap.Users[u.ID] == nil })
			return page, err
		},
		get: p.api.User,
	})
	for _, id := range wanted {
		switch err := f.failed[id]; {
		case err != nil:
			p.snap.Unread = append(p.snap.Unread, coverage.Unread{
				Kind: coverage.KindUser, ID: id, Reason: err.Error(), Denied: denied(err),
			})
		case len(f.ids[id]) == 0:
			p.snap.Users[id].Gone = true
		default:
			p.user(p.snap.Users[id], f.items[id])
		}
	}
	p.step(len(wanted))
}

func (p *pass) user(out *coverage.User, u pagerduty.User) {
	out.Name, out.URL, out.TimeZone = u.Name, u.HTMLURL, u.TimeZone
	hidden := false
	for _, c := range u.ContactMethods {
		if strings.HasSuffix(c.Type, "_reference") {
			hidden = true
			continue
		}
		kind := strings.TrimSuffix(c.Type, "_contact_method")
		if kind == "push_notification" {
			kind = "push"
		}
		out.Contacts = append(out.Contacts, coverage.Contact{
			ID: c.ID, Type: kind, Blocked: c.Blacklisted,
			Disabled: c.Enabled != nil && !*c.Enabled, // push never says; that is not no.
		})
	}
	for _, r := range u.NotificationRules {
		if strings.HasSuffix(r.Type, "_reference") {
			hidden = true
			continue
		}
		out.Rules = append(out.Rules, coverage.NotificationRule{
			Contact: r.ContactMethod.ID, Urgency: r.Urgency, Delay: time.Duration(r.StartDelayInMinutes) * time.Minute,
		})
	}
	if hidden {
		p.snap.Unread = append(p.snap.Unread, coverage.Unread{
			Check: coverage.UserUnreachable, Kind: coverage.KindUser, ID: u.ID,
			Reason: "PagerDuty shows this token no contact methods or notification rules, only that there are some",
			Denied: true,
		})
	}
}
