package alertmanager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/promslog"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/mapping"
)

const (
	goneAfter       = 3 // looks in a row at which nobody lists an alert.
	passTimeout     = 30 * time.Second
	unknownAfter    = 2 * time.Minute  // a webhook may be under way for as long (group_wait, retries).
	adoptFor        = 10 * time.Minute // after a webhook was lost: what it would have brought may only now be old enough.
	maxOthers       = 10_000           // alerts remembered that are not held here.
	maxReceivers    = 100              // learned from webhooks; an Alertmanager has a handful that post here.
	storeBatch      = 500              // alerts in one transaction.
	earlyPassShares = 4                // a look that is asked for comes at most this often in an interval.
)

// Surveyor says what Alertmanager lists. Client is one.
type Surveyor interface {
	Survey(ctx context.Context, each func(member int, l *Listing) error) (Standing, error)
	// Identity tells one set of Alertmanagers from another.
	Identity() string
}

// ReconcileSettings are what a reload replaces, all at once.
type ReconcileSettings struct {
	Source Surveyor // nil: nobody to ask.
	Router Router
	Policy Reconcile
}

// ReconcilerConfig is what a Reconciler may be told. Its zero value works.
type ReconcilerConfig struct {
	// UnknownAfter is how long an alert must have fired, unheard of, to be called
	// unknown. Default 2m. After a lost webhook it is a quarter of that.
	UnknownAfter time.Duration
	// ReceiversFile remembers the receivers that webhooks came from, for the time
	// after the outbox was damaged. "": they are forgotten with the process.
	ReceiversFile string
	Logger        *slog.Logger
	Registerer    prometheus.Registerer
	// OnFault is told each mapping fault of what was adopted.
	OnFault func(mapping.Fault)
}

// Report is what one comparison found and did. All but Listed and Doubts count
// alerts.
type Report struct {
	Listed   int     // lines of all lists together.
	Doubts   []Doubt // why what nobody lists is no evidence this time.
	Missing  int     // fire here and are listed by nobody, this time.
	Foreign  int     // of these, from an Alertmanager that is not asked.
	Resolved int     // of these, missing for long enough.
	Unknown  int     // fire for us, unheard of, and were left so.
	Adopted  int
	Muted    int
	Unmuted  int
}

// Reconciler compares the outbox with what Alertmanager lists, and mends what
// webhooks alone leave wrong: the resolve that never came, the page that was cut
// off, the mute that nobody tells of. Only members of origin alertmanager are its
// business. Its methods are safe for concurrent use.
type Reconciler struct {
	store *outbox.Store
	cfg   ReconcilerConfig
	log   *slog.Logger
	met   *reconcileMetrics

	settings atomic.Pointer[ReconcileSettings]
	changed  chan struct{} // settings, or something to adopt.

	// shown is what the last pass found, for the status page.
	shown atomic.Pointer[shown]
	// vouchers is the source and its vouched, for others to read.
	vouchers atomic.Pointer[vouchers]

	heardMtx sync.Mutex
	heard    map[string]string // receiver -> externalURL, from webhooks.
	tooMany  bool              // said.

	adoptMtx   sync.Mutex
	adoptOwed  bool // a webhook was lost: adopt until a whole look has succeeded after adoptUntil.
	adoptUntil time.Time

	mtx     sync.Mutex // one pass at a time. It guards what follows.
	source  string     // identity of who was asked last.
	counted time.Time  // the last pass that counted towards absence.
	streaks map[string]streak
	vouched map[string]bool   // externalURLs whose alerts the source has listed.
	damaged string            // the damaged outbox that was adopted for.
	kept    map[string]string // the receivers in the file.
	unable  bool              // said that nobody knows whom to adopt for.
	result  passResult
	foreign bool // said.
}

// vouchers are the externalURLs whose alerts a source has listed, and alerts that it
// listed the last time and that are not held here: some, if there are very many.
type vouchers struct {
	source string
	urls   map[string]bool
	others map[string]struct{}
}

// shown is what people are to know of a pass.
type shown struct {
	unknown int
	doubt   Doubt // of no kind: what nobody lists is over.
}

// Notices are sentences for the status page about what the last comparison found:
// what somebody should look into, and what is normal after a restart. They hold no
// alert text.
func (r *Reconciler) Notices() (warnings, notes []string) {
	s := r.shown.Load()
	if s == nil {
		return nil, nil
	}
	if s.unknown > 0 {
		warnings = append(warnings, fmt.Sprintf("Alertmanager notifies our receivers of alerts that are unknown here: %d. Their webhooks were lost, or have not come yet; reconcile.adopt takes such alerts in.", s.unknown))
	}
	switch paused := "Stale-alert clean-up is paused: " + s.doubt.Text + ". Paging is not affected."; s.doubt.Kind {
	case "":
	case DoubtYoung:
		notes = append(notes, paused)
	default:
		warnings = append(warnings, paused)
	}
	return warnings, notes
}

