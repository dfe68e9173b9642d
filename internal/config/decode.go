package config

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"github.com/pagerelay/pagerelay/internal/leaf/nearest"
)

// decode reads text into c, refusing unknown and repeated fields, and says on
// which line of text each path is.
//
// The YAML package tells a fault's line but not its path, in the words of Go's types.
// So the tree is held against the types of c first. What does not fit is a fault and
// leaves the tree; the rest is then decoded.
func decode(text []byte, c *Config) (Faults, map[string]int) {
	root, faults := readTree(text)
	if root == nil {
		return faults, nil
	}
	if hasField(root, "route") && hasField(root, "receivers") {
		return Faults{{Text: "this is Alertmanager's configuration; pagerelay has one of its own, see docs/configuration.md"}}, nil
	}
	ck := &checker{text: strings.Split(string(text), "\n"), lines: map[string]int{}}
	ck.value("", root, reflect.TypeFor[Config]())
	faults = append(faults, ck.faults...)
	if err := root.Decode(c); err != nil {
		faults = append(faults, Fault{Text: "cannot be decoded: " + reasonOf(err).Message})
	}
	return faults, ck.lines
}

// checker holds a tree against types.
type checker struct {
	text   []string // the lines of the file.
	lines  map[string]int
	faults Faults
}

// fault notes what is wrong at path, where n is, and returns false.
func (c *checker) fault(path string, n *yaml.Node, format string, args ...any) bool {
	f := Fault{Path: path, Text: fmt.Sprintf(format, args...)}
	if c.lines[path] == 0 {
		f.Line = n.Line
	}
	c.faults = append(c.faults, f)
	return false
}

// value notes what keeps n from being a t, and takes what does not fit out of n. It
// returns false if n itself has to go.
func (c *checker) value(path string, n *yaml.Node, t reflect.Type) bool {
	if n.ShortTag() == nullTag {
		return true
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Duration](), t == reflect.TypeFor[model.Duration]():
		return c.duration(path, n, t)
	case readsItself(t) && !hasFields(t):
		return c.trial(path, n, t)
	case t.Kind() == reflect.Struct:
		return c.structure(path, n, t)
	case t.Kind() == reflect.Map:
		if n.Kind != yaml.MappingNode {
			return c.unfit(path, n, t)
		}
		c.fields(path, n, func(string) (reflect.Type, bool) { return t.Elem(), true })
		return true
	case t.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			return c.unfit(path, n, t)
		}
		for i, e := range n.Content {
			c.lines[element(path, i)] = e.Line
			if !c.value(element(path, i), e, t.Elem()) {
				n.Content[i] = &yaml.Node{Kind: yaml.ScalarNode, Tag: nullTag} // the others keep their numbers.
			}
		}
		return true
	}
	return c.trial(path, n, t)
}

// structure is value for a struct. One that reads itself, as http_config does, is
// tried once its fields fit, and goes as a whole if they do not.
func (c *checker) structure(path string, n *yaml.Node, t reflect.Type) bool {
	if n.Kind != yaml.MappingNode {
		return c.unfit(path, n, t)
	}
	known := fieldsOf(t)
	before := len(c.faults)
	c.fields(path, n, func(name string) (reflect.Type, bool) {
		f, ok := known.types[name]
		if !ok && known.others != nil {
			return known.others, true
		}
		return f, ok
	}, known.names...)
	if !readsItself(t) {
		return true
	}
	return len(c.faults) == before && c.trial(path, n, t)
}

// fields checks the values of a mapping; typeOf says what type a field has.
func (c *checker) fields(path string, n *yaml.Node, typeOf func(name string) (reflect.Type, bool), known ...string) {
	kept := n.Content[:0]
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			c.fault(path, key, "has a field whose name is %s; a name is a string", article(key))
			continue
		}
		at := join(path, key.Value)
		if _, ok := c.lines[at]; !ok {
			c.lines[at] = key.Line
		}
		t, ok := typeOf(key.Value)
		if !ok {
			c.unknown(path, key, known)
			continue
		}
		if c.value(at, value, t) {
			kept = append(kept, key, value)
		}
	}
	n.Content = kept
}

// unknown notes a field that there is not.
func (c *checker) unknown(path string, key *yaml.Node, known []string) {
	f := Fault{Path: join(path, key.Value), Line: key.Line, Text: "unknown field; remove it or fix its name"}
	meant := nearest.Word(key.Value, known)
	if name, ok := alertmanagers(key.Value); ok && slices.Contains(known, name) {
		meant = name
	}
	if meant != "" {
		f.Text = fmt.Sprintf("unknown field; did you mean %s?", meant)
		f.meant = join(path, meant)
	}
	c.faults = append(c.faults, f)
}

