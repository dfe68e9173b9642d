package volume_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pagerelay/pagerelay/internal/lab/volume"
)

// CI asks this test whether the others can run.
func TestMounts(t *testing.T) {
	volume.Need(t)
	image, mnt := filepath.Join(volume.Tmpfs(t, "size=16m"), "image"), filepath.Join(t.TempDir(), "mnt")
	volume.Image(t, image, 8<<20)
	volume.Mount(t, image, mnt)
	file := filepath.Join(mnt, "file")
	if err := os.WriteFile(file, []byte("there"), 0o600); err != nil {
		t.Fatal(err)
	}
	volume.Freeze(t, mnt)()
	volume.Unmount(t, mnt)
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is there without its volume: %v", err)
	}
	volume.Mount(t, image, mnt)
	if b, err := os.ReadFile(file); err != nil || string(b) != "there" {
		t.Errorf("got %q, %v; want what was written", b, err)
	}
}
