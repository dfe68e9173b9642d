package emulator

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"sync"
	"time"

	"github.com/prometheus/common/model"
)

// Do is what a fault rule does to a request.
type Do string

// What rules can do, beside the latency that each may add.
const (
	DoDelay Do = "delay" // nothing but the latency.
	// DoLate applies and answers after the latency, even if the client has left
	// by then: the request that timed out and lands later.
	DoLate   Do = "late"
	DoAnswer Do = "answer" // the status, body and headers given; not applied.
	// DoReset cuts the connection; not applied. Where no rule has to look into
	// the body to know, the body is not read first.
	DoReset      Do = "reset"
	DoAnswerLost Do = "answer_lost" // applied, then the connection is cut.
	DoHang       Do = "hang"        // not applied and not answered, until the client leaves or the rules change.
	DoAnswerHang Do = "answer_hang" // applied, then as hang.
	DoDrop       Do = "drop"        // answered as if it had been applied, and not applied.
)

// API is one of PagerDuty's APIs.
type API string

// The APIs.
const (
	APIEvents API = "events"
	APIREST   API = "rest"
)

// Fault is a rule that makes requests of one of the APIs fail. Rules are tried
// in order, and the first that fires acts. Nothing is left to chance.
type Fault struct {
	Name  string `json:"name,omitempty"` // shown with the requests; default: its place, as "#0".
	Match Match  `json:"match,omitzero"`
	// Skip lets that many matching requests pass first; then First limits the
	// rule to that many (0: no limit) and Every to each so-manieth (0 and 1: all).
	// A request that an earlier rule took is not counted.
	Skip  int `json:"skip,omitempty"`
	First int `json:"first,omitempty"`
	Every int `json:"every,omitempty"`

	// Latency passes before anything else happens. A client that leaves
	// meanwhile has sent nothing that takes effect, but for DoLate.
	Latency model.Duration    `json:"latency,omitempty"`
	Do      Do                `json:"do"`
	Status  int               `json:"status,omitempty"`  // of DoAnswer; 200 to 599.
	Body    string            `json:"body,omitempty"`    // of DoAnswer; default: an error as PagerDuty words it.
	Headers map[string]string `json:"headers,omitempty"` // of DoAnswer.
}

// Match chooses requests; every field that is not empty must agree.
type Match struct {
	API        API    `json:"api,omitempty"` // default events.
	RoutingKey string `json:"routing_key,omitempty"`
	// Path is /v2/enqueue or /v2/change/enqueue, or with api: rest a pattern as
	// Go's path.Match has it: /oncalls, /schedules/*.
	Path           string `json:"path,omitempty"`
	Action         string `json:"action,omitempty"` // trigger, acknowledge or resolve.
	DedupKeyRegexp string `json:"dedup_key_regexp,omitempty"`
}

// needsBody says whether the rule cannot be decided from the request line.
func (m Match) needsBody() bool {
	return m.RoutingKey != "" || m.Action != "" || m.DedupKeyRegexp != ""
}

// is says whether the rule is about requests for path of api.
func (m Match) is(api API, requested string) bool {
	if m.API == APIREST {
		ok, _ := path.Match(m.Path, requested) // the pattern was checked.
		return api == APIREST && (ok || m.Path == "")
	}
	return api == APIEvents && (m.Path == "" || m.Path == requested)
}

func (m Match) validatePath(f *faults, at string) {
	if m.API == APIREST {
		if _, err := path.Match(m.Path, ""); err != nil {
			f.add(at+".path", "%q: %v", m.Path, err)
		}
		if m.needsBody() {
			f.add(at, "routing_key, action and dedup_key_regexp do not go with api: rest")
		}
		return
	}
	if m.API != "" {
		f.oneOf(at+".api", string(m.API), string(APIEvents), string(APIREST))
	}
	if m.Path != "" {
		f.oneOf(at+".path", m.Path, pathEnqueue, pathChange)
	}
}

