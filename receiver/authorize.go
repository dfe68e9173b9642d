package receiver

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

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

// access is an Access made ready.
type access struct {
	tokens  []*token
	limiter *rate.Limiter // nil: no limit.
}

// newAccess makes an Access ready. What of old still holds is kept.
func newAccess(cfg Access, old *access) (access, error) {
	if err := cfg.Validate(); err != nil {
		return access{}, err
	}
	var a access
	for _, t := range cfg.Tokens {
		nt := &token{
			caller: caller{name: t.Name, unlimited: t.Unlimited, audit: t.Audit},
			prefix: t.Prefix,
			file:   t.SHA256File,
			write:  t.Scope != scopeRead,
		}
		if t.SHA256 != "" {
			nt.sum, _ = parseHash(string(t.SHA256)) // validated above.
		}
		a.tokens = append(a.tokens, nt)
	}
	if l := cfg.RateLimit; l != nil {
		a.limiter = rate.NewLimiter(rate.Limit(l.PerSecond), l.Burst)
		// A reload must not hand out a fresh burst.
		if old != nil && old.limiter != nil && old.limiter.Limit() == a.limiter.Limit() && old.limiter.Burst() == a.limiter.Burst() {
			a.limiter = old.limiter
		}
	}
	return a, nil
}

// throttle charges one request to who, and says how long to wait if it is one too many.
func (a *access) throttle(who caller) time.Duration {
	if a.limiter == nil || who.unlimited {
		return 0
	}
	res := a.limiter.Reserve()
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
