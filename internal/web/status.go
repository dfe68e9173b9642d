package web

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"time"

	"github.com/prometheus/common/version"

	"github.com/pagerelay/pagerelay/internal/incident"
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
		Oldest            time.Duration
		OldestService     string
		OldestAnswer      string
	}{Version: version.Version, Revision: version.Revision, NotReady: h.cfg.Ready(req.Context()), Notices: h.cfg.Notices()}
	sortNotices(page.Notices)
	page.Bad = page.NotReady != nil || (len(page.Notices) > 0 && page.Notices[0].Level == CostsPages)

	counts := map[string]int{}
	now := time.Now()
	for _, in := range h.outbox.List() {
		counts[in.Status()]++
		if in.PendingSince.IsZero() {
			continue
		}
		if age := now.Sub(in.PendingSince).Round(time.Second); age > page.Oldest {
			page.Oldest, page.OldestService, page.OldestAnswer = age, in.Service, in.LastOutcome()
		}
	}
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
