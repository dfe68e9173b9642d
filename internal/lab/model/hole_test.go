package model_test

import (
	"context"
	"maps"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

const (
	maintenance = "maintenance"
	nobody      = "nobody on call"

	// What the audit finds out so shortly before a hole's end that a request may be
	// under way then, pagerelay need not act upon.
	auditedBefore = time.Minute
	copiedWithin  = 5 * time.Minute // of a page that nobody hears of, with nothing in the way.
)

// hole is a time in which a service of PagerDuty's pages nobody.
type hole struct {
	what       string
	from, till time.Time
	foreseen   bool // the audit knows till.
}

// serviceIDs are PagerDuty's names of pagerelay's services.
func serviceIDs() map[string]string { return map[string]string{"infra": "PINFRA", "other": "POTHER"} }

// beginHole has a service page nobody for a while: N says of which, and what the
// audit knows of it.
func (w *world) beginHole(s step) {
	service := "infra"
	if s.N&4 != 0 {
		service = "other"
	}
	w.mu.Lock()
	was := w.holes[service]
	w.mu.Unlock()
	if was != nil {
		return
	}
	w.clearFaults()                            // what left before must not land in it.
	time.Sleep(time.Minute + time.Microsecond) // not in the very moment in which a repeat is due.
	now := time.Now()
	noticed := s.What == nobody || s.N&2 == 0
	h := &hole{what: s.What, from: now, till: now.Add(s.Delay*60 + 3*auditedBefore), foreseen: s.N&1 != 0}
	w.mu.Lock()
	w.holes[service] = h
	if noticed && w.audited {
		w.believed[service] = *h
	}
	w.mu.Unlock()
	synctest.Wait() // all that was decided before has landed.
	o := emulator.ServiceOverride{OnCall: new([]string{})}
	if s.What == maintenance {
		o = emulator.ServiceOverride{MaintenanceWindows: new([]emulator.Window{{Start: now, End: h.till}})}
	}
	if err := w.pd.OverrideService(serviceIDs()[service], o); err != nil {
		panic(err)
	}
	w.later.Go(func() {
		if !noticed {
			time.Sleep(h.till.Sub(h.from) / 3)
			w.audit()
		}
		time.Sleep(time.Until(h.till.Add(-auditedBefore)))
		w.audit()
		time.Sleep(time.Until(h.till.Add(-time.Millisecond)))
		w.endHole(service, h)
	})
}

// endHole ends a hole; nothing, if it has ended.
func (w *world) endHole(service string, h *hole) {
	w.mu.Lock()
	is := h != nil && w.holes[service] == h
	w.mu.Unlock()
	if !is {
		return
	}
	if err := w.pd.OverrideService(serviceIDs()[service], emulator.ServiceOverride{}); err != nil {
		panic(err)
	}
	w.mu.Lock()
	delete(w.holes, service)
	w.mu.Unlock()
	if !h.foreseen {
		time.Sleep(time.Second)
		w.audit()
	}
}

// endHoles ends all holes before their time, and the audit finds out.
func (w *world) endHoles() {
	w.audit()
	time.Sleep(auditedBefore)
	for service := range serviceIDs() {
		w.mu.Lock()
		h := w.holes[service]
		w.mu.Unlock()
		w.endHole(service, h)
	}
	w.audit()
}

// audit has the coverage audit look at the account.
func (w *world) audit() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.audited = true
	clear(w.believed)
	for service, h := range w.holes {
		w.believed[service] = *h
		w.twice.audited(h)
		if h.what == maintenance {
			store, from := w.store, h.from
			w.later.Go(func() { // what was resolved in it before it was known.
				_, _ = store.ReopenResolved(context.Background(), service, from, incident.Uncovered{Reason: maintenance}) // the next audit does it again.
			})
		}
	}
	w.deliver.Audited()
}

// forgetAudit is what a start of the process does to what the audit knew; it knows
// again after a while.
func (w *world) forgetAudit(after time.Duration) {
	w.mu.Lock()
	w.audited = false
	clear(w.believed)
	for _, h := range w.holes {
		if time.Until(h.till) < after+2*auditedBefore {
			after = 0
		}
	}
	w.mu.Unlock()
	if after == 0 {
		w.audit()
		return
	}
	w.later.Go(func() {
		time.Sleep(after)
		w.audit()
	})
}

// coverageAt is what the audit says.
func (w *world) coverageAt(service string, at time.Time) incident.Coverage {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.believed[service]
	switch {
	case !w.audited:
		return incident.Coverage{State: incident.CoverageUnknown}
	case !ok, h.foreseen && !at.Before(h.till):
		return incident.Coverage{State: incident.CoverageFull}
	}
	c := incident.Coverage{State: incident.CoverageUncovered, Reason: h.what, Maintenance: h.what == maintenance}
	if h.foreseen {
		c.Until = h.till
	}
	if c.Maintenance {
		c.Since = h.from
	}
	return c
}

// swallowed notes what PagerDuty is about to accept without effect although the
// audit knows it.
func (w *world) swallowed(e *pagerduty.Event) {
	service := serviceOf(e)
	told := w.coverageAt(service, time.Now())
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.holes[service]
	switch {
	case h == nil:
	case e.Action == string(incident.Trigger) && told.State == incident.CoverageUncovered && service == "infra":
		w.unheardOf[e.DedupKey] = h
	}
}

// disturb notes that something may keep a copy from the fallback for a while.
func (w *world) disturb() { w.calmSince = time.Now() }

func (w *world) clearFaults() {
	w.pd.ClearFaults()
	w.setFaulty(false)
	w.disturb()
}

func (w *world) setFaulty(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faulty = on
}

// checkCopied: a page that nobody hears of is open on the fallback.
func (w *world) checkCopied() {
	w.mu.Lock()
	infra, other := w.holes["infra"], w.holes["other"]
	calm := !w.faulty && time.Since(w.calmSince) >= copiedWithin
	unheardOf := maps.Clone(w.unheardOf)
	w.mu.Unlock()
	if infra == nil || other != nil || !calm || time.Since(infra.from) < copiedWithin {
		return
	}
	open := map[string]bool{}
	for _, in := range w.pd.Incidents() {
		open[in.DedupKey] = open[in.DedupKey] || in.Open()
	}
	for key, h := range unheardOf {
		firing := w.firingOf(key)
		if h != infra || len(firing) == 0 || open[key] {
			continue
		}
		in, ok := w.store.Get(incident.ID("other", key))
		fine := ok && in.Blocked != nil
		told, known := w.store.Get(incident.ID("infra", key))
		for _, i := range firing {
			if w.reloaded && (!known || told.Members[fingerprint(i)] == nil || !told.Members[fingerprint(i)].Firing) {
				fine = true // only a webhook tells of a new route.
			}
			fine = fine || w.muted[i] != "" || w.unheard[i] || time.Since(w.starts[i]) < copiedWithin
		}
		w.mu.Lock()
		_, byHand := w.settled[key]
		w.mu.Unlock()
		if !fine && !byHand {
			w.problem("at %s: nobody hears of %s on infra, and it is not open on the fallback", time.Now().Format(time.TimeOnly), key)
		}
	}
}
