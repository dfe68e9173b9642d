package emulator

import (
	"maps"
	"net/http"
	"slices"
	"time"
)

// RESTRequest is one call of REST.
type RESTRequest struct {
	At    time.Time `json:"at"` // when it arrived.
	Path  string    `json:"path"`
	Query string    `json:"query,omitempty"`
	Route string    `json:"route"` // the path with {id} for what stands there.
	// Code is the HTTP status of the answer, 0 if there was none.
	Code  int    `json:"code"`
	Fault string `json:"fault,omitempty"` // the name of the rule that acted on it.
}

// RESTCounts are totals since the start or the last Reset; they outlive the bounded list.
type RESTCounts struct {
	Total   int            `json:"total"`
	Faulted int            `json:"faulted"` // a fault rule acted on it, whatever else happened.
	ByCode  map[int]int    `json:"by_code"`
	ByRoute map[string]int `json:"by_route"`
}

// restLog is what is remembered of REST calls. The Emulator's lock guards it.
type restLog struct {
	requests bounded[RESTRequest]
	counts   RESTCounts
}

func (l *restLog) reset() {
	l.requests.reset()
	l.counts = RESTCounts{ByCode: map[int]int{}, ByRoute: map[string]int{}}
}

func (e *Emulator) noteREST(r RESTRequest, code int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r.Code = code
	c := &e.rest.counts
	c.Total++
	c.ByCode[code]++
	c.ByRoute[r.Route]++
	if r.Fault != "" {
		c.Faulted++
	}
	e.rest.requests.push(r, len(r.Path)+len(r.Query)+128)
	e.log.Debug("REST request", "path", r.Path, "code", code)
}

// RESTRequests are the newest REST calls, in the order in which they were answered.
func (e *Emulator) RESTRequests() []RESTRequest {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(e.rest.requests.all)
}

// RESTCounts are totals since the start or the last Reset.
func (e *Emulator) RESTCounts() RESTCounts {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.rest.counts
	out.ByCode, out.ByRoute = maps.Clone(out.ByCode), maps.Clone(out.ByRoute)
	return out
}

func (e *Emulator) getREST(w http.ResponseWriter, _ *http.Request) {
	adminJSON(w, map[string]any{"counts": e.RESTCounts(), "requests": emptyNotNull(e.RESTRequests())})
}
