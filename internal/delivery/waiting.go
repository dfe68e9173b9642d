package delivery

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

const (
	// waitsLong is how long something has to wait before anybody is told why.
	waitsLong = 10 * time.Second
	// waitsEvery is how often what waits is looked at, and waitsLeast how often at least
	// where that is much.
	waitsEvery = 5 * time.Second
	waitsLeast = time.Minute
	// maxWhy bounds the text of a reason, in characters.
	maxWhy = 500
	// keysEvery is how often routing keys that could not be read are read again.
	keysEvery = 15 * time.Second
)

// Cause is why PagerDuty has not been told of something. It is a metric's label.
type Cause string

// The causes.
const (
	CauseKeyUnreadable Cause = "routing_key_unreadable" // the file cannot be read, or holds no key.
	CauseKeyRefused    Cause = "routing_key_refused"    // PagerDuty does not know the key.
	CauseService       Cause = "service_not_configured"
	CauseBlocked       Cause = "blocked"      // PagerDuty refused it for good.
	CauseBackoff       Cause = "failing"      // requests fail, its own or others of the routing key.
	CauseConnections   Cause = "connections"  // PagerDuty answers slowly: all requests that may be open at once are.
	CauseQueue         Cause = "rate_limit"   // the rate limit, PagerDuty's or our own.
	CauseAlertmanager  Cause = "alertmanager" // Alertmanager is being asked first.
	CauseOther         Cause = "other"        // the text says what.
)

// Causes lists all causes, the worst first.
func Causes() []Cause {
	return []Cause{
		CauseKeyUnreadable, CauseKeyRefused, CauseService, CauseBlocked, CauseBackoff, CauseConnections, CauseQueue, CauseAlertmanager, CauseOther,
	}
}

// Waiting is what one service's incidents wait for, for longer than 10 s.
type Waiting struct {
	Service string
	Cause   Cause
	Text    string // of the incident that has waited longest: one line, no secret, no alert text.
	// Incidents is how many wait; 0 for a routing key that cannot be read while nothing
	// waits for it yet.
	Incidents int
	Pages     bool // among them are high-urgency pages.
	Since     time.Time
}

// hold is what keeps something from leaving.
type hold struct {
	cause Cause
	text  string
}

// wait is why one incident waits.
type wait struct {
	service string
	hold
	since time.Time // by the wall clock.
	page  bool      // of high urgency.
	sent  time.Time // when the request left that is on its way; zero if none is.
	// lane is that in which it is queued; "" if it is not. What holds the lane's high
	// classes, or the others, is what it waits for.
	lane string
	high bool
}

// waits are the incidents that wait, and what was told of them. Reading is safe for
// concurrent use; the loop alone writes.
type waits struct {
	mtx   sync.RWMutex
	byID  map[string]wait
	lanes map[string]*laneWait // by hash, of those that hold something.
	keys  map[string]Waiting   // services whose routing key cannot be read.
	told  map[waitKey]Waiting  // what is known to wait for long.
	due   time.Time            // when to look again.
}

// laneHolds is what holds a lane's high classes, and the others.
type laneHolds struct{ high, low hold }

// laneWait is what holds a lane, as it is told. A cause is told of anew only once it has
// lasted: in a storm they may take turns within a second.
type laneWait struct {
	now, told laneHolds
	high, low time.Time // since when the present causes hold.
}

type waitKey struct {
	service string
	cause   Cause
}

// note records what was decided about an incident, if PagerDuty is to be told something.
// l is the lane that it is queued in; nil if it is not.
func (w *waits) note(in *incident.Incident, ev incident.Evidence, dec incident.Decision, l *lane, now time.Time) {
	w.mtx.Lock()
	defer w.mtx.Unlock()
	if in.PendingSince.IsZero() && in.Blocked == nil || in.Digest != nil { // a digest waits on purpose.
		delete(w.byID, in.ID)
		return
	}
	one := wait{
		service: in.Service, hold: causeOf(in, ev, dec), since: in.PendingSince,
		page: in.Urgency.First() && in.Firing() > 0,
	}
	if one.cause == CauseQueue && l != nil {
		one.lane, one.high = l.hash, dec.Class.High()
	}
	if in.Blocked != nil {
		one.since = in.Blocked.At
	}
	if old, ok := w.byID[in.ID]; ok && old.cause == one.cause {
		one.since = old.since
	} else if ok {
		one.since = now
	}
	if w.byID == nil {
		w.byID = map[string]wait{}
	}
	if w.due.IsZero() {
		w.due = now.Add(waitsEvery)
	}
	one.text = oneline.Short(one.text, maxWhy)
	w.byID[in.ID] = one
}

