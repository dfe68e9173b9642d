// Package pagerduty sends events to PagerDuty's Events API v2 and says what
// became of each: accepted, refused, throttled, or unknown. It keeps no state
// and retries nothing; that is the business of internal/delivery.
package pagerduty

import (
	"context"
	"errors"
	"net/http"
	"time"

	gopagerduty "github.com/PagerDuty/go-pagerduty"
	promconfig "github.com/prometheus/common/config"
)

// Event is an event of the Events API v2 as go-pagerduty writes it.
type Event = gopagerduty.V2Event

// Payload is the payload of an Event.
type Payload = gopagerduty.V2Payload

// ChangeEvent is a change event of the Events API v2.
type ChangeEvent = gopagerduty.ChangeEvent

// Config is the `pagerduty` section of the configuration file.
type Config struct {
	// Region is us or eu. Default us. A service may name its own.
	Region string `yaml:"region,omitempty"`
	// EventsURL overrides the region's events address: scheme and host, or
	// Alertmanager's pagerduty_url with its path (.../v2/enqueue).
	EventsURL string `yaml:"events_url,omitempty"`
	// APIURL overrides the region's REST address.
	APIURL       string            `yaml:"api_url,omitempty"`
	APIToken     promconfig.Secret `yaml:"api_token,omitempty"`
	APITokenFile string            `yaml:"api_token_file,omitempty"`
	// Timeout bounds one request, from its start to the last byte of its answer. Default 5s.
	Timeout time.Duration `yaml:"timeout,omitempty"`
	// HTTPConfig is Prometheus' http_config. The TLS minimum is 1.3 unless
	// tls_config.min_version says otherwise.
	HTTPConfig *promconfig.HTTPClientConfig `yaml:"http_config,omitempty"`
}

// Validate reports every fault of c at once, each starting with its path below `pagerduty`.
func (c Config) Validate() error { return nil }

// Client sends events. It is safe for concurrent use.
type Client struct{}

// New makes a client. It opens no connection.
func New(cfg Config) (*Client, error) { return nil, errors.New("not built yet") }

// Enqueue sends e to the events address of region ("" means the configured
// one). It returns nil only for PagerDuty's own acceptance: 202 with a JSON
// status. Every other outcome is an error from which Classify makes an Answer.
func (c *Client) Enqueue(ctx context.Context, region string, e *Event) error { return nil }

// EnqueueChange is Enqueue for a change event.
func (c *Client) EnqueueChange(ctx context.Context, region string, e *ChangeEvent) error { return nil }

// StatusError is any answer that is not an acceptance.
type StatusError struct {
	Code   int         // the HTTP status.
	Header http.Header // as received.
	Body   []byte      // at most 4 KiB of it.
}

func (e *StatusError) Error() string { return "" }

// Temporary says whether the same event may be accepted later.
func (e *StatusError) Temporary() bool { return false }

// Kind is what an outcome means to the sender. The set is closed: it is a metric's label.
type Kind string

// The kinds.
const (
	Accepted  Kind = "accepted"  // 202 with a JSON status.
	Refused   Kind = "refused"   // PagerDuty's own 400: this event will never be accepted as it is.
	BadKey    Kind = "bad_key"   // PagerDuty's own 400 about the routing key: a fault of the lane, not of the event.
	TooLarge  Kind = "too_large" // 413.
	Throttled Kind = "throttled" // 429: not ingested.
	Failed    Kind = "failed"    // 5xx, and what a proxy answers in PagerDuty's place: temporary; the event may have been applied.
	Unsent    Kind = "unsent"    // no byte of the request left (dial, TLS, proxy connect): not applied.
	Ambiguous Kind = "ambiguous" // a time-out or reset after the request began to leave: may have been applied.
)

// Answer is a classified outcome.
type Answer struct {
	Kind Kind
	// RetryAfter is what Retry-After or ratelimit-reset asked for; 0 if neither did.
	RetryAfter time.Duration
	// Message is one line for people: the status and PagerDuty's own words, no secret.
	Message string
	Code    int // HTTP status; 0 without an answer.
}

// Classify says what an error of Enqueue or EnqueueChange means; nil is Accepted.
func Classify(err error) Answer { return Answer{} }
