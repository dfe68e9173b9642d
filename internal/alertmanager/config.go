package alertmanager

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promconfig "github.com/prometheus/common/config"

	"github.com/pagerelay/pagerelay/internal/leaf/weburl"
)

// Config is the `alertmanager` section of the configuration file.
type Config struct {
	// URLs are the addresses of the cluster's members, as users open them
	// (path prefixes allowed; /api/v2 is added).
	URLs       []string                     `yaml:"urls,omitempty"`
	HTTPConfig *promconfig.HTTPClientConfig `yaml:"http_config,omitempty"`

	// Now is the clock; nil is time.Now.
	Now func() time.Time `yaml:"-"`
	// Timeout bounds what one member is asked, where the caller's context has
	// no deadline. 0 is 5s.
	Timeout time.Duration `yaml:"-"`
	// MinUptime is how long a member must have been up before what it does not
	// list counts. 0 is 5m.
	MinUptime time.Duration `yaml:"-"`
	// Registerer takes the metrics; nil is none.
	Registerer prometheus.Registerer `yaml:"-"`
}

// Validate reports every fault of c at once, each starting with its path below `alertmanager`.
func (c Config) Validate() error {
	var errs []error
	var seen []string
	if n := len(c.URLs); n > maxMembers {
		errs = append(errs, fmt.Errorf("urls: lists %d addresses, at most %d are asked", n, maxMembers))
	}
	for i, s := range c.URLs {
		u, err := memberURL(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("urls[%d]: %w", i, err))
			continue
		}
		plain := u.String()
		if first := slices.Index(seen, plain); first >= 0 {
			errs = append(errs, fmt.Errorf("urls[%d]: names the same member as another entry", i))
		}
		seen = append(seen, plain)
	}
	if c.HTTPConfig != nil {
		hc := *c.HTTPConfig // its Validate rewrites deprecated fields.
		if err := hc.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("http_config: %w", err))
		}
		if err := hc.TLSConfig.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("http_config.tls_config: %w", err))
		}
	}
	return errors.Join(errs...)
}

// memberURL reads the address of a member. Its errors never repeat s, which may
// hold a password.
func memberURL(s string) (*url.URL, error) {
	u, err := weburl.Parse(s)
	if err != nil {
		return nil, err
	}
	u = u.JoinPath() // without ".." and the like.
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	if strings.HasSuffix(u.Path, "/api/v2") {
		return nil, errors.New("must not end in /api/v2, which is added")
	}
	return u, nil
}
