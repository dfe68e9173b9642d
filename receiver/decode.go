package receiver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/mapping"
)

// webhookVersion is the version of Alertmanager's webhook body. It has been the
// same since Alertmanager 0.3; new fields do not raise it.
const webhookVersion = "4"

// maxAlerts bounds the alerts of one body, because decoding turns the few bytes
// of an empty element into 200. A real alert takes 160 bytes at least, so that
// the default limit of the body comes first.
const maxAlerts = 100_000

// decode reads the body of a webhook. Unknown fields are ignored, because
// Alertmanager adds some with most releases. Broken UTF-8 becomes U+FFFD, as
// encoding/json does it: a bad label must not cost a page. A body that is not just
// what Alertmanager sends is read by decodeLeniently.
//
// In what it returns each alert has a status of firing or resolved, a
// fingerprint, and label and annotation maps that are not nil; times are UTC, and a
// start that is not known is zero. The list of alerts may be empty, if the body says
// so: then there is nothing to store. A body without the list is refused.
//
// An error is one short line for the sender's log: where the fault is, and how
// to fix it. It is ASCII and quotes nothing of the body.
func decode(body []byte, maxDepth int) (*mapping.Group, error) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) // a byte order mark.
	plain, err := precheck(body, maxDepth, 2)
	if err != nil {
		return nil, err
	}
	if plain {
		if g := decodeStrictly(body); g != nil {
			return g, nil
		}
	}
	return decodeLeniently(body, maxDepth)
}

// decodeStrictly decodes what is just as Alertmanager sends it, else nil.
func decodeStrictly(body []byte) *mapping.Group {
	g := new(mapping.Group)
	if json.Unmarshal(body, g) != nil || g.Version != webhookVersion || g.Alerts == nil {
		return nil
	}
	for i := range g.Alerts {
		if checkAlert(&g.Alerts[i]) != nil {
			return nil
		}
	}
	complete(g)
	return g
}

// complete fills in what g and its alerts leave out.
func complete(g *mapping.Group) {
	for i := range g.Alerts {
		a := &g.Alerts[i]
		if a.Labels == nil {
			a.Labels = template.KV{}
		}
		if a.Annotations == nil {
			a.Annotations = template.KV{}
		}
		if a.Fingerprint == "" {
			a.Fingerprint = fingerprint(a.Labels)
		}
	}
	for _, kv := range []*template.KV{&g.GroupLabels, &g.CommonLabels, &g.CommonAnnotations, &g.RouteLabels} {
		if *kv == nil {
			*kv = template.KV{}
		}
	}
}

// checkAlert completes a, and refuses what nobody could make sense of later.
func checkAlert(a *template.Alert) error {
	if a.Status != mapping.Firing && a.Status != mapping.Resolved {
		return errors.New(`status is neither "firing" nor "resolved"`)
	}
	// Without a start no two episodes of the alert can be told apart.
	if a.StartsAt.IsZero() {
		return errors.New("startsAt is missing; give the time at which the alert began to fire")
	}
	a.StartsAt, a.EndsAt = a.StartsAt.UTC(), a.EndsAt.UTC()
	// An offset can push a time out of the years that JSON can write again.
	if !writable(a.StartsAt) {
		return errors.New("startsAt is not between the years 0 and 9999 in UTC")
	}
	if !writable(a.EndsAt) {
		return errors.New("endsAt is not between the years 0 and 9999 in UTC")
	}
	if a.Labels == nil {
		a.Labels = template.KV{}
	}
	if a.Annotations == nil {
		a.Annotations = template.KV{}
	}
	if a.Fingerprint == "" {
		a.Fingerprint = fingerprint(a.Labels)
	}
	if !isFingerprint(a.Fingerprint) {
		return errors.New("fingerprint is not 16 hexadecimal digits; leave it out to have it computed from the labels")
	}
	return nil
}

func writable(t time.Time) bool { return t.Year() >= 0 && t.Year() <= 9999 }

