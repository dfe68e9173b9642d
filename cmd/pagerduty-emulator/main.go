// Command pagerduty-emulator plays PagerDuty on a local address: the Events API
// v2 under /v2, REST's reading of who is on call at PagerDuty's own paths
// (/services, /schedules, /v3/schedules, /oncalls and so on), the incidents that
// follow as JSON under /emulator and as a page at /, faults on demand for either
// API, and an account that can be replaced while it runs (PUT /emulator/account,
// YAML as in the file). It is for tests, demonstrations and trials.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/oklog/run"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

// shutdownTimeout is how long requests in flight may take once a signal came.
const shutdownTimeout = 5 * time.Second

type flags struct {
	configFile, journalFile, listenAddress, webConfigFile string
	log                                                   promslog.Config
}

func main() {
	var f flags
	app := kingpin.New(filepath.Base(os.Args[0]), "A PagerDuty to try things on: the Events API v2, the incidents that follow, and what REST says of who is on call.")
	app.Flag("config.file", "The account: services, escalation policies, schedules, users. Default: one service with the routing key "+
		emulator.DefaultRoutingKey+", somebody always on call; REST takes any token.").StringVar(&f.configFile)
	app.Flag("journal.file", "Append a JSON line for each accepted event to this file.").StringVar(&f.journalFile)
	app.Flag("web.listen-address", "Where to listen; port 0 takes a free one.").Default("127.0.0.1:9096").StringVar(&f.listenAddress)
	app.Flag("web.config.file", "TLS and basic auth, as in Prometheus' exporters.").StringVar(&f.webConfigFile)
	promslogflag.AddFlags(app, &f.log)
	app.Version(version.Print("pagerduty-emulator"))
	app.HelpFlag.Short('h')
	kingpin.MustParse(app.Parse(os.Args[1:]))

	logger := promslog.New(&f.log)
	if err := serve(f, logger); err != nil {
		logger.Error("Stopped", "err", err)
		os.Exit(1)
	}
}

// serve runs until a signal comes, which is no error, or the listener fails.
func serve(f flags, logger *slog.Logger) (err error) {
	// From the start: a signal that comes before all is up must not cut it off.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	cfg := emulator.Default()
	if f.configFile != "" {
		loaded, err := emulator.Load(f.configFile)
		if err != nil {
			return fmt.Errorf("load configuration: %w", err)
		}
		cfg = *loaded
	}
	var journal io.Writer
	if f.journalFile != "" {
		file, openErr := os.OpenFile(f.journalFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if openErr != nil {
			return fmt.Errorf("open journal: %w", openErr)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		journal = file
	}
	emu, err := emulator.New(cfg, emulator.Options{Logger: logger, Journal: journal})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", f.listenAddress)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: emu.Handler(), ReadHeaderTimeout: 10 * time.Second}

	var g run.Group
	{
		// Serves until it is shut down. web.Serve logs "Listening on" with the address.
		g.Add(func() error {
			err := web.Serve(listener, server, &web.FlagConfig{WebConfigFile: &f.webConfigFile}, logger)
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			return fmt.Errorf("serve %s: %w", listener.Addr(), err)
		}, func(error) {
			emu.ClearFaults() // lets go of what hangs on purpose.
			ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
			defer cancel()
			if server.Shutdown(ctx) != nil {
				_ = server.Close() // what is still in flight then is cut.
			}
			_ = listener.Close() // if Serve failed before it took the listener over.
		})
	}
	{
		// Ends the group on SIGTERM or SIGINT.
		g.Add(run.ContextHandler(ctx))
	}
	if err := g.Run(); ctx.Err() == nil {
		return err
	}
	return nil
}
