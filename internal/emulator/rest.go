package emulator

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The resources of REST, as their paths begin.
const (
	resourceServices    = "services"
	resourcePolicies    = "escalation_policies"
	resourceSchedules   = "schedules"
	resourceSchedulesV3 = "v3/schedules"
	resourceOncalls     = "oncalls"
	resourceUsers       = "users"
	resourceWindows     = "maintenance_windows"
)

// restRoute is one endpoint of REST.
type restRoute struct {
	path     string // a pattern of http.ServeMux.
	resource string
	// params are the query parameters that it knows. Others are refused, where
	// PagerDuty overlooks them, because a misspelt filter is a wrong answer.
	params string
	serve  func(*restCall) (any, error)
}

func restRoutes() []restRoute {
	const paging = "limit offset total query team_ids[] "
	return []restRoute{
		{"/services", resourceServices, paging + "include[] name sort_by time_zone", listServices},
		{"/services/{id}", resourceServices, "include[]", getService},
		{"/services/{id}/integrations/{integration}", resourceServices, "include[]", getIntegration},
		{"/escalation_policies", resourcePolicies, paging + "include[] user_ids[] sort_by", listPolicies},
		{"/escalation_policies/{id}", resourcePolicies, "include[]", getPolicy},
		{"/schedules", resourceSchedules, paging + "include[] since until time_zone", listSchedules},
		{"/schedules/{id}", resourceSchedules, "since until overflow time_zone", getSchedule},
		{"/v3/schedules", resourceSchedulesV3, paging, listSchedulesV3},
		{"/v3/schedules/{id}", resourceSchedulesV3, "include[] since until overflow time_zone", getScheduleV3},
		{"/oncalls", resourceOncalls, "limit offset total include[] user_ids[] escalation_policy_ids[] schedule_ids[] since until earliest time_zone", listOncalls},
		{"/users", resourceUsers, paging + "include[]", listUsers},
		{"/users/{id}", resourceUsers, "include[]", getUser},
		{"/users/{id}/contact_methods", resourceUsers, "", listContactMethods},
		{"/users/{id}/notification_rules", resourceUsers, "include[] urgency", listNotificationRules},
		{"/maintenance_windows", resourceWindows, paging + "include[] service_ids[] filter", listWindows},
		{"/maintenance_windows/{id}", resourceWindows, "include[]", getWindow},
	}
}

// restCall is a request of REST that is being answered.
type restCall struct {
	*directory
	now    time.Time
	query  url.Values
	id     string // of the path.
	sub    string // of the path, the integration's.
	states map[string]serviceState
	zone   *time.Location // of the query; nil if it names none.
	zones  map[string]*time.Location
}

// serviceState is what REST shows of a service beside the file.
type serviceState struct {
	status  string
	windows []Window
}

// handleREST adds REST to mux.
func (e *Emulator) handleREST(mux *http.ServeMux) {
	for _, route := range restRoutes() {
		mux.HandleFunc("GET "+route.path, func(w http.ResponseWriter, r *http.Request) { e.serveREST(w, r, route) })
	}
}

// serveREST is enqueue for REST.
func (e *Emulator) serveREST(w http.ResponseWriter, r *http.Request, route restRoute) {
	seen := RESTRequest{At: time.Now(), Path: r.URL.Path, Query: r.URL.RawQuery, Route: route.path}
	fault, released, err := e.faults.pick(APIREST, r.URL.Path, nil) // such a rule never asks for the body.
	if err != nil {
		panic(err) // only reading a body fails.
	}
	seen.Fault = fault.Name
	leaves := r.Context().Done()
	if fault.Do == DoLate {
		leaves = nil
	}
	if !sleep(leaves, time.Duration(fault.Latency)) {
		e.noteREST(seen, 0)
		hangUp(w)
	}
	lost := fault.Do == DoAnswerLost || fault.Do == DoAnswerHang
	e.exchange(w, r, exchange{
		fault: fault, released: released,
		faulted: func(a answer) answer {
			e.noteREST(seen, a.status)
			return a
		},
		process: func() answer {
			a := e.processREST(r, route)
			if lost {
				e.noteREST(seen, 0)
			} else {
				e.noteREST(seen, a.status)
			}
			return a
		},
		failure: func(status int) []byte {
			return (&restError{status: status, message: http.StatusText(status)}).body()
		},
	})
}

