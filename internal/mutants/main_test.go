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
		for _, e := range m.Edits {
			src, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(e.File)))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(src), e.Old); n != 1 {
				t.Errorf("%s: %s holds what is to be broken %d times, want once: %q", m.Name, e.File, n, e.Old)
			}
			if e.Old == e.New {
				t.Errorf("%s changes nothing", m.Name)
			}
		}
	}
}
