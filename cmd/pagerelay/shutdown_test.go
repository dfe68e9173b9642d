package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/outbox"
)

const testKey = "0123456789abcdef0123456789abcdef"

// webhook is a body with one firing alert.
func webhook(name, severity string) string {
	return fmt.Sprintf(`{"version":"4","groupKey":"{}:{alertname=%[1]s}","status":"firing","receiver":"r","externalURL":"http://am.example",`+
		`"groupLabels":{},"commonLabels":{},"commonAnnotations":{},"truncatedAlerts":0,"alerts":[{"status":"firing",`+
		`"labels":{"alertname":%[1]q,"severity":%[2]q},"annotations":{"summary":%[3]q},"startsAt":"2026-11-21T10:00:00Z",`+
		`"endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":""}]}`, name, severity, "about "+name)
}

// serveIn starts pagerelay in a fresh folder with the configuration.
func serveIn(t *testing.T, dir, config string, args ...string) *process {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "pagerelay.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("pagerelay")
	if err != nil {
		t.Fatal(err)
	}
	p, err := startProcess(path, dir, append([]string{"serve", "--web.listen-address=127.0.0.1:0", "--log.level=debug"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

func address(t *testing.T, p *process) string {
	t.Helper()
	a, err := p.address()
	if err != nil {
		t.Fatalf("%v\n%s", err, p.output())
	}
	return a
}

func post(t *testing.T, url, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// TestShutdownLosesNothing stops pagerelay while a webhook is half in and
// PagerDuty has a request that it has not answered: the webhook is stored, the
// answer is recorded, and only then does the process end.
func TestShutdownLosesNothing(t *testing.T) {
	arrived, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	pd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		once.Do(func() { close(arrived) })
		<-answer
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"status":"success","message":"Event processed"}`)
	}))
	defer pd.Close()
	release := sync.OnceFunc(func() { close(answer) })
	defer release()

	dir := t.TempDir()
	p := serveIn(t, dir, fmt.Sprintf("pagerduty: {events_url: %q, timeout: 30s}\nservices: {ops: {routing_key: %s}}\n", pd.URL, testKey),
		"--shutdown.timeout=30s")
	addr := address(t, p)

	// A page is on its way to PagerDuty.
	if got := post(t, "http://"+addr+"/webhook/alertmanager", webhook("Slow", "critical")); got != http.StatusOK {
		t.Fatalf("webhook: got %d, want 200", got)
	}
	<-arrived

	// A webhook is under way: that the server asks for its body says that it was let in.
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := webhook("Half", "critical")
	fmt.Fprintf(conn, "POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("got %q, %v, want 100 Continue", line, err)
	}
	if _, err = in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err = io.WriteString(conn, body[:len(body)/2]); err != nil {
		t.Fatal(err)
	}

	if err = p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err = p.wait(`msg="Shutting down"`); err != nil {
		t.Fatal(err)
	}
	if _, err = io.WriteString(conn, body[len(body)/2:]); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("answer to the webhook that was under way: %v\n%s", err, p.output())
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("webhook that was under way: got %d, want 200", resp.StatusCode)
	}
	select {
	case <-p.ended:
		t.Fatalf("the process ended before PagerDuty had answered\n%s", p.output())
	default:
	}
	release()
	code, err := p.exit()
	if err != nil || code != 0 {
		t.Fatalf("exit: got %d, %v, want 0\n%s", code, err, p.output())
	}

	store, err := outbox.Open(filepath.Join(dir, "data"), outbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := store.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	have := map[string]incident.State{}
	for _, i := range store.List() {
		for _, m := range i.Members {
			have[m.Alert.Labels.KV()["alertname"]] = i.Have
		}
	}
	if got, ok := have["Slow"]; !ok || got != incident.StateOpen {
		t.Errorf("page whose answer came during shutdown: got %q, want open: the answer was not recorded", got)
	}
	if _, ok := have["Half"]; !ok {
		t.Errorf("webhook that was answered 200 during shutdown is not in the outbox: it holds %v", have)
	}
}

// TestActorFailureIsNoSuccess breaks a listener under a running group.
func TestActorFailureIsNoSuccess(t *testing.T) {
	boom := fmt.Errorf("boom")
	execute, interrupt := actor("the web server", func(context.Context) error { return boom })
	err := execute()
	if err == nil || err.Error() != "run web server: boom" {
		t.Errorf("failed actor: got %v, want run web server: boom", err)
	}
	interrupt(nil) // must not hang once the actor has ended.

	execute, _ = actor("the deliverer", func(context.Context) error { return nil })
	if err := execute(); err == nil {
		t.Error("actor that ended of itself: got nil, want an error")
	}

	started := make(chan struct{})
	execute, interrupt = actor("the outbox", func(ctx context.Context) error {
		close(started)
		<-ctx.Done()
		return nil
	})
	result := make(chan error, 1)
	go func() { result <- execute() }()
	<-started
	interrupt(nil)
	if err := <-result; err != nil {
		t.Errorf("interrupted actor: got %v, want nil", err)
	}
}

// TestLogsHoldNoSecret looks through everything that a whole session at debug
// level says, and answers, for the secrets that it was given.
func TestLogsHoldNoSecret(t *testing.T) {
	const (
		apiToken = "api-token-u+1234567890abcd"
		token    = "sp_pd_secretbearertoken"
		wrong    = "sp_pd_wrongbearertoken"
	)
	hash := fmt.Sprintf("%x", sha256Of(token))
	var bodies sync.Map
	pd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		bodies.Store(string(b), true)
		// A server that says the key back, first as a refusal and then as a fault of its own.
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(string(b), "Refuse") {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"status":"invalid event","message":"no","errors":["routing key %s is odd"]}`, testKey)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "cannot take %s", b)
	}))
	defer pd.Close()

	dir := t.TempDir()
	config := fmt.Sprintf(`
pagerduty:
  events_url: %q
  api_token: %s
services: {ops: {routing_key: %s}}
access: {tokens: [{name: am, prefix: sp_pd_, sha256: %s}]}
`, pd.URL, apiToken, testKey, hash)
	p := serveIn(t, dir, config, "--web.enable-admin-api")
	base := "http://" + address(t, p)

	var said strings.Builder
	ask := func(method, path, bearer, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		resp, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		said.Write(b)
		return resp.StatusCode
	}
	ask(http.MethodPost, "/webhook/alertmanager", wrong, webhook("A", "critical"))
	for _, name := range []string{"Refuse", "Fail"} {
		if got := ask(http.MethodPost, "/webhook/alertmanager", token, webhook(name, "critical")); got != http.StatusOK {
			t.Fatalf("webhook: got %d, want 200", got)
		}
	}
	for _, line := range []string{`msg="PagerDuty refused an event"`, `refused an event.*refused an event`, `msg="An event was not accepted`} {
		if _, err := p.wait("(?s)" + line); err != nil {
			t.Fatalf("%v\n%s", err, p.output())
		}
	}
	for _, path := range []string{"/", "/metrics", "/api/v1/outbox?closed=true", "/debug/pprof/cmdline", "/-/ready"} {
		if got := ask(http.MethodGet, path, token, ""); got != http.StatusOK {
			t.Errorf("GET %s: got %d, want 200", path, got)
		}
	}
	ids := jsonIDs(said.String())
	if len(ids) != 2 {
		t.Fatalf("incidents in the list: got %v, want 2", ids)
	}
	for _, id := range ids {
		if got := ask(http.MethodGet, "/api/v1/outbox/"+id, token, ""); got != http.StatusOK {
			t.Errorf("GET %s: got %d, want 200", id, got)
		}
	}
	// A bad reload quotes the file; the good values around the fault must not come with it.
	if err := os.WriteFile(filepath.Join(dir, "pagerelay.yml"), []byte(config+"nonsense: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ask(http.MethodPost, "/-/reload", token, ""); got != http.StatusInternalServerError {
		t.Errorf("bad reload: got %d, want 500", got)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, err := p.exit(); err != nil || code != 0 {
		t.Fatalf("exit: got %d, %v, want 0\n%s", code, err, p.output())
	}

	sent := false
	bodies.Range(func(b, _ any) bool {
		text, _ := b.(string)
		sent = sent || strings.Contains(text, testKey)
		return !sent
	})
	if !sent {
		t.Error("PagerDuty was never sent the routing key: this test shows nothing")
	}
	for name, secret := range map[string]string{"routing key": testKey, "API token": apiToken, "token": token, "wrong token": wrong, "hash": hash} {
		for where, text := range map[string]string{"log": p.output(), "answers": said.String()} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s in %s: ...%s...", name, where, text[max(0, i-200):min(len(text), i+len(secret)+50)])
			}
		}
	}
}

func sha256Of(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// jsonIDs finds the incidents' IDs in answers.
func jsonIDs(s string) []string {
	var ids []string
	for _, m := range regexp.MustCompile(`"id":"([0-9a-f]{32})"`).FindAllStringSubmatch(s, -1) {
		ids = append(ids, m[1])
	}
	return ids
}