// worst is the first doubt that does not pass by itself, else the first.
func worst(doubts []Doubt) Doubt {
	for _, d := range doubts {
		if d.Kind != DoubtYoung {
			return d
		}
	}
	return doubts[0]
}

// Vouches says whether source, an Identity, has been seen to list alerts that the
// Alertmanager of that externalURL had sent here. Where it has not, its silence
// about such an alert says nothing: any Alertmanager may post here.
func (r *Reconciler) Vouches(source, externalURL string) bool {
	v := r.vouchers.Load()
	return v != nil && v.source == source && v.urls[externalURL]
}

// Listed says whether source listed an alert at the last comparison that was not held
// here then. A sidecar whose Alertmanager leaves the notifying to its peers holds none of
// its alerts, and would otherwise never know whose they are.
func (r *Reconciler) Listed(source, fingerprint string) bool {
	v := r.vouchers.Load()
	if v == nil || v.source != source {
		return false
	}
	_, ok := v.others[fingerprint]
	return ok
}

// streak is how often in a row nobody listed an alert that was last seen at seen.
type streak struct {
	seen  time.Time
	looks int
}

// NewReconciler makes a Reconciler; until Apply gives it a source it does nothing.
func NewReconciler(store *outbox.Store, cfg ReconcilerConfig) *Reconciler {
	if cfg.UnknownAfter == 0 {
		cfg.UnknownAfter = unknownAfter
	}
	if cfg.Logger == nil {
		cfg.Logger = promslog.NewNopLogger()
	}
	if cfg.OnFault == nil {
		cfg.OnFault = func(mapping.Fault) {}
	}
	r := &Reconciler{
		store: store, cfg: cfg, log: cfg.Logger, met: newReconcileMetrics(cfg.Registerer),
		changed: make(chan struct{}, 1), heard: map[string]string{},
	}
	if cfg.ReceiversFile != "" {
		remembered, err := recall(cfg.ReceiversFile)
		if err != nil {
			r.log.Error("The receivers that webhooks came from are not known any more; the next webhooks tell them", "err", err)
		}
		maps.Copy(r.heard, remembered)
	}
	r.settings.Store(&ReconcileSettings{})
	return r
}

// Apply replaces the settings.
func (r *Reconciler) Apply(s ReconcileSettings) {
	r.settings.Store(&s)
	r.wake()
}

// Heard tells of a receiver whose webhook came in, and of Alertmanager's externalURL.
func (r *Reconciler) Heard(receiver, externalURL string) {
	r.heardMtx.Lock()
	defer r.heardMtx.Unlock()
	_, known := r.heard[receiver]
	switch {
	case receiver == "":
	case known, len(r.heard) < maxReceivers:
		r.heard[receiver] = externalURL
	case !r.tooMany:
		r.tooMany = true
		r.log.Warn("Webhooks come from more receivers than are remembered; what the others miss is not adopted unless reconcile.receivers names them", "receivers", maxReceivers)
	}
}

// Adopt tells that a webhook may not have brought all it should: what fires for
// our receivers and is unknown is taken in during the next minutes, the first
// time soon. It does not block.
func (r *Reconciler) Adopt() {
	r.adoptMtx.Lock()
	r.adoptOwed, r.adoptUntil = true, time.Now().Add(adoptFor)
	r.adoptMtx.Unlock()
	r.wake()
}

func (r *Reconciler) adopting() bool {
	r.adoptMtx.Lock()
	defer r.adoptMtx.Unlock()
	return r.adoptOwed
}

// adopted ends the adoption once there has been time enough for what it is about.
func (r *Reconciler) adopted(now time.Time) {
	r.adoptMtx.Lock()
	defer r.adoptMtx.Unlock()
	r.adoptOwed = r.adoptOwed && now.Before(r.adoptUntil)
}

func (r *Reconciler) wake() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *Reconciler) interval() time.Duration {
	if d := r.settings.Load().Policy.Interval; d > 0 {
		return d
	}
	return defaultInterval
}

// Run reconciles at once and then every interval, until ctx ends.
func (r *Reconciler) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.changed:
			timer.Reset(max(0, time.Until(last.Add(r.interval()/earlyPassShares))))
			continue
		case <-timer.C:
		}
		select { // this pass is what was asked for.
		case <-r.changed:
		default:
		}
		if _, err := r.Reconcile(ctx); err != nil && ctx.Err() == nil {
			r.log.Error("Reconciling with Alertmanager failed; it is tried again", "err", err)
		}
		last = time.Now()
		timer.Reset(r.interval())
	}
}

