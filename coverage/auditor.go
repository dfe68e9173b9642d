package coverage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/promslog"

	"github.com/pagerelay/pagerelay/mapping"
)

const (
	// auditTimeout bounds one audit. A thousand schedules take a few minutes at half of
	// what PagerDuty lets an account ask.
	auditTimeout = 30 * time.Minute
	// reportTimeout bounds the storing of what was found.
	reportTimeout = time.Minute
	// soonest is how old an audit must be for Soon to want another.
	soonest = 5 * time.Minute
	// deniedGrace is how long it has been reported that the token may not read people before
	// what depends on it is resolved: whoever has made a mistake with the token has a day.
	deniedGrace = 24 * time.Hour
	// firstRetry is how long after an audit that left something open the next one is
	// made. It doubles up to the interval.
	firstRetry = time.Minute
)

// Source reads what an audit judges.
type Source interface {
	// Read fails only when nothing at all could be read; what else could not be is
	// told in Snapshot.Unread.
	Read(ctx context.Context) (*Snapshot, error)
}

// Settings are what a reload replaces, all at once.
type Settings struct {
	// Config is with its defaults. One that names nothing audits nothing, and ends
	// what earlier ones have reported.
	Config Config
	Source Source // not nil where Config names something.
	Router Router
	// Fallback is the fallback of each of pagerelay's services, "" or absent if it has none.
	Fallback map[string]string
}

