package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const demoTimeout = time.Minute

func TestDemo(t *testing.T) {
	t.Parallel()
	out, err := demo(t, nil).run(t)
	if err != nil {
		t.Fatalf("the demonstration failed: %v\n%s", err, out)
	}
	for _, want := range []string{
		`(?m)^  \S+ +high +critical open +demo/CheckoutDown/high/[0-9a-f]{32}$`,
		`(?m)^  \S+ +low +warning +open +demo/CertificateExpires/low/[0-9a-f]{32}$`,
		`(?m)^  \S+ +low +info +acknowledged +demo/BackupDone/acknowledged/[0-9a-f]{32}$`,
		`(?m)^  \S+ +high +critical closed +demo/CheckoutDown/`,
		`(?m)^  \S+ +low +warning +closed +demo/CertificateExpires/`,
		`(?m)^  \S+ +low +info +closed +demo/BackupDone/`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("got no line like %s in:\n%s", want, out)
		}
	}
}

// With --keep everything stays up until Ctrl-C, and then nothing is left.
func TestDemoKeep(t *testing.T) {
	t.Parallel()
	d := demo(t, nil, "--keep")
	d.interruptAt = "Everything stays up until Ctrl-C."
	out, err := d.run(t)
	if err != nil {
		t.Fatalf("the demonstration failed: %v\n%s", err, out)
	}
	wantNobodyListens(t, out)
	for _, command := range []string{" alert add ", "curl ", " outbox list "} {
		if !strings.Contains(out, command) {
			t.Errorf("got no %q to try in:\n%s", command, out)
		}
	}
}

// What ends make, and nothing else, ends everything that it has started: a supervisor
// signals one process.
func TestMakeRunLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	d := demo(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 5*demoTimeout) // it builds.
	defer cancel()
	d.cmd = exec.CommandContext(ctx, "make", "--no-print-directory", "-C", filepath.Join("..", "..", ".."), "run", "KEEP=1", "OUT="+t.TempDir()+"/")
	d.cmd.WaitDelay = stopTimeout
	d.interruptAt, d.signal = "Everything stays up until Ctrl-C.", syscall.SIGTERM
	out, err := d.run(t)
	if err == nil {
		t.Error("make says that all went well, although it was ended")
	}
	wantNobodyListens(t, out)
}

func wantNobodyListens(t *testing.T, out string) {
	t.Helper()
	addresses := regexp.MustCompile(`http://(127\.0\.0\.1:\d+)`).FindAllStringSubmatch(out, -1)
	if len(addresses) < 3 {
		t.Errorf("got %d addresses, want 3 at least:\n%s", len(addresses), out)
	}
	for _, a := range addresses {
		if conn, err := net.Dial("tcp", a[1]); err == nil {
			_ = conn.Close() // it should not have been there.
			t.Errorf("%s still listens after the end", a[1])
		}
	}
}

// It must not exit 0 when PagerDuty holds something else than was announced.
func TestDemoTellsTheTruth(t *testing.T) {
	t.Parallel()
	// An amtool in name only: it says that all went well, and fires nothing.
	idle, err := exec.LookPath("true")
	if err != nil {
		t.Skip(err)
	}
	out, err := demo(t, func(p *programs) { p.amtool = idle }).run(t)
	if err == nil || !strings.Contains(out, "for the incidents to open: 0 of 3 incidents") {
		t.Errorf("got %v, want an error about incidents that did not open:\n%s", err, out)
	}
	if !strings.Contains(out, "--- last lines of pagerelay\n") {
		t.Errorf("got no logs:\n%s", out)
	}
}

// demonstration is a run of `make run`'s program.
type demonstration struct {
	cmd *exec.Cmd
	// interruptAt is the output at which Ctrl-C is pressed.
	interruptAt string
	signal      os.Signal // instead.
	cancel      context.CancelFunc
}

func demo(t *testing.T, change func(*programs), args ...string) *demonstration {
	t.Helper()
	p := all(t)
	if change != nil {
		change(&p)
	}
	ctx, cancel := context.WithTimeout(t.Context(), demoTimeout)
	cmd := exec.CommandContext(ctx, p.demo, append(args, "--pagerelay="+p.pagerelay, "--emulator="+p.emulator,
		"--alertmanager="+p.alertmanager, "--amtool="+p.amtool)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it cleans up after itself.
	cmd.WaitDelay = stopTimeout
	return &demonstration{cmd: cmd, cancel: cancel, signal: os.Interrupt}
}

// run returns all that the demonstration printed, and how it ended.
func (d *demonstration) run(t *testing.T) (string, error) {
	t.Helper()
	defer d.cancel()
	var out output
	if d.interruptAt != "" {
		out.at, out.then = d.interruptAt, func() { _ = d.cmd.Process.Signal(d.signal) } // an error shows as a time-out.
	}
	d.cmd.Stdout, d.cmd.Stderr = &out, &out
	err := d.cmd.Run()
	if err != nil {
		err = fmt.Errorf("run demo: %w", err)
	}
	return out.buf.String(), err
}

// output collects what is printed, and does something once a text has come.
type output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	at   string
	then func()
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(b)
	if o.then != nil && strings.Contains(o.buf.String(), o.at) {
		o.then()
		o.then = nil
	}
	return len(b), nil
}
