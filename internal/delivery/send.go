package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/leaf/backoff"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
	"github.com/pagerelay/pagerelay/mapping"
)

// Backoff of one incident.
const (
	backoffFirst   = time.Second
	backoffHighMax = 15 * time.Second
	backoffMax     = incident.MaxBackoff
	storeAgain     = time.Second // an outcome that could not be stored is tried again after this.
)

// send decides anew about the item whose turn it is, and sends it.
func (d *Deliverer) send(ctx context.Context, l *lane, it *item, now time.Time) {
	in, ok := d.store.Get(it.id)
	if !ok {
		return
	}
	wall := d.cfg.Now()
	ev, cur := d.evidence(in, wall)
	ev.Probe = l.fault != "" && cur == l
	dec := incident.Next(in, ev, d.store.Policy(), wall)
	switch {
	case dec.Kind == incident.Ask && dec.Question == incident.QuestionStale:
		// The question takes the place of the request that follows it, so that no
		// more is asked than can be sent while the answers hold.
		high, before := it.class.High(), l.lowStarted
		l.start(high, now)
		d.ask(ctx, in, dec, func() {
			l.end(high, false, time.Now())
			if l.lowStarted.Equal(now) { // nothing has left: the page that follows waits for no pace.
				l.lowStarted = before
			}
		})
		return
	case dec.Kind != incident.Send || cur != l || dec.Class != it.class:
		d.evaluate(ctx, it.id)
		return
	}
	svc := d.settings.Load().Services[in.Service]
	hash, key := ev.KeyHash, ""
	if dec.Action == incident.Acknowledge || dec.Action == incident.Resolve {
		if in.KeyHash != "" {
			hash = in.KeyHash
		}
	}
	if key, ok = d.keys[in.Service].forHash(hash); !ok { // Next has seen it: the file changed just now.
		d.setTimer(it.id, now.Add(keyAge))
		return
	}
	r := &request{
		d: d, lane: l, in: in, dec: dec, svc: svc, hash: hash, key: key,
		settings: d.settings.Load(), high: it.class.High(), pendingSince: in.PendingSince,
	}
	l.start(r.high, now)
	d.busy[it.id] = true
	d.why.sent(in.ID, wall)
	d.sending++
	go r.run(ctx)
}

// request is one event on its way.
type request struct {
	d            *Deliverer
	lane         *lane
	in           *incident.Incident
	dec          incident.Decision
	svc          Service
	hash, key    string
	settings     *Settings
	high         bool
	pendingSince time.Time
	faults       []mapping.Fault // of the event, once it is rendered.
}

