package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// Whoever can raise an alert writes what lands on an operator's terminal: its
// escape sequences, line breaks and bidirectional controls must not work there.

// printableLines is oneline.Visible for a text of several lines.
func printableLines(s string) string {
	all := lines(s)
	for i, line := range all {
		all[i] = oneline.Visible(line)
	}
	return strings.Join(all, "\n")
}

func lines(s string) []string { return strings.Split(strings.TrimRight(s, "\n"), "\n") }

// writeJSON writes v as JSON in which every character that is not printable is
// escaped; encoding/json leaves some as they are. indent is "" for one line.
func writeJSON(w io.Writer, v any, indent string) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	var out strings.Builder
	for _, r := range buf.String() { // beyond ASCII there is nothing outside of strings.
		switch {
		case r < 0x7f || unicode.IsPrint(r):
			out.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}
