// Package receiver is the HTTP door for Alertmanager: it decodes a webhook,
// checks its token and limits, has the mapping say what each alert means, and
// answers 200 only when the sink has stored it. It decides nothing about
// incidents.
//
// The status codes are a contract, because Alertmanager retries a 5xx until its
// flush ends but takes every 4xx, 429 included, for final:
//
//	200  every alert of the body is stored
//	400  nothing in the body can be read as an alert; the line says where and how to fix it
//	401  no token, or an unknown one
//	403  a known token whose scope does not reach, or a foreign web page's request
//	405  another method than the path's own
//	413  the body is over the limit
//	503  anything temporary: the sink, the rate limit, shutting down, a token
//	     hash that cannot be read; with Retry-After
package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/mapping"
)

// Sink stores observations. It returns nil only when all of them are durable;
// any error is temporary and is answered 503.
type Sink interface {
	Observe(ctx context.Context, obs []mapping.Observation) error
}

// Router is the part of mapping.Mapper that the receiver needs: at least one
// observation for each alert. Fewer is a fault, and the webhook is answered 503.
// If it has a method Rules() []string, the counters of these rules start at zero.
type Router interface {
	Route(g *mapping.Group) []mapping.Observation
}

// The paths that Register adds; the last two only with Config.TestDoor.
const (
	PathWebhook    = "/webhook/alertmanager"
	PathTestAlerts = "/api/v2/alerts"
	PathTestStatus = "/api/v2/status"
)

// The reasons that Config.OnTruncated is told.
const (
	ReasonTruncated = "truncated" // Alertmanager's max_alerts left alerts out.
	ReasonTooLarge  = "too_large" // a body was answered 413.
	ReasonMalformed = "malformed" // a body was answered 400.
	ReasonUnread    = "unread"    // some alerts of a body could not be read; the others are stored.
)

// Config is what a Receiver may be told besides its sink. Its zero value works.
type Config struct {
	MaxBody    int64 // bytes; default 16 MiB.
	MaxDepth   int   // JSON nesting; default 64. Alertmanager's own body nests 4 deep.
	TestDoor   bool  // --web.enable-amtool.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// ResolveTimeout ends an alert of the test door that names no end. Default
	// 5m, Alertmanager's global.resolve_timeout.
	ResolveTimeout time.Duration
	// OnFault is told each mapping fault of what was stored, for the counter that
	// Render's faults share. It must not block.
	OnFault func(mapping.Fault)
	// OnTruncated is told when a group arrived truncated, or an admitted caller's
	// body was refused: somebody may be firing whom we have not heard of. The
	// reason is one of the Reason constants. It must not block.
	OnTruncated func(reason string)
	// Now is the clock of the test door and the audit log. Default time.Now.
	Now func() time.Time
}

