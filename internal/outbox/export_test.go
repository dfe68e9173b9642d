package outbox

// FailCommits has every commit ask f in the middle of it, where bbolt holds its lock,
// in place of a disk that fails or hangs. Call it before Run.
func (s *Store) FailCommits(f func() error) { s.failCommit = f }

// BeforeReads has every look of the committer into the file call f first, in place of
// a disk that hangs. Call it before Run.
func (s *Store) BeforeReads(f func()) { s.beforeRead = f }

// BeforeEncodes has every record that is encoded for the file counted by f, which is
// called from several goroutines. Call it before Run.
func (s *Store) BeforeEncodes(f func()) { s.beforeEncode = f }

// Indexed is the number of fingerprints in the index.
func (s *Store) Indexed() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.index)
}
