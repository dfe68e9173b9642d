package emulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxSummary  = 1024 // characters (Events API v2, "Send an alert event").
	maxDedupKey = 255  // characters (the same).
	keyLength   = 32
)

// event is a decoded body of either endpoint.
type event struct {
	routingKey string
	action     string // empty for a change event.
	dedupKey   string
	severity   string
	summary    string
	source     string
	detail     Detail
}

// Detail is what an alert or change event says beyond its summary, as it was sent.
type Detail struct {
	Timestamp     string          `json:"timestamp,omitempty"`
	Component     string          `json:"component,omitempty"`
	Group         string          `json:"group,omitempty"`
	Class         string          `json:"class,omitempty"`
	Client        string          `json:"client,omitempty"`
	ClientURL     string          `json:"client_url,omitempty"`
	CustomDetails json.RawMessage `json:"custom_details,omitempty"`
	Links         []Link          `json:"links,omitempty"`
	Images        []Image         `json:"images,omitempty"`
}

// Link is a link of an event.
type Link struct {
	Href string `json:"href"`
	Text string `json:"text,omitempty"`
}

// Image is an image of an event.
type Image struct {
	Src  string `json:"src"`
	Href string `json:"href,omitempty"`
	Alt  string `json:"alt,omitempty"`
}

// object is a JSON object whose field names are matched exactly; the struct
// decoder of encoding/json would take Routing_Key for routing_key.
type object map[string]json.RawMessage

// decoder collects PagerDuty's validation messages. Those for the routing key,
// the severity, the summary's length and a blank source are as third parties
// recorded them; the others follow their pattern.
type decoder struct{ errs []string }

func (d *decoder) fail(format string, args ...any) {
	d.errs = append(d.errs, fmt.Sprintf(format, args...))
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func (d *decoder) str(o object, field, path string) string {
	raw := o[field]
	if absent(raw) {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		d.fail("'%s' is invalid (must be a string)", path)
	}
	return s
}

func (d *decoder) required(o object, field, path string) string {
	n := len(d.errs)
	s := d.str(o, field, path)
	if len(d.errs) == n && strings.TrimSpace(s) == "" {
		d.fail("'%s' is missing or blank", path)
	}
	return s
}

func (d *decoder) enum(o object, field, path string, allowed ...string) string {
	n := len(d.errs)
	s := d.required(o, field, path)
	if len(d.errs) == n && !slices.Contains(allowed, s) {
		last := len(allowed) - 1
		d.fail("'%s' is invalid (must be one of the following: '%s' or '%s')",
			path, strings.Join(allowed[:last], "', '"), allowed[last])
	}
	return s
}

// parse splits a body into its fields. It is false when the body is not one
// JSON object in UTF-8.
func parse(body []byte) (object, bool) {
	var o object
	if !utf8.Valid(body) || json.Unmarshal(body, &o) != nil || o == nil {
		return nil, false
	}
	return o, true
}

// decode reads the event of a body, and says everything that PagerDuty would
// find wrong with it; change chooses the endpoint.
func decode(o object, change bool) (event, []string) {
	var d decoder
	var e event
	e.routingKey = d.required(o, "routing_key", "routing_key")
	if e.routingKey != "" {
		if utf8.RuneCountInString(e.routingKey) != keyLength {
			d.fail("Length of 'routing_key' is incorrect (should be 32 characters)")
		}
		if strings.Trim(e.routingKey, alphanumerics) != "" {
			d.fail("'routing_key' cannot contain non-alphanumeric characters.")
		}
	}
	if !change {
		e.action = d.enum(o, "event_action", "event_action", actionTrigger, actionAcknowledge, actionResolve)
		if e.action == actionAcknowledge || e.action == actionResolve {
			e.dedupKey = d.required(o, "dedup_key", "dedup_key")
		} else {
			e.dedupKey = d.str(o, "dedup_key", "dedup_key")
		}
		if utf8.RuneCountInString(e.dedupKey) > maxDedupKey {
			d.fail("'dedup_key' is too long (maximum is %d characters)", maxDedupKey)
		}
		e.detail.Client = d.str(o, "client", "client")
		e.detail.ClientURL = d.str(o, "client_url", "client_url")
	}
	d.payload(&e, o["payload"], change)
	d.attachments(&e, o)
	return e, d.errs
}

// payload checks the payload of a trigger or change event, where it is needed,
// and that of an acknowledge or resolve if there is one: the published schema
// makes no difference between them.
func (d *decoder) payload(e *event, raw json.RawMessage, change bool) {
	if absent(raw) {
		if change || e.action == actionTrigger {
			d.fail("'payload' is missing or blank")
		}
		return
	}
	var p object
	if json.Unmarshal(raw, &p) != nil {
		d.fail("'payload' is invalid (must be an object)")
		return
	}
	e.summary = d.required(p, "summary", "payload.summary")
	if utf8.RuneCountInString(e.summary) > maxSummary {
		// The spelling is PagerDuty's.
		d.fail("'summary' is too long (maiximum is %d characters)", maxSummary)
	}
	if change {
		e.source = d.str(p, "source", "payload.source")
	} else {
		e.source = d.required(p, "source", "payload.source")
		e.severity = d.enum(p, "severity", "payload.severity", severityCritical, severityWarning, severityError, severityInfo)
		e.detail.Component = d.str(p, "component", "payload.component")
		e.detail.Group = d.str(p, "group", "payload.group")
		e.detail.Class = d.str(p, "class", "payload.class")
	}
	e.detail.Timestamp = d.str(p, "timestamp", "payload.timestamp")
	if e.detail.Timestamp != "" && !isTimestamp(e.detail.Timestamp) {
		d.fail("'payload.timestamp' is invalid (must be an ISO 8601 date and time)")
	}
	if details := p["custom_details"]; !absent(details) {
		if details[0] != '{' {
			d.fail("'payload.custom_details' is invalid (must be an object)")
		} else {
			e.detail.CustomDetails = details
		}
	}
}

// isTimestamp takes what PagerDuty's own examples use, besides RFC 3339: a zone
// without its colon, and none.
func isTimestamp(s string) bool {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}

func (d *decoder) attachments(e *event, o object) {
	for i, l := range d.objects(o, "links") {
		path := fmt.Sprintf("links[%d].", i)
		e.detail.Links = append(e.detail.Links, Link{
			Href: d.required(l, "href", path+"href"),
			Text: d.str(l, "text", path+"text"),
		})
	}
	for i, m := range d.objects(o, "images") {
		path := fmt.Sprintf("images[%d].", i)
		e.detail.Images = append(e.detail.Images, Image{
			Src:  d.required(m, "src", path+"src"),
			Href: d.str(m, "href", path+"href"),
			Alt:  d.str(m, "alt", path+"alt"),
		})
	}
}

func (d *decoder) objects(o object, field string) []object {
	if absent(o[field]) {
		return nil
	}
	var list []object
	if json.Unmarshal(o[field], &list) != nil {
		d.fail("'%s' is invalid (must be an array of objects)", field)
	}
	return list
}
