//go:build race

package alertmanager_test

const raceEnabled = true
