package pagerduty

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// classifyREST says what an answer of the REST API other than 200 means.
func (e *StatusError) classifyREST(now time.Time, known secrets) Answer {
	a := Answer{Kind: Refused, Code: e.Code}
	switch {
	case e.Code == http.StatusTooManyRequests:
		a.Kind, a.RetryAfter = Throttled, retryAfter(e.Header, now, true)
	case e.Code >= 500:
		a.Kind, a.RetryAfter = Failed, retryAfter(e.Header, now, false)
	}
	words := restWords(e.Body)
	if words == "" {
		words = e.words()
	}
	a.Message = strings.TrimSpace(fmt.Sprintf("%d %s", e.Code, http.StatusText(e.Code)))
	if words != "" {
		a.Message += ": " + words
	}
	a.Message = known.line(a.Message)
	return a
}

// restWords is what the body of a refusal says. PagerDuty's error is an object or a
// list of texts, and its errors are a list, one text, or (v3) lists by field.
func restWords(body []byte) string {
	var answer struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Error) == 0 {
		return ""
	}
	var fault struct {
		Message string          `json:"message"`
		Code    int             `json:"code"`
		Errors  json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(answer.Error, &fault) != nil {
		return texts(answer.Error)
	}
	parts := []string{fault.Message}
	if fault.Code != 0 {
		parts[0] = strings.TrimSpace(fmt.Sprintf("%s (code %d)", fault.Message, fault.Code))
	}
	parts = append(parts, texts(fault.Errors))
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}

func texts(data json.RawMessage) string {
	var one string
	var list []string
	var fields map[string][]string
	switch {
	case json.Unmarshal(data, &one) == nil:
		return one
	case json.Unmarshal(data, &list) == nil:
		return strings.Join(list, "; ")
	case json.Unmarshal(data, &fields) == nil:
		for field, faults := range fields {
			list = append(list, field+" "+strings.Join(faults, ", "))
		}
		slices.SortFunc(list, cmp.Compare[string])
		return strings.Join(list, "; ")
	}
	return ""
}
