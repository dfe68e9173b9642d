package receiver_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	promconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v4"

	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/receiver"
)

func secret(s string) promconfig.Secret { return promconfig.Secret(s) }

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func TestValidate(t *testing.T) {
	hash := secret(hashOf("x"))
	cases := []struct {
		name   string
		access receiver.Access
		want   []string // how each fault begins.
	}{
		{name: "nothing"},
		{name: "everything", access: receiver.Access{
			Tokens: []receiver.Token{
				{Name: "a", Prefix: "sp_pd_", SHA256: hash, Scope: "read-write", Audit: true, Unlimited: true},
				{Name: "b", SHA256File: "/nowhere", Scope: "read"},
			},
			RateLimit: &receiver.RateLimit{PerSecond: 0.1, Burst: 1},
			AuditLog:  &receiver.AuditLog{Path: "x", MaxSize: "1KB", Keep: 1},
		}},
		{
			name: "all faults at once",
			access: receiver.Access{
				Tokens: []receiver.Token{
					{},
					{Name: "a", SHA256: hash, SHA256File: "x"},
					{Name: "a", SHA256: "abcd", Scope: "write"},
					{Name: "b", SHA256: secret(strings.Repeat("z", 64)), Prefix: "a b", Audit: true},
				},
				RateLimit: &receiver.RateLimit{},
			},
			want: []string{
				"tokens[0].name: ", "tokens[0].sha256: ", "tokens[1].sha256: ", "tokens[2].name: ", "tokens[2].sha256: ", "tokens[2].scope: ",
				"tokens[3].prefix: ", "tokens[3].sha256: ", "tokens[3].audit: ", "rate_limit.per_second: ", "rate_limit.burst: ",
			},
		},
		{
			name: "numbers that are none",
			access: receiver.Access{
				RateLimit: &receiver.RateLimit{PerSecond: math.NaN(), Burst: -1},
				AuditLog:  &receiver.AuditLog{MaxSize: "much", Keep: -1},
			},
			want: []string{"rate_limit.per_second: ", "rate_limit.burst: ", "audit_log.path: ", "audit_log.max_size: ", "audit_log.keep: "},
		},
		{
			name:   "unbounded",
			access: receiver.Access{RateLimit: &receiver.RateLimit{PerSecond: math.Inf(1), Burst: 1}, AuditLog: &receiver.AuditLog{Path: "x", MaxSize: "-5MB"}},
			want:   []string{"rate_limit.per_second: ", "audit_log.max_size: "},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			if err := tc.access.Validate(); err != nil {
				for line := range strings.SplitSeq(err.Error(), "\n") {
					path, _, _ := strings.Cut(line, ": ")
					got = append(got, path+": ")
				}
				for _, secret := range []string{"abcd", strings.Repeat("z", 64)} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("got a secret in %v", err)
					}
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGenerateToken(t *testing.T) {
	token, hash, err := receiver.GenerateToken("sp_pd_")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(token, "sp_pd_") || len(token) != len("sp_pd_")+43 {
		t.Errorf("got token of %d characters, want the prefix and 43", len(token))
	}
	if hash != hashOf(token) {
		t.Errorf("got hash %s, want the token's", hash)
	}
	if again, _, _ := receiver.GenerateToken("sp_pd_"); again == token {
		t.Error("got the same token twice")
	}
	if _, _, err := receiver.GenerateToken("a\nb"); err == nil {
		t.Error("got no error for a prefix with a line break")
	}
}

// TestTokenFile: the file is read for each request; while it cannot be read the
// answer is temporary; each change is logged once.
func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	other := hashOf("other")
	d := open(t, receiver.Config{}, receiver.Access{Tokens: []receiver.Token{
		{Name: "filed", SHA256File: path, Prefix: "t"},
		{Name: "other", SHA256: secret(other)},
	}})
	const unread, again = "cannot be read", "can be read again"
	steps := []struct {
		name    string
		prepare func()
		token   string
		code    int
		logs    map[string]int
	}{
		{"no file", func() {}, "token-1", 503, map[string]int{unread: 1, again: 0}},
		{"still no file", func() {}, "token-1", 503, map[string]int{unread: 1, again: 0}},
		{"another token does not need it", func() {}, "other", 200, map[string]int{unread: 1, again: 0}},
		{"hash", func() { writeFile(t, path, hashOf("token-1")+"\n") }, "token-1", 200, map[string]int{unread: 1, again: 1}},
		{"as sha256sum writes it", func() { writeFile(t, path, hashOf("token-1")+"  -\n") }, "token-1", 200, map[string]int{unread: 1, again: 1}},
		{"rotated", func() { writeFile(t, path, hashOf("token-2")) }, "token-2", 200, map[string]int{unread: 1, again: 1}},
		{"the old one", func() {}, "token-1", 401, map[string]int{unread: 1, again: 1}},
		{"half written", func() { writeFile(t, path, hashOf("token-2")[:20]) }, "token-2", 503, map[string]int{unread: 2, again: 1}},
		{"a folder", func() {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "token-2", 503, map[string]int{unread: 3, again: 1}},
	}
	for _, s := range steps {
		s.prepare()
		w := d.post(oneAlert, bearer(s.token))
		if w.Code != s.code {
			t.Errorf("%s: got %d %q, want %d", s.name, w.Code, w.Body, s.code)
		}
		for text, want := range s.logs {
			if got := strings.Count(d.logged(), text); got != want {
				t.Errorf("%s: got %q %d times in the log, want %d:\n%s", s.name, text, got, want, d.logged())
			}
		}
	}
	d.wantMetric(`pagerelay_webhooks_deferred_total{reason="token_file"} 4`)
}

func TestTokenSchemeIsCaseInsensitive(t *testing.T) {
	d := open(t, receiver.Config{}, receiver.Access{Tokens: []receiver.Token{{Name: "a", SHA256: secret(strings.ToUpper(hashOf("tok")))}}})
	wantCode(t, d.post(oneAlert, header("Authorization", "bearer  tok ")), 200)
	wantCode(t, d.post(oneAlert, header("Authorization", "Bearer")), 401)
	wantCode(t, d.post(oneAlert, header("Authorization", "Bearer ")), 401)
}

func TestRateLimit(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		access := receiver.Access{
			Tokens: []receiver.Token{
				{Name: "limited", SHA256: secret(hashOf("limited"))},
				{Name: "unlimited", SHA256: secret(hashOf("unlimited")), Unlimited: true},
			},
			RateLimit: &receiver.RateLimit{PerSecond: 0.2, Burst: 2},
		}
		d := open(t, receiver.Config{}, access)
		step := func(token string, want int) *httptest.ResponseRecorder {
			t.Helper()
			w := d.post(oneAlert, bearer(token))
			wantCode(t, w, want)
			return w
		}
		step("wrong", 401) // costs nothing.
		step("limited", 200)
		step("limited", 200)
		if got := step("limited", 503).Header().Get("Retry-After"); got != "5" {
			t.Errorf("got Retry-After %q, want 5", got)
		}
		step("unlimited", 200)
		if err := d.recv.SetPolicy(oneToOne{}, access); err != nil {
			t.Fatal(err)
		}
		step("limited", 503) // a reload hands out no fresh burst.
		time.Sleep(5 * time.Second)
		step("limited", 200) // what was refused was not charged.
		step("limited", 503)
		d.wantMetric(`pagerelay_webhooks_deferred_total{reason="rate_limit"} 3`)
		access.RateLimit.Burst = 3
		if err := d.recv.SetPolicy(oneToOne{}, access); err != nil {
			t.Fatal(err)
		}
		step("limited", 200)
	})
}

func TestAuthorize(t *testing.T) {
	access := receiver.Access{Tokens: []receiver.Token{
		{Name: "writer", SHA256: secret(hashOf("writer"))},
		{Name: "reader", SHA256: secret(hashOf("reader")), Scope: "read"},
	}}
	cases := []struct {
		name, scope, token string
		access             receiver.Access
		opts               []option
		want               int
	}{
		{name: "writer reads", scope: "read", token: "writer", access: access, want: 204},
		{name: "writer writes", scope: "read-write", token: "writer", access: access, want: 204},
		{name: "reader reads", scope: "read", token: "reader", access: access, want: 204},
		{name: "reader writes", scope: "read-write", token: "reader", access: access, want: 403},
		{name: "reader, unknown scope", scope: "red", token: "reader", access: access, want: 403},
		{name: "nobody reads", scope: "read", token: "nobody", access: access, want: 401},
		{name: "open door", scope: "read-write", want: 204},
		{name: "open door, foreign page", scope: "read-write", opts: []option{header("Sec-Fetch-Site", "cross-site")}, want: 403},
		{name: "open door, foreign page by origin", scope: "read-write", opts: []option{header("Origin", "https://evil.example.test")}, want: 403},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			d := open(t, receiver.Config{}, tc.access)
			d.recv.Drain() // the admin API outlives the webhooks.
			d.mux.Handle("/admin", d.recv.Authorize(tc.scope, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusNoContent)
			})))
			w := d.send("/admin", strings.NewReader(""), append(tc.opts, bearer(tc.token))...)
			wantCode(t, w, tc.want)
		})
	}
	d := newDoor(t, receiver.Config{})
	d.mux.Handle("/admin", d.recv.Authorize("read", http.NotFoundHandler()))
	wantCode(t, d.send("/admin", strings.NewReader("")), 503)
}

