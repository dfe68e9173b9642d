package outbox

// FailCommits has every commit ask f first, in place of a disk that fails. Call it
// before Run.
func (s *Store) FailCommits(f func() error) { s.failCommit = f }

// Indexed is the number of fingerprints in the index.
func (s *Store) Indexed() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.index)
}
