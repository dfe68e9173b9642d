// Command mutants breaks the code in one way after the other and runs tests against
// each: a break that no test notices is a hole in the tests. It changes no file: a
// break is an overlay of the go command. Only a test that fails has noticed a break;
// what does not build, hangs or crashes has shown nothing, unless the list says that
// this break shows itself so.
package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

// mutant is one break: all of its edits together.
type mutant struct {
	Name    string
	Promise int // of docs/contract.md.
	// By is the test that notices it first, as package.Test. One of internal/lab/model
	// means that all of that package's tests are run; any other is run alone.
	By    string
	Edits []edit
	// Ends is how that test ends, if not by failing.
	Ends ending
}

// edit replaces Old, which stands in File once, by New.
type edit struct{ File, Old, New string }

// suites are the runs of tests against a mutant, until one does not pass. Of the
// model's tests those with histories that are written down come first, as they take
// seconds; then the random ones.
func (m mutant) suites(histories int, random bool) []suite {
	const (
		model      = "internal/lab/model"
		randomTest = "TestPagerDutyConvergesToAlertmanager"
	)
	rapid := []string{"-rapid.nofailfile", "-rapid.shrinktime=0s"}
	pkg, test, _ := strings.Cut(m.By, ".")
	if pkg != model {
		return []suite{{pkg, []string{"-test.run=^" + test + "$"}}}
	}
	written := suite{model, append([]string{"-test.skip=^" + randomTest + "$", "-rapid.checks=30"}, rapid...)}
	drawn := suite{model, append([]string{"-test.run=^" + randomTest + "$", fmt.Sprint("-rapid.checks=", histories)}, rapid...)}
	if random {
		return []suite{drawn}
	}
	return []suite{written, drawn}
}

func main() {
	app := kingpin.New("mutants", "Break the code in one way after the other and see tests fail.")
	var r run
	app.Flag("histories", "Random histories that are tried at most for each mutant.").Default("2000").IntVar(&r.histories)
	only := app.Flag("only", "Try only the mutants whose name holds this.").String()
	app.Flag("random", "Try the random histories alone; which test notices a break is then not compared with the list.").BoolVar(&r.random)
	app.Flag("timeout", "How long one run of tests may take.").Default("5m").DurationVar(&r.limit)
	kingpin.MustParse(app.Parse(os.Args[1:]))
	chosen := slices.DeleteFunc(mutants(), func(m mutant) bool { return !strings.Contains(m.Name, *only) })
	if r.random {
		chosen = slices.DeleteFunc(chosen, func(m mutant) bool { return !strings.HasPrefix(m.By, "internal/lab/model.") })
	}
	app.FatalIfError(r.all(os.Stdout, chosen), "")
}

// run is one run of this program.
type run struct {
	histories int
	random    bool
	limit     time.Duration

	dir   string            // for binaries and broken files.
	sound map[string]report // of the unbroken code, by suite.
}

// verdicts on a mutant. Only the first two are no fault, of a test or of the list.
const (
	noticed   = "noticed"
	notTried  = "NOT TRIED" // its test was skipped, for want of root or of a program.
	survived  = "SURVIVED"
	otherwise = "OTHERWISE" // noticed, but not by the test that the list names.
	hung      = "TIMED OUT"
	crash     = "CRASHED"
	noBuild   = "NO BUILD"
)

// all tries the mutants and says what noticed each.
func (r *run) all(w io.Writer, chosen []mutant) (err error) {
	if len(chosen) == 0 {
		return errors.New("no such mutant")
	}
	if r.dir, err = os.MkdirTemp("", "mutants"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(r.dir) }()
	began := time.Now()
	r.sound = map[string]report{}
	for _, m := range chosen { // before minutes are spent; further suites follow when they are needed.
		if err := r.unbroken(m.suites(r.histories, r.random)[0]); err != nil {
			return err
		}
	}
	say(w, "the unbroken code: %d runs of tests, none failed, in %v\n", len(r.sound), time.Since(began).Round(time.Second))
	count := map[string]int{}
	for _, m := range chosen {
		began := time.Now()
		verdict, rep, err := r.try(m)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		count[verdict]++
		say(w, "%-9s  %2d  %-64s %5.1f s  %s: %.200s\n", verdict, m.Promise, m.Name, time.Since(began).Seconds(), rep.test, rep.message)
		if verdict == otherwise {
			say(w, "%13s the list has it by %s\n", "", m.By)
		}
	}
	say(w, "%d mutants", len(chosen))
	for _, v := range slices.Sorted(maps.Keys(count)) {
		say(w, ", %d %s", count[v], strings.ToLower(v))
	}
	say(w, "; in %v\n", time.Since(began).Round(time.Second))
	if bad := len(chosen) - count[noticed] - count[notTried]; bad > 0 {
		return fmt.Errorf("%d mutants were not noticed as the list says: a test has a hole, or the list is wrong", bad)
	}
	return nil
}

func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...) // nobody reads it: so be it.
}

// unbroken sees that a suite passes as long as nothing is broken.
func (r *run) unbroken(s suite) error {
	if _, ok := r.sound[s.String()]; ok {
		return nil
	}
	bin, err := s.build(r.dir, "")
	if err != nil {
		return fmt.Errorf("build the tests of the unbroken code: %w", err)
	}
	rep, err := s.run(bin, r.limit)
	if err != nil {
		return err
	}
	if rep.ending != passed && rep.ending != skipped {
		return fmt.Errorf("nothing can be learnt from a test that does not pass on the unbroken code: %s, %s %s: %s", s, rep.test, rep.ending, rep.message)
	}
	r.sound[s.String()] = rep
	return nil
}

// try runs tests against a mutant until one does not pass.
func (r *run) try(m mutant) (verdict string, rep report, err error) {
	overlay, err := breakFiles(r.dir, m)
	if err != nil {
		return "", report{}, err
	}
	bin := ""
	for _, s := range m.suites(r.histories, r.random) {
		if err := r.unbroken(s); err != nil {
			return "", report{}, err
		}
		if rep = r.sound[s.String()]; rep.ending == skipped {
			return notTried, rep, nil
		}
		if bin == "" { // the suites of a mutant are of one package.
			if bin, err = s.build(r.dir, overlay); err != nil {
				return noBuild, report{test: m.By, message: err.Error()}, nil
			}
		}
		logged := rep.logged
		if rep, err = s.run(bin, r.limit); err != nil {
			return "", report{}, err
		}
		if rep.ending != passed {
			rep.message = rep.problem(logged)
			return r.judge(m, rep), rep, nil
		}
	}
	return survived, report{test: m.By, message: "passed"}, nil
}

// judge says what a run that did not pass shows.
func (r *run) judge(m mutant, rep report) string {
	want := m.Ends
	if want == "" {
		want = failed
	}
	switch {
	case rep.ending == skipped:
		return notTried
	case rep.ending == timedOut && want != timedOut:
		return hung
	case rep.ending == crashed && want != crashed:
		return crash
	}
	if sub, ok := strings.CutPrefix(rep.test, m.By); !r.random && (rep.ending != want || !ok || (sub != "" && sub[0] != '/')) {
		return otherwise
	}
	return noticed
}
