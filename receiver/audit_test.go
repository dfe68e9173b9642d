package receiver_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/receiver"
)

func audited(path string) receiver.Access {
	return receiver.Access{
		Tokens: []receiver.Token{
			{Name: "am", SHA256: secret(hashOf("am")), Audit: true},
			{Name: "quiet", SHA256: secret(hashOf("quiet"))},
		},
		AuditLog: &receiver.AuditLog{Path: path},
	}
}

func readLines(t *testing.T, path string) []map[string]any {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	for line := range strings.Lines(string(b)) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("got line %q: %v", line, err)
		}
		out = append(out, v)
	}
	return out
}

func TestAuditLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	d := open(t, receiver.Config{Now: clock("2026-11-22T10:00:00Z")}, audited(path))
	d.mux.Handle("/admin", d.recv.Authorize("read-write", http.NotFoundHandler()))
	body := strings.Replace(capture(t, "03-partially-resolved.json"), `"truncatedAlerts":0`, `"truncatedAlerts":7`, 1)
	wantCode(t, d.post(body, bearer("am")), 200)
	wantCode(t, d.post(body, bearer("quiet")), 200)
	wantCode(t, d.post("{", bearer("am")), 400)
	wantCode(t, d.send("/admin?secret=1", nil, bearer("am")), 404)

	common := func(path string, code float64) map[string]any {
		return map[string]any{
			"time": "2026-11-22T10:00:00Z", "token": "am", "remote": "192.0.2.1:1234", "method": "POST", "path": path,
			"code": code, "firing": 0.0, "resolved": 0.0, "truncated": 0.0,
		}
	}
	first := common("/webhook/alertmanager", 200)
	first["receiver"], first["group_key"] = "default", `{}:{alertname="DiskFull"}`
	first["firing"], first["resolved"], first["truncated"] = 2.0, 1.0, 7.0
	var group struct {
		Receiver, GroupKey string
		Alerts             []struct{ Fingerprint, Status string }
	}
	if err := json.Unmarshal([]byte(body), &group); err != nil {
		t.Fatal(err)
	}
	first["receiver"], first["group_key"] = group.Receiver, group.GroupKey
	var alerts []any
	for _, a := range group.Alerts {
		alerts = append(alerts, map[string]any{"fingerprint": a.Fingerprint, "status": a.Status})
	}
	first["alerts"] = alerts
	want := []map[string]any{first, common("/webhook/alertmanager", 400), common("/admin", 404)}
	if diff := cmp.Diff(want, readLines(t, path)); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Mode().Perm(); got != 0o600 {
		t.Errorf("got mode %o, want 600", got)
	}
}

func TestAuditFailureCostsNoPage(t *testing.T) {
	d := open(t, receiver.Config{}, audited(filepath.Join(t.TempDir(), "missing", "audit.jsonl")))
	wantCode(t, d.post(oneAlert, bearer("am")), 200)
	if len(d.sink.stored()) != 1 {
		t.Errorf("got %d observations, want 1", len(d.sink.stored()))
	}
	d.wantMetric(`pagerelay_audit_log_failures_total 1`)
	if !strings.Contains(d.logged(), "audit record not written") {
		t.Errorf("got no word of it in the log: %s", d.logged())
	}
}

// TestAuditRotation: no file over the limit, none beyond keep, no record lost
// among those kept, whoever writes at the same time.
func TestAuditRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	access := audited(path)
	access.AuditLog.MaxSize, access.AuditLog.Keep = "2KB", 3
	d := open(t, receiver.Config{}, access)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if w := d.post(oneAlert, bearer("am")); w.Code != 200 {
					t.Errorf("got %d", w.Code)
				}
			}
		})
	}
	wg.Wait()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 2<<10 {
			t.Errorf("got %s of %d bytes, want 2048 at most", e.Name(), info.Size())
		}
		n := len(readLines(t, filepath.Join(dir, e.Name())))
		if e.Name() != "audit.jsonl" && n < 5 {
			t.Errorf("got %d records in %s, want a full file", n, e.Name())
		}
	}
	if diff := cmp.Diff([]string{"audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3"}, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	d.wantMetric(`pagerelay_audit_log_failures_total 0`)
}

// TestAuditGrowsWhenItCannotRotate: where the full file cannot be put aside,
// records are still written.
func TestAuditGrowsWhenItCannotRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.MkdirAll(filepath.Join(path+".1", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	access := audited(path)
	access.AuditLog.MaxSize, access.AuditLog.Keep = "1B", 1
	d := open(t, receiver.Config{}, access)
	for range 3 {
		wantCode(t, d.post(oneAlert, bearer("am")), 200)
	}
	if got := len(readLines(t, path)); got != 3 {
		t.Errorf("got %d records, want 3", got)
	}
	d.wantMetric(`pagerelay_audit_log_failures_total 2`)
}

func TestAuditFollowsReload(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	d := open(t, receiver.Config{}, audited(first))
	wantCode(t, d.post(oneAlert, bearer("am")), 200)
	if err := d.recv.SetPolicy(oneToOne{}, audited(second)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, d.post(oneAlert, bearer("am")), 200)
	for _, path := range []string{first, second} {
		if got := len(readLines(t, path)); got != 1 {
			t.Errorf("got %d records in %s, want 1", got, path)
		}
	}
}
