package main

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/emulator"
)

// The example of docs/coverage.md, read from there: it audits as the text says.
func TestCoverageExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/coverage.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindSubmatch(page)
	if example == nil {
		t.Fatal("docs/coverage.md has no example")
	}
	server, emu := account(t, exampleAccount(t, "30m", "PADA001"))
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for i, name := range []string{"infra-us-east-1", "payments", "sre-catch-all"} {
		write("keys/"+name, fmt.Sprintf("pagerelayemulator%015d\n", i+1))
	}
	text := strings.Replace(string(example[1]), "/etc/pagerelay/api-token",
		write("api-token", "u+readonly")+"\n  api_requests_per_minute: 960\n  api_url: "+server.URL, 1)
	file := write("pagerelay.yml", text)
	run := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := command(append(args, "--config.file="+file), strings.NewReader(""), &stdout, &stderr); code != want {
			t.Fatalf("pagerelay %s: got exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, &stdout, &stderr)
		}
		return stdout.String()
	}
	expect := func(out string, patterns ...string) {
		t.Helper()
		for _, p := range patterns {
			if !regexp.MustCompile("(?m)" + p).MatchString(out) {
				t.Errorf("got no line like %q in:\n%s", p, out)
			}
		}
	}

	// The region picks the rotation.
	expect(run(0, "rules", "test", "team=infra", "region=us-east-1"), `^Service: +infra-us-east-1$`)
	expect(run(0, "rules", "test", "team=infra", "region=eu-west-1"), `^Service: +sre-catch-all$`)

	expect(run(exitFindings, "coverage", "audit"),
		`^Escalation policy infra us-east-1, paged by infra-us-east-1$`,
		`^  level 1  .* platform-sre \(15m\)$`, `^  level 2  .* infra-lead$`,
		`^  level 1  .* payments-primary \(5m\)$`, `^  level 4  .* Grace Hopper$`,
		`^  CRITICAL  policy_gap  escalation policy infra us-east-1$`,
		`^  CRITICAL  schedule_gap  schedule platform-sre$`,
		`^  CRITICAL  below_min_engineers  schedule prod-monitoring$`, `only Ada Lovelace`,
		`^  WARNING   escalation_ladder_differs  escalation policy payments$`, `level 2 hands over after 30m\s+instead of 10m`,
		`^Findings: 3 critical, 1 warning, `,
	)

	// A second engineer, and the ladder as it should be: two gaps are left.
	if err := emu.SetAccount(*exampleAccount(t, "10m", "PADA001, PGRACE1")); err != nil {
		t.Fatal(err)
	}
	out := run(exitFindings, "coverage", "audit")
	expect(out, `policy_gap`, `^Findings: 2 critical, 0 warning, `)
	if strings.Contains(out, "below_min_engineers") || strings.Contains(out, "escalation_ladder_differs") {
		t.Errorf("got findings that were mended:\n%s", out)
	}
}

