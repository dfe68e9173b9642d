package pagerduty

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	promconfig "github.com/prometheus/common/config"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// redacted stands where a secret was; it is what promconfig.Secret prints.
const redacted = "<secret>"

// userinfo finds the credentials of a URL inside a text.
var userinfo = regexp.MustCompile(`://[^/\s"'@]*@`)

// secrets are what no error may show: a proxy or PagerDuty itself may echo
// what it was sent.
type secrets struct {
	values  []string        // longest first.
	headers map[string]bool // canonical names of headers whose values are secret.
}

// configSecrets collects what the configuration tells. Credentials kept in
// files are learnt from the headers as they are sent.
func configSecrets(cfg Config, hc promconfig.HTTPClientConfig, eps map[string]endpoint) secrets {
	s := secrets{headers: map[string]bool{"Authorization": true, "Proxy-Authorization": true, "Cookie": true}}
	values := []string{string(cfg.APIToken), string(hc.BearerToken)}
	if a := hc.Authorization; a != nil {
		values = append(values, string(a.Credentials))
	}
	if b := hc.BasicAuth; b != nil {
		values = append(values, string(b.Password))
	}
	if o := hc.OAuth2; o != nil {
		values = append(values, string(o.ClientSecret), string(o.ClientCertificateKey))
	}
	if hc.HTTPHeaders != nil {
		for name, h := range hc.HTTPHeaders.Headers {
			if len(h.Secrets) > 0 || len(h.Files) > 0 {
				s.headers[http.CanonicalHeaderKey(name)] = true
			}
		}
	}
	for _, v := range hc.GetProxyConnectHeader() {
		values = append(values, v...)
	}
	for _, ep := range eps {
		values = append(values, proxySecrets(hc, ep)...)
	}
	return s.with(values...)
}

// proxySecrets are the credentials in the proxy's URL, which the environment may have set.
func proxySecrets(hc promconfig.HTTPClientConfig, ep endpoint) []string {
	proxy := hc.Proxy()
	target, err := url.Parse(ep.event)
	if proxy == nil || err != nil {
		return nil
	}
	u, err := proxy(&http.Request{URL: target})
	if err != nil || u == nil || u.User == nil {
		return nil
	}
	password, _ := u.User.Password()
	basic := base64.StdEncoding.EncodeToString([]byte(u.User.Username() + ":" + password))
	return []string{password, basic}
}

// with adds values, and the forms in which they may come back.
func (s secrets) with(values ...string) secrets {
	out := secrets{values: slices.Clone(s.values), headers: s.headers}
	for _, v := range values {
		// A header's value is scheme and credentials; the latter alone is secret.
		if scheme, credentials, ok := strings.Cut(v, " "); ok {
			out.values = append(out.values, credentials)
			if pair, err := base64.StdEncoding.DecodeString(credentials); err == nil && strings.EqualFold(scheme, "basic") {
				_, password, _ := strings.Cut(string(pair), ":")
				out.values = append(out.values, password)
			}
		}
		out.values = append(out.values, v, url.QueryEscape(v), url.PathEscape(v))
		if quoted, err := json.Marshal(v); err == nil {
			out.values = append(out.values, string(quoted[1:len(quoted)-1]))
		}
	}
	out.values = slices.DeleteFunc(out.values, func(v string) bool { return v == "" })
	slices.SortFunc(out.values, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	out.values = slices.Compact(out.values)
	return out
}

func (s secrets) longest() int {
	if len(s.values) == 0 {
		return 0
	}
	return len(s.values[0])
}

func (s secrets) redact(text string) string {
	for _, v := range s.values {
		text = strings.ReplaceAll(text, v, redacted)
	}
	return text
}

// line makes one clean, bounded line of text, without secrets and without the
// credentials of any URL in it.
func (s secrets) line(text string) string {
	return oneline.Short(userinfo.ReplaceAllString(s.redact(text), "://"), maxMessage)
}
