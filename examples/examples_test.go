// Package examples_test loads or runs everything in this folder.
package examples_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/e2e/stack"
	"github.com/pagerelay/pagerelay/mapping"
)

func TestEveryYAMLParses(t *testing.T) {
	var got []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yml" {
			return err
		}
		got = append(got, path)
		if len(documents(t, path)) == 0 {
			t.Errorf("%s is empty", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"alertmanager.yml",
		"kubernetes/configmap.yml", "kubernetes/secret.yml", "kubernetes/service.yml", "kubernetes/statefulset.yml",
		"pagerelay-full.yml", "pagerelay-minimal.yml",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("YAML files (-want +got):\n%s", diff)
	}
}

func TestPagerelayConfigsLoad(t *testing.T) {
	for _, name := range []string{"pagerelay-minimal.yml", "pagerelay-full.yml"} {
		if _, err := config.Load(name); err != nil {
			t.Errorf("%s:\n%v", name, err)
		}
	}
}

// pagerelay-full.yml says that it has every field: no field may be added without it.
func TestFullConfigHasEveryField(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal(read(t, "pagerelay-full.yml"), &root); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	collect("", root.Content[0], have)
	// What is told in a comment, because the file has the other one of the pair.
	for _, path := range []string{"pagerduty.api_token", "access.tokens.sha256"} {
		have[path] = true
		if name := path[strings.LastIndexByte(path, '.')+1:]; !bytes.Contains(read(t, "pagerelay-full.yml"), []byte("# "+name+": ...")) {
			t.Errorf("pagerelay-full.yml says nothing of %s", path)
		}
	}
	for _, path := range fields("", reflect.TypeFor[config.Config]()) {
		// What a rule may set is shown once, at the defaults.
		rest, isRule := strings.CutPrefix(path, "rules.")
		if !have[path] && !(isRule && have["defaults."+rest]) {
			t.Errorf("pagerelay-full.yml lacks %s", path)
		}
	}
}

// collect notes the path of every field below n. The places in a list leave no
// trace in it, nor do the names of services.
func collect(path string, n *yaml.Node, have map[string]bool) {
	have[path] = true
	switch n.Kind {
	case yaml.SequenceNode:
		for _, value := range n.Content {
			collect(path, value, have)
		}
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			name, value := n.Content[i].Value, n.Content[i+1]
			if path == "" && name == "services" {
				value.Kind = yaml.SequenceNode // of names and services.
			}
			collect(strings.TrimPrefix(path+"."+name, "."), value, have)
		}
	}
}

// fields lists the paths of the fields of our own configuration types.
func fields(path string, typ reflect.Type) []string {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
		typ = typ.Elem()
	}
	ours := strings.HasPrefix(typ.PkgPath(), "github.com/pagerelay/pagerelay/")
	if typ.Kind() != reflect.Struct || !ours || typ == reflect.TypeFor[mapping.DedupBy]() {
		return nil
	}
	var paths []string
	for field := range typ.Fields() {
		name, opts, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if name == "-" {
			continue
		}
		at := path
		if opts != "inline" {
			at = strings.TrimPrefix(path+"."+name, ".")
			paths = append(paths, at)
		}
		paths = append(paths, fields(at, field.Type)...)
	}
	return paths
}

func TestAlertmanagerAcceptsItsConfig(t *testing.T) {
	amtoolChecks(t, "alertmanager.yml")
}

// amtoolChecks has the real amtool check an Alertmanager configuration.
func amtoolChecks(t *testing.T, path string) {
	t.Helper()
	out, err := exec.Command(amtool(t), "check-config", path).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("SUCCESS")) {
		t.Errorf("amtool check-config %s: %v\n%s", path, err, out)
	}
}

// README.md names alertmanager.yml beside pagerelay-minimal.yml: the one must reach
// the other as they stand, but for addresses, the place of the key, and a wait.
func TestAlertmanagerPagesThroughTheMinimalConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	replaced := func(file string, pairs ...string) string {
		text := string(read(t, file))
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(text, pairs[i]) {
				t.Fatalf("%s has no %q", file, pairs[i])
			}
		}
		return strings.NewReplacer(pairs...).Replace(text)
	}
	start := func(path string, args ...string) *stack.Process {
		p, err := stack.Start(t.Context(), stack.Program{Name: filepath.Base(path), Path: path, Args: args, Addr: "127.0.0.1:0"})
		t.Cleanup(func() {
			if err := p.Stop(patience); err != nil || t.Failed() {
				t.Errorf("%s: %v, log:\n%s", path, err, p.Tail(20))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	pd := stack.Emulator{URL: start(built(t, "pagerduty-emulator")).URL()}
	minimal := replaced("pagerelay-minimal.yml", "/etc/pagerelay/keys/ops", write("key", emulator.DefaultRoutingKey))
	relay := start(built(t, "pagerelay"), "serve", "--storage.path="+filepath.Join(dir, "data"),
		"--config.file="+write("pagerelay.yml", minimal+"\npagerduty: {events_url: '"+pd.URL+"'}\n"))
	am := start(tool(t, "alertmanager"), "--cluster.listen-address=", "--storage.path="+filepath.Join(dir, "alertmanager"),
		"--config.file="+write("alertmanager.yml", replaced("alertmanager.yml", "http://127.0.0.1:9095", relay.URL(), "group_wait: 10s", "group_wait: 100ms")))

	if out, err := exec.Command(amtool(t), "--alertmanager.url="+am.URL(), "alert", "add", "DiskFull", "severity=critical").CombinedOutput(); err != nil {
		t.Fatalf("amtool: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		list, err := pd.Incidents(ctx)
		if err != nil {
			t.Fatalf("the alert is no incident: %v", err)
		}
		if len(list) == 1 && list[0].Urgency == "high" {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// amtool is where the real amtool is.
func amtool(t *testing.T) string {
	t.Helper()
	return tool(t, "amtool")
}

// tool is where a program of Alertmanager's is. `make test` puts it there.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../.tools/bin/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if named := os.Getenv(strings.ToUpper(name) + "_BIN"); named != "" {
		path = named
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if os.Getenv("PAGERELAY_REQUIRE_ALERTMANAGER") == "1" {
			t.Fatalf("no %s in %s", name, path)
		}
		t.Skipf("no %s in %s; `make alertmanager` builds it", name, path)
	}
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// documents decodes all documents of a YAML file.
func documents(t *testing.T, path string) []*yaml.Node {
	t.Helper()
	dec := yaml.NewDecoder(bytes.NewReader(read(t, path)))
	var docs []*yaml.Node
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		docs = append(docs, &doc)
	}
}
