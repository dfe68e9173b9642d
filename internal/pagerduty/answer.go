package pagerduty

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxBody    = 4 << 10 // bytes of an answer that are kept.
	maxMessage = 300     // characters of an Answer's message.
	// maxRetryAfter is the longest wait that is believed. PagerDuty's window is
	// 60 s and its advice "a few minutes" (Events API v2, "Rate Limits").
	maxRetryAfter = time.Hour
)

// StatusError is any answer that is not an acceptance. What the client puts
// into it is free of the secrets that the client knows of.
type StatusError struct {
	Code   int         // the HTTP status.
	Header http.Header // as received.
	Body   []byte      // at most 4 KiB of it.

	// answer is made before secrets are taken out of Body: a routing key as
	// short as "key" would otherwise tear the words that Classify looks for.
	answer *Answer
}

func newStatusError(resp *http.Response, body []byte, known secrets, now time.Time) *StatusError {
	return statusError(resp, body, known, func(e *StatusError) Answer { return e.classify(now, known) })
}

// statusError makes the error of an answer that classify understands.
func statusError(resp *http.Response, body []byte, known secrets, classify func(*StatusError) Answer) *StatusError {
	cut := len(body) > maxBody
	whole := body
	if cut {
		whole = body[:maxBody]
	}
	e := &StatusError{Code: resp.StatusCode, Header: resp.Header, Body: whole}
	answer := classify(e)

	header := make(http.Header, len(resp.Header))
	for name, values := range resp.Header {
		for _, v := range values {
			header.Add(known.redact(name), known.redact(v))
		}
	}
	text := []byte(known.redact(string(body)))
	if cut {
		// The end may hold a part of a secret.
		text = text[:max(0, len(text)-known.longest())]
	}
	return &StatusError{Code: e.Code, Header: header, Body: text[:min(len(text), maxBody)], answer: &answer}
}

func (e *StatusError) Error() string { return Classify(e).Message }

// Temporary says whether the same event may be accepted later. It is false
// where only a change of the event or of its routing key helps.
func (e *StatusError) Temporary() bool {
	switch Classify(e).Kind {
	case Refused, BadKey, TooLarge:
		return false
	case Accepted, Throttled, Failed, Unsent, Ambiguous:
	}
	return true
}

// Kind is what an outcome means to the sender. The set is closed: it is a metric's label.
type Kind string

// The kinds.
const (
	Accepted  Kind = "accepted"  // 202 with a JSON status.
	Refused   Kind = "refused"   // PagerDuty's own 400: this event will never be accepted as it is.
	BadKey    Kind = "bad_key"   // PagerDuty's own 400 about the routing key: a fault of the lane, not of the event.
	TooLarge  Kind = "too_large" // 413.
	Throttled Kind = "throttled" // 429: not ingested.
	Failed    Kind = "failed"    // 5xx, and what a proxy answers in PagerDuty's place: temporary; the event may have been applied.
	Unsent    Kind = "unsent"    // no byte of the request left (dial, TLS, proxy connect): not applied.
	Ambiguous Kind = "ambiguous" // a time-out or reset after the request began to leave: may have been applied.
)

// Answer is a classified outcome.
type Answer struct {
	Kind Kind
	// RetryAfter is what Retry-After (of a 429 or 503) or ratelimit-reset (of a
	// 429) asked for; 0 if neither did. What is not above 0 and at most an hour
	// is not believed and counts as absent.
	RetryAfter time.Duration
	// Message is one line for people, of at most 300 characters: the status and
	// PagerDuty's own words, no secret.
	Message string
	Code    int // HTTP status; 0 without an answer.
}

// Classify says what an error of Enqueue or EnqueueChange means; nil is
// Accepted. An error of unknown origin is Ambiguous.
func Classify(err error) Answer {
	if err == nil {
		return Answer{Kind: Accepted, Message: "accepted", Code: http.StatusAccepted}
	}
	if se := (*StatusError)(nil); errors.As(err, &se) {
		if se.answer != nil {
			return *se.answer
		}
		return se.classify(time.Time{}, secrets{})
	}
	answer := Answer{Kind: Ambiguous, Message: secrets{}.line(err.Error())}
	if te := (*transportError)(nil); errors.As(err, &te) && !te.sent {
		answer.Kind = Unsent
	}
	if ee := (*encodeError)(nil); errors.As(err, &ee) {
		answer.Kind = Refused // it will be as unfit the next time.
	}
	return answer
}

