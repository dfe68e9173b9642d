package alertmanager

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
)

const (
	toldTimeout = incident.OpenAsk     // of one list for all that wait.
	toldSlow    = incident.OpenAskHigh // a list that takes longer is not waited for again ...
	toldAgain   = 30 * time.Second     // ... and tried again no sooner than this.
)

// told asks the source about what webhooks told of just now. All that come while a list
// is under way wait for the next one together. Once a list has not been answered in
// time nobody waits until one has been: a member that cannot be asked delays nobody a
// second time.
type told struct {
	source Source

	mtx     sync.Mutex
	next    []*inquiry
	running bool
	slow    bool      // the last list took too long.
	again   time.Time // try no sooner than this, while slow.
}

// inquiry is what one incident wants to know. Its verdicts and reason are set once done is closed.
type inquiry struct {
	labels   map[string]map[string]string // by fingerprint.
	done     chan struct{}
	verdicts map[string]Verdict
	why      string
}

// check is Source.CheckTold, for one of many that may ask at once.
func (t *told) check(ctx context.Context, labels map[string]map[string]string) (map[string]Verdict, string) {
	q := &inquiry{labels: labels, done: make(chan struct{})}
	if !t.join(q) {
		return nil, "Alertmanager did not answer in time when it was asked last"
	}
	select {
	case <-q.done:
		return q.verdicts, q.why
	case <-ctx.Done():
		t.unanswered()
		return nil, "Alertmanager did not answer in time"
	}
}

// join lets q wait for the next list, and says whether it is worth it.
func (t *told) join(q *inquiry) bool {
	t.mtx.Lock()
	defer t.mtx.Unlock()
	if t.slow && (t.running || time.Now().Before(t.again)) {
		return false
	}
	t.next = append(t.next, q)
	if !t.running {
		t.running = true
		go t.run()
	}
	return !t.slow
}

func (t *told) unanswered() {
	t.mtx.Lock()
	defer t.mtx.Unlock()
	t.slow, t.again = true, time.Now().Add(toldAgain)
}

// run asks for one list after the other while anybody waits.
func (t *told) run() {
	for {
		t.mtx.Lock()
		all := t.next
		t.next = nil
		t.running = len(all) > 0
		t.mtx.Unlock()
		if len(all) == 0 {
			return
		}
		labels := map[string]map[string]string{}
		for _, q := range all {
			maps.Copy(labels, q.labels)
		}
		ctx, cancel := context.WithTimeout(context.Background(), toldTimeout)
		began := time.Now()
		verdicts, why := t.source.CheckTold(ctx, slices.Sorted(maps.Keys(labels)), labels)
		cancel()
		t.mtx.Lock()
		if t.slow = time.Since(began) >= toldSlow; t.slow {
			t.again = time.Now().Add(toldAgain)
		}
		t.mtx.Unlock()
		for _, q := range all {
			q.verdicts, q.why = verdicts, why
			close(q.done)
		}
	}
}
