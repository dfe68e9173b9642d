package receiver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/mapping"
)

// testReceiver is the receiver and the root of the group key of what came
// through the test door.
const testReceiver = "test door"

// testAlerts is POST /api/v2/alerts, so that `amtool alert add` reaches the rules
// with no Alertmanager. Every alert is a group of its own: there is no route
// tree here that could say what belongs together. All alerts are taken, or none;
// there is nothing that resolves them but their own end or the caller.
func (r *Receiver) testAlerts(w http.ResponseWriter, req *http.Request) {
	var groups []*mapping.Group
	p, who, a := r.admit(req)
	if a.code == 0 {
		var release func()
		release, a = r.budget.acquire(req)
		defer release()
	}
	if a.code == 0 {
		now := r.cfg.Now()
		groups, a = readBody(r, w, req, func(body []byte, maxDepth int) ([]*mapping.Group, error) {
			return decodePosted(body, maxDepth, now, r.cfg.ResolveTimeout)
		})
		// What is refused here is a person's test; nobody fires unheard.
		a.refused = ""
	}
	if a.code == 0 {
		a = r.store(req.Context(), p, groups...)
	}
	r.finish(w, req, who, a, true, groups...)
}

// decodePosted reads what Alertmanager's API takes: a list of alerts, of which
// only the labels are required. As there, no start means now or the end if there
// is one, and no end means resolveTimeout from now.
func decodePosted(body []byte, maxDepth int, now time.Time, resolveTimeout time.Duration) ([]*mapping.Group, error) {
	plain, err := precheck(body, maxDepth, 1)
	if err != nil {
		return nil, err
	}
	if !plain {
		return nil, fmt.Errorf("nested more than %d deep; send a list of alerts", maxDepth)
	}
	var raws []json.RawMessage
	err = json.Unmarshal(body, &raws)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, notJSON(syntax.Offset, body) // its own words hold a character of the body.
	}
	if err != nil || raws == nil {
		return nil, errors.New("the body is not a list of alerts")
	}
	alerts := make([]template.Alert, len(raws))
	for i, raw := range raws {
		if err := json.Unmarshal(raw, &alerts[i]); err != nil {
			return nil, fmt.Errorf("[%d]%w", i, explain(err, raw))
		}
	}
	groups := make([]*mapping.Group, 0, len(alerts))
	for i := range alerts {
		g, err := testGroup(alerts[i], now.UTC(), resolveTimeout)
		if err != nil {
			return nil, fmt.Errorf("[%d].%w", i, err)
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// explain turns the error that an alert does not decode with into words that say which
// field it is, without its value, which may be long.
func explain(err error, raw json.RawMessage) error {
	mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok { // of a time.
		field := "startsAt"
		var times struct {
			StartsAt json.RawMessage `json:"startsAt"`
		}
		if json.Unmarshal(raw, &times) == nil && (times.StartsAt == nil || json.Unmarshal(times.StartsAt, new(time.Time)) == nil) {
			field = "endsAt"
		}
		return fmt.Errorf(".%s is not a time; write it like 2006-01-02T15:04:05Z", field)
	}
	if mismatch.Field == "" {
		return errors.New(" is not an object")
	}
	field, _, _ := strings.Cut(mismatch.Field, ".")
	found, _, _ := strings.Cut(mismatch.Value, " ")
	wanted := "a string"
	if mismatch.Type.Kind() == reflect.Map {
		wanted = "an object"
	}
	return fmt.Errorf(".%s is of JSON type %s where %s is wanted", field, found, wanted)
}

// testGroup makes the group that Alertmanager would, with group_by: ['...'].
func testGroup(a template.Alert, now time.Time, resolveTimeout time.Duration) (*mapping.Group, error) {
	labels, ls := template.KV{}, model.LabelSet{}
	for name, value := range a.Labels {
		if name == "" {
			return nil, errors.New("labels has an empty name")
		}
		if value != "" { // an empty label is no label.
			labels[name], ls[model.LabelName(name)] = value, model.LabelValue(value)
		}
	}
	if len(labels) == 0 {
		return nil, errors.New("labels is empty; give at least one")
	}
	if a.StartsAt.IsZero() {
		if a.StartsAt = a.EndsAt; a.EndsAt.IsZero() {
			a.StartsAt = now
		}
	}
	if a.EndsAt.IsZero() {
		a.EndsAt = now.Add(resolveTimeout)
	}
	if a.EndsAt.Before(a.StartsAt) {
		return nil, errors.New("endsAt is before startsAt")
	}
	a.Labels = labels
	a.Fingerprint = ls.Fingerprint().String()
	a.Status = mapping.Firing
	if !a.EndsAt.After(now) {
		a.Status = mapping.Resolved
	}
	if err := checkAlert(&a); err != nil {
		return nil, err
	}
	return &mapping.Group{
		Data: template.Data{
			Receiver:          testReceiver,
			Status:            a.Status,
			Alerts:            template.Alerts{a},
			GroupLabels:       labels,
			CommonLabels:      labels,
			CommonAnnotations: a.Annotations,
			RouteLabels:       template.KV{},
		},
		Version:  webhookVersion,
		GroupKey: testReceiver + ":" + ls.String(),
		Origin:   mapping.OriginTest,
	}, nil
}

// testStatus is GET /api/v2/status, which amtool asks before everything else. It
// names no version: amtool would only compare it with its own.
func testStatus(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		answer{code: http.StatusMethodNotAllowed, line: "use GET", allow: "GET, HEAD"}.write(w, true)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"cluster":{"status":"disabled"},"config":{"original":"# This is pagerelay's test door, not an Alertmanager.\n"}}`+"\n")
}
