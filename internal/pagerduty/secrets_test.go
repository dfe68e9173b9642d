package pagerduty_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	promconfig "github.com/prometheus/common/config"

	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

// Whatever PagerDuty or a proxy echoes, no error shows a secret.
func TestLeaksNoSecret(t *testing.T) {
	const (
		apiToken  = "u+api-token-aaaaaaaaaa"
		proxyPass = "proxy/p@ss"
		bearer    = "bearer-token-from-a-file"
		header    = "header-secret-value"
		connect   = "connect-header-secret"
	)
	basic := base64.StdEncoding.EncodeToString([]byte("relay:" + proxyPass))
	secrets := []string{testKey, apiToken, proxyPass, "proxy%2Fp%40ss", basic, bearer, header, connect}

	bearerFile := filepath.Join(t.TempDir(), "bearer")
	if err := os.WriteFile(bearerFile, []byte(bearer), 0o600); err != nil {
		t.Fatal(err)
	}
	// echo answers with all that it was sent, in header and body.
	echo := func(code int, contentType, before string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if r.Method != http.MethodConnect {
				for _, want := range []string{bearer, header} {
					if !strings.Contains(fmt.Sprint(r.Header), want) {
						t.Errorf("the request lacks %q: the test cannot fail", want)
					}
				}
			}
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("X-Echo", strings.Join(r.Header.Values("Proxy-Authorization"), ",")+testKey)
			w.WriteHeader(code)
			_, _ = fmt.Fprintf(w, "%s%s %s %v %s", before, body, r.URL, r.Header, apiToken)
		}
	}
	type row struct {
		name  string
		proxy string
		url   string
	}
	rows := []row{{"nobody listens", "127.0.0.1:1", "https://events.invalid"}}
	for _, code := range []int{200, 202, 302, 400, 403, 407, 413, 429, 500, 503} {
		for _, contentType := range []string{"text/plain", "text/html", "application/json"} {
			srv := servePlain(t, echo(code, contentType, ""))
			addr := srv.Listener.Addr().String()
			rows = append(
				rows,
				row{fmt.Sprint("plain proxy ", code, contentType), addr, "http://events.invalid"},
				row{fmt.Sprint("tunnel ", code, contentType), addr, "https://events.invalid"},
			)
		}
	}
	for _, pad := range []int{4096 - 40, 4096 - 20, 4096 - 80, 4096} {
		srv := servePlain(t, echo(500, "text/plain", strings.Repeat("x", pad)+testKey+strings.Repeat(basic, 10)))
		rows = append(rows, row{fmt.Sprint("at the cut ", pad), srv.Listener.Addr().String(), "http://events.invalid"})
	}
	for _, pad := range []int{0, 11, 22} {
		srv := servePlain(t, echo(500, "text/plain", strings.Repeat("x", pad)+strings.Repeat(testKey+" ", 1000)))
		rows = append(rows, row{fmt.Sprint("at the cut of many ", pad), srv.Listener.Addr().String(), "http://events.invalid"})
	}
	// A proxy may write its answer into the status line.
	rows = append(rows, row{"tunnel status line", listen(t, func(conn net.Conn) {
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		line := strings.ReplaceAll(string(buf[:n]), "\r\n", " ")
		_, _ = io.WriteString(conn, "HTTP/1.1 407 "+line+"\r\n\r\n")
		_ = conn.Close()
	}), "https://events.invalid"})

	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			hc := promconfig.DefaultHTTPClientConfig
			hc.ProxyURL = proxyURL(t, "http://relay:proxy%2Fp%40ss@"+r.proxy)
			hc.ProxyConnectHeader = promconfig.ProxyHeader{"X-Proxy": []promconfig.Secret{connect}}
			hc.Authorization = &promconfig.Authorization{Type: "Bearer", CredentialsFile: bearerFile}
			hc.HTTPHeaders = &promconfig.Headers{Headers: map[string]promconfig.Header{"X-Extra": {Secrets: []promconfig.Secret{header}}}}
			cfg := pagerduty.Config{EventsURL: r.url, APIToken: apiToken, HTTPConfig: &hc}
			c := newClient(t, cfg)
			err := c.Enqueue(t.Context(), "", testEvent())
			if err == nil {
				t.Fatal("got acceptance, want an error")
			}
			shown := []string{err.Error(), fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err)), pagerduty.Classify(err).Message, fmt.Sprint(cfg)}
			if se := (*pagerduty.StatusError)(nil); errors.As(err, &se) {
				shown = append(shown, string(se.Body), fmt.Sprint(se.Header))
			}
			for _, text := range shown {
				for _, secret := range secrets {
					if strings.Contains(text, secret) {
						t.Errorf("%q shows %q", text, secret)
					}
				}
				for n := 12; n < len(testKey) && r.name[:6] == "at the"; n++ {
					if strings.HasSuffix(text, testKey[:n]) {
						t.Errorf("%d characters of the key are left at the end", n)
					}
				}
			}
		})
	}
}

// A key so short that it is part of PagerDuty's words must not change what they mean.
func TestShortKeyIsStillUnderstood(t *testing.T) {
	srv := servePlain(t, answering(400, "application/json", `{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect (should be 32 characters)"]}`))
	e := testEvent()
	e.RoutingKey = "key"
	if got := pagerduty.Classify(clientOf(t, srv).Enqueue(t.Context(), "", e)); got.Kind != pagerduty.BadKey {
		t.Errorf("got %q, want bad_key", got.Kind)
	}
}
