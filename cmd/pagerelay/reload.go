package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/delivery"
	"github.com/pagerelay/pagerelay/internal/intake"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/receiver"
)

// reloader loads the configuration file, and again while pagerelay runs. A file
// with a fault changes nothing.
type reloader struct {
	file     string
	guards   guards // what stands before every path.
	log      *slog.Logger
	registry prometheus.Registerer

	// swap puts parts in force; retry gives what is blocked another chance.
	swap  func(*parts) error
	retry func(ctx context.Context, reason string) (int, error)

	mu      sync.Mutex // one load at a time.
	content [sha256.Size]byte

	// tokens says that the configuration in force has access tokens; failed is why the
	// last reload did not succeed, nil if it did.
	tokens atomic.Bool
	failed atomic.Pointer[failedReload]

	successful prometheus.Gauge
	since      prometheus.Gauge
}

// failedReload is a reload that changed nothing.
type failedReload struct {
	since time.Time // of this one, or of the first in a row.
	err   error
}

// failure is why the last reload failed, and since when they do; nil if it did not.
func (r *reloader) failure() (since time.Time, err error) {
	if f := r.failed.Load(); f != nil {
		return f.since, f.err
	}
	return time.Time{}, nil
}

// note remembers how a reload ended.
func (r *reloader) note(err error) {
	switch old := r.failed.Load(); {
	case err == nil:
		r.failed.Store(nil)
	case old == nil:
		r.failed.Store(&failedReload{time.Now(), err})
	default:
		r.failed.Store(&failedReload{old.since, err})
	}
}

// protected says whether callers have to identify themselves.
func (r *reloader) protected() bool { return r.guards.any() || r.tokens.Load() }

func newReloader(file string, guards guards, reg prometheus.Registerer, logger *slog.Logger) *reloader {
	r := &reloader{
		file: file, guards: guards, log: logger, registry: reg,
		successful: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pagerelay_config_last_reload_successful",
			Help: "Whether the last attempt to load the configuration was successful.",
		}),
		since: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pagerelay_config_last_reload_success_timestamp_seconds",
			Help: "Time of the last successful load of the configuration.",
		}),
	}
	reg.MustRegister(r.successful, r.since)
	return r
}

// Run reloads on every signal of hup and, if interval is not 0, when the content
// of the file has changed, until ctx ends.
func (r *reloader) Run(ctx context.Context, hup <-chan os.Signal, interval time.Duration) error {
	// What a mended configuration or key would heal is healed by a restart, too.
	r.retryBlocked(ctx, "pagerelay was started")
	var look <-chan time.Time
	if interval > 0 {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		look = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			_ = r.Reload(ctx, "SIGHUP") // logged there.
		case <-look:
			if r.changed() {
				_ = r.Reload(ctx, "the file has changed") // logged there.
			}
		}
	}
}

// Reload puts the file's configuration in force, all of it or nothing.
func (r *reloader) Reload(ctx context.Context, cause string) error {
	err := func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		p, err := r.loadLocked()
		if err != nil {
			return err
		}
		return r.swap(p)
	}()
	r.note(err)
	if err != nil {
		r.successful.Set(0)
		logLines(r.log.With("file", r.file, "cause", cause), "Reloading the configuration failed, the old one stays in force", err)
		return err
	}
	r.log.Info("The configuration was reloaded", "file", r.file, "cause", cause)
	r.retryBlocked(ctx, "the configuration was reloaded")
	return nil
}

// load reads the file and makes its parts, without putting them in force.
func (r *reloader) load() (*parts, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.loadLocked()
}

func (r *reloader) loadLocked() (*parts, error) {
	p, err := r.read()
	if err != nil {
		r.successful.Set(0)
		return nil, err
	}
	r.successful.Set(1)
	r.since.SetToCurrentTime()
	return p, nil
}

func (r *reloader) read() (*parts, error) {
	text, err := os.ReadFile(r.file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	r.content = sha256.Sum256(text)
	cfg, err := config.Parse(text, filepath.Dir(r.file))
	if err != nil {
		return nil, err
	}
	if r.guards.users && len(cfg.Access.Tokens) > 0 {
		return nil, errors.New("access.tokens and basic_auth_users of --web.config.file both want the Authorization header, and no request can have both: use one of them")
	}
	return assemble(cfg, r.registry)
}

// changed says whether the file's content is another than at the last attempt.
func (r *reloader) changed() bool {
	text, err := os.ReadFile(r.file)
	if err != nil { // while it is being replaced, for instance.
		r.log.Warn("The configuration file cannot be looked at", "err", err)
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return sha256.Sum256(text) != r.content
}

func (r *reloader) retryBlocked(ctx context.Context, reason string) {
	n, err := r.retry(ctx, reason)
	switch {
	case err != nil && ctx.Err() == nil:
		r.log.Error("Blocked incidents could not be retried", "err", err)
	case n > 0:
		r.log.Info("Blocked incidents are retried", "incidents", n)
	}
}

// swapper puts parts in force. Services come before the rules that route to
// them, so that no incident meets a service that is not known yet.
func swapper(deliverer *delivery.Deliverer, store *outbox.Store, door *receiver.Receiver, reconciler *alertmanager.Reconciler, in *intake.Door, auditor *coverage.Auditor) func(*parts) error {
	var old *parts
	return func(p *parts) error {
		if p.alertmanager != nil {
			p.settings.Asker = alertmanager.NewAsker(p.alertmanager, p.mapper, reconciler)
		}
		p.settings.Coverage, p.settings.Uncovered = heard(auditor), auditor.Soon
		deliverer.Apply(p.settings)
		store.SetPolicy(p.policy)
		if err := door.SetPolicy(p.mapper, p.config.Access); err != nil { // assemble has checked it.
			return err
		}
		reconciler.Apply(p.reconcile)
		in.Apply(p.mapper)
		auditor.Apply(p.coverage)
		if old != nil {
			old.sender.CloseIdleConnections()
			old.rest.CloseIdleConnections()
		}
		old = p
		return nil
	}
}
