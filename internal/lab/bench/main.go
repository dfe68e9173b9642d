// Command bench measures pagerelay: the real binary as a process of its own,
// with load clients and a stand-in for PagerDuty in this process, over loopback
// sockets. Beside each figure that the disk bounds it measures that disk in the
// same run. docs/benchmarks.md says what the figures mean.
//
// It prints verdicts and asserts nothing: a slow machine is no failure. It exits
// with 1 only when something could not be measured.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kingpin/v2"
)

func main() {
	app := kingpin.New("bench", "Measure pagerelay and print a table of figures.")
	var o options
	app.Flag("pagerelay", "The binary to measure.").Default("bin/pagerelay").StringVar(&o.binary)
	app.Flag("dir", "Folder on the disk to measure; default: the binary's.").StringVar(&o.dir)
	app.Flag("quick", "Fewer and shorter rounds: for a glance, not for a claim.").BoolVar(&o.quick)
	app.Flag("figure", "Measure this figure only (1 to 8); may be repeated.").IntsVar(&o.figures)
	app.Flag("cpuprofile", "Write CPU profiles of pagerelay during figures 1 and 2 to this folder.").StringVar(&o.profiles)
	kingpin.MustParse(app.Parse(os.Args[1:]))

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout, os.Stderr)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	binary   string
	dir      string // absolute, on the disk that is measured.
	quick    bool
	figures  []int
	profiles string // folder; "" for none.
}

// rounds scales a number of rounds.
func (o options) rounds(n int) int {
	if o.quick {
		return max(1, n/5)
	}
	return n
}

// row is a line of the table.
type row struct {
	figure   string
	measured string
	peer     string // what was measured beside it in the same run.
	ratio    string
	limit    string
	met      bool
}

// figure measures and returns its rows.
type figure func(ctx context.Context, o options) ([]row, error)

func figures() []figure {
	return []figure{oneClient, manyClients, route, latency, memory, ready, size, many}
}

func run(ctx context.Context, o options, out, progress io.Writer) error {
	var err error
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return err
	}
	if o.dir == "" {
		o.dir = filepath.Dir(o.binary)
	}
	if o.dir, err = os.MkdirTemp(o.dir, "bench-"); err != nil {
		return fmt.Errorf("make a folder for the measurements: %w", err)
	}
	defer os.RemoveAll(o.dir)

	before, err := describeMachine(o.dir)
	if err != nil {
		return err
	}
	var rows []row
	for i, measure := range figures() {
		n := i + 1
		if len(o.figures) > 0 && !slices.Contains(o.figures, n) {
			continue
		}
		fmt.Fprintf(progress, "figure %d ...\n", n)
		got, err := measure(ctx, o)
		if err != nil {
			return fmt.Errorf("measure figure %d: %w", n, err)
		}
		for j := range got {
			got[j].figure = fmt.Sprintf("%d. %s", n, got[j].figure)
		}
		rows = append(rows, got...)
	}
	print(out, before, rows)
	return nil
}

func print(w io.Writer, m machine, rows []row) {
	fmt.Fprintf(w, "%s; load average %s before, %s after\n\n", m.text, m.load, loadAverage())
	fmt.Fprintln(w, "| figure | measured | beside it, same run | ratio | limit | verdict |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- |")
	for _, r := range rows {
		verdict := "missed"
		switch {
		case r.limit == "":
			verdict = ""
		case r.met:
			verdict = "met"
		}
		fmt.Fprintln(w, "| "+strings.Join([]string{r.figure, r.measured, r.peer, r.ratio, r.limit, verdict}, " | ")+" |")
	}
}
