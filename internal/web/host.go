package web

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// HostGuard refuses requests whose Host is a foreign name, where no token protects
// what can be read: a web site whose own name is made to lead to this address (DNS
// rebinding) is no other site to the browser, and could read the outbox through it.
type HostGuard struct {
	// Allowed are names that callers use, without a port (--web.allowed-host, and the
	// host of --web.external-url). Loopback and addresses are always allowed.
	Allowed []string
	// Guarded: callers have to identify themselves before any path, by basic
	// authentication or a client certificate.
	Guarded bool
	// Tokens says that what reads or changes something needs an access token.
	Tokens func() bool
	// Machines are paths that only machines call, under names that are not known here,
	// such as a Kubernetes service's. They are refused to browsers alone, which set
	// Origin on what they post.
	Machines []string
}

// Wrap guards a handler. Health, readiness and metrics hold no alert text, and are for
// everybody.
func (g HostGuard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if g.refuses(req) {
			text(w, http.StatusMisdirectedRequest,
				"Pagerelay does not know the host name of this request, which may be another web site's. Use its address, or, if the name is pagerelay's, start it with --web.allowed-host=NAME.")
			return
		}
		next.ServeHTTP(w, req)
	})
}

func (g HostGuard) refuses(req *http.Request) bool {
	switch req.URL.Path {
	case "/-/healthy", "/-/ready", "/metrics":
		return false
	}
	// The status page needs no token where others do.
	if g.known(req.Host) || g.Guarded || (req.URL.Path != "/" && g.Tokens()) {
		return false
	}
	if slices.Contains(g.Machines, req.URL.Path) {
		return req.Header.Get("Origin") != "" || req.Header.Get("Sec-Fetch-Site") != ""
	}
	return true
}

// known says whether a Host is loopback, an address, or one of those allowed.
func (g HostGuard) known(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	return slices.ContainsFunc(g.Allowed, func(allowed string) bool { return strings.EqualFold(allowed, host) })
}
