package receiver

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/units"
	promconfig "github.com/prometheus/common/config"
	"golang.org/x/time/rate"
)

// The scopes of a token. Read-write includes read.
const (
	scopeReadWrite = "read-write"
	scopeRead      = "read"
)

// Access is the `access` section of the configuration file.
type Access struct {
	Tokens    []Token    `yaml:"tokens,omitempty"` // none: the door is open.
	RateLimit *RateLimit `yaml:"rate_limit,omitempty"`
	AuditLog  *AuditLog  `yaml:"audit_log,omitempty"`
}

// Token is one access token, known by its hash.
type Token struct {
	Name       string            `yaml:"name"`
	Prefix     string            `yaml:"prefix,omitempty"`      // checked first; part of the token and of what is hashed.
	SHA256     promconfig.Secret `yaml:"sha256,omitempty"`      // hex.
	SHA256File string            `yaml:"sha256_file,omitempty"` // the same in a file, as `sha256sum` writes it too; read for each request.
	Scope      string            `yaml:"scope,omitempty"`       // read-write or read. Default read-write.
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
	MaxSize string `yaml:"max_size,omitempty"` // like 100MB (1 MB is 2^20 bytes, as in Prometheus). Default 100MB.
	Keep    int    `yaml:"keep,omitempty"`     // rotated files kept. Default 5.
}

// Validate reports every fault of a at once, each starting with its path below `access`.
func (a Access) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	names := map[string]int{}
	for i, t := range a.Tokens {
		path := fmt.Sprintf("tokens[%d]", i)
		switch first, dup := names[t.Name]; {
		case t.Name == "":
			fault("%s.name: is missing", path)
		case dup:
			fault("%s.name: %q is the name of tokens[%d] already", path, t.Name, first)
		default:
			names[t.Name] = i
		}
		if !isTokenText(t.Prefix) {
			fault("%s.prefix: only letters, digits and -._~+/ can be part of a bearer token", path)
		}
		switch {
		case t.SHA256 != "" && t.SHA256File != "":
			fault("%s.sha256: give either sha256 or sha256_file, not both", path)
		case t.SHA256 == "" && t.SHA256File == "":
			fault("%s.sha256: give sha256 or sha256_file; `pagerelay token create` makes a token and its hash", path)
		case t.SHA256 != "":
			if _, err := parseHash(string(t.SHA256)); err != nil {
				fault("%s.sha256: %w", path, err)
			}
		}
		if t.Scope != "" && t.Scope != scopeRead && t.Scope != scopeReadWrite {
			fault("%s.scope: %q is neither read-write nor read", path, t.Scope)
		}
		if t.Audit && a.AuditLog == nil {
			fault("%s.audit: needs audit_log", path)
		}
	}
	if l := a.RateLimit; l != nil {
		if !(l.PerSecond > 0) || math.IsInf(l.PerSecond, 0) {
			fault("rate_limit.per_second: must be a positive number, got %v", l.PerSecond)
		}
		if l.Burst < 1 {
			fault("rate_limit.burst: must be at least 1, got %d", l.Burst)
		}
	}
	if l := a.AuditLog; l != nil {
		if l.Path == "" {
			fault("audit_log.path: is missing")
		}
		if _, err := l.maxSize(); err != nil {
			fault("audit_log.max_size: %w", err)
		}
		if l.Keep < 0 {
			fault("audit_log.keep: must not be negative, got %d", l.Keep)
		}
	}
	return errors.Join(errs...)
}

func (l AuditLog) maxSize() (int64, error) {
	if l.MaxSize == "" {
		return 100 << 20, nil
	}
	n, err := units.ParseBase2Bytes(l.MaxSize)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is not a size like 100MB", l.MaxSize)
	}
	return int64(n), nil
}

// GenerateToken makes a token of 32 random bytes behind prefix, and the hash
// that the configuration file knows it by. The token is told once and kept nowhere.
func GenerateToken(prefix string) (token, hash string, err error) {
	if !isTokenText(prefix) {
		return "", "", errors.New("make token: the prefix may hold only letters, digits and -._~+/")
	}
	var b [32]byte
	rand.Read(b[:]) // never fails since Go 1.24.
	token = prefix + base64.RawURLEncoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(token))
	return token, hex.EncodeToString(sum[:]), nil
}

// isTokenText says whether s can stand in a bearer token (RFC 6750, section 2.1).
func isTokenText(s string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/") == ""
}

// parseHash does not quote what it cannot read: somebody may have put the token there.
func parseHash(s string) (sum [sha256.Size]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(sum) {
		return sum, errors.New("is not a SHA-256 hash of 64 hexadecimal digits")
	}
	return [sha256.Size]byte(b), nil
}

// readHash reads a hash from a file: the first word in it.
func readHash(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, fmt.Errorf("read token hash: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return sum, fmt.Errorf("read token hash: %w", err)
	}
	word, _, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	sum, err = parseHash(word)
	if err != nil {
		return sum, fmt.Errorf("read token hash: content of %s %w", path, err)
	}
	return sum, nil
}

// caller is who sent a request; the zero value is anybody.
type caller struct {
	name      string
	unlimited bool
	audit     bool
}

// token is a Token made ready.
type token struct {
	caller
	prefix string
	file   string // where the hash is; if "", it is sum.
	sum    [sha256.Size]byte
	write  bool

	mu    sync.Mutex
	fault string // what was last logged about file.
}

func (t *token) hash() ([sha256.Size]byte, error) {
	if t.file == "" {
		return t.sum, nil
	}
	return readHash(t.file)
}

