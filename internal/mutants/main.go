// Command mutants breaks one line of the core at a time and runs the model test
// against it: a break that the test does not notice is a hole in the test. It
// changes no file: each break is an overlay of the go command.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

// mutant is one break: in File, Old is replaced by New.
type mutant struct {
	Name, File, Old, New string
}

func main() {
	app := kingpin.New("mutants", "Break one line of the core at a time and see the model test fail.")
	checks := app.Flag("checks", "Histories that the model test tries for each mutant.").Default("4000").Int()
	only := app.Flag("only", "Try only the mutants whose name holds this.").String()
	limit := app.Flag("timeout", "How long one mutant may take.").Default("5m").Duration()
	kingpin.MustParse(app.Parse(os.Args[1:]))
	app.FatalIfError(run(os.Stdout, *checks, *only, *limit), "")
}

func run(w io.Writer, checks int, only string, limit time.Duration) error {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	tried, survived := 0, 0
	for _, m := range mutants() {
		if !strings.Contains(m.Name, only) {
			continue
		}
		tried++
		began := time.Now()
		killed, why, err := try(dir, m, checks, limit)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		verdict := "killed"
		if !killed {
			verdict = "SURVIVED"
			survived++
		}
		say(w, "%-9s %-40s %6.1fs  %s\n", verdict, m.Name, time.Since(began).Seconds(), why)
	}
	say(w, "%d mutants tried, %d killed\n", tried, tried-survived)
	if survived > 0 {
		return fmt.Errorf("%d mutants survived: the model test has a hole", survived)
	}
	return nil
}

func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...) // nobody reads it: so be it.
}

// try runs the model test against one mutant and says how it was noticed.
func try(dir string, m mutant, checks int, limit time.Duration) (killed bool, why string, err error) {
	path, err := filepath.Abs(m.File)
	if err != nil {
		return false, "", err
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return false, "", err
	}
	if n := bytes.Count(src, []byte(m.Old)); n != 1 {
		return false, "", fmt.Errorf("%s: what is to be broken stands there %d times, want once: %q", m.File, n, m.Old)
	}
	broken := filepath.Join(dir, "broken.go")
	if err := os.WriteFile(broken, bytes.Replace(src, []byte(m.Old), []byte(m.New), 1), 0o600); err != nil {
		return false, "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{path: broken}})
	if err != nil {
		return false, "", err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return false, "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "build", "-overlay="+file, "./internal/...").CombinedOutput(); err != nil {
		return false, "", fmt.Errorf("the mutant does not build: %w\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-overlay="+file, "./internal/model",
		fmt.Sprint("-rapid.checks=", checks), "-rapid.nofailfile", "-rapid.shrinktime=1s")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false, "", nil
	}
	if ctx.Err() != nil {
		return true, "the test did not end in time", nil
	}
	return true, firstProblem(string(out)), nil
}

// firstProblem is the first line that says what the test saw.
func firstProblem(out string) string {
	for line := range strings.Lines(out) {
		if _, what, ok := strings.Cut(line, "tests: "); ok {
			return strings.TrimSpace(what)
		}
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "panic") || strings.Contains(line, "FAIL") {
			return strings.TrimSpace(line)
		}
	}
	return "failed"
}
