package receiver

import (
	"io"
	"net/http"

	"golang.org/x/sync/semaphore"
)

// What bodies may hold of memory at once. A body takes its length from when it
// begins to be read until it is answered; what is made of it takes several times
// as much. Small ones, and an ordinary webhook has a few KiB, have a budget of
// their own, so that large or slow ones never stand in their way.
const (
	smallBody   = 256 << 10 // bytes, at most.
	smallBudget = 64 << 20  // bytes for all small bodies; all others share Config.MaxBody.
)

// bodyBudget is the memory, in bytes, that bodies may hold at once.
type bodyBudget struct {
	small, large *semaphore.Weighted
	most         int64 // what a body of unknown length takes.
}

func newBodyBudget(maxBody int64) bodyBudget {
	return bodyBudget{
		small: semaphore.NewWeighted(smallBudget), large: semaphore.NewWeighted(maxBody), most: maxBody,
	}
}

// acquire takes the length of a request's body from the budget, or answers 503
// without keeping the body: to wait would only fill the memory with connections.
// release gives it back; it is never nil.
func (b *bodyBudget) acquire(req *http.Request) (release func(), a answer) {
	n := req.ContentLength
	if n > b.most {
		return func() {}, answer{} // it is refused unread.
	}
	if n < 0 {
		n = b.most // chunked: nobody knows.
	}
	budget := b.small
	if n > smallBody {
		budget = b.large
	}
	if !budget.TryAcquire(n) {
		// Who is still sending would see a reset connection in place of the answer.
		_, _ = io.Copy(io.Discard, io.LimitReader(req.Body, n)) // whatever comes of it.
		return func() {}, unavailable(deferBusy, "too many large bodies at once; send again")
	}
	return func() { budget.Release(n) }, answer{}
}
