package receiver

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/pagerelay/pagerelay/mapping"
)

// maxPooled bounds what an idle buffer may hold on to: an ordinary webhook is a
// few KiB, and one of 16 MiB should not stay in memory after it is done.
const maxPooled = 1 << 20

// answer is what a request is told.
type answer struct {
	code int
	line string // one line, without secret or alert text: Alertmanager logs it.

	reason     string        // of a 503: why, for the metric.
	retryAfter time.Duration // of a 503.
	allow      string        // of a 405.
	challenge  string        // of a 401 or 403: WWW-Authenticate.
	refused    string        // of a refused body: the reason for OnTruncated.
}

// unavailable is the answer to everything temporary.
func unavailable(reason, line string) answer {
	return answer{code: http.StatusServiceUnavailable, line: line, reason: reason, retryAfter: time.Second}
}

// malformed is the answer to a body that no retry will make better.
func malformed(line string) answer {
	return answer{code: http.StatusBadRequest, line: line, refused: ReasonMalformed}
}

// webhook is POST /webhook/alertmanager.
func (r *Receiver) webhook(w http.ResponseWriter, req *http.Request) {
	start := time.Now()
	var g *mapping.Group
	p, who, a := r.admit(req)
	if a.code == 0 {
		var release func()
		release, a = r.budget.acquire(req)
		defer release()
	}
	if a.code == 0 {
		g, a = readBody(r, w, req, decode)
	}
	if a.code == 0 {
		a = r.store(req.Context(), p, g)
	}
	r.metrics.webhook(a, time.Since(start))
	r.finish(w, req, who, a, false, g)
}

// readBody reads a body within the limits and decodes it.
func readBody[T any](r *Receiver, w http.ResponseWriter, req *http.Request, decode func([]byte, int) (T, error)) (T, answer) {
	var none T
	// Alertmanager never compresses, and a small compressed body can hold a huge one.
	if enc := req.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return none, malformed("compressed bodies are not understood; send without Content-Encoding")
	}
	tooLarge := answer{
		code:    http.StatusRequestEntityTooLarge,
		line:    "body over the limit of " + strconv.FormatInt(r.cfg.MaxBody, 10) + " bytes; set max_alerts in Alertmanager's webhook_configs, or raise --web.max-body-size",
		refused: ReasonTooLarge,
	}
	if req.ContentLength > r.cfg.MaxBody {
		return none, tooLarge
	}
	buf, ok := r.buffers.Get().(*bytes.Buffer)
	if !ok {
		buf = new(bytes.Buffer)
	}
	defer func() {
		if buf.Cap() <= maxPooled {
			buf.Reset()
			r.buffers.Put(buf)
		}
	}()
	if _, err := buf.ReadFrom(http.MaxBytesReader(w, req.Body, r.cfg.MaxBody)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return none, tooLarge
		}
		// The line broke or was too slow; what would have come may be fine.
		return none, unavailable(deferCanceled, "the body did not arrive whole; send again")
	}
	r.metrics.bodyBytes.Observe(float64(buf.Len()))
	v, err := decode(buf.Bytes(), r.cfg.MaxDepth)
	if err != nil {
		return none, malformed(err.Error())
	}
	return v, answer{}
}

// finish sends the answer, and then tells whoever wants to know.
func (r *Receiver) finish(w http.ResponseWriter, req *http.Request, who caller, a answer, asJSON bool, groups ...*mapping.Group) {
	a.write(w, asJSON)
	if a.code != http.StatusOK && a.code != http.StatusServiceUnavailable {
		if unlogged, ok := r.refusals.next(a.code, time.Now()); ok {
			r.cfg.Logger.Warn("request refused", "path", req.URL.Path, "code", a.code, "reason", a.line, "remote", req.RemoteAddr, "token", who.name,
				"unlogged", unlogged)
		}
	}
	if a.refused != "" {
		r.cfg.OnTruncated(a.refused)
	}
	if who.audit {
		// The answer leaves first: a slow audit disk must not make Alertmanager
		// send the group again.
		_ = http.NewResponseController(w).Flush()
		r.writeAudit(req, who, a.code, groups)
	}
}

// write sends a. As JSON it is a string, which is how Alertmanager's API reports errors.
func (a answer) write(w http.ResponseWriter, asJSON bool) {
	h := w.Header()
	body, contentType := []byte(a.line), "text/plain; charset=utf-8"
	if asJSON && a.code != http.StatusOK {
		// A string always marshals.
		body, _ = json.Marshal(a.line)
		contentType = "application/json"
	}
	if len(body) > 0 {
		h.Set("Content-Type", contentType)
		h.Set("X-Content-Type-Options", "nosniff")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if a.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(a.retryAfter.Seconds()))))
	}
	if a.allow != "" {
		h.Set("Allow", a.allow)
	}
	if a.challenge != "" {
		h.Set("WWW-Authenticate", a.challenge)
	}
	w.WriteHeader(a.code)
	// The caller may be gone; there is nobody left to tell.
	_, _ = io.Copy(w, bytes.NewReader(body))
}
