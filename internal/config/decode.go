package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	promconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"
)

// decode reads text into c, refusing unknown and repeated fields, and says on
// which line of text each path is.
//
// The YAML package tells a fault's line but not its path, and stops at the first
// error of a type that reads itself, as http_config does. So text is read twice:
// as a tree, whose values of such types are tried on their own; and strictly, from
// a copy of that tree written with one field on a line, so that a line is a path.
func decode(text []byte, c *Config) (Faults, map[string]int) {
	tree, faults := readTree(text)
	if faults != nil {
		return faults, nil
	}
	faults = tree.dropRepeated("")
	lines := map[string]int{}
	tree.walk("", func(path string, key, n *yaml.Node) {
		if key == nil {
			key = n
		}
		if _, ok := lines[path]; !ok {
			lines[path] = key.Line
		}
		if strings.HasSuffix(path, ".http_config") {
			if err := tryHTTPConfig(n); err != nil {
				faults.add(path, "%s", err)
				*n = yaml.Node{Kind: yaml.MappingNode} // read as if it were empty.
			}
		}
		if err := tryCoverage(path, n); err != nil {
			faults.add(path, "%s", err)
			*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Anchor: n.Anchor} // read as if it were not there.
		}
	})
	return append(faults, tree.decodeStrictly(c)...), lines
}

// node is a YAML tree.
type node yaml.Node

// readTree reads the only document of text.
func readTree(text []byte) (*node, Faults) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, Faults{{Text: "the file is empty; it needs at least services with one routing key"}}
	case err != nil:
		return nil, Faults{syntaxFault(err)}
	}
	if err := dec.Decode(&more); err == nil {
		return nil, Faults{{Line: more.Line, Text: "a second YAML document begins here; a configuration is one document, remove the ---"}}
	} else if !errors.Is(err, io.EOF) {
		return nil, Faults{syntaxFault(err)}
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		if root.Tag == "!!null" {
			return nil, Faults{{Text: "the file is empty; it needs at least services with one routing key"}}
		}
		return nil, Faults{{Line: root.Line, Text: "the file must be a mapping of fields such as services and rules"}}
	}
	return (*node)(root), nil
}

// walk calls visit with every value of the tree, its path and, in a mapping, its
// key. It does not follow aliases, which may lead in a circle.
func (n *node) walk(path string, visit func(path string, key, value *yaml.Node)) {
	n.children(path, func(path string, key, value *yaml.Node) {
		visit(path, key, value)
		(*node)(value).walk(path, visit)
	})
}

// children is walk for one level.
func (n *node) children(path string, visit func(path string, key, value *yaml.Node)) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			visit(join(path, n.Content[i].Value), n.Content[i], n.Content[i+1])
		}
	case yaml.SequenceNode:
		for i, value := range n.Content {
			visit(fmt.Sprintf("%s[%d]", path, i), nil, value)
		}
	}
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// dropRepeated removes the fields that their mapping has already, for which the YAML
// package would not read the mapping at all.
func (n *node) dropRepeated(path string) Faults {
	var faults Faults
	first := map[string]int{}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if line, ok := first[key.Value]; ok && key.Kind == yaml.ScalarNode {
			faults = append(faults, Fault{
				Path: join(path, key.Value), Line: key.Line,
				Text: fmt.Sprintf("is set already on line %d; keep one", line),
			})
			n.Content = slices.Delete(n.Content, i, i+2)
			i -= 2
			continue
		}
		first[key.Value] = key.Line
	}
	n.children(path, func(path string, _, value *yaml.Node) {
		faults = append(faults, (*node)(value).dropRepeated(path)...)
	})
	return faults
}

