package emulator_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

func wantLog(t *testing.T, i emulator.Incident, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, kinds(i)); diff != "" {
		t.Errorf("log of #%d (-want +got):\n%s", i.Number, diff)
	}
}

func wantState(t *testing.T, i emulator.Incident, status emulator.Status, urgency, severity string) {
	t.Helper()
	if i.Status != status || i.Urgency != urgency || i.Severity != severity {
		t.Errorf("#%d: got %s, %s, %s; want %s, %s, %s", i.Number, i.Status, i.Urgency, i.Severity, status, urgency, severity)
	}
}

func TestTriggerOpensAndLogs(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	wantOutcome(t, e, triggerBody(key, "k", "error"), emulator.Created)
	wantOutcome(t, e, `{"routing_key":"`+key+`","event_action":"trigger","dedup_key":"k","payload":{"summary":"other text","source":"db2","severity":"error"}}`, emulator.Logged)
	i := only(t, e)
	wantState(t, i, emulator.Triggered, "high", "error")
	wantLog(t, i, "trigger", "notify PU1 high", "trigger")
	if i.Title != "disk full" || i.Alerts[0].Summary != "disk full" || i.Alerts[0].Source != "db1" || i.Alerts[0].Triggers != 2 {
		t.Errorf("got %+v, want the first trigger's texts and two triggers", i)
	}
	if diff := cmp.Diff([]string{"sms", "email after 5m0s"}, i.Log[1].Channels); diff != "" {
		t.Errorf("channels (-want +got):\n%s", diff)
	}
}

func TestUrgencyFollowsTheRule(t *testing.T) {
	for _, tc := range []struct{ routingKey, severity, want string }{
		{key, "critical", "high"},
		{key, "error", "high"},
		{key, "warning", "low"},
		{key, "info", "low"},
		{lowK, "critical", "low"},
		{lowK, "info", "low"},
	} {
		e := newEmulator(t, account, emulator.Options{})
		send(t, e, triggerBody(tc.routingKey, "k", tc.severity))
		wantState(t, only(t, e), emulator.Triggered, tc.want, tc.severity)
	}
}

func TestSeverityAndUrgencyOnlyRise(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	send(t, e, triggerBody(key, "k", "warning"))
	send(t, e, triggerBody(key, "k", "info"))
	wantState(t, only(t, e), emulator.Triggered, "low", "warning")
	send(t, e, triggerBody(key, "k", "critical"))
	send(t, e, triggerBody(key, "k", "warning"))
	i := only(t, e)
	wantState(t, i, emulator.Triggered, "high", "critical")
	wantLog(t, i, "trigger", "notify PU1 low", "trigger", "trigger", "urgency high", "notify PU1 high", "trigger")
}

func TestAcknowledgedStaysSilent(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	send(t, e, triggerBody(key, "k", "warning"))
	wantOutcome(t, e, actBody(key, "acknowledge", "k"), emulator.DidAcknowledge)
	wantOutcome(t, e, actBody(key, "acknowledge", "k"), emulator.AlreadyAcknowledged)
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.Logged)
	i := only(t, e)
	wantState(t, i, emulator.Acknowledged, "high", "critical") // raised, and nobody notified.
	wantLog(t, i, "trigger", "notify PU1 low", "acknowledge", "trigger", "urgency high")
	if i.Alerts[0].Status != emulator.Triggered {
		t.Errorf("got alert %s, want triggered: an alert is never acknowledged", i.Alerts[0].Status)
	}
	wantOutcome(t, e, actBody(key, "resolve", "k"), emulator.DidResolve)
	if i := only(t, e); i.Status != emulator.Resolved || i.Alerts[0].Status != emulator.Resolved || i.ResolvedAt == nil {
		t.Errorf("got %+v, want it and its alert resolved", i)
	}
}

func TestTriggerAfterResolveIsNew(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	send(t, e, triggerBody(key, "k", "critical"))
	send(t, e, actBody(key, "resolve", "k"))
	wantOutcome(t, e, actBody(key, "resolve", "k"), emulator.NoOpenAlert)
	wantOutcome(t, e, actBody(key, "acknowledge", "k"), emulator.NoOpenAlert)
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.Created)
	list := e.Incidents()
	if len(list) != 2 || list[0].Open() || !list[1].Open() || list[0].ID == list[1].ID {
		t.Errorf("got %+v, want a resolved and a new incident", list)
	}
}

