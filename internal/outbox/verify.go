package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Where bbolt keeps the number of its pages: format 2, its only one. A meta page
// is a page header, then magic, version, page size, flags (4 bytes each), root
// (16), freelist, high water mark, transaction and an FNV-1a of all that (8 each).
const (
	pageHeader  = 16
	metaSize    = 64
	metaMagic   = 0xED0CDAED
	metaHigh    = 40
	metaTxid    = 48
	metaSum     = 56
	largestPage = 64 << 10
)

// checkLength finds a file that ends before its meta pages say. bbolt maps the
// file, so that touching what is missing would be a memory fault.
func checkLength(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.Size() == 0 {
		return err
	}
	head := make([]byte, largestPage+pageHeader+metaSize)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var newest, need uint64
	for _, page := range []int{0, os.Getpagesize()} {
		if m := meta(head[:n], page); m != nil {
			if txid := binary.NativeEndian.Uint64(m[metaTxid:]); need == 0 || txid > newest {
				newest, need = txid, binary.NativeEndian.Uint64(m[metaHigh:])*uint64(binary.NativeEndian.Uint32(m[8:]))
			}
		}
	}
	switch {
	case need == 0:
		return &damageError{fmt.Errorf("%s has no valid meta page", path)}
	case uint64(fi.Size()) < need:
		return &damageError{fmt.Errorf("%s is %d bytes long and should be %d", path, fi.Size(), need)}
	}
	return nil
}

// meta is the meta page that begins at an offset; nil if it is not a sound one.
func meta(head []byte, page int) []byte {
	if page+pageHeader+metaSize > len(head) {
		return nil
	}
	m := head[page+pageHeader:][:metaSize]
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaSum]) // never fails.
	if binary.NativeEndian.Uint32(m) != metaMagic || binary.NativeEndian.Uint64(m[metaSum:]) != sum.Sum64() {
		return nil
	}
	return m
}

// checkMetas finds a meta page that is damaged. bbolt does with the other one, but
// that one may lack the last commit.
func checkMetas(path string, pageSize int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, pageSize+pageHeader+metaSize)
	if _, err := f.ReadAt(head, 0); err != nil {
		return err
	}
	for _, page := range []int{0, pageSize} {
		if meta(head, page) == nil {
			return &damageError{fmt.Errorf("%s: the meta page at %d is damaged: the last commit may be missing", path, page)}
		}
	}
	return nil
}

// verify touches every page that is in use, and holds them against the free ones.
func verify(path string) func(tx *bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		if err := checkMetas(path, tx.DB().Info().PageSize); err != nil {
			return err
		}
		// First here, where a memory fault can be survived; bbolt's own check runs in
		// a goroutine of its own.
		if err := tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return walk(b) }); err != nil {
			return &damageError{err}
		}
		var first error
		for err := range tx.Check() { // to its end: it reads the pages until then.
			if first == nil {
				first = &damageError{err}
			}
		}
		return first
	}
}

func walk(b *bolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v != nil {
			return nil
		}
		child := b.Bucket(k)
		if child == nil {
			return fmt.Errorf("key %x is neither a value nor a bucket", k)
		}
		return walk(child)
	})
}
