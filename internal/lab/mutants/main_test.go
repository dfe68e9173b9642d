package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// module makes a module with a package p and one of the same file name, q, and
// makes it the working directory.
func module(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func sound() map[string]string {
	return map[string]string{
		"go.mod":    "module m\n\ngo 1.26\n",
		"p/code.go": "package p\n\nfunc Sum(a, b int) int { return a + b }\n",
		"q/code.go": "package q\n\nfunc Name() string { return \"q\" }\n",
		"p/code_test.go": `package p

import (
	"m/q"
	"testing"
)

func TestName(t *testing.T) {
	if got := q.Name(); got != "q" {
		t.Errorf("got %q", got)
	}
}

func TestSum(t *testing.T) {
	t.Log("seed 1")
	t.Run("one and two", func(t *testing.T) {
		t.Log("seed 2")
		if got := Sum(1, 2); got != 3 {
			t.Errorf("got %d, want 3", got)
		}
	})
}

func TestNeedsRoot(t *testing.T) { t.Skip("needs root") }
`,
		"internal/lab/model/model_test.go": `package model_test

import (
	"flag"
	"m/p"
	"m/q"
	"testing"
)

var (
	checks = flag.Int("rapid.checks", 0, "")
	_      = flag.Bool("rapid.nofailfile", false, "")
	_      = flag.Duration("rapid.shrinktime", 1, "")
)

func TestWritten(t *testing.T) {
	if got := q.Name(); got != "q" {
		t.Errorf("got %q", got)
	}
}

func TestPagerDutyConvergesToAlertmanager(t *testing.T) {
	if got := p.Sum(0, *checks); got != 77 {
		t.Errorf("got %d", got)
	}
}
`,
	}
}

// What shows itself in another way than the list says is no success.
func TestVerdicts(t *testing.T) {
	module(t, sound())
	sum := func(name, by, body string, ends ending) mutant {
		return mutant{Name: name, Promise: 1, By: by, Ends: ends, Edits: []edit{{"p/code.go", "return a + b", body}}}
	}
	const hang = "<-make(chan int); return 0"
	cases := []struct {
		mutant  mutant
		verdict string
		says    string
	}{
		{sum("fails", "p.TestSum", "return a - b", ""), noticed, "p.TestSum/one_and_two: code_test.go:19: got -1, want 3"},
		{mutant{Name: "two files of one name", Promise: 1, By: "p.TestName", Edits: []edit{
			{"p/code.go", "return a + b", "return a - b"},
			{"q/code.go", `"q"`, `"r"`},
		}}, noticed, `p.TestName: code_test.go:10: got "r"`},
		{mutant{
			Name: "of the model", Promise: 1, By: "internal/lab/model.TestWritten",
			Edits: []edit{{"q/code.go", `"q"`, `"r"`}},
		}, noticed, `internal/lab/model.TestWritten: model_test.go:18: got "r"`},
		{
			sum("of the model and drawn", "internal/lab/model.TestPagerDutyConvergesToAlertmanager", "return a - b", ""),
			noticed, "internal/lab/model.TestPagerDutyConvergesToAlertmanager: model_test.go:24: got -77",
		},
		{sum("of the model and by another", "internal/lab/model.TestWritten", "return a - b", ""), otherwise, "got -77"},
		{sum("survives", "p.TestSum", "return b + a", ""), survived, "p.TestSum: passed"},
		{sum("hangs", "p.TestSum", hang, ""), hung, "p.TestSum/one_and_two: timed out"},
		{sum("is to hang", "p.TestSum", hang, timedOut), noticed, "p.TestSum/one_and_two: timed out"},
		{sum("crashes", "p.TestSum", `panic("no sum")`, ""), crash, "p.TestSum/one_and_two: panic: no sum"},
		{sum("is to crash", "p.TestSum", `panic("no sum")`, crashed), noticed, "p.TestSum/one_and_two: panic: no sum"},
		{sum("is to crash and fails", "p.TestSum", "return a - b", crashed), otherwise, "got -1, want 3"},
		{sum("does not build", "p.TestSum", "return c", ""), noBuild, "p.TestSum: exit status 1"},
		{sum("its test is skipped", "p.TestNeedsRoot", "return a - b", ""), notTried, "p.TestNeedsRoot: code_test.go:24: needs root"},
	}
	var out strings.Builder
	var list []mutant
	for _, tc := range cases {
		list = append(list, tc.mutant)
	}
	r := run{limit: 5 * time.Second, histories: 77}
	if err := r.all(&out, list); err == nil || !strings.HasPrefix(err.Error(), "6 mutants ") {
		t.Errorf("got error %v, want one of 6 mutants", err)
	}
	for _, tc := range cases {
		line := regexp.MustCompile(`(?m)^(.+?) +1  ` + tc.mutant.Name + "  .*$").FindStringSubmatch(out.String())
		if line == nil || line[1] != tc.verdict || !strings.Contains(line[0], tc.says) {
			t.Errorf("%s: got %q, want %s and %q", tc.mutant.Name, line, tc.verdict, tc.says)
		}
	}
	for _, want := range []string{"the unbroken code: 4 runs of tests, none failed", "13 mutants, 1 crashed, 1 no build, 1 not tried, 2 otherwise, 1 survived, 1 timed out, 6 noticed;"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %q, want %q in it", out.String(), want)
		}
	}
}

