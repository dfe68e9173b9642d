package outbox

// FailCommits has every commit ask f first, in place of a disk that fails. Call it
// before Run.
func (s *Store) FailCommits(f func() error) { s.failCommit = f }
