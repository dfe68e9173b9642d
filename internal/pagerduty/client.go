// Package pagerduty sends events to PagerDuty's Events API v2 and says what
// became of each: accepted, refused, throttled, or unknown. It keeps no state
// and retries nothing; that is the business of internal/delivery.
package pagerduty

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	gopagerduty "github.com/PagerDuty/go-pagerduty"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/version"
)

// Event is an event of the Events API v2 as go-pagerduty writes it.
type Event = gopagerduty.V2Event

// Payload is the payload of an Event.
type Payload = gopagerduty.V2Payload

// ChangeEvent is a change event of the Events API v2. go-pagerduty's type has
// no images.
type ChangeEvent = gopagerduty.ChangeEvent

// idleTimeout closes an unused connection before a middlebox forgets it; it is
// net/http's own default.
const idleTimeout = 90 * time.Second

// Client sends events. It is safe for concurrent use.
type Client struct {
	http      atomic.Pointer[http.Client]
	config    promconfig.HTTPClientConfig
	endpoints map[string]endpoint // by region; "" is the default one.
	timeout   time.Duration
	secrets   secrets
}

// New makes a client. It opens no connection.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	eps, err := cfg.endpoints()
	if err != nil {
		return nil, err
	}
	hc := cfg.httpConfig()
	client, err := newHTTPClient(hc)
	if err != nil {
		return nil, fmt.Errorf("http_config: %w", err)
	}
	c := &Client{config: hc, endpoints: eps, timeout: cfg.Timeout, secrets: configSecrets(cfg, hc, eps)}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	c.http.Store(client)
	return c, nil
}

func newHTTPClient(hc promconfig.HTTPClientConfig) (*http.Client, error) {
	return promconfig.NewClientFromConfig(hc, "pagerduty", promconfig.WithIdleConnTimeout(idleTimeout))
}

// Enqueue sends e to the events address of region ("" means the configured
// one). It returns nil only for PagerDuty's own acceptance: 202 with a JSON
// status. Every other outcome is an error from which Classify makes an Answer;
// no error holds the routing key or another secret that c knows of.
func (c *Client) Enqueue(ctx context.Context, region string, e *Event) error {
	// By hand: go-pagerduty's call loses errors[] of a 400, every header and
	// the cause of a time-out, takes any 2xx for acceptance, and its package
	// function knows the US address only.
	if e == nil {
		return &encodeError{err: errors.New("no event")}
	}
	return c.post(ctx, region, false, e.RoutingKey, e)
}

// EnqueueChange is Enqueue for a change event.
func (c *Client) EnqueueChange(ctx context.Context, region string, e *ChangeEvent) error {
	// By hand: go-pagerduty's call has the same faults as the one for events.
	if e == nil {
		return &encodeError{err: errors.New("no change event")}
	}
	return c.post(ctx, region, true, e.RoutingKey, e)
}

// CloseIdleConnections closes connections that no request is using. A client
// that a reload has replaced should be told.
func (c *Client) CloseIdleConnections() { c.http.Load().CloseIdleConnections() }

func (c *Client) post(ctx context.Context, region string, change bool, key string, event any) error {
	ep, ok := c.endpoints[region]
	if !ok {
		return &transportError{text: fmt.Sprintf("send event: region %q is neither us nor eu", region)}
	}
	target := ep.event
	if change {
		target = ep.change
	}
	body, err := json.Marshal(event)
	if err != nil {
		return &encodeError{err: err}
	}
	known := c.secrets.with(key)

	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	tr := &trace{sensitive: c.secrets.headers}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, tr.hooks()), http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return &transportError{text: "send event: " + known.line(err.Error()), err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", version.ComponentUserAgent("pagerelay"))

	client := c.http.Load()
	resp, err := client.Do(req)
	if err != nil {
		return c.transportError(client, ep, tr, known, err)
	}
	defer resp.Body.Close()
	known = known.with(tr.credentials()...)

	// What a secret's length reaches over the limit is read as well, so that a
	// secret across the cut is found whole.
	answer, err := io.ReadAll(io.LimitReader(resp.Body, int64(maxBody+known.longest())))
	if resp.StatusCode == http.StatusAccepted {
		if err != nil {
			// Taken by PagerDuty, as it seems, but not proven.
			return c.transportError(client, ep, tr, known, err)
		}
		if accepted(answer) {
			return nil
		}
	}
	// Any other status says enough without the rest of its body.
	return newStatusError(resp, answer, known, time.Now())
}

// transportError is the error of a request on client that got no whole answer.
func (c *Client) transportError(client *http.Client, ep endpoint, tr *trace, known secrets, err error) error {
	if tr.gotConn.Load() {
		c.replace(client)
	}

	// url.Error repeats the whole URL.
	text := err
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		text = ue.Err
	}
	return &transportError{
		text: fmt.Sprintf("send event to %s: %s", ep.host, known.with(tr.credentials()...).line(text.Error())),
		sent: tr.gotConn.Load(),
		err:  err,
	}
}

// replace retires client, one of whose connections has failed a request: an
// HTTP/2 connection that a firewall has forgotten fails every request on it,
// until its ping does after more than a minute. The next request dials afresh.
func (c *Client) replace(client *http.Client) {
	fresh, err := newHTTPClient(c.config)
	if err != nil {
		return // a file of tls_config is gone; the connections in hand are better than none.
	}
	if c.http.CompareAndSwap(client, fresh) {
		client.CloseIdleConnections() // those in use close when they have been idle for idleTimeout.
	}
}

// transportError is a request without a whole answer. It hides its cause from
// errors.Unwrap, since the cause's text may hold a secret, but not from errors.Is.
type transportError struct {
	text string
	sent bool // a connection was handed to the request: bytes may have left.
	err  error
}

func (e *transportError) Error() string { return e.text }

// Is makes errors.Is(err, context.DeadlineExceeded) and the like work.
func (e *transportError) Is(target error) bool { return e.err != nil && errors.Is(e.err, target) }

// Temporary says that the same event may be accepted later.
func (e *transportError) Temporary() bool { return true }

// encodeError is an event that JSON cannot hold.
type encodeError struct{ err error }

func (e *encodeError) Error() string { return "encode event: " + e.err.Error() }

// trace watches one request (and what net/http repeats of it by itself).
type trace struct {
	// gotConn: until net/http has handed a connection to the request, nothing
	// of it can have been written. Later hooks are no proof: the writing
	// goroutine may run behind a context that has ended.
	gotConn   atomic.Bool
	sensitive map[string]bool

	mtx  sync.Mutex
	seen []string // credentials sent along, some of them read from files.
}

func (t *trace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { t.gotConn.Store(true) },
		WroteHeaderField: func(name string, values []string) {
			if !t.sensitive[http.CanonicalHeaderKey(name)] {
				return
			}
			t.mtx.Lock()
			defer t.mtx.Unlock()
			t.seen = append(t.seen, values...)
		},
	}
}

func (t *trace) credentials() []string {
	t.mtx.Lock()
	defer t.mtx.Unlock()
	return append([]string(nil), t.seen...)
}
