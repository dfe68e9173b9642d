package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// maxAdminBody bounds what the admin endpoints read.
const maxAdminBody = 1 << 20

// maxAccount bounds the account, which may have thousands of shifts.
const maxAccount = 32 << 20

// routes are the Events API, REST and the emulator's own endpoints, which PagerDuty
// does not have.
func (e *Emulator) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathEnqueue, e.enqueue)
	mux.HandleFunc("POST "+pathChange, e.enqueue)
	e.handleREST(mux)

	admin := http.NewServeMux()
	admin.HandleFunc("GET /emulator/incidents", e.getIncidents)
	admin.HandleFunc("POST /emulator/incidents/{id}/acknowledge", e.postAct(e.Acknowledge))
	admin.HandleFunc("POST /emulator/incidents/{id}/resolve", e.postAct(e.Resolve))
	admin.HandleFunc("GET /emulator/requests", e.getRequests)
	admin.HandleFunc("GET /emulator/changes", e.getChanges)
	admin.HandleFunc("GET /emulator/rest", e.getREST)
	admin.HandleFunc("PUT /emulator/account", e.putAccount)
	admin.HandleFunc("PUT /emulator/services/{id}", e.putService)
	admin.HandleFunc("GET /emulator/faults", e.getFaults)
	admin.HandleFunc("PUT /emulator/faults", e.putFaults)
	admin.HandleFunc("DELETE /emulator/faults", e.deleteFaults)
	admin.HandleFunc("POST /emulator/reset", e.postReset)
	admin.HandleFunc("GET /{$}", e.page)
	// A web page in the same browser must not be able to act on incidents.
	own := http.NewCrossOriginProtection().Handler(admin)
	mux.Handle("/emulator/", own)
	mux.Handle("/{$}", own)
	return mux
}

// Handler serves the Events API under /v2, REST at its own paths, the emulator's own endpoints under
// /emulator, and a page of the incidents at /.
func (e *Emulator) Handler() http.Handler { return e.mux }

func (e *Emulator) getIncidents(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	status := q.Get("status")
	if !slices.Contains([]string{"", "open", string(Triggered), string(Acknowledged), string(Resolved)}, status) {
		adminError(w, http.StatusBadRequest, fmt.Errorf("status: %q is not one of open, triggered, acknowledged, resolved", status))
		return
	}
	list := slices.DeleteFunc(e.Incidents(), func(i Incident) bool {
		return status == "open" && !i.Open() ||
			status != "" && status != "open" && string(i.Status) != status ||
			q.Has("dedup_key") && i.DedupKey != q.Get("dedup_key") ||
			q.Has("service") && i.Service != q.Get("service") && i.ServiceID != q.Get("service")
	})
	adminJSON(w, map[string]any{"incidents": emptyNotNull(list)})
}

func (e *Emulator) getRequests(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	list := slices.DeleteFunc(e.Requests(), func(r Request) bool {
		return q.Has("dedup_key") && r.DedupKey != q.Get("dedup_key") ||
			q.Has("outcome") && string(r.Outcome) != q.Get("outcome")
	})
	adminJSON(w, map[string]any{"counts": e.Counts(), "requests": emptyNotNull(list)})
}

func (e *Emulator) getChanges(w http.ResponseWriter, _ *http.Request) {
	adminJSON(w, map[string]any{"changes": emptyNotNull(e.Changes())})
}

// postAct is a person acting on an incident; ?by= names them.
func (e *Emulator) postAct(act func(id, by string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		by := r.URL.Query().Get("by")
		if by == "" {
			by = "person"
		}
		adminDone(w, act(r.PathValue("id"), by))
	}
}

// putAccount takes the whole account, as YAML as in the file.
func (e *Emulator) putAccount(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAccount))
	if err != nil {
		adminError(w, http.StatusBadRequest, fmt.Errorf("read body: %w", err))
		return
	}
	cfg, err := Parse(text)
	if err == nil {
		err = e.SetAccount(*cfg)
	}
	adminDone(w, err)
}

func (e *Emulator) putService(w http.ResponseWriter, r *http.Request) {
	var o ServiceOverride
	if decodeAdmin(w, r, &o) {
		adminDone(w, e.OverrideService(r.PathValue("id"), o))
	}
}

// getFaults shows the rules with their routing keys hidden, as everywhere.
func (e *Emulator) getFaults(w http.ResponseWriter, _ *http.Request) {
	list := e.Faults()
	for i := range list {
		if key := &list[i].Match.RoutingKey; *key != "" {
			*key = mask(*key)
		}
	}
	adminJSON(w, list)
}

func (e *Emulator) putFaults(w http.ResponseWriter, r *http.Request) {
	var rules []Fault
	if decodeAdmin(w, r, &rules) {
		adminDone(w, e.SetFaults(rules))
	}
}

func (e *Emulator) deleteFaults(w http.ResponseWriter, _ *http.Request) {
	e.ClearFaults()
	adminDone(w, nil)
}

func (e *Emulator) postReset(w http.ResponseWriter, _ *http.Request) {
	e.Reset()
	adminDone(w, nil)
}

// decodeAdmin reads one JSON value strictly into v, or answers 400.
func decodeAdmin(w http.ResponseWriter, r *http.Request, v any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdminBody))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	if err != nil {
		adminError(w, http.StatusBadRequest, fmt.Errorf("parse body: %w", err))
	}
	return err == nil
}

func adminJSON(w http.ResponseWriter, v any) {
	answer{status: http.StatusOK, body: append(encode(v), '\n')}.write(w)
}

func adminError(w http.ResponseWriter, status int, err error) {
	answer{status: status, body: append(encode(map[string]string{"error": err.Error()}), '\n')}.write(w)
}

// adminDone answers 204, or what err means.
func adminDone(w http.ResponseWriter, err error) {
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, ErrNotFound):
		adminError(w, http.StatusNotFound, err)
	case errors.Is(err, ErrResolved):
		adminError(w, http.StatusConflict, err)
	default:
		adminError(w, http.StatusBadRequest, err)
	}
}

func emptyNotNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
