package receiver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/mapping"
)

// decodeLeniently reads what can be understood of a body that decode cannot take as
// it is: one alert, or one field, that cannot be read must not cost the others their
// page. It reads the body from its beginning for as long as it is JSON.
//
//   - no usable startsAt: the time is left zero, which the outbox takes for now.
//   - a label or annotation that is no string: its JSON text.
//   - an unknown or missing version: as the newest. "1" is Grafana's.
//   - a status that is neither firing nor resolved: the group's, else firing.
//   - an alert that is no object, or whose labels are none: left out and counted in
//     Group.Unread.
//
// It returns an error only if nothing in the body can be read as an alert.
func decodeLeniently(body []byte, maxDepth int) (*mapping.Group, error) {
	l := lenient{maxDepth: maxDepth, g: &mapping.Group{Odd: map[int]bool{}}}
	broken := l.read(body)
	switch {
	case !l.object && broken != nil:
		return nil, broken
	case !l.object:
		return nil, errors.New("the body is not a JSON object; send Alertmanager's webhook body")
	case !l.list && broken != nil:
		return nil, broken
	case !l.list && l.g.Version == "":
		return nil, errors.New("alerts and version are missing: this is not Alertmanager's own webhook body; remove payload from webhook_configs, or send to another address")
	case !l.list:
		return nil, errors.New("alerts is missing; send Alertmanager's webhook body unchanged")
	}
	l.finish()
	if len(l.g.Alerts) == 0 && l.g.Unread > 0 {
		return nil, fmt.Errorf("none of the alerts can be read: %w", l.first)
	}
	if broken != nil {
		l.unread(broken)
		if len(l.g.Alerts) == 0 {
			return nil, broken
		}
	}
	l.g.UnreadReason = l.first
	return l.g, nil
}

// lenient is the work on one body.
type lenient struct {
	maxDepth int
	g        *mapping.Group
	raw      []json.RawMessage
	object   bool  // the body began as an object.
	list     bool  // it has a list of alerts.
	grafana  bool  // it has a field that only Grafana's has.
	first    error // why the first alert that could not be read was not.
}

// unread counts an alert that is lost; err says why, without quoting it.
func (l *lenient) unread(err error) {
	l.g.Unread++
	if l.first == nil {
		l.first = err
	}
}

// read takes the outermost fields in, and the alerts as raw JSON. Its error says
// where the body ends to be JSON.
func (l *lenient) read(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	broken := func(err error) error {
		at := dec.InputOffset()
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = syntax.Offset // its own words hold a character of the body.
		} else if errors.Is(err, io.ErrUnexpectedEOF) {
			at = int64(len(body))
		}
		return notJSON(at, body)
	}
	open, err := dec.Token()
	if err != nil {
		return broken(err)
	}
	if l.object = open == json.Delim('{'); !l.object {
		return nil
	}
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return broken(err)
		}
		if strings.EqualFold(name, "alerts") {
			if err := l.alerts(dec); err != nil {
				return broken(err)
			}
			continue
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return broken(err)
		}
		l.field(name, raw)
	}
	if _, err := dec.Token(); err != nil || len(bytes.TrimSpace(body[dec.InputOffset():])) > 0 {
		return broken(err)
	}
	return nil
}

// alerts collects the elements of a list of alerts. Two lists are taken for one.
func (l *lenient) alerts(dec *json.Decoder) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('['):
	case json.Delim('{'):
		return skip(dec)
	default:
		return nil // null, a number, a string: no list.
	}
	l.list = true
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		l.raw = append(l.raw, raw)
	}
	_, err = dec.Token()
	return err
}

