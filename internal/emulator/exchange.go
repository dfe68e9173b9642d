package emulator

import (
	"context"
	"encoding/json"
	"net/http"
)

// exchange is a request that is ready to be answered, and the rule that acts on it.
type exchange struct {
	fault    Fault
	released <-chan struct{}         // closed when the rules change.
	process  func() answer           // does what is asked, and notes it.
	faulted  func(a answer) answer   // notes what the rule did instead.
	failure  func(status int) []byte // the body of an error of the API.
}

// exchange answers as the rule says.
func (e *Emulator) exchange(w http.ResponseWriter, r *http.Request, x exchange) {
	switch x.fault.Do {
	case DoReset:
		x.faulted(answer{})
		hangUp(w)
	case DoHang:
		x.faulted(answer{})
		hang(r.Context(), x.released)
		hangUp(w)
	case DoAnswer:
		x.faulted(x.fault.answer(x.failure)).write(w)
	case DoAnswerLost:
		x.process()
		hangUp(w)
	case DoAnswerHang:
		x.process()
		hang(r.Context(), x.released)
		hangUp(w)
	case DoDelay, DoLate, DoDrop:
		x.process().write(w)
	}
}

func hang(ctx context.Context, released <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-released:
	}
}

// answer is what a DoAnswer rule says; failure makes the body where it says none.
func (f *Fault) answer(failure func(status int) []byte) answer {
	a := answer{status: f.Status, body: []byte(f.Body), header: http.Header{}}
	if f.Body == "" {
		a.body = failure(f.Status)
	} else {
		a.contentType = http.DetectContentType(a.body)
		if json.Valid(a.body) {
			a.contentType = "application/json"
		}
	}
	for name, value := range f.Headers {
		a.header.Set(name, value)
	}
	return a
}
