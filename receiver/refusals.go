package receiver

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Of each code of an answer, this much is logged: who makes a first mistake finds it
// there, and who makes a thousand a second fills no disk. The metrics count all.
const (
	refusalsLogged   = 10 // at once, ...
	refusalsLogEvery = time.Minute
)

// refusals says which refused requests are logged. The zero value is ready.
type refusals struct {
	mu    sync.Mutex
	codes map[int]*refusal // of HTTP: the door answers with a handful.
}

type refusal struct {
	limit    *rate.Limiter
	unlogged int
}

// next counts a refusal, and says whether to log it and how many before it were not.
func (r *refusals) next(code int, now time.Time) (unlogged int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.codes == nil {
		r.codes = map[int]*refusal{}
	}
	c := r.codes[code]
	if c == nil {
		c = &refusal{limit: rate.NewLimiter(rate.Every(refusalsLogEvery), refusalsLogged)}
		r.codes[code] = c
	}
	if !c.limit.AllowN(now, 1) {
		c.unlogged++
		return 0, false
	}
	unlogged, c.unlogged = c.unlogged, 0
	return unlogged, true
}
