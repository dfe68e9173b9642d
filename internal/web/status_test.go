package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/web"
	"github.com/pagerelay/pagerelay/mapping"
)

// What costs pages is red and on top, what passes by itself is grey and at the end.
func TestStatusPage(t *testing.T) {
	page := func(t *testing.T, store *table, cfg web.Config) *httptest.ResponseRecorder {
		t.Helper()
		rec := httptest.NewRecorder()
		handler(store, cfg).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		return rec
	}
	// inOrder wants each piece of text after the one before.
	inOrder := func(t *testing.T, body string, want ...string) {
		t.Helper()
		rest := body
		for _, w := range want {
			_, after, ok := strings.Cut(rest, w)
			if !ok {
				t.Errorf("the page does not hold %q where it should:\n%s", w, body)
				return
			}
			rest = after
		}
	}
	t.Run("in an outage", func(t *testing.T) {
		store := aTable()
		store.open[3].Service = `<script>alert(1)</script>`
		rec := page(t, store, web.Config{
			Ready: func(context.Context) error { return errors.New("<b>disk</b>") },
			Notices: func() []web.Notice {
				return []web.Notice{
					{Level: web.Normal, Text: "clean-up is paused"},
					{Level: web.WillCost, Text: "no token is needed"},
					{Level: web.CostsPages, Text: "the disk is <i>full</i>"},
				}
			},
		})
		body := rec.Body.String()
		inOrder(t, body, "<title>Pagerelay: pages are at risk</title>", `<p class="notice costs">Not ready: &lt;b&gt;disk&lt;/b&gt;</p>`,
			`<p class="notice costs">the disk is &lt;i&gt;full&lt;/i&gt;</p>`,
			`<p class="notice costs">Oldest undelivered page: `, ` (service &lt;script&gt;alert(1)&lt;/script&gt;). Last answer: 500</p>`,
			`<p class="notice will">no token is needed</p>`, `<p class="notice note">clean-up is paused</p>`,
			`<th scope="row">blocked</th><td class="n costs">1</td>`, `<th scope="row">settled</th><td class="n">0</td>`)
		for _, not := range []string{"<script>", "<b>", "alertname", "ops/", "Pages can go out"} {
			if strings.Contains(body, not) {
				t.Errorf("page holds %q", not)
			}
		}
		if got := rec.Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'") {
			t.Errorf("Content-Security-Policy: got %q", got)
		}
	})
	t.Run("all is well after a restart", func(t *testing.T) {
		store := &table{open: []*incident.Incident{
			fresh("aaaa", mapping.High, nil),
			fresh("bbbb", mapping.High, func(in *incident.Incident) { in.PendingSince = time.Now() }),
		}}
		body := page(t, store, web.Config{Notices: func() []web.Notice {
			return []web.Notice{{Level: web.Normal, Text: "Stale-alert clean-up is paused."}}
		}}).Body.String()
		inOrder(t, body, "<title>Pagerelay</title>", "<p>Pages can go out.</p>", `<p class="notice note">Stale-alert clean-up is paused.</p>`)
		for _, not := range []string{`costs"`, "Oldest"} {
			if strings.Contains(body, not) {
				t.Errorf("page holds %q although all is well:\n%s", not, body)
			}
		}
	})
	t.Run("what waits for some seconds, or its turn, or is no page is not red", func(t *testing.T) {
		store := &table{open: []*incident.Incident{
			fresh("aaaa", mapping.High, func(in *incident.Incident) { in.PendingSince = time.Now().Add(-5 * time.Second) }),
			fresh("bbbb", mapping.Change, func(in *incident.Incident) { in.PendingSince = time.Now().Add(-time.Hour) }),
		}}
		body := page(t, store, web.Config{}).Body.String()
		inOrder(t, body, `<p>Oldest undelivered page: `, `<p>Oldest undelivered resolve or change event: 1h`)
		store.open[0].PendingSince, store.open[0].Urgency = time.Now().Add(-time.Hour), mapping.Low
		if body := page(t, store, web.Config{}).Body.String(); strings.Contains(body, `costs"`) {
			t.Errorf("a page of low urgency is red:\n%s", body)
		}
	})
	t.Run("what PagerDuty has said is cut", func(t *testing.T) {
		store := &table{open: []*incident.Incident{fresh("aaaa", mapping.High, func(in *incident.Incident) {
			in.PendingSince, in.Attempts = at(0), 1
			in.History = []incident.Entry{{What: "answer", Text: "trigger (a new episode): " + strings.Repeat("x", 5000)}}
		})}}
		if body := page(t, store, web.Config{}).Body.String(); strings.Contains(body, strings.Repeat("x", 200)) || !strings.Contains(body, "xxx…") {
			t.Errorf("got a page of %d bytes, want the answer cut", len(body))
		}
	})
}
