package outbox

import "context"

// Healthy says whether the store takes commits: nil, or why not. Where the last
// commit was stored it costs nothing; where it failed, an empty one is tried, so
// that the store is found well again even if nothing else comes in.
func (s *Store) Healthy(ctx context.Context) error {
	select {
	case <-s.closed:
		return ErrClosed
	default:
	}
	if !s.failing.Load() {
		return nil
	}
	return s.do(ctx, false, func(*transaction) error { return nil })
}
