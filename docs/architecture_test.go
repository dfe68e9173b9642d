package docs_test

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The picture in architecture.md has the arrows that the code has, and no others.
func TestArchitectureIsDrawn(t *testing.T) {
	const module = "github.com/pagerelay/pagerelay/"
	cmd := exec.Command("go", "list", "-f", `{{$from := .ImportPath}}{{range .Imports}}{{$from}} {{.}}{{"\n"}}{{end}}`, "./...")
	cmd.Dir = ".."
	list, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	// Programs know every room, and what every room may know (a leaf) is no arrow worth drawing.
	left := regexp.MustCompile(`^(cmd|internal/lab|internal/emulator|internal/leaf|internal/mutant|docs|examples)(/|$)`)
	var want []string
	for line := range strings.Lines(string(list)) {
		from, to, _ := strings.Cut(strings.TrimSpace(line), " ")
		from, fromOurs := strings.CutPrefix(from, module)
		to, toOurs := strings.CutPrefix(to, module)
		if fromOurs && toOurs && !left.MatchString(from) && !left.MatchString(to) {
			want = append(want, from+" --> "+to)
		}
	}
	_, picture, _ := strings.Cut(read(t, "architecture.md"), "```mermaid\ngraph TD\n")
	picture, _, _ = strings.Cut(picture, "```")
	got := strings.Split(strings.TrimSpace(picture), "\n")
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) == 0 {
		t.Fatal("go list named no import of ours")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("arrows (-code +architecture.md):\n%s", diff)
	}
}