// Nothing is broken before the tests pass without it.
func TestBrokenBeforeAnythingIs(t *testing.T) {
	m := mutant{Name: "m", Promise: 1, By: "p.TestSum", Edits: []edit{{"p/code.go", "a ", "b "}}}
	for _, tc := range []struct{ name, by, code, want string }{
		{"a test fails", "p.TestSum", "package p\n\nfunc Sum(a, b int) int { return a - b }\n", "p.TestSum/one_and_two failed: code_test.go:17: seed 2"},
		{"does not build", "p.TestSum", "package p\n\nfunc Sum() {}\n", "too many arguments"},
		{"no such test", "p.TestProduct", "package p\n\nfunc Sum(a, b int) int { return a + b }\n", "there is no such test"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := sound()
			files["p/code.go"] = tc.code
			module(t, files)
			m.By = tc.by
			var out strings.Builder
			r := run{limit: time.Minute}
			if err := r.all(&out, []mutant{m}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one with %q", err, tc.want)
			}
			if out.String() != "" {
				t.Errorf("got %q, want nothing tried", out.String())
			}
		})
	}
}

// Not every end of a test binary with an error is a test that failed.
func TestEndings(t *testing.T) {
	event := func(action, test, output string) string {
		return fmt.Sprintf("{\"Action\":%q,\"Test\":%q,\"Output\":%q}\n", action, test, output)
	}
	for _, tc := range []struct {
		name, events string
		code         int
		want         ending
		problem      string
	}{
		{
			"a property", event("run", "TestP", "") + event("output", "TestP", "    p_test.go:9: [rapid] failed after 3 tests: a is lost\n") + event("fail", "TestP", ""),
			1, failed, "after 3 tests: a is lost",
		},
		{"a goroutine is left", event("run", "TestP", "") + event("pass", "TestP", "") + event("output", "", "goleak: found a goroutine\n"), 1, crashed, "crashed"},
		{"another goroutine panics", event("run", "TestP", "") + event("output", "TestP", "panic: out\n"), 2, crashed, "panic: out"},
		{"passes, and one is skipped", event("run", "TestP", "") + event("pass", "TestP", "") + event("skip", "TestQ", ""), 0, passed, "passed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rep, err := read(strings.NewReader(tc.events), tc.code, false)
			if err != nil {
				t.Fatal(err)
			}
			// The place of a property writes when all is well, too.
			if got := rep.problem(map[string]bool{"p_test.go:9": true}); rep.ending != tc.want || got != tc.problem {
				t.Errorf("got %s, %q, want %s, %q", rep.ending, got, tc.want, tc.problem)
			}
		})
	}
}
