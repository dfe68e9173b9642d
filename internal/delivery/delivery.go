// Package delivery brings PagerDuty to what the outbox says is firing: a lane
// for each routing key sends what Next decides, most urgent first, within
// PagerDuty's limits, and hands every outcome back to the outbox. It keeps
// nothing that must outlive the process.
package delivery

import (
	"container/heap"
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/promslog"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// Sender sends one event. pagerduty.Client is one.
type Sender interface {
	Enqueue(ctx context.Context, region string, e *pagerduty.Event) error
	EnqueueChange(ctx context.Context, region string, e *pagerduty.ChangeEvent) error
}

// Renderer makes the event of an incident. mapping.Mapper is one.
type Renderer interface {
	Render(in mapping.Incident, o mapping.RenderOptions) (mapping.Event, []mapping.Fault)
}

// Asker asks Alertmanager a question about an incident. The text says why, for people.
type Asker interface {
	Ask(ctx context.Context, q incident.Question, in *incident.Incident) (incident.Verdict, string)
}

// Settings are what a reload replaces, all at once.
type Settings struct {
	Services map[string]Service
	Renderer Renderer
	Sender   Sender
	Asker    Asker // nil: nobody to ask.
	// Coverage says whether somebody hears of what is sent to a service at a time.
	// It answers from memory. nil: nobody knows.
	Coverage func(service string, at time.Time) incident.Coverage
	// Uncovered is called when PagerDuty has accepted a page of which Coverage says
	// that nobody hears. It does not block. nil: nobody wants to know.
	Uncovered func()
}

// Config is what a Deliverer may be told. Its zero value works.
type Config struct {
	// ShutdownTimeout bounds how long Run waits for requests in flight once its
	// context has ended. Default 10s.
	ShutdownTimeout time.Duration
	Logger          *slog.Logger
	Registerer      prometheus.Registerer
	// OnFault is told each fault of Render.
	OnFault func(mapping.Fault)
	// Now is the wall clock that the outbox dates by. It decides nothing but how
	// what is stored is read: what waits here does so by the monotonic clock, which
	// never jumps. Default time.Now.
	Now func() time.Time
}

const (
	defaultShutdown = 10 * time.Second
	maxTasks        = 64 // of one pool, at once.
)

// Deliverer runs the lanes. Its methods other than Run are safe for concurrent use.
type Deliverer struct {
	cfg   Config
	log   *slog.Logger
	store *outbox.Store
	met   *metrics

	settings atomic.Pointer[Settings]
	reload   chan struct{}
	audited  chan struct{}
	why      waits
	events   chan func() // results of what runs beside the loop; run in the loop.

	// Owned by the loop.
	started time.Time // by Config.Now.
	keysDue time.Time // when to read again the routing keys that could not be read.
	lanes   map[string]*lane
	keys    map[string]*keys
	queued  map[string]*queued
	busy    map[string]bool // something is under way for the incident.
	timers  heapOf[*timer]
	timed   map[string]*timer
	asking  map[string]map[incident.Question]bool
	answers map[string]map[incident.Question]incident.Answer
	higher  map[string]time.Time
	// limited is when an incident was last answered with 429: it goes behind the others.
	limited map[string]time.Time
	waits   map[string]waiting
	rated   map[string]bool // services whose high pages wait for the rate limit, as the outbox knows it.
	sending int
	// What runs beside the loop, so that one kind does not hold up the other.
	steps, questions, patient pool
	seq                       uint64

	draining bool
}

// waiting is since when an incident waits: PendingSince by the wall clock, and the
// same moment by the clock that never jumps.
type waiting struct{ pending, since time.Time }

type queued struct {
	item *item
	lane *lane
}

// New makes a Deliverer; Apply must be called before Run.
func New(store *outbox.Store, cfg Config) *Deliverer {
	if cfg.ShutdownTimeout == 0 {
		cfg.ShutdownTimeout = defaultShutdown
	}
	if cfg.Logger == nil {
		cfg.Logger = promslog.NewNopLogger()
	}
	if cfg.OnFault == nil {
		cfg.OnFault = func(mapping.Fault) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &Deliverer{
		cfg: cfg, log: cfg.Logger, store: store,
		reload: make(chan struct{}, 1), audited: make(chan struct{}, 1), events: make(chan func()),
		lanes: map[string]*lane{}, keys: map[string]*keys{}, queued: map[string]*queued{}, busy: map[string]bool{},
		timed: map[string]*timer{}, asking: map[string]map[incident.Question]bool{},
		answers: map[string]map[incident.Question]incident.Answer{}, higher: map[string]time.Time{},
		limited: map[string]time.Time{}, waits: map[string]waiting{},
	}
	d.met = newMetrics(cfg.Registerer)
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(newWaitingCollector(d))
	}
	d.settings.Store(&Settings{})
	return d
}

// Apply replaces the settings; what waits is looked at again under the new ones.
func (d *Deliverer) Apply(s Settings) {
	d.met.init(s.Services)
	d.settings.Store(&s)
	select {
	case d.reload <- struct{}{}:
	default:
	}
}

// Audited says that Settings.Coverage may answer otherwise than before. It does not block.
func (d *Deliverer) Audited() {
	select {
	case d.audited <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends, then finishes what is in flight, for at most
// Config.ShutdownTimeout, and returns nil.
func (d *Deliverer) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	d.started = d.cfg.Now()
	clock := time.NewTimer(0)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			d.drain(cancel)
			return nil
		case <-d.reload:
			d.reloaded(work)
		case <-d.audited:
			for _, in := range d.store.List() {
				d.evaluate(work, in.ID)
			}
		case <-d.store.Changes():
			for _, id := range d.store.Changed() {
				d.evaluate(work, id)
			}
		case f := <-d.events:
			f()
		case <-clock.C:
		}
		now := time.Now()
		d.fire(work, now)
		if !d.keysDue.IsZero() && !now.Before(d.keysDue) {
			d.keysDue = d.watchKeys(false, d.cfg.Now())
		}
		d.watchWaits(d.cfg.Now())
		next := earliest(d.keysDue, d.pump(work, now))
		if due := d.why.next(); !due.IsZero() { // by the wall clock.
			next = earliest(next, now.Add(max(0, min(due.Sub(d.cfg.Now()), waitsLeast))))
		}
		if len(d.timers) > 0 {
			next = earliest(next, d.timers[0].at)
		}
		if next.IsZero() {
			clock.Stop()
		} else {
			clock.Reset(max(0, time.Until(next)))
		}
	}
}