func TestKeysBelongToTheirRoutingKey(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	send(t, e, triggerBody(key, "k", "critical"))
	wantOutcome(t, e, actBody(key2, "resolve", "k"), emulator.NoOpenAlert) // the same service.
	wantOutcome(t, e, actBody(key2, "acknowledge", "k"), emulator.NoOpenAlert)
	wantOutcome(t, e, triggerBody(key2, "k", "critical"), emulator.Created)
	wantOutcome(t, e, actBody(key2, "resolve", "k"), emulator.DidResolve)
	list := e.Incidents()
	if len(list) != 2 || !list[0].Open() || list[1].Open() || list[0].RoutingKey != key || list[1].RoutingKey != key2 {
		t.Errorf("got %+v, want the first open and the second resolved", list)
	}
}

func TestDisabledService(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	send(t, e, triggerBody(key, "before", "critical"))
	if err := e.OverrideService("PS1", emulator.ServiceOverride{Status: new("disabled")}); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.ServiceDisabled)
	wantOutcome(t, e, triggerBody(lowK, "k", "critical"), emulator.Created) // another service.
	wantOutcome(t, e, actBody(key, "resolve", "before"), emulator.DidResolve)
	if err := e.OverrideService("PS1", emulator.ServiceOverride{}); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.Created)
}

func TestNobodyOnCall(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	send(t, e, triggerBody(key, "before", "critical"))
	if err := e.OverrideService("PS1", emulator.ServiceOverride{OnCall: &[]string{}}); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.NobodyOnCall)
	wantOutcome(t, e, actBody(key, "resolve", "k"), emulator.NoOpenAlert)
	wantOutcome(t, e, triggerBody(key, "before", "critical"), emulator.Logged)
	if err := e.OverrideService("PS1", emulator.ServiceOverride{OnCall: &[]string{"PU2"}}); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.Created)
	wantLog(t, e.Incidents()[1], "trigger", "notify PU2 high")
	for _, bad := range []emulator.ServiceOverride{
		{OnCall: &[]string{"PU9"}}, {Status: new("asleep")}, {MaintenanceWindows: &[]emulator.Window{{}}},
	} {
		if err := e.OverrideService("PS1", bad); err == nil {
			t.Errorf("%+v: got no error", bad)
		}
	}
}

func TestPeopleAct(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	send(t, e, triggerBody(key, "k", "critical"))
	id := only(t, e).ID
	if err := e.Acknowledge(id, "Grace"); err != nil {
		t.Fatal(err)
	}
	if err := e.Resolve(id, "Grace"); err != nil {
		t.Fatal(err)
	}
	i := only(t, e)
	wantLog(t, i, "trigger", "notify PU1 high", "acknowledge", "resolve")
	if i.Log[2].By != "Grace" || i.Log[3].By != "Grace" || i.Log[0].By != "api" {
		t.Errorf("got %+v, want the acts to name who did them", i.Log)
	}
	if err := e.Resolve(id, "Grace"); err == nil {
		t.Error("resolving twice: got no error")
	}
	if err := e.Acknowledge("Q0", "Grace"); err == nil {
		t.Error("unknown incident: got no error")
	}
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.Created)
}

func TestLogOfTriggersEndsAt100(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	for range 150 {
		send(t, e, triggerBody(key, "k", "info"))
	}
	i := only(t, e)
	if len(i.Log) != 101 || i.Alerts[0].Triggers != 150 { // 100 triggers and a notification.
		t.Errorf("got %d entries and %d triggers, want 101 and 150", len(i.Log), i.Alerts[0].Triggers)
	}
}

func TestListsAreCopies(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	send(t, e, triggerBody(key, "k", "critical"))
	i := only(t, e)
	i.Alerts[0].Summary, i.Log[0].Summary = "changed", "changed"
	e.Counts().ByOutcome[emulator.Created] = 99
	if i := only(t, e); i.Alerts[0].Summary != "disk full" || i.Log[0].Summary != "disk full" || e.Counts().ByOutcome[emulator.Created] != 1 {
		t.Error("what a caller changes reached the emulator")
	}
}

func TestReset(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	send(t, e, triggerBody(key, "k", "critical"))
	if err := e.OverrideService("PS1", emulator.ServiceOverride{Status: new("disabled")}); err != nil {
		t.Fatal(err)
	}
	if err := e.SetFaults([]emulator.Fault{{Do: emulator.DoReset}}); err != nil {
		t.Fatal(err)
	}
	e.Reset()
	if len(e.Incidents())+len(e.Requests())+len(e.Changes())+len(e.Faults())+e.Counts().Total != 0 {
		t.Error("something is left after Reset")
	}
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.Created)
	if got := only(t, e).Number; got != 1 {
		t.Errorf("got number %d, want 1", got)
	}
}
