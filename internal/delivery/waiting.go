package delivery

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/internal/incident"
)

const (
	// waitsLong is how long something has to wait before anybody is told why.
	waitsLong = 10 * time.Second
	// waitsEvery is how often what waits is looked at, and waitsLeast how often at least
	// where that is much.
	waitsEvery = 5 * time.Second
	waitsLeast = time.Minute
	// maxWhy bounds the text of a reason, in bytes.
	maxWhy = 500
)

// Cause is why PagerDuty has not been told of something. It is a metric's label.
type Cause string

// The causes.
const (
	CauseKeyUnreadable Cause = "routing_key_unreadable" // the file cannot be read, or holds no key.
	CauseKeyRefused    Cause = "routing_key_refused"    // PagerDuty does not know the key.
	CauseService       Cause = "service_not_configured"
	CauseBlocked       Cause = "blocked"      // PagerDuty refused it for good.
	CauseBackoff       Cause = "failing"      // the last requests failed.
	CauseQueue         Cause = "rate_limit"   // its turn has not come.
	CauseAlertmanager  Cause = "alertmanager" // Alertmanager is being asked first.
	CauseOther         Cause = "other"        // the text says what.
)

// Causes lists all causes, the worst first.
func Causes() []Cause {
	return []Cause{
		CauseKeyUnreadable, CauseKeyRefused, CauseService, CauseBlocked, CauseBackoff, CauseQueue, CauseAlertmanager, CauseOther,
	}
}

// Waiting is what one service's incidents wait for, for longer than 10 s.
type Waiting struct {
	Service   string
	Cause     Cause
	Text      string // of the incident that has waited longest: one line, no secret, no alert text.
	Incidents int
	Since     time.Time
}

// wait is why one incident waits.
type wait struct {
	service string
	cause   Cause
	text    string
	since   time.Time // by the wall clock.
}

// waits are the incidents that wait, and what was told of them. Reading is safe for
// concurrent use; the loop alone writes.
type waits struct {
	mtx  sync.RWMutex
	byID map[string]wait
	told map[waitKey]Waiting // what is known to wait for long.
	due  time.Time           // when to look again.
}

type waitKey struct {
	service string
	cause   Cause
}

// note records what was decided about an incident, if PagerDuty is to be told something.
func (w *waits) note(in *incident.Incident, ev incident.Evidence, dec incident.Decision, now time.Time) {
	w.mtx.Lock()
	defer w.mtx.Unlock()
	if in.PendingSince.IsZero() && in.Blocked == nil || in.Digest != nil { // a digest waits on purpose.
		delete(w.byID, in.ID)
		return
	}
	cause, text := causeOf(in, ev, dec)
	since := in.PendingSince
	if in.Blocked != nil {
		since = in.Blocked.At
	}
	if old, ok := w.byID[in.ID]; ok && old.cause == cause {
		since = old.since
	} else if ok {
		since = now
	}
	if w.byID == nil {
		w.byID = map[string]wait{}
	}
	if w.due.IsZero() {
		w.due = now.Add(waitsEvery)
	}
	w.byID[in.ID] = wait{service: in.Service, cause: cause, text: strings.ToValidUTF8(text[:min(len(text), maxWhy)], ""), since: since}
}

func (w *waits) forget(id string) {
	w.mtx.Lock()
	defer w.mtx.Unlock()
	delete(w.byID, id)
}

func causeOf(in *incident.Incident, ev incident.Evidence, dec incident.Decision) (Cause, string) {
	switch {
	case in.Blocked != nil:
		return CauseBlocked, in.Blocked.Reason
	case !ev.Known:
		return CauseService, "the service is no longer configured"
	case ev.KeyHash == "":
		return CauseKeyUnreadable, ev.KeyError
	case ev.LaneFault != "" || in.KeyFault != "":
		return CauseKeyRefused, "PagerDuty does not know the routing key: " + cmp.Or(ev.LaneFault, in.KeyFault)
	case in.Attempts > 0: // also while it is being tried again.
		return CauseBackoff, in.LastAnswer()
	case dec.Kind == incident.Send:
		return CauseQueue, "its turn has not come: " + dec.Reason
	case dec.Kind == incident.Ask:
		return CauseAlertmanager, "Alertmanager is asked first: " + dec.Reason
	}
	return CauseOther, dec.Reason
}

