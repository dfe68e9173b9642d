package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// breakFiles writes the mutant's files under dir, and the overlay that puts them in
// place of the real ones.
func breakFiles(dir string, m mutant) (overlay string, err error) {
	broken := map[string][]byte{} // by the real file's path.
	replace := map[string]string{}
	for _, e := range m.Edits {
		path, err := filepath.Abs(filepath.FromSlash(e.File))
		if err != nil {
			return "", err
		}
		if broken[path] == nil {
			if broken[path], err = os.ReadFile(path); err != nil {
				return "", err
			}
		}
		if n := bytes.Count(broken[path], []byte(e.Old)); n != 1 {
			return "", fmt.Errorf("%s: what is to be broken stands there %d times, want once: %q", e.File, n, e.Old)
		}
		broken[path] = bytes.Replace(broken[path], []byte(e.Old), []byte(e.New), 1)
		// Under its whole path: packages have files of the same name.
		replace[path] = filepath.Join(dir, "broken", filepath.FromSlash(e.File))
	}
	for path, text := range broken {
		if err := os.MkdirAll(filepath.Dir(replace[path]), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(replace[path], text, 0o600); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}
