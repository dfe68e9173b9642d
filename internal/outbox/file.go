package outbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// The file: one bbolt database. A value is a CRC-32C of its JSON (4 bytes, big
// endian), then the JSON; bbolt itself has no checksum on its pages.
const (
	bucketMeta       = "meta"
	bucketIncidents  = "incidents"  // id -> Incident, open ones.
	bucketLedger     = "ledger"     // closing time (8 bytes, big endian, ns) and id -> Incident.
	bucketTombstones = "tombstones" // id -> Tombstone.
	keySchema        = "schema"
)

const (
	schemaVersion = 1
	fileName      = "outbox.db"
)

// refusal is why a file must not be used as it is.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// damageError is a file that is not what was written.
type damageError struct{ error }

func (d *damageError) Unwrap() error { return d.error }

func isDamage(err error) bool {
	var d *damageError
	return errors.As(err, &d)
}

// load reads the open incidents; with a damageError it returns those that are sound.
func load(db *handle, path string, now time.Time) ([]*incident.Incident, error) {
	if err := guard(func() error { return db.View(refuseNewer) }); err != nil {
		return nil, err
	}
	damage := guard(func() error { return db.View(verify(path)) })
	d := newDecoder(now)
	err := guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte(bucketIncidents))
			if b == nil {
				return nil
			}
			return b.ForEach(func(k, v []byte) error {
				d.add(k, v)
				return nil
			})
		})
	})
	incidents, faults := d.finish()
	if err := errors.Join(damage, err, faults); err != nil {
		return incidents, err
	}
	return incidents, nil
}

// prepare creates what is missing. An outbox that has all of it is not written to.
func prepare(db *handle) error {
	prepared := false
	err := guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			prepared = true
			for _, name := range buckets() {
				prepared = prepared && tx.Bucket([]byte(name)) != nil
			}
			prepared = prepared && tx.Bucket([]byte(bucketMeta)).Get([]byte(keySchema)) != nil
			return nil
		})
	})
	if err != nil || prepared {
		return err
	}
	return guard(func() error { return db.Update(create) })
}

func buckets() []string {
	return []string{bucketMeta, bucketIncidents, bucketLedger, bucketTombstones}
}

// refuseNewer refuses what a newer version wrote.
func refuseNewer(tx *bolt.Tx) error {
	meta := tx.Bucket([]byte(bucketMeta))
	if meta == nil {
		return nil // a new file.
	}
	var version uint64
	if err := decode(meta.Get([]byte(keySchema)), &version); err != nil {
		return err
	}
	if version > schemaVersion {
		return &refusal{fmt.Errorf("written by a newer pagerelay (schema %d, this one knows %d): run that version, or give this one another --storage.path", version, schemaVersion)}
	}
	return nil
}

func create(tx *bolt.Tx) error {
	for _, name := range buckets() {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	meta := tx.Bucket([]byte(bucketMeta))
	if meta.Get([]byte(keySchema)) != nil {
		return nil
	}
	v, err := encode(schemaVersion)
	if err != nil {
		return err
	}
	return meta.Put([]byte(keySchema), v)
}

func seal(b []byte) []byte {
	out := make([]byte, 4, 4+len(b))
	binary.BigEndian.PutUint32(out, checksum(b))
	return append(out, b...)
}

func decode(v []byte, into any) error {
	if len(v) < 4 || binary.BigEndian.Uint32(v) != checksum(v[4:]) {
		return &damageError{errors.New("checksum does not match")}
	}
	if err := json.Unmarshal(v[4:], into); err != nil {
		return &damageError{fmt.Errorf("decode record: %w", err)}
	}
	return nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