// sent records that a request for the incident is on its way: if it takes long, that is why.
func (w *waits) sent(id string, now time.Time) {
	w.mtx.Lock()
	defer w.mtx.Unlock()
	if one, ok := w.byID[id]; ok {
		one.sent = now
		w.byID[id] = one
	}
}

// setLane says what holds a lane; the zero value: nothing is queued there.
func (w *waits) setLane(hash string, h laneHolds, now time.Time) {
	w.mtx.Lock()
	defer w.mtx.Unlock()
	if h == (laneHolds{}) {
		delete(w.lanes, hash)
		return
	}
	h.high.text, h.low.text = oneline.Short(h.high.text, maxWhy), oneline.Short(h.low.text, maxWhy)
	l := w.lanes[hash]
	if l == nil {
		if w.lanes == nil {
			w.lanes = map[string]*laneWait{}
		}
		w.lanes[hash] = &laneWait{now: h, told: h, high: now, low: now}
		return
	}
	if h.high.cause != l.now.high.cause {
		l.high = now
	}
	if h.low.cause != l.now.low.cause {
		l.low = now
	}
	l.now = h
}

// settle takes over what has lasted.
func (l *laneWait) settle(now time.Time) {
	if l.now.high.cause == l.told.high.cause || now.Sub(l.high) >= waitsLong {
		l.told.high = l.now.high
	}
	if l.now.low.cause == l.told.low.cause || now.Sub(l.low) >= waitsLong {
		l.told.low = l.now.low
	}
}

// held is what an incident waits for: at present, and as it is told.
func (w *waits) held(one wait, now time.Time) (present, told hold) {
	l := w.lanes[one.lane]
	switch {
	case !one.sent.IsZero() && now.Sub(one.sent) >= waitsLong:
		h := hold{CauseBackoff, "PagerDuty has not answered the request yet"}
		return h, h
	case one.lane == "" || l == nil:
		return one.hold, one.hold
	case one.high:
		return l.now.high, l.told.high
	}
	return l.now.low, l.told.low
}

// setKey says what is wrong with a service's routing key, "" for nothing, and whether
// that is news.
func (w *waits) setKey(service, fault string, now time.Time) (news bool) {
	w.mtx.Lock()
	defer w.mtx.Unlock()
	_, known := w.keys[service]
	switch {
	case fault == "":
		delete(w.keys, service)
		return known
	case known:
		return false
	}
	if w.keys == nil {
		w.keys = map[string]Waiting{}
	}
	w.keys[service] = Waiting{Service: service, Cause: CauseKeyUnreadable, Text: oneline.Short(fault, maxWhy), Since: now}
	return true
}

func (w *waits) forget(id string) {
	w.mtx.Lock()
	defer w.mtx.Unlock()
	delete(w.byID, id)
}

func causeOf(in *incident.Incident, ev incident.Evidence, dec incident.Decision) hold {
	switch {
	case in.Blocked != nil:
		return hold{CauseBlocked, in.Blocked.Reason}
	case !ev.Known:
		return hold{CauseService, "the service is no longer configured"}
	case ev.KeyHash == "":
		return hold{CauseKeyUnreadable, ev.KeyError}
	case ev.LaneFault != "" || in.KeyFault != "":
		return hold{CauseKeyRefused, "PagerDuty does not know the routing key: " + cmp.Or(ev.LaneFault, in.KeyFault)}
	case in.Attempts > 0: // also while it is being tried again.
		return hold{CauseBackoff, in.LastAnswer()}
	case dec.Kind == incident.Ask && dec.Question != incident.QuestionStale:
		return hold{CauseAlertmanager, "Alertmanager is asked first: " + dec.Reason}
	case dec.Kind == incident.Send || dec.Kind == incident.Ask: // a stale one is asked about when its turn comes.
		return hold{CauseQueue, "its turn has not come"}
	}
	return hold{CauseOther, dec.Reason}
}

