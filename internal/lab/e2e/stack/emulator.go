package stack

import (
	"context"
	"net/http"
	"net/url"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

// Emulator asks a running emulator.
type Emulator struct {
	URL string
	HTTP
}

// Open are the open incidents, oldest first.
func (e Emulator) Open(ctx context.Context) ([]emulator.Incident, error) {
	return e.incidents(ctx, url.Values{"status": {"open"}})
}

// Incidents are all incidents, oldest first.
func (e Emulator) Incidents(ctx context.Context) ([]emulator.Incident, error) {
	return e.incidents(ctx, nil)
}

func (e Emulator) incidents(ctx context.Context, q url.Values) ([]emulator.Incident, error) {
	var answer struct {
		Incidents []emulator.Incident `json:"incidents"`
	}
	err := e.JSON(ctx, http.MethodGet, e.URL+"/emulator/incidents?"+q.Encode(), nil, &answer)
	return answer.Incidents, err
}

// Requests are the requests that the emulator has seen, in the order in which
// they took effect, and their totals.
func (e Emulator) Requests(ctx context.Context) ([]emulator.Request, emulator.Counts, error) {
	var answer struct {
		Requests []emulator.Request `json:"requests"`
		Counts   emulator.Counts    `json:"counts"`
	}
	err := e.JSON(ctx, http.MethodGet, e.URL+"/emulator/requests", nil, &answer)
	return answer.Requests, answer.Counts, err
}

// Changes are the change events, oldest first.
func (e Emulator) Changes(ctx context.Context) ([]emulator.Change, error) {
	var answer struct {
		Changes []emulator.Change `json:"changes"`
	}
	err := e.JSON(ctx, http.MethodGet, e.URL+"/emulator/changes", nil, &answer)
	return answer.Changes, err
}

// SetFaults replaces the fault rules; none ends all faults.
func (e Emulator) SetFaults(ctx context.Context, rules ...emulator.Fault) error {
	if rules == nil {
		rules = []emulator.Fault{}
	}
	return e.JSON(ctx, http.MethodPut, e.URL+"/emulator/faults", rules, nil)
}