// note logs a change in whether the hash can be read.
func (t *token) note(l *slog.Logger, err error) {
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	t.mu.Lock()
	changed := fault != t.fault
	t.fault = fault
	t.mu.Unlock()
	switch {
	case !changed:
	case err != nil:
		l.Error("token hash cannot be read; its callers get 503", "token", t.name, "err", err)
	default:
		l.Info("token hash can be read again", "token", t.name)
	}
}

// doorman is an Access made ready.
type doorman struct {
	tokens  []*token
	limiter *rate.Limiter // nil: no limit.
}

// newDoorman makes access ready. What of old still holds is kept.
func newDoorman(access Access, old *doorman) (doorman, error) {
	if err := access.Validate(); err != nil {
		return doorman{}, err
	}
	var d doorman
	for _, t := range access.Tokens {
		nt := &token{
			caller: caller{name: t.Name, unlimited: t.Unlimited, audit: t.Audit},
			prefix: t.Prefix,
			file:   t.SHA256File,
			write:  t.Scope != scopeRead,
		}
		if t.SHA256 != "" {
			nt.sum, _ = parseHash(string(t.SHA256)) // validated above.
		}
		d.tokens = append(d.tokens, nt)
	}
	if l := access.RateLimit; l != nil {
		d.limiter = rate.NewLimiter(rate.Limit(l.PerSecond), l.Burst)
		// A reload must not hand out a fresh burst.
		if old != nil && old.limiter != nil && old.limiter.Limit() == d.limiter.Limit() && old.limiter.Burst() == d.limiter.Burst() {
			d.limiter = old.limiter
		}
	}
	return d, nil
}

// throttle charges one request to who, and says how long to wait if it is one too many.
func (d *doorman) throttle(who caller) time.Duration {
	if d.limiter == nil || who.unlimited {
		return 0
	}
	res := d.limiter.Reserve()
	wait := res.Delay()
	if wait > 0 {
		res.Cancel()
	}
	return wait
}

// authorize finds out who sent req, and whether that one may do what needs scope.
func (r *Receiver) authorize(p *policy, req *http.Request, scope string) (caller, answer) {
	// A web page that somebody has open must not page anybody through their
	// browser. Programs send none of the headers that this looks at.
	if r.origin.Check(req) != nil {
		return caller{}, answer{code: http.StatusForbidden, line: "requests from other web sites are refused"}
	}
	if len(p.tokens) == 0 {
		return caller{}, answer{}
	}
	refuse := func(reason string, a answer) answer {
		r.metrics.refusedTokens.WithLabelValues(reason).Inc()
		return a
	}
	const challenge = `Bearer realm="pagerelay"`
	scheme, presented, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if presented = strings.TrimSpace(presented); !strings.EqualFold(scheme, "Bearer") || presented == "" {
		return caller{}, refuse(tokenMissing, answer{
			code: http.StatusUnauthorized, challenge: challenge,
			line: "no bearer token; set http_config.authorization in Alertmanager's webhook_configs",
		})
	}
	var found *token
	var prefixed, unread bool
	sum := sha256.Sum256([]byte(presented))
	for _, t := range p.tokens {
		if !strings.HasPrefix(presented, t.prefix) {
			continue
		}
		prefixed = true
		want, err := t.hash()
		t.note(r.cfg.Logger, err)
		if err != nil {
			unread = true
			continue
		}
		if subtle.ConstantTimeCompare(sum[:], want[:]) == 1 && found == nil {
			found = t
		}
	}
	switch {
	case found == nil && unread:
		// It may well be the right one; a 401 would lose the page.
		return caller{}, unavailable(deferTokenFile, "access tokens cannot be checked now; send again")
	case found == nil:
		reason := tokenUnknown
		if !prefixed {
			reason = tokenPrefix
		}
		return caller{}, refuse(reason, answer{
			code: http.StatusUnauthorized, challenge: challenge + `, error="invalid_token"`,
			line: "unknown bearer token; compare http_config.authorization in Alertmanager with access.tokens",
		})
	case scope != scopeRead && !found.write:
		return found.caller, refuse(tokenScope, answer{
			code: http.StatusForbidden, challenge: challenge + `, error="insufficient_scope"`,
			line: "this token may only read; use one whose scope is read-write",
		})
	}
	return found.caller, answer{}
}

// Authorize wraps next so that, where tokens are configured, the request needs
// one of the given scope: "read" or "read-write"; anything else counts as
// read-write. The admin API uses it. What audited tokens do is written to the
// audit log; the rate limit does not apply. It goes on working while the
// receiver drains.
func (r *Receiver) Authorize(scope string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		p := r.policy.Load()
		if p == nil {
			unavailable(deferShutdown, "not ready yet; ask again").write(w, false)
			return
		}
		who, a := r.authorize(p, req, scope)
		if a.code != 0 {
			r.finish(w, req, who, a, false)
			return
		}
		if !who.audit {
			next.ServeHTTP(w, req)
			return
		}
		rec := &codeRecorder{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(rec, req)
		r.writeAudit(req, who, rec.code, nil)
	})
}

// codeRecorder remembers the status code.
type codeRecorder struct {
	http.ResponseWriter
	code int
}

// WriteHeader is http.ResponseWriter's.
func (c *codeRecorder) WriteHeader(code int) {
	c.code = code
	c.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the wrapped writer.
func (c *codeRecorder) Unwrap() http.ResponseWriter { return c.ResponseWriter }
