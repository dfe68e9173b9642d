package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/web"
)

const hostile = "a\x1b[31mb\u009b2Jc\u202ed\u2028e\nf\tg\r\x00\x7f\xff\U000e0041h\U0001f600ü"

func TestPrintableLines(t *testing.T) {
	if got, want := printableLines("a\x1b\nb\u009b\n"), "a\ufffd\nb\ufffd"; got != want {
		t.Errorf("printableLines: got %q, want %q", got, want)
	}
}

func TestWriteJSONIsPrintableAndTheSame(t *testing.T) {
	var buf bytes.Buffer
	const valid = "a\x1b[31mb\u009b2Jc\u202ed\u2028e\nf\tg\r\x00\x7f\U000e0041h\U0001f600ü<&>\\\""
	if err := writeJSON(&buf, map[string]string{valid: valid}, "  "); err != nil {
		t.Fatal(err)
	}
	for i, r := range buf.String() {
		if !unicode.IsPrint(r) && r != '\n' {
			t.Errorf("character %U at %d is not printable", r, i)
		}
	}
	var got map[string]string
	if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{valid: valid}, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

// TestPrintsAreSafe puts hostile text into every field that has room for it.
func TestPrintsAreSafe(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	s := web.Summary{
		ID: hostile, Service: hostile, DedupKey: hostile, Status: hostile, Urgency: hostile, Tier: hostile, Rule: hostile,
		Want: hostile, Have: hostile, Reason: hostile, Since: now,
	}
	in := web.Incident{
		Summary: s, Severity: hostile, Receiver: hostile, ExternalURL: hostile, FallbackFrom: hostile, FallbackReason: hostile, Omitted: 3,
		Members: []web.Member{{Fingerprint: hostile, Firing: true, MutedBy: hostile, Labels: map[string]string{hostile: hostile}}},
		History: []web.Entry{{At: now, What: "received", Text: "x"}, {At: now, What: hostile, Text: hostile, Count: 2, Last: now}},
	}
	var list, show bytes.Buffer
	if err := printList(&list, []web.Summary{s}, now); err != nil {
		t.Fatal(err)
	}
	if err := printIncident(&show, in); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"list": list.String(), "show": show.String()} {
		for i, r := range text {
			if !unicode.IsPrint(r) && r != '\n' {
				t.Errorf("%s: character %U at %d is not printable", name, r, i)
			}
		}
	}
	if n := bytes.Count(list.Bytes(), []byte("\n")); n != 2 {
		t.Errorf("list: got %d lines, want 2:\n%s", n, &list)
	}
}

// A label can be a megabyte long, and there can be a hundred thousand of them.
func TestShowIsShort(t *testing.T) {
	huge := strings.Repeat("ü", 1<<20)
	many := map[string]string{"alertname": "A", "huge": huge}
	for i := range 10_000 {
		many["x"+strconv.Itoa(i)] = "y"
	}
	var out bytes.Buffer
	in := web.Incident{
		Summary: web.Summary{Reason: huge}, Receiver: huge,
		Members: []web.Member{{Fingerprint: huge, Firing: true, MutedBy: huge, Labels: many}},
		History: []web.Entry{{What: "answer", Text: huge}},
	}
	if err := printIncident(&out, in); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 20_000 {
		t.Errorf("got %d bytes, want at most 20,000", out.Len())
	}
	for _, want := range []string{
		`  alertname="A" huge="` + strings.Repeat("ü", 200) + `… (2097152 bytes; --format=json shows all)" x0="y" x1="y"`,
		"\nReason:       " + strings.Repeat("ü", 2000) + "… (2097152 bytes; --format=json shows all)\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got no %q in\n%s", want, out.String())
		}
	}
	if got := short("ü€", 2); got != "ü€" {
		t.Errorf("what just fits: got %q", got)
	}
}
