package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A command that waits for its input can be interrupted.
func TestASignalEndsWhatReads(t *testing.T) {
	path, err := exec.LookPath("pagerelay")
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"simulate":     {"simulate", "--config.file=pagerelay.yml", "input"},
		"check-config": {"check-config", "input"},
		"rules test":   {"rules", "test", "--config.file=input", "alertname=A"},
	} {
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			t.Run(name+", "+signal.String(), func(t *testing.T) {
				dir := t.TempDir()
				config := "services:\n  ops: {routing_key: 0123456789abcdef0123456789abcdef}\n"
				if err := os.WriteFile(filepath.Join(dir, "pagerelay.yml"), []byte(config), 0o600); err != nil {
					t.Fatal(err)
				}
				input := filepath.Join(dir, "input")
				if err := syscall.Mkfifo(input, 0o600); err != nil {
					t.Fatal(err)
				}
				p, err := startProcess(path, dir, args)
				if err != nil {
					t.Fatal(err)
				}
				defer p.kill()
				// The pipe can be opened once it is read, and nothing ever comes out of it.
				pipe, err := openPipe(input)
				if err != nil {
					t.Fatalf("%v\n%s", err, p.output())
				}
				defer pipe.Close()
				if err := p.cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				if _, err := p.exit(); err != nil {
					t.Fatal(err)
				}
				if got := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !got.Signaled() || got.Signal() != signal {
					t.Errorf("got %v, want the end by the signal\n%s", p.cmd.ProcessState, p.output())
				}
			})
		}
	}
}

// openPipe opens a named pipe to write to, once somebody reads from it.
func openPipe(path string) (*os.File, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if !errors.Is(err, syscall.ENXIO) || time.Now().After(deadline) {
			return f, err
		}
	}
}
