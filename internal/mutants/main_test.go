package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mutant whose line has changed breaks nothing and proves nothing.
func TestEveryMutantBreaksALine(t *testing.T) {
	for _, m := range mutants() {
		src, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(m.File)))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(src), m.Old); n != 1 {
			t.Errorf("%s: %s holds what is to be broken %d times, want once: %q", m.Name, m.File, n, m.Old)
		}
		if m.Old == m.New {
			t.Errorf("%s changes nothing", m.Name)
		}
	}
}
