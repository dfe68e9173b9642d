package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// suite is a run of a package's tests: which, and with what flags.
type suite struct {
	pkg  string // its folder, with slashes.
	args []string
}

func (s suite) String() string { return s.pkg + " " + strings.Join(s.args, " ") }

// build compiles the tests, with an overlay's files in place of the real ones, if
// one is given. Its error is the compiler's.
func (s suite) build(dir, overlay string) (bin string, err error) {
	name, args := strings.ReplaceAll(s.pkg, "/", "-"), []string{"test", "-c"}
	if overlay != "" { // the unbroken one may be built while this is in use.
		name, args = name+".broken", append(args, "-overlay="+overlay)
	}
	bin = filepath.Join(dir, name+".test")
	args = append(args, "-o", bin, "./"+s.pkg)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return bin, nil
}

// ending is how a run of tests came to its end.
type ending string

const (
	passed   ending = "passed"
	failed   ending = "failed" // a test said so.
	skipped  ending = "skipped"
	timedOut ending = "timed out"
	crashed  ending = "crashed" // anything else: a panic, an exit.
)

// report is what became of a run of tests.
type report struct {
	ending  ending
	test    string   // the first that failed, or the one that ran when all ended: package.Test/subtest.
	message string   // what it said.
	output  []string // its lines.
	// logged are the places (file:line) that wrote something though all passed.
	logged map[string]bool
}

// run runs the tests until the first failure.
func (s suite) run(bin string, limit time.Duration) (report, error) {
	// The test binary ends itself in time, and says where it hung; should it not, it is killed.
	ctx, cancel := context.WithTimeout(context.Background(), limit+10*time.Second)
	defer cancel()
	args := append([]string{"-test.v=test2json", "-test.failfast", fmt.Sprint("-test.timeout=", limit)}, s.args...)
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = filepath.FromSlash(s.pkg) // as the go command runs it.
	cmd.WaitDelay = time.Second         // for what a test has started and left behind.
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
		return report{}, fmt.Errorf("run %s: %w", s, err)
	}
	convert := exec.Command("go", "tool", "test2json")
	convert.Stdin = bytes.NewReader(out)
	events, convertErr := convert.Output()
	if convertErr != nil {
		return report{}, fmt.Errorf("read what %s said: %w", s, convertErr)
	}
	rep, err := read(bytes.NewReader(events), cmd.ProcessState.ExitCode(), ctx.Err() != nil)
	if err != nil {
		return report{}, fmt.Errorf("read what %s said: %w", s, err)
	}
	rep.test = s.pkg + "." + rep.test
	return rep, nil
}

// read makes a report of the events of test2json and of the exit code; killed is
// whether the tests had to be.
func read(events io.Reader, code int, killed bool) (report, error) {
	var (
		first, last string                  // the first test that failed, and the last that was begun.
		skips       string                  // the last test that was skipped.
		passes      int                     // tests that passed.
		fatal       string                  // the first line of a panic's.
		lines       = map[string][]string{} // by test.
		rep         = report{logged: map[string]bool{}}
	)
	for dec := json.NewDecoder(events); ; {
		var ev struct{ Action, Test, Output string }
		if err := dec.Decode(&ev); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return report{}, err
		}
		switch {
		case ev.Action == "run":
			last = ev.Test
		case ev.Action == "output":
			line := strings.TrimSpace(ev.Output)
			lines[ev.Test] = append(lines[ev.Test], line)
			rep.logged[place(line)] = true
			if fatal == "" && (strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")) {
				fatal = line
			}
		case ev.Test == "": // of the package as a whole.
		case ev.Action == "pass":
			passes++
		case ev.Action == "skip":
			skips = ev.Test
		case ev.Action == "fail" && first == "":
			first = ev.Test
		}
	}
	const exitFailed = 1 // of package testing; a panic's is 2.
	switch {
	case killed, strings.HasPrefix(fatal, "panic: test timed out"):
		rep.ending, rep.test = timedOut, last
	case code == exitFailed && first != "":
		rep.ending, rep.test = failed, first
	case code != 0:
		rep.ending, rep.test, rep.message = crashed, last, fatal
	case passes == 0 && skips == "":
		return report{}, errors.New("there is no such test")
	case passes == 0:
		rep.ending, rep.test = skipped, skips
	default:
		rep.ending = passed
	}
	rep.output = lines[rep.test]
	if rep.message == "" {
		rep.message = rep.problem(nil)
	}
	return rep, nil
}

// place is where a line of a test's log comes from, as file:line; "" if it is none.
func place(line string) string {
	return regexp.MustCompile(`^[a-z0-9_]+_test\.go:\d+`).FindString(line)
}

// problem is the first thing that a test said; what comes from a place that also
// writes when all is well is no problem, but for the word of a property test.
func (r report) problem(logged map[string]bool) string {
	if r.ending == timedOut || r.ending == crashed {
		return cmp.Or(r.message, string(r.ending))
	}
	for _, line := range r.output {
		if _, what, ok := strings.Cut(line, "[rapid] failed after "); ok {
			return "after " + what
		}
		if at := place(line); at != "" && !logged[at] {
			return strings.TrimSpace(line)
		}
	}
	return string(r.ending)
}
