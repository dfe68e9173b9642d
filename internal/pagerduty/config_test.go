package pagerduty_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	promconfig "github.com/prometheus/common/config"

	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

func TestValidate(t *testing.T) {
	http := func(change func(*promconfig.HTTPClientConfig)) *promconfig.HTTPClientConfig {
		hc := promconfig.DefaultHTTPClientConfig
		change(&hc)
		return &hc
	}
	for _, tc := range []struct {
		name string
		cfg  pagerduty.Config
		want []string // the faults.
	}{
		{"nothing", pagerduty.Config{}, nil},
		{"everything", pagerduty.Config{Region: "eu", EventsURL: "https://h:1/x/v2/enqueue", APIURL: "https://h/pd", APIToken: "t", Timeout: time.Second, HTTPConfig: http(func(*promconfig.HTTPClientConfig) {})}, nil},
		{"region", pagerduty.Config{Region: "EU"}, []string{`region: "EU" is neither us nor eu`}},
		{"url without scheme", pagerduty.Config{EventsURL: "events.pagerduty.com"}, []string{"events_url: must start with https:// (or http://) and a host"}},
		{"url without host", pagerduty.Config{EventsURL: "https:///v2/enqueue"}, []string{"events_url: must start with https:// (or http://) and a host"}},
		{"url of a file", pagerduty.Config{EventsURL: "file:///etc"}, []string{"events_url: must start with https:// (or http://) and a host"}},
		{"url with another path", pagerduty.Config{EventsURL: "https://h/v1/enqueue"}, []string{`events_url: path "/v1/enqueue" is neither empty nor ends in /v2/enqueue`}},
		{"url with a password", pagerduty.Config{EventsURL: "https://me:hunter2@h"}, []string{"events_url: must not hold a user or password; use http_config"}},
		{"url with a password and a fault", pagerduty.Config{EventsURL: "https://me:hunter2@h:port"}, []string{"events_url: is not a URL"}},
		{"url with a query", pagerduty.Config{EventsURL: "https://h?a=b"}, []string{"events_url: must not hold a query or fragment"}},
		{"api url", pagerduty.Config{APIURL: "x"}, []string{"api_url: must start with https:// (or http://) and a host"}},
		{"api rate", pagerduty.Config{APIRequestsPerMinute: 961}, []string{"api_requests_per_minute: 961 is not from 1 to 960, which is what PagerDuty allows; leave it out for 480"}},
		{"tls maximum", pagerduty.Config{HTTPConfig: http(func(hc *promconfig.HTTPClientConfig) {
			hc.TLSConfig.MaxVersion = promconfig.TLSVersion(tls.VersionTLS12)
		})}, []string{"http_config.tls_config.max_version: below min_version, which is TLS 1.3 here"}},
		{
			"all at once",
			pagerduty.Config{Region: "x", EventsURL: "x", APIURL: "x", APIToken: "t", APITokenFile: "f", APIRequestsPerMinute: -1, Timeout: -1, HTTPConfig: http(func(hc *promconfig.HTTPClientConfig) {
				hc.BearerToken, hc.BearerTokenFile = "a", "b"
				hc.TLSConfig.CA, hc.TLSConfig.CAFile = "a", "b"
			})},
			[]string{
				`region: "x" is neither us nor eu`,
				"events_url: must start with https:// (or http://) and a host",
				"api_url: must start with https:// (or http://) and a host",
				"api_token: give api_token or api_token_file, not both",
				"api_requests_per_minute: -1 is not from 1 to 960, which is what PagerDuty allows; leave it out for 480",
				"timeout: -1ns is negative; leave it out for 5s",
				"http_config: at most one of bearer_token & bearer_token_file must be configured",
				"http_config.tls_config: at most one of ca, ca_file & ca_ref must be configured",
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			if err := tc.cfg.Validate(); err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if _, err := pagerduty.New(tc.cfg); (err != nil) != (tc.want != nil) {
				t.Errorf("New: got %v, want the same verdict", err)
			}
		})
	}
}
