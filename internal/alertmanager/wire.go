package alertmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/version"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// The limits of an answer.
const (
	maxList   = 256 << 20 // bytes of a list of alerts.
	maxAlert  = 1 << 20   // bytes of one alert.
	maxStatus = 16 << 20  // bytes of a status, which repeats Alertmanager's configuration.
	maxReason = 200       // characters of one member's reason.
)

var (
	errListTooLong  = errors.New("the list is longer than 256 MiB")
	errAlertTooLong = errors.New("an alert is longer than 1 MiB")
	errUnfinished   = errors.New("the list is cut off")
)

// statusCodeError is an answer other than 200.
type statusCodeError int

func (e statusCodeError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("answered %d %s", int(e), http.StatusText(int(e))))
}

// wireAlert is a gettableAlert of Alertmanager's OpenAPI description.
type wireAlert struct {
	Fingerprint  string            `json:"fingerprint"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     string            `json:"startsAt"`
	EndsAt       string            `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Status       struct {
		State string `json:"state"`
	} `json:"status"`
	Receivers []struct {
		Name string `json:"name"`
	} `json:"receivers"`
}

func (w wireAlert) alert() Alert {
	a := Alert{
		Fingerprint: w.Fingerprint, Labels: w.Labels, Annotations: w.Annotations,
		StartsAt: w.StartsAt, EndsAt: w.EndsAt, GeneratorURL: w.GeneratorURL, State: w.Status.State,
	}
	for _, r := range w.Receivers {
		a.Receivers = append(a.Receivers, r.Name)
	}
	return a
}

// presence is the part of a wireAlert that says whether it fires.
type presence struct {
	Fingerprint string `json:"fingerprint"`
	EndsAt      string `json:"endsAt"`
}

// over says whether an alert had ended at now. What has no readable end has none.
func over(endsAt string, now time.Time) bool {
	at, err := time.Parse(time.RFC3339Nano, endsAt)
	return err == nil && !at.IsZero() && !at.After(now)
}

// status is an alertmanagerStatus of Alertmanager's OpenAPI description.
type status struct {
	// Uptime is the time of the start, whatever its name says.
	Uptime  time.Time `json:"uptime"`
	Cluster struct {
		Name   string `json:"name"`   // the member's own name among the peers.
		Status string `json:"status"` // ready, settling or disabled.
		Peers  []struct {
			Name string `json:"name"`
		} `json:"peers"`
	} `json:"cluster"`
}

// status asks for the member's status and how long it has been up.
func (m *member) status(ctx context.Context) (status, time.Duration, error) {
	var s status
	resp, err := m.get(ctx, "status", nil)
	if err != nil {
		return s, 0, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxStatus)).Decode(&s); err != nil {
		m.metrics.count(0)
		return s, 0, fmt.Errorf("read its status: %w", err)
	}
	m.metrics.count(resp.StatusCode)
	if s.Uptime.IsZero() || s.Cluster.Status == "" {
		return s, 0, errors.New("its status lacks uptime or cluster")
	}
	return s, m.clocks(resp).earlier.Sub(s.Uptime), nil
}

// list streams the member's alerts to fn, with the time at which they were
// listed, by two clocks. Filters narrow the list; an Alertmanager that does not understand them
// is asked again without.
func list[T any](ctx context.Context, m *member, filters []string, fn func(T, clocks) error) error {
	query := url.Values{
		"active": {"true"}, "silenced": {"true"}, "inhibited": {"true"}, "unprocessed": {"true"},
		"filter": filters,
	}
	resp, err := m.get(ctx, "alerts", query)
	if code := statusCodeError(0); len(filters) > 0 && errors.As(err, &code) && code == http.StatusBadRequest {
		query.Del("filter")
		resp, err = m.get(ctx, "alerts", query)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	at := m.clocks(resp)
	err = stream(resp.Body, func(v T) error {
		if err := fn(v, at); err != nil {
			return &calledError{err}
		}
		return nil
	})
	if ce := (*calledError)(nil); errors.As(err, &ce) {
		m.metrics.count(resp.StatusCode)
		return ce.err
	}
	if err != nil {
		m.metrics.count(0)
		return fmt.Errorf("read its alerts: %w", err)
	}
	m.metrics.count(resp.StatusCode)
	return nil
}

// calledError is an error of the caller's function, as opposed to the stream's.
type calledError struct{ err error }

func (e *calledError) Error() string { return e.err.Error() }

// clocks is the time of an answer by Alertmanager's clock and by ours. Either may
// be hours wrong: by the earlier nothing looks older or more over than it is, by
// the later nothing looks younger.
type clocks struct{ earlier, later time.Time }

func (m *member) clocks(resp *http.Response) clocks {
	c := clocks{earlier: m.now()}
	c.later = c.earlier
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		if date.Before(c.earlier) {
			c.earlier = date
		} else {
			c.later = date
		}
	}
	return c
}

// get returns an answer of 200, whose body the caller closes, or an error
// without the URL, which may hold a password.
func (m *member) get(ctx context.Context, what string, query url.Values) (*http.Response, error) {
	u := m.url.JoinPath("api", "v2", what)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("make a request of its URL")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Cache-Control", "no-cache") // a stale list is no evidence.
	req.Header.Set("User-Agent", version.ComponentUserAgent("pagerelay"))
	resp, err := m.http.Do(req)
	if err != nil {
		m.metrics.count(0)
		if ue := (*url.Error)(nil); errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		m.metrics.count(resp.StatusCode)
		_ = resp.Body.Close()
		return nil, statusCodeError(resp.StatusCode)
	}
	return resp, nil
}

// stream decodes a JSON array, one element at a time.
func stream[T any](r io.Reader, fn func(T) error) error {
	b := &budget{r: r, total: maxList, one: maxAlert}
	dec := json.NewDecoder(b)
	start, err := dec.Token()
	if err != nil {
		return unfinished(err)
	}
	if start != json.Delim('[') {
		return errors.New("it is no list")
	}
	for {
		b.one = maxAlert
		if !dec.More() {
			break
		}
		var v T
		if err := dec.Decode(&v); err != nil {
			return unfinished(err)
		}
		if err := fn(v); err != nil {
			return err
		}
	}
	// More is false at the end of the data too: only the bracket proves that
	// nothing is missing.
	if _, err := dec.Token(); err != nil {
		return unfinished(err)
	}
	return nil
}

func unfinished(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errUnfinished
	}
	return err
}

// budget bounds what a decoder may read: in all, and for one element. What a
// decoder reads while an element is incomplete belongs to that element, so no
// element under the limit is refused.
type budget struct {
	r          io.Reader
	total, one int64
}

func (b *budget) Read(p []byte) (int, error) {
	switch {
	case b.total <= 0:
		return 0, errListTooLong
	case b.one <= 0:
		return 0, errAlertTooLong
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.total, b.one)])
	b.total -= int64(n)
	b.one -= int64(n)
	return n, err
}

// reason makes one bounded line of what is wrong with a member.
func (m *member) reason(err error) string {
	return "alertmanager " + m.name + " " + oneline.Short(err.Error(), maxReason)
}
