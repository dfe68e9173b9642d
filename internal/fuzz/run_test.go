// Package fuzz_test runs the script that runs the fuzz targets, with a go command
// that fails in the ways that Go's own does.
package fuzz_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	const (
		begin = "fuzz: elapsed: 20s, execs: 84786 (7851/sec), new interesting: 0 (total: 777)\n--- FAIL: FuzzA (22.12s)\n"
		end   = "FAIL\nexit status 1\nFAIL\texample.org/a\t22.152s\n"
	)
	for name, test := range map[string]struct {
		prints string
		exit   string
		passes bool
		says   string
	}{
		"nothing found":        {"PASS\nok  \texample.org/a\t20.1s\n", "0", true, ">> 2 fuzz targets passed"},
		"only the time over":   {begin + "    context deadline exceeded\n" + end, "1", true, "FuzzA: the time was over and nothing was found"},
		"an input that fails":  {begin + "    --- FAIL: FuzzA (0.00s)\n        a_test.go:9: no\n    \n    Failing input written to testdata/fuzz/FuzzA/1\n" + end, "1", false, "a_test.go:9: no"},
		"such a text in a log": {begin + "    --- FAIL: FuzzA (0.00s)\n        a_test.go:9: it took too long:\n    context deadline exceeded\n    \n    Failing input written to testdata/fuzz/FuzzA/1\n" + end, "1", false, "Failing input"},
		"a crash":              {begin + "    fuzzing process hung or terminated unexpectedly: exit status 2\n" + end, "1", false, "terminated unexpectedly"},
		"a build that fails":   {"# example.org/a\n./a.go:1:1: undefined: b\nFAIL\texample.org/a [build failed]\n", "1", false, "undefined: b"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "prints"), test.prints, 0o644)
			write(t, filepath.Join(dir, "go"), `#!/bin/sh
case "$*" in
*-list*) printf 'FuzzA\nFuzzB\nok  \texample.org/a\t0.1s\n' ;;
*'^FuzzA$'*) cat "$(dirname "$0")/prints"; exit `+test.exit+` ;;
*) echo PASS ;;
esac
`, 0o755)
			cmd := exec.CommandContext(t.Context(), "./run.sh", "20s")
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if passed := err == nil; passed != test.passes {
				t.Errorf("run.sh passes: %t, want %t", passed, test.passes)
			}
			if !strings.Contains(string(out), test.says) {
				t.Errorf("run.sh prints no %q:\n%s", test.says, out)
			}
			if went := strings.Contains(string(out), "FuzzB"); went != test.passes {
				t.Errorf("run.sh goes on with the next target: %t, want %t", went, test.passes)
			}
		})
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
