package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Path string // of the field, as in rules[3].service; "" for the file as a whole.
	Line int    // in the file; 0 if it is not known.
	Text string // what is wrong and how to fix it; holds no secret.

	meant string // the path of the field that an unknown one was probably meant for.
}

func (f Fault) Error() string {
	switch {
	case f.Path != "" && f.Line > 0:
		return fmt.Sprintf("%s: %s (line %d)", f.Path, f.Text, f.Line)
	case f.Path != "":
		return f.Path + ": " + f.Text
	case f.Line > 0:
		return fmt.Sprintf("line %d: %s", f.Line, f.Text)
	}
	return f.Text
}

// Faults is everything that is wrong with a configuration, in the order of its
// lines. It is the error of Load and Parse for a file that could be read.
type Faults []Fault

// Error has one line for each fault.
func (fs Faults) Error() string {
	texts := make([]string, len(fs))
	for i, f := range fs {
		texts[i] = f.Error()
	}
	return strings.Join(texts, "\n")
}

func (fs *Faults) add(path, format string, args ...any) {
	*fs = append(*fs, Fault{Path: path, Text: fmt.Sprintf(format, args...)})
}

// addAll takes the errors that err joins; the text of each starts with a path
// below prefix, and a colon.
func (fs *Faults) addAll(prefix string, err error) {
	if err == nil {
		return
	}
	// Not errors.As: it would find what one fault wraps, and take its parts for
	// faults that have no path.
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			fs.addAll(prefix, e)
		}
		return
	}
	path, text, ok := strings.Cut(err.Error(), ": ")
	if !ok {
		path, text = strings.TrimSuffix(prefix, "."), path
	} else {
		path = prefix + path
	}
	*fs = append(*fs, Fault{Path: path, Text: text})
}

// concern says whether a fault of fs makes a judgement of the value at path moot:
// it, something above it or a field of its own could not be read, and is at its
// zero value, or its name is misspelt. A fault of the file as a whole concerns everything.
func (fs Faults) concern(path string) bool {
	return slices.ContainsFunc(fs, func(f Fault) bool {
		return f.Path == "" || f.Path == path || f.meant == path && path != "" || parent(f.Path) == path && path != "" ||
			strings.HasPrefix(path, f.Path+".") || strings.HasPrefix(path, f.Path+"[")
	})
}

// sorted gives each fault its line, and the faults the order of their lines. A
// field that is missing has the line of the one that it is missing from.
func (fs Faults) sorted(lines map[string]int) Faults {
	for i := range fs {
		for path := fs[i].Path; fs[i].Line == 0 && path != ""; path = parent(path) {
			fs[i].Line = lines[path]
		}
	}
	slices.SortStableFunc(fs, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return fs
}

// parent cuts the last field or index off a path.
func parent(path string) string {
	return path[:max(strings.LastIndexByte(path, '.'), strings.LastIndexByte(path, '['), 0)]
}
