package receiver

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/alecthomas/units"
	promconfig "github.com/prometheus/common/config"
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
