package main

import "testing"

func TestVerdict(t *testing.T) {
	const out = "=== RUN   TestTiers\n    --- FAIL: TestTiers/unknown (0.00s)\n--- FAIL: TestTiers (0.01s)\nFAIL\n"
	for _, tt := range []struct {
		name, out, word, test string
		want                  bool
	}{
		{"the test failed", out, "FAIL", "TestTiers", true},
		{"it did not pass", out, "PASS", "TestTiers", false},
		{"another of a longer name failed", "--- FAIL: TestTiersToo (0.00s)\n", "FAIL", "TestTiers", false},
		{"only a subtest said so", "    --- FAIL: TestTiers (0.00s)\n", "FAIL", "TestTiers", false},
		{"it panicked", "panic: oh no\n", "FAIL", "TestTiers", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := verdict(tt.out, tt.word, tt.test); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
