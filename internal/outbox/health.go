package outbox

import "context"

// Healthy says whether pages can go out: nil, or why not. Direct mode is healthy:
// a sidecar taken out of service would lose the pages.
func (s *Store) Healthy(context.Context) error {
	select {
	case <-s.closed:
		return ErrClosed
	default:
		return nil
	}
}
