package outbox

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// decodeBatch is how many bytes of records go to a worker at once.
const decodeBatch = 256 << 10

// decoder decodes incidents on all processors: nothing that a start does takes longer.
// It copies what it is given, so that only who reads the file meets a page that cannot
// be read.
type decoder struct {
	now     time.Time
	batch   *batch
	batches chan *batch
	used    chan *batch // to be filled again.
	workers sync.WaitGroup

	mu        sync.Mutex
	incidents []*incident.Incident
	faults    []error
}

// batch holds records, one after the other: keys and values in turn.
type batch struct {
	data []byte
	ends []int
}

func newDecoder(now time.Time) *decoder {
	n := runtime.GOMAXPROCS(0)
	d := &decoder{now: now, batch: &batch{}, batches: make(chan *batch), used: make(chan *batch, n+1)}
	for range n {
		d.used <- &batch{}
		d.workers.Go(d.work)
	}
	return d
}

// add takes a record. The texts may change when it has returned.
func (d *decoder) add(key, value []byte) {
	b := d.batch
	for _, part := range [...][]byte{key, value} {
		b.data = append(b.data, part...)
		b.ends = append(b.ends, len(b.data))
	}
	if len(b.data) >= decodeBatch {
		d.batches <- b
		d.batch = <-d.used
	}
}

// finish returns what has been decoded, in no order, and what is wrong with the rest.
func (d *decoder) finish() ([]*incident.Incident, error) {
	d.batches <- d.batch
	close(d.batches)
	d.workers.Wait()
	return d.incidents, errors.Join(d.faults...)
}

func (d *decoder) work() {
	var sharer incident.Sharer
	for b := range d.batches {
		var incidents []*incident.Incident
		var faults []error
		from := 0
		for i := 0; i < len(b.ends); i += 2 {
			key, value := b.data[from:b.ends[i]], b.data[b.ends[i]:b.ends[i+1]]
			from = b.ends[i+1]
			in := &incident.Incident{}
			if err := decode(value, in); err != nil {
				faults = append(faults, fmt.Errorf("incident %s: %w", key, err))
				continue
			}
			sharer.Share(in)
			in.Interrupted(d.now)
			incidents = append(incidents, in)
		}
		b.data, b.ends = b.data[:0], b.ends[:0]
		d.used <- b
		d.mu.Lock()
		d.incidents, d.faults = append(d.incidents, incidents...), append(d.faults, faults...)
		d.mu.Unlock()
	}
}