// AuditorConfig is what an Auditor may be told. Its zero value works.
type AuditorConfig struct {
	// Judge judges what was read. Default Check.
	Judge func(s *Snapshot, c Config, now time.Time) Result
	// OnAudit is called whenever Heard may answer otherwise than before.
	OnAudit func()
	// Spread is the part of the interval, 0 or more and less than 1, by which audits come
	// sooner than it says: replicas that were started together do not ask PagerDuty together.
	Spread float64
	// OnFault is told each mapping fault of what is reported.
	OnFault    func(mapping.Fault)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Auditor has what PagerDuty knows of on-call duty read again and again, judges it,
// and reports what is wrong as alerts. Its methods are safe for concurrent use.
type Auditor struct {
	sink Sink
	cfg  AuditorConfig
	log  *slog.Logger
	met  *auditorMetrics
	wake chan struct{}
	// judged has Run look when the next gap begins or ends.
	judged chan struct{}

	settings atomic.Pointer[Settings]
	last     atomic.Pointer[Audit]
	hearing  atomic.Pointer[Hearing]  // by the last audit.
	heardBy  atomic.Pointer[Settings] // those of the last audit.
	// standing counts what is wrong by check, as far as is known; nil before the first
	// report.
	standing atomic.Pointer[map[CheckID]int]
	// trouble is what was wrong with the newest audit; "" if nothing was.
	trouble atomic.Pointer[string]

	asked atomic.Pointer[time.Time] // when Soon last wanted one.

	pass     sync.Mutex // one audit at a time. It guards what follows.
	failures int        // audits in a row that left something open.
	blind    bool       // the newest audit failed: nothing more is made of what an earlier one read.
}

// NewAuditor makes an Auditor; until Apply gives it a configuration it does nothing.
func NewAuditor(sink Sink, cfg AuditorConfig) *Auditor {
	if cfg.Judge == nil {
		cfg.Judge = Check
	}
	if cfg.OnAudit == nil {
		cfg.OnAudit = func() {}
	}
	if cfg.OnFault == nil {
		cfg.OnFault = func(mapping.Fault) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = promslog.NewNopLogger()
	}
	a := &Auditor{sink: sink, cfg: cfg, log: cfg.Logger, wake: make(chan struct{}, 1), judged: make(chan struct{}, 1)}
	a.met = newAuditorMetrics(cfg.Registerer, a)
	return a
}

// Apply puts settings in force, and has Run audit by them at once.
func (a *Auditor) Apply(s Settings) {
	a.settings.Store(&s)
	poke(a.wake)
}

// poke has Run do something now, or once more after what it is doing.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Soon has Run audit once more if the last audit is older than five minutes: a page
// went where nobody hears of it, and somebody may have been put on call since.
func (a *Auditor) Soon() {
	r := a.last.Load()
	now := time.Now()
	if r == nil || now.Sub(r.At) < soonest {
		return
	}
	if before := a.asked.Load(); before != nil && now.Sub(*before) < soonest {
		return // it is being made.
	}
	a.asked.Store(&now)
	poke(a.wake)
}

// Last returns the newest report of an audit that read something; nil if there is
// none, or if nothing is audited any more.
func (a *Auditor) Last() *Audit { return a.last.Load() }

// Heard says whether a page sent at a time to one of pagerelay's services opens an
// incident, as far as the last audit knows; and if not, why. Before the first audit
// nothing is known of what is to be audited.
func (a *Auditor) Heard(service string, at time.Time) (Heard, Hole) {
	if h := a.hearing.Load(); h != nil {
		heard, hole := h.Heard(service, at)
		if heard == NotAudited && a.settings.Load() != a.heardBy.Load() {
			return NotKnown, Hole{} // the next audit may know it.
		}
		return heard, hole
	}
	if s := a.settings.Load(); s != nil && s.Config.Audits() {
		return NotKnown, Hole{}
	}
	return NotAudited, Hole{}
}

// Notices are sentences for the status page, without names: what costs pages, and what
// somebody should look into.
func (a *Auditor) Notices() (costs, warnings []string) {
	if t := a.trouble.Load(); t != nil && *t != "" {
		warnings = append(warnings, *t)
	}
	if r := a.last.Load(); r != nil {
		if by := a.heardBy.Load(); by != nil && r.circular(by.Fallback) {
			warnings = append(warnings, circularText)
		}
		if n := r.Count(Critical); n > 0 {
			costs = append(costs, fmt.Sprintf("The last audit of on-call coverage (%s) has critical findings: %d. Pages may open no incident; `pagerelay coverage audit` names them.",
				r.At.UTC().Format(time.DateTime+" MST"), n))
		}
	}
	return costs, warnings
}

// ErrNotConfigured says that there is nothing to audit.
var ErrNotConfigured = errors.New("nothing is audited: the configuration has no section coverage")

// Audit reads, judges and reports, once. The error is nil only if something was
// read and all that was found is stored; the report, if there is one, is good in
// either case. What it could not tell is in the report.
func (a *Auditor) Audit(ctx context.Context) (*Audit, error) {
	a.pass.Lock()
	defer a.pass.Unlock()
	defer poke(a.judged)
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	s := a.settings.Load()
	if s == nil {
		return nil, ErrNotConfigured
	}
	if !s.Config.Audits() {
		return nil, a.auditNothing(ctx, s)
	}
	begun := time.Now()
	r, hearing, err := a.read(ctx, s)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	a.last.Store(r)
	a.hearing.Store(hearing)
	a.heardBy.Store(s)
	a.cfg.OnAudit()
	told, err := a.report(ctx, s, &r.Result, r.At)
	if err != nil {
		return r, a.failed(ctx, err)
	}
	a.succeeded(r, told, time.Since(begun))
	return r, nil
}

func (a *Auditor) read(ctx context.Context, s *Settings) (r *Audit, h *Hearing, err error) {
	defer a.notPanic(&err)
	snapshot, err := s.Source.Read(ctx)
	if err != nil {
		return nil, nil, err
	}
	if last := a.last.Load(); last != nil {
		snapshot = snapshot.remembering(last.Snapshot)
	}
	now := time.Now()
	if snapshot.denied() && a.deniedLong(s.Config, now) {
		snapshot = snapshot.accepting()
	}
	result, err := a.judge(snapshot, s, now)
	if err != nil {
		return nil, nil, err
	}
	return &Audit{At: now, Config: s.Config, Snapshot: snapshot, Result: result}, NewHearing(snapshot, s.Config), nil
}

// deniedLong says whether it has been open for long enough that the token may not read
// people, or nobody wants to be told. The alert in the sink is what remembers it.
func (a *Auditor) deniedLong(c Config, now time.Time) bool {
	return slices.Contains(c.People.Mute, string(PeopleUnreadable)) ||
		slices.ContainsFunc(a.sink.Firing(), func(alert template.Alert) bool {
			check, _ := subjectOf(alert)
			return check == PeopleUnreadable && now.Sub(alert.StartsAt) >= deniedGrace
		})
}

// judge judges what was read.
func (a *Auditor) judge(snapshot *Snapshot, s *Settings, now time.Time) (r Result, err error) {
	defer a.notPanic(&err)
	return a.cfg.Judge(snapshot, s.Config, now), nil
}

// notPanic makes an error of a panic: whatever PagerDuty answers, pages flow on.
func (a *Auditor) notPanic(err *error) {
	if r := recover(); r != nil {
		a.log.Error("The auditor panicked, which is a fault of pagerelay", "stack", string(debug.Stack()))
		*err = fmt.Errorf("judge on-call coverage: panic: %v", r)
	}
}

// auditNothing ends what was reported when something was still audited.
func (a *Auditor) auditNothing(ctx context.Context, s *Settings) error {
	a.hearing.Store(nil)
	a.last.Store(nil)
	a.cfg.OnAudit()
	if _, err := a.report(ctx, s, &Result{}, time.Now()); err != nil {
		return a.failed(ctx, err)
	}
	a.failures = 0
	a.trouble.Store(new(string))
	return ErrNotConfigured
}

// failed notes that an audit was not finished.
func (a *Auditor) failed(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return err // nobody waits for it any more.
	}
	a.failures++
	a.blind = true
	a.met.audits.WithLabelValues(resultFailed).Inc()
	a.log.Error("The on-call coverage could not be audited", "err", err, "failures_in_a_row", a.failures)
	text := "The last audit of on-call coverage failed; the log says why. Nothing is known that an earlier audit did not find."
	a.trouble.Store(&text)
	return err
}

// succeeded notes an audit that was made, if only in part.
func (a *Auditor) succeeded(r *Audit, told tally, took time.Duration) {
	log := a.log.With(
		"critical", r.Count(Critical), "warning", r.Count(Warning), "info", r.Count(Info), "unknown", len(r.Result.Unknown),
		"new", told.opened, "resolved", told.resolved, "duration", took,
	)
	text := ""
	a.blind = false
	if r.Whole() {
		a.failures = 0
		a.met.audits.WithLabelValues(resultComplete).Inc()
		a.met.success.Set(float64(r.At.UnixNano()) / 1e9)
		log.Info("The on-call coverage was audited")
	} else {
		a.failures++
		a.met.audits.WithLabelValues(resultPartial).Inc()
		text = "The last audit of on-call coverage could not read everything; the log says what. What is not known is not known to be covered."
		log.Warn("The on-call coverage was audited in part", "reasons", r.Reasons())
	}
	a.trouble.Store(&text)
	if r.circular(a.heardBy.Load().Fallback) {
		a.log.Warn(circularText)
	}
}