func (r *request) run(ctx context.Context) {
	d := r.d
	in, err := d.store.Begin(ctx, r.in.ID, r.in.Version, r.dec, r.hash)
	if errors.Is(err, outbox.ErrChanged) || errors.Is(err, outbox.ErrClosed) || ctx.Err() != nil {
		d.events <- func() {
			r.lane.end(r.high, false, time.Now())
			r.release(ctx)
		}
		return
	}
	intent := incident.Intent{
		Action: r.dec.Action, Revision: r.in.Revision, Epoch: r.in.Epoch, At: d.cfg.Now(), Prev: r.in.Have,
		Reason: r.dec.Reason, FollowUp: r.dec.FollowUp, Minimal: r.in.Minimal, RepeatAt: r.in.RepeatAt, Uncovered: r.dec.Uncovered, Unaudited: r.dec.Unaudited,
	}
	if err != nil {
		if r.dec.Action != incident.Trigger {
			d.log.Error("The intent of a request could not be stored; it is tried again", "action", string(r.dec.Action), "err", err)
			d.events <- func() {
				r.lane.end(r.high, false, time.Now())
				delete(d.busy, r.in.ID)
				d.sending--
				d.setTimer(r.in.ID, time.Now().Add(storeAgain))
			}
			return
		}
		d.log.Error("The intent of a page could not be stored; the page is sent all the same", "incident", r.in.ID, "err", err)
		in = r.in
	}
	answer := pagerduty.Classify(r.enqueue(ctx, in))
	now, wall := time.Now(), d.cfg.Now()
	o := r.outcome(answer, in, wall)
	d.met.events.WithLabelValues(in.Service, string(r.dec.Action), string(answer.Kind)).Inc()
	if answer.Kind == pagerduty.Accepted && r.dec.Action == incident.Trigger && in.Revision > in.AcceptedRevision && !r.pendingSince.IsZero() {
		d.met.latency.WithLabelValues(string(in.Urgency)).Observe(wall.Sub(r.pendingSince).Seconds())
	}
	// The lane goes on as soon as PagerDuty has answered, the incident once that is stored.
	d.events <- func() { r.settle(ctx, answer, now, wall) }
	for {
		err := d.store.Finish(ctx, r.in.ID, intent, r.hash, o)
		if err == nil || errors.Is(err, outbox.ErrClosed) || errors.Is(err, outbox.ErrNotFound) || ctx.Err() != nil {
			break
		}
		d.log.Error("An answer of PagerDuty could not be stored; it is tried again", "incident", r.in.ID, "err", err)
		select {
		case <-time.After(storeAgain):
		case <-ctx.Done():
		}
	}
	d.events <- func() { r.release(ctx) }
}

// release lets the incident be looked at again.
func (r *request) release(ctx context.Context) {
	delete(r.d.busy, r.in.ID)
	r.d.sending--
	r.d.evaluate(ctx, r.in.ID)
}

// settle tells the lane what became of the request; wall is when by Config.Now.
func (r *request) settle(ctx context.Context, a pagerduty.Answer, now, wall time.Time) {
	l, d := r.lane, r.d
	l.end(r.high, a.Kind != pagerduty.Unsent, now)
	delete(d.limited, r.in.ID)
	if r.dec.Action == incident.Trigger && r.in.Urgency.Rank() < mapping.Acknowledged.Rank() &&
		a.Kind != pagerduty.Unsent && a.Kind != pagerduty.Throttled && a.Kind != pagerduty.Refused {
		d.higher[r.in.Service] = wall
	}
	defer d.showBackoff(l)
	switch a.Kind {
	case pagerduty.Accepted, pagerduty.Refused, pagerduty.TooLarge:
		l.answered()
		if a.Kind == pagerduty.Accepted && r.dec.Uncovered != nil && r.dec.Action == incident.Trigger {
			d.met.unheard.WithLabelValues(r.in.Service).Inc()
			if f := r.settings.Uncovered; f != nil {
				f()
			}
			d.log.Warn("PagerDuty accepted a page that nobody hears of there", "incident", r.in.ID, "service", r.in.Service,
				"reason", r.dec.Uncovered.Reason, "fallback", r.svc.Fallback)
		}
		if l.fault != "" && a.Kind == pagerduty.Accepted && r.hash == l.hash {
			l.fault = ""
			d.log.Info("PagerDuty accepts the routing key again", "service", r.in.Service)
			d.relook(ctx, r.in.ID, l)
		}
		if a.Kind != pagerduty.Accepted {
			d.log.Error("PagerDuty refused an event", "incident", r.in.ID, "service", r.in.Service, "action", string(r.dec.Action), "answer", a.Message)
		}
	case pagerduty.BadKey:
		l.answered()
		if r.hash != l.hash {
			d.log.Error("PagerDuty refuses a previous routing key", "incident", r.in.ID, "service", r.in.Service, "answer", a.Message)
			break
		}
		if l.fault == "" {
			d.log.Error("PagerDuty refuses the routing key; pages go to the fallback, if there is one, and the key is tried again every minute", "service", r.in.Service, "answer", a.Message)
		}
		l.refuseKey(a.Message, now)
		d.relook(ctx, r.in.ID, l)
	case pagerduty.Throttled:
		l.answered()
		if now.Sub(l.lastThrottle) >= time.Minute { // else it does so still; the metric counts.
			d.log.Warn("PagerDuty throttles", "service", r.in.Service, "answer", a.Message)
		}
		l.throttle(a.RetryAfter, now)
		d.limited[r.in.ID] = now // whatever answers it so, others must get their turn.
		d.met.throttled.WithLabelValues(r.in.Service).Inc()
	case pagerduty.Failed, pagerduty.Unsent, pagerduty.Ambiguous:
		l.fail(r.in.ID, a.Message, now)
		d.log.Warn("An event was not accepted; it is sent again", "incident", r.in.ID, "service", r.in.Service, "action", string(r.dec.Action), "answer", a.Message)
	}
}

