package outbox_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/volume"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

const powerCutDir = "PAGERELAY_TEST_POWER_CUT_DIR"

// TestPowerCut cuts the power of a disk, as a file system sees it: the outbox is
// on an ext4 of its own whose device is a file in memory, so that what was not
// synced is in the page cache and nowhere else. At a random moment the writer is
// stopped and the device copied; the copy is what a machine would find when it
// comes up again. Everything that was acknowledged must be there.
func TestPowerCut(t *testing.T) {
	if dir := os.Getenv(powerCutDir); dir != "" {
		powerCutWriter(t, dir)
		return
	}
	volume.Need(t)
	cuts := 3
	if s := os.Getenv("PAGERELAY_POWER_CUTS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("PAGERELAY_POWER_CUTS: %v", err)
		}
		cuts = n
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	acknowledged := 0
	for range cuts {
		acknowledged += powerCut(t, time.Duration(50+rnd.IntN(400))*time.Millisecond)
	}
	if !t.Failed() {
		t.Logf("%d power cuts, %d acknowledged webhooks, 0 lost", cuts, acknowledged)
	}
}

func powerCut(t *testing.T, after time.Duration) int {
	t.Helper()
	work := quickDir(t)
	disk, mnt := filepath.Join(work, "disk"), filepath.Join(work, "mnt")
	volume.Image(t, disk, 32<<20)
	volume.Mount(t, disk, mnt)

	writer := exec.Command(os.Args[0], "-test.run=^TestPowerCut$", "-test.v=false")
	writer.Env = append(os.Environ(), powerCutDir+"="+mnt)
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = writer.Process.Kill() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() { // the first acknowledgement: it is at work.
		t.Fatalf("the writer ended at once: %v", writer.Wait())
	}
	acknowledged := []string{lines.Text()}
	stop := time.AfterFunc(after, func() { _ = writer.Process.Signal(syscall.SIGSTOP) })
	defer stop.Stop()

	// Wait until it has been stopped; what it said until then is in the pipe.
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(writer.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("wait for the writer to stop: %v, %v", err, status)
	}
	found := copyDisk(t, disk)
	if err := writer.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		acknowledged = append(acknowledged, lines.Text())
	}
	_ = writer.Wait() // killed: its error says no more.
	volume.Unmount(t, mnt)

	mnt2 := filepath.Join(work, "after")
	volume.Mount(t, found, mnt2)
	s := open(t, mnt2, incident.Policy{})
	if s.Damaged() != "" {
		t.Errorf("the file was found damaged: %s", s.Damaged())
	}
	for _, line := range acknowledged {
		fp, ok := strings.CutPrefix(line, "ack ")
		if !ok {
			continue
		}
		if _, ok := s.Get(incident.ID("infra", fp)); !ok {
			t.Errorf("%s was acknowledged and is not there after the power cut", fp)
		}
	}
	s.stop()
	volume.Unmount(t, mnt2)
	return len(acknowledged)
}

// powerCutWriter takes in webhooks from eight clients and says which it acknowledged.
func powerCutWriter(t *testing.T, dir string) {
	t.Helper()
	s, err := outbox.Open(dir, outbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	go func() { _ = s.Run(ctx) }()
	said := make(chan string)
	for c := range 8 {
		go func() {
			for i := 0; ; i++ {
				fp := fmt.Sprintf("%d-%d", c, i)
				if err := s.Observe(ctx, []mapping.Observation{alert{fp: fp}.observation()}); err != nil {
					return
				}
				said <- fp
			}
		}()
	}
	for fp := range said {
		if _, err := fmt.Fprintln(os.Stdout, "ack "+fp); err != nil {
			return
		}
	}
}

func copyDisk(t *testing.T, disk string) string {
	t.Helper()
	src, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(disk + ".after")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(dst, src); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
	return disk + ".after"
}
