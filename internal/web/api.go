package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/outbox"
)

// Limits of the API.
const (
	minPrefix    = 4     // characters of an ID that are enough to ask for it.
	defaultLimit = 100   // closed incidents in an answer.
	maxLimit     = 10000 // the most that may be asked for.
	maxReason    = 500   // characters of the reason given for a drop.
)

// Response is the envelope of every answer, as in Prometheus' API.
type Response struct {
	Status    string `json:"status"` // success or error.
	Data      any    `json:"data,omitempty"`
	ErrorType string `json:"errorType,omitempty"`
	Error     string `json:"error,omitempty"`
}

// BadData is the ErrorType of a request that is wrong in itself.
const BadData = "bad_data"

// apiError is an error with its status code and a word for programs.
type apiError struct {
	code int
	kind string
	text string
}

func (e *apiError) Error() string { return e.text }

func badRequest(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, BadData, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &apiError{http.StatusNotFound, "not_found", fmt.Sprintf(format, args...)}
}

// reply writes data or, if err is set, the error.
func (h *Handler) reply(w http.ResponseWriter, data any, err error) {
	code, r := http.StatusOK, Response{Status: "success", Data: data}
	if err != nil {
		var e *apiError
		if !errors.As(err, &e) {
			e = &apiError{http.StatusInternalServerError, "internal", err.Error()}
			switch {
			case errors.Is(err, outbox.ErrNotFound):
				e.code, e.kind = http.StatusNotFound, "not_found"
			case errors.Is(err, outbox.ErrChanged):
				e.code, e.kind = http.StatusConflict, "conflict"
				e.text += "; try again"
			case errors.Is(err, outbox.ErrClosed), errors.Is(err, outbox.ErrBusy):
				e.code, e.kind = http.StatusServiceUnavailable, "unavailable"
			default:
				h.cfg.Logger.Error("A request to the outbox's API failed", "err", err)
			}
		}
		code, r = e.code, Response{Status: "error", ErrorType: e.kind, Error: e.text}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(r) // the caller may be gone; there is nobody left to tell.
}

// list is GET /api/v1/outbox: the incidents that are not closed, and with
// closed=true the newest closed ones. status and service (repeatable) and
// dedup_key narrow it; limit bounds the closed ones.
func (h *Handler) list(w http.ResponseWriter, req *http.Request) {
	q, err := parameters(req, "status", "service", "dedup_key", "closed", "limit")
	limit := 0
	if err == nil {
		limit, err = limitOf(q.Get("limit"), defaultLimit)
	}
	for _, s := range q["status"] {
		if s != StatusClosed && !slices.Contains(incident.Statuses(), s) {
			err = badRequest("status: %q is none of %s, %s", s, strings.Join(incident.Statuses(), ", "), StatusClosed)
		}
	}
	if c := q.Get("closed"); c != "" && c != "true" && c != "false" {
		err = badRequest("closed: %.50q is neither true nor false", c)
	}
	closed := q.Get("closed") == "true" || slices.Contains(q["status"], StatusClosed)
	if err != nil {
		h.reply(w, nil, err)
		return
	}
	wanted := func(s Summary) bool {
		return (len(q["status"]) == 0 || slices.Contains(q["status"], s.Status)) &&
			(len(q["service"]) == 0 || slices.Contains(q["service"], s.Service)) &&
			(q.Get("dedup_key") == "" || q.Get("dedup_key") == s.DedupKey)
	}
	list := []Summary{}
	for _, in := range h.outbox.List() {
		if s := summary(in, h.cfg.Why); wanted(s) {
			list = append(list, s)
		}
	}
	if closed && limit > 0 {
		n := 0
		err = h.outbox.Ledger(func(in *incident.Incident) bool {
			if s := summary(in, h.cfg.Why); wanted(s) {
				list = append(list, s)
				n++
			}
			return n < limit && req.Context().Err() == nil
		})
	}
	if err == nil {
		err = h.unknownService(q["service"], list)
	}
	sortSummaries(list)
	h.reply(w, list, err)
}

// show is GET /api/v1/outbox/{id}: the incident and, up to limit (default 1),
// those of the same ID that have closed, the newest first. The ID may be cut
// where it stays unique.
func (h *Handler) show(w http.ResponseWriter, req *http.Request) {
	q, err := parameters(req, "limit")
	limit := 0
	if err == nil {
		limit, err = limitOf(q.Get("limit"), 1)
	}
	if err == nil && limit == 0 {
		err = badRequest("limit: must be at least 1")
	}
	id := req.PathValue("id")
	var found []*incident.Incident
	if err == nil {
		found, err = h.find(id, limit)
	}
	list := []Incident{}
	for _, in := range found {
		list = append(list, detail(in, h.cfg.Why))
	}
	h.reply(w, list, err)
}

// find looks for an ID among the open incidents and then on the ledger.
func (h *Handler) find(id string, limit int) ([]*incident.Incident, error) {
	var found []*incident.Incident
	full := fullID(id)
	in, err := h.open(id)
	switch {
	case err == nil:
		found, id, full = []*incident.Incident{in}, in.ID, true
	case !errors.Is(err, outbox.ErrNotFound):
		return nil, err
	}
	if len(found) >= limit {
		return found, nil
	}
	err = h.outbox.Ledger(func(in *incident.Incident) bool {
		if in.ID == id || !full && strings.HasPrefix(in.ID, id) {
			found = append(found, in)
		}
		return !full || len(found) < limit // a cut ID may turn out to be ambiguous.
	})
	if err != nil {
		return nil, err
	}
	if err := unique(id, found); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, notFound("no incident %q, neither open nor on the ledger", id)
	}
	return found[:min(limit, len(found))], nil
}

