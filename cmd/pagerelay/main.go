// Command pagerelay is a sidecar between Prometheus Alertmanager and PagerDuty.
// It wires the packages together, and holds its command line; what it does to
// alerts and pages is those packages' business.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // templates know time zones, also in an image that has none.

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

func main() { os.Exit(command(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// command is the whole program; it returns the exit code.
func command(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// Flags that several subcommands share.
	app := kingpin.New("pagerelay", "A sidecar between Prometheus Alertmanager and PagerDuty.")
	app.Version(version.Print("pagerelay"))
	app.HelpFlag.Short('h')
	app.UsageWriter(stdout)
	app.ErrorWriter(stderr)
	configFile := app.Flag("config.file", "The configuration file.").Default("pagerelay.yml").String()
	logConfig := &promslog.Config{Writer: stderr}
	promslogflag.AddFlags(app, logConfig)

	// One subcommand a file. A subcommand that is a service gets a logger; the
	// others talk to the person who called them.
	serve := newServe(app)
	checkConfig := newCheckConfig(app)
	rules := newRules(app)
	simulate := newSimulate(app)
	sendTest := newSendTest(app)
	coverage := newCoverage(app)
	outbox := newOutbox(app)
	token := newToken(app)

	name, err := app.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "pagerelay: error: %v, try --help\n", oneline.Visible(err.Error()))
		return exitUsage
	}
	if name == serve.name {
		logger := promslog.New(logConfig)
		if err = serve.run(context.Background(), *configFile, logger); err != nil {
			logLines(logger, "Pagerelay has ended", err)
			return exitCode(err, 1)
		}
		return 0
	}

	// A signal ends what takes no ctx, as it ends any program.
	code := 1
	switch name {
	case checkConfig.name:
		err = checkConfig.run(stdin, stdout)
	case rules.test:
		err = rules.run(*configFile, stdout)
	case simulate.name:
		err = simulate.run(*configFile, stdin, stdout)
	case sendTest.name:
		ctx, stop := interruptible()
		defer stop()
		err = sendTest.run(ctx, *configFile, stdout)
	case coverage.audit.name, coverage.export.name:
		ctx, stop := interruptible()
		defer stop()
		if code, err = coverage.run(ctx, name, *configFile, stdout, stderr); err == nil {
			return code
		}
	case outbox.list.name, outbox.show.name, outbox.retry.name, outbox.drop.name:
		ctx, stop := interruptible()
		defer stop()
		err = outbox.run(ctx, name, stdout)
	case token.create:
		err = token.run(stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "pagerelay: error:", printableLines(err.Error()))
		return exitCode(err, code)
	}
	return 0
}

// exitCode is 2 for a wrong command line, else the given one.
func exitCode(err error, code int) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return code
}

// interruptible is a context that a signal ends, for those who heed it: the
// signal itself does nothing then.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// logLines logs an error, each of its lines as one record: a configuration has
// many faults at once.
func logLines(logger *slog.Logger, msg string, err error) {
	for _, line := range lines(err.Error()) {
		logger.Error(msg, "err", line) //nolint:sloglint // the callers' messages are constants.
	}
}
