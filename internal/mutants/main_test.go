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

// docs/contract.md tells of every mutant, and of no other.
func TestDocsListEveryMutant(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "contract.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## What breaks the tests")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := 0
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| ") {
			rows++
		}
	}
	const head = 2
	if want := head + len(mutants()); rows != want {
		t.Errorf("the table of contract.md has %d rows, want %d", rows, want)
	}
	for _, m := range mutants() {
		if !strings.Contains(table, "\n| "+m.Name+" |") {
			t.Errorf("contract.md does not tell of %q", m.Name)
		}
	}
}
