package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/alecthomas/units"
	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/version"
	"golang.org/x/time/rate"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/intake"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/internal/selfalert"
	"github.com/pagerelay/pagerelay/internal/web"
	"github.com/pagerelay/pagerelay/mapping"
	"github.com/pagerelay/pagerelay/receiver"
)

// serveCommand is `pagerelay serve`, the sidecar.
type serveCommand struct {
	name string

	storagePath     string
	retention       model.Duration
	listenAddresses []string
	webConfigFile   string
	externalURL     *url.URL
	allowedHosts    []string
	maxBody         units.Base2Bytes
	enableAmtool    bool
	enableAdmin     bool
	autoReload      model.Duration
	shutdownTimeout model.Duration
}

func newServe(app *kingpin.Application) *serveCommand {
	c := &serveCommand{}
	cmd := app.Command("serve", "Take Alertmanager's webhooks in and page through PagerDuty (the default).").Default()
	cmd.Flag("storage.path", "The folder of the outbox; one folder serves one pagerelay.").Default("data/").StringVar(&c.storagePath)
	cmd.Flag("data.retention", "How long closed incidents are kept to be looked at.").Default("15d").SetValue(&c.retention)
	cmd.Flag("web.listen-address", "The address to listen on; repeatable. Port 0 takes a free one.").Default("127.0.0.1:9095").StringsVar(&c.listenAddresses)
	cmd.Flag("web.config.file", "A file that turns on TLS or basic authentication: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md").StringVar(&c.webConfigFile)
	cmd.Flag("web.external-url", "The URL under which others reach pagerelay; its path prefixes every path.").URLVar(&c.externalURL)
	cmd.Flag("web.allowed-host", "A host name, without a port, under which callers may read the page and the API where no token is needed; repeatable. Loopback, addresses and the host of --web.external-url always may.").StringsVar(&c.allowedHosts)
	cmd.Flag("web.max-body-size", "The largest webhook body that is read; a larger one is answered 413, which Alertmanager does not send again.").Default("16MiB").BytesVar(&c.maxBody)
	cmd.Flag("web.enable-amtool", "Take test alerts from `amtool alert add`.").BoolVar(&c.enableAmtool)
	cmd.Flag("web.enable-admin-api", "Allow `outbox retry` and `outbox drop`, and audits on demand.").BoolVar(&c.enableAdmin)
	cmd.Flag("config.auto-reload-interval", "How often to look whether the configuration file has changed, and to reload it then; 0 never does.").Default("0s").SetValue(&c.autoReload)
	cmd.Flag("shutdown.timeout", "How long, at shutdown, callers may take to finish, and then requests to PagerDuty.").Default("10s").SetValue(&c.shutdownTimeout)
	c.name = cmd.FullCommand()
	return c
}

