package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const recordSize = 2 << 10 // bytes that the raw disk appends and flushes at once.

// disk is the raw disk: one writer that appends to a file and flushes it.
type disk struct {
	f      *os.File
	record []byte
}

func newDisk(dir string) (*disk, error) {
	f, err := os.OpenFile(filepath.Join(dir, "raw"), os.O_WRONLY|os.O_CREATE|os.O_APPEND|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open raw file: %w", err)
	}
	d := &disk{f: f, record: make([]byte, recordSize)}
	rand.Read(d.record)
	return d, nil
}

func (d *disk) close() error { return errors.Join(d.f.Close(), os.Remove(d.f.Name())) }

func (d *disk) append() (time.Duration, error) {
	began := time.Now()
	if _, err := d.f.Write(d.record); err != nil {
		return 0, fmt.Errorf("append to raw file: %w", err)
	}
	if err := flush(d.f); err != nil {
		return 0, fmt.Errorf("flush raw file: %w", err)
	}
	return time.Since(began), nil
}

// block appends n records and returns how long each took.
func (d *disk) block(ctx context.Context, n int) ([]time.Duration, error) {
	took := make([]time.Duration, 0, n)
	for range n {
		t, err := d.append()
		if err = errors.Join(err, context.Cause(ctx)); err != nil {
			return nil, err
		}
		took = append(took, t)
	}
	return took, nil
}

// rate returns the flushes per second over about a time.
func (d *disk) rate(ctx context.Context, over time.Duration) (float64, error) {
	began, n := time.Now(), 0
	for time.Since(began) < over {
		if _, err := d.append(); err != nil {
			return 0, err
		}
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(began).Seconds(), nil
}
