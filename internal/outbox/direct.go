package outbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/mutant"
	"github.com/pagerelay/pagerelay/mapping"
)

// Limits of direct mode.
const (
	// directWait bounds how long a webhook waits for PagerDuty. Alertmanager gives
	// a notification at least 10 s (max(group_interval, 10s)), its retries included.
	directWait = 8 * time.Second
	// maxUnsaved bounds the closed incidents that wait in memory for the ledger.
	maxUnsaved = 10_000
	complain   = time.Minute
	// Between two tries of what may be much work: to write all that only memory knows,
	// or to open the file, which means to read all of it.
	minRest = directRetry / 2
	maxRest = 30 * time.Second
	// maxCaught is how often in a row what only memory knows is written beside the commits:
	// where as much has changed by then every time, a commit takes it along after all.
	maxCaught = 4
)

// unsaved is what is in memory and not on disk.
type unsaved struct {
	all     bool                          // every incident.
	commits uint64                        // that the disk has not taken.
	ids     map[string]uint64             // incidents changed or gone, and the last of these commits that did it.
	closed  []closing                     // for the ledger.
	ended   map[string]*incident.Incident // the newest of these, by id.
	lost    int                           // closed ones that found no room.
	since   time.Time
	said    time.Time // when it was last logged.
}

type closing struct {
	*incident.Incident
	commit uint64
}

// add remembers a transaction that the disk has not taken.
func (u *unsaved) add(tx *transaction) {
	if u.ids == nil {
		u.ids, u.ended = map[string]uint64{}, map[string]*incident.Incident{}
	}
	u.commits++
	for id := range tx.edited {
		u.ids[id] = u.commits
	}
	for id := range tx.archived {
		u.ids[id] = u.commits
	}
	for _, in := range tx.closed {
		u.closed = append(u.closed, closing{in, u.commits})
		u.ended[in.ID] = in
	}
	if over := len(u.closed) - maxUnsaved; over > 0 {
		u.forget(over)
		u.lost += over
	}
}

// forget drops the oldest closings.
func (u *unsaved) forget(n int) {
	for _, c := range u.closed[:n] {
		if u.ended[c.ID] == c.Incident {
			delete(u.ended, c.ID)
		}
	}
	u.closed = u.closed[n:]
}

// stored drops what is in the file after all: everything, as it was after a commit.
func (u *unsaved) stored(commit uint64) {
	u.all = false
	maps.DeleteFunc(u.ids, func(_ string, last uint64) bool { return last <= commit })
	n := slices.IndexFunc(u.closed, func(c closing) bool { return c.commit > commit })
	if n < 0 {
		n = len(u.closed)
	}
	u.forget(n)
}

// records is how many a commit would have to write for others.
func (u *unsaved) records(open int) int {
	if u.all {
		return open + len(u.closed)
	}
	return len(u.ids) + len(u.closed)
}

// Direct says whether the disk takes no commits, so that direct mode is on.
func (s *Store) Direct() bool { return s.direct.Load() }

func (s *Store) enterDirect(tx *transaction, err error) {
	u := &s.unsaved
	u.add(tx)
	if !s.direct.Load() {
		u.since = tx.now
	}
	if tx.now.Sub(u.said) >= complain {
		u.said = tx.now
		s.log.Error("DIRECT MODE: the disk does not take commits. Pages still go out; a webhook is answered 200 only once PagerDuty has accepted it",
			"err", err, "since", u.since, "file", s.path, "incidents_in_memory_only", len(u.ids))
	}
	s.direct.Store(true)
	s.met.direct.Set(1)
}

func (s *Store) leaveDirect() {
	u := &s.unsaved
	if !s.direct.Load() {
		*u = unsaved{} // what survived damage is stored now, too.
		return
	}
	s.log.Info("The disk takes commits again; everything is stored", "after", time.Since(u.since).Round(time.Second).String(), "ledger_entries_lost", u.lost)
	*u = unsaved{}
	s.direct.Store(false)
	s.met.direct.Set(0)
}

// catchUp begins to write what is in memory only, while commits go on without the
// disk: one that wrote all of it would hold up everybody. What has changed by the time
// it is written goes along with a commit, if it is not much.
func (s *Store) catchUp() error {
	if s.refused != nil && time.Since(s.tried) < s.rest {
		return s.refused
	}
	began := time.Now()
	p, commit, db := newTransaction(s, s.cfg.Now()).pending(), s.unsaved.commits, s.db.Load()
	return s.await(begin(func() (func(), error) {
		var then func()
		r, err := s.encode(p)
		if err == nil {
			then, err = s.save(db, r, commit)
		}
		took := time.Since(began)
		return func() {
			if then != nil {
				then()
			}
			if s.caught++; err != nil {
				s.caught = 0
			}
			s.refused = err
			s.rested(took)
		}, err
	}), errCatchingUp)
}

// rested says when the disk may be asked again for what takes so long, if it has
// refused it: trying takes a tenth of the time at most, and goes on all the same.
func (s *Store) rested(took time.Duration) {
	s.tried, s.rest = time.Now(), min(max(minRest, 9*took), maxRest)
}

// awaitPagerDuty waits until PagerDuty holds what the observations ask for, or
// until the disk has taken them after all.
func (s *Store) awaitPagerDuty(ctx context.Context, obs []mapping.Observation) error {
	deadline := time.NewTimer(directWait)
	defer deadline.Stop()
	for {
		s.mu.RLock()
		published, direct := s.published, s.direct.Load()
		held := true
		for i := range obs {
			held = held && s.held(&obs[i])
		}
		s.mu.RUnlock()
		if held || !direct || mutant.On(mutant.DirectWithoutAccept) {
			return nil
		}
		select {
		case <-published:
		case <-ctx.Done():
			return fmt.Errorf("observe in direct mode: %w", context.Cause(ctx))
		case <-deadline.C:
			return fmt.Errorf("observe in direct mode: PagerDuty has not accepted everything yet: %w", ErrBusy)
		case <-s.closed:
			return ErrClosed
		}
	}
}

// held says whether PagerDuty holds what an observation asks for. The caller has
// the lock.
func (s *Store) held(o *mapping.Observation) bool {
	id, fp := incident.ID(o.Service, o.DedupKey), o.Alert.Fingerprint
	if o.Alert.Status == mapping.Resolved {
		for _, id := range s.index[fp] {
			if in := s.open[id]; in != nil && in.Members[fp] != nil && (in.Firing() > 0 || in.Have != incident.StateClosed || in.Intent != nil) {
				return false // a partial resolve, and what is on its way, is known to nobody but us.
			}
		}
		return true
	}
	if !o.Urgency.Sends() || s.open[id].Paged(fp) { // none asks for nothing.
		return true
	}
	for _, other := range s.index[fp] {
		if in := s.open[other]; in != nil && in.FallbackOf == id && in.Paged(fp) {
			return true
		}
	}
	return false
}
