package coverage

import "time"

// Check judges s by what c expects, from now until c's horizon or the end of what
// was read, whichever is first. It is pure: the same arguments give the same result.
//
// Nothing is concluded from what was not read: that is in Result.Unknown.
func Check(s *Snapshot, c Config, now time.Time) Result {
	return Result{}
}
