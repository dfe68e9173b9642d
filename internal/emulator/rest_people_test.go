package emulator_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

type contactMethod struct {
	ID, Type, Address    string
	Enabled, Blacklisted *bool
}

func TestUsersOfREST(t *testing.T) {
	e := newEmulator(t, restAccount, emulator.Options{})
	type user struct {
		ID, Type, Name, Email string
		Methods               []contactMethod                  `json:"contact_methods"`
		Rules                 []struct{ Type, Urgency string } `json:"notification_rules"`
	}
	users := getInto[struct{ Users []user }](t, e, "/users").Users
	if len(users) != 2 || users[0].Name != "Ada" || users[1].Email != "pu2@example.com" || users[0].Methods[0].Type != "sms_contact_method_reference" {
		t.Errorf("got %+v, want Ada and Grace, with references", users)
	}
	ada := getInto[struct{ User user }](t, e, "/users/PU1?include[]=contact_methods&include[]=notification_rules").User
	var methods []string
	for _, m := range ada.Methods {
		flag := func(b *bool) string {
			if b == nil {
				return "-"
			}
			return fmt.Sprint(*b)
		}
		methods = append(methods, m.Type+" "+flag(m.Enabled)+" "+flag(m.Blacklisted))
	}
	want := []string{
		"sms_contact_method true false", "email_contact_method false -", "phone_contact_method true true",
		"push_notification_contact_method - false", "whatsapp_contact_method true false",
	}
	if diff := cmp.Diff(want, methods); diff != "" {
		t.Errorf("contact methods: type, enabled, blacklisted (-want +got):\n%s", diff)
	}
	if len(ada.Rules) != 3 || ada.Rules[2].Urgency != "low" {
		t.Errorf("got rules %+v, want all three", ada.Rules)
	}
	type rules struct {
		Rules []struct {
			Urgency string
			Delay   int           `json:"start_delay_in_minutes"`
			Method  contactMethod `json:"contact_method"`
		} `json:"notification_rules"`
	}
	for query, want := range map[string][]string{
		"":                           {"high 0 C1 sms_contact_method_reference", "high 5 C3 phone_contact_method_reference"},
		"?urgency=low":               {"low 0 C2 email_contact_method_reference"},
		"?urgency=all":               {"high 0 C1 sms_contact_method_reference", "high 5 C3 phone_contact_method_reference", "low 0 C2 email_contact_method_reference"},
		"?include[]=contact_methods": {"high 0 C1 sms_contact_method", "high 5 C3 phone_contact_method"},
	} {
		var got []string
		for _, r := range getInto[rules](t, e, "/users/PU1/notification_rules"+query).Rules {
			got = append(got, fmt.Sprintf("%s %d %s %s", r.Urgency, r.Delay, r.Method.ID, r.Method.Type))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("notification rules%s (-want +got):\n%s", query, diff)
		}
	}
	for path, code := range map[string]int{
		"/users/PU1/notification_rules?urgency=middling": 400, "/users/PU3": 404, "/users/PU3/contact_methods": 404, "/users/NONE/notification_rules": 404,
	} {
		if a := get(t, e, path); a.code != code {
			t.Errorf("%s: got %d, want %d", path, a.code, code)
		}
	}
}

// What REST says is disabled or blacklisted is not used by the Events API.
func TestUnusableContactMethodsAreNotUsed(t *testing.T) {
	e := newEmulator(t, strings.Replace(restAccount, "targets: [{schedule: PC1}]", "targets: [{user: PU1}]", 1), emulator.Options{})
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.Created)
	if diff := cmp.Diff([]string{"sms"}, only(t, e).Log[1].Channels); diff != "" {
		t.Errorf("channels (-want +got):\n%s", diff)
	}
}

