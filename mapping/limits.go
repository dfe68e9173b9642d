package mapping

import (
	"encoding/json"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of ours, where PagerDuty documents none (Events API v2 names a maximum
// for summary, dedup_key and the whole event only).
const (
	maxField      = 1024    // characters of source, component, group, class and client: as a summary.
	maxShort      = 255     // characters of the texts of links and images, and of a minimal event's fields.
	maxURL        = 8 << 10 // bytes of a URL: what web servers commonly take as a request line.
	maxMembers    = 20      // members listed in the details.
	maxMemberText = 1024    // characters of one label or annotation of a listed member.

	// headroom is what the sender adds: routing key, action, and a dedup key of
	// MaxDedupKey bytes whose every byte JSON writes as an escape of six.
	headroom = 2 << 10
	maxEvent = MaxEventSize - headroom

	// floor is how short a long annotation or label is cut before all of them are dropped.
	floor = 128 // bytes of JSON.
)

const cutMark = "…"

// cut bounds s to n characters, the last of them a mark if something is missing.
func cut(s string, n int) (string, bool) {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s, false
	}
	at := 0
	for range n - 1 {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return s[:at] + cutMark, true
}

// plain makes s valid UTF-8 without controls other than line feed, return and tab.
func plain(s string) string {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == 0x7f {
			return strings.Map(func(r rune) rune {
				if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
					return utf8.RuneError
				}
				return r
			}, s)
		}
	}
	return s
}

// plainMap makes plain copies of names and values, without empty values.
func plainMap(kv map[string]string) map[string]string {
	out := make(map[string]string, len(kv))
	for k, v := range kv {
		if v != "" {
			out[plain(k)] = plain(v)
		}
	}
	return out
}

// webURL returns s as a URL that PagerDuty can show; false if it is none.
func webURL(s string, image bool) (string, bool) {
	s = strings.TrimSpace(s)
	if len(s) > maxURL || !utf8.ValidString(s) {
		return "", false
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "https" && (image || u.Scheme != "http")) {
		return "", false
	}
	out := strings.ReplaceAll(u.String(), " ", "%20") // a raw query keeps its blanks.
	return out, len(out) <= maxURL
}

// jsonSize is how many bytes of JSON v takes. What is rendered always marshals.
func jsonSize(v any) int {
	b, err := json.Marshal(v)
	if err != nil {
		return 1 << 40
	}
	return len(b)
}

// cutJSON bounds s to n bytes of JSON, quotes and mark included.
func cutJSON(s string, n int) string {
	if jsonSize(s) <= n {
		return s
	}
	n -= 2 + len(cutMark)
	at := 0
	for i, r := range s {
		if n -= escapedSize(r); n < 0 {
			at = i
			break
		}
	}
	return s[:at] + cutMark
}

// escapedSize is at least how many bytes of JSON encoding/json makes of r.
func escapedSize(r rune) int {
	switch r {
	case '"', '\\', '\b', '\f', '\n', '\r', '\t':
		return 2
	case '<', '>', '&', 0x2028, 0x2029, utf8.RuneError:
		return 6
	}
	if r < ' ' {
		return 6
	}
	return utf8.RuneLen(r)
}

// shorten cuts the longest values of kv until all take at most n bytes of JSON;
// false if that would leave less than the floor of a long one.
func shorten(kv map[string]string, n int) bool {
	sizes, fixed := make(map[string]int, len(kv)), len("{}")
	for k, v := range kv {
		fixed += jsonSize(k) + len(":,")
		sizes[k] = jsonSize(v)
	}
	total := func(limit int) int {
		t := fixed
		for _, s := range sizes {
			t += min(s, limit)
		}
		return t
	}
	if total(floor) > n {
		return false
	}
	low, high := floor, n // total(low) fits.
	for low+1 < high {
		if mid := (low + high) / 2; total(mid) <= n {
			low = mid
		} else {
			high = mid
		}
	}
	for k, v := range kv {
		if sizes[k] > low {
			kv[k] = cutJSON(v, low)
		}
	}
	return true
}
