package pagerduty

import "time"

// WithRESTTimeout is c with another time for a request.
func WithRESTTimeout(c *REST, d time.Duration) *REST {
	c.timeout = d
	return c
}
