package outbox

// SetFailing makes the store believe that its last commit failed; Failing says
// whether it does.
func (s *Store) SetFailing()   { s.failing.Store(true) }
func (s *Store) Failing() bool { return s.failing.Load() }
