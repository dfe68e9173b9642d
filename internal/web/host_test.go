package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pagerelay/pagerelay/internal/web"
)

func TestHostGuard(t *testing.T) {
	for _, tc := range []struct {
		name, method, path, host, origin string
		tokens, guarded                  bool
		refused                          bool
	}{
		{name: "loopback by name", path: "/", host: "localhost:9095"},
		{name: "loopback by address", path: "/", host: "127.0.0.1:9095"},
		{name: "IPv6", path: "/", host: "[::1]:9095"},
		{name: "a pod's address", path: "/api/v1/outbox", host: "10.1.2.3:9095"},
		{name: "no port", path: "/", host: "127.0.0.1"},
		{name: "a name that is allowed", path: "/", host: "pager.example:9095"},
		{name: "the same in capitals and with a dot", path: "/", host: "Pager.Example.:9095"},
		{name: "a foreign name on the page", path: "/", host: "evil.example:9095", refused: true},
		{name: "a foreign name on the API", path: "/api/v1/outbox", host: "evil.example", refused: true},
		{name: "a foreign name on profiles", path: "/debug/pprof/", host: "evil.example", refused: true},
		{name: "a name that begins as an address", path: "/", host: "127.0.0.1.evil.example", refused: true},
		{name: "a name that ends as an allowed one", path: "/", host: "evilpager.example", refused: true},
		{name: "no host", path: "/", host: "", refused: true},
		{name: "a reload", method: http.MethodPost, path: "/-/reload", host: "evil.example", refused: true},
		{name: "a foreign name where a token is needed", path: "/api/v1/outbox", host: "evil.example", tokens: true},
		{name: "a foreign name on the page, which needs no token", path: "/", host: "evil.example", tokens: true, refused: true},
		{name: "a foreign name where all must identify themselves", path: "/", host: "evil.example", guarded: true},
		{name: "health", path: "/-/healthy", host: "pagerelay.monitoring.svc"},
		{name: "metrics", path: "/metrics", host: "pagerelay.monitoring.svc:9095"},
		{name: "a webhook by a service's name", method: http.MethodPost, path: "/webhook/alertmanager", host: "pagerelay.monitoring.svc:9095"},
		{name: "a webhook from a browser", method: http.MethodPost, path: "/webhook/alertmanager", host: "evil.example", origin: "http://evil.example", refused: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			guard := web.HostGuard{
				Allowed: []string{"pager.example"}, Machines: []string{"/webhook/alertmanager"},
				Tokens: func() bool { return tc.tokens }, Guarded: tc.guarded,
			}
			method := tc.method
			if method == "" {
				method = http.MethodGet
			}
			req := httptest.NewRequestWithContext(t.Context(), method, tc.path, nil)
			req.Host = tc.host
			if tc.origin != "" {
				req.Header.Set("Origin", tc.origin)
			}
			rec := httptest.NewRecorder()
			guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })).ServeHTTP(rec, req)
			if got := rec.Code == http.StatusMisdirectedRequest; got != tc.refused {
				t.Errorf("got %d, want refused %v", rec.Code, tc.refused)
			}
		})
	}
}
