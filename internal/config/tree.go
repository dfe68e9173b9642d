package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.yaml.in/yaml/v4"
)

// maxNodes bounds what aliases may make of a file: each use of an anchor is a copy.
const maxNodes = 200_000

// readTree reads the only document of text: a mapping without aliases, merge keys and
// repeated fields. What is repeated is a fault, but the tree can be read without it.
func readTree(text []byte) (*yaml.Node, Faults) {
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		return nil, Faults{{Text: "cannot be read: " + err.Error()}}
	}
	var doc, more yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		return nil, Faults{{Text: emptyFile}}
	case err != nil:
		return nil, Faults{syntaxFault(text, err)}
	}
	if err := loader.Load(&more); err == nil {
		return nil, Faults{{Line: more.Line, Text: "a second YAML document begins here; a configuration is one document, remove the ---"}}
	} else if !errors.Is(err, io.EOF) {
		return nil, Faults{syntaxFault(text, err)}
	}
	root := doc.Content[0]
	if root.ShortTag() == nullTag {
		return nil, Faults{{Text: emptyFile}}
	}
	if root.Kind != yaml.MappingNode {
		return nil, Faults{{Line: root.Line, Text: "the file must be a mapping of fields such as services and rules"}}
	}
	faults := dropRepeated(root, "")
	e := expander{within: map[*yaml.Node]bool{}}
	root = e.expand(root)
	if e.fault != nil {
		return nil, Faults{*e.fault}
	}
	return root, faults
}

const (
	emptyFile = "the file is empty; it needs at least services with one routing key"
	nullTag   = "!!null"
	mergeTag  = "!!merge"
)

// dropRepeated removes the fields that their mapping has already.
func dropRepeated(n *yaml.Node, path string) Faults {
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
		faults = append(faults, dropRepeated(n.Content[i+1], join(path, key.Value))...)
	}
	for i := 0; n.Kind == yaml.SequenceNode && i < len(n.Content); i++ {
		faults = append(faults, dropRepeated(n.Content[i], element(path, i))...)
	}
	return faults
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// expander copies a tree, with what aliases and merge keys stand for in their places.
type expander struct {
	within map[*yaml.Node]bool // anchors whose content is being copied.
	nodes  int
	fault  *Fault // why the tree cannot be copied.
}

func (e *expander) fail(n *yaml.Node, format string, args ...any) *yaml.Node {
	if e.fault == nil {
		e.fault = &Fault{Line: n.Line, Text: fmt.Sprintf(format, args...)}
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: nullTag}
}

func (e *expander) expand(n *yaml.Node) *yaml.Node {
	if e.nodes++; e.nodes > maxNodes || e.fault != nil {
		return e.fail(n, "the file has more than %d values, with each use of an anchor counted", maxNodes)
	}
	if n.Kind == yaml.AliasNode {
		if e.within[n.Alias] {
			return e.fail(n, "the anchor %s is used within itself", n.Value)
		}
		e.within[n.Alias] = true
		defer delete(e.within, n.Alias)
		n = n.Alias
	}
	out := *n
	out.Anchor, out.Content = "", nil
	if n.Kind != yaml.MappingNode {
		for _, c := range n.Content {
			out.Content = append(out.Content, e.expand(c))
		}
		return &out
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], e.expand(n.Content[i+1])
		if key.ShortTag() == mergeTag {
			merged = append(merged, e.sources(key, value)...)
			continue
		}
		out.Content = append(out.Content, e.expand(key), value)
	}
	// What a mapping says itself comes before what it takes in, and the first of those
	// before the others.
	for _, m := range merged {
		for i := 0; i+1 < len(m.Content); i += 2 {
			if !hasField(&out, m.Content[i].Value) {
				out.Content = append(out.Content, m.Content[i], m.Content[i+1])
			}
		}
	}
	return &out
}

// sources are the mappings that the merge key << names: one, or a list of them.
func (e *expander) sources(key, value *yaml.Node) []*yaml.Node {
	all := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		all = value.Content
	}
	for _, m := range all {
		if m.Kind != yaml.MappingNode {
			e.fail(key, "<< takes in a mapping or a list of mappings, as in <<: *name")
			return nil
		}
	}
	return all
}

func hasField(n *yaml.Node, name string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return true
		}
	}
	return false
}
