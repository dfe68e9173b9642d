package emulator

import (
	"fmt"
	"net/http"
)

// restError is an answer of REST that is not what was asked for.
type restError struct {
	status, code int // no code: PagerDuty's number for it is not established.
	message      string
	errors       []string
	byField      bool // errors are a map from fields to lists: V3ErrorResponse of the REST specification.
}

// Error is error's.
func (r *restError) Error() string { return fmt.Sprintf("%d %s %q", r.status, r.message, r.errors) }

func (r *restError) body() []byte {
	v := map[string]any{"message": r.message}
	if r.code != 0 {
		v["code"] = r.code
	}
	switch {
	case r.byField:
		v["errors"] = map[string][]string{"schedule": r.errors}
	case len(r.errors) > 0:
		v["errors"] = r.errors
	}
	return encode(map[string]any{"error": v})
}

func (r *restError) answer() answer { return answer{status: r.status, body: r.body()} }

func errInvalid(format string, args ...any) *restError {
	return &restError{
		status: http.StatusBadRequest, code: 2001, message: "Invalid Input Provided",
		errors: []string{fmt.Sprintf(format, args...)},
	}
}

func errNotFound() *restError {
	return &restError{status: http.StatusNotFound, code: 2100, message: "Not Found"}
}

func errThrottled() *restError {
	return &restError{status: http.StatusTooManyRequests, code: 2020, message: "Rate Limit Exceeded"}
}

func errUnauthorized() *restError {
	return &restError{status: http.StatusUnauthorized, message: "Unauthorized"}
}

func errForbidden() *restError {
	return &restError{status: http.StatusForbidden, message: "Access Denied"}
}

func errPlan() *restError {
	return &restError{status: http.StatusPaymentRequired, message: "Account does not have the abilities to perform the action"}
}
