//go:build !race

// Package race says whether the race detector runs, under which figures of time and
// memory say nothing.
package race

// Enabled says whether the race detector runs.
const Enabled = false