// Reconcile compares once. What is only a doubt is in the report; an error means
// that the outbox did not take what was found, or that ctx has ended. A pass counts towards absence only
// if the last that counted is at least half an interval ago.
func (r *Reconciler) Reconcile(ctx context.Context) (Report, error) {
	r.mtx.Lock()
	defer r.mtx.Unlock()
	s := r.settings.Load()
	if s.Source == nil {
		r.source, r.streaks, r.vouched = "", nil, nil
		r.shown.Store(nil)
		n, err := r.liftMutes(ctx)
		return Report{Unmuted: n}, err
	}
	if id := s.Source.Identity(); id != r.source {
		r.source, r.streaks, r.vouched = id, nil, map[string]bool{}
	}
	if name := r.store.Damaged(); name != r.damaged {
		r.damaged = name
		r.Adopt()
	}
	bounded, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	began := time.Now()
	p := r.newPass(s, began)
	err := p.run(bounded)
	if ctx.Err() != nil { // that nobody answered says nothing.
		return p.report, context.Cause(ctx)
	}
	r.met.duration.Observe(time.Since(began).Seconds())
	r.conclude(p, err, began)
	return p.report, err
}

// conclude tells metrics and people what a pass came to.
func (r *Reconciler) conclude(p *pass, err error, began time.Time) {
	rep := &p.report
	result := passComplete
	if err != nil {
		result = passFailed
	} else {
		kinds := map[passResult]bool{}
		for _, d := range rep.Doubts {
			kinds[passResult(d.Kind)] = true
		}
		for _, kind := range passResults() {
			if kinds[kind] {
				result = kind
				break
			}
		}
		if !kinds[passResult(DoubtUnreachable)] && len(p.ours) > 0 {
			r.adopted(began)
		}
		r.met.unknown.Set(float64(rep.Unknown))
		now := shown{unknown: rep.Unknown}
		if len(rep.Doubts) > 0 {
			now.doubt = worst(rep.Doubts)
		}
		r.shown.Store(&now)
	}
	r.met.passes.WithLabelValues(string(result)).Inc()
	r.met.resolved.Add(float64(rep.Resolved))
	r.met.adopted.Add(float64(rep.Adopted))
	r.met.muted.WithLabelValues("muted").Add(float64(rep.Muted))
	r.met.muted.WithLabelValues("unmuted").Add(float64(rep.Unmuted))
	r.met.foreign.Set(float64(rep.Foreign))
	r.met.evidence.Set(0)
	if result == passComplete {
		r.met.evidence.Set(1)
		r.met.success.SetToCurrentTime()
	}
	if rep.Resolved > 0 || rep.Adopted > 0 || rep.Muted > 0 || rep.Unmuted > 0 {
		r.log.Info("The outbox was brought in line with Alertmanager", "resolved", rep.Resolved, "adopted", rep.Adopted, "muted", rep.Muted, "unmuted", rep.Unmuted)
	}
	if foreign := rep.Foreign > 0; foreign != r.foreign {
		r.foreign = foreign
		if foreign {
			r.log.Warn("Alerts came from an Alertmanager that does not seem to be among alertmanager.urls; if their resolves are lost, nobody will know", "alerts", rep.Foreign)
		}
	}
	r.logResult(result, rep)
}

// logResult says what a pass came to, once.
func (r *Reconciler) logResult(result passResult, rep *Report) {
	r.log.Debug("Compared the outbox with Alertmanager", "result", string(result), "listed", rep.Listed, "missing", rep.Missing, "unknown", rep.Unknown)
	if result == r.result {
		return
	}
	was := r.result
	r.result = result
	var why string
	if len(rep.Doubts) > 0 {
		why = rep.Doubts[0].Text
	}
	switch result {
	case passComplete:
		if was != "" {
			r.log.Info("Alertmanager's lists are evidence again of what is over")
		}
	case passResult(DoubtUncovered):
		r.log.Warn("Not all members of the Alertmanager cluster are in alertmanager.urls: a resolve that is lost stays lost", "reason", why)
	case passResult(DoubtYoung):
		r.log.Info("An Alertmanager has not been up for long: what it does not list is not taken for over yet", "reason", why)
	case passResult(DoubtUnreachable):
		r.log.Warn("An Alertmanager did not answer: what the others do not list is not taken for over", "reason", why)
	case passFailed: // the error is logged where it stops.
	}
}

// liftMutes ends every mute, where nobody is left who could say that it ended.
func (r *Reconciler) liftMutes(ctx context.Context) (int, error) {
	var changes []incident.Muting
	for _, in := range r.store.List() {
		for fp, m := range in.Members {
			if m.Firing && m.Muted != nil {
				changes = append(changes, incident.Muting{Fingerprint: fp})
			}
		}
	}
	if len(changes) == 0 {
		return 0, nil
	}
	n, err := r.store.Mute(ctx, changes)
	r.met.muted.WithLabelValues("unmuted").Add(float64(n))
	return n, ignoreClosed(err)
}

// ignoreClosed: an outbox that is shutting down is no failure.
func ignoreClosed(err error) error {
	if errors.Is(err, outbox.ErrClosed) {
		return nil
	}
	return err
}