// look finds what has waited for long, and returns what began to and what ended.
func (w *waits) look(now time.Time) (began, ended []Waiting) {
	w.mtx.Lock()
	defer w.mtx.Unlock()
	w.due = now.Add(min(waitsEvery*time.Duration(1+len(w.byID)/1000), waitsLeast)) // a look costs what waits.
	found := map[waitKey]Waiting{}
	for _, one := range w.byID {
		if now.Sub(one.since) < waitsLong {
			continue
		}
		k := waitKey{one.service, one.cause}
		f, ok := found[k]
		if !ok || one.since.Before(f.Since) {
			f.Service, f.Cause, f.Text, f.Since = one.service, one.cause, one.text, one.since
		}
		f.Incidents++
		found[k] = f
	}
	for k, f := range found {
		if _, ok := w.told[k]; !ok {
			began = append(began, f)
		}
	}
	for k, f := range w.told {
		if _, ok := found[k]; !ok {
			ended = append(ended, f)
		}
	}
	w.told = found
	sortWaiting(began)
	sortWaiting(ended)
	return began, ended
}

// next is when to look again; zero if nothing waits and nothing did.
func (w *waits) next() time.Time {
	w.mtx.RLock()
	defer w.mtx.RUnlock()
	if len(w.byID) == 0 && len(w.told) == 0 {
		return time.Time{}
	}
	return w.due // set since something was noted.
}

func sortWaiting(list []Waiting) {
	rank := map[Cause]int{}
	for i, c := range Causes() {
		rank[c] = i
	}
	slices.SortFunc(list, func(a, b Waiting) int {
		return cmp.Or(cmp.Compare(rank[a.Cause], rank[b.Cause]), cmp.Compare(a.Service, b.Service))
	})
}

// Waiting lists what has waited for longer than 10 s, by service and cause.
func (d *Deliverer) Waiting() []Waiting {
	d.why.mtx.RLock()
	defer d.why.mtx.RUnlock()
	var list []Waiting
	for _, f := range d.why.told {
		list = append(list, f)
	}
	sortWaiting(list)
	return list
}

// Why says why an incident waits; "" if it does not.
func (d *Deliverer) Why(id string) string {
	d.why.mtx.RLock()
	defer d.why.mtx.RUnlock()
	return d.why.byID[id].text
}

// watchWaits logs what began or ceased to wait for long. One line for a service and
// cause, not for each incident.
func (d *Deliverer) watchWaits(now time.Time) {
	if due := d.why.next(); due.IsZero() || now.Before(due) {
		return
	}
	began, ended := d.why.look(now)
	for _, f := range began {
		log := d.log.Warn
		if f.Cause == CauseKeyUnreadable || f.Cause == CauseKeyRefused || f.Cause == CauseService || f.Cause == CauseBlocked {
			log = d.log.Error
		}
		log("Pages wait", "service", f.Service, "cause", string(f.Cause), "reason", f.Text, "incidents", f.Incidents)
	}
	for _, f := range ended {
		d.log.Info("Pages no longer wait", "service", f.Service, "cause", string(f.Cause), "after", now.Sub(f.Since).Round(time.Second).String())
	}
}

// waitingCollector counts what waits when it is asked.
type waitingCollector struct {
	d    *Deliverer
	desc *prometheus.Desc
}

func newWaitingCollector(d *Deliverer) *waitingCollector {
	return &waitingCollector{d: d, desc: prometheus.NewDesc("pagerelay_waiting_incidents",
		"Incidents that PagerDuty should have been told something of more than 10 seconds ago, by what they wait for.", []string{"service", "cause"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *waitingCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *waitingCollector) Collect(ch chan<- prometheus.Metric) {
	counts := map[waitKey]int{}
	if s := c.d.settings.Load(); s != nil {
		for name := range s.Services {
			for _, cause := range Causes() {
				counts[waitKey{name, cause}] = 0
			}
		}
	}
	for _, f := range c.d.Waiting() {
		counts[waitKey{f.Service, f.Cause}] = f.Incidents
	}
	for k, n := range counts {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), k.service, string(k.cause))
	}
}
