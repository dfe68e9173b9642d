// Package receiver is the HTTP door for Alertmanager: it decodes a webhook,
// checks its token and limits, has the mapping say what each alert means, and
// answers 200 only when the sink has stored it. It decides nothing about
// incidents.
package receiver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/mapping"
)

// Sink stores observations. It returns nil only when all of them are durable;
// any error is temporary and is answered 503.
type Sink interface {
	Observe(ctx context.Context, obs []mapping.Observation) error
}

// Router is the part of mapping.Mapper that the receiver needs.
type Router interface {
	Route(g *mapping.Group) []mapping.Observation
}

// Access is the `access` section of the configuration file.
type Access struct {
	Tokens    []Token    `yaml:"tokens,omitempty"` // none: the door is open.
	RateLimit *RateLimit `yaml:"rate_limit,omitempty"`
	AuditLog  *AuditLog  `yaml:"audit_log,omitempty"`
}

// Token is one access token, known by its hash.
type Token struct {
	Name       string            `yaml:"name"`
	Prefix     string            `yaml:"prefix,omitempty"` // checked first.
	SHA256     promconfig.Secret `yaml:"sha256,omitempty"` // hex.
	SHA256File string            `yaml:"sha256_file,omitempty"`
	Scope      string            `yaml:"scope,omitempty"` // read-write or read. Default read-write.
	Unlimited  bool              `yaml:"unlimited,omitempty"`
	Audit      bool              `yaml:"audit,omitempty"`
}

// RateLimit bounds the webhooks of all limited callers together; over it: 503 with Retry-After.
type RateLimit struct {
	PerSecond float64 `yaml:"per_second"`
	Burst     int     `yaml:"burst"`
}

// AuditLog is where what audited tokens send is written, as JSON lines.
type AuditLog struct {
	Path    string `yaml:"path"`
	MaxSize string `yaml:"max_size,omitempty"` // like 100MB. Default 100MB.
	Keep    int    `yaml:"keep,omitempty"`     // rotated files kept. Default 5.
}

// Validate reports every fault of a at once, each starting with its path below `access`.
func (a Access) Validate() error { return nil }

// Config is what a Receiver may be told besides its sink. Its zero value works.
type Config struct {
	MaxBody    int64 // bytes; default 16 MiB.
	MaxDepth   int   // JSON nesting; default 64.
	TestDoor   bool  // --web.enable-amtool.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// ResolveTimeout ends an alert of the test door that names no end. Default 5m.
	ResolveTimeout time.Duration
	// OnFault is told each mapping fault, for the counter that Render's faults share.
	OnFault func(mapping.Fault)
	// OnTruncated is told when a group arrived truncated, or a body was refused:
	// somebody may be firing whom we have not heard of.
	OnTruncated func(reason string)
}

// Receiver is the door.
type Receiver struct{}

// New makes a receiver; SetPolicy must be called before it serves.
func New(sink Sink, cfg Config) (*Receiver, error) { return nil, errors.New("not built yet") }

// SetPolicy replaces routing and access at once, as a reload does. An error
// leaves the old policy in place.
func (r *Receiver) SetPolicy(router Router, access Access) error { return nil }

// Register adds the receiver's paths to mux.
func (r *Receiver) Register(mux *http.ServeMux) {}

// Authorize wraps next so that, where tokens are configured, the request needs
// one of the given scope: "read" or "read-write". The admin API uses it.
func (r *Receiver) Authorize(scope string, next http.Handler) http.Handler { return next }
