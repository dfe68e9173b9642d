package incident

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/mutant"
	"github.com/pagerelay/pagerelay/mapping"
)

// Limits of a digest. They keep its event far below PagerDuty's 512 KB.
const (
	digestNames   = 100 // alert names that are counted one by one.
	digestSamples = 50  // alerts that are told with their labels.
	digestGathers = time.Minute
)

// Digest is what was over before PagerDuty confirmed it, on one service.
type Digest struct {
	Count   int            `json:"count"` // of firings: an alert that fired twice counts twice.
	Names   map[string]int `json:"names"` // by alertname, "" for those beyond the limit.
	First   time.Time      `json:"first"` // the earliest start ...
	Last    time.Time      `json:"last"`  // ... and the latest end.
	Samples []Missed       `json:"samples"`
}

// Missed is a firing that was not paged.
type Missed struct {
	Labels   template.KV `json:"labels"`
	StartsAt time.Time   `json:"starts_at"`
	EndedAt  time.Time   `json:"ended_at"`
}

// miss takes note of the last firings of members, as far as they are over and were
// never confirmed, neither here nor by the fallback (a request whose answer was lost
// may have been applied all the same), or confirmed in vain, because nobody was on
// call: they are not paged, but told. A trigger in flight may yet confirm them: then
// its answer decides. It is to be called before a member fires again, then is when
// that was; and once nothing of the incident fires any more.
func (in *Incident) miss(then time.Time, fps ...string) {
	var missed, inFlight []Missed
	for _, fp := range fps {
		m := in.Members[fp]
		if m == nil || !in.missed(m) {
			continue
		}
		gone := Missed{Labels: m.Alert.Labels.KV(), StartsAt: m.Alert.StartsAt, EndedAt: m.Ended.At}
		if m.Firing { // its resolve was lost.
			gone.EndedAt = then
		}
		if in.Intent != nil && in.Intent.Action == Trigger && in.Intent.Revision >= m.Revision {
			inFlight = append(inFlight, gone)
		} else {
			missed = append(missed, gone)
		}
		c := *m
		c.Revision = 0
		in.Put(fp, &c)
	}
	in.Missed = slices.Concat(in.Missed, missed)
	if len(inFlight) > 0 {
		it := *in.Intent
		it.Missed = slices.Concat(it.Missed, inFlight)
		in.Intent = &it
	}
}

// missed says whether a member's last firing, now that it is over, was never paged.
func (in *Incident) missed(m *Member) bool {
	switch {
	case m.Revision == 0, !in.Urgency.Opens():
		return false
	case m.Ended.By == endedByMove: // it is paged where it went.
		return false
	case m.Revision <= in.FallbackRevision:
		return false
	}
	return m.Revision > in.heard()
}

// missAll does so for every member: nothing of the incident fires any more.
func (in *Incident) missAll(now time.Time) {
	var over []string
	for fp, m := range in.Members {
		if !m.Firing && m.Revision > 0 {
			over = append(over, fp)
		}
	}
	slices.Sort(over)
	in.miss(now, over...)
}

// Tell adds what was missed to the digest of its service. That is sent once the
// lane has nothing more urgent, so after the outage.
func Tell(t Table, in *Incident, now time.Time) {
	if len(in.Missed) == 0 {
		return
	}
	why := "over before PagerDuty confirmed it"
	if in.uncovered() != nil {
		why = "over before anybody could be paged"
	}
	in.Note(now, "superseded", why)
	if mutant.On(mutant.MissedIsNotTold) {
		return
	}
	key := in.Service + "/missed"
	id := ID(in.Service, key)
	d := t.Edit(id)
	if d == nil {
		d = &Incident{
			ID: id, Subject: Subject{Service: in.Service, DedupKey: key, Urgency: mapping.Change, Origin: in.Origin},
			Told: Told{Have: StateClosed}, Members: map[string]*Member{}, Digest: &Digest{}, CreatedAt: now,
		}
		t.Create(d)
	}
	before := d.Digest
	switch {
	case d.Intent != nil: // its event is on its way, without this.
		before = d.Intent.Grown
	case d.AcceptedRevision >= d.Revision: // the last one was told: a new digest.
		before, d.Minimal = nil, false
	}
	g := before.copied()
	for _, m := range in.Missed {
		t.Count(CountedSuperseded)
		g.add(m.Labels["alertname"], 1, m.StartsAt, m.EndedAt)
		if len(g.Samples) < digestSamples {
			g.Samples = append(g.Samples, m)
		}
	}
	in.Missed = nil
	if d.Intent != nil {
		it := *d.Intent
		it.Grown = g
		d.Intent = &it
	} else {
		d.Digest = g
	}
	d.Revision++
	d.settle(now)
}

// copied is a digest that may be changed; an empty one if there is none.
func (g *Digest) copied() *Digest {
	if g == nil {
		return &Digest{Names: map[string]int{}}
	}
	c := *g
	c.Names, c.Samples = map[string]int{}, slices.Clip(g.Samples)
	maps.Copy(c.Names, g.Names)
	return &c
}

// add counts n firings of one name.
func (g *Digest) add(name string, n int, first, last time.Time) {
	g.Count += n
	named := len(g.Names)
	if _, ok := g.Names[""]; ok {
		named--
	}
	if _, ok := g.Names[name]; !ok && named >= digestNames {
		name = ""
	}
	g.Names[name] += n
	if g.First.IsZero() || first.Before(g.First) {
		g.First = first
	}
	if last.After(g.Last) {
		g.Last = last
	}
}

// with is a digest of what both tell.
func (g *Digest) with(o *Digest) *Digest {
	c := g.copied()
	for _, name := range slices.Sorted(maps.Keys(o.Names)) {
		c.add(name, o.Names[name], o.First, o.Last)
	}
	c.Samples = append(c.Samples, o.Samples[:min(len(o.Samples), digestSamples-len(c.Samples))]...)
	return c
}

// regrow takes in what was missed while the digest's event was on its way. If that
// was accepted, it is a digest of its own; else it goes along with what is to be
// told again.
func (in *Incident) regrow(it *Intent, accepted bool, now time.Time) {
	switch {
	case it.Grown == nil:
	case accepted:
		in.Digest, in.Minimal, in.PendingSince = it.Grown, false, now
	default:
		in.Digest = in.Digest.with(it.Grown)
	}
}

// nextDigest decides about a digest.
func nextDigest(in *Incident, ev Evidence, now time.Time) Decision {
	switch {
	case in.Revision <= in.AcceptedRevision:
		return forget("told")
	case in.Blocked != nil:
		return forget("refused: each of these firings is on the ledger")
	}
	if due := in.PendingSince.Add(digestGathers); ahead(due, now, digestGathers) {
		return wait(due, "more may come")
	}
	if stop, d := gate(in, ev, now); stop {
		return d
	}
	return send(Change, ClassLast, "what was over before PagerDuty confirmed it")
}
