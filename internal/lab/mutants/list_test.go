package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../../.."

// Every mutant has a switch in the code and a test that is to fail, and no promise
// is without a mutant.
func TestListIsWhole(t *testing.T) {
	switches := switchesInCode(t)
	listed := map[string]bool{}
	var covered [11]bool
	for _, b := range list() {
		id := string(b.id)
		if listed[id] {
			t.Errorf("%s is listed twice", id)
		}
		listed[id], covered[b.promise] = true, true
		if !testExists(t, b.pkg, b.test) {
			t.Errorf("%s: %s has no test %s", id, b.pkg, b.test)
		}
	}
	for name, id := range constants(t) {
		if !listed[id] {
			t.Errorf("mutant.%s is not in the list", name)
		}
		if switches[name] == 0 {
			t.Errorf("mutant.%s has no switch in the code", name)
		}
	}
	for promise, ok := range covered {
		if promise > 0 && !ok {
			t.Errorf("promise %d has no mutant", promise)
		}
	}
}

// constants are the mutants that package mutant declares, by the constant's name.
func constants(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "internal/mutant/mutant.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST {
			continue
		}
		for _, spec := range gen.Specs {
			v := spec.(*ast.ValueSpec)
			ids[v.Names[0].Name] = strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`)
		}
	}
	return ids
}

// switchesInCode counts where the code that ships asks mutant.On, by the constant's name.
func switchesInCode(t *testing.T) map[string]int {
	t.Helper()
	found := map[string]int{}
	names := constants(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "lab"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for name := range names {
			found[name] += strings.Count(string(text), fmt.Sprintf("mutant.On(mutant.%s)", name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func testExists(t *testing.T, pkg, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "func "+test+"(") {
			return true
		}
	}
	return false
}
