package emulator

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"time"
)

//go:embed page.html
var pageText string

// pageIncidents is how many of the newest incidents the page shows.
const pageIncidents = 200

type pageData struct {
	Counts    Counts
	Faults    []Fault
	Open      int
	Total     int
	Incidents []Incident // newest first, open before resolved.
}

// page is for people to look at: no scripts, and every text of an event escaped
// by html/template.
func (e *Emulator) page(w http.ResponseWriter, _ *http.Request) {
	all := e.Incidents()
	d := pageData{Counts: e.Counts(), Faults: e.Faults(), Total: len(all)}
	slices.SortStableFunc(all, func(a, b Incident) int {
		if a.Open() != b.Open() {
			if a.Open() {
				return -1
			}
			return 1
		}
		return b.Number - a.Number
	})
	for _, i := range all {
		if i.Open() {
			d.Open++
		}
	}
	d.Incidents = all[:min(len(all), pageIncidents)]

	t := template.Must(template.New("page").Funcs(template.FuncMap{
		"clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	}).Parse(pageText))
	var buf bytes.Buffer
	if err := t.Execute(&buf, d); err != nil {
		adminError(w, http.StatusInternalServerError, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(buf.Bytes()) // a client that left does not need it.
}