// drain waits for what is under way, and cancels it when it takes too long.
func (d *Deliverer) drain(cancel context.CancelFunc) {
	d.draining = true
	deadline := time.NewTimer(d.cfg.ShutdownTimeout)
	defer deadline.Stop()
	pools := []*pool{&d.steps, &d.questions, &d.patient}
	busy := func() bool {
		return d.sending > 0 || slices.ContainsFunc(pools, func(p *pool) bool { return p.active > 0 })
	}
	for _, p := range pools {
		p.waiting = nil
	}
	for busy() {
		select {
		case f := <-d.events:
			f()
		case <-deadline.C:
			d.log.Warn("Requests still in flight are given up; they are sent again at the next start", "requests", d.sending)
			cancel()
		}
	}
}

// reloaded looks at everything anew.
func (d *Deliverer) reloaded(ctx context.Context) {
	clear(d.keys)
	for _, l := range d.lanes {
		l.fault, l.limit = "", 0
	}
	d.keysDue = d.watchKeys(true, d.cfg.Now())
	for _, in := range d.store.List() {
		d.evaluate(ctx, in.ID)
	}
}

// pool bounds how much of one kind runs beside the loop.
type pool struct {
	active  int
	waiting []func()
}

// task runs f beside the loop, and done in the loop after it.
func (d *Deliverer) task(p *pool, f func(), done func()) {
	run := func() {
		p.active++
		go func() {
			f()
			d.events <- func() {
				p.active--
				done()
				if len(p.waiting) > 0 {
					next := p.waiting[0]
					p.waiting = p.waiting[1:]
					next()
				}
			}
		}()
	}
	if p.active >= maxTasks {
		p.waiting = append(p.waiting, run)
		return
	}
	run()
}

// timer brings an incident back at a time.
type timer struct {
	id    string
	at    time.Time
	index int
}

func (t *timer) place() *int              { return &t.index }
func (t *timer) before(other *timer) bool { return t.at.Before(other.at) }

func (d *Deliverer) setTimer(id string, at time.Time) {
	if t := d.timed[id]; t != nil {
		t.at = at
		heap.Fix(&d.timers, t.index)
		return
	}
	t := &timer{id: id, at: at}
	d.timed[id] = t
	heap.Push(&d.timers, t)
}

func (d *Deliverer) clearTimer(id string) {
	if t := d.timed[id]; t != nil {
		heap.Remove(&d.timers, t.index)
		delete(d.timed, id)
	}
}

// fire evaluates the incidents whose time has come, each once.
func (d *Deliverer) fire(ctx context.Context, now time.Time) {
	var due []string
	for len(d.timers) > 0 && !now.Before(d.timers[0].at) {
		due = append(due, d.timers[0].id)
		d.clearTimer(d.timers[0].id)
	}
	for _, id := range due {
		d.evaluate(ctx, id)
	}
}
