package receiver

import (
	"time"

	"github.com/pagerelay/pagerelay/mapping"
)

// Decode is decode, for the fuzz tests.
func Decode(body []byte, maxDepth int) (*mapping.Group, error) { return decode(body, maxDepth) }

// DecodePosted is decodePosted, for the fuzz tests.
func DecodePosted(body []byte, maxDepth int, now time.Time) ([]*mapping.Group, error) {
	return decodePosted(body, maxDepth, now, 5*time.Minute)
}

// Precheck is precheck, for the fuzz tests.
func Precheck(body []byte, maxDepth int) (plain bool, err error) { return precheck(body, maxDepth, 2) }
