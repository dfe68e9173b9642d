// Package image_test inspects what the Dockerfile ships: it runs the script of the
// build stage and looks into the root file system that it leaves.
package image_test

import (
	"bytes"
	"crypto/x509"
	"debug/elf"
	"encoding/pem"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// maxBinary is the most that the stripped static binary may weigh, in bytes.
const maxBinary = 25_000_000

const version = "1.2.3-test"

func TestRootFS(t *testing.T) {
	root := build(t)

	t.Run("holds what the program needs and nothing else", func(t *testing.T) {
		var got []string
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if path != root {
				got = append(got, info.Mode().String()+" "+strings.TrimPrefix(path, root))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"drwxr-xr-x /bin",
			"-rwxr-xr-x /bin/pagerelay",
			"drwxr-xr-x /etc",
			"-rw-r--r-- /etc/group",
			"drwxr-xr-x /etc/pagerelay",
			"-rw-r--r-- /etc/passwd",
			"drwxr-xr-x /etc/ssl",
			"drwxr-xr-x /etc/ssl/certs",
			"-rw-r--r-- /etc/ssl/certs/ca-certificates.crt",
			"drwxr-xr-x /var",
			"drwxr-xr-x /var/lib",
			"drwx------ /var/lib/pagerelay",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("root file system (-want +got):\n%s", diff)
		}
	})

	t.Run("binary is static, stripped and small", func(t *testing.T) {
		path := filepath.Join(root, "bin", "pagerelay")
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("binary: %d bytes", info.Size())
		if info.Size() > maxBinary {
			t.Errorf("got a binary of %d bytes, want at most %d", info.Size(), maxBinary)
		}
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
				t.Errorf("got a program header %v: the binary is not static", p.Type)
			}
		}
		if f.Section(".symtab") != nil {
			t.Error("got a symbol table, want a stripped binary")
		}
	})

	t.Run("CA roots parse", func(t *testing.T) {
		rest, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
		if err != nil {
			t.Fatal(err)
		}
		roots := 0
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Errorf("certificate %d: %v", roots, err)
				continue
			}
			if !cert.IsCA {
				t.Errorf("certificate of %v is no CA", cert.Subject)
			}
			roots++
		}
		if roots < 50 {
			t.Errorf("got %d CA roots, want at least 50", roots)
		}
	})

	t.Run("user is 65532", func(t *testing.T) {
		for file, want := range map[string]string{"passwd": "nonroot:x:65532:65532:", "group": "nonroot:x:65532:"} {
			text, err := os.ReadFile(filepath.Join(root, "etc", file))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), want) {
				t.Errorf("/etc/%s: got %q, want it to begin with %q", file, text, want)
			}
		}
	})

	t.Run("runs in it as that user", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("only root can change the root folder")
		}
		cmd := exec.Command("/bin/pagerelay", "--version")
		cmd.Env = []string{}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot:     root,
			Credential: &syscall.Credential{Uid: 65532, Gid: 65532},
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("pagerelay --version: %v\n%s", err, out)
		}
		if want := "pagerelay, version " + version + " "; !strings.HasPrefix(string(out), want) {
			t.Errorf("got %q, want it to begin with %q", out, want)
		}
	})
}

func TestBuildRefusesFullFolder(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("./build.sh", root).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is not empty") {
		t.Errorf("got %v, %q, want a refusal", err, out)
	}
}

// The Dockerfile cannot be run here; its last stage must fit what build.sh makes.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	joined := strings.ReplaceAll(string(text), "\\\n", " ")
	i := strings.LastIndex(joined, "\nFROM ")
	if i < 0 {
		t.Fatal("got one stage, want two")
	}
	build, last := joined[:i], strings.Split(strings.TrimSpace(joined[i:]), "\n")
	if !strings.Contains(build, "internal/lab/image/build.sh /rootfs\n") {
		t.Error("the build stage does not run internal/lab/image/build.sh into /rootfs")
	}
	for _, want := range []string{
		"FROM scratch",
		"USER 65532:65532",
		"EXPOSE 9095",
		`VOLUME ["/var/lib/pagerelay"]`,
		`ENTRYPOINT ["/bin/pagerelay"]`,
	} {
		if !slices.Contains(last, want) {
			t.Errorf("the last stage lacks the line %q", want)
		}
	}
	// README.md shows how to publish the port: with what CMD says, which it replaces, and an address.
	cmd := regexp.MustCompile(`CMD \[(.*)\]`).FindStringSubmatch(strings.Join(last, "\n"))
	if cmd == nil {
		t.Fatal("the last stage has no CMD")
	}
	shown := " pagerelay \\\n  " + strings.Join(strings.Split(strings.Trim(cmd[1], `"`), `", "`), " ") + " --web.listen-address=:9095\n"
	if readme, err := os.ReadFile("../../../README.md"); err != nil || !strings.Contains(string(readme), shown) {
		t.Errorf("README.md does not show%s(%v)", shown, err)
	}
	copied := regexp.MustCompile(`(?m)^COPY --from=build (--chown=65532:65532 )?/rootfs(\S+) (\S+)$`).
		FindAllStringSubmatch(strings.Join(last, "\n"), -1)
	var got []string
	for _, m := range copied {
		if m[2] != m[3] {
			t.Errorf("%s is copied to %s", m[2], m[3])
		}
		got = append(got, m[1]+m[2])
	}
	want := []string{"/bin/", "/etc/", "--chown=65532:65532 /var/lib/pagerelay/"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("copied from the build stage (-want +got):\n%s", diff)
	}
}

// build runs the build stage's script and returns the root file system.
func build(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the image is built on Linux")
	}
	root := filepath.Join(t.TempDir(), "rootfs")
	cmd := exec.Command("./build.sh", root)
	// Not the instrumentation of this test run.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS")
	}), "VERSION="+version)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, out.String())
	}
	return root
}
