// Package e2e tests the whole way of an alert with real programs: pagerelay and
// the emulator as processes, a real Alertmanager, real files and sockets. What a
// package can prove about itself is proven there.
package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/lab/race"
)

// programs are the paths of what the tests run.
type programs struct {
	pagerelay, emulator, demo string
	// alertmanager and amtool are empty where the test needs none.
	alertmanager, amtool string
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	// The tests wait far more than they compute.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("8"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	dir, err := os.MkdirTemp("", "pagerelay-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left of it, the system clears up.
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// build compiles our own programs into dir, with the race detector if the tests
// have it, and tells the tests where all programs are.
func build(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for _, p := range []struct{ env, pkg string }{
		{"PAGERELAY_BIN", "cmd/pagerelay"},
		{"PAGERDUTY_EMULATOR_BIN", "cmd/pagerduty-emulator"},
		{"PAGERELAY_DEMO_BIN", "internal/lab/demo"},
	} {
		if os.Getenv(p.env) != "" {
			continue
		}
		path := filepath.Join(dir, filepath.Base(p.pkg))
		args := []string{"build", "-o", path}
		if race.Enabled {
			args = append(args, "-race")
		}
		cmd := exec.CommandContext(ctx, "go", append(args, "../../../"+p.pkg)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", p.pkg, err, out)
		}
		if err := os.Setenv(p.env, path); err != nil {
			return err
		}
	}
	return nil
}

// ours are our own programs.
func ours(t *testing.T) programs {
	t.Helper()
	depend(t)
	return programs{
		pagerelay: os.Getenv("PAGERELAY_BIN"), emulator: os.Getenv("PAGERDUTY_EMULATOR_BIN"), demo: os.Getenv("PAGERELAY_DEMO_BIN"),
	}
}

// all are our own programs, Alertmanager and amtool; without those the test is skipped.
func all(t *testing.T) programs {
	t.Helper()
	p := ours(t)
	p.alertmanager = need(t, "ALERTMANAGER_BIN", "bin/alertmanager")
	p.amtool = need(t, "AMTOOL_BIN", "bin/amtool")
	return p
}

// onBoth runs a test on Alertmanager as the other tests do, and on an older one.
func onBoth(t *testing.T, test func(t *testing.T, o options)) {
	t.Helper()
	for _, age := range []struct {
		name  string
		older bool
	}{{"the usual Alertmanager", false}, {"an older one", true}} {
		t.Run(age.name, func(t *testing.T) {
			t.Parallel()
			test(t, options{older: age.older})
		})
	}
}

// need is the path that the environment names, else that of the tool that
// `make alertmanager` puts at the root of the repository.
func need(t *testing.T, env, name string) string {
	t.Helper()
	path := os.Getenv(env)
	if path == "" {
		path = filepath.Join("..", "..", "..", ".tools", name)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(abs); errors.Is(err, os.ErrNotExist) {
		const hint = "there is no %s at %s: `make try-alertmanager` puts it there, or set %s"
		if os.Getenv("PAGERELAY_REQUIRE_ALERTMANAGER") == "1" {
			t.Fatalf(hint, name, abs, env)
		}
		t.Skipf(hint, name, abs, env)
	} else if err != nil {
		t.Fatal(err)
	}
	return abs
}

// depend looks at all sources, so that `go test` knows that this test's result
// depends on them: it cannot see what the programs were built from, and would
// show an old result after a change.
func depend(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join("..", "..", ".."), func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // another package's test has cleared up.
			return nil
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", ".tools", "bin"}, d.Name()):
			return fs.SkipDir
		case d.Type().IsRegular() && !strings.HasSuffix(path, "_test.go"):
			_, _ = os.Stat(path) // to have looked is enough.
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
