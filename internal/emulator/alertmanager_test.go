package emulator_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
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
	"time"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

// alertmanagerBin finds the real program, or skips the test.
func alertmanagerBin(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("ALERTMANAGER_BIN")
	if bin != "" {
		return bin
	}
	bin, err := filepath.Abs("../../.tools/bin/alertmanager")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		const hint = "no Alertmanager: set ALERTMANAGER_BIN, or get it into .tools/bin (make run does)"
		if os.Getenv("PAGERELAY_REQUIRE_ALERTMANAGER") == "1" {
			t.Fatal(hint)
		}
		t.Skip(hint)
	}
	return bin
}

// startAlertmanager runs the real program with this configuration until the
// test ends, and returns its address.
func startAlertmanager(t *testing.T, config string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(alertmanagerBin(t), "--config.file="+file, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0", "--cluster.listen-address=")
	out, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var log bytes.Buffer
	address := make(chan string, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		listening := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			mu.Lock()
			log.WriteString(lines.Text() + "\n")
			mu.Unlock()
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case address <- m[1]:
				default:
				}
			}
		}
		_, _ = io.Copy(io.Discard, out) // a line too long must not block the program.
	})
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // its exit status is not what is tested.
		_ = w.Close()
		wg.Wait()
		if t.Failed() {
			t.Logf("Alertmanager's log:\n%s", log.String())
		}
	})
	select {
	case a := <-address:
		return a
	case <-time.After(30 * time.Second):
		t.Fatal("Alertmanager does not listen after 30 s")
		return ""
	}
}

// eventually polls until ok is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not after 30 s", what)
		}
	}
}

// Alertmanager's own PagerDuty notifier was not written for the emulator.
func TestAlertmanagerNotifier(t *testing.T) {
	e := newEmulator(t, account, emulator.Options{})
	server := httptest.NewServer(e.Handler())
	defer server.Close()
	address := startAlertmanager(t, fmt.Sprintf(`
route: {receiver: pd, group_by: [alertname], group_wait: 100ms, group_interval: 200ms, repeat_interval: 1h}
receivers:
  - name: pd
    pagerduty_configs:
      - routing_key: %s
        url: %s/v2/enqueue
        send_resolved: true
        severity: '{{ .CommonLabels.severity }}'
        class: '{{ .CommonLabels.alertname }}'
        links: [{href: 'https://example.com/runbook', text: Runbook}]
        images: [{src: 'https://example.com/graph.png', alt: Graph}]
`, key, server.URL))

	start := time.Now().Add(-time.Minute).UTC()
	postAlerts := func(end time.Time) {
		t.Helper()
		var alerts []string
		for _, severity := range []string{"critical", "warning", "none"} {
			alerts = append(alerts, fmt.Sprintf(
				`{"labels":{"alertname":"Disk-%s","severity":%q},"annotations":{"summary":"disk <full>"},"startsAt":%q,"endsAt":%q}`,
				severity, severity, start.Format(time.RFC3339Nano), end.Format(time.RFC3339Nano)))
		}
		resp, err := server.Client().Post("http://"+address+"/api/v2/alerts", "application/json", strings.NewReader("["+strings.Join(alerts, ",")+"]"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			t.Fatalf("got %d %s from Alertmanager", resp.StatusCode, b)
		}
	}
	state := func() (open, closed int) {
		for _, i := range e.Incidents() {
			if i.Open() {
				open++
			} else {
				closed++
			}
		}
		return open, closed
	}

	postAlerts(time.Now().Add(time.Hour).UTC())
	eventually(t, "two incidents open, and the severity that PagerDuty does not know refused", func() bool {
		open, _ := state()
		return open == 2 && e.Counts().ByOutcome[emulator.Invalid] > 0
	})
	for _, i := range e.Incidents() {
		want := map[string]string{"critical": "high", "warning": "low"}[i.Severity]
		a := i.Alerts[0]
		if i.Urgency != want || a.Class != "Disk-"+i.Severity || a.Client != "Alertmanager" || len(a.Links) != 1 || len(a.Images) != 1 || len(a.CustomDetails) == 0 {
			t.Errorf("got %+v, want what Alertmanager sends, with urgency %s", i, want)
		}
	}
	postAlerts(time.Now().Add(-time.Second).UTC())
	eventually(t, "both incidents resolved", func() bool {
		open, closed := state()
		return open == 0 && closed == 2
	})
}
