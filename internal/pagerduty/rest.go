package pagerduty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/version"

	"github.com/pagerelay/pagerelay/internal/leaf/backoff"
)

const (
	// restTimeout is the least that one request to the REST API gets: a page of a
	// hundred schedules has to be worked out by PagerDuty first.
	restTimeout = 30 * time.Second
	// maxAnswer is how many bytes of an answer are read, after decompression.
	maxAnswer = 32 << 20

	failureTries  = 3 // of a request that is answered 5xx, or not at all.
	throttleTries = 5 // of a request that is answered 429.
	firstBackoff  = time.Second
)

// ErrNoToken says that there is no token to ask PagerDuty with: none is configured, or
// its file cannot be read or holds none.
var ErrNoToken = errors.New("no API token")

// REST reads PagerDuty's REST API: it lists and gets, and changes nothing. A
// read-only token is enough. One request is under way at a time, as PagerDuty asks
// for, and no more are made than api_requests_per_minute, which every user of the
// same REST shares. It is safe for concurrent use.
//
// A request that is answered 429 is made five times at most, one that is answered 5xx
// or not at all three times. What then is left is an error: a StatusError, if there
// was an answer. No error holds the token.
//
// The types of what is read are go-pagerduty's where they read it right; its calls are
// not used: they lose an answer's headers and words, and the cause of a time-out.
type REST struct {
	cfg     Config
	base    *url.URL
	http    *http.Client
	timeout time.Duration
	secrets secrets
	slot    chan struct{} // is held by the request that is under way.
	pace    *pace
	metrics *restMetrics
}

// RESTOptions are what a REST may do without.
type RESTOptions struct {
	Registerer prometheus.Registerer // nil: no metrics.
	// Transport makes the requests instead of what http_config says. It is for tests.
	Transport http.RoundTripper
}

// NewREST makes a client of the REST API. It opens no connection and reads no token:
// that is read when it is used, so that it may come and change later.
func NewREST(cfg Config, opts RESTOptions) (*REST, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	base, err := cfg.apiURL()
	if err != nil {
		return nil, err
	}
	m, err := newRESTMetrics(opts.Registerer)
	if err != nil {
		return nil, err
	}
	hc := cfg.httpConfig()
	client := &http.Client{
		Transport:     opts.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if opts.Transport == nil {
		if client, err = newHTTPClient(hc); err != nil {
			return nil, fmt.Errorf("http_config: %w", err)
		}
	}
	perMinute := cfg.APIRequestsPerMinute
	if perMinute == 0 {
		perMinute = defaultAPIRate
	}
	return &REST{
		cfg:     cfg,
		base:    base,
		http:    client,
		timeout: max(cfg.Timeout, restTimeout),
		secrets: configSecrets(cfg, hc, map[string]endpoint{"": {event: base.String()}}),
		slot:    make(chan struct{}, 1),
		pace:    newPace(perMinute),
		metrics: m,
	}, nil
}

// CloseIdleConnections closes connections that no request is using. A client that a
// reload has replaced should be told.
func (c *REST) CloseIdleConnections() { c.http.CloseIdleConnections() }

// token is read anew for every request: a rotated one needs no reload.
func (c *REST) token() (string, error) {
	token := string(c.cfg.APIToken)
	if c.cfg.APITokenFile != "" {
		text, err := os.ReadFile(c.cfg.APITokenFile)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrNoToken, err)
		}
		token = strings.TrimSpace(string(text))
		if token == "" {
			return "", fmt.Errorf("%w: %s is empty", ErrNoToken, c.cfg.APITokenFile)
		}
	}
	switch {
	case token == "":
		return "", fmt.Errorf("%w: pagerduty.api_token_file is not set", ErrNoToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("%w: what is configured holds a character that no token has; it must be the token alone", ErrNoToken)
	}
	return token, nil
}

// get makes the request for path, as often as is right, and has read take the body of
// a 200. An error of read is final, unless the body ended early: then read is called
// again with the next answer.
func (c *REST) get(ctx context.Context, path string, query url.Values, read func(io.Reader) error) error {
	for failures, throttles := 0, 0; ; {
		err := c.once(ctx, path, query, read)
		if err == nil {
			return nil
		}
		tries := 0
		switch answer := restAnswer(err); answer.Kind {
		case Throttled:
			throttles++
			tries = throttles
			if throttles == throttleTries || answer.RetryAfter > maxPause {
				return fmt.Errorf("GET %s: %w", path, err)
			}
		case Failed, Ambiguous, Unsent:
			failures++
			tries = failures
			if failures == failureTries || answer.RetryAfter > maxPause {
				return fmt.Errorf("GET %s: %w", path, err)
			}
		case Accepted, Refused, BadKey, TooLarge:
			return fmt.Errorf("GET %s: %w", path, err)
		}
		if !answered(err) {
			// A connection that a firewall has forgotten fails every request on it.
			c.http.CloseIdleConnections()
		}
		// 1 s, 4 s, 16 s, 64 s; what PagerDuty has asked for comes on top, by wait.
		pause := backoff.Backoff{First: firstBackoff, Max: maxPause, Factor: 4}.After(tries)
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("GET %s: %w", path, err)
		}
	}
}

