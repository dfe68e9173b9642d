package outbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
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
	lockTimeout   = time.Second
	// The file is compacted at start when it is larger than compactAbove bytes
	// and more than half of it is free.
	compactAbove = 64 << 20
)

// Open opens or creates the outbox in the folder dir. It refuses a file that
// another process has locked or that a newer version wrote, and says what to do.
// A damaged file is moved aside (Damaged names it) and an empty one takes its
// place. Where the file cannot be opened otherwise, as on a full or read-only
// disk, the store starts in direct mode and opens it later.
func Open(dir string, cfg Config) (*Store, error) {
	if cfg.Retention == 0 {
		cfg.Retention = defaultRetention
	}
	if cfg.MaxQueue == 0 {
		cfg.MaxQueue = defaultQueue
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{
		cfg: cfg, log: nopLogger(cfg.Logger), path: filepath.Join(dir, fileName),
		ops: make(chan *op, cfg.MaxQueue), closed: make(chan struct{}),
		open: map[string]*Incident{}, index: map[string][]string{}, published: make(chan struct{}),
		changed: map[string]struct{}{}, notify: make(chan struct{}, 1),
	}
	s.SetPolicy(Policy{})
	s.met = newMetrics(cfg.Registerer, s)
	o, err := openAndLoad(s.path, s.cfg.Now(), s.log)
	s.adopt(o)
	if refuse := (*refusal)(nil); errors.As(err, &refuse) {
		return nil, err
	}
	if err != nil {
		s.enterDirect(newTransaction(s, s.cfg.Now()), err)
	}
	return s, nil
}

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

// take adds what was read from the file to what is in memory, which is newer.
func (s *Store) take(incidents []*Incident) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changedMu.Lock()
	defer s.changedMu.Unlock()
	ended := map[string]*Incident{} // the newest of each.
	for _, in := range s.unsaved.closed {
		ended[in.ID] = in
	}
	for _, in := range incidents {
		if _, again := s.took[in.ID]; again {
			continue
		}
		if mem := s.open[in.ID]; mem != nil {
			in = mem.merge(in)
		} else if closed := ended[in.ID]; closed != nil && in.endedIn(closed) {
			if in.Have == StateClosed || (!closed.LastResolve.IsZero() && closed.KeyHash == in.KeyHash) {
				continue
			}
			in = in.clone() // PagerDuty holds it: it was closed without a resolve, or under another key.
			for fp, m := range in.Members {
				if end := closed.Members[fp]; m.Firing {
					in.end(fp, Ended{At: end.EndedAt, Seen: end.EndedSeen, By: end.EndedBy}, closed.ClosedAt)
				}
			}
		}
		s.open[in.ID] = in
		s.changed[in.ID] = struct{}{}
		for fp := range in.Members {
			if !slices.Contains(s.index[fp], in.ID) {
				s.index[fp] = append(s.index[fp], in.ID)
			}
		}
	}
	select {
	case s.notify <- struct{}{}:
	default:
	}
}

// endedIn says whether everything that fires in an older record of an incident
// has ended in the one that was closed since.
func (in *Incident) endedIn(closed *Incident) bool {
	for fp, m := range in.Members {
		if m.Firing && (closed.Members[fp] == nil || closed.Members[fp].Firing) {
			return false
		}
	}
	return true
}

// merge adds what an older record of the incident knows: members that were not
// heard of since, and that PagerDuty may hold more than is remembered.
func (in *Incident) merge(old *Incident) *Incident {
	c := in.clone()
	for fp, m := range old.Members {
		if c.Members[fp] == nil {
			n := *m
			n.Episode = 0
			if m.Firing {
				c.Revision++ // it may never have been paged.
				n.Episode, n.Epoch = c.Revision, c.Epoch
			}
			c.put(fp, &n)
		}
	}
	c.Version = max(c.Version, old.Version) + 1
	if c.Have == StateClosed && old.Have != StateClosed {
		c.Have = StateUnknown
	}
	if c.KeyHash == "" {
		c.KeyHash = old.KeyHash
	}
	return c
}

