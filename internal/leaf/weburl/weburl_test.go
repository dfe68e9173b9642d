package weburl_test

import (
	"strings"
	"testing"

	"github.com/pagerelay/pagerelay/internal/leaf/weburl"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]string{
		"https://a":               "",
		"http://[::1]:9093/path/": "",
		"":                        "must start with",
		"a:9093":                  "must start with",
		"127.0.0.1:9093":          "is not a URL",
		"ftp://a":                 "must start with",
		"http://:80":              "must start with",
		"http://u:s3cret@a":       "must not hold a user",
		"http://u:s3cret@a b":     "is not a URL",
		"http://a?s3cret":         "must not hold a query",
		"http://a?":               "must not hold a query",
		"http://a#s3cret":         "must not hold a query",
	} {
		u, err := weburl.Parse(s)
		switch {
		case want == "" && (err != nil || u.String() != s):
			t.Errorf("%q: got %v, %v", s, u, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "s3cret")):
			t.Errorf("%q: got %v, want %s", s, err, want)
		}
	}
}
