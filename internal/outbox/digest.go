package outbox

import (
	"maps"
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
	Count   int            `json:"count"` // of alerts.
	Names   map[string]int `json:"names"` // by alertname, "" for those beyond the limit.
	First   time.Time      `json:"first"` // the earliest start ...
	Last    time.Time      `json:"last"`  // ... and the latest end.
	Samples []Missed       `json:"samples"`
}

// Missed is an alert that was not paged.
type Missed struct {
	Labels   template.KV `json:"labels"`
	StartsAt time.Time   `json:"starts_at"`
	EndedAt  time.Time   `json:"ended_at"`
}

// supersede takes note of an incident that is forgotten although its newest
// episode was never confirmed, neither here nor by the fallback (a request whose
// answer was lost may have been applied all the same): it is not paged,
// but told (as is what PagerDuty confirmed in vain, because nobody was on call), in the digest of its service. That is sent once the lane has nothing
// more urgent, so after the outage.
func supersede(t table, in *Incident, now time.Time) {
	pages := in.Urgency != mapping.Change && in.Urgency != mapping.None
	if !pages || (in.Revision <= in.AcceptedRevision && !in.unheard()) || in.FallbackRevision >= in.Revision {
		return
	}
	for _, m := range in.Members {
		if m.EndedBy == endedByMove {
			return // it is paged where it went.
		}
	}
	t.count(CountedSuperseded)
	why := "over before PagerDuty confirmed it"
	if in.Revision <= in.AcceptedRevision {
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
	for _, m := range in.Members {
		if m.Epoch != in.Epoch {
			continue
		}
		g.Count++
		name := m.Alert.Labels["alertname"]
		if _, ok := g.Names[name]; !ok && len(g.Names) >= digestNames {
			name = ""
		}
		g.Names[name]++
		if g.First.IsZero() || m.Alert.StartsAt.Before(g.First) {
			g.First = m.Alert.StartsAt
		}
		if m.EndedAt.After(g.Last) {
			g.Last = m.EndedAt
		}
		if len(g.Samples) < digestSamples {
			g.Samples = append(g.Samples, Missed{Labels: m.Alert.Labels, StartsAt: m.Alert.StartsAt, EndedAt: m.EndedAt})
		}
	}
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
