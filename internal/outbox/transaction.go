package outbox

import (
	"errors"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// transaction is a set of changes on top of the committed incidents. Nothing of
// it is seen by others before publish.
type transaction struct {
	store *Store
	now   time.Time

	edited   map[string]*incident.Incident // replaced or new.
	archived map[string]*incident.Incident // left the table, by id.
	closed   []*incident.Incident          // the same, for the ledger.
	holders  map[string][]string           // additions to the index.
	counts   map[incident.Counted]int
	stored   map[string]*incident.Tombstone // what the file has of these; nil if nothing.
	looked   time.Duration                  // how long the file has been read for these.
}

func newTransaction(s *Store, now time.Time) *transaction {
	return &transaction{
		store: s, now: now.Round(0), // without the monotonic reading: what is stored is what was decided upon.
		edited: map[string]*incident.Incident{}, archived: map[string]*incident.Incident{}, holders: map[string][]string{}, counts: map[incident.Counted]int{}, stored: map[string]*incident.Tombstone{},
	}
}

func (t *transaction) Incident(id string) *incident.Incident {
	if in, ok := t.edited[id]; ok {
		return in
	}
	if _, gone := t.archived[id]; gone {
		return nil
	}
	return t.store.open[id] // only the committer writes this map, and it is us.
}

func (t *transaction) Edit(id string) *incident.Incident {
	if in, ok := t.edited[id]; ok {
		return in
	}
	in := t.Incident(id)
	if in == nil {
		return nil
	}
	c := in.Clone()
	c.Version++
	t.edited[id] = c
	return c
}

func (t *transaction) Create(in *incident.Incident) {
	in.Version++
	if old := t.store.open[in.ID]; old != nil {
		in.Version += old.Version
	}
	delete(t.archived, in.ID)
	t.edited[in.ID] = in
}

func (t *transaction) Archive(in *incident.Incident, reason string) {
	in.Close(t.Tombstone(in.ID), reason, t.now)
	delete(t.edited, in.ID)
	t.archived[in.ID] = in
	t.closed = append(t.closed, in)
}

func (t *transaction) Holding(fp string) []string {
	return slices.Concat(t.store.index[fp], t.holders[fp])
}

func (t *transaction) Hold(fp, id string) {
	if !slices.Contains(t.store.index[fp], id) && !slices.Contains(t.holders[fp], id) {
		t.holders[fp] = append(t.holders[fp], id)
	}
}

func (t *transaction) Tombstone(id string) *incident.Tombstone {
	if in := t.archived[id]; in != nil {
		return incident.NewTombstone(in)
	}
	if in := t.store.unsaved.ended[id]; in != nil {
		return incident.NewTombstone(in)
	}
	if in := t.store.landing[id]; in != nil { // as newly closed as any: a disk that is busy must not have it forgotten.
		return incident.NewTombstone(in)
	}
	if ts, ok := t.stored[id]; ok {
		return ts
	}
	if t.looked > diskPatience { // each may take nearly that long: a late firing is taken for a new one.
		return nil
	}
	began := time.Now()
	defer func() { t.looked += time.Since(began) }()
	var ts *incident.Tombstone
	err := t.store.look(func(tx *bolt.Tx) error {
		if v := tx.Bucket([]byte(bucketTombstones)).Get([]byte(id)); v != nil {
			ts = &incident.Tombstone{}
			return decode(v, ts)
		}
		return nil
	})
	if err != nil { // a late firing is then taken for a new one: it pages.
		if !errors.Is(err, errHanging) && !errors.Is(err, errCatchingUp) && !errors.Is(err, errNotOpen) { // of these, direct mode tells.
			t.store.log.Error("Reading a tombstone failed", "err", err)
		}
		return nil // not ts: one who hangs may yet write it.
	}
	t.stored[id] = ts
	return ts
}

func (t *transaction) Limited(service string) bool {
	services := t.store.limited.Load()
	return services != nil && (*services)[service]
}

func (t *transaction) Count(what incident.Counted) { t.counts[what]++ }

// remember keeps what can still land in what has closed at hand, for as long as it can.
func (t *transaction) remember() {
	s := t.store
	maps.DeleteFunc(s.landing, func(_ string, in *incident.Incident) bool { return t.now.Sub(in.ClosedAt) > incident.CanLandFor })
	for id, in := range t.archived {
		delete(s.landing, id)
		if in.MayLand() {
			if s.landing == nil {
				s.landing = map[string]*incident.Incident{}
			}
			s.landing[id] = in
		}
	}
}

// tellAll tells what this transaction has found to be missed.
func (t *transaction) tellAll() {
	var missed []*incident.Incident
	for _, in := range slices.AppendSeq(slices.Clone(t.closed), maps.Values(t.edited)) {
		if len(in.Missed) > 0 {
			missed = append(missed, in)
		}
	}
	for _, in := range missed { // this edits more.
		incident.Tell(t, in, t.now)
	}
}

// publish makes the changes visible.
func (t *transaction) publish() {
	t.remember()
	s := t.store
	s.mu.Lock()
	for id, in := range t.edited {
		in.HandOut()
		old := s.open[id]
		if old != nil {
			for fp := range old.Members {
				if in.Members[fp] == nil { // trimmed.
					s.unindex(fp, id)
				}
			}
		}
		for fp := range in.Members {
			if old != nil && old.Members[fp] != nil {
				continue
			}
			if ids := s.index[fp]; !slices.Contains(ids, id) {
				s.index[fp] = append(slices.Clip(ids), id)
			}
		}
		s.open[id] = in
	}
	for id, in := range t.archived {
		for fp := range in.Members {
			s.unindex(fp, id)
		}
		delete(s.open, id)
	}
	close(s.published)
	s.published = make(chan struct{})
	s.mu.Unlock()
	s.changedMu.Lock()
	for id := range t.edited {
		s.changed[id] = struct{}{}
	}
	for id := range t.archived {
		s.changed[id] = struct{}{}
	}
	s.changedMu.Unlock()
	select {
	case s.notify <- struct{}{}:
	default:
	}
	s.met.superseded.Add(float64(t.counts[incident.CountedSuperseded]))
	for what, n := range t.counts {
		s.met.observations.WithLabelValues(string(what)).Add(float64(n))
	}
}

func (s *Store) unindex(fp, id string) {
	ids := slices.DeleteFunc(slices.Clone(s.index[fp]), func(v string) bool { return v == id })
	if len(ids) == 0 {
		delete(s.index, fp)
		return
	}
	s.index[fp] = ids
}
