// Package web is the HTTP side of a running pagerelay that is for people and
// their tools: the status page, health, readiness, reload, metrics, profiles,
// and the API that looks into the outbox and mends it. It decides nothing about
// incidents, and takes no alerts in: that is the receiver's door.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/promslog"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// The scopes that Config.Authorize is asked for.
const (
	scopeRead  = "read"
	scopeWrite = "read-write"
)

// Outbox is the part of outbox.Store that is looked into.
type Outbox interface {
	List() []*incident.Incident
	Ledger(each func(*incident.Incident) bool) error
	Retry(ctx context.Context, id string) error
	Drop(ctx context.Context, id, reason string) error
}

// Config is what a Handler may be told. Its zero value works: nothing can be
// changed, and nobody needs a token.
type Config struct {
	// EnableAdmin allows what changes the outbox (--web.enable-admin-api).
	EnableAdmin bool
	// Authorize wraps what needs a token of the given scope, "read" or
	// "read-write", where tokens are configured. Default: nobody needs one.
	Authorize func(scope string, next http.Handler) http.Handler
	// Ready says why pages cannot go out now; nil is well. Default: always well.
	Ready func(ctx context.Context) error
	// Notices are sentences for the status page. Default: none.
	Notices func() []Notice
	// Why says what an incident that PagerDuty has not been told of waits for, as a
	// word of a closed set and as a sentence; "" and "" if nobody knows. Default: nobody
	// does.
	Why func(id string) (cause, text string)
	// Services are the names of the configured services, to tell one without incidents
	// from a mistyped one. Default: any name is taken.
	Services func() []string
	// Reload loads the configuration again. Default: 404.
	Reload func(ctx context.Context) error
	// Audit audits on-call coverage now, and says what it found. Default: 404.
	Audit    func(ctx context.Context) (any, error)
	Gatherer prometheus.Gatherer // default: no metrics.
	Logger   *slog.Logger
}

// Handler answers. It is safe for concurrent use.
type Handler struct {
	outbox Outbox
	cfg    Config
}

// New makes a Handler.
func New(store Outbox, cfg Config) *Handler {
	if cfg.Authorize == nil {
		cfg.Authorize = func(_ string, next http.Handler) http.Handler { return next }
	}
	if cfg.Ready == nil {
		cfg.Ready = func(context.Context) error { return nil }
	}
	if cfg.Notices == nil {
		cfg.Notices = func() []Notice { return nil }
	}
	if cfg.Why == nil {
		cfg.Why = func(string) (string, string) { return "", "" }
	}
	if cfg.Gatherer == nil {
		cfg.Gatherer = prometheus.NewRegistry()
	}
	if cfg.Logger == nil {
		cfg.Logger = promslog.NewNopLogger()
	}
	return &Handler{outbox: store, cfg: cfg}
}

// Register adds the handler's paths to mux. Health, readiness, metrics and the
// status page need no token: they hold no alert text and change nothing.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", h.status)
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		text(w, http.StatusOK, "Pagerelay is Healthy.")
	})
	mux.HandleFunc("GET /-/ready", h.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.cfg.Gatherer, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		// One broken collector must not take the others' figures away.
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      slog.NewLogLogger(h.cfg.Logger.Handler(), slog.LevelError),
	}))

	handle := func(pattern, scope string, f http.HandlerFunc) { mux.Handle(pattern, h.cfg.Authorize(scope, f)) }
	if h.cfg.Reload != nil {
		handle("POST /-/reload", scopeWrite, h.reload)
	}
	handle("GET /debug/pprof/", scopeRead, pprof.Index)
	handle("GET /debug/pprof/cmdline", scopeRead, pprof.Cmdline)
	handle("GET /debug/pprof/profile", scopeRead, pprof.Profile)
	handle("GET /debug/pprof/symbol", scopeRead, pprof.Symbol)
	handle("GET /debug/pprof/trace", scopeRead, pprof.Trace)

	handle("GET /api/v1/outbox", scopeRead, h.list)
	handle("GET /api/v1/outbox/{id}", scopeRead, h.show)
	handle("POST /api/v1/outbox/{id}/retry", scopeWrite, h.admin(h.retry))
	handle("POST /api/v1/outbox/{id}/drop", scopeWrite, h.admin(h.drop))
	if h.cfg.Audit != nil {
		handle("POST /api/v1/coverage/audit", scopeWrite, h.admin(h.audit))
	}
}

func (h *Handler) ready(w http.ResponseWriter, req *http.Request) {
	if err := h.cfg.Ready(req.Context()); err != nil {
		text(w, http.StatusServiceUnavailable, "Pagerelay is not ready: "+err.Error())
		return
	}
	text(w, http.StatusOK, "Pagerelay is Ready.")
}

func (h *Handler) reload(w http.ResponseWriter, req *http.Request) {
	if err := h.cfg.Reload(req.Context()); err != nil {
		text(w, http.StatusInternalServerError, "The configuration was not reloaded, the old one stays in force:\n"+err.Error())
		return
	}
	text(w, http.StatusOK, "Reloaded.")
}

func text(w http.ResponseWriter, code int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(line + "\n")) // the caller may be gone; there is nobody left to tell.
}
