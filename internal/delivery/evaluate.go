package delivery

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/outbox"
)

// evidence gathers what Next needs to know besides the incident; now is Config.Now's.
func (d *Deliverer) evidence(in *incident.Incident, now time.Time) (incident.Evidence, *lane) {
	s := d.settings.Load()
	svc, known := s.Services[in.Service]
	ev := incident.Evidence{Known: known, Asking: d.asking[in.ID], Answers: d.answers[in.ID]}
	if !known {
		return ev, nil
	}
	ev.Fallback = svc.Fallback
	if s.Coverage != nil {
		ev.Coverage = s.Coverage(in.Service, now)
		if at, ok := in.UnauditedSince(); ok {
			ev.Then = s.Coverage(in.Service, at)
		}
	}
	k := d.keysOf(in.Service, svc, now)
	ev.KeyHash, ev.KeyError, ev.OldKeys, ev.KeySince = k.hash, k.err, k.hashes, k.since
	ev.HigherTrigger = d.started // what was sent before this process is not known.
	if t, ok := d.higher[in.Service]; ok {
		ev.HigherTrigger = t
	}
	if k.hash == "" {
		return ev, nil
	}
	l := d.lanes[k.hash]
	if l == nil {
		l = newLane(k.hash)
		d.lanes[k.hash] = l
	}
	if n := perMinute(svc); l.limit == 0 || n < l.limit { // services may share a key.
		l.limit = n
	}
	ev.LaneFault, ev.Limited = l.fault, d.rated[in.Service]
	return ev, l
}

// keysOf are the routing keys of a service, read now if they were not just before.
func (d *Deliverer) keysOf(name string, svc Service, now time.Time) *keys {
	k := d.keys[name]
	if k == nil {
		k = &keys{}
		d.keys[name] = k
	}
	if k.read(svc, now) {
		d.keyRead(name, k.err, now)
	}
	return k
}

func perMinute(s Service) int {
	if s.EventsPerMinute == 0 {
		return 120 // PagerDuty's documented default for a routing key.
	}
	return s.EventsPerMinute
}

// evaluate asks Next about an incident and puts it where the answer says.
func (d *Deliverer) evaluate(ctx context.Context, id string) {
	if d.draining || d.busy[id] {
		return // busy: it is evaluated when that has ended.
	}
	in, ok := d.store.Get(id)
	if !ok {
		d.dequeue(id)
		d.clearTimer(id)
		delete(d.answers, id)
		delete(d.limited, id)
		delete(d.waits, id)
		d.why.forget(id)
		return
	}
	now, wall := time.Now(), d.cfg.Now()
	ev, l := d.evidence(in, wall)
	dec := incident.Next(in, ev, d.store.Policy(), wall)
	d.why.note(in, ev, dec, l, wall)
	stale := dec.Kind == incident.Ask && dec.Question == incident.QuestionStale
	if dec.Kind != incident.Send && !stale {
		d.dequeue(id)
	}
	d.clearTimer(id)
	switch dec.Kind {
	case incident.Idle:
	case incident.Wait:
		d.setTimer(id, now.Add(dec.Until.Sub(wall)))
	case incident.Send:
		d.enqueue(in, l, dec.Class)
	case incident.Ask:
		if stale { // asked when its turn comes: the answer must be fresh then.
			d.enqueue(in, l, dec.Class)
			return
		}
		d.ask(ctx, in, dec, func() {})
	case incident.Perform:
		d.perform(ctx, in, dec, ev.Fallback)
	}
}

func (d *Deliverer) enqueue(in *incident.Incident, l *lane, class incident.Class) {
	since := d.waitingSince(in)
	if in.Digest != nil { // it names what is over: the more there is, the later it should go.
		since = time.Now().Add(digestPatience)
	}
	if at := d.limited[in.ID]; at.After(since) {
		since = at
	}
	if q := d.queued[in.ID]; q != nil {
		if q.lane == l && q.item.class == class {
			return
		}
		d.dequeue(in.ID)
	}
	d.seq++
	it := &item{id: in.ID, class: class, since: since, seq: d.seq}
	l.push(it)
	d.queued[in.ID] = &queued{item: it, lane: l}
}

// waitingSince is when what is to be said came to be, by the clock that never jumps.
// It is read from the wall clock once: whatever that one does later, the order stays.
func (d *Deliverer) waitingSince(in *incident.Incident) time.Time {
	if w, ok := d.waits[in.ID]; ok && w.pending.Equal(in.PendingSince) {
		return w.since
	}
	since := time.Now()
	if age := d.cfg.Now().Sub(in.PendingSince); !in.PendingSince.IsZero() && age > 0 {
		since = since.Add(-age)
	}
	if in.PendingSince.IsZero() { // a follow-up or a repeat: PagerDuty lacks nothing.
		delete(d.waits, in.ID)
		return since
	}
	d.waits[in.ID] = waiting{pending: in.PendingSince, since: since}
	return since
}

