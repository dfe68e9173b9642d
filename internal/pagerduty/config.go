package pagerduty

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v4"

	"github.com/pagerelay/pagerelay/internal/leaf/weburl"
)

// defaultTimeout bounds one request where the configuration names no time.
const defaultTimeout = 5 * time.Second

// Requests a minute to the REST API (PagerDuty, REST API, "Rate Limits").
const (
	maxAPIRate     = 960
	defaultAPIRate = maxAPIRate / 2
)

// The paths of the Events API v2 (PagerDuty, "Events API v2", "Send an Alert
// Event" and "Send a Change Event").
const (
	eventPath  = "/v2/enqueue"
	changePath = "/v2/change/enqueue"
)

// Config is the `pagerduty` section of the configuration file.
type Config struct {
	// Region is us or eu. Default us. A service may name its own.
	Region string `yaml:"region,omitempty"`
	// EventsURL overrides the region's events address: scheme and host, or
	// Alertmanager's pagerduty_url with its path (.../v2/enqueue). Every
	// service uses it, whatever its region.
	EventsURL string `yaml:"events_url,omitempty"`
	// APIURL overrides the region's REST address.
	APIURL       string            `yaml:"api_url,omitempty"`
	APIToken     promconfig.Secret `yaml:"api_token,omitempty"`
	APITokenFile string            `yaml:"api_token_file,omitempty"`
	// APIRequestsPerMinute is how many requests a minute the REST API gets at most,
	// from 1 to 960, which is what PagerDuty allows an account's key, a user or an
	// app (REST API, "Rate Limits"). Default 480: half of that, since others use the
	// account too.
	APIRequestsPerMinute int `yaml:"api_requests_per_minute,omitempty"`
	// Timeout bounds one request, from its start to the last byte of its answer. Default 5s.
	// A request to the REST API gets 30s if that is more: nobody waits for it to be paged.
	Timeout time.Duration `yaml:"timeout,omitempty"`
	// HTTPConfig is Prometheus' http_config. The TLS minimum is 1.3 unless
	// tls_config.min_version says otherwise; it holds for an HTTPS proxy too.
	// Redirects are never followed, whatever follow_redirects says.
	HTTPConfig *promconfig.HTTPClientConfig `yaml:"http_config,omitempty"`
}

// String is c as YAML without its secrets, so that no log can show them.
func (c Config) String() string {
	text, err := yaml.Marshal(c)
	if err != nil {
		return "pagerduty: " + err.Error()
	}
	return string(text)
}

// Validate reports every fault of c at once, each starting with its path below `pagerduty`.
func (c Config) Validate() error {
	var errs []error
	if _, err := regionHost(c.Region); err != nil {
		errs = append(errs, fmt.Errorf("region: %w", err))
	}
	if c.EventsURL != "" {
		if _, err := parseEventsURL(c.EventsURL); err != nil {
			errs = append(errs, fmt.Errorf("events_url: %w", err))
		}
	}
	if c.APIURL != "" {
		if _, err := weburl.Parse(c.APIURL); err != nil {
			errs = append(errs, fmt.Errorf("api_url: %w", err))
		}
	}
	if c.APIToken != "" && c.APITokenFile != "" {
		errs = append(errs, errors.New("api_token: give api_token or api_token_file, not both"))
	}
	if n := c.APIRequestsPerMinute; n < 0 || n > maxAPIRate {
		errs = append(errs, fmt.Errorf("api_requests_per_minute: %d is not from 1 to %d, which is what PagerDuty allows; leave it out for %d", n, maxAPIRate, defaultAPIRate))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %s is negative; leave it out for %s", c.Timeout, defaultTimeout))
	}
	if c.HTTPConfig != nil {
		hc := *c.HTTPConfig // its Validate rewrites deprecated fields.
		if err := hc.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("http_config: %w", err))
		}
		if err := hc.TLSConfig.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("http_config.tls_config: %w", err))
		}
		if tc := withTLSMinimum(hc).TLSConfig; tc.MaxVersion != 0 && tc.MaxVersion < tc.MinVersion {
			errs = append(errs, fmt.Errorf("http_config.tls_config.max_version: below min_version, which is %s here", tls.VersionName(uint16(tc.MinVersion))))
		}
	}
	return errors.Join(errs...)
}

// httpConfig is the http_config in force.
func (c Config) httpConfig() promconfig.HTTPClientConfig {
	hc := promconfig.DefaultHTTPClientConfig
	if c.HTTPConfig != nil {
		hc = *c.HTTPConfig
	}
	// A routing key must not follow a redirect to wherever it points; a 3xx is
	// handed back as the foreign answer it is.
	hc.FollowRedirects = false
	return withTLSMinimum(hc)
}

func withTLSMinimum(hc promconfig.HTTPClientConfig) promconfig.HTTPClientConfig {
	if hc.TLSConfig.MinVersion == 0 {
		hc.TLSConfig.MinVersion = promconfig.TLSVersion(tls.VersionTLS13)
	}
	return hc
}

// endpoint is where events go.
type endpoint struct {
	host   string // for messages.
	event  string
	change string
}

// endpoints gives the endpoint of every region.
func (c Config) endpoints() (map[string]endpoint, error) {
	eps := make(map[string]endpoint)
	for _, region := range []string{"us", "eu"} {
		if c.EventsURL != "" {
			ep, err := parseEventsURL(c.EventsURL)
			if err != nil {
				return nil, fmt.Errorf("events_url: %w", err)
			}
			eps[region] = ep
			continue
		}
		host, err := regionHost(region)
		if err != nil {
			return nil, err
		}
		eps[region] = endpoint{host: host, event: "https://" + host + eventPath, change: "https://" + host + changePath}
	}
	eps[""] = eps["us"]
	if c.Region != "" {
		eps[""] = eps[c.Region]
	}
	return eps, nil
}

// apiURL is where the REST API is, without a slash at its end (PagerDuty, "Service
// Regions").
func (c Config) apiURL() (*url.URL, error) {
	text := c.APIURL
	if text == "" {
		text = "https://api.pagerduty.com"
		if c.Region == "eu" {
			text = "https://api.eu.pagerduty.com"
		}
	}
	u, err := weburl.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("api_url: %w", err)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

// regionHost is the events host of a service region (PagerDuty, "Service
// Regions"). "" is us.
func regionHost(region string) (string, error) {
	switch region {
	case "", "us":
		return "events.pagerduty.com", nil
	case "eu":
		return "events.eu.pagerduty.com", nil
	}
	return "", fmt.Errorf("%q is neither us nor eu", region)
}

func parseEventsURL(s string) (endpoint, error) {
	u, err := weburl.Parse(s)
	if err != nil {
		return endpoint{}, err
	}
	prefix := ""
	if u.Path != "" && u.Path != "/" {
		var ok bool
		if prefix, ok = strings.CutSuffix(u.Path, eventPath); !ok {
			return endpoint{}, fmt.Errorf("path %q is neither empty nor ends in %s", u.Path, eventPath)
		}
	}
	at := func(path string) string {
		return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: prefix + path}).String()
	}
	return endpoint{host: u.Host, event: at(eventPath), change: at(changePath)}, nil
}
