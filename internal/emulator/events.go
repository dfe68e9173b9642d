package emulator

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"time"
)

const (
	pathEnqueue = "/v2/enqueue"
	pathChange  = "/v2/change/enqueue"
)

// answer is what a client gets to see.
type answer struct {
	status      int
	contentType string // default application/json.
	body        []byte
	header      http.Header
}

func (a answer) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if a.contentType != "" {
		h.Set("Content-Type", a.contentType)
	}
	maps.Copy(h, a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that left does not need it.
}

// reply is the body of every JSON answer of the Events API.
type reply struct {
	Status   string   `json:"status"`
	Message  string   `json:"message"`
	DedupKey string   `json:"dedup_key,omitempty"`
	Errors   []string `json:"errors,omitempty"`
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only types of this package come here, and they all marshal.
	}
	return b
}

func errorBody(status, message string, errs ...string) []byte {
	return encode(reply{Status: status, Message: message, Errors: errs})
}

// throttledBody is plausible and no more: PagerDuty does not document the body
// of the Events API's 429.
func throttledBody() []byte {
	return errorBody("throttle exceeded", "Request limit exceeded for this routing key", "Too many events")
}

func accepted(change bool, dedupKey string) answer {
	r := reply{Status: "success", Message: "Event processed", DedupKey: dedupKey}
	if change {
		r = reply{Status: "success", Message: "Change event processed"}
	}
	return answer{status: http.StatusAccepted, body: encode(r)}
}

// describe fills in what is shown of the event.
func (r *Request) describe(e event) {
	r.RoutingKey, r.Action, r.DedupKey = e.routingKey, e.action, e.dedupKey
	r.Severity, r.Summary = e.severity, e.summary
	if e.routingKey != "" {
		r.MaskedKey = mask(e.routingKey)
	}
}

// errTooLarge and errUnread are why a body is not there.
var (
	errTooLarge = errors.New("body over the limit")
	errUnread   = errors.New("body did not arrive")
)

// call is a request that is being served.
type call struct {
	Request
	fault  Fault // the rule that acts on it; DoDelay without latency if none does.
	read   bool  // the body was asked for, and the fields below and Body filled from it.
	parsed bool  // the body is a JSON object.
	event  event
	errs   []string
}

// enqueue serves both endpoints.
func (e *Emulator) enqueue(w http.ResponseWriter, r *http.Request) {
	c := &call{Request: Request{ReceivedAt: time.Now(), Path: r.URL.Path}}
	defer e.enter()()

	var released <-chan struct{}
	var err error
	c.fault, released, err = e.faults.pick(APIEvents, c.Path, func() (event, error) {
		err := e.read(w, r, c)
		return c.event, err
	})
	c.Fault = c.fault.Name
	// net/http notices that a client left only once the body is read.
	if err == nil && c.fault.Do != DoReset {
		err = e.read(w, r, c)
	}
	leaves := r.Context().Done()
	if c.fault.Do == DoLate {
		leaves = nil
	}
	if err == nil && !sleep(leaves, time.Duration(c.fault.Latency)) {
		err = errUnread
	}
	switch {
	case errors.Is(err, errTooLarge):
		e.note(c, TooLarge, answer{
			status: e.dir.Load().Limits.OversizeStatus,
			body:   errorBody("invalid event", "Event object is invalid", "Request body is too large"),
		}).write(w)
		return
	case err != nil:
		e.note(c, Unread, answer{})
		hangUp(w)
	}

	e.exchange(w, r, exchange{
		fault: c.fault, released: released,
		faulted: func(a answer) answer { return e.note(c, Faulted, a) },
		process: func() answer { return e.process(c) },
		failure: eventsFailure,
	})
}

// eventsFailure is the body of a fault that has none of its own.
func eventsFailure(status int) []byte {
	if status == http.StatusTooManyRequests {
		return throttledBody()
	}
	return errorBody("error", http.StatusText(status))
}

// enter counts a request that is being served; what it returns ends that.
func (e *Emulator) enter() func() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts.InFlight++
	e.counts.MaxInFlight = max(e.counts.MaxInFlight, e.counts.InFlight)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.counts.InFlight--
	}
}

// read takes in the body, once.
func (e *Emulator) read(w http.ResponseWriter, r *http.Request, c *call) error {
	if c.read {
		return nil
	}
	c.read = true
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, e.dir.Load().Limits.RequestBytes))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return errTooLarge
	} else if err != nil {
		return errUnread
	}
	c.Body = body
	var o object
	if o, c.parsed = parse(body); c.parsed {
		c.event, c.errs = decode(o, c.Path == pathChange)
		c.describe(c.event)
	}
	return nil
}
