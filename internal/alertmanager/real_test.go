package alertmanager_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
)

// realAlertmanager starts one on a free port and returns its URL. env names the binary, else it is
// the one at a path below .tools.
func realAlertmanager(t *testing.T, env, path string) string {
	t.Helper()
	bin := os.Getenv(env)
	if bin == "" {
		bin = filepath.Join("..", "..", ".tools", path)
	}
	if _, err := os.Stat(bin); err != nil {
		if os.Getenv("PAGERELAY_REQUIRE_ALERTMANAGER") == "1" {
			t.Fatalf("no real Alertmanager: set %s (%v)", env, err)
		}
		t.Skipf("no real Alertmanager: set %s (%v)", env, err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "alertmanager.yml")
	conf := `
route: {receiver: none, group_wait: 1s}
receivers: [{name: none}]
inhibit_rules: [{source_matchers: ['role="source"'], target_matchers: ['role="target"']}]
`
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, "--config.file="+file, "--storage.path="+dir, "--web.listen-address=127.0.0.1:0", "--cluster.listen-address=")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		address := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			if m := address.FindStringSubmatch(s.Text()); m != nil {
				found <- "http://" + m[1]
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	select {
	case u := <-found:
		return u
	case <-done:
		t.Fatal("Alertmanager ended before it listened")
	}
	return ""
}

func post(t *testing.T, url string, body any) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.Post(url, "application/json", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("got %s: %s", resp.Status, text)
	}
}

// old makes an Alertmanager look an hour older.
func old(t *testing.T, to string) string {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) },
		ModifyResponse: func(resp *http.Response) error {
			if !strings.HasSuffix(resp.Request.URL.Path, "/status") {
				return nil
			}
			var status map[string]any
			if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
				return err
			}
			up, err := time.Parse(time.RFC3339Nano, fmt.Sprint(status["uptime"]))
			if err != nil {
				return err
			}
			status["uptime"] = up.Add(-time.Hour).Format(time.RFC3339Nano)
			body, err := json.Marshal(status)
			if err != nil {
				return err
			}
			resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
			return nil
		},
	}
	srv := httptest.NewServer(proxy)
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestRealAlertmanager(t *testing.T) {
	t.Run("the usual one", func(t *testing.T) {
		askRealAlertmanager(t, realAlertmanager(t, "ALERTMANAGER_BIN", "bin/alertmanager"))
	})
	t.Run("an older one", func(t *testing.T) {
		askRealAlertmanager(t, realAlertmanager(t, "ALERTMANAGER_OLDER_BIN", "older/alertmanager"))
	})
}

func askRealAlertmanager(t *testing.T, am string) {
	t.Helper()
	young := newClient(t, alertmanager.Config{URLs: []string{am}})
	client := newClient(t, alertmanager.Config{URLs: []string{old(t, am)}})

	type set = map[string]string
	firing := set{"alertname": "Firing", "team": "infra"}
	silenced := set{"alertname": "Silenced"}
	inhibitor := set{"alertname": "Inhibitor", "role": "source"}
	inhibited := set{"alertname": "Inhibited", "role": "target"}
	odd := set{
		"alertname": "Odd", "größe/x y": "ü", "quoted": `say "no"`, "back": `C:\new\table`, "lines": "a\nb\tc",
		"braces": `{a="b"}`, "comma": "a,b", "regexp": ".*|(", "blank": " a ", "emoji": "🔥", "percent": "100% +&=", "sep": "a\u2028b", "nul": "a\u0001b",
	}
	resolved := set{"alertname": "Resolved"}
	never := set{"alertname": "Never"}
	send := func(l set, ends time.Duration) map[string]any {
		now := time.Now()
		return map[string]any{"labels": l, "startsAt": now.Add(-time.Minute), "endsAt": now.Add(ends)}
	}
	now := time.Now()
	post(t, am+"/api/v2/silences", map[string]any{
		"matchers": []map[string]any{{"name": "alertname", "value": "Silenced", "isRegex": false}},
		"startsAt": now, "endsAt": now.Add(time.Hour), "createdBy": "test", "comment": "test",
	})
	var alerts []map[string]any
	for _, l := range []set{firing, silenced, inhibitor, inhibited, odd, resolved} {
		alerts = append(alerts, send(l, time.Hour))
	}
	post(t, am+"/api/v2/alerts", alerts)

	check := func(c *alertmanager.Client, l set, narrowed bool) (alertmanager.Verdict, string) {
		fp := fingerprint(l)
		var sets map[string]map[string]string
		if narrowed {
			sets = map[string]map[string]string{fp: l}
		}
		v, reason := c.Check(t.Context(), []string{fp}, sets)
		return v[fp], reason
	}
	for _, l := range []set{firing, silenced, inhibitor, inhibited, odd, resolved} {
		for _, narrowed := range []bool{false, true} {
			for _, c := range []*alertmanager.Client{client, young} {
				if got, reason := check(c, l, narrowed); got != alertmanager.Firing {
					t.Errorf("%s (filters %t): got %q (%s), want firing", l["alertname"], narrowed, got, reason)
				}
			}
		}
	}
	post(t, am+"/api/v2/alerts", []map[string]any{send(resolved, -time.Second)})
	for _, l := range []set{resolved, never} {
		for _, narrowed := range []bool{false, true} {
			if got, reason := check(client, l, narrowed); got != alertmanager.Gone {
				t.Errorf("%s (filters %t): got %q (%s), want gone", l["alertname"], narrowed, got, reason)
			}
			if got, reason := check(young, l, narrowed); got != alertmanager.Uncertain || !strings.Contains(reason, "s only") {
				t.Errorf("%s (filters %t) of a young one: got %q (%s), want uncertain", l["alertname"], narrowed, got, reason)
			}
		}
	}
	for l, want := range map[string]alertmanager.Verdict{"Inhibited": alertmanager.Firing, "Resolved": alertmanager.Gone} {
		got, reason := client.AnyFiring(t.Context(), func(a alertmanager.Alert) bool { return a.Labels["alertname"] == l })
		if got != want {
			t.Errorf("%s: got %q (%s), want %q", l, got, reason, want)
		}
	}
}
