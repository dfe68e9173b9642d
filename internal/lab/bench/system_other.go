//go:build !linux

package main

import (
	"errors"
	"os"
)

func flush(f *os.File) error { return f.Sync() }

func evict(string) error { return errors.ErrUnsupported }
