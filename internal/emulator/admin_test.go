package emulator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

func getJSON[T any](t *testing.T, e *emulator.Emulator, path string) T {
	t.Helper()
	a := mustDo(t, e, http.MethodGet, path, "")
	var v T
	if err := json.Unmarshal([]byte(a.body), &v); a.code != 200 || err != nil {
		t.Fatalf("GET %s: got %d %s (%v)", path, a.code, a.body, err)
	}
	return v
}

type incidentList struct {
	Incidents []emulator.Incident `json:"incidents"`
}

func TestIncidentsEndpoint(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	if got := mustDo(t, e, http.MethodGet, "/emulator/incidents", "").body; got != "{\"incidents\":[]}\n" {
		t.Errorf("got %s, want an empty list", got)
	}
	send(t, e, triggerBody(key, "a", "critical"))
	send(t, e, triggerBody(lowK, "b", "critical"))
	send(t, e, triggerBody(key, "c", "critical"))
	send(t, e, actBody(key, "acknowledge", "a"))
	send(t, e, actBody(key, "resolve", "c"))
	for query, want := range map[string][]string{
		"":                             {"a", "b", "c"},
		"?status=open":                 {"a", "b"},
		"?status=triggered":            {"b"},
		"?status=acknowledged":         {"a"},
		"?status=resolved":             {"c"},
		"?service=infra":               {"a", "c"},
		"?service=PS2":                 {"b"},
		"?dedup_key=c":                 {"c"},
		"?dedup_key=c&status=open":     nil,
		"?status=resolved&service=PS1": {"c"},
	} {
		var got []string
		for _, i := range getJSON[incidentList](t, e, "/emulator/incidents"+query).Incidents {
			got = append(got, i.DedupKey)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	if a := mustDo(t, e, http.MethodGet, "/emulator/incidents?status=shut", ""); a.code != 400 {
		t.Errorf("unknown status: got %d, want 400", a.code)
	}
	// The names are an interface: shell scripts read them.
	var raw struct {
		Incidents []map[string]any `json:"incidents"`
	}
	if err := json.Unmarshal([]byte(mustDo(t, e, http.MethodGet, "/emulator/incidents?dedup_key=c", "").body), &raw); err != nil {
		t.Fatal(err)
	}
	i := raw.Incidents[0]
	alert := i["alerts"].([]any)[0].(map[string]any)
	logged := i["log_entries"].([]any)[1].(map[string]any)
	for name, pair := range map[string][2]any{
		"number": {i["number"], 3.0}, "service": {i["service"], "infra"}, "service_id": {i["service_id"], "PS1"},
		"routing_key": {i["routing_key"], "****cdef"}, "dedup_key": {i["dedup_key"], "c"}, "status": {i["status"], "resolved"},
		"urgency": {i["urgency"], "high"}, "severity": {i["severity"], "critical"}, "title": {i["title"], "disk full"},
		"alert_key": {alert["alert_key"], "c"}, "summary": {alert["summary"], "disk full"}, "source": {alert["source"], "db1"},
		"log type": {logged["type"], "notify"}, "log user": {logged["user"], "PU1"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %v, want %v", name, pair[0], pair[1])
		}
	}
	if i["created_at"] == nil || i["resolved_at"] == nil || i["acknowledged_at"] != nil {
		t.Errorf("got times %v, %v, %v", i["created_at"], i["resolved_at"], i["acknowledged_at"])
	}
}

func TestActEndpoints(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	send(t, e, triggerBody(key, "k", "critical"))
	path := "/emulator/incidents/" + only(t, e).ID
	for _, step := range []struct {
		path   string
		code   int
		status emulator.Status
	}{
		{path + "/acknowledge?by=Grace", 204, emulator.Acknowledged},
		{path + "/resolve", 204, emulator.Resolved},
		{path + "/resolve", 409, emulator.Resolved},
		{"/emulator/incidents/QX/resolve", 404, emulator.Resolved},
	} {
		if got := mustDo(t, e, http.MethodPost, step.path, "").code; got != step.code {
			t.Errorf("%s: got %d, want %d", step.path, got, step.code)
		}
		if got := only(t, e).Status; got != step.status {
			t.Errorf("%s: got %s, want %s", step.path, got, step.status)
		}
	}
	if got := only(t, e).Log[2].By; got != "Grace" {
		t.Errorf("got %q acknowledging, want Grace", got)
	}
}

func TestServiceAndFaultEndpoints(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	put := func(path, body string, want int) {
		t.Helper()
		if a := mustDo(t, e, http.MethodPut, path, body); a.code != want {
			t.Errorf("PUT %s %s: got %d %s, want %d", path, body, a.code, a.body, want)
		}
	}
	put("/emulator/services/PS1", `{"status":"disabled"}`, 204)
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.ServiceDisabled)
	put("/emulator/services/PS1", `{"maintenance_windows":[{"start":"2000-01-01T00:00:00Z","end":"2200-01-01T00:00:00Z"}]}`, 204)
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.InMaintenance)
	put("/emulator/services/PS1", `{"on_call":[]}`, 204)
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.NobodyOnCall)
	put("/emulator/services/PS1", `{}`, 204)
	wantOutcome(t, e, triggerBody(key, "k", "critical"), emulator.Created)
	put("/emulator/services/PS9", `{}`, 404)
	put("/emulator/services/PS1", `{"on_call":["PU9"]}`, 400)
	put("/emulator/services/PS1", `{"oncall":[]}`, 400)
	put("/emulator/services/PS1", `{} {}`, 400)

	put("/emulator/faults", `[{"name":"down","match":{"routing_key":"`+key+`"},"do":"answer","status":503,"first":1,"latency":"1ms"}]`, 204)
	put("/emulator/faults", `[{"do":"explode"}]`, 400)
	put("/emulator/faults", `[{"do":"drop","probability":0.5}]`, 400)
	if got := mustDo(t, e, http.MethodGet, "/emulator/faults", "").body; !strings.Contains(got, `"name":"down"`) || strings.Contains(got, key) {
		t.Errorf("got %s, want the rule and not its routing key", got)
	}
	if got := post(t, e, triggerBody(key, "k", "critical")).code; got != 503 {
		t.Errorf("got %d, want 503", got)
	}
	if got := mustDo(t, e, http.MethodDelete, "/emulator/faults", "").code; got != 204 || len(e.Faults()) != 0 {
		t.Errorf("DELETE: got %d and %d rules, want 204 and none", got, len(e.Faults()))
	}
	if got := mustDo(t, e, http.MethodPost, "/emulator/reset", "").code; got != 204 || e.Counts().Total != 0 {
		t.Errorf("reset: got %d and %d requests, want 204 and none", got, e.Counts().Total)
	}
}

func TestRequestsEndpoint(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{KeepRequests: 3})
	for i := range 5 {
		send(t, e, triggerBody(key, fmt.Sprint(i), "critical"))
	}
	post(t, e, `{"routing_key":"`+key+`","event_action":"trigger","dedup_key":"bad"}`)
	type list struct {
		Counts   emulator.Counts    `json:"counts"`
		Requests []emulator.Request `json:"requests"`
	}
	got := getJSON[list](t, e, "/emulator/requests")
	if got.Counts.Total != 6 || got.Counts.Accepted != 5 || got.Counts.Refused != 1 || got.Counts.ByOutcome[emulator.Created] != 5 {
		t.Errorf("got counts %+v, want all six requests", got.Counts)
	}
	if len(got.Requests) != 3 || got.Requests[0].Seq != 4 || got.Requests[2].Code != 400 || len(got.Requests[2].Errors) != 1 {
		t.Errorf("got %+v, want the newest three", got.Requests)
	}
	if r := got.Requests[0]; r.Action != "trigger" || r.DedupKey != "3" || r.Outcome != emulator.Created || r.Service != "infra" || r.Incident == "" || r.MaskedKey != "****cdef" {
		t.Errorf("got %+v, want what was sent", r)
	}
	if got := getJSON[list](t, e, "/emulator/requests?dedup_key=bad&outcome=invalid").Requests; len(got) != 1 {
		t.Errorf("got %d requests by outcome and key, want 1", len(got))
	}
	if r := e.Requests()[0]; r.RoutingKey != key || string(r.Body) != triggerBody(key, "3", "critical") {
		t.Errorf("got %+v, want key and body as they were sent", r)
	}
}

