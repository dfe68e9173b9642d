package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pseudoTerminal is a terminal, and what is shown on it.
func pseudoTerminal(t *testing.T) (tty, shown *os.File) {
	t.Helper()
	open := func(name string) *os.File {
		f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	shown = open("/dev/ptmx")
	if err := unix.IoctlSetPointerInt(int(shown.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(shown.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return open(fmt.Sprintf("/dev/pts/%d", n)), shown
}

// On a terminal a line tells how much is read, and is gone at the end; what is not a
// terminal gets nothing of it.
func TestCoverageProgress(t *testing.T) {
	server, _ := account(t, exampleAccount(t, "10m", "PADA001, PGRACE1"))
	file := filepath.Join(t.TempDir(), "pagerelay.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
pagerduty: {api_url: %q, api_token: u+readonly, api_requests_per_minute: 960}
services: {infra: {routing_key: pagerelayemulator000000000000001}}
coverage: {schedules: [{name: prod-monitoring}]}
`, server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"coverage", "audit", "--fail-on=none"}, {"coverage", "export", "--schedule=prod-monitoring"}} {
		args = append(args, "--config.file="+file)
		var stdout, stderr bytes.Buffer
		if code := command(args, nil, &stdout, &stderr); code != 0 || stderr.Len() > 0 || strings.Contains(stdout.String(), "Reading") {
			t.Fatalf("%v: got exit code %d and %q beside the output, want 0 and nothing", args, code, &stderr)
		}
		tty, shown := pseudoTerminal(t)
		if code := command(args, nil, io.Discard, tty); code != 0 {
			t.Fatalf("%v: got exit code %d, want 0", args, code)
		}
		_ = tty.Close()
		var text []byte
		for buf := make([]byte, 4096); ; {
			n, err := shown.Read(buf)
			text = append(text, buf[:n]...)
			if err != nil { // EIO, as nobody has the terminal open any more.
				break
			}
		}
		if !regexp.MustCompile(`^(\r\x1b\[KReading PagerDuty: \d+ of \d+)+\r\x1b\[K$`).Match(text) {
			t.Errorf("%v: got %q on the terminal, want lines of progress, each over the last, and nothing left", args, text)
		}
	}
}