func openFile(path string, log *slog.Logger) (*bolt.DB, error) {
	readAhead(path)
	db, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	free, size := db.Stats().FreePageN*db.Info().PageSize, fileSize(path)
	if size < compactAbove || int64(free) < size/2 {
		return db, nil
	}
	if err := guard(func() error { return compact(db, path) }); err != nil {
		log.Warn("The outbox could not be compacted; it is used as it is", "err", err)
	}
	return openBolt(path)
}

// readAhead brings the file into the page cache, from one end to the other. All
// of it is about to be read, by page faults in no order that a disk likes: bbolt
// maps it for random access.
func readAhead(path string) {
	f, err := os.Open(path)
	if err != nil {
		return // whoever needs the file finds out why.
	}
	defer f.Close()
	for buf := make([]byte, 1<<20); err == nil; {
		_, err = f.Read(buf)
	}
}

func openBolt(path string) (db *bolt.DB, err error) {
	err = guard(func() error {
		if err := checkLength(path); err != nil {
			return err
		}
		var locked *os.File
		empty := fileSize(path) == 0
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: lockTimeout, FreelistType: bolt.FreelistMapType,
			OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
				locked, err = os.OpenFile(name, flag, mode)
				return locked, err
			},
		})
		if err != nil {
			if empty && !errors.Is(err, bolterrors.ErrTimeout) {
				_ = os.Truncate(path, 0) // there was no room for its first pages: it is not a damaged one.
			}
			return err
		}
		// While we waited for the lock, its holder may have put another file there.
		here, err := os.Stat(path)
		is, statErr := locked.Stat()
		if err = errors.Join(err, statErr); err == nil && !os.SameFile(here, is) {
			err = bolterrors.ErrTimeout
		}
		if err != nil {
			return errors.Join(err, db.Close())
		}
		return nil
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, &refusal{fmt.Errorf("open outbox %s: another process has it locked; one folder serves one pagerelay (--storage.path)", path)}
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, &damageError{fmt.Errorf("open outbox %s: %w", path, err)}
	case err != nil:
		return nil, fmt.Errorf("open outbox %s: %w", path, err)
	}
	return db, nil
}

// compact copies db into a fresh file that takes its place, and closes db. After
// an error the old file is as it was.
func compact(db *bolt.DB, path string) (err error) {
	tmp := path + ".compact"
	defer func() {
		err = errors.Join(err, db.Close())
		if err != nil {
			_ = os.Remove(tmp) // a next try does it otherwise.
		}
	}()
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	dst, err := bolt.Open(tmp, 0o600, &bolt.Options{Timeout: lockTimeout})
	if err != nil {
		return err
	}
	err = bolt.Compact(dst, db, 16<<20)
	if err == nil {
		err = dst.Sync()
	}
	if err := errors.Join(err, dst.Close()); err != nil {
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

// load reads the open incidents; with a damageError it returns those that are sound.
func load(db *bolt.DB, now time.Time) (incidents []*Incident, err error) {
	if err := guard(func() error { return db.View(refuseNewer) }); err != nil {
		return nil, err
	}
	damage := guard(func() error { return db.View(verify) })
	err = guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte(bucketIncidents))
			if b == nil {
				return nil
			}
			return b.ForEach(func(k, v []byte) error {
				in := &Incident{}
				if err := decode(v, in); err != nil {
					damage = errors.Join(damage, fmt.Errorf("incident %s: %w", k, err))
					return nil
				}
				if in.Intent != nil { // in flight when the process ended: nobody knows.
					in.finished(Outcome{Kind: OutcomeUnknown, Message: "the process ended before the answer was stored"}, now)
				}
				for fp, m := range in.Members { // an older version did not note it.
					if m.Firing && m.Episode == 0 && !in.Parted && in.Revision > in.AcceptedRevision {
						n := *m
						n.Episode = in.Revision
						in.put(fp, &n)
					}
				}
				incidents = append(incidents, in)
				return nil
			})
		})
	})
	if err := errors.Join(damage, err); err != nil {
		return incidents, err
	}
	return incidents, nil
}

// prepare creates what is missing. An outbox that has all of it is not written to.
func prepare(db *bolt.DB) error {
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
