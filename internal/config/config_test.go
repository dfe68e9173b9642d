package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/pagerelay/pagerelay/internal/config"
)

const (
	key      = "0123456789abcdefABCDEF0123456789"
	otherKey = "99999999999999999999999999999999" // a number to YAML.
	floatKey = "1234567890123456789012345678e100" // likewise.
)

// minimal is the least that is a configuration.
const minimal = "services:\n  ops:\n    routing_key: " + key + "\n"

func TestParseMinimal(t *testing.T) {
	c, err := config.Parse([]byte(minimal), "/etc/pagerelay")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.StaleAfter, 2*time.Minute; got != want {
		t.Errorf("stale_after: got %v, want %v", got, want)
	}
	s := c.Services["ops"]
	if s.EventsPerMinute != 120 || s.Region != "us" {
		t.Errorf("got %d events a minute in region %q, want 120 in us", s.EventsPerMinute, s.Region)
	}
	if diff := cmp.Diff([]string{"ops"}, c.Mapping.Services); diff != "" {
		t.Errorf("services known to the mapping (-want +got):\n%s", diff)
	}
}

func TestParseReadsEverySection(t *testing.T) {
	c, err := config.Parse([]byte(`
pagerduty:
  region: eu
  timeout: 3s
  api_token_file: api-token
  http_config:
    proxy_url: http://proxy:3128
    tls_config: {ca_file: ca.pem}
alertmanager:
  urls: [http://127.0.0.1:9093]
  http_config:
    authorization: {credentials_file: /run/am-token}
services:
  infra: {routing_key_file: keys/infra, previous_routing_key_files: [keys/infra.old], fallback: all}
  all: {routing_key: `+otherKey+`, region: us, events_per_minute: 10}
tiers:
  - {name: critical, urgency: high, severity: error}
  - {name: rest, urgency: low}
rules:
  - name: infra
    matchers: ['team="infra"']
    service: infra
    dedup: {by: [cluster, alertname], namespace: prod}
  - name: rest
    service: all
defaults:
  unknown_tier: rest
access:
  tokens:
    - {name: prod, prefix: sp_pd_, sha256_file: tokens/prod, scope: read}
  rate_limit: {per_second: 10, burst: 20}
  audit_log: {path: audit.jsonl}
stale_after: 90s
`), "/etc/pagerelay")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{
		c.PagerDuty.Region, c.PagerDuty.Timeout, c.PagerDuty.APITokenFile, c.PagerDuty.HTTPConfig.TLSConfig.CAFile,
		c.Alertmanager.URLs, c.Alertmanager.HTTPConfig.Authorization.CredentialsFile,
		c.Services["infra"], c.Services["all"], c.ServiceNames(),
		c.Mapping.Tiers[0].Severity, c.Mapping.Rules[0].Matchers, c.Mapping.Rules[0].Dedup.By.Labels, c.Mapping.Rules[0].Dedup.Namespace,
		c.Mapping.Defaults.UnknownTier,
		c.Access.Tokens[0].SHA256File, c.Access.RateLimit.Burst, c.Access.AuditLog.Path, c.StaleAfter,
	}
	want := []any{
		"eu", 3 * time.Second, "/etc/pagerelay/api-token", "/etc/pagerelay/ca.pem",
		[]string{"http://127.0.0.1:9093"},
		"/run/am-token",
		config.Service{
			RoutingKeyFile: "/etc/pagerelay/keys/infra", PreviousRoutingKeyFiles: []string{"/etc/pagerelay/keys/infra.old"},
			Fallback: "all", Region: "eu", EventsPerMinute: 120,
		},
		config.Service{RoutingKey: otherKey, Region: "us", EventsPerMinute: 10},
		[]string{"all", "infra"},
		"error",
		[]string{`team="infra"`},
		[]string{"cluster", "alertname"},
		"prod",
		"rest",
		"/etc/pagerelay/tokens/prod", 20, "/etc/pagerelay/audit.jsonl", 90 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseFaults(t *testing.T) {
	tests := []struct {
		name string
		text string
		want []string
	}{
		{"empty file", "", []string{"the file is empty; it needs at least services with one routing key"}},
		{"comments only", "# later\n", []string{"the file is empty; it needs at least services with one routing key"}},
		{"null", "null\n", []string{"the file is empty; it needs at least services with one routing key"}},
		{"a list", "- a\n", []string{"line 1: the file must be a mapping of fields such as services and rules"}},
		{"two documents", minimal + "---\n" + minimal, []string{"line 4: a second YAML document begins here; a configuration is one document, remove the ---"}},
		{"not YAML", "services: [\n", []string{"line 2: the file ends before a [, { or quote is closed"}},
		{"second document is not YAML", minimal + "---\n{]", []string{"line 5: is not YAML: did not find expected node content"}},
		{"unknown anchor", "services: *a\n", []string{"line 1: is not YAML: unknown anchor 'a' referenced"}},
		{"no services", "stale_after: 2m\n", []string{"services: is empty; name at least one PagerDuty service with its routing_key_file"}},
		{"services of later releases", minimal + "sync: {}\nheartbeats: []\n", []string{
			"sync: unknown field; remove it or fix its name (line 4)",
			"heartbeats: unknown field; remove it or fix its name (line 5)",
		}},
		{"unknown field below", "services:\n  ops: {routing_key: " + key + ", key: x}\n", []string{"services.ops.key: unknown field; remove it or fix its name (line 2)"}},
		{"unknown field hides what it stands for", "services:\n  ops: {routing_key_fiel: x}\n", []string{"services.ops.routing_key_fiel: unknown field; did you mean routing_key_file? (line 2)"}},
		{"unknown fields on one line", "services: {a: {x: 1, routing_key: " + key + "}, b: {x: 2, routing_key: " + key + "}}\ndefaults: {service: a}\n", []string{
			"services.a.x: unknown field; remove it or fix its name (line 1)",
			"services.b.x: unknown field; remove it or fix its name (line 1)",
		}},
		{"field twice", minimal + "stale_after: 2m\nstale_after: 3m\n", []string{"stale_after: is set already on line 4; keep one (line 5)"}},
		{"field twice hides nothing", "services: {ops: {routing_key_file: f, routing_key_file: g, x: y}}\nstale_after: 1ms\n", []string{
			"services.ops.routing_key_file: is set already on line 1; keep one (line 1)",
			"services.ops.x: unknown field; remove it or fix its name (line 1)",
			"stale_after: is 1ms, must be at least 1s (line 2)",
		}},
		{"reconcile", minimal + "reconcile:\n  interval: 1s\n  receivers: ['']\n  on_silence: mute\n", []string{
			"reconcile.interval: is 1s, must be from 10s to 1h (line 5)",
			"reconcile.receivers[0]: is empty; name a receiver or remove it (line 6)",
			"reconcile.on_silence: is \"mute\", must be nothing, acknowledge or resolve (line 7)",
		}},
		{"a misspelt section is one fault", "service: {ops: {routing_key_file: f}}\n", []string{"service: unknown field; did you mean services? (line 1)"}},
		{"Alertmanager's configuration", "global: {}\nroute: {receiver: a}\nreceivers: [{name: a}]\n", []string{
			"this is Alertmanager's configuration; pagerelay has one of its own, see docs/configuration.md",
		}},
		{"a rule with Alertmanager's words", minimal + "rules:\n  - {name: a, match: {a: b}, receiver: c}\n", []string{
			"rules[0].match: unknown field; did you mean matchers? (line 5)",
			"rules[0].receiver: unknown field; did you mean service? (line 5)",
		}},
		{"an environment variable", "services: {ops: {routing_key: '${PD_KEY}'}}\n", []string{
			"services.ops.routing_key: environment variables are not expanded; put the key into a file and name it with routing_key_file (line 1)",
		}},
		{"a list without spaces", minimal + "rules:\n  -name: a\n", []string{"rules: is a mapping, must be a list; write a space after each - (line 4)"}},
		{"a template without quotes", minimal + "defaults:\n  event:\n    summary: {{ .Annotations.summary }}\n    links: [{href: {{ .GeneratorURL }}}]\n    source: {a: b}\n", []string{
			"defaults.event.summary: a template must be quoted: '{{ .Annotations.summary }}' (line 6)",
			"defaults.event.links[0].href: a template must be quoted: '{{ .GeneratorURL }}' (line 7)",
			"defaults.event.source: is a mapping, must be a string (line 8)",
		}},
		{"a name that is no string", minimal + "? [a]\n: b\n", []string{"line 4: has a field whose name is a list; a name is a string"}},
		{"dedup", minimal + "defaults: {dedup: {by: {keys: x}}}\nrules: [{name: r, dedup: {by: {key: ''}}}]\n", []string{
			"defaults.dedup.by: must be alert, group, alertmanager, a list of labels, or {key: template} (line 4)",
			"rules[0].dedup.by: the key is empty (line 5)",
		}},
		{"numbers", "services: {ops: {routing_key_file: f, events_per_minute: 1.5}}\naccess: {rate_limit: {per_second: many, burst: [1]}, tokens: [{name: t, unlimited: 1}]}\n", []string{
			"services.ops.events_per_minute: is a number, must be a whole number (line 1)",
			"access.rate_limit.per_second: is a string, must be a number (line 2)",
			"access.rate_limit.burst: is a list, must be a whole number (line 2)",
			"access.tokens[0].unlimited: is a number, must be true or false (line 2)",
			"access.tokens[0].sha256: give sha256 or sha256_file; `pagerelay token create` makes a token and its hash (line 2)",
		}},
		{"an anchor within itself", "services: &a {ops: *a}\n", []string{"line 1: the anchor a is used within itself"}},
		{"a merge of no mapping", "services: {ops: {<<: f}}\n", []string{"line 1: << takes in a mapping or a list of mappings, as in <<: *name"}},
		{"anchors that multiply", "services: {ops: {routing_key: &a [x,x,x,x,x,x,x,x], region: &b [*a,*a,*a,*a,*a,*a,*a,*a], fallback: &c [*b,*b,*b,*b,*b,*b,*b,*b], x: &d [*c,*c,*c,*c,*c,*c,*c,*c], y: &e [*d,*d,*d,*d,*d,*d,*d,*d], z: [*e,*e,*e,*e,*e,*e,*e,*e]}}\n", []string{
			"line 1: the file has more than 200000 values, with each use of an anchor counted",
		}},
		{"a fault in what is merged is on its own line", "services:\n  a: &s {routing_key_file: f, regoin: eu}\n  b:\n    <<: *s\ndefaults: {service: a}\n", []string{
			"services.a.regoin: unknown field; did you mean region? (line 2)",
			"services.b.regoin: unknown field; did you mean region? (line 2)",
		}},
		{"service twice", minimal + "  ops:\n    routing_key: " + key + "\n", []string{"services.ops: is set already on line 2; keep one (line 4)"}},
		{"wrong types do not quote values", "services: {ops: " + key + "}\nrules: yes\nstale_after: soon\naccess: {tokens: {a: b}}\ntiers: [x, {name: [y]}]\n", []string{
			"services.ops: is a string, must be a mapping (line 1)",
			"rules: is a string, must be a list (line 2)",
			"stale_after: is not a duration; write one such as 90s, 1h30m or 14d (line 3)",
			"access.tokens: is a mapping, must be a list (line 4)",
			"tiers[0]: is a string, must be a mapping (line 5)",
			"tiers[1].name: is a list, must be a string (line 5)",
		}},
		{"unknown field in http_config", minimal + "pagerduty:\n  http_config: {tls_confg: {}}\nalertmanager:\n  http_config:\n    tls_config:\n      ca: x\n      cafile: y\n", []string{
			"pagerduty.http_config.tls_confg: unknown field; did you mean tls_config? (line 5)",
			"alertmanager.http_config.tls_config.cafile: unknown field; did you mean ca_file? (line 10)",
		}},
		{"http_config that contradicts itself, among others", "services: {}\npagerduty:\n  http_config: {bearer_token: s3cret, basic_auth: {username: u}}\nalertmanager: {http_config: {no_proxy: x}}\nstale_after: 5\n", []string{
			"services: is empty; name at least one PagerDuty service with its routing_key_file (line 1)",
			"pagerduty.http_config: at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured (line 3)",
			"alertmanager.http_config: if no_proxy is configured, proxy_url must also be configured (line 4)",
			"stale_after: 5 has no unit; write 5s for seconds (line 5)",
		}},
		{"proxy address with a password", minimal + "pagerduty: {http_config: {proxy_url: 'http://u:s3cret@pro xy:80:80'}}\n", []string{"pagerduty.http_config.proxy_url: is not a URL (line 4)"}},
		{"services", `
services:
  nokey: {}
  both: {routing_key: ` + key + `, routing_key_file: f}
  short: {routing_key: s3cret}
  odd: {routing_key: s3cret-s3cret-s3cret-s3cret-s3cre}
  self: {routing_key_file: f, fallback: self}
  lost: {routing_key_file: f, fallback: nobody}
  a: {routing_key_file: f, fallback: b}
  b: {routing_key_file: f, fallback: c}
  c: {routing_key_file: f, fallback: b}
  asia: {routing_key_file: f, region: asia}
  slow: {routing_key_file: f, events_per_minute: 9}
  negative: {routing_key_file: f, events_per_minute: -1}
  fast: {routing_key_file: f, events_per_minute: 10001}
  old: {routing_key_file: f, previous_routing_key_files: [f, g, g, ""]}
  " ": {routing_key_file: f}
  "a\nb": {routing_key_file: f}
  "` + strings.Repeat("é", 101) + `": {routing_key_file: f}
defaults: {service: a}
`, []string{
			"services.nokey: has no routing key; set routing_key_file (or routing_key) (line 3)",
			"services.both: has both routing_key and routing_key_file; keep one (line 4)",
			"services.short.routing_key: must be 32 letters and digits, as PagerDuty's integration shows it (line 5)",
			"services.odd.routing_key: must be 32 letters and digits, as PagerDuty's integration shows it (line 6)",
			"services.self.fallback: is the service itself; name another one (line 7)",
			`services.lost.fallback: no service is named "nobody"; the services are ` + strings.Join([]string{
				" ", "a", "a\nb", "asia", "b", "both", "c", "fast", "lost", "negative", "nokey", "odd", "old", "self", "short", "slow", strings.Repeat("é", 101),
			}, ", ") + " (line 8)",
			"services.b.fallback: goes in a circle (b -> c -> b); the last service must have no fallback (line 10)",
			"services.c.fallback: goes in a circle (c -> b -> c); the last service must have no fallback (line 11)",
			`services.asia.region: is "asia", must be us or eu (line 12)`,
			"services.slow.events_per_minute: is 9, must be from 10 (a tenth is kept for high urgency) to 10000 (the most that PagerDuty grants a routing key) (line 13)",
			"services.negative.events_per_minute: is -1, must be from 10 (a tenth is kept for high urgency) to 10000 (the most that PagerDuty grants a routing key) (line 14)",
			"services.fast.events_per_minute: is 10001, must be from 10 (a tenth is kept for high urgency) to 10000 (the most that PagerDuty grants a routing key) (line 15)",
			"services.old.previous_routing_key_files[0]: is also routing_key_file; keep the old key in a file of its own (line 16)",
			"services.old.previous_routing_key_files[2]: is listed twice (line 16)",
			"services.old.previous_routing_key_files[3]: is empty; name a file or remove it (line 16)",
			"services. : the name is empty or has white space around it (line 17)",
			"services.a\nb: the name holds control characters or is not UTF-8 (line 18)",
			"services." + strings.Repeat("é", 101) + ": the name has more than 100 characters (line 19)",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse([]byte(tt.text), ".")
			if diff := cmp.Diff(tt.want, faultTexts(t, err)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if strings.Contains(fmt.Sprint(err), "s3cret") || strings.Contains(fmt.Sprint(err), key[:8]) {
				t.Errorf("the error holds a secret: %v", err)
			}
		})
	}
}

// The faults that other packages find, under the paths of this file.
func TestParseReportsOtherPackagesFaults(t *testing.T) {
	_, err := config.Parse([]byte(`
pagerduty: {region: mars}
alertmanager: {urls: ["127.0.0.1:9093"]}
services: {ops: {routing_key_file: f}}
tiers: [{name: critical, urgency: loud}]
rules:
  - {name: a, matchers: ['{'], service: nobody}
access:
  tokens: [{name: a}]
`), ".")
	var paths []string
	for _, f := range faults(t, err) {
		paths = append(paths, fmt.Sprintf("%d %s", f.Line, f.Path))
	}
	want := []string{
		"2 pagerduty.region",
		"3 alertmanager.urls[0]",
		"5 tiers[0].urgency",
		"7 rules[0].matchers[0]",
		"7 rules[0].service",
		"9 access.tokens[0].sha256",
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("faults (-want +got):\n%s\n%v", diff, err)
	}
}

func TestParseFollowsAnchors(t *testing.T) {
	c, err := config.Parse([]byte("services:\n  a: &s {routing_key: "+floatKey+"}\n  b:\n    <<: *s\n    region: eu\ndefaults: {service: a}\n"), ".")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.Services["b"].RoutingKey); got != floatKey {
		t.Errorf("got key %q, want %q", got, floatKey)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pagerelay.yml")
	if _, err := config.Load(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want that %s does not exist", err, path)
	}
	write(t, path, "services: {ops: {routing_key_file: keys/ops}}\n")
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Services["ops"].RoutingKeyFile, filepath.Join(dir, "keys", "ops"); got != want {
		t.Errorf("got key file %q, want %q", got, want)
	}
}

func TestKey(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	s := config.Service{RoutingKeyFile: file}

	if _, err := s.Key(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: got %v, want that it does not exist", err)
	}
	for _, text := range []string{"", " \n", "s3cret s3cret\n", "s3cret\ns3cret\n", "s3crét"} {
		write(t, file, text)
		_, err := s.Key()
		if err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "s3cr") {
			t.Errorf("file with %q: got %v, want an error that names the file and not its content", text, err)
		}
	}
	for _, want := range []string{key, otherKey} { // a rotated key is seen at once.
		write(t, file, "\t"+want+"\r\n")
		if got, err := s.Key(); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if got, err := (config.Service{RoutingKey: key}).Key(); got != key || err != nil {
		t.Errorf("inline: got %q, %v, want %q", got, err, key)
	}
	if _, err := (config.Service{}).Key(); err == nil {
		t.Error("no key at all: got no error")
	}
}

func TestPreviousKeys(t *testing.T) {
	dir := t.TempDir()
	names := []string{filepath.Join(dir, "one"), filepath.Join(dir, "absent"), filepath.Join(dir, "two")}
	write(t, names[0], key+"\n")
	write(t, names[2], otherKey+"\n")
	got, err := config.Service{PreviousRoutingKeyFiles: names}.PreviousKeys()
	if diff := cmp.Diff([]string{key, otherKey}, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if err == nil || !strings.Contains(err.Error(), names[1]) {
		t.Errorf("got %v, want an error that names %s", err, names[1])
	}
}

func TestSecretsAreHidden(t *testing.T) {
	c, err := config.Parse([]byte(`
pagerduty:
  api_token: s3cret-token
  http_config: {authorization: {credentials: s3cret-proxy}}
alertmanager:
  http_config: {basic_auth: {username: u, password: s3cret-pass}}
services: {ops: {routing_key: `+key+`}}
access:
  tokens: [{name: a, prefix: sp_, sha256: `+strings.Repeat("5e", 32)+`}]
`), ".")
	if err != nil {
		t.Fatal(err)
	}
	marshalled, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(marshalled), c.String(), fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%v", c.Services)} {
		for _, secret := range []string{"s3cret", key, "5e5e5e"} {
			if strings.Contains(shown, secret) {
				t.Errorf("got %q in:\n%s", secret, shown)
			}
		}
	}
	if !strings.Contains(c.String(), "routing_key: <secret>") {
		t.Errorf("got no hidden routing key in:\n%s", c)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"", minimal, "services: {ops: {routing_key: x, x: y}}", "a: &a [*a]", "services: &s {a: *s}", "? [a]\n: b", "---\n---\n",
		"pagerduty: {http_config: {proxy_url: '://'}}", "services: !!binary x", "rules: [{dedup: {by: {a: b}}}]", "a: |\n  x\n",
		"services:\n  a: {<<: {routing_key_file: f}, region: 5}\n", "defaults: {dedup: {by: {key: x}}}", "coverage: {horizon: 1d, time_intervals: [{times: [{start_time: 1}]}]}",
		"defaults: {tier: {{ x }}}", "services:\n  a:\n    x: y\n   z: y", "pagerduty: {http_config: {http_headers: {a: {values: [b]}}, tls_config: {min_version: TLS12}}}", "\xff", "a: \"\\0\"", "1: 2\n? {}\n: {}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Parse(text, "/dir")
		switch {
		case err == nil:
			if len(c.Services) == 0 {
				t.Error("accepted without a service")
			}
		case len(faults(t, err)) == 0:
			t.Error("refused without a fault")
		case strings.Contains(err.Error(), "cannot be decoded") || strings.Contains(err.Error(), "cannot construct"):
			t.Errorf("got %v, want what is wrong in the words of the file", err)
		}
	})
}

func faults(t *testing.T, err error) config.Faults {
	t.Helper()
	var fs config.Faults
	if !errors.As(err, &fs) {
		t.Fatalf("got %v (%T), want Faults", err, err)
	}
	return fs
}

func faultTexts(t *testing.T, err error) []string {
	t.Helper()
	var texts []string
	for _, f := range faults(t, err) {
		texts = append(texts, f.Error())
	}
	return texts
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
