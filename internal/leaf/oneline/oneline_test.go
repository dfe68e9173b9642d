package oneline_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

func TestClean(t *testing.T) {
	for s, want := range map[string]string{
		"":                                 "",
		"a b":                              "a b",
		" a  b\n\tc\u2028d\u00a0e\u0085f ": "a b c d e f",
		"a\x1b[31mb\x00c\x7f":              "a [31mb c",
		"pay\u202elive\u2066\u200b\ufeff!": "pay live !",
		"\U000e0041\u00ad":                 "",
		"\U0001f468\u200d\U0001f469 می\u200cخواهم": "\U0001f468\u200d\U0001f469 می\u200cخواهم",
		"a\xffb": "a\ufffdb",
		"größer": "größer",
	} {
		if got := oneline.Clean(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	for _, tt := range []struct {
		s     string
		limit int
		want  string
	}{
		{"abc", 3, "abc"},
		{"abcd", 3, "ab…"},
		{"äöüß", 3, "äö…"},
		{" a  b ", 3, "a b"},
		{"a" + strings.Repeat(" ", 99), 3, "a…"},
		{strings.Repeat("ü", 99), 3, "üü…"},
		{strings.Repeat(" ", 99), 3, "…"},
		{strings.Repeat("a\U0001f468", 99), 3, "a\U0001f468…"},
	} {
		if got := oneline.Short(tt.s, tt.limit); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.s, got, tt.want)
		}
	}
}

func TestVisible(t *testing.T) {
	const hostile = "a\x1b[31mb\u009b2Jc\u202ed\u2028e\nf\tg\r\x00\x7f\xff\U000e0041h\U0001f600ü"
	const want = "a\ufffd[31mb\ufffd2Jc\ufffdd\ufffde f g \ufffd\ufffd\ufffd\ufffdh\U0001f600ü"
	if got := oneline.Visible(hostile); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a \u202e\xff\n", 3)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 1 + limit&0xff
		got := oneline.Short(s, limit)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > limit || oneline.Clean(got) != got {
			t.Errorf("%q, %d: got %q", s, limit, got)
		}
	})
}