// validateFaults reports every fault of the rules, each with its path.
func validateFaults(rules []Fault) error {
	var f faults
	for i, r := range rules {
		path := fmt.Sprintf("[%d]", i)
		f.oneOf(path+".do", string(r.Do), string(DoDelay), string(DoLate), string(DoAnswer), string(DoReset),
			string(DoAnswerLost), string(DoHang), string(DoAnswerHang), string(DoDrop))
		if r.Skip < 0 || r.First < 0 || r.Every < 0 {
			f.add(path, "skip, first and every cannot be negative")
		}
		if r.Latency < 0 {
			f.add(path+".latency", "is negative")
		}
		if (r.Do == DoDelay || r.Do == DoLate) && r.Latency == 0 {
			f.add(path+".latency", "is missing: %s does nothing without it", r.Do)
		}
		// A 1xx is not an answer, and net/http panics on other numbers.
		if r.Do == DoAnswer && (r.Status < 200 || r.Status > 599) {
			f.add(path+".status", "%d is not between 200 and 599", r.Status)
		}
		if r.Do != DoAnswer && (r.Status != 0 || r.Body != "" || len(r.Headers) > 0) {
			f.add(path, "status, body and headers go with do: answer only")
		}
		r.Match.validatePath(&f, path+".match")
		if r.Match.Action != "" {
			f.oneOf(path+".match.action", r.Match.Action, actionTrigger, actionAcknowledge, actionResolve)
		}
		if _, err := regexp.Compile(r.Match.DedupKeyRegexp); err != nil {
			f.add(path+".match.dedup_key_regexp", "%v", err)
		}
	}
	return errors.Join(f...)
}

// faultSet is the rules in force. It is safe for concurrent use.
type faultSet struct {
	mu       sync.Mutex
	rules    []*faultRule
	released chan struct{} // closed when the rules change, so that what hangs lets go.
}

type faultRule struct {
	Fault
	dedupKey *regexp.Regexp
	seen     int // guarded by faultSet.mu.
}

func (s *faultSet) set(rules []Fault) error {
	if err := validateFaults(rules); err != nil {
		return err
	}
	compiled := make([]*faultRule, 0, len(rules))
	for i, r := range rules {
		if r.Name == "" {
			r.Name = fmt.Sprintf("#%d", i)
		}
		compiled = append(compiled, &faultRule{Fault: r, dedupKey: regexp.MustCompile(r.Match.DedupKeyRegexp)})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = compiled
	if s.released != nil {
		close(s.released)
	}
	s.released = make(chan struct{})
	return nil
}

func (s *faultSet) list() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Fault, 0, len(s.rules))
	for _, r := range s.rules {
		out = append(out, r.Fault)
	}
	return out
}

// pick finds the rule that acts on a request; without one it is a delay of
// nothing. body is called when a rule cannot be decided without it; its error
// ends the search. released is closed when the rules change.
func (s *faultSet) pick(api API, path string, body func() (event, error)) (rule Fault, released <-chan struct{}, err error) {
	s.mu.Lock()
	rules, released := s.rules, s.released // the slice is replaced, never changed.
	s.mu.Unlock()
	none := Fault{Do: DoDelay}
	for _, r := range rules {
		if !r.Match.is(api, path) {
			continue
		}
		if r.Match.needsBody() {
			e, err := body()
			if err != nil {
				return none, released, err
			}
			if !r.matches(e) {
				continue
			}
		}
		if s.fires(r) {
			return r.Fault, released, nil
		}
	}
	return none, released, nil
}

func (r *faultRule) matches(e event) bool {
	return (r.Match.RoutingKey == "" || r.Match.RoutingKey == e.routingKey) &&
		(r.Match.Action == "" || r.Match.Action == e.action) &&
		r.dedupKey.MatchString(e.dedupKey)
}

func (s *faultSet) fires(r *faultRule) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.seen++
	n := r.seen - r.Skip
	return n > 0 && (r.First == 0 || n <= r.First) && (r.Every == 0 || n%r.Every == 0)
}

// sleep waits for d, and says false if done comes first.
func sleep(done <-chan struct{}, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}

// hangUp ends the request without an answer: a TCP reset where the connection
// is at hand, the nearest thing (HTTP/2's RST_STREAM, a closed pipe) elsewhere.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
			_ = tcp.SetLinger(0) // best effort: without it the client sees EOF instead.
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}
