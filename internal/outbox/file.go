package outbox

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The file: one bbolt database. A value is a CRC-32C of its JSON (4 bytes, big
// endian), then the JSON; bbolt itself has no checksum on its pages.
var (
	bucketMeta       = []byte("meta")
	bucketIncidents  = []byte("incidents")  // id -> Incident, open ones.
	bucketLedger     = []byte("ledger")     // closing time (8 bytes, big endian, ns) and id -> Incident.
	bucketTombstones = []byte("tombstones") // id -> Tombstone.
	keySchema        = []byte("schema")
)

const (
	schemaVersion = 1
	fileName      = "outbox.db"
	lockTimeout   = time.Second
	// The file is compacted at start when it is larger than compactAbove bytes
	// and more than half of it is free.
	compactAbove = 64 << 20
)

// Open opens or creates the outbox in the folder dir, which must exist. It
// refuses a file that another process has locked, that a newer version wrote, or
// that is damaged, and says what to do.
func Open(dir string, cfg Config) (*Store, error) {
	if cfg.Retention == 0 {
		cfg.Retention = defaultRetention
	}
	if cfg.MaxQueue == 0 {
		cfg.MaxQueue = defaultQueue
	}
	path := filepath.Join(dir, fileName)
	db, err := openFile(path)
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, log: nopLogger(cfg.Logger), db: db,
		ops: make(chan *op, cfg.MaxQueue), closed: make(chan struct{}),
		open: map[string]*Incident{}, index: map[string][]string{},
		changed: map[string]struct{}{}, notify: make(chan struct{}, 1),
	}
	s.SetPolicy(Policy{})
	if err := s.load(time.Now()); err != nil {
		return nil, errors.Join(fmt.Errorf("load outbox %s: %w", path, err), db.Close())
	}
	s.met = newMetrics(cfg.Registerer, s)
	return s, nil
}

func openFile(path string) (*bolt.DB, error) {
	db, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	free, size := db.Stats().FreePageN*os.Getpagesize(), fileSize(path)
	if size < compactAbove || int64(free) < size/2 {
		return db, nil
	}
	if err := compact(db, path); err != nil {
		return nil, fmt.Errorf("compact outbox: %w", err)
	}
	return openBolt(path)
}

func openBolt(path string) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open outbox %s: another process has it locked; one folder serves one pagerelay (--storage.path)", path)
	case err != nil:
		return nil, fmt.Errorf("open outbox %s: %w", path, err)
	}
	return db, nil
}

// compact copies db into a fresh file that takes its place, and closes it.
func compact(db *bolt.DB, path string) error {
	tmp := path + ".compact"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(err, db.Close())
	}
	dst, err := bolt.Open(tmp, 0o600, &bolt.Options{Timeout: lockTimeout})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	err = bolt.Compact(dst, db, 16<<20)
	if err == nil {
		err = dst.Sync()
	}
	if err := errors.Join(err, dst.Close(), db.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func fileSize(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return fi.Size()
}

// load creates what is missing and reads the open incidents into memory.
func (s *Store) load(now time.Time) error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketIncidents, bucketLedger, bucketTombstones} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		var version uint64
		if v := meta.Get(keySchema); v != nil {
			if err := decode(v, &version); err != nil {
				return err
			}
		}
		if version > schemaVersion {
			return fmt.Errorf("written by a newer pagerelay (schema %d, this one knows %d): run that version, or give this one another --storage.path", version, schemaVersion)
		}
		v, err := encode(schemaVersion)
		if err != nil {
			return err
		}
		return meta.Put(keySchema, v)
	})
	if err != nil {
		return err
	}
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketIncidents).ForEach(func(k, v []byte) error {
			in := &Incident{}
			if err := decode(v, in); err != nil {
				return fmt.Errorf("incident %s: %w", k, err)
			}
			if in.Intent != nil { // in flight when the process ended: nobody knows.
				in.finished(Outcome{Kind: OutcomeUnknown, Message: "the process ended before the answer was stored"}, now)
			}
			s.open[in.ID] = in
			s.changed[in.ID] = struct{}{}
			for fp := range in.Members {
				s.index[fp] = append(s.index[fp], in.ID)
			}
			return nil
		})
	})
}

// Ledger calls each with the closed incidents, newest first, until it returns false.
func (s *Store) Ledger(each func(*Incident) bool) error {
	return s.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketLedger).Cursor()
		for k, v := c.Last(); k != nil; k, v = c.Prev() {
			in := &Incident{}
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
	return s.db.Update(func(tx *bolt.Tx) error {
		limit := binary.BigEndian.AppendUint64(nil, uint64(max(0, now.Add(-s.cfg.Retention).UnixNano())))
		ledger := tx.Bucket(bucketLedger)
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
		tombstones := tx.Bucket(bucketTombstones)
		old = nil
		err := tombstones.ForEach(func(k, v []byte) error {
			var ts Tombstone
			if err := decode(v, &ts); err != nil || now.Sub(ts.ClosedAt) > tombstoneFor {
				old = append(old, bytes.Clone(k)) // an unreadable one is worth nothing.
			}
			return nil
		})
		for _, k := range old {
			err = errors.Join(err, tombstones.Delete(k))
		}
		return err
	})
}

func ledgerKey(in *Incident) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(max(0, in.ClosedAt.UnixNano()))), in.ID...)
}

func seal(b []byte) []byte {
	out := make([]byte, 4, 4+len(b))
	binary.BigEndian.PutUint32(out, checksum(b))
	return append(out, b...)
}

func decode(v []byte, into any) error {
	if len(v) < 4 || binary.BigEndian.Uint32(v) != checksum(v[4:]) {
		return errors.New("checksum does not match: the file is damaged; move it aside and start with an empty folder")
	}
	if err := json.Unmarshal(v[4:], into); err != nil {
		return fmt.Errorf("decode record: %w", err)
	}
	return nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
