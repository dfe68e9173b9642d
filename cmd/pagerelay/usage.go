package main

import "fmt"

// usageError is a command line that is wrong in a way that kingpin cannot see.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// misused makes an error that the program exits with 2 for.
func misused(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }
