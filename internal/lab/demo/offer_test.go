package main

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The command with which the user is to begin does what it says, and warns of nothing.
func TestOfferedAlertIsWhatAmtoolTakes(t *testing.T) {
	amtool, err := filepath.Abs("../../../.tools/bin/amtool")
	if err != nil {
		t.Fatal(err)
	}
	if named := os.Getenv("AMTOOL_BIN"); named != "" {
		amtool = named
	}
	if _, err := os.Stat(amtool); errors.Is(err, fs.ErrNotExist) {
		if os.Getenv("PAGERELAY_REQUIRE_ALERTMANAGER") == "1" {
			t.Fatalf("no amtool in %s", amtool)
		}
		t.Skipf("no amtool in %s; `make alertmanager` builds it", amtool)
	}
	var taken bytes.Buffer
	am := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = taken.ReadFrom(r.Body) // what is missing is seen below.
	}))
	defer am.Close()
	var offer bytes.Buffer
	d := &demo{paths: paths{amtool: amtool, pagerelay: "pagerelay"}, out: &offer, amURL: am.URL}
	d.offer()
	_, command, _ := strings.Cut(offer.String(), "To try:\n")
	command, _, _ = strings.Cut(strings.TrimSpace(command), "\n")
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s\n%v, got %q, want no output", command, err, out)
	}
	if want := `"annotations":{"summary":"The disk is full"}`; !strings.Contains(taken.String(), want) {
		t.Errorf("Alertmanager got %s, want %s in it", taken.String(), want)
	}
}
