// Package docs_test holds the texts for users against the program.
package docs_test

import (
	"context"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.yaml.in/yaml/v4"

	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/lab/e2e/stack"
)

const patience = 30 * time.Second // for the program to start or stop.

// Every metric is listed in metrics.md with its labels, and no other is.
func TestMetricsAreListed(t *testing.T) {
	want := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\S+)` \\| (counter|gauge|histogram) \\|").FindAllStringSubmatch(read(t, "metrics.md"), -1) {
		want["pagerelay_"+m[1]] = m[2]
	}

	dir := t.TempDir()
	bin := filepath.Join(dir, "pagerelay")
	if out, err := exec.Command("go", "build", "-o", bin, "../cmd/pagerelay").CombinedOutput(); err != nil {
		t.Fatalf("build pagerelay: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "pagerelay.yml")
	if err := os.WriteFile(file, []byte("services: {ops: {routing_key_file: key}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, err := stack.Start(ctx, stack.Program{
		Name: "pagerelay", Path: bin, Addr: stack.Loopback() + ":0",
		Args: []string{"--config.file=" + file, "--storage.path=" + filepath.Join(dir, "data")},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	t.Cleanup(func() {
		if err := p.Stop(patience); err != nil {
			t.Error(err)
		}
	})
	page := get(t, p.URL()+"/metrics")
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("metric %s: %s", problem.Metric, problem.Text)
	}
	got := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (pagerelay_\S+) (\S+)$`).FindAllStringSubmatch(page, -1) {
		got[m[1]] = m[2]
	}
	// They have no series before the first alert or audit.
	for _, name := range []string{
		"pagerelay_alerts_total", "pagerelay_coverage_schedule_engineers", "pagerelay_coverage_schedule_coverage_ratio",
		"pagerelay_coverage_next_gap_start_timestamp_seconds",
	} {
		if _, ok := got[name]; !ok {
			got[name] = want[name]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics of metrics.md and of the program (-want +got):\n%s", diff)
	}
}

// The YAML of the texts is what a user copies.
func TestYAMLBlocksAreValid(t *testing.T) {
	blocks := 0
	for _, file := range []string{"../README.md", "configuration.md", "coverage.md", "grafana.md", "metrics.md", "operations.md"} {
		for _, m := range regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```$").FindAllStringSubmatch(read(t, file), -1) {
			blocks++
			text := regexp.MustCompile("(?m)^"+m[1]).ReplaceAllString(m[2], "")
			var tree map[string]any
			if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
				t.Errorf("%s: %v in:\n%s", file, err, text)
				continue
			}
			_, whole := tree["services"]
			if _, ok := tree["tiers"]; ok && !whole {
				text += "services: {ops: {routing_key_file: key}}\n"
				tree["services"] = nil
			}
			if _, ok := tree["services"]; !ok {
				continue // Alertmanager's or Prometheus' configuration.
			}
			if _, err := config.Parse([]byte(text), "."); err != nil {
				t.Errorf("%s: %v in:\n%s", file, err, text)
			}
		}
	}
	if blocks < 5 {
		t.Errorf("got %d blocks of YAML, want at least 5", blocks)
	}
}

// Every path that a text links to or names as a file exists.
func TestLinksLead(t *testing.T) {
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "../README.md", "../CONTRIBUTING.md", "../internal/lab/README.md", "../examples/amtool.md", "../examples/kubernetes/README.md") {
		for _, m := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(read(t, file), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
			}
		}
	}
}

// Every test that a text names exists: as `package.Test` in that package, alone,
// as in a command, in any.
func TestNamedTestsExist(t *testing.T) {
	exists := map[string]bool{} // test, and package.test.
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "..":
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		pkg := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../")
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(read(t, path), -1) {
			exists[m[1]], exists[pkg+"."+m[1]] = true, true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "../README.md") {
		names := regexp.MustCompile(`(?:\b[a-z][a-z/0-9]*\.)?\b(?:Test|Fuzz)[A-Z]\w+`).FindAllString(read(t, file), -1)
		if file == "proofs.md" && len(names) < 100 {
			t.Errorf("%s names %d tests, want several for each promise", file, len(names))
		}
		for _, name := range names {
			if !exists[name] {
				t.Errorf("%s names %s: there is no such test", file, name)
			}
		}
	}
}

// Every target that a text names is in the Makefile.
func TestMakeTargetsExist(t *testing.T) {
	makefile := read(t, "../Makefile")
	used := map[string]bool{}
	for _, file := range []string{"../README.md", "../examples/amtool.md", "proofs.md"} {
		for _, m := range regexp.MustCompile("(?m)(?:^|`)make ([a-z -]+)").FindAllStringSubmatch(read(t, file), -1) {
			for target := range strings.FieldsSeq(m[1]) {
				used[target] = true
			}
		}
	}
	if len(used) < 4 {
		t.Errorf("got the targets %v, want at least 4", slices.Sorted(maps.Keys(used)))
	}
	for target := range used {
		if !strings.Contains(makefile, "\n"+target+":") {
			t.Errorf("the Makefile has no target %s", target)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