// skip reads on to the end of the object that has just begun.
func skip(dec *json.Decoder) error {
	for depth := 1; depth > 0; {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return nil
}

// field takes an outermost field in.
func (l *lenient) field(name string, raw json.RawMessage) {
	g := l.g
	switch strings.ToLower(name) {
	case "version":
		g.Version = text(raw)
	case "groupkey":
		g.GroupKey = text(raw)
	case "receiver":
		g.Receiver = text(raw)
	case "status":
		g.Status = text(raw)
	case "externalurl":
		g.ExternalURL = text(raw)
	case "notification_reason":
		g.NotificationReason = text(raw)
	case "truncatedalerts":
		if n, err := strconv.ParseUint(text(raw), 10, 64); err == nil {
			g.TruncatedAlerts = n
		}
	case "grouplabels":
		g.GroupLabels, _, _ = l.pairs(raw)
	case "commonlabels":
		g.CommonLabels, _, _ = l.pairs(raw)
	case "commonannotations":
		g.CommonAnnotations, _, _ = l.pairs(raw)
	case "routelabels":
		g.RouteLabels, _, _ = l.pairs(raw)
	case "orgid":
		l.grafana = true
	}
}

// finish makes alerts of what was collected.
func (l *lenient) finish() {
	g := l.g
	if l.grafana = l.grafana || g.Version == grafanaVersion; l.grafana {
		g.Origin = mapping.OriginGrafana
	}
	g.Version = webhookVersion
	for i, raw := range l.raw {
		a, odd, err := l.alert(raw)
		if err != nil {
			l.unread(fmt.Errorf("alerts[%d]%w", i, err))
			continue
		}
		if odd {
			g.Odd[len(g.Alerts)] = true
		}
		g.Alerts = append(g.Alerts, a)
	}
	l.raw = nil
	complete(g)
}

// alert reads one alert. odd says that not all of it was as it should be.
func (l *lenient) alert(raw json.RawMessage) (a template.Alert, odd bool, err error) {
	var fields map[string]json.RawMessage
	if deep(raw, l.maxDepth) {
		return a, false, fmt.Errorf(" is nested more than %d deep", l.maxDepth)
	}
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		return a, false, errors.New(" is not an object")
	}
	for name, v := range fields { // as encoding/json does, case does not count.
		if lower := strings.ToLower(name); fields[lower] == nil {
			fields[lower] = v
		}
	}
	var ok bool
	if labels := fields["labels"]; labels != nil && !isNull(labels) {
		if a.Labels, odd, ok = l.pairs(labels); !ok {
			return a, false, errors.New(".labels is not an object")
		}
	}
	if annotations := fields["annotations"]; annotations != nil && !isNull(annotations) {
		var oddOnes bool
		a.Annotations, oddOnes, ok = l.pairs(annotations)
		odd = odd || oddOnes || !ok
	}
	switch status := strings.ToLower(text(fields["status"])); status {
	case mapping.Firing, mapping.Resolved:
		a.Status = status
	default:
		a.Status, odd = mapping.Firing, true
		if l.g.Status == mapping.Resolved {
			a.Status = mapping.Resolved
		}
	}
	if a.StartsAt, ok = moment(fields["startsat"]); !ok || a.StartsAt.IsZero() {
		a.StartsAt, odd = time.Time{}, true
	}
	if a.EndsAt, ok = moment(fields["endsat"]); !ok {
		odd = true
	}
	a.GeneratorURL = text(fields["generatorurl"])
	if a.Fingerprint = text(fields["fingerprint"]); a.Fingerprint != "" && !isFingerprint(a.Fingerprint) {
		a.Fingerprint, odd = "", true
	}
	if l.grafana {
		grafana(&a, fields)
	}
	completeAlert(&a)
	return a, odd, nil
}

// pairs reads an object of strings. What is no string stands for itself, as JSON.
func (l *lenient) pairs(raw json.RawMessage) (kv template.KV, odd, ok bool) {
	var fields map[string]json.RawMessage
	if deep(raw, l.maxDepth) || json.Unmarshal(raw, &fields) != nil || fields == nil {
		return nil, true, false
	}
	kv = make(template.KV, len(fields))
	for name, v := range fields {
		if isNull(v) { // as good as no label.
			odd = true
			continue
		}
		kv[name] = text(v)
		odd = odd || v[0] != '"'
	}
	return kv, odd, true
}

// text is a JSON string's text; of anything else its JSON. "" of nothing and null.
func text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) == nil { // null leaves it empty.
		return s
	}
	return strings.ToValidUTF8(string(raw), "\uFFFD")
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// moment reads a time; zero if there is none. It is not ok if there is one that
// cannot be read, or written again.
func moment(raw json.RawMessage) (time.Time, bool) {
	if len(raw) == 0 || isNull(raw) {
		return time.Time{}, true
	}
	var t time.Time
	if json.Unmarshal(raw, &t) != nil || !writable(t.UTC()) {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// deep says whether JSON nests more than so deep.
func deep(raw []byte, most int) bool {
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			if depth++; depth > most {
				return true
			}
		case '}', ']':
			depth--
		case '"':
			i = endOfString(raw, i)
		}
	}
	return false
}