// TestLeaksNoSecret greps everything that leaves the package for the token, its
// hash and the header, with answers of every kind.
func TestLeaksNoSecret(t *testing.T) {
	token, hash, err := receiver.GenerateToken("pr_")
	if err != nil {
		t.Fatal(err)
	}
	filed, filedHash, err := receiver.GenerateToken("pr_")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, auditFile := filepath.Join(dir, "token"), filepath.Join(dir, "audit")
	access := receiver.Access{
		Tokens: []receiver.Token{
			{Name: "am", Prefix: "pr_", SHA256: secret(hash), Audit: true},
			{Name: "filed", Prefix: "pr_", SHA256File: file, Audit: true, Scope: "read"},
		},
		RateLimit: &receiver.RateLimit{PerSecond: 1e-9, Burst: 6},
		AuditLog:  &receiver.AuditLog{Path: auditFile},
	}
	d := open(t, receiver.Config{TestDoor: true, MaxBody: 4096}, access)
	seen := map[int]bool{}
	var out strings.Builder
	note := func(w *httptest.ResponseRecorder) {
		seen[w.Code] = true
		fmt.Fprintln(&out, w.Code, w.Header(), w.Body)
	}
	note(d.post(oneAlert, bearer(token+"x"))) // 503: the other hash cannot be read.
	writeFile(t, file, "garbage "+filedHash)
	note(d.post(oneAlert, bearer(filed)))
	writeFile(t, file, filedHash[:63])
	note(d.post(oneAlert, bearer(filed)))
	writeFile(t, file, filedHash)
	note(d.post(oneAlert, bearer(filed)))
	note(d.post(oneAlert, bearer(token)))
	note(d.post("{", bearer(token)))
	note(d.post(strings.Repeat(" ", 5000), bearer(token)))
	note(d.post(oneAlert, bearer(token+"x")))
	note(d.post(oneAlert, bearer("x"+token)))
	note(d.post(oneAlert, header("Authorization", "Basic "+token)))
	note(d.post(oneAlert, bearer(token), method("PUT")))
	note(d.send(receiver.PathTestAlerts+"?token="+token, strings.NewReader(`[{"labels":{"a":"b"}}]`), bearer(token)))
	note(d.send(receiver.PathTestStatus, nil, bearer(filed), method("GET")))
	d.sink.failWith(errDisk)
	note(d.post(oneAlert, bearer(token)))
	note(d.post(oneAlert, bearer(token)))
	note(d.post(oneAlert, bearer(token)))
	for _, code := range []int{200, 400, 401, 403, 405, 413, 503} {
		if !seen[code] {
			t.Errorf("got no answer %d, want one of each", code)
		}
	}
	audit, err := os.ReadFile(auditFile)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(access)
	if err != nil {
		t.Fatal(err)
	}
	access.Tokens[0].SHA256File = "both"
	all := strings.Join([]string{
		out.String(), d.logged(), d.metricsText(), string(audit), string(asYAML), fmt.Sprint(access.Validate()),
	}, "\n")
	for name, s := range map[string]string{
		"token": token[3:], "hash": hash, "filed token": filed[3:], "filed hash": filedHash[:60], "header": "Authorization", "scheme": "Basic",
	} {
		if i := strings.Index(all, s); i >= 0 {
			t.Errorf("got the %s in %q", name, all[max(0, i-100):min(len(all), i+100)])
		}
	}
	// Logging the configuration by mistake must not show the hash either.
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "access", access)
	if strings.Contains(log.String(), hash) {
		t.Errorf("got the hash in %s", log.String())
	}
}
