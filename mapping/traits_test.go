package mapping_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pagerelay/pagerelay/mapping"
)

func TestUrgencyTraits(t *testing.T) {
	type traits struct{ opens, sends, first, autoAcks bool }
	want := map[mapping.Urgency]traits{
		mapping.High:         {opens: true, sends: true, first: true},
		mapping.Low:          {opens: true, sends: true},
		mapping.Acknowledged: {opens: true, sends: true, autoAcks: true},
		mapping.Change:       {sends: true},
		mapping.None:         {},
	}
	for _, u := range mapping.Urgencies() {
		if got := (traits{u.Opens(), u.Sends(), u.First(), u.AutoAcks()}); got != want[u] {
			t.Errorf("%s: got %+v, want %+v", u, got, want[u])
		}
	}
}

func TestOriginTraits(t *testing.T) {
	type traits struct{ known, endsByItself, ours bool }
	for o, want := range map[mapping.Origin]traits{
		mapping.OriginAlertmanager: {known: true},
		mapping.OriginGrafana:      {},
		mapping.OriginCoverage:     {ours: true},
		mapping.OriginTest:         {endsByItself: true},
		mapping.OriginSelf:         {endsByItself: true, ours: true},
	} {
		if got := (traits{o.KnownToAlertmanager(), o.EndsByItself(), o.Ours()}); got != want {
			t.Errorf("%s: got %+v, want %+v", o, got, want)
		}
	}
}

// Whoever asks what an urgency or an origin does asks for a trait: a comparison
// elsewhere would be one more place to change for a new one.
func TestNobodyComparesUrgenciesOrOrigins(t *testing.T) {
	value := regexp.MustCompile(`^(High|Low|Acknowledged|Change|None|Origin[A-Z]\w+)$`)
	is := func(e ast.Expr) bool {
		s, ok := e.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		x, ok := s.X.(*ast.Ident)
		return ok && x.Name == "mapping" && value.MatchString(s.Sel.Name)
	}
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == filepath.Join("..", "mapping") || d.Name() == "lab" || strings.HasPrefix(d.Name(), ".") && path != ".."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		files++
		ast.Inspect(file, func(n ast.Node) bool {
			if b, ok := n.(*ast.BinaryExpr); ok && (b.Op == token.EQL || b.Op == token.NEQ) && (is(b.X) || is(b.Y)) {
				t.Errorf("%s compares an urgency or an origin; ask for a trait of mapping/traits.go", fset.Position(n.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("looked at %d files, want all of them", files)
	}
}
