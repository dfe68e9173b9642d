package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/mutant"
)

// change runs an operation that is good enough in memory: what PagerDuty has
// been told is better known there than not at all.
func (s *Store) change(ctx context.Context, apply func(*transaction) error) error {
	if err := s.do(ctx, true, apply); !errors.Is(err, errDirect) || mutant.On(mutant.FullDiskStopsPages) {
		return err
	}
	return nil
}

// Begin commits the intent of a request that Next decided upon for the given
// version of an incident, and returns that version with its intent. ErrChanged
// means that the request must not leave. A disk that takes no commit is no error:
// the request leaves all the same.
func (s *Store) Begin(ctx context.Context, id string, version uint64, d incident.Decision, keyHash string) (*incident.Incident, error) {
	var begun *incident.Incident
	err := s.change(ctx, func(tx *transaction) error {
		in := tx.Incident(id)
		stale := in != nil && in.Version != version && !mutant.On(mutant.NoCompareAndSet)
		if in == nil || stale || in.Intent != nil {
			return ErrChanged
		}
		in = tx.Edit(id)
		incident.Start(tx, in, d, keyHash, tx.now)
		// A copy: later operations of the same commit edit the same value, and what
		// is sent must be what was decided upon.
		begun = in.Clone()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return begun, nil
}

// Finish commits what became of the request in flight. sent is that request; it
// stands in where its intent could not be stored before it left.
func (s *Store) Finish(ctx context.Context, id string, sent incident.Intent, keyHash string, o incident.Outcome) error {
	return s.change(ctx, func(tx *transaction) error {
		in := tx.Edit(id)
		if in == nil {
			return ErrNotFound
		}
		incident.Finish(tx, in, sent, keyHash, o, tx.now)
		return nil
	})
}

// Perform applies a step that Next decided upon for the given version. For
// StepFallback, fallback is the service that gets the copy.
func (s *Store) Perform(ctx context.Context, id string, version uint64, d incident.Decision, fallback string) error {
	return s.change(ctx, func(tx *transaction) error {
		in := tx.Incident(id)
		if in == nil || in.Version != version {
			return ErrChanged
		}
		incident.Apply(tx, tx.Edit(id), d, fallback, tx.now)
		return nil
	})
}

// SetLimited says for which services a high page waits for nothing but the rate
// limit now: one that ends meanwhile is paged all the same.
func (s *Store) SetLimited(services map[string]bool) { s.limited.Store(&services) }

// Retry lifts what blocks an incident, and its backoff.
func (s *Store) Retry(ctx context.Context, id string) error {
	return s.change(ctx, func(tx *transaction) error {
		in := tx.Edit(id)
		if in == nil {
			return ErrNotFound
		}
		in.TryAgain("asked for", tx.now)
		return nil
	})
}

// RetryBlocked does what Retry does for every blocked incident, as after a reload.
func (s *Store) RetryBlocked(ctx context.Context, reason string) (int, error) {
	n := 0
	err := s.change(ctx, func(tx *transaction) error {
		for _, in := range s.List() {
			if in.Blocked != nil || in.KeyFault != "" {
				if in = tx.Edit(in.ID); in != nil {
					in.TryAgain(reason, tx.now)
					n++
				}
			}
		}
		return nil
	})
	return n, err
}

// Drop moves an incident into the ledger without telling PagerDuty anything more.
func (s *Store) Drop(ctx context.Context, id, reason string) error {
	return s.change(ctx, func(tx *transaction) error {
		in := tx.Edit(id)
		switch {
		case in == nil:
			return ErrNotFound
		case in.Intent != nil:
			return fmt.Errorf("drop incident: a request is in flight: %w", ErrChanged)
		}
		in.Note(tx.now, "dropped", reason)
		tx.Archive(in, "dropped")
		return nil
	})
}

// Mute records that Alertmanager mutes alerts, or no longer does, wherever they
// are members; it returns how many alerts that changed.
func (s *Store) Mute(ctx context.Context, changes []incident.Muting) (int, error) {
	n := 0
	err := s.change(ctx, func(tx *transaction) error {
		n = incident.ObserveMutes(tx, changes, tx.now)
		return nil
	})
	return n, err
}

// Absent closes alerts whose resolve was lost, wherever they are members; it
// returns how many alerts that closed.
func (s *Store) Absent(ctx context.Context, gone []incident.Absence) (int, error) {
	n := 0
	err := s.change(ctx, func(tx *transaction) error {
		n = incident.ObserveAbsence(tx, gone, tx.now)
		return nil
	})
	return n, err
}

// Vouch marks firing members as coming from an Alertmanager that can be asked;
// source names all that are.
func (s *Store) Vouch(ctx context.Context, fingerprints []string, source string) error {
	return s.change(ctx, func(tx *transaction) error {
		incident.Vouch(tx, fingerprints, source)
		return nil
	})
}
