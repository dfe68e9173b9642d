package receiver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

// complete fills in the list and the maps that g leaves out.
func complete(g *mapping.Group) {
	if g.Alerts == nil {
		g.Alerts = template.Alerts{}
	}
	for _, kv := range []*template.KV{&g.GroupLabels, &g.CommonLabels, &g.CommonAnnotations, &g.RouteLabels} {
		if *kv == nil {
			*kv = template.KV{}
		}
	}
}

// completeAlert fills in what a leaves out.
func completeAlert(a *template.Alert) {
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
	completeAlert(a)
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
			i = endOfString(body, i)
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

// endOfString is where the string that begins at a quote ends, or beyond the end of b.
func endOfString(b []byte, quote int) int {
	i := quote + 1
	for ; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i
}

// notJSON says where a body ends to be JSON.
func notJSON(at int64, body []byte) error {
	return fmt.Errorf("not JSON at byte %d of %d; send Alertmanager's webhook body unchanged", at, len(body))
}
