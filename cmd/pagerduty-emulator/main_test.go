package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

// TestMain lets the test binary be the program: the tests start it again.
func TestMain(m *testing.M) {
	if os.Getenv("BE_EMULATOR") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "BE_EMULATOR=1")
	return cmd
}

func TestServesUntilSignal(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			journal := filepath.Join(t.TempDir(), "journal.jsonl")
			cmd := command(t, "--web.listen-address=127.0.0.1:0", "--journal.file="+journal)
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			lines := bufio.NewReader(io.TeeReader(stderr, &log))
			listening := regexp.MustCompile(`msg="Listening on" address=(127\.0\.0\.1:[1-9][0-9]*)\n`)
			var address string
			for address == "" {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatalf("no line says where it listens: %v\n%s", err, log.String())
				}
				if m := listening.FindStringSubmatch(line); m != nil {
					address = m[1]
				}
			}
			client := &http.Client{Timeout: 10 * time.Second}
			defer client.CloseIdleConnections()
			resp, err := client.Post("http://"+address+"/v2/enqueue", "application/json", strings.NewReader(
				`{"routing_key":"`+emulator.DefaultRoutingKey+`","event_action":"trigger","dedup_key":"k","payload":{"summary":"s","source":"h","severity":"info"}}`))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusAccepted {
				t.Errorf("got %d, want 202", resp.StatusCode)
			}
			// A request that hangs on purpose does not hold up the end.
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+address+"/emulator/faults", strings.NewReader(`[{"do":"hang"}]`))
			if err != nil {
				t.Fatal(err)
			}
			if resp, err := client.Do(req); err != nil || resp.StatusCode != http.StatusNoContent {
				t.Fatalf("faults: got %v, %v", resp, err)
			} else {
				_ = resp.Body.Close()
			}
			hung := make(chan error, 1)
			go func() {
				resp, err := client.Post("http://"+address+"/v2/enqueue", "application/json", strings.NewReader(`{}`))
				if err == nil {
					_ = resp.Body.Close()
				}
				hung <- err
			}()
			for inFlight := false; !inFlight; {
				resp, err := client.Get("http://" + address + "/emulator/requests")
				if err != nil {
					t.Fatal(err)
				}
				b, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				inFlight = bytes.Contains(b, []byte(`"in_flight":1`))
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := <-hung; err == nil {
				t.Error("the hanging request was answered")
			}
			_, _ = io.Copy(io.Discard, lines)
			if err := cmd.Wait(); err != nil {
				t.Errorf("got %v, want exit status 0\n%s", err, log.String())
			}
			if b, err := os.ReadFile(journal); err != nil || bytes.Count(b, []byte("\n")) != 1 {
				t.Errorf("journal: got %q, %v, want one line", b, err)
			}
		})
	}
}

func TestRefusesToStart(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yml")
	if err := os.WriteFile(bad, []byte("services: [{id: PS1, routing_keys: [x], escalation_policy: PP1}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"bad configuration", []string{"--config.file=" + bad}, "services[0].routing_keys[0]: is not 32 letters and digits"},
		{"no configuration", []string{"--config.file=" + filepath.Join(dir, "none.yml")}, "none.yml"},
		{"bad address", []string{"--web.listen-address=nowhere"}, "listen:"},
		{"journal in no folder", []string{"--journal.file=" + filepath.Join(dir, "no", "journal")}, "open journal"},
		{"bad web configuration", []string{"--web.listen-address=127.0.0.1:0", "--web.config.file=" + filepath.Join(dir, "none.yml")}, "none.yml"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := command(t, tc.args...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), tc.want) {
				t.Errorf("got %v and %s, want a failure with %q", err, out, tc.want)
			}
		})
	}
}
