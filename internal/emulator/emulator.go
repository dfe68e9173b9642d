// Package emulator is a PagerDuty that behaves: the Events API v2 and change
// events as PagerDuty documents them, incidents that follow from them, and a way
// to make all of it fail. It is for tests, demonstrations and local trials.
//
// It keeps everything in memory, starts no goroutine of its own, and knows the
// time from the time package alone, so that it works in a testing/synctest
// bubble. It does not emulate alert grouping, orchestrations, the
// account-wide rate limit, or delivery of notifications: it records who would
// have been notified. Of REST it has what tells who is on call, to read only:
// services, escalation policies, schedules of both kinds, on-calls, users and
// maintenance windows. The Events API and REST answer from the same schedules.
package emulator

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options is what does not belong to the account. The zero value works.
type Options struct {
	Logger *slog.Logger // default: none.
	// Journal gets one JSON line, a Request, for each event that was accepted
	// (202), before it is answered. It is not synced: it is to outlive the
	// program under test, not the machine.
	Journal io.Writer
	// KeepRequests, KeepChanges and KeepResolved bound what is remembered of
	// requests, change events and resolved incidents; the oldest go first.
	// Default 10,000 each, with at most 64 MiB of bodies each. Open incidents
	// are never forgotten.
	KeepRequests, KeepChanges, KeepResolved int
}

const keepBytes = 64 << 20

// Emulator is one account. It is safe for concurrent use.
type Emulator struct {
	initial *directory                // what New was given.
	dir     atomic.Pointer[directory] // changes with mu held only.
	journal io.Writer
	log     *slog.Logger
	mux     http.Handler
	faults  faultSet

	mu       sync.Mutex
	ledger   ledger
	services []*service // in the order of the file.
	byKey    map[string]*service
	windows  map[string]*window
	requests bounded[Request]
	changes  bounded[Change]
	counts   Counts
	rest     restLog
}

// New makes an emulator of the account cfg, whose defaults it fills in.
func New(cfg Config, opts Options) (*Emulator, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("check emulator configuration: %w", err)
	}
	if opts.KeepRequests < 0 || opts.KeepChanges < 0 || opts.KeepResolved < 0 {
		return nil, errors.New("check emulator options: what is kept cannot be negative")
	}
	setDefault(&opts.KeepRequests, 10_000)
	setDefault(&opts.KeepChanges, 10_000)
	setDefault(&opts.KeepResolved, 10_000)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Emulator{
		initial: newDirectory(cfg), journal: opts.Journal, log: opts.Logger,
		requests: bounded[Request]{maxLen: opts.KeepRequests, maxSize: keepBytes},
		changes:  bounded[Change]{maxLen: opts.KeepChanges, maxSize: keepBytes},
		ledger: ledger{
			resolved: bounded[*incident]{maxLen: opts.KeepResolved, maxSize: keepBytes},
		},
		rest: restLog{requests: bounded[RESTRequest]{maxLen: opts.KeepRequests, maxSize: keepBytes}},
	}
	e.mux = e.routes()
	e.Reset()
	return e, nil
}

// Reset forgets all incidents, requests, counts, faults and run-time changes of
// the account and its services.
func (e *Emulator) Reset() {
	e.ClearFaults()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.services = nil
	e.use(e.initial)
	e.rest.reset()
	e.ledger.number = 0
	e.ledger.open = map[alertKey]*incident{}
	e.ledger.byNumber = nil
	e.ledger.resolved.reset()
	e.windows = map[string]*window{}
	e.requests.reset()
	e.changes.reset()
	inFlight := e.counts.InFlight
	e.counts = Counts{InFlight: inFlight, MaxInFlight: inFlight, ByOutcome: map[Outcome]int{}}
}

// Incidents are all open incidents and the newest resolved ones, oldest first.
func (e *Emulator) Incidents() []Incident {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Incident
	e.ledger.all(time.Now(), func(inc *incident) { out = append(out, inc.snapshot()) })
	return out
}

// Requests are the newest requests, in the order in which they took effect.
func (e *Emulator) Requests() []Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(e.requests.all)
}

// Changes are the newest change events, oldest first.
func (e *Emulator) Changes() []Change {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(e.changes.all)
}

// Counts are totals since the start or the last Reset.
func (e *Emulator) Counts() Counts {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.counts
	out.ByOutcome = maps.Clone(e.counts.ByOutcome)
	return out
}

// SetFaults replaces the fault rules, or reports all that is wrong with them.
// Requests that hang because of an older rule are let go.
func (e *Emulator) SetFaults(rules []Fault) error { return e.faults.set(rules) }

// ClearFaults removes all fault rules.
func (e *Emulator) ClearFaults() { _ = e.faults.set(nil) } // an empty list has no faults.

// Faults are the rules in force.
func (e *Emulator) Faults() []Fault { return e.faults.list() }

// What a person's act on an incident can fail with.
var (
	ErrNotFound = errors.New("not found")
	ErrResolved = errors.New("incident is resolved")
)

// Acknowledge is a person, by, acknowledging the incident in PagerDuty. An
// incident that is acknowledged stays so, with a log entry more.
func (e *Emulator) Acknowledge(id, by string) error { return e.act(id, by, e.ledger.acknowledge) }