// showBackoff sets the gauge of every service of a lane.
func (d *Deliverer) showBackoff(l *lane) {
	for name, k := range d.keys {
		if k.hash == l.hash {
			d.met.backoff.set(name, l.backoffUntil)
		}
	}
}

// relook evaluates every incident of a lane, but for one.
func (d *Deliverer) relook(ctx context.Context, but string, l *lane) {
	for _, in := range d.store.List() {
		if k := d.keys[in.Service]; in.ID != but && k != nil && k.hash == l.hash {
			d.evaluate(ctx, in.ID)
		}
	}
}

// enqueue makes the event and sends it.
func (r *request) enqueue(ctx context.Context, in *incident.Incident) error {
	if r.dec.Action == incident.Acknowledge || r.dec.Action == incident.Resolve {
		return r.settings.Sender.Enqueue(ctx, r.svc.Region, &pagerduty.Event{
			RoutingKey: r.key, Action: string(r.dec.Action), DedupKey: in.DedupKey,
		})
	}
	if in.Digest != nil {
		return r.settings.Sender.EnqueueChange(ctx, r.svc.Region, ChangeEvent(r.key, digestEvent(in)))
	}
	e, faults := r.settings.Renderer.Render(in.View(), mapping.RenderOptions{Now: r.d.cfg.Now(), Minimal: in.Minimal})
	r.faults = faults
	for _, f := range faults {
		r.d.cfg.OnFault(f)
	}
	if r.dec.Action == incident.Change {
		return r.settings.Sender.EnqueueChange(ctx, r.svc.Region, ChangeEvent(r.key, e))
	}
	return r.settings.Sender.Enqueue(ctx, r.svc.Region, TriggerEvent(r.key, in.DedupKey, e))
}

// outcome translates PagerDuty's answer for the outbox.
func (r *request) outcome(a pagerduty.Answer, in *incident.Incident, now time.Time) incident.Outcome {
	o := incident.Outcome{Message: a.Message, Faults: r.faults}
	switch a.Kind {
	case pagerduty.Accepted:
		o.Kind = incident.OutcomeAccepted
	case pagerduty.Refused, pagerduty.TooLarge:
		o.Kind = incident.OutcomeRefused
	case pagerduty.BadKey:
		o.Kind = incident.OutcomeBadKey
		if r.hash != r.lane.hash { // a previous key: no fault of the lane, and nothing to probe.
			o.Kind = incident.OutcomeRefused
		}
	case pagerduty.Throttled:
		o.Kind = incident.OutcomeThrottled
	case pagerduty.Unsent:
		o.Kind = incident.OutcomeUnsent
	case pagerduty.Failed, pagerduty.Ambiguous:
		o.Kind = incident.OutcomeUnknown
	}
	if o.Kind == incident.OutcomeUnsent || o.Kind == incident.OutcomeUnknown {
		limit := backoffMax
		if in.Urgency.First() {
			limit = backoffHighMax
		}
		o.RetryAt = now.Add(backoff.Backoff{First: backoffFirst, Max: limit, Factor: 2}.After(in.Attempts + 1))
	}
	return o
}
