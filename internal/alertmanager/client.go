// Package alertmanager asks the configured Alertmanagers what is firing. It
// answers "gone" only on strict evidence; whatever is in doubt is "uncertain",
// which its callers treat as firing.
//
// The two calls it needs are made by hand: Alertmanager's generated client
// brings 38 modules and holds every list of alerts whole in memory.
package alertmanager

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"
)

const (
	defaultTimeout = 5 * time.Second
	maxMembers     = 64 // a bit each in the reconciler's marks.
	// defaultMinUptime is how long an Alertmanager must have been up before what it
	// does not list counts: it starts with an empty list, which Prometheus fills
	// by sending every alert again within about a minute.
	defaultMinUptime = 5 * time.Minute
	// toldUptime is how long a webhook may be under way before it is asked about. The
	// Alertmanager that sent it knew the alert then.
	toldUptime = 15 * time.Second
)

// Verdict is what Alertmanager says of a set of alerts.
type Verdict string

// The verdicts.
const (
	Firing    Verdict = "firing"    // at least one member lists it, whether active, suppressed or unprocessed.
	Gone      Verdict = "gone"      // every member answered, each is up for more than 5 minutes, the cluster is covered, and none knows it.
	Uncertain Verdict = "uncertain" // anything else, with the reason.
)

// Alert is an alert of GET /api/v2/alerts.
type Alert struct {
	Fingerprint  string
	Labels       map[string]string
	Annotations  map[string]string
	StartsAt     string
	EndsAt       string
	GeneratorURL string
	State        string   // active, suppressed or unprocessed.
	Receivers    []string // names.
}

// Client asks. It is safe for concurrent use.
type Client struct {
	members   []member
	now       func() time.Time
	timeout   time.Duration
	minUptime time.Duration
}

// member is one configured Alertmanager.
type member struct {
	url     *url.URL
	name    string // the URL without credentials, for messages.
	http    *http.Client
	metrics *metrics
	now     func() time.Time
}

// New makes a client. With no URLs, Configured is false and every verdict is Uncertain.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Client{now: cfg.Now, timeout: cfg.Timeout, minUptime: cfg.MinUptime}
	if c.now == nil {
		c.now = time.Now
	}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	if c.minUptime <= 0 {
		c.minUptime = defaultMinUptime
	}
	hc := promconfig.DefaultHTTPClientConfig
	if cfg.HTTPConfig != nil {
		hc = *cfg.HTTPConfig
	}
	client, err := promconfig.NewClientFromConfig(hc, "alertmanager")
	if err != nil {
		return nil, fmt.Errorf("http_config: %w", err)
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	for i, s := range cfg.URLs {
		u, err := memberURL(s)
		if err != nil {
			return nil, fmt.Errorf("urls[%d]: %w", i, err)
		}
		c.members = append(c.members, member{url: u, name: u.String(), http: client, metrics: m, now: c.now})
	}
	return c, nil
}

// Names says whether a member is configured by this address.
func (c *Client) Names(address string) bool {
	return slices.ContainsFunc(c.members, func(m member) bool { return m.name == strings.TrimRight(address, "/") })
}

// Configured says whether there is anybody to ask.
func (c *Client) Configured() bool { return len(c.members) > 0 }

// Identity tells this set of Alertmanagers from another.
func (c *Client) Identity() string {
	names := make([]string, len(c.members))
	for i := range c.members {
		names[i] = c.members[i].name
	}
	slices.Sort(names)
	sum := sha256.Sum256([]byte(strings.Join(names, "\x00")))
	return hex.EncodeToString(sum[:4])
}

// Members is the number of configured Alertmanagers.
func (c *Client) Members() int { return len(c.members) }

// Address is the URL of a member, without credentials.
func (c *Client) Address(member int) string { return c.members[member].name }

// Alerts calls fn for every alert that the member lists (active, suppressed
// and unprocessed), one at a time as they arrive, and returns the first error of
// fn as it is. A nil return means that the list was read to its end. The whole
// list is never held in memory; it may have 256 MiB, an alert 1 MiB.
func (c *Client) Alerts(ctx context.Context, member int, fn func(Alert) error) error {
	if member < 0 || member >= len(c.members) {
		return fmt.Errorf("list alerts: no alertmanager of number %d is configured", member)
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	return list(ctx, &c.members[member], nil, func(a wireAlert, _ clocks) error { return fn(a.alert()) })
}

// bound gives a context without a deadline the default one.
func (c *Client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.timeout)
}