// open finds the open incident that an ID, whole or cut, belongs to.
func (h *Handler) open(id string) (*incident.Incident, error) {
	if len(id) < minPrefix {
		return nil, badRequest("give at least %d characters of the ID", minPrefix)
	}
	var found []*incident.Incident
	for _, in := range h.outbox.List() {
		if in.ID == id {
			return in, nil
		}
		if strings.HasPrefix(in.ID, id) {
			found = append(found, in)
		}
	}
	if err := unique(id, found); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("open incident %q: %w", id, outbox.ErrNotFound)
	}
	return found[0], nil
}

func unique(id string, found []*incident.Incident) error {
	ids := map[string]bool{}
	for _, in := range found {
		ids[in.ID] = true
	}
	if len(ids) > 1 {
		return badRequest("%q is the beginning of %d IDs; give more of it", id, len(ids))
	}
	return nil
}

// fullID says whether id is as long as an ID is (see incident.ID).
func fullID(id string) bool { return len(id) >= len(incident.ID("", "")) }

// admin lets a request pass only where the operator has allowed changes.
func (h *Handler) admin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if !h.cfg.EnableAdmin {
			h.reply(w, nil, &apiError{
				http.StatusForbidden, "forbidden",
				"the admin API is off; start pagerelay with --web.enable-admin-api",
			})
			return
		}
		next(w, req)
	}
}

// retry is POST /api/v1/outbox/{id}/retry: of an incident that is blocked, or that
// waits because an attempt has failed.
func (h *Handler) retry(w http.ResponseWriter, req *http.Request) {
	var in *incident.Incident
	_, err := parameters(req)
	if err == nil {
		in, err = h.open(req.PathValue("id"))
	}
	if err == nil && in.Blocked == nil && in.KeyFault == "" && in.Attempts == 0 { // nor is it put off.
		err = &apiError{http.StatusConflict, "conflict", fmt.Sprintf("incident %s is %s, not blocked; there is nothing to retry", in.ID, in.Status())}
	}
	if err == nil {
		err = h.outbox.Retry(req.Context(), in.ID)
	}
	if err != nil {
		h.reply(w, nil, err)
		return
	}
	h.cfg.Logger.Info("An incident is retried by hand", "incident", in.ID, "service", in.Service)
	h.reply(w, summary(in, h.cfg.Why), nil)
}

// drop is POST /api/v1/outbox/{id}/drop; reason is what the ledger will say.
func (h *Handler) drop(w http.ResponseWriter, req *http.Request) {
	var in *incident.Incident
	q, err := parameters(req, "reason")
	reason := q.Get("reason")
	if reason == "" {
		reason = "by hand"
	}
	if err == nil {
		in, err = h.open(req.PathValue("id"))
	}
	if len([]rune(reason)) > maxReason {
		err = badRequest("reason: has more than %d characters", maxReason)
	}
	if err == nil {
		err = h.outbox.Drop(req.Context(), in.ID, reason)
	}
	if err != nil {
		h.reply(w, nil, err)
		return
	}
	h.cfg.Logger.Warn("An incident is dropped by hand", "incident", in.ID, "service", in.Service)
	h.reply(w, summary(in, h.cfg.Why), nil)
}

// unknownService says which of the services asked for is neither configured nor has
// an open incident, nor one that was found: it is most likely mistyped.
func (h *Handler) unknownService(asked []string, found []Summary) error {
	if h.cfg.Services == nil || len(asked) == 0 {
		return nil
	}
	known := slices.Clone(h.cfg.Services())
	for _, in := range h.outbox.List() {
		known = append(known, in.Service)
	}
	for _, s := range found {
		known = append(known, s.Service)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for _, name := range asked {
		if !slices.Contains(known, name) {
			return badRequest("no service is named %.100q; the services are %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// parameters are those of the request; one that is not known is a mistake of the
// caller's, who would take the answer for another.
func parameters(req *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return url.Values{}, badRequest("the parameters cannot be read: %.100s", err)
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if !slices.Contains(known, name) {
			return url.Values{}, badRequest("unknown parameter %.50q; known are %s", name, cmp.Or(strings.Join(known, ", "), "none"))
		}
	}
	return q, nil
}

func limitOf(s string, preset int) (int, error) {
	if s == "" {
		return preset, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxLimit {
		return 0, badRequest("limit: %.50q is not a number from 0 to %d", s, maxLimit)
	}
	return n, nil
}

// audit is POST /api/v1/coverage/audit: who is on call is read and judged now, and
// what is wrong is reported as in every audit. It may take minutes.
func (h *Handler) audit(w http.ResponseWriter, req *http.Request) {
	if _, err := parameters(req); err != nil {
		h.reply(w, nil, err)
		return
	}
	// It may last longer than the server lets answers take.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		h.reply(w, nil, err)
		return
	}
	found, err := h.cfg.Audit(req.Context())
	if err != nil { // logged where it failed.
		err = &apiError{http.StatusServiceUnavailable, "unavailable", err.Error()}
	}
	h.reply(w, found, err)
}
