package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// keyAge is how old a routing key that was read from its file may be when it is used.
const keyAge = time.Second

// Service is what the lanes need to know of a PagerDuty service.
type Service struct {
	Name     string
	Region   string // "" means the client's.
	Fallback string // name of another service; "" if there is none.
	// EventsPerMinute is the limit of the routing key. 0 means 120.
	EventsPerMinute int
	// Key returns the routing key; it is called again whenever the key is used and
	// the last answer is older than a second.
	Key func() (string, error)
	// PreviousKeys returns the keys that open incidents may still have to be
	// acknowledged and resolved under; unreadable ones are left out.
	PreviousKeys func() []string
}

// keys are the routing keys of a service as last read.
type keys struct {
	readAt  time.Time
	current string
	hash    string // of current; "" if it cannot be read.
	err     string
	since   time.Time // when the current one was first seen.
	old     map[string]string
	hashes  []string // of old.
}

// read brings the keys up to date; false: they were read just before.
func (k *keys) read(s Service, now time.Time) bool {
	if !k.readAt.IsZero() && now.Sub(k.readAt) < keyAge && now.Sub(k.readAt) >= 0 {
		return false
	}
	k.readAt = now
	key, err := s.Key()
	if err != nil {
		k.current, k.hash, k.err = "", "", err.Error()
	} else if h := keyHash(key); h != k.hash {
		k.current, k.hash, k.err, k.since = key, h, "", now
	}
	k.old, k.hashes = map[string]string{}, nil
	if s.PreviousKeys == nil {
		return true
	}
	for _, key := range s.PreviousKeys() {
		h := keyHash(key)
		k.old[h] = key
		k.hashes = append(k.hashes, h)
	}
	return true
}

// forHash returns the key that the hash tells, the current one for "".
func (k *keys) forHash(hash string) (string, bool) {
	if hash == "" || hash == k.hash {
		return k.current, k.current != ""
	}
	key, ok := k.old[hash]
	return key, ok
}

// keyHash tells routing keys apart without revealing them: 64 bits of a SHA-256.
func keyHash(key string) string {
	sum := sha256.Sum256([]byte("pagerelay routing key\x00" + key))
	return hex.EncodeToString(sum[:8])
}
