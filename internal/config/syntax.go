package config

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// syntaxFault makes a fault of what the YAML parser says of text. Its words are about
// its grammar, its position is right: what is wrong is told from the lines there.
func syntaxFault(text []byte, err error) Fault {
	reason := (*yaml.LoadError)(nil)
	if !errors.As(err, &reason) {
		return Fault{Text: "is not YAML: " + err.Error()}
	}
	s := source{lines: strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), at: reason.Mark, from: reason.ContextMark}
	for _, diagnose := range []func(source) (int, string){source.tab, source.template, source.reserved, source.unclosed, source.indentation, source.colon} {
		if line, what := diagnose(s); what != "" {
			return Fault{Line: line, Text: what}
		}
	}
	return Fault{Line: reason.Mark.Line, Text: "is not YAML: " + reason.Message}
}

// source is a text that is not YAML: where the parser gave up, and where what it was
// reading began. Both may be 0, and at may be on the line after the last.
type source struct {
	lines    []string
	at, from yaml.Mark
}

// line is the text of a line, "" if there is none.
func (s source) line(n int) string {
	if n < 1 || n > len(s.lines) {
		return ""
	}
	return s.lines[n-1]
}

// tab finds white space at the start of a line that holds a tab.
func (s source) tab() (int, string) {
	line := s.line(s.at.Line)
	blank := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	if !strings.Contains(blank, "\t") {
		return 0, ""
	}
	return s.at.Line, "begins with a tab; YAML is indented with spaces"
}

// template finds a template without quotes.
func (s source) template() (int, string) {
	for _, n := range []int{s.at.Line, s.at.Line - 1} {
		if quoted := quotedTemplate(s.line(n)); quoted != "" {
			return n, "a template must be quoted: " + quoted
		}
	}
	return 0, ""
}

// reserved finds a value that begins with a character that YAML keeps for itself.
func (s source) reserved() (int, string) {
	line := s.line(s.at.Line)
	if s.at.Column < 1 || s.at.Column > len(line) || !strings.ContainsRune("@`%", rune(line[s.at.Column-1])) {
		return 0, ""
	}
	return s.at.Line, fmt.Sprintf("a value that begins with %c must be quoted", line[s.at.Column-1])
}

// quotedTemplate is the value of a line in quotes, if it begins with {{ and has none.
func quotedTemplate(line string) string {
	at := -1
	for _, before := range []string{": ", "- ", "[", ", "} {
		if i := strings.Index(line, before+"{{"); i >= 0 && (at < 0 || i+len(before) < at) {
			at = i + len(before)
		}
	}
	if at < 0 {
		return ""
	}
	value := strings.TrimSpace(line[at:])
	for end := 0; end < len(value); end++ { // what closes the list or mapping around it is not of it.
		if strings.HasPrefix(value[end:], "}}") && strings.Trim(value[end+2:], "}], ") == "" {
			value = value[:end+2]
		}
	}
	return "'" + strings.ReplaceAll(value, "'", "''") + "'"
}

// unclosed finds a bracket, brace or quote without its other half.
func (s source) unclosed() (int, string) {
	end := s.at.Line >= len(s.lines) && s.line(s.at.Line) == ""
	open := byte(0)
	if line := s.line(s.from.Line); s.from.Column > 0 && s.from.Column <= len(line) {
		open = line[s.from.Column-1]
	}
	switch {
	case open == '[' || open == '{':
		return s.from.Line, fmt.Sprintf("the %c is not closed, or a comma is missing in what it holds", open)
	case (open == '"' || open == '\'') && end:
		return s.from.Line, fmt.Sprintf("the %c is not closed", open)
	case end:
		return s.at.Line, "the file ends before a [, { or quote is closed"
	}
	return 0, ""
}

// indentation finds a field or an element of a list that is indented by more or less
// than those before it.
func (s source) indentation() (int, string) {
	l := parseLine(s.line(s.at.Line))
	if l.dash {
		for n := s.at.Line - 1; n >= 1; n-- {
			if p := parseLine(s.line(n)); p.dash && p.indent != l.indent {
				return s.at.Line, fmt.Sprintf("the - is indented by %d, the one on line %d by %d", l.indent, n, p.indent)
			}
		}
		return 0, ""
	}
	if l.name == "" {
		return 0, ""
	}
	first, level, element := 0, 0, false
	for n := s.at.Line - 1; n >= 1; n-- {
		p := parseLine(s.line(n))
		switch {
		case p.name == "":
			continue
		case first == 0 && p.content < l.indent && p.value:
			return s.at.Line, fmt.Sprintf("%q is indented by %d, the field on line %d, which has a value, by %d", l.name, l.indent, n, p.content)
		case p.content <= l.indent:
		case first == 0 || p.content <= level:
			first, level, element = n, p.content, p.dash
		}
		if p.indent <= l.indent {
			break
		}
	}
	switch {
	case first == 0:
		return 0, ""
	case element:
		return s.at.Line, fmt.Sprintf("%q is indented by %d; the fields of the element that begins on line %d are indented by %d", l.name, l.indent, first, level)
	}
	return s.at.Line, fmt.Sprintf("%q is indented by %d; the fields that begin on line %d are indented by %d", l.name, l.indent, first, level)
}

// colon finds a field without a colon, or a value with one.
func (s source) colon() (int, string) {
	if l := parseLine(s.line(s.at.Line)); l.colons > 1 {
		return s.at.Line, "a value that has a colon and a space in it must be quoted"
	}
	n := s.at.Line - 1
	for n > 1 && parseLine(s.line(n)).blank {
		n--
	}
	before, l := parseLine(s.line(n)), parseLine(s.line(s.at.Line))
	if before.word && before.name == "" && l.name != "" && before.content == l.content {
		return n, "a field needs a colon and a space after its name"
	}
	return 0, ""
}

// parsedLine is a line of block style, as far as it can be told without what is around it.
type parsedLine struct {
	blank   bool   // or a comment.
	dash    bool   // it begins an element of a list.
	word    bool   // its content begins as a name does.
	name    string // of its field; "" if it has none.
	value   bool   // the field has one on this line.
	colons  int    // followed by a space, outside of comments.
	indent  int    // characters.
	content int    // indent, and what a dash takes.
}

func parseLine(line string) parsedLine {
	text := strings.TrimLeft(line, " ")
	p := parsedLine{blank: text == "" || text[0] == '#', indent: len(line) - len(text)}
	if rest, ok := strings.CutPrefix(text, "-"); ok && (rest == "" || rest[0] == ' ') {
		p.dash, text = true, strings.TrimLeft(rest, " ")
	}
	p.content = len(line) - len(text)
	p.word = text != "" && (text[0]|0x20 >= 'a' && text[0]|0x20 <= 'z')
	name, value, ok := strings.Cut(text+" ", ": ")
	if p.blank || !ok || name == "" || len(name) > 64 || strings.ContainsAny(name, "#'\"{}[], ") {
		return p
	}
	value, _, _ = strings.Cut(value, " #")
	p.name, p.value, p.colons = name, strings.TrimSpace(value) != "", 1
	if !strings.ContainsAny(value, "\"'") {
		p.colons += strings.Count(value, ": ")
	}
	return p
}
