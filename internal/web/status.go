package web

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/version"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

//go:embed status.html
var statusPage string

// status is the page at /: how many incidents are in which state, what waits
// longest, and where else to look. It shows no alert text: it needs no token.
func (h *Handler) status(w http.ResponseWriter, req *http.Request) {
	type count struct {
		Status string
		N      int
	}
	page := struct {
		Version, Revision string
		NotReady          error
		Notices           []Notice
		Bad               bool // pages are at risk.
		Counts            []count
		Waits             []oldest
	}{Version: version.Version, Revision: version.Revision, NotReady: h.cfg.Ready(req.Context()), Notices: h.cfg.Notices()}
	var counts map[string]int
	counts, page.Waits = h.tally(time.Now())
	if len(page.Waits) > 0 && page.Waits[0].Bad {
		page.Notices = append(page.Notices, Notice{CostsPages, page.Waits[0].String()})
		page.Waits = page.Waits[1:]
	}
	sortNotices(page.Notices)
	page.Bad = page.NotReady != nil || (len(page.Notices) > 0 && page.Notices[0].Level == CostsPages)

	for _, s := range incident.Statuses() {
		page.Counts = append(page.Counts, count{s, counts[s]})
	}
	t, err := template.New("status").Parse(statusPage)
	var buf bytes.Buffer
	if err == nil {
		err = t.Execute(&buf, page)
	}
	if err != nil {
		h.cfg.Logger.Error("Making the status page failed", "err", err)
		text(w, http.StatusInternalServerError, "The page could not be made; the log says why.")
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	_, _ = w.Write(buf.Bytes()) // the caller may be gone; there is nobody left to tell.
}

// waitsLong is how old an undelivered high-urgency page must be to be one at risk.
const waitsLong = 10 * time.Second

// maxAnswer bounds what the page shows of an answer, in characters.
const maxAnswer = 200

// oldest is what has waited longest to be delivered, of one kind.
type oldest struct {
	What, Service, Answer string
	Age                   model.Duration
	Bad                   bool
}

func (o oldest) String() string {
	text := fmt.Sprintf("Oldest undelivered %s: %s (service %s).", o.What, o.Age, o.Service)
	if o.Answer != "" {
		text += " Last answer: " + oneline.Short(o.Answer, maxAnswer)
	}
	return text
}

// tally counts the incidents by status, and finds the oldest page that is not
// delivered, and the oldest of what is no page.
func (h *Handler) tally(now time.Time) (map[string]int, []oldest) {
	counts := map[string]int{}
	var page, other *incident.Incident
	for _, in := range h.outbox.List() {
		counts[in.Status()]++
		if in.PendingSince.IsZero() {
			continue
		}
		first := &other
		if in.Firing() > 0 && in.Urgency.Opens() {
			first = &page
		}
		if *first == nil || in.PendingSince.Before((*first).PendingSince) {
			*first = in
		}
	}
	var list []oldest
	for _, w := range []struct {
		what string
		in   *incident.Incident
	}{{"page", page}, {"resolve or change event", other}} {
		if w.in == nil || now.Sub(w.in.PendingSince) < time.Second {
			continue
		}
		age := now.Sub(w.in.PendingSince).Truncate(time.Second)
		list = append(list, oldest{
			What: w.what, Service: w.in.Service, Answer: w.in.LastOutcome(), Age: model.Duration(age),
			Bad: w.in == page && w.in.Urgency.First() && age >= waitsLong,
		})
	}
	return counts, list
}
