package outbox

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/template"

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

// miss takes note of a member's last firing if that is over and was never confirmed,
// neither here nor by the fallback (a request whose answer was lost may have been
// applied all the same), or confirmed in vain, because nobody was on call: it is
// not paged, but told. A trigger in flight may yet confirm it: then its answer decides.
// It is to be called before the member fires again, then is when that was; and once
// nothing of the incident fires any more.
func (in *Incident) miss(fp string, then time.Time) {
	m := in.Members[fp]
	if m == nil || m.Episode == 0 || m.EndedBy == endedByMove || // it is paged where it went.
		in.Urgency == mapping.Change || in.Urgency == mapping.None || m.Episode <= in.FallbackRevision {
		return
	}
	if m.Episode <= in.AcceptedRevision && (!in.unheard() || m.Epoch != in.Epoch) {
		return
	}
	missed := Missed{Labels: m.Alert.Labels, StartsAt: m.Alert.StartsAt, EndedAt: m.EndedAt}
	if m.Firing { // its resolve was lost.
		missed.EndedAt = then
	}
	c := *m
	c.Episode = 0
	in.put(fp, &c)
	if in.Intent != nil && in.Intent.Action == Trigger && in.Intent.Revision >= m.Episode {
		it := *in.Intent
		it.Missed = append(slices.Clip(it.Missed), missed)
		in.Intent = &it
		return
	}
	in.Missed = append(slices.Clip(in.Missed), missed)
}

// missAll does so for every member that is over.
func (in *Incident) missAll(now time.Time) {
	for _, fp := range slices.Sorted(maps.Keys(in.Members)) {
		if !in.Members[fp].Firing {
			in.miss(fp, now)
		}
	}
}

// tellAll tells what this transaction has found to be missed.
func (t *transaction) tellAll() {
	var missed []*Incident
	for _, in := range t.edited {
		if len(in.Missed) > 0 {
			missed = append(missed, in)
		}
	}
	for _, in := range missed { // this edits more.
		tell(t, in, t.now)
	}
}

// tell adds what was missed to the digest of its service. That is sent once the
// lane has nothing more urgent, so after the outage.
func tell(t table, in *Incident, now time.Time) {
	if len(in.Missed) == 0 {
		return
	}
	why := "over before PagerDuty confirmed it"
	if in.unheard() {
		why = "over before anybody could be paged"
	}
	in.note(now, "superseded", why)
	key := in.Service + "/missed"
	id := IncidentID(in.Service, key)
	d := t.edit(id)
	if d == nil {
		d = &Incident{
			ID: id, Service: in.Service, DedupKey: key, Urgency: mapping.Change, Origin: in.Origin, Have: StateClosed,
			Members: map[string]*Member{}, Digest: &Digest{}, CreatedAt: now,
		}
		t.create(d)
	}
	g := Digest{Count: d.Digest.Count, Names: map[string]int{}, First: d.Digest.First, Last: d.Digest.Last}
	g.Samples = append(g.Samples, d.Digest.Samples...)
	maps.Copy(g.Names, d.Digest.Names)
	if d.AcceptedRevision >= d.Revision { // the last one was told: a new digest.
		g = Digest{Names: map[string]int{}}
		d.Minimal = false
	}
	for _, m := range in.Missed {
		t.count(CountedSuperseded)
		g.Count++
		name := m.Labels["alertname"]
		if _, ok := g.Names[name]; !ok && len(g.Names) >= digestNames {
			name = ""
		}
		g.Names[name]++
		if g.First.IsZero() || m.StartsAt.Before(g.First) {
			g.First = m.StartsAt
		}
		if m.EndedAt.After(g.Last) {
			g.Last = m.EndedAt
		}
		if len(g.Samples) < digestSamples {
			g.Samples = append(g.Samples, m)
		}
	}
	in.Missed = nil
	d.Digest = &g
	d.Revision++
	d.settle(now)
}

// nextDigest decides about a digest.
func nextDigest(in *Incident, ev Evidence, now time.Time) Decision {
	if in.Revision <= in.AcceptedRevision || in.Blocked != nil {
		return forget("told")
	}
	if due := in.PendingSince.Add(digestGathers); ahead(due, now, digestGathers) {
		return wait(due, "more may come")
	}
	if stop, d := obstacle(in, ev, now); stop {
		return d
	}
	return send(Change, ClassLast, "what was over before PagerDuty confirmed it")
}
