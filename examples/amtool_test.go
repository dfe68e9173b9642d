package examples_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a step may take until its output is as amtool.md shows it.
const patience = 20 * time.Second

// step is a command block of amtool.md, with the output that the text shows of it.
type step struct {
	command string
	server  bool // runs until the end.
	output  string
}

// Every command of amtool.md is run, in order, with the real amtool.
func TestAmtoolWalkThrough(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a loopback address of its own")
	}
	dir := t.TempDir()
	link(t, dir, ".tools/bin/amtool", amtool(t))
	for _, program := range []string{"pagerelay", "pagerduty-emulator"} {
		link(t, dir, "bin/"+program, built(t, program))
	}
	// The ports of the text, on an address that nobody else has.
	pid := os.Getpid()
	address := fmt.Sprintf("127.%d.%d.%d", 128+pid>>16%64, pid>>8%256, pid%256)

	steps := walkThrough(t)
	if len(steps) < 8 {
		t.Fatalf("got %d steps, want at least 8", len(steps))
	}
	for _, s := range steps {
		command := "shopt -s expand_aliases\n" + strings.ReplaceAll(s.command, "127.0.0.1", address)
		if s.server {
			serve(t, dir, command)
			continue
		}
		deadline := time.Now().Add(patience)
		for {
			out, err := bash(t.Context(), dir, command).CombinedOutput()
			if err == nil && s.shown(string(out)) {
				break
			}
			// What is shown may need a moment to come about; a step that changes something is done once.
			if s.output == "" || time.Now().After(deadline) {
				t.Fatalf("%s\n%v, got:\n%s\nwant:\n%s", s.command, err, out, s.output)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// walkThrough reads the steps of amtool.md.
func walkThrough(t *testing.T) []step {
	t.Helper()
	var steps []step
	for _, m := range regexp.MustCompile("(?ms)^```(\\S+)( server)?\n(.*?)^```$").FindAllStringSubmatch(string(read(t, "amtool.md")), -1) {
		switch {
		case m[1] == "sh":
			steps = append(steps, step{command: m[3], server: m[2] != ""})
		case m[1] == "text" && len(steps) > 0:
			steps[len(steps)-1].output = m[3]
		default:
			t.Fatalf("amtool.md has a block of %q", m[1])
		}
	}
	return steps
}

// shown says whether out has the lines of s.output in their order. In these, "..."
// stands for anything, and white space for any white space.
func (s step) shown(out string) bool {
	for line := range strings.Lines(s.output) {
		var parts []string
		for word := range strings.FieldsSeq(line) {
			parts = append(parts, strings.ReplaceAll(regexp.QuoteMeta(word), `\.\.\.`, `.*`))
		}
		at := regexp.MustCompile(`(?m)^\s*` + strings.Join(parts, `\s+`) + `.*$`).FindStringIndex(out)
		if at == nil {
			return false
		}
		out = out[at[1]:]
	}
	return true
}

// serve starts a program that must end well when the test does.
func serve(t *testing.T, dir, command string) {
	t.Helper()
	// No t.Context: it ends before the program may.
	cmd := bash(context.Background(), dir, strings.Replace(command, "bin/", "exec bin/", 1))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("stop: %v", err)
		}
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("%s\n%v, log:\n%s", command, err, out.String())
		}
	})
}

func bash(ctx context.Context, dir, command string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-e", "-c", command)
	cmd.Dir = dir
	return cmd
}

// built is where the named program of ours is: as the environment says, or built for this test.
func built(t *testing.T, name string) string {
	t.Helper()
	if path := os.Getenv(strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_BIN"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/"+name).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return path
}

func link(t *testing.T, dir, name, target string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}