// classify is Classify for an answer received at now, which may be zero.
func (e *StatusError) classify(now time.Time, known secrets) Answer {
	a := Answer{Kind: Failed, Code: e.Code}
	words, foreign := "", true
	switch e.Code {
	case http.StatusBadRequest:
		if fault, ok := parseFault(e.Body); ok {
			a.Kind, words, foreign = Refused, fault.words(), false
			if fault.ofKey() {
				a.Kind = BadKey
			}
		}
	case http.StatusRequestEntityTooLarge:
		a.Kind, foreign = TooLarge, false
	case http.StatusTooManyRequests:
		a.Kind, foreign = Throttled, false
		a.RetryAfter = retryAfter(e.Header, now, true)
	case http.StatusServiceUnavailable:
		a.RetryAfter = retryAfter(e.Header, now, false)
	}
	if e.Code >= 500 {
		foreign = false
	}
	if words == "" {
		words = e.words()
	}
	status := strings.TrimSpace(fmt.Sprintf("%d %s", e.Code, http.StatusText(e.Code)))
	if foreign {
		status += ", not PagerDuty's form of answer"
	}
	if words != "" {
		status += ": " + words
	}
	a.Message = known.line(status)
	return a
}

// words is what a body of unknown origin says; an HTML page is only named.
func (e *StatusError) words() string {
	if fault, ok := parseObject(e.Body); ok {
		return fault.words()
	}
	text := strings.TrimSpace(string(e.Body))
	kind, _, _ := mime.ParseMediaType(e.Header.Get("Content-Type"))
	if kind == "text/html" || strings.HasPrefix(text, "<") {
		return "a page of HTML"
	}
	return text
}

// accepted says whether the body of a 202 is PagerDuty's: a JSON object with a
// status, the one field that PagerDuty's specification requires.
func accepted(body []byte) bool {
	var answer struct {
		Status string `json:"status"`
	}
	return json.Unmarshal(body, &answer) == nil && answer.Status != ""
}

// fault is the body of a refusal.
type fault struct {
	Status  string    `json:"status"`
	Message string    `json:"message"`
	Errors  faultList `json:"errors"`
}

// faultList is a list of texts, or, as the REST API has been seen to send, one text.
type faultList []string

// UnmarshalJSON takes both forms.
func (l *faultList) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		if one != "" {
			*l = faultList{one}
		}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(l))
}

func parseObject(body []byte) (fault, bool) {
	var f fault
	err := json.Unmarshal(body, &f)
	return f, err == nil && (f.Status != "" || f.Message != "" || len(f.Errors) > 0)
}

// invalidKey is what PagerDuty answers, as plain text, to a well-formed key that it does not know.
const invalidKey = "invalid routing key"

// parseFault reads the body of a 400 and says whether PagerDuty wrote it.
func parseFault(body []byte) (fault, bool) {
	if f, ok := parseObject(body); ok {
		return f, strings.EqualFold(f.Status, "invalid event") || len(f.Errors) > 0 || f.ofKey()
	}
	text := strings.Trim(string(body), " \t\r\n\"")
	return fault{Message: text}, strings.HasPrefix(strings.ToLower(text), invalidKey)
}

// ofKey says whether the routing key is what PagerDuty objects to. Only an
// error whose first quoted name is routing_key counts: a later one may be text
// that came with the alert.
func (f fault) ofKey() bool {
	if strings.HasPrefix(strings.ToLower(f.Message), invalidKey) {
		return true
	}
	for _, e := range f.Errors {
		e = strings.ToLower(e)
		if strings.HasPrefix(e, invalidKey) || strings.HasPrefix(e, "routing_key") {
			return true
		}
		if parts := strings.SplitN(e, "'", 3); len(parts) == 3 && parts[1] == "routing_key" {
			return true
		}
	}
	return false
}

func (f fault) words() string {
	parts := []string{f.Message, strings.Join(f.Errors, "; ")}
	if f.Message == "" {
		parts[0] = f.Status
	}
	if parts[0] == "" || parts[1] == "" {
		return parts[0] + parts[1]
	}
	return parts[0] + ": " + parts[1]
}

// retryAfter is the wait that a header asks for; 0 if none does in a way that
// can be believed. A date is compared with the answer's own, so that a wrong
// clock here does no harm, or with now.
func retryAfter(h http.Header, now time.Time, withReset bool) time.Duration {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	value := strings.TrimSpace(h.Get("Retry-After"))
	if d := seconds(value); d > 0 {
		return d
	}
	if at, err := http.ParseTime(value); err == nil && !now.IsZero() {
		if d := at.Sub(now); d > 0 && d <= maxRetryAfter {
			return d
		}
	}
	if withReset {
		return seconds(strings.TrimSpace(h.Get("Ratelimit-Reset")))
	}
	return 0
}

func seconds(s string) time.Duration {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n > int64(maxRetryAfter/time.Second) {
		return 0
	}
	return time.Duration(n) * time.Second
}