// run serves until a signal or ctx ends it, which is no error, or until an actor
// fails, which is one.
func (c *serveCommand) run(ctx context.Context, configFile string, logger *slog.Logger) error {
	logger.Info("Starting pagerelay", "version", version.Info(), "build_context", version.BuildContext())
	paceGarbageCollection()

	// A SIGHUP that comes before all is up must not end the process, and one that is
	// to end it must not cut it off.
	hup, stop := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(hup)
	defer signal.Stop(stop)

	// What can be wrong with the flags.
	prefix, err := c.check()
	if err != nil {
		return err
	}
	guards, err := checkWebConfig(c.webConfigFile)
	if err != nil {
		return err
	}

	// Metrics: a registry of our own. Faults of Route and Render share a counter.
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		versioncollector.NewCollector("pagerelay"),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	onFault := newFaultCounter(registry)

	// The configuration, the first time. Nothing is open yet: a bad file ends it here.
	configuration := newReloader(configFile, guards, registry, logger)
	first, err := configuration.load()
	if err != nil {
		return fmt.Errorf("load configuration %s: %w", configFile, err)
	}

	// The listeners: bound before the outbox is opened, so that callers wait while
	// a large one is read, instead of being refused.
	listeners, err := listen(c.listenAddresses)
	if err != nil {
		return err
	}
	defer closeListeners(listeners)

	// The outbox: what is to be said to PagerDuty, and what has been. It makes its
	// folder itself; where that cannot be, pages go out all the same.
	store, err := outbox.Open(c.storagePath, outbox.Config{
		Retention: time.Duration(c.retention), Logger: logger.With("component", "outbox"), Registerer: registry,
	})
	if err != nil {
		return err
	}

	// The deliverer: works off what the outbox says.
	deliverer := delivery.New(store, delivery.Config{
		ShutdownTimeout: time.Duration(c.shutdownTimeout),
		Logger:          logger.With("component", "delivery"), Registerer: registry, OnFault: onFault,
	})

	// The reconciler: asks Alertmanager for what webhooks do not tell.
	reconciler := alertmanager.NewReconciler(store, alertmanager.ReconcilerConfig{
		ReceiversFile: filepath.Join(c.storagePath, "receivers.json"),
		Logger:        logger.With("component", "reconciler"), Registerer: registry, OnFault: onFault,
	})

	// The intake: the way of our own alerts into the outbox.
	in := intake.New(store, intake.Config{OnFault: onFault})

	// Alerts of our own: pages about pages that may be missing.
	own := newOwnAlerts(in, registry, logger)

	// The auditor: looks whether somebody is on call, and pages where nobody is.
	auditor := newAuditor(store, deliverer.Audited, registry, logger, onFault)

	// The receiver: Alertmanager's door into the outbox. A group that is truncated once
	// is so every time: it is logged once a minute.
	truncated := rate.Sometimes{Interval: time.Minute}
	door, err := receiver.New(alertmanager.Learn{Sink: store, Reconciler: reconciler}, receiver.Config{
		MaxBody: int64(c.maxBody), TestDoor: c.enableAmtool, Logger: logger.With("component", "receiver"), Registerer: registry, OnFault: onFault,
		OnTruncated: func(reason string) {
			reconciler.Adopt()
			kind := selfalert.BodyRefused
			if reason == receiver.ReasonTruncated {
				kind = selfalert.Truncated
				truncated.Do(func() { logger.Warn("Alertmanager leaves alerts out of large groups; set max_alerts to 0") })
			} // of a refused body the receiver has a line.
			own.Raise(kind)
		},
	})
	if err != nil {
		return errors.Join(err, closeStore(store))
	}

	// The first configuration takes effect, and later ones will in the same way.
	swap := swapper(deliverer, store, door, reconciler, in, auditor)
	configuration.swap = func(p *parts) error {
		err := swap(p)
		if err == nil {
			configuration.tokens.Store(len(p.config.Access.Tokens) > 0)
		}
		return err
	}
	if err = configuration.swap(first); err != nil {
		return errors.Join(err, closeStore(store))
	}
	configuration.retry = store.RetryBlocked
	if open := c.openDoor(configuration.protected()); open != "" {
		logger.Warn("Anybody who reaches a listener can page; configure access.tokens", "addresses", open)
	}

	// The HTTP server: the receiver's paths, and those for people and their tools.
	var draining atomic.Bool
	mux := http.NewServeMux()
	door.Register(mux)
	web.New(store, web.Config{
		EnableAdmin: c.enableAdmin, Authorize: door.Authorize, Gatherer: registry, Logger: logger.With("component", "web"),
		Reload: func(ctx context.Context) error { return configuration.Reload(ctx, "POST /-/reload") },
		Ready: func(ctx context.Context) error {
			if draining.Load() {
				return errors.New("shutting down")
			}
			return store.Healthy(ctx)
		},
		Notices: func() []web.Notice {
			return notices(store, configuration, deliverer.Waiting(), reconciler, auditor, c.openDoor(configuration.protected()))
		},
		Why:      deliverer.Why,
		Services: func() []string { return store.Policy().Services },
		Audit:    auditOnDemand(auditor),
	}).Register(mux)
	guard := web.HostGuard{
		Allowed: c.hosts(), Guarded: guards.any(), Tokens: configuration.tokens.Load,
		Machines: []string{receiver.PathWebhook, receiver.PathTestAlerts, receiver.PathTestStatus},
	}
	server := &webServer{
		listeners: listeners, handler: underPrefix(prefix, guard.Wrap(mux)), configFile: c.webConfigFile,
		drain:   func() { draining.Store(true); door.Drain() },
		timeout: time.Duration(c.shutdownTimeout), log: logger,
	}

	// The actors. run.Group interrupts them in this order, and each interrupt
	// waits: so that nothing is taken in that is not stored, and nothing answered
	// by PagerDuty that is not recorded.
	var g run.Group
	{
		// The first to hear of a signal: its end is everybody's.
		ctx, cancel := context.WithCancel(ctx)
		g.Add(func() error {
			var reason error
			select {
			case s := <-stop:
				reason = &run.SignalError{Signal: s}
			case <-ctx.Done():
				reason = ctx.Err()
			}
			logger.Info("Shutting down", "reason", reason.Error())
			return reason
		}, func(error) { cancel() })
	}
	{
		// Reloads the configuration on SIGHUP, or when the file has changed.
		g.Add(actor("the reloader", func(ctx context.Context) error {
			return configuration.Run(ctx, hup, time.Duration(c.autoReload))
		}))
	}
	{
		// Compares the outbox with what Alertmanager lists, where it can be asked.
		g.Add(actor("the reconciler", reconciler.Run))
	}
	{
		// Audits on-call coverage, where that is configured.
		g.Add(actor("the auditor", auditor.Run))
	}
	{
		// Pages about pagerelay itself. A damaged outbox is found at the start, or later.
		g.Add(actor("the alerts of our own", func(ctx context.Context) error {
			return watchDamage(ctx, store, own)
		}))
	}
	{
		// Serves HTTP. Interrupted, it refuses what is new and finishes what it has begun.
		g.Add(actor("the web server", server.Run))
	}
	{
		// Sends to PagerDuty. Interrupted, it waits for the answers to what is on its way.
		g.Add(actor("the deliverer", deliverer.Run))
	}
	{
		// Commits to disk for all of the above, and is therefore the last to go.
		g.Add(actor("the outbox", store.Run))
	}
	err = g.Run()
	if errors.Is(err, run.ErrSignal) || (ctx.Err() != nil && errors.Is(err, ctx.Err())) {
		logger.Info("Pagerelay has stopped")
		return nil
	}
	return err
}

