// Package oneline makes one harmless line of what somebody else has written: for a
// page, a log, a metric, a terminal.
package oneline

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes one line of valid UTF-8 of s: a single blank, none at the ends, stands for
// white space, controls, and what cannot be seen or changes the direction of text
// (Unicode's format characters, but for the two joiners that scripts and emoji need).
func Clean(s string) string {
	if isClean(s) {
		return s // as nearly always.
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d':
			return ' '
		}
		return r // of an invalid byte it is U+FFFD.
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// Short is Clean cut to limit characters, the last of them … where something is missing.
// It takes no longer for a very long s, of which then eight bytes a character count.
func Short(s string, limit int) string {
	long := len(s) > 8*limit
	if long {
		s = strings.ToValidUTF8(s[:8*limit], "")
	}
	s = Clean(s)
	switch runes := utf8.RuneCountInString(s); {
	case runes > limit || long && runes == limit:
		return string([]rune(s)[:limit-1]) + "…"
	case long:
		return s + "…"
	}
	return s
}

// isClean says whether s is words of printable ASCII with one blank between them.
func isClean(s string) bool {
	blank := true // which no word may follow.
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || blank && s[i] == ' ' {
			return false
		}
		blank = s[i] == ' '
	}
	return !blank || s == ""
}

// Visible shows s as it is on one line of a terminal: line breaks and tabs become
// blanks, and U+FFFD stands for all else that is not printable, as escape sequences are.
func Visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case !unicode.IsPrint(r): // control and format characters, broken UTF-8, private use.
			return utf8.RuneError
		}
		return r
	}, s)
}