// look finds what has waited for long, and returns what began to and what ended.
func (w *waits) look(now time.Time) (began, ended []Waiting) {
	w.mtx.Lock()
	defer w.mtx.Unlock()
	w.due = now.Add(min(waitsEvery*time.Duration(1+len(w.byID)/1000), waitsLeast)) // a look costs what waits.
	for _, l := range w.lanes {
		l.settle(now)
	}
	found := map[waitKey]Waiting{}
	for _, one := range w.byID {
		if now.Sub(one.since) < waitsLong {
			continue
		}
		_, h := w.held(one, now)
		k := waitKey{one.service, h.cause}
		f, ok := found[k]
		if !ok || one.since.Before(f.Since) {
			f.Service, f.Cause, f.Text, f.Since = one.service, h.cause, h.text, one.since
		}
		f.Incidents++
		f.Pages = f.Pages || one.page
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

// Waiting lists what has waited for longer than 10 s, by service and cause, and the
// services whose routing key cannot be read.
func (d *Deliverer) Waiting() []Waiting {
	d.why.mtx.RLock()
	defer d.why.mtx.RUnlock()
	var list []Waiting
	for _, f := range d.why.told {
		list = append(list, f)
	}
	for service, f := range d.why.keys {
		if _, ok := d.why.told[waitKey{service, CauseKeyUnreadable}]; !ok {
			list = append(list, f)
		}
	}
	sortWaiting(list)
	return list
}

// Why says why an incident waits, as a cause and in words; "" and "" if it does not.
func (d *Deliverer) Why(id string) (cause, text string) {
	d.why.mtx.RLock()
	defer d.why.mtx.RUnlock()
	one, ok := d.why.byID[id]
	if !ok {
		return "", ""
	}
	h, _ := d.why.held(one, d.cfg.Now())
	return string(h.cause), h.text
}

// keyRead notes whether a service's routing key could be read. What cannot be read is
// told at once, before anything waits for it.
func (d *Deliverer) keyRead(service, fault string, now time.Time) {
	switch news := d.why.setKey(service, fault, now); {
	case news && fault != "":
		if d.keysDue.IsZero() {
			d.keysDue = time.Now().Add(keysEvery)
		}
		d.log.Error("A routing key cannot be read; no page of its service can leave", "service", service, "err", fault)
	case news:
		d.log.Info("The routing key can be read again", "service", service)
	}
}

// watchKeys reads the routing keys of all services, or again those that could not be
// read, and returns when to do so again; zero: not before something changes.
func (d *Deliverer) watchKeys(all bool, now time.Time) time.Time {
	s := d.settings.Load()
	if all {
		for service := range d.why.unreadable() {
			if _, ok := s.Services[service]; !ok {
				d.why.setKey(service, "", now) // with the service, the trouble is gone.
			}
		}
	}
	faults := d.why.unreadable()
	for name, svc := range s.Services {
		if all || faults[name] {
			d.keysOf(name, svc, now)
		}
	}
	if len(d.why.unreadable()) == 0 {
		return time.Time{}
	}
	return time.Now().Add(keysEvery)
}

// unreadable names the services whose routing key cannot be read.
func (w *waits) unreadable() map[string]bool {
	w.mtx.RLock()
	defer w.mtx.RUnlock()
	names := map[string]bool{}
	for name := range w.keys {
		names[name] = true
	}
	return names
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
	d          *Deliverer
	desc, keys *prometheus.Desc
}

func newWaitingCollector(d *Deliverer) *waitingCollector {
	return &waitingCollector{
		d: d, desc: prometheus.NewDesc("pagerelay_waiting_incidents",
			"Incidents that PagerDuty should have been told something of more than 10 seconds ago, by what they wait for.", []string{"service", "cause"}, nil),
		keys: prometheus.NewDesc("pagerelay_routing_key_readable",
			"1 if the service's routing key could be read when it was last looked at, else 0.", []string{"service"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *waitingCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.desc
	ch <- c.keys
}

// Collect implements prometheus.Collector.
func (c *waitingCollector) Collect(ch chan<- prometheus.Metric) {
	counts := map[waitKey]int{}
	unreadable := c.d.why.unreadable()
	for name := range c.d.settings.Load().Services {
		for _, cause := range Causes() {
			counts[waitKey{name, cause}] = 0
		}
		readable := 1.0
		if unreadable[name] {
			readable = 0
		}
		ch <- prometheus.MustNewConstMetric(c.keys, prometheus.GaugeValue, readable, name)
	}
	for _, f := range c.d.Waiting() {
		counts[waitKey{f.Service, f.Cause}] = f.Incidents
	}
	for k, n := range counts {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), k.service, string(k.cause))
	}
}