func TestServicesOfREST(t *testing.T) {
	e := newEmulator(t, "limits: {unlimited: true}"+restAccount, emulator.Options{})
	type service struct {
		ID, Status, Name string
		Policy           struct {
			ref
			Name string
		} `json:"escalation_policy"`
		Integrations []struct {
			ref
			Key string `json:"integration_key"`
		}
	}
	status := func() string { return getInto[struct{ Service service }](t, e, "/services/PS1").Service.Status }
	wantStatus := func(what, want string) {
		t.Helper()
		if got := status(); got != want {
			t.Errorf("%s: got status %s, want %s", what, got, want)
		}
	}
	wantStatus("nothing open", "active")
	send(t, e, triggerBody(key, "k", "critical"))
	wantStatus("triggered", "critical")
	send(t, e, actBody(key, "acknowledge", "k"))
	wantStatus("acknowledged", "warning")
	window := []emulator.Window{{Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour)}}
	override := func(o emulator.ServiceOverride) {
		t.Helper()
		if err := e.OverrideService("PS1", o); err != nil {
			t.Fatal(err)
		}
	}
	override(emulator.ServiceOverride{MaintenanceWindows: &window})
	wantStatus("in maintenance", "maintenance")
	if got := get(t, e, "/maintenance_windows?filter=ongoing"); !strings.Contains(got.body, `"id":"PS1-M1"`) {
		t.Errorf("got %s, want the window that was added", got.body)
	}
	override(emulator.ServiceOverride{MaintenanceWindows: &window, Status: new("disabled")})
	wantStatus("disabled", "disabled")

	infra := getInto[struct{ Services []service }](t, e, "/services?query=FRA&include[]=integrations&include[]=escalation_policies").Services
	if len(infra) != 1 || infra[0].Integrations[0].Key != key || infra[0].Integrations[1].Key != key2 || infra[0].Policy.Name != "infra policy" {
		t.Errorf("got %+v, want infra alone with its keys and its policy", infra)
	}
	short := getInto[struct{ Services []service }](t, e, "/services?sort_by=name:desc").Services
	if got := names(short, func(s service) string { return s.Name }); !slices.Equal(got, []string{"infra", "batch"}) ||
		short[0].Integrations[0].Key != "" || short[0].Integrations[0].Type != "events_api_v2_inbound_integration_reference" || short[0].Policy.Name != "" {
		t.Errorf("got %+v, want infra and batch, with references", short)
	}
	if got := getInto[struct {
		Integration struct {
			Key string `json:"integration_key"`
		}
	}](t, e, "/services/PS1/integrations/PS1-I2"); got.Integration.Key != key2 {
		t.Errorf("got integration %+v, want the second key", got)
	}
	for _, path := range []string{"/services/PS2/integrations/PS1-I2", "/services/NONE", "/escalation_policies/NONE", "/maintenance_windows/NONE"} {
		if a := get(t, e, path); a.code != http.StatusNotFound || a.body != `{"error":{"code":2100,"message":"Not Found"}}` {
			t.Errorf("%s: got %d %s, want PagerDuty's 404", path, a.code, a.body)
		}
	}
	if got := get(t, e, "/escalation_policies?user_ids[]=PU2"); !strings.Contains(got.body, "PP1") || strings.Contains(got.body, "PP2") {
		t.Errorf("got %s, want the only policy that PU2 is a target of", got.body)
	}
}

func TestMaintenanceWindowFilters(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEmulator(t, restAccount, emulator.Options{})
		time.Sleep(2 * time.Hour) // the first of PS2's windows ends.
		filters := []string{"past", "ongoing", "future", "open", "all", ""}
		check := func(want ...string) {
			t.Helper()
			for i, filter := range filters {
				list := getInto[struct {
					Windows []struct{ ID string } `json:"maintenance_windows"`
				}](t, e, "/maintenance_windows?service_ids[]=PS2&filter="+filter)
				if got := strings.Join(names(list.Windows, func(w struct{ ID string }) string { return w.ID }), " "); got != want[i] {
					t.Errorf("%s: got %q, want %q", filter, got, want[i])
				}
			}
		}
		check("PS2-M1", "", "PS2-M2", "PS2-M2", "PS2-M1 PS2-M2", "PS2-M1 PS2-M2")
		time.Sleep(46 * time.Hour) // the second begins.
		check("PS2-M1", "PS2-M2", "", "PS2-M2", "PS2-M1 PS2-M2", "PS2-M1 PS2-M2")
		if a := get(t, e, "/maintenance_windows?service_ids[]=PS1"); !strings.Contains(a.body, `"maintenance_windows":[]`) {
			t.Errorf("got %s, want none of PS1", a.body)
		}
		if a := get(t, e, "/maintenance_windows?filter=lunar"); a.code != http.StatusBadRequest {
			t.Errorf("got %d, want 400", a.code)
		}
	})
}

func TestSupportHours(t *testing.T) {
	bubble.Test(t, func(t *testing.T) { // begins on a Saturday, 00:00 UTC, 01:00 in Berlin.
		e := newEmulator(t, "limits: {unlimited: true}"+strings.Replace(restAccount, "maintenance_windows:", "#", 1), emulator.Options{})
		hour := 0
		for _, tc := range []struct {
			at        int // hours from the beginning.
			info, bad string
		}{
			{7, "low", "high"}, // 08:00 in Berlin: outside, by severity.
			{8, "high", "high"},
			{15, "high", "high"},
			{16, "low", "high"},
			{24 + 10, "low", "high"}, // Sunday.
			{48 + 10, "high", "high"},
		} {
			time.Sleep(time.Duration(tc.at-hour) * time.Hour)
			hour = tc.at
			for severity, want := range map[string]string{"info": tc.info, "critical": tc.bad} {
				k := fmt.Sprintf("%d-%s", tc.at, severity)
				wantOutcome(t, e, triggerBody(lowK, k, severity), emulator.Created)
				i := slices.IndexFunc(e.Incidents(), func(i emulator.Incident) bool { return i.DedupKey == k })
				if got := e.Incidents()[i].Urgency; got != want {
					t.Errorf("hour %d, %s: got %s, want %s", tc.at, severity, got, want)
				}
			}
		}
	})
}
