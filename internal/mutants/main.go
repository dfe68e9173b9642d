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

const modelTest = "./internal/model"

// mutant is one break: all of its edits together.
type mutant struct {
	Name  string
	Edits []edit
}

// edit replaces Old, which stands in File once, by New.
type edit struct{ File, Old, New string }

// stages are the runs of the model's tests against a mutant, until one fails: first
// those with histories that are written down, which take seconds, then the random ones.
func stages(histories int, random bool) [][]string {
	const randomTest = "^TestPagerDutyConvergesToAlertmanager$"
	written := []string{"-test.skip=" + randomTest, "-rapid.checks=30"}
	drawn := []string{"-test.run=" + randomTest, fmt.Sprint("-rapid.checks=", histories)}
	if random {
		return [][]string{drawn}
	}
	return [][]string{written, drawn}
}

func main() {
	app := kingpin.New("mutants", "Break one line of the core at a time and see the model test fail.")
	histories := app.Flag("histories", "Random histories that are tried at most for each mutant.").Default("2000").Int()
	only := app.Flag("only", "Try only the mutants whose name holds this.").String()
	random := app.Flag("random", "Try the random histories alone.").Bool()
	limit := app.Flag("timeout", "How long one mutant may take.").Default("5m").Duration()
	kingpin.MustParse(app.Parse(os.Args[1:]))
	app.FatalIfError(run(os.Stdout, *histories, *random, *only, *limit), "")
}

func run(w io.Writer, histories int, random bool, only string, limit time.Duration) error {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	tried, survived, first := 0, 0, time.Now()
	for _, m := range mutants() {
		if !strings.Contains(m.Name, only) {
			continue
		}
		tried++
		began := time.Now()
		killed, why, err := try(dir, m, stages(histories, random), limit)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		verdict := "killed"
		if !killed {
			verdict = "SURVIVED"
			survived++
		}
		say(w, "%-9s %-50s %6.1fs  %s\n", verdict, m.Name, time.Since(began).Seconds(), why)
	}
	say(w, "%d mutants tried, %d killed, in %v\n", tried, tried-survived, time.Since(first).Round(time.Second))
	if survived > 0 {
		return fmt.Errorf("%d mutants survived: the model test has a hole", survived)
	}
	return nil
}

func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...) // nobody reads it: so be it.
}

// try runs the model test against one mutant and says what noticed it, and how.
func try(dir string, m mutant, stages [][]string, limit time.Duration) (killed bool, why string, err error) {
	overlay, err := breakFiles(dir, m)
	if err != nil {
		return false, "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	bin := filepath.Join(dir, "model.test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-overlay="+overlay, "-o", bin, modelTest).CombinedOutput(); err != nil {
		return false, "", fmt.Errorf("the mutant does not build: %w\n%s", err, out)
	}
	for _, args := range stages {
		args = append(args, "-test.failfast", "-rapid.nofailfile", "-rapid.shrinktime=1s")
		cmd := exec.CommandContext(ctx, bin, args...)
		cmd.Dir = modelTest // as the go command runs it.
		out, err := cmd.CombinedOutput()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return true, "the test did not end in time", nil
		default:
			return true, firstProblem(string(out)), nil
		}
	}
	return false, "", nil
}

// breakFiles writes the mutant's files, and the overlay that puts them in place of
// the real ones.
func breakFiles(dir string, m mutant) (overlay string, err error) {
	broken := map[string][]byte{} // by the real file's path.
	for _, e := range m.Edits {
		path, err := filepath.Abs(e.File)
		if err != nil {
			return "", err
		}
		if broken[path] == nil {
			if broken[path], err = os.ReadFile(path); err != nil {
				return "", err
			}
		}
		if n := bytes.Count(broken[path], []byte(e.Old)); n != 1 {
			return "", fmt.Errorf("%s: what is to be broken stands there %d times, want once: %q", e.File, n, e.Old)
		}
		broken[path] = bytes.Replace(broken[path], []byte(e.Old), []byte(e.New), 1)
	}
	replace := map[string]string{}
	for path, text := range broken {
		replace[path] = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(replace[path], text, 0o600); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}

// firstProblem is the test that failed, and the first line that says what it saw.
func firstProblem(out string) string {
	test := ""
	for line := range strings.Lines(out) {
		if _, name, ok := strings.Cut(line, "--- FAIL: "); ok {
			test, _, _ = strings.Cut(strings.TrimSpace(name), " ")
			break
		}
	}
	return fmt.Sprintf("%s: %.160s", test, firstLine(out))
}

func firstLine(out string) string {
	for line := range strings.Lines(out) {
		if _, what, ok := strings.Cut(line, "tests: "); ok {
			return strings.TrimSpace(what)
		}
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "panic") || strings.Contains(line, "_test.go:") {
			return strings.TrimSpace(line)
		}
	}
	return "failed"
}
