// Command mutants turns on one switch of package mutant after the other and runs the
// test that has to fail for it. A mutant counts as killed only if that test fails:
// not if it is skipped, hangs or crashes. Each test must first pass with no switch on.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pagerelay/pagerelay/internal/mutant"
)

func main() {
	app := kingpin.New("mutants", "Break one promise after the other and see its test fail.")
	only := app.Flag("only", "Try only the mutants whose name holds this.").String()
	limit := app.Flag("timeout", "How long one test may take.").Default("5m").Duration()
	kingpin.MustParse(app.Parse(os.Args[1:]))

	dir, err := os.MkdirTemp("", "mutants-")
	app.FatalIfError(err, "")
	r := run{dir: dir, limit: *limit, built: map[string]string{}, sound: map[string]error{}}
	killed, tried := 0, 0
	for _, b := range list() {
		if !strings.Contains(string(b.id), *only) {
			continue
		}
		tried++
		began := time.Now()
		if err := r.try(b); err != nil {
			fmt.Printf("SURVIVED  %-26s promise %-2d  %v\n", b.id, b.promise, err)
			continue
		}
		killed++
		fmt.Printf("killed    %-26s promise %-2d  by %s.%s in %.0f s\n", b.id, b.promise, b.pkg, b.test, time.Since(began).Seconds())
	}
	app.FatalIfError(os.RemoveAll(dir), "")
	fmt.Printf("%d of %d mutants killed\n", killed, tried)
	if killed < tried || tried == 0 {
		os.Exit(1)
	}
}

// run is one run of this program.
type run struct {
	dir   string // for the test binaries.
	limit time.Duration
	built map[string]string // test binaries by package.
	sound map[string]error  // what the tests said with no mutant on.
}

// try returns nil if the mutant's test passes without it and fails with it.
func (r *run) try(b breaks) error {
	bin, ok := r.built[b.pkg]
	if !ok {
		bin = filepath.Join(r.dir, strings.ReplaceAll(b.pkg, "/", "-")+".test")
		cmd := exec.Command("go", "test", "-c", "-tags=mutant", "-o", bin, "./"+b.pkg)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build the tests of %s: %w\n%s", b.pkg, err, out)
		}
		r.built[b.pkg] = bin
	}
	name := b.pkg + "." + b.test
	if _, ok := r.sound[name]; !ok {
		out, err := r.test(bin, b, "")
		if err == nil && !verdict(out, "PASS", b.test) {
			err = errors.New("it was skipped, or there is no such test")
		}
		r.sound[name] = err
	}
	if err := r.sound[name]; err != nil {
		return fmt.Errorf("%s does not pass without a mutant: %w", name, err)
	}
	out, err := r.test(bin, b, b.id)
	switch {
	case err == nil:
		return fmt.Errorf("%s passes", name)
	case !verdict(out, "FAIL", b.test):
		return fmt.Errorf("%s neither passes nor fails: %w\n%s", name, err, out)
	}
	return nil
}

// test runs one test with a mutant on; "" is none.
func (r *run) test(bin string, b breaks, id mutant.ID) (out string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.limit+10*time.Second)
	defer cancel()
	args := []string{"-test.v", "-test.failfast", fmt.Sprint("-test.timeout=", r.limit), "-test.run=^" + b.test + "$"}
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = filepath.FromSlash(b.pkg) // as the go command runs it.
	cmd.Env = append(os.Environ(), "PAGERELAY_MUTANT="+string(id))
	cmd.WaitDelay = time.Second // for what a test has started and left behind.
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// verdict says whether the test itself, not only a subtest, ended so.
func verdict(out, word, test string) bool {
	return regexp.MustCompile(`(?m)^--- ` + word + `: ` + test + ` \(`).MatchString(out)
}
