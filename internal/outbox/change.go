package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pagerelay/pagerelay/mapping"
)

// change runs an operation that is good enough in memory: what PagerDuty has
// been told is better known there than not at all.
func (s *Store) change(ctx context.Context, apply func(*transaction) error) error {
	return s.changeBy(ctx, &op{apply: apply})
}

func (s *Store) changeBy(ctx context.Context, o *op) error {
	if err := s.do(ctx, true, o); !errors.Is(err, errDirect) {
		return err
	}
	return nil
}

// Begin commits the intent of a request that Next decided upon for the given
// version of an incident, and returns that version with its intent. ErrChanged
// means that the request must not leave. A disk that takes no commit is no error:
// the request leaves all the same.
func (s *Store) Begin(ctx context.Context, id string, version uint64, d Decision, keyHash string) (*Incident, error) {
	var begun *Incident
	err := s.change(ctx, func(tx *transaction) error {
		in := tx.incident(id)
		if in == nil || in.Version != version || in.Intent != nil {
			return ErrChanged
		}
		in = tx.edit(id)
		if d.Action == Trigger && in.KeyHash != "" && in.KeyHash != keyHash && (in.Have != StateClosed || in.triggerCanLand(tx.now)) {
			part(tx, in, tx.now)
		}
		if d.Action == Trigger {
			absorb(tx, in, keyHash)
		}
		in.started(d, keyHash, tx.now)
		// A copy: later operations of the same commit edit the same value, and what
		// is sent must be what was decided upon.
		begun = in.clone()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return begun, nil
}

// Finish commits what became of the request in flight. sent is that request; it
// stands in where its intent could not be stored before it left.
func (s *Store) Finish(ctx context.Context, id string, sent Intent, keyHash string, o Outcome) error {
	return s.change(ctx, func(tx *transaction) error {
		in := tx.edit(id)
		if in == nil {
			return ErrNotFound
		}
		if in.Intent == nil {
			in.Intent, in.KeyHash, in.Attempted = &sent, keyHash, true
		}
		in.finished(o, tx.now)
		leaveMoved(tx, in, tx.now)
		return nil
	})
}

// Perform applies a step that Next decided upon for the given version. For
// StepFallback, fallback is the service that gets the copy.
func (s *Store) Perform(ctx context.Context, id string, version uint64, d Decision, fallback string) error {
	return s.change(ctx, func(tx *transaction) error {
		in := tx.incident(id)
		if in == nil || in.Version != version {
			return ErrChanged
		}
		switch d.Step {
		case StepForget:
			in = tx.edit(id)
			tx.archive(in, d.Reason)
		case StepFallback:
			copyTo(tx, tx.edit(id), fallback, d.Reason, tx.now)
		case StepDrop:
			in = tx.edit(id)
			perform(tx, in, d, s.Policy(), tx.now)
			tx.archive(in, d.Reason)
		case StepAdmit, StepDismiss, StepSupersede, StepExpire, StepBlock, StepUnheard, StepHeard:
			in = tx.edit(id)
			perform(tx, in, d, s.Policy(), tx.now)
			leaveMoved(tx, in, tx.now)
		}
		return nil
	})
}

// Owe marks high-urgency incidents whose present episode waits for nothing but
// the rate limit: they are paged even if they end meanwhile.
func (s *Store) Owe(ctx context.Context, ids []string) error {
	// In a storm every page would else cost two commits. Only a resolve needs the
	// mark, and that is applied and committed after it.
	return s.changeBy(ctx, &op{patient: true, apply: func(tx *transaction) error {
		for _, id := range ids {
			if in := tx.incident(id); in != nil && in.Urgency == mapping.High && in.firing() > 0 && in.Owed < in.Revision {
				tx.edit(id).owe(tx.now)
			}
		}
		return nil
	}})
}

// SetLimited says for which services a high page waits for nothing but the rate
// limit now: those taken in meanwhile are owed from the start, which spares each
// the commit of a mark of its own.
func (s *Store) SetLimited(services map[string]bool) { s.limited.Store(&services) }

// Retry lifts what blocks an incident, and its backoff.
func (s *Store) Retry(ctx context.Context, id string) error {
	return s.change(ctx, func(tx *transaction) error {
		in := tx.edit(id)
		if in == nil {
			return ErrNotFound
		}
		in.retry("asked for", tx.now)
		return nil
	})
}

// RetryBlocked does what Retry does for every blocked incident, as after a reload.
func (s *Store) RetryBlocked(ctx context.Context, reason string) (int, error) {
	n := 0
	err := s.change(ctx, func(tx *transaction) error {
		for _, in := range s.List() {
			if in.Blocked != nil || in.KeyFault != "" {
				if in = tx.edit(in.ID); in != nil {
					in.retry(reason, tx.now)
					n++
				}
			}
		}
		return nil
	})
	return n, err
}

func (in *Incident) retry(reason string, now time.Time) {
	in.Blocked, in.KeyFault, in.Minimal = nil, "", false
	in.Attempts, in.NotBefore = 0, time.Time{}
	in.note(now, "retry", reason)
	in.settle(now)
}

// Drop moves an incident into the ledger without telling PagerDuty anything more.
func (s *Store) Drop(ctx context.Context, id, reason string) error {
	return s.change(ctx, func(tx *transaction) error {
		in := tx.edit(id)
		switch {
		case in == nil:
			return ErrNotFound
		case in.Intent != nil:
			return fmt.Errorf("drop incident: a request is in flight: %w", ErrChanged)
		}
		in.note(tx.now, "dropped", reason)
		tx.archive(in, "dropped")
		return nil
	})
}