// decodeStrictly reads the tree into c.
func (n *node) decodeStrictly(c *Config) Faults {
	root := (*yaml.Node)(n)
	n.walk("", func(_ string, key, value *yaml.Node) {
		for _, m := range []*yaml.Node{key, value} {
			if m != nil {
				m.Style &^= yaml.FlowStyle
				m.HeadComment, m.LineComment, m.FootComment = "", "", ""
			}
		}
	})
	root.Style &^= yaml.FlowStyle
	root.HeadComment, root.LineComment, root.FootComment = "", "", ""
	text, err := yaml.Marshal(root)
	if err != nil {
		return Faults{syntaxFault(err)}
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	err = dec.Decode(c)
	var typed *yaml.TypeError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &typed):
		return Faults{{Text: err.Error()}}
	}

	copied, faults := readTree(text)
	if faults != nil {
		return Faults{{Text: err.Error()}}
	}
	var places []place
	copied.walk("", func(path string, key, value *yaml.Node) {
		p := place{path: path, value: value.Line, tag: value.ShortTag()}
		if key != nil {
			p.name, p.key = key.Value, key.Line
		}
		places = append(places, p)
	})
	for _, text := range typed.Errors {
		faults = append(faults, typeFault(text, places))
	}
	return faults
}

// place is where a path is in the copy: the lines of its key and of its value, which
// differ for a list or a mapping.
type place struct {
	path, name, tag string
	key, value      int
}

// typeFault makes a fault of one line of a yaml.TypeError. Values are left out: one
// in the wrong place may be a secret.
func typeFault(text string, places []place) Fault {
	number, text, _ := strings.Cut(strings.TrimPrefix(text, "line "), ": ")
	line, _ := strconv.Atoi(number)
	find := func(text string, match func(place) bool) Fault {
		for _, p := range places {
			if match(p) {
				return Fault{Path: p.path, Text: text}
			}
		}
		return Fault{Text: text}
	}
	if m := regexp.MustCompile(`^field (.*) not found in type .*$`).FindStringSubmatch(text); m != nil {
		return find("unknown field; remove it or mend its name", func(p place) bool { return p.key == line && p.name == m[1] })
	}
	if m := regexp.MustCompile("(?s)^cannot unmarshal (\\S+)(?: `.*`)? into (\\S+)$").FindStringSubmatch(text); m != nil {
		return find(fmt.Sprintf("is %s, must be %s", yamlKind(m[1]), goKind(m[2])), func(p place) bool { return p.value == line && p.tag == m[1] })
	}
	return find(text, func(p place) bool { return p.value == line })
}

func yamlKind(tag string) string {
	switch tag {
	case "!!map":
		return "a mapping"
	case "!!seq":
		return "a list"
	case "!!str":
		return "a text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	}
	return "a " + tag
}

func goKind(name string) string {
	switch {
	case strings.HasPrefix(name, "[]"):
		return "a list"
	case name == "time.Duration", name == "model.Duration":
		return "a duration such as 30s"
	case strings.HasPrefix(name, "map["), strings.HasPrefix(name, "*"):
		return "a mapping"
	case name == "bool":
		return "true or false"
	case strings.HasPrefix(name, "int"), strings.HasPrefix(name, "uint"):
		return "a whole number"
	case strings.HasPrefix(name, "float"):
		return "a number"
	}
	switch name {
	case "string", "config.Secret", "mapping.Urgency":
		return "a text"
	}
	return "a mapping" // a struct.
}

// syntaxFault makes a fault of an error of the YAML parser.
func syntaxFault(err error) Fault {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := regexp.MustCompile(`(?s)^line (\d+): (.*)$`).FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1])
		return Fault{Line: line, Text: "is not YAML: " + m[2]}
	}
	return Fault{Text: "is not YAML: " + text}
}

// tryHTTPConfig returns what makes an http_config stop the YAML package. Its other
// faults, unknown fields among them, come with everybody else's.
func tryHTTPConfig(n *yaml.Node) error {
	err := n.Decode(&promconfig.HTTPClientConfig{})
	var typed *yaml.TypeError
	var badURL *url.Error
	switch {
	case errors.As(err, &typed):
		return nil
	case errors.As(err, &badURL):
		return errors.New("an address in it is not a URL") // the URL may hold a password.
	}
	return err
}