// A routing key that cannot be read at the moment joins nothing: that service is not known
// to be well, and others are.
func TestCoverageUnreadableKey(t *testing.T) {
	server, _ := account(t, exampleAccount(t, "10m", "PADA001, PGRACE1"))
	dir := t.TempDir()
	key := filepath.Join(dir, "secret-place")
	file := filepath.Join(dir, "pagerelay.yml")
	for path, text := range map[string]string{
		key: "pagerelayemulator000000000000001\n",
		file: fmt.Sprintf(`
pagerduty: {api_url: %q, api_token: u+readonly, api_requests_per_minute: 960}
services:
  infra: {routing_key_file: %q}
  sre: {routing_key: pagerelayemulator000000000000003}
defaults: {service: sre}
coverage: {escalation_policies: [{name: payments}]}
`, server.URL, key),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := loadParts(file)
	if err != nil {
		t.Fatal(err)
	}
	behind := coverage.Subject{Kind: coverage.KindService, ID: "infra", Name: "infra"}
	audit := func() (*coverage.Audit, coverage.Heard) {
		t.Helper()
		snapshot, err := p.source.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		heard, _ := coverage.NewHearing(snapshot, p.config.Coverage).Heard("infra", time.Now())
		return coverage.NewAudit(snapshot, p.config.Coverage, time.Now()), heard
	}
	if a, heard := audit(); !a.Whole() || !a.Result.Judged(coverage.ServiceDisabled, behind) || heard != coverage.Hears {
		t.Fatalf("with the key: got unknown %v, heard %q; want nothing unknown, somebody", a.Result.Unknown, heard)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	a, heard := audit()
	if a.Result.Judged(coverage.ServiceDisabled, behind) || heard != coverage.NotKnown || len(a.Result.Unknown) != 1 {
		t.Errorf("without the key: got unknown %v, heard %q; want that nothing is known of this service", a.Result.Unknown, heard)
	}
	reasons := strings.Join(a.Reasons(), "\n")
	if !strings.Contains(reasons, "its routing key cannot be read") || strings.Contains(reasons, "secret-place") {
		t.Errorf("got reasons %q, want the name of the service and no path", reasons)
	}
}

// An export asks for the schedule and its people, and nothing of policies or services.
func TestCoverageExportAsksLittle(t *testing.T) {
	server, emu := account(t, exampleAccount(t, "10m", "PADA001, PGRACE1"))
	file := filepath.Join(t.TempDir(), "pagerelay.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
pagerduty: {api_url: %q, api_token: u+readonly, api_requests_per_minute: 960}
services: {infra: {routing_key: pagerelayemulator000000000000001}}
`, server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := command([]string{"coverage", "export", "--schedule=prod-monitoring", "--config.file=" + file}, nil, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "Ada Lovelace") {
		t.Fatalf("got exit code %d, %s%s", code, &stdout, &stderr)
	}
	want := map[string]bool{"/schedules": true, "/schedules/{id}": true, "/v3/schedules": true, "/users/{id}": true}
	for route, n := range emu.RESTCounts().ByRoute {
		if !want[route] || n > 2 {
			t.Errorf("got %d requests for %s", n, route)
		}
	}
}

func account(t *testing.T, cfg *emulator.Config) (*httptest.Server, *emulator.Emulator) {
	t.Helper()
	emu, err := emulator.New(*cfg, emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(emu.Handler())
	t.Cleanup(server.Close)
	return server, emu
}

// exampleAccount is what PagerDuty has for the example: payments' second level waits
// for the given time, these engineers are on prod-monitoring, and on one day nobody
// is on call for the infrastructure.
func exampleAccount(t *testing.T, wait, engineers string) *emulator.Config {
	t.Helper()
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	const day = 24 * time.Hour
	cfg, err := emulator.Parse([]byte(strings.NewReplacer(
		"$WAIT", wait, "$ENGINEERS", engineers, "$5D", in(5*day), "$6D", in(6*day), "$5H", in(5*day+6*time.Hour), "$6H", in(5*day+12*time.Hour),
	).Replace(`
services:
  - {id: PINFRA1, name: Infra us-east-1, routing_keys: [pagerelayemulator000000000000001], escalation_policy: POLINFRA}
  - {id: PPAYM01, name: Payments, routing_keys: [pagerelayemulator000000000000002], escalation_policy: POLPAYM}
  - {id: PCATCH1, name: Catch-all, routing_keys: [pagerelayemulator000000000000003], escalation_policy: POLSRE1}
escalation_policies:
  - {id: POLINFRA, name: infra us-east-1, levels: [{targets: [{schedule: PSRE001}], delay: 15m}, {targets: [{schedule: PLEAD01}]}]}
  - id: POLPAYM
    name: payments
    levels:
      - {targets: [{schedule: PPRIM01}], delay: 5m}
      - {targets: [{schedule: PSECO01}], delay: $WAIT}
      - {targets: [{schedule: PPLEA01}], delay: 15m}
      - {targets: [{user: PGRACE1}]}
  - {id: POLSRE1, name: sre, levels: [{targets: [{schedule: PMON001}]}]}
schedules:
  - {id: PMON001, name: prod-monitoring, users: [$ENGINEERS], entries: [{user: PADA001}]}
  - {id: PSRE001, name: platform-sre, entries: [{user: PLIN001, end: $5D}, {user: PNOUR01, start: $6D}]}
  - {id: PLEAD01, name: infra-lead, entries: [{user: PADA001, end: $5H}, {user: PADA001, start: $6H}]}
  - {id: PPRIM01, name: payments-primary, entries: [{user: PNOUR01}]}
  - {id: PSECO01, name: payments-secondary, entries: [{user: PLIN001}]}
  - {id: PPLEA01, name: payments-lead, entries: [{user: PADA001}]}
users:
  - {id: PADA001, name: Ada Lovelace, contact_methods: &phone [{id: CPHONE, type: phone, address: "5550100"}], notification_rules: &rule [{urgency: high, contact_method: CPHONE}]}
  - {id: PGRACE1, name: Grace Hopper, contact_methods: *phone, notification_rules: *rule}
  - {id: PLIN001, name: Lin Chen, contact_methods: *phone, notification_rules: *rule}
  - {id: PNOUR01, name: Nour Haddad, contact_methods: *phone, notification_rules: *rule}
`)))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}
