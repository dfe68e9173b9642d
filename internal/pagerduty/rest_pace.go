package pagerduty

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxPause is the longest that is waited because PagerDuty asks for it; its window is
// a minute (REST API, "Rate Limits"). Who is asked to wait for longer gives up.
const maxPause = 2 * time.Minute

// pace says when the next request may leave: evenly spaced under our own limit, and
// not before PagerDuty's has room again.
type pace struct {
	limiter *rate.Limiter

	mtx   sync.Mutex
	until time.Time // no request before it.
}

func newPace(perMinute int) *pace {
	// No burst, so that no minute has more.
	return &pace{limiter: rate.NewLimiter(rate.Limit(float64(perMinute)/60), 1)}
}

// wait returns when a request may leave, or with ctx's error.
func (p *pace) wait(ctx context.Context) error {
	for {
		p.mtx.Lock()
		pause := time.Until(p.until)
		p.mtx.Unlock()
		if pause <= 0 {
			break
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
	r := p.limiter.Reserve()
	if err := sleep(ctx, r.Delay()); err != nil {
		r.Cancel()
		return err
	}
	return nil
}

// observe learns from an answer. The last tenth of PagerDuty's limit is left to the
// others who share it: where no more than that remains, the next request waits until
// the limit is whole again.
func (p *pace) observe(status int, h http.Header, now time.Time) {
	var pause time.Duration
	if status == http.StatusTooManyRequests {
		pause = retryAfter(h, now, true)
	} else {
		limit, okLimit := count(h, "Ratelimit-Limit")
		remaining, okRemaining := count(h, "Ratelimit-Remaining")
		if okRemaining && (remaining == 0 || okLimit && remaining <= limit/10) {
			pause = seconds(strings.TrimSpace(h.Get("Ratelimit-Reset")))
		}
	}
	if pause <= 0 || pause > maxPause {
		return
	}
	p.mtx.Lock()
	defer p.mtx.Unlock()
	if until := now.Add(pause); until.After(p.until) {
		p.until = until
	}
}

func count(h http.Header, name string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimSpace(h.Get(name)))
	return n, err == nil && n >= 0
}

// sleep waits for d, or returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
