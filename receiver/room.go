package receiver

import (
	"io"
	"net/http"

	"golang.org/x/sync/semaphore"
)

// What bodies may hold of memory at once. A body takes its length from when it
// begins to be read until it is answered; what is made of it takes several times
// as much. Small ones, and an ordinary webhook has a few KiB, have room of their
// own, so that large or slow ones never stand in their way.
const (
	smallBody = 256 << 10 // bytes, at most.
	smallRoom = 64 << 20  // bytes for all small bodies; all others share Config.MaxBody.
)

// room is where bodies are counted.
type room struct {
	small, large *semaphore.Weighted
	most         int64 // what a body of unknown length takes.
}

func newRoom(maxBody int64) room {
	return room{
		small: semaphore.NewWeighted(smallRoom), large: semaphore.NewWeighted(maxBody), most: maxBody,
	}
}

// enter takes room for the body of a request, or answers 503 without keeping it:
// to wait for room would only fill the memory with connections. leave gives the
// room back; it is never nil.
func (r *Receiver) enter(req *http.Request) (leave func(), a answer) {
	n := req.ContentLength
	if n > r.room.most {
		return func() {}, answer{} // it is refused unread.
	}
	if n < 0 {
		n = r.room.most // chunked: nobody knows.
	}
	in := r.room.small
	if n > smallBody {
		in = r.room.large
	}
	if !in.TryAcquire(n) {
		// Who is still sending would see a reset connection in place of the answer.
		_, _ = io.Copy(io.Discard, io.LimitReader(req.Body, n)) // whatever comes of it.
		return func() {}, unavailable(deferBusy, "too many large bodies at once; send again")
	}
	return func() { in.Release(n) }, answer{}
}