func (d *Deliverer) dequeue(id string) {
	if q := d.queued[id]; q != nil {
		q.lane.remove(q.item)
		delete(d.queued, id)
	}
}

// perform runs a step that needs no request.
func (d *Deliverer) perform(ctx context.Context, in *incident.Incident, dec incident.Decision, fallback string) {
	d.busy[in.ID] = true
	var err error
	d.task(&d.steps, func() { err = d.store.Perform(ctx, in.ID, in.Version, dec, fallback) }, func() {
		delete(d.busy, in.ID)
		switch {
		case err == nil && dec.Step == incident.StepBlock:
			d.log.Error("An incident is blocked", "incident", in.ID, "service", in.Service, "reason", dec.Reason)
		case err != nil && !errors.Is(err, outbox.ErrChanged) && !errors.Is(err, outbox.ErrClosed):
			d.log.Error("A step of the outbox was not stored; it is tried again", "step", string(dec.Step), "err", err)
			d.setTimer(in.ID, time.Now().Add(time.Second))
			return
		case errors.Is(err, outbox.ErrClosed):
			return
		}
		d.evaluate(ctx, in.ID)
	})
}

// ask puts a question to Alertmanager, and calls then in the loop when it is
// answered. Meanwhile the incident is evaluated as usual.
func (d *Deliverer) ask(ctx context.Context, in *incident.Incident, dec incident.Decision, then func()) {
	asker := d.settings.Load().Asker
	if d.asking[in.ID] == nil {
		d.asking[in.ID] = map[incident.Question]bool{}
	}
	d.asking[in.ID][dec.Question] = true
	a := incident.Answer{Verdict: incident.VerdictUncertain, Revision: in.Revision, About: in.Held()}
	why := "nobody to ask"
	// What a page waits for goes before what only a resolve waits for.
	pool := &d.questions
	if dec.Question == incident.QuestionSiblings {
		pool = &d.patient
	}
	d.task(pool, func() {
		if asker == nil {
			return
		}
		askCtx, cancel := context.WithTimeout(ctx, dec.Timeout)
		defer cancel()
		a.Verdict, why = asker.Ask(askCtx, dec.Question, in)
	}, func() {
		then()
		a.At = d.cfg.Now()
		delete(d.asking[in.ID], dec.Question)
		if len(d.asking[in.ID]) == 0 {
			delete(d.asking, in.ID)
		}
		a.Since = a.At
		if before, ok := d.answers[in.ID][dec.Question]; ok && before.Verdict == incident.VerdictUncertain {
			a.Since = before.Since
		}
		if d.answers[in.ID] == nil {
			d.answers[in.ID] = map[incident.Question]incident.Answer{}
		}
		d.answers[in.ID][dec.Question] = a
		d.log.Debug("Alertmanager was asked", "incident", in.ID, "question", string(dec.Question), "verdict", string(a.Verdict), "reason", why)
		d.met.questions.WithLabelValues(string(dec.Question), string(a.Verdict)).Inc()
		d.evaluate(ctx, in.ID)
	})
	d.evaluate(ctx, in.ID)
}

// pump lets every lane send what it may, and returns when to look again.
func (d *Deliverer) pump(ctx context.Context, now time.Time) (next time.Time) {
	for {
		before := d.seq
		next = d.pumpOnce(ctx, now)
		if d.seq == before { // nothing was moved to another lane, or came back.
			d.tellLimited()
			return next
		}
	}
}

// tellLimited lets the outbox know which services' high pages now wait for nothing
// but the rate limit.
func (d *Deliverer) tellLimited() {
	rated := map[string]bool{}
	for name, k := range d.keys {
		if l := d.lanes[k.hash]; l != nil && l.rated {
			rated[name] = true
		}
	}
	if !maps.Equal(rated, d.rated) {
		d.rated = rated
		d.store.SetLimited(rated)
	}
}

func (d *Deliverer) pumpOnce(ctx context.Context, now time.Time) (next time.Time) {
	for _, l := range d.lanes {
		l.rated = false
		for {
			it, again, rated := l.pick(now)
			l.rated = l.rated || rated
			if it == nil {
				next = earliest(next, again)
				d.showHolds(l, now)
				break
			}
			delete(d.queued, it.id)
			d.send(ctx, l, it, now)
		}
	}
	return next
}

// showHolds lets others know what keeps from leaving what is left in a lane.
func (d *Deliverer) showHolds(l *lane, now time.Time) {
	var h laneHolds
	if !l.empty() {
		h = laneHolds{l.hold(true, now), l.hold(false, now)}
	}
	if h != l.shown {
		l.shown = h
		d.why.setLane(l.hash, h, d.cfg.Now())
	}
}