// No endpoint, page or journal line may show a routing key whole.
func TestRoutingKeysAreHidden(t *testing.T) {
	var journal bytes.Buffer
	e := newEmulator(t, account, emulator.Options{Journal: &journal})
	unknown := strings.Repeat("7", 32)
	send(t, e, triggerBody(key, "k", "critical"))
	post(t, e, triggerBody(unknown, "k", "critical"))
	post(t, e, triggerBody("short", "k", "critical"))
	mustDo(t, e, http.MethodPost, "/v2/change/enqueue", `{"routing_key":"`+key+`","payload":{"summary":"s"}}`)
	all := journal.String()
	for _, path := range []string{"/", "/emulator/incidents", "/emulator/requests", "/emulator/changes", "/emulator/faults"} {
		all += mustDo(t, e, http.MethodGet, path, "").body
	}
	for _, secret := range []string{key, unknown, `"short"`} {
		if strings.Contains(all, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	if !strings.Contains(all, "****cdef") {
		t.Error("the end of the key, by which it is recognised, is not shown")
	}
}

// A page in somebody's browser must not be able to resolve incidents here.
func TestOtherSitesCannotAct(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/emulator/reset", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := e.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("got %d, want 403", resp.StatusCode)
	}
}

func TestPageIsSafe(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	evil := `</title><script>alert(1)</script>"'<img src=x onerror=alert(2)>`
	body, err := json.Marshal(map[string]any{
		"routing_key": key, "event_action": "trigger", "dedup_key": "k" + evil, "client": evil, "client_url": "javascript:alert(3)",
		"payload": map[string]any{
			"summary": evil, "source": evil, "severity": "critical", "component": evil, "group": evil, "class": evil,
			"custom_details": map[string]any{evil: evil},
		},
		"links":  []any{map[string]any{"href": "javascript:alert(4)", "text": evil}},
		"images": []any{map[string]any{"src": "javascript:alert(5)"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	send(t, e, string(body))
	setFaults(t, e, emulator.Fault{Name: evil, Do: emulator.DoDrop})
	a := mustDo(t, e, http.MethodGet, "/", "")
	if a.code != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Fatalf("got %d %s", a.code, a.header)
	}
	for _, bad := range []string{"<script", "<img", "javascript:"} {
		if strings.Contains(a.body, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("got policy %q, want default-src 'none'", csp)
	}
	for _, want := range []string{"1 open of 1", "&lt;script&gt;", "high urgency", "notify"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestJournal(t *testing.T) {
	var journal bytes.Buffer
	e := newEmulator(t, account, emulator.Options{Journal: &journal})
	send(t, e, triggerBody(key, "k", "critical"))
	post(t, e, triggerBody(key, "k", "none")) // refused: not in it.
	setFaults(t, e, emulator.Fault{Do: emulator.DoAnswerLost, First: 1}, emulator.Fault{Do: emulator.DoAnswer, Status: 202})
	codes(t, e, 2, "lost") // applied without an answer; answered without being applied.
	e.ClearFaults()
	send(t, e, actBody(key, "resolve", "k"))
	var got []string
	for line := range strings.Lines(journal.String()) {
		var r emulator.Request
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		got = append(got, fmt.Sprint(r.Action, " ", r.DedupKey, " ", r.Outcome, " ", r.Code))
	}
	if diff := cmp.Diff([]string{"trigger k created 202", "trigger lost created 0", "resolve k resolved 202"}, got); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}
