package mapping

import (
	"errors"

	"go.yaml.in/yaml/v4"
)

// UnmarshalYAML reads `alert`, `[cluster, alertname]` or `{key: '{{ ... }}'}`.
// Whether a mode exists is for New to say, with the path.
func (by *DedupBy) UnmarshalYAML(n *yaml.Node) error {
	*by = DedupBy{}
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Decode(&by.Mode)
	case yaml.SequenceNode:
		by.Labels = []string{}
		return n.Decode(&by.Labels)
	case yaml.MappingNode:
		if len(n.Content) == 2 && n.Content[0].Value == "key" && n.Content[1].Kind == yaml.ScalarNode {
			if n.Content[1].Value == "" {
				return errors.New("the key is empty")
			}
			return n.Content[1].Decode(&by.Key)
		}
	case yaml.DocumentNode, yaml.AliasNode: // the decoder looks through both.
	}
	return errors.New("must be alert, group, alertmanager, a list of labels, or {key: template}")
}

// MarshalYAML writes what UnmarshalYAML reads.
func (by DedupBy) MarshalYAML() (any, error) {
	switch {
	case by.Key != "":
		return map[string]string{"key": by.Key}, nil
	case by.Labels != nil:
		return by.Labels, nil
	default:
		return by.Mode, nil
	}
}

// IsZero lets `omitempty` leave an unset DedupBy out.
func (by DedupBy) IsZero() bool { return by.Mode == "" && by.Labels == nil && by.Key == "" }

// MarshalYAML keeps an empty `ignore` apart from a missing one: nothing is
// ignored, and the default list is.
func (d Dedup) MarshalYAML() (any, error) {
	out := struct {
		By        DedupBy   `yaml:"by,omitempty"`
		Ignore    *[]string `yaml:"ignore,omitempty,flow"`
		Namespace string    `yaml:"namespace,omitempty"`
	}{By: d.By, Namespace: d.Namespace}
	if d.Ignore != nil {
		out.Ignore = &d.Ignore
	}
	return out, nil
}