// check finds what is wrong with the flags, and the prefix of all paths.
func (c *serveCommand) check() (prefix string, err error) {
	var errs []error
	if c.retention <= 0 {
		errs = append(errs, errors.New("--data.retention: must be more than 0"))
	}
	if c.maxBody <= 0 {
		errs = append(errs, errors.New("--web.max-body-size: must be more than 0"))
	}
	if c.shutdownTimeout <= 0 {
		errs = append(errs, errors.New("--shutdown.timeout: must be more than 0"))
	}
	if u := c.externalURL; u != nil {
		if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			errs = append(errs, errors.New("--web.external-url: must be http(s)://HOST[:PORT][/PATH]"))
		}
		prefix = strings.TrimRight(u.EscapedPath(), "/")
	}
	for _, address := range c.listenAddresses {
		if _, _, err := net.SplitHostPort(address); err != nil {
			errs = append(errs, fmt.Errorf("--web.listen-address: %q is not [HOST]:PORT", address))
		}
	}
	for _, host := range c.allowedHosts {
		if host == "" || strings.ContainsAny(host, ":/*@?#[] ") {
			errs = append(errs, fmt.Errorf("--web.allowed-host: %q is not a host name; write it without scheme, port and path, as pagerelay.example.com", host))
		}
	}
	if len(errs) > 0 {
		return "", usageError{errors.Join(errs...)}
	}
	return prefix, nil
}

// actor makes of a blocking f what run.Group wants. Its interrupt returns when f
// has, so that the next actor is not told to stop before this one has stopped.
func actor(name string, f func(context.Context) error) (execute func() error, interrupt func(error)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	execute = func() error {
		defer close(done)
		err := f(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("run %s: %w", strings.TrimPrefix(name, "the "), err)
		case ctx.Err() == nil:
			return fmt.Errorf("%s ended although nobody asked it to", name)
		}
		return nil
	}
	return execute, func(error) {
		cancel()
		<-done
	}
}

// openDoor names the listeners that others than this machine reach and that need no
// token; "" if there is none.
func (c *serveCommand) openDoor(protected bool) string {
	if protected {
		return ""
	}
	var open []string
	for _, address := range c.listenAddresses {
		host, _, err := net.SplitHostPort(address)
		if ip := net.ParseIP(host); err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			open = append(open, address)
		}
	}
	return strings.Join(open, ", ")
}

// hosts are the names that callers may use where no token is needed.
func (c *serveCommand) hosts() []string {
	hosts := slices.Clone(c.allowedHosts)
	if c.externalURL != nil {
		hosts = append(hosts, c.externalURL.Hostname())
	}
	return hosts
}

// closeStore closes a store that will not run.
func closeStore(store *outbox.Store) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return store.Run(ctx)
}

func listen(addresses []string) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			closeListeners(listeners)
			return nil, fmt.Errorf("listen on --web.listen-address=%s: %w", address, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func closeListeners(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close() // the server has mostly done it already.
	}
}

// newFaultCounter counts what could not be done as asked and was done in a safe form.
func newFaultCounter(reg prometheus.Registerer) func(mapping.Fault) {
	faults := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pagerelay_mapping_fallbacks_total",
		Help: "What the rules and templates could not do as asked and did in a safe form instead.",
	}, []string{"reason"})
	for _, f := range mapping.Faults() {
		faults.WithLabelValues(string(f))
	}
	reg.MustRegister(faults)
	return func(f mapping.Fault) { faults.WithLabelValues(string(f)).Inc() }
}
