package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/lab/volume"
)

// The disk hangs under a running pagerelay: it stays ready, a webhook is answered
// 200 once PagerDuty has its pages, within seconds, and when the disk answers again
// all of it is in the file: a SIGKILL shows that.
func TestDiskHangs(t *testing.T) {
	t.Parallel()
	volume.Need(t)
	dir := t.TempDir()
	image, storage := filepath.Join(dir, "image"), filepath.Join(dir, "storage")
	volume.Image(t, image, 64<<20)
	volume.Mount(t, image, storage)
	s := install(t, options{noAlertmanager: true, storage: storage})
	m := s.members[0]
	s.posted("A")

	thaw := volume.Freeze(t, storage)
	want := map[string]opened{"A": critical()}
	for _, name := range []string{"B", "C"} {
		began := time.Now()
		s.posted(name)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s was answered after %v, want 10s at most", name, took)
		}
		s.one(name) // it is at PagerDuty already.
		want[name] = critical()
	}
	s.inDirectMode(m, 1)
	resp, err := http.Get(m.relay.URL() + "/-/ready")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("/-/ready answers %s while pages go out, want 200", resp.Status)
	}

	thaw()
	s.inDirectMode(m, 0) // no further webhook comes.
	m.relay.Kill()
	s.restart(m.relay)
	if n, err := s.metric(m, `pagerelay_outbox_incidents{state="open"}`); err != nil || n != 3 {
		t.Errorf("%v incidents after a kill, %v; want 3", n, err)
	}
	s.holds(want)
	for name := range want {
		s.one(name)
	}
}

// posted posts a webhook with one alert, which must be answered 200.
func (s *installation) posted(name string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), soon)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.members[0].relay.URL()+"/webhook/alertmanager", bytes.NewReader(group([]string{name}, "")))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s is answered %s %q, %v; want 200", name, resp.Status, body, err)
	}
}

func (s *installation) inDirectMode(m *member, want float64) {
	s.t.Helper()
	s.eventually("direct mode", soon, func() error {
		got, err := s.metric(m, "pagerelay_outbox_direct_mode")
		if err == nil && got != want {
			err = fmt.Errorf("the metric is %v, want %v", got, want)
		}
		return err
	})
}
