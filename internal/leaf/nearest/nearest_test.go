package nearest_test

import (
	"strings"
	"testing"

	"github.com/pagerelay/pagerelay/internal/leaf/nearest"
)

func TestWord(t *testing.T) {
	known := []string{"services", "service", "routing_key", "routing_key_file", "ops", "infra"}
	for word, want := range map[string]string{
		"servicse":                "services",
		"Service":                 "service",
		"routing_keyfile":         "routing_key_file",
		"routing_key_fiel":        "routing_key_file",
		"infar":                   "infra", // two letters swapped are one mistake.
		"inbox":                   "",
		"infr":                    "infra",
		"opps":                    "ops",
		"dev":                     "",
		"":                        "",
		strings.Repeat("ops", 99): "",
	} {
		if got := nearest.Word(word, known); got != want {
			t.Errorf("%.20q: got %q, want %q", word, got, want)
		}
	}
}