func answered(err error) bool {
	se := (*StatusError)(nil)
	return errors.As(err, &se)
}

// restAnswer is Classify for the errors of once: what is of none of the known kinds
// (no token, an answer that cannot be understood, a context that has ended) is
// Refused, as it is no better the next time.
func restAnswer(err error) Answer {
	se, te := (*StatusError)(nil), (*transportError)(nil)
	if errors.As(err, &se) || errors.As(err, &te) {
		return Classify(err)
	}
	return Answer{Kind: Refused}
}

// once makes one request, when it may.
func (c *REST) once(ctx context.Context, path string, query url.Values, read func(io.Reader) error) error {
	select {
	case c.slot <- struct{}{}:
		defer func() { <-c.slot }()
	case <-ctx.Done():
		return ctx.Err()
	}
	token, err := c.token()
	if err != nil {
		return err
	}
	if err := c.pace.wait(ctx); err != nil {
		return err
	}
	known := c.secrets.with(token)

	whole := ctx // ends with the caller, not with this request's time.
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	target := *c.base
	target.Path += path
	target.RawQuery = query.Encode()
	tr := &trace{sensitive: c.secrets.headers}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, tr.hooks()), http.MethodGet, target.String(), nil)
	if err != nil {
		return errors.New(known.line(err.Error()))
	}
	req.Header.Set("Accept", "application/vnd.pagerduty+json;version=2")
	req.Header.Set("Content-Type", "application/json") // PagerDuty's specification asks for it, without a body too.
	req.Header.Set("Authorization", "Token token="+token)
	req.Header.Set("User-Agent", version.ComponentUserAgent("pagerelay"))

	resp, err := c.http.Do(req)
	if err != nil {
		return c.unanswered(whole, tr, known, err)
	}
	defer resp.Body.Close()
	c.pace.observe(resp.StatusCode, resp.Header, time.Now())
	known = known.with(tr.credentials()...)

	if resp.StatusCode != http.StatusOK {
		c.metrics.count(resp.StatusCode)
		// The status says enough without the rest of its body.
		body, _ := io.ReadAll(io.LimitReader(resp.Body, int64(maxBody+known.longest())))
		now := time.Now()
		return statusError(resp, body, known, func(e *StatusError) Answer { return e.classifyREST(now, known) })
	}
	body := &answerReader{r: resp.Body, left: maxAnswer}
	err = read(body)
	switch {
	case err == nil:
		c.metrics.count(http.StatusOK)
		return nil
	case body.err != nil:
		return c.unanswered(whole, tr, known, body.err)
	}
	c.metrics.count(0)
	return errors.New("read answer: " + known.line(err.Error()))
}

// unanswered is the error of a request that got no whole answer.
func (c *REST) unanswered(ctx context.Context, tr *trace, known secrets, err error) error {
	c.metrics.count(0)
	if ctx.Err() != nil {
		return ctx.Err() // it was we who gave up.
	}
	cause := err.Error()
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		cause = ue.Err.Error() // url.Error repeats the whole URL.
	}
	if errors.Is(err, context.DeadlineExceeded) {
		cause = "no answer within " + c.timeout.String()
	}
	return &transportError{
		text: known.with(tr.credentials()...).line(c.base.Host + ": " + cause),
		sent: tr.gotConn.Load(),
		err:  err,
	}
}

// answerReader reads an answer up to a limit, and remembers what went wrong with the
// reading itself.
type answerReader struct {
	r    io.Reader
	left int
	err  error // of the connection.
}

// Read fills p, unless the answer ends: json.Decoder looks at all blanks again after
// every Read, which would take it minutes for an answer of blanks in small pieces.
func (a *answerReader) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, fmt.Errorf("larger than %d MiB", maxAnswer>>20)
	}
	p = p[:min(len(p), a.left)]
	n := 0
	var err error
	for n < len(p) && err == nil { // io.ReadFull would confuse an end with one that is too early.
		var more int
		more, err = a.r.Read(p[n:])
		n += more
	}
	a.left -= n
	if err != nil && !errors.Is(err, io.EOF) {
		a.err = err
	}
	return n, err
}