// withDefaults fills in what cfg leaves open, and refuses what makes no sense.
func (cfg Config) withDefaults() (Config, error) {
	var errs []error
	if cfg.MaxBody < 0 {
		errs = append(errs, fmt.Errorf("MaxBody: %d bytes is negative", cfg.MaxBody))
	}
	if cfg.MaxDepth < 0 {
		errs = append(errs, fmt.Errorf("MaxDepth: %d is negative", cfg.MaxDepth))
	}
	if cfg.ResolveTimeout < 0 {
		errs = append(errs, fmt.Errorf("ResolveTimeout: %s is negative", cfg.ResolveTimeout))
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 16 << 20
	}
	if cfg.MaxDepth == 0 {
		cfg.MaxDepth = 64
	}
	if cfg.ResolveTimeout == 0 {
		cfg.ResolveTimeout = 5 * time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.OnFault == nil {
		cfg.OnFault = func(mapping.Fault) {}
	}
	if cfg.OnTruncated == nil {
		cfg.OnTruncated = func(string) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return cfg, errors.Join(errs...)
}

// Receiver is the door. Its methods are safe for concurrent use.
type Receiver struct {
	sink     Sink
	cfg      Config
	metrics  *metrics
	audit    auditLog
	refusals refusals
	origin   *http.CrossOriginProtection
	buffers  sync.Pool // of *bytes.Buffer, for bodies.
	budget   bodyBudget
	policy   atomic.Pointer[policy]
	draining atomic.Bool

	setPolicy sync.Mutex // one SetPolicy at a time.
}

// policy is what a reload replaces, all of it at once.
type policy struct {
	router Router
	access
}

// New makes a receiver; until SetPolicy has been called it answers 503.
func New(sink Sink, cfg Config) (*Receiver, error) {
	if sink == nil {
		return nil, errors.New("make receiver: no sink")
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("make receiver: %w", err)
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register metrics of receiver: %w", err)
	}
	return &Receiver{sink: sink, cfg: cfg, metrics: m, origin: http.NewCrossOriginProtection(), budget: newBodyBudget(cfg.MaxBody)}, nil
}

// SetPolicy replaces routing and access at once, as a reload does. An error
// leaves the old policy in place. A request that is under way ends under the
// policy it began with. An unchanged rate limit keeps its bucket.
func (r *Receiver) SetPolicy(router Router, cfg Access) error {
	if router == nil {
		return errors.New("set policy: no router")
	}
	r.setPolicy.Lock()
	defer r.setPolicy.Unlock()

	var old *access
	if p := r.policy.Load(); p != nil {
		old = &p.access
	}
	a, err := newAccess(cfg, old)
	if err != nil {
		return fmt.Errorf("set access policy: %w", err)
	}
	r.audit.configure(cfg.AuditLog)
	if named, ok := router.(interface{ Rules() []string }); ok {
		r.metrics.initRules(named.Rules())
	}
	r.policy.Store(&policy{router: router, access: a})
	return nil
}

// Drain makes the receiver answer 503 to everything new, so that a caller sees
// an answer that it retries instead of a reset connection. Call it before
// http.Server.Shutdown. Requests under way are finished.
func (r *Receiver) Drain() { r.draining.Store(true) }

// Register adds the receiver's paths to mux.
func (r *Receiver) Register(mux *http.ServeMux) {
	mux.HandleFunc(PathWebhook, r.webhook)
	if r.cfg.TestDoor {
		mux.HandleFunc(PathTestAlerts, r.testAlerts)
		mux.Handle(PathTestStatus, r.Authorize(scopeRead, http.HandlerFunc(testStatus)))
	}
}

// admit decides whether a request that wants to change something may go on.
func (r *Receiver) admit(req *http.Request) (*policy, caller, answer) {
	if req.Method != http.MethodPost {
		return nil, caller{}, answer{code: http.StatusMethodNotAllowed, line: "use POST", allow: http.MethodPost}
	}
	if r.draining.Load() {
		return nil, caller{}, unavailable(deferShutdown, "shutting down; send again")
	}
	p := r.policy.Load()
	if p == nil {
		return nil, caller{}, unavailable(deferShutdown, "not ready yet; send again")
	}
	who, a := r.authorize(p, req, scopeReadWrite)
	if a.code != 0 {
		return nil, who, a
	}
	if wait := p.throttle(who); wait > 0 {
		a := unavailable(deferRateLimit, "over access.rate_limit; send again")
		a.retryAfter = wait
		return nil, who, a
	}
	return p, who, answer{}
}

// store hands the alerts of groups to the router and the sink, all or none.
func (r *Receiver) store(ctx context.Context, p *policy, groups ...*mapping.Group) answer {
	var alerts int
	var truncated uint64
	var obs []mapping.Observation
	for _, g := range groups {
		alerts += len(g.Alerts)
		truncated += g.TruncatedAlerts
		routed := p.router.Route(g)
		if len(routed) < len(g.Alerts) {
			// Never to happen; but a 200 here would lose the page.
			r.cfg.Logger.Error("router returned fewer observations than alerts", "alerts", len(g.Alerts), "observations", len(routed))
			return unavailable(deferSink, "the alerts could not be routed; send again")
		}
		if obs == nil {
			obs = routed
		} else {
			obs = append(obs, routed...)
		}
	}
	if len(obs) > 0 {
		if err := r.sink.Observe(ctx, obs); err != nil {
			if ctx.Err() != nil {
				r.cfg.Logger.Warn("caller left before its alerts were stored", "err", err)
				return unavailable(deferCanceled, "the request ended before the alerts were stored; send again")
			}
			r.cfg.Logger.Error("alerts not stored", "alerts", alerts, "err", err)
			return unavailable(deferSink, "the alerts could not be stored; send again")
		}
	}
	for i := range obs {
		r.metrics.alerts.WithLabelValues(obs[i].Rule, obs[i].Alert.Status).Inc()
		for _, f := range obs[i].Faults {
			r.cfg.OnFault(f)
		}
	}
	for _, g := range groups {
		if g.Unread > 0 {
			r.metrics.unread.Add(float64(g.Unread))
			r.cfg.OnTruncated(ReasonUnread)
			if unlogged, ok := r.refusals.next(http.StatusOK, time.Now()); ok {
				r.cfg.Logger.Error("alerts of a webhook could not be read; the others are stored", "unread", g.Unread, "first", g.UnreadReason, "unlogged", unlogged)
			}
		}
	}
	if truncated > 0 {
		r.metrics.truncated.Add(float64(truncated))
		r.cfg.OnTruncated(ReasonTruncated)
	}
	return answer{code: http.StatusOK}
}