// Resolve is a person, by, resolving the incident in PagerDuty; maintenance
// windows do not keep a person from it.
func (e *Emulator) Resolve(id, by string) error { return e.act(id, by, e.ledger.resolve) }

func (e *Emulator) act(id, by string, do func(*incident, string, time.Time)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	err := fmt.Errorf("incident %q: %w", id, ErrNotFound)
	e.ledger.all(now, func(inc *incident) {
		switch {
		case inc.ID != id:
		case !inc.Open():
			err = fmt.Errorf("incident %q: %w", id, ErrResolved)
		default:
			do(inc, by, now)
			err = nil
		}
	})
	return err
}

// process does what PagerDuty does with a request whose body has arrived:
// throttling, validation, and what the event does. It returns the answer.
func (e *Emulator) process(c *call) answer {
	if !c.parsed {
		return e.note(c, Invalid, answer{status: http.StatusBadRequest, body: errorBody(
			"Unrecognized object", "Event object format is unrecognized", "JSON parse error")})
	}
	change, ev := c.Path == pathChange, c.event

	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	svc := e.byKey[ev.routingKey]
	if svc != nil {
		c.Service = svc.Name
		if wait, ok := e.throttle(ev.routingKey, now); !ok {
			return e.record(c, Throttled, e.throttled(wait), now)
		}
	}
	switch {
	case len(c.errs) > 0:
		c.Errors = c.errs
		return e.record(c, Invalid, answer{
			status: http.StatusBadRequest,
			body:   errorBody("invalid event", "Event object is invalid", c.errs...),
		}, now)
	case svc == nil:
		// Plain text, as third parties saw it.
		return e.record(c, UnknownRoutingKey, answer{
			status: http.StatusBadRequest, contentType: "text/plain; charset=utf-8", body: []byte("Invalid routing key"),
		}, now)
	}
	if ev.action == actionTrigger && ev.dedupKey == "" {
		ev.dedupKey = newDedupKey()
		c.DedupKey = ev.dedupKey
	}
	outcome := DroppedByFault
	switch {
	case c.fault.Do == DoDrop:
	case change:
		e.changes.push(Change{
			At: now, Service: svc.Name, ServiceID: svc.ID, RoutingKey: ev.routingKey, MaskedKey: mask(ev.routingKey),
			Summary: ev.summary, Source: ev.source, Detail: ev.detail,
		}, len(c.Body))
		outcome = ChangeRecorded
	default:
		var inc *incident
		if outcome, inc = e.ledger.apply(svc, ev, now); inc != nil {
			c.Incident = inc.ID
		}
	}
	return e.record(c, outcome, accepted(change, ev.dedupKey), now)
}

// throttle is false when the key has used up its calls. Calls that fail
// validation count; those that are refused here do not.
func (e *Emulator) throttle(key string, now time.Time) (time.Duration, bool) {
	if e.dir.Load().Limits.Unlimited {
		return 0, true
	}
	w := e.windows[key]
	if w == nil {
		w = &window{}
		e.windows[key] = w
	}
	return w.take(now, e.dir.Load().Limits.EventsPerMinute)
}

func (e *Emulator) throttled(wait time.Duration) answer {
	a := answer{status: http.StatusTooManyRequests, body: throttledBody(), header: http.Header{}}
	seconds := fmt.Sprint(int(math.Ceil(wait.Seconds())))
	for _, h := range e.dir.Load().Limits.ThrottleHeaders {
		switch h {
		case throttleRetryAfter:
			a.header.Set("Retry-After", seconds)
		case throttleRateLimit: // the names that REST documents.
			a.header.Set("ratelimit-limit", fmt.Sprint(e.dir.Load().Limits.EventsPerMinute))
			a.header.Set("ratelimit-remaining", "0")
			a.header.Set("ratelimit-reset", seconds)
		}
	}
	return a
}

// note is record for those who do not hold the lock.
func (e *Emulator) note(c *call, outcome Outcome, a answer) answer {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.record(c, outcome, a, time.Now())
}

// record notes what became of a request, and returns its answer. The lock must be held.
func (e *Emulator) record(c *call, outcome Outcome, a answer, now time.Time) answer {
	e.counts.Total++
	e.counts.ByOutcome[outcome]++
	switch {
	case outcome == Faulted: // the answer is the rule's, not PagerDuty's.
	case a.status == http.StatusAccepted:
		e.counts.Accepted++
	case a.status == http.StatusTooManyRequests:
		e.counts.Throttled++
	case a.status != 0:
		e.counts.Refused++
	}
	if c.Fault != "" {
		e.counts.Faulted++
	}
	c.Seq, c.At, c.Outcome, c.Code = e.counts.Total, now, outcome, a.status
	if c.fault.Do == DoAnswerLost || c.fault.Do == DoAnswerHang {
		c.Code = 0
	}
	e.requests.push(c.Request, len(c.Body)+512)
	e.log.Debug("Request", "seq", c.Seq, "path", c.Path, "action", c.Action, "code", c.Code, "outcome", c.Outcome)
	if e.journal != nil && a.status == http.StatusAccepted && outcome != Faulted {
		if _, err := e.journal.Write(append(encode(c.Request), '\n')); err != nil {
			e.log.Error("Journal incomplete", "seq", c.Seq, "err", err)
		}
	}
	return a
}
