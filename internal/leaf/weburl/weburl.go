// Package weburl reads the address of a server from a configuration.
package weburl

import (
	"errors"
	"net/url"
)

// Parse accepts an absolute http or https URL that carries nothing but scheme, host
// and path. Its errors never repeat s, which may hold a password.
func Parse(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL") // url.Parse quotes what it was given.
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New("must start with https:// (or http://) and a host")
	case u.User != nil:
		return nil, errors.New("must not hold a user or password; use http_config")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return nil, errors.New("must not hold a query or fragment")
	}
	return u, nil
}
