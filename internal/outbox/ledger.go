package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// Ledger calls each with the closed incidents, newest first, until it returns false.
func (s *Store) Ledger(each func(*incident.Incident) bool) error {
	return s.view(func(tx *bolt.Tx) error {
		c := tx.Bucket([]byte(bucketLedger)).Cursor()
		for k, v := c.Last(); k != nil; k, v = c.Prev() {
			in := &incident.Incident{}
			if err := decode(v, in); err != nil {
				return fmt.Errorf("ledger entry %x: %w", k, err)
			}
			if !each(in) {
				return nil
			}
		}
		return nil
	})
}

// prune removes what is older than the retention from the ledger, and old tombstones.
func (s *Store) prune(now time.Time) error {
	if s.direct.Load() {
		return nil // for another time: the disk has enough to do.
	}
	if err := s.ready(); err != nil {
		return err
	}
	return s.update(func(tx *bolt.Tx) error { return pruneBefore(tx, now, s.cfg.Retention) })
}

func pruneBefore(tx *bolt.Tx, now time.Time, retention time.Duration) error {
	limit := binary.BigEndian.AppendUint64(nil, uint64(max(0, now.Add(-retention).UnixNano())))
	ledger, tombstones := tx.Bucket([]byte(bucketLedger)), tx.Bucket([]byte(bucketTombstones))
	var old [][]byte
	c := ledger.Cursor()
	for k, _ := c.First(); k != nil && string(k[:8]) < string(limit); k, _ = c.Next() {
		old = append(old, bytes.Clone(k))
	}
	for _, k := range old {
		if err := ledger.Delete(k); err != nil {
			return err
		}
	}
	old = nil
	err := tombstones.ForEach(func(k, v []byte) error {
		var ts incident.Tombstone
		if err := decode(v, &ts); err != nil || now.Sub(ts.ClosedAt) > incident.TombstoneFor {
			old = append(old, bytes.Clone(k)) // an unreadable one is worth nothing.
		}
		return nil
	})
	for _, k := range old {
		err = errors.Join(err, tombstones.Delete(k))
	}
	return err
}

func ledgerKey(in *incident.Incident) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(max(0, in.ClosedAt.UnixNano()))), in.ID...)
}
