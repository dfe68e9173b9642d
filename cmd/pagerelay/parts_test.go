package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The auditor is told of the fallbacks, or it takes every report for one without.
func TestAuditorKnowsFallbacks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pagerelay.yml")
	const text = `
services:
  infra: {routing_key: pagerelayemulator000000000000001, fallback: sre}
  sre: {routing_key: pagerelayemulator000000000000003}
defaults: {service: sre}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := loadParts(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.coverage.Fallback; got["infra"] != "sre" || got["sre"] != "" {
		t.Errorf("got fallbacks %v, want sre of infra alone", got)
	}
}
