package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// fields are what a struct has in YAML.
type fields struct {
	types  map[string]reflect.Type
	names  []string     // sorted.
	others reflect.Type // of the fields that are not named; nil if there may be none.
}

// fieldsOf lists the fields of a struct, with those of the structs and the map that it
// takes in.
func fieldsOf(t reflect.Type) fields {
	fs := fields{types: map[string]reflect.Type{}}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case slices.Contains(strings.Split(options, ","), "inline"):
			in := f.Type
			if in.Kind() == reflect.Pointer {
				in = in.Elem()
			}
			if in.Kind() == reflect.Map {
				fs.others = in.Elem()
				continue
			}
			inner := fieldsOf(in)
			maps.Copy(fs.types, inner.types)
			if inner.others != nil {
				fs.others = inner.others
			}
		case name == "":
			fs.types[strings.ToLower(f.Name)] = f.Type // as the YAML package names it.
		default:
			fs.types[name] = f.Type
		}
	}
	for name := range fs.types {
		fs.names = append(fs.names, name)
	}
	slices.Sort(fs.names)
	return fs
}

// readsItself says whether a type has a method to read YAML, of either kind.
func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[yaml.Unmarshaler]()) ||
		p.Implements(reflect.TypeFor[interface{ UnmarshalYAML(func(any) error) error }]())
}

// hasFields says whether t is a struct whose fields are those of the YAML, as their tags
// tell. What reads itself may have others.
func hasFields(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for f := range t.Fields() {
		if _, ok := f.Tag.Lookup("yaml"); !ok && f.IsExported() {
			return false
		}
	}
	return true
}
