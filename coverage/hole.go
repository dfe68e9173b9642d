package coverage

import "time"

// HoleReason is why a page opens nothing.
type HoleReason string

// The reasons.
const (
	NobodyOnCall     HoleReason = "nobody_on_call"
	DisabledService  HoleReason = "service_disabled"
	UnderMaintenance HoleReason = "service_in_maintenance"
)

// Hole is a time in which PagerDuty accepts a page and opens no incident.
type Hole struct {
	Reason HoleReason
	// Until is when it ends; zero where that is not known.
	Until time.Time
	// Policy is the name of the escalation policy that has nobody on call.
	Policy string
}

// Hole says whether a page to pagerelay's service, sent at the given time, opens
// nothing, as far as the snapshot knows; where it does not know, it says no.
func (s *Snapshot) Hole(c Config, service string, at time.Time) (Hole, bool) {
	return Hole{}, false
}
