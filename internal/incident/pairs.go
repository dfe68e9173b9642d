package incident

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/template"
)

// Pairs are the labels or annotations of an alert in one piece of memory: a map of
// five takes three times as much. Its JSON is that of the map. Two that hold the same
// are equal.
type Pairs struct {
	// Names and values, sorted by name; each is its length and its bytes.
	packed string
}

// PairsOf packs a map.
func PairsOf(kv template.KV) Pairs {
	if len(kv) == 0 {
		return Pairs{}
	}
	var arr [512]byte
	packed := arr[:0]
	for _, name := range slices.Sorted(maps.Keys(kv)) {
		packed = appendPacked(appendPacked(packed, name), kv[name])
	}
	return Pairs{packed: string(packed)}
}

func appendPacked[T string | []byte](packed []byte, s T) []byte {
	return append(binary.AppendUvarint(packed, uint64(len(s))), s...)
}

// All are the names and values, by name.
func (p Pairs) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for rest := p.packed; rest != ""; {
			var name, value string
			name, rest = cut(rest)
			value, rest = cut(rest)
			if !yield(name, value) {
				return
			}
		}
	}
}

// cut takes the first text off what appendPacked made.
func cut(s string) (first, rest string) {
	n, shift, i := 0, 0, 0
	for ; s[i] >= 0x80; i++ {
		n |= int(s[i]&0x7f) << shift
		shift += 7
	}
	n |= int(s[i]) << shift
	return s[i+1:][:n], s[i+1+n:]
}

// KV makes a map of them, which is the caller's.
func (p Pairs) KV() template.KV {
	kv := template.KV{}
	maps.Insert(kv, p.All())
	return kv
}

// MarshalJSON writes them as an object.
func (p Pairs) MarshalJSON() ([]byte, error) {
	out := make([]byte, 0, len(p.packed)*5/4+8)
	out = append(out, '{')
	for name, value := range p.All() {
		if len(out) > 1 {
			out = append(out, ',')
		}
		var err error
		if out, err = appendJSON(out, name); err != nil {
			return nil, err
		}
		if out, err = appendJSON(append(out, ':'), value); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

func appendJSON(out []byte, s string) ([]byte, error) {
	if plain(s) {
		return append(append(append(out, '"'), s...), '"'), nil
	}
	b, err := json.Marshal(s)
	return append(out, b...), err
}

// plain says whether s stands for itself between quotes.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// UnmarshalJSON reads an object of texts. It is called with JSON that is sound.
func (p *Pairs) UnmarshalJSON(b []byte) error {
	if sorted, ok := scan(b); ok {
		*p = sorted
		return nil
	}
	var kv template.KV
	if err := json.Unmarshal(b, &kv); err != nil {
		return err
	}
	*p = PairsOf(kv)
	return nil
}

// scan reads what MarshalJSON writes of texts that stand for themselves, which is
// nearly all that there is: a start with many incidents open takes half as long.
func scan(b []byte) (Pairs, bool) {
	if len(b) < 2 || b[0] != '{' || bytes.IndexByte(b, '\\') >= 0 || !utf8.Valid(b) {
		return Pairs{}, false
	}
	var arr [512]byte
	packed := arr[:0]
	var last []byte
	name := true
	for rest := b[1:]; len(rest) > 1; name = !name {
		end := bytes.IndexByte(rest[1:], '"') + 1
		if rest[0] != '"' || end <= 0 || end+1 >= len(rest) {
			return Pairs{}, false // a space, or something else than a text.
		}
		text := rest[1:end]
		packed = appendPacked(packed, text)
		rest = rest[end+1:]
		switch {
		case name && (last == nil || bytes.Compare(last, text) < 0) && rest[0] == ':':
			last, rest = text, rest[1:]
		case !name && rest[0] == ',':
			rest = rest[1:]
		case !name && len(rest) == 1 && rest[0] == '}':
		default:
			return Pairs{}, false
		}
	}
	return Pairs{packed: string(packed)}, true
}