// processREST answers as PagerDuty does: who asks, how often, and what.
func (e *Emulator) processREST(r *http.Request, route restRoute) answer {
	c := &restCall{now: time.Now(), query: r.URL.Query(), id: r.PathValue("id"), sub: r.PathValue("integration"), zones: map[string]*time.Location{}}
	token := restToken(r)

	e.mu.Lock()
	c.directory = e.dir.Load()
	if token == "" || len(c.APITokens) > 0 && !slices.Contains(c.APITokens, token) {
		e.mu.Unlock()
		return errUnauthorized().answer()
	}
	header, allowed := e.throttleREST(token, c.now)
	c.states = e.serviceStates(c.now)
	e.mu.Unlock()

	var v any
	err := error(errThrottled())
	if allowed {
		v, err = c.serve(route)
	}
	a := answer{status: http.StatusOK}
	if failure := (*restError)(nil); errors.As(err, &failure) {
		failure.byField = failure.status == http.StatusBadRequest && route.resource == resourceSchedulesV3
		a = failure.answer()
	} else {
		a.body = encode(v)
	}
	a.header = header
	return a
}

func (c *restCall) serve(route restRoute) (any, error) {
	switch {
	case slices.Contains(c.PlanLacks, route.resource):
		return nil, errPlan()
	case slices.Contains(c.Forbidden, route.resource):
		return nil, errForbidden()
	}
	known := strings.Fields(route.params)
	for name := range c.query {
		if !slices.Contains(known, name) {
			return nil, errInvalid("%s is not a parameter of this endpoint that the emulator knows", name)
		}
	}
	if c.query.Has("team_ids[]") {
		return nil, errInvalid("team_ids[]: the emulator has no teams")
	}
	if name := c.query.Get("time_zone"); name != "" {
		zone, err := time.LoadLocation(name)
		if err != nil {
			return nil, errInvalid("time_zone %q is not known", name)
		}
		c.zone = zone
	}
	return route.serve(c)
}

// restToken is the token that a request bears; "" if there is none.
func restToken(r *http.Request) string {
	auth := r.Header.Get("Authorization")
	if token, ok := strings.CutPrefix(auth, "Token token="); ok {
		return strings.TrimSpace(token)
	}
	if token, ok := strings.CutPrefix(auth, "Bearer "); ok {
		return strings.TrimSpace(token)
	}
	return ""
}

// throttleREST counts a call of token and makes the headers that say how many
// are left. The lock must be held.
func (e *Emulator) throttleREST(token string, now time.Time) (http.Header, bool) {
	limits := e.dir.Load().Limits
	if limits.Unlimited {
		return nil, true
	}
	const prefix = "rest " // no routing key has a space.
	w := e.windows[prefix+token]
	if w == nil {
		w = &window{}
		e.windows[prefix+token] = w
	}
	wait, ok := w.take(now, limits.RESTPerMinute)
	if ok {
		wait = windowLength - now.Sub(w.calls[0])
	}
	h := http.Header{}
	h.Set("ratelimit-limit", strconv.Itoa(limits.RESTPerMinute))
	h.Set("ratelimit-remaining", strconv.Itoa(max(0, limits.RESTPerMinute-len(w.calls))))
	h.Set("ratelimit-reset", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return h, ok
}

// serviceStates is what the services are at now. The lock must be held.
func (e *Emulator) serviceStates(now time.Time) map[string]serviceState {
	worst := map[string]string{}
	for _, inc := range e.ledger.open {
		e.ledger.advance(inc, now)
		if worst[inc.ServiceID] != "critical" {
			worst[inc.ServiceID] = map[Status]string{Triggered: "critical", Acknowledged: "warning"}[inc.Status]
		}
	}
	states := map[string]serviceState{}
	for _, s := range e.services {
		st := serviceState{status: s.status(), windows: slices.Clone(s.windows())}
		switch {
		case st.status == statusDisabled:
		case s.inMaintenance(now):
			st.status = "maintenance"
		case worst[s.ID] != "":
			st.status = worst[s.ID]
		}
		states[s.ID] = st
	}
	return states
}
