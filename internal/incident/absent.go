package incident

import (
	"time"
)

// ReasonAdopted is the Reason of an observation that no webhook brought:
// Alertmanager was asked, and lists the alert. The have of an incident that is
// first seen so is unknown.
const ReasonAdopted = "adopted"

// Absence is an alert that no Alertmanager lists any more.
type Absence struct {
	Fingerprint string
	// LastSeen is Incident.Members' newest LastSeen of the alert, as it was before
	// the first look at which the alert was not listed: a webhook that came since
	// says otherwise, and wins.
	LastSeen time.Time
}

// ObserveAbsence closes alerts whose resolve was lost, wherever they are members; it
// returns how many alerts that closed. It touches origin alertmanager alone.
// Whether their absence is evidence is for the caller to know.
func ObserveAbsence(t Table, gone []Absence, now time.Time) int {
	n := 0
	for _, a := range gone {
		ids := firingIn(t, a.Fingerprint)
		if len(ids) == 0 || !newestSeen(t, a.Fingerprint).Equal(a.LastSeen) {
			continue
		}
		n++
		for _, id := range ids {
			in := t.Edit(id)
			in.End(a.Fingerprint, Ended{At: now, Seen: now, By: endedByAbsence}, t.Limited(in.Service), now)
			in.Note(now, "absent", a.Fingerprint+": no Alertmanager lists it any more")
			in.trim()
			t.Count(CountedAbsent)
		}
	}
	return n
}

// Vouch marks firing members as coming from an Alertmanager that can be asked;
// source names all that are.
func Vouch(t Table, fingerprints []string, source string) {
	for _, fp := range fingerprints {
		for _, id := range firingIn(t, fp) {
			in := t.Edit(id)
			c := *in.Members[fp]
			c.Vouched = source
			in.Put(fp, &c)
		}
	}
}

// firingIn lists the incidents of which the alert is a firing member, muted or
// not, of origin alertmanager.
func firingIn(t Table, fp string) []string {
	var ids []string
	for _, id := range t.Holding(fp) {
		in := t.Incident(id)
		if in == nil {
			continue
		}
		if m := in.Members[fp]; m != nil && m.Firing && m.Origin.KnownToAlertmanager() {
			ids = append(ids, id)
		}
	}
	return ids
}

// newestSeen is when the alert was last seen firing in any of these.
func newestSeen(t Table, fp string) time.Time {
	var newest time.Time
	for _, id := range firingIn(t, fp) {
		if m := t.Incident(id).Members[fp]; m.LastSeen.After(newest) {
			newest = m.LastSeen
		}
	}
	return newest
}
