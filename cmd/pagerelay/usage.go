package main

import (
	"fmt"
	"strconv"

	"github.com/alecthomas/kingpin/v2"
)

// usageError is a command line that is wrong in a way that kingpin cannot see.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// misused makes an error that the program exits with 2 for.
func misused(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// number is a flag whose value is a whole number of at least min. What kingpin itself
// says of another is a function's name of Go's.
type number struct {
	flag string
	min  int
	n    *int
}

func numberVar(f *kingpin.FlagClause, minimum, preset int, n *int) {
	f.Default(strconv.Itoa(preset)).SetValue(number{flag: f.Model().Name, min: minimum, n: n})
}

// Set implements kingpin.Value.
func (v number) Set(s string) error {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return fmt.Errorf("--%s: %q is not a whole number", v.flag, s)
	case n < v.min:
		return fmt.Errorf("--%s: must be at least %d, got %d", v.flag, v.min, n)
	}
	*v.n = n
	return nil
}

// String implements kingpin.Value.
func (v number) String() string {
	if v.n == nil {
		return ""
	}
	return strconv.Itoa(*v.n)
}