// alertmanagers is what a field of Alertmanager's routes is called here.
func alertmanagers(name string) (string, bool) {
	switch name {
	case "match", "match_re":
		return "matchers", true
	case "receiver":
		return "service", true
	}
	return "", false
}

// duration takes Prometheus' durations, for Go's too: with days and weeks, and the same
// everywhere.
func (c *checker) duration(path string, n *yaml.Node, t reflect.Type) bool {
	const longest = 20 // characters that are repeated: what is longer may be a secret.
	if n.Kind != yaml.ScalarNode {
		return c.unfit(path, n, t)
	}
	text := strings.TrimPrefix(n.Value, "-")
	digit := text != "" && len(text) <= longest && text[0] >= '0' && text[0] <= '9'
	d, err := model.ParseDuration(text)
	switch {
	case digit && strings.Trim(text, "0123456789") == "":
		return c.fault(path, n, "%s has no unit; write %ss for seconds", n.Value, n.Value)
	case err == nil && len(text) < len(n.Value):
		return c.fault(path, n, "%s is negative", n.Value)
	case err == nil && t == reflect.TypeFor[time.Duration]():
		n.SetString(time.Duration(d).String()) // Go's own syntax has no days.
		return true
	case err == nil:
		return true
	case digit:
		return c.fault(path, n, "%q is not a duration; write whole numbers with their units, such as 90s, 1h30m or 14d", n.Value)
	}
	return c.fault(path, n, "is not a duration; write one such as 90s, 1h30m or 14d")
}

// trial decodes n alone to see whether it can be.
func (c *checker) trial(path string, n *yaml.Node, t reflect.Type) bool {
	// Load reads fields within that are unknown for faults, too.
	err := n.Load(reflect.New(t).Interface(), yaml.WithKnownFields())
	if err == nil {
		return true
	}
	reason := reasonOf(err)
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		// A type that reads itself has fields that only it knows. In block style the first
		// stands where the mapping does, of which something else may be said.
		key := n.Content[i]
		if reason.Mark.Line == key.Line && reason.Mark.Column == key.Column && strings.HasPrefix(reason.Message, "field ") {
			return c.fault(join(path, key.Value), key, "unknown field; remove it or fix its name")
		}
	}
	bad := (*url.Error)(nil)
	switch {
	case errors.As(reason.Unwrap(), &bad):
		return c.fault(path, n, "is not a URL") // it may hold a password.
	case readsItself(t) && !strings.HasPrefix(reason.Message, "cannot construct"):
		return c.fault(path, n, "%s", reason.Message)
	}
	return c.unfit(path, n, t)
}

// reasonOf is the first of what the YAML package says is wrong.
func reasonOf(err error) *yaml.LoadError {
	if all := (*yaml.LoadErrors)(nil); errors.As(err, &all) && len(all.Errors) > 0 {
		return all.Errors[0]
	}
	if one := (*yaml.LoadError)(nil); errors.As(err, &one) {
		return one
	}
	return yaml.NewLoadError(yaml.ConstructorStage, err.Error(), yaml.Mark{}, err)
}

// unfit notes that n is of another kind than t. It repeats no value: one in the wrong
// place may be a secret.
func (c *checker) unfit(path string, n *yaml.Node, t reflect.Type) bool {
	hint := ""
	switch {
	case c.template(n) != "" && (t.Kind() == reflect.String || t.Kind() == reflect.Struct && readsItself(t)):
		return c.fault(path, n, "a template must be quoted: %s", c.template(n))
	case t.Kind() == reflect.Slice && n.Kind == yaml.MappingNode && len(n.Content) > 0 && strings.HasPrefix(n.Content[0].Value, "-"):
		hint = "; write a space after each -"
	}
	return c.fault(path, n, "is %s, must be %s%s", article(n), wanted(t), hint)
}

// template is what a mapping within a mapping was meant for, in quotes, where it is
// {{ ... }} in the file.
func (c *checker) template(n *yaml.Node) string {
	if n.Kind != yaml.MappingNode || n.Line < 1 || n.Line > len(c.text) {
		return ""
	}
	return quotedTemplate(c.text[n.Line-1])
}

func article(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	}
	return "a string"
}

func wanted(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() || t == reflect.TypeFor[model.Duration]() {
		return "a duration such as 90s, 1h30m or 14d"
	}
	switch k := t.Kind(); {
	case k == reflect.String, readsItself(t) && !hasFields(t):
		return "a string"
	case k == reflect.Slice:
		return "a list"
	case k == reflect.Bool:
		return "true or false"
	case k >= reflect.Int && k <= reflect.Uint64:
		return "a whole number"
	case k == reflect.Float32, k == reflect.Float64:
		return "a number"
	}
	return "a mapping"
}
