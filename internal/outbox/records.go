package outbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// pending is what a commit is to write: the changes, and all that is in memory only.
// Nothing of it is changed any more.
type pending struct {
	all       bool // there are no other incidents.
	gone      []string
	incidents []*incident.Incident
	closed    []*incident.Incident
}

func (t *transaction) pending() *pending {
	u := &t.store.unsaved
	p := &pending{all: u.all}
	seen := make(map[string]struct{}, u.records(len(t.store.open)))
	add := func(id string) {
		if _, again := seen[id]; again {
			return
		}
		seen[id] = struct{}{}
		if in := t.Incident(id); in != nil {
			p.incidents = append(p.incidents, in)
		} else {
			p.gone = append(p.gone, id)
		}
	}
	if p.all {
		for id := range t.store.open {
			add(id)
		}
	}
	for id := range u.ids {
		add(id)
	}
	for id := range t.edited {
		add(id)
	}
	for id := range t.archived {
		add(id)
	}
	for _, c := range u.closed {
		p.closed = append(p.closed, c.Incident)
	}
	p.closed = append(p.closed, t.closed...)
	return p
}

// records are what a commit writes: made beforehand, so that a disk that hangs
// holds up nobody and reads nothing that changes meanwhile.
type records struct {
	all        bool
	gone       []string
	incidents  map[string][]byte
	ledger     map[string][]byte
	tombstones map[string][]byte
}

func (s *Store) encode(p *pending) (*records, error) {
	r := &records{all: p.all, gone: p.gone, incidents: map[string][]byte{}, ledger: map[string][]byte{}, tombstones: map[string][]byte{}}
	var failed error
	seal := func(v any) []byte {
		if s.beforeEncode != nil {
			s.beforeEncode()
		}
		b, err := encode(v)
		if err != nil && failed == nil {
			failed = err
		}
		return b
	}
	for _, in := range p.incidents {
		r.incidents[in.ID] = seal(in)
	}
	for _, in := range p.closed {
		r.ledger[string(ledgerKey(in))] = seal(in)
		r.tombstones[in.ID] = seal(incident.NewTombstone(in))
	}
	return r, failed
}

// write puts the records into a transaction of the file.
func (r *records) write(tx *bolt.Tx) error {
	if r.all {
		err := tx.DeleteBucket([]byte(bucketIncidents))
		if err == nil {
			_, err = tx.CreateBucket([]byte(bucketIncidents))
		}
		if err != nil {
			return fmt.Errorf("empty the table: %w", err)
		}
	}
	for _, id := range r.gone {
		if err := tx.Bucket([]byte(bucketIncidents)).Delete([]byte(id)); err != nil {
			return fmt.Errorf("delete incident: %w", err)
		}
	}
	for bucket, values := range map[string]map[string][]byte{
		bucketIncidents: r.incidents, bucketLedger: r.ledger, bucketTombstones: r.tombstones,
	} {
		b := tx.Bucket([]byte(bucket))
		for _, k := range slices.Sorted(maps.Keys(values)) {
			if err := b.Put([]byte(k), values[k]); err != nil {
				return fmt.Errorf("put into %s: %w", bucket, err)
			}
		}
	}
	return nil
}

func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return seal(b), nil
}