// isFingerprint keeps the key of the outbox's index short and plain.
func isFingerprint(s string) bool {
	if len(s) != 16 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// fingerprint computes what Alertmanager would: FNV-1a over the sorted labels.
func fingerprint(labels template.KV) string {
	ls := make(model.LabelSet, len(labels))
	for k, v := range labels {
		ls[model.LabelName(k)] = model.LabelValue(v)
	}
	return ls.Fingerprint().String()
}

// precheck walks over the bytes once, before anything is decoded. It refuses an
// empty body, and more than maxAlerts elements in what is listDepth deep. plain says
// that it nests no deeper than maxDepth and has no second "alerts" in the outermost
// object: encoding/json would keep the last one only, and alerts would be lost
// silently. Whether it is JSON at all is for the decoder to say.
func precheck(body []byte, maxDepth, listDepth int) (plain bool, err error) {
	plain = true
	depth, lists, commas := 0, 0, 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			if depth++; depth > maxDepth {
				plain = false
			}
		case '}', ']':
			if depth--; depth == 0 {
				lists = 0 // what follows is another object, and not for here to judge.
			}
		case ',':
			if depth == listDepth {
				if commas++; commas >= maxAlerts {
					return false, fmt.Errorf("more than %d alerts; set max_alerts in Alertmanager's webhook_configs", maxAlerts)
				}
			}
		case '"':
			start := i + 1
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
			if depth == 1 && i < len(body) && i-start == len("alerts") && bytes.EqualFold(body[start:i], []byte("alerts")) && isKey(body[i+1:]) {
				if lists++; lists > 1 {
					plain = false
				}
			}
		}
	}
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return false, errors.New("the body is empty; send Alertmanager's webhook body")
	}
	return plain, nil
}

// isKey says whether a string was a key, given what follows it.
func isKey(rest []byte) bool {
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return len(rest) > 0 && rest[0] == ':'
}

// explain turns an error of encoding/json into a line that says where. It may
// decode parts again; only a refused body pays for that.
func explain(err error, body []byte) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		// Its own words hold a character of the body.
		return fmt.Errorf("not JSON at byte %d of %d; send Alertmanager's webhook body unchanged", syntax.Offset, len(body))
	}
	var shape struct {
		Alerts []json.RawMessage `json:"alerts"`
	}
	// An error here only means that the list is not there to look through.
	if json.Unmarshal(body, &shape) == nil {
		if err := explainAlerts("alerts", shape.Alerts); err != nil {
			return err
		}
	}
	return mismatchError(err)
}

// explainAlerts finds the alert that does not decode, and its field; nil if all do.
func explainAlerts(list string, alerts []json.RawMessage) error {
	for i, raw := range alerts {
		err := json.Unmarshal(raw, new(template.Alert))
		if err == nil {
			continue
		}
		if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			if mismatch.Field == "" {
				return fmt.Errorf("%s[%d] is not an object", list, i)
			}
			return fmt.Errorf("%s[%d].%w", list, i, mismatchError(err))
		}
		field := "startsAt"
		var times struct {
			StartsAt json.RawMessage `json:"startsAt"`
		}
		if json.Unmarshal(raw, &times) == nil && (times.StartsAt == nil || json.Unmarshal(times.StartsAt, new(time.Time)) == nil) {
			field = "endsAt"
		}
		return fmt.Errorf("%s[%d].%s is not a time; write it like 2006-01-02T15:04:05Z", list, i, field)
	}
	return nil
}

// mismatchError rewords a type error without the value, which may be long.
func mismatchError(err error) error {
	mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return errors.New("a field cannot be read; send Alertmanager's webhook body unchanged")
	}
	found, _, _ := strings.Cut(mismatch.Value, " ")
	wanted := "another type"
	switch mismatch.Type.Kind() { //nolint:exhaustive // the kinds that the webhook's types have.
	case reflect.String:
		wanted = "a string"
	case reflect.Map, reflect.Struct:
		wanted = "an object"
	case reflect.Slice:
		wanted = "a list"
	case reflect.Uint64:
		wanted = "a whole number that is not negative"
	}
	return fmt.Errorf("%s is of JSON type %s where %s is wanted", fieldName(mismatch), found, wanted)
}

// fieldName is the outermost field of a mismatch, as it is written in JSON.
func fieldName(mismatch *json.UnmarshalTypeError) string {
	name, rest, nested := strings.Cut(mismatch.Field, ".")
	// Go puts the embedded struct's name first.
	if nested && name == "Data" {
		name, _, _ = strings.Cut(rest, ".")
	}
	return name
}
