package outbox

import (
	"context"
	"time"

	"github.com/pagerelay/pagerelay/mapping"
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

// Absent closes alerts whose resolve was lost, wherever they are members; it
// returns how many alerts that closed. It touches origin alertmanager alone.
// Whether their absence is evidence is for the caller to know.
func (s *Store) Absent(ctx context.Context, gone []Absence) (int, error) {
	n := 0
	err := s.change(ctx, func(tx *transaction) error {
		for _, a := range gone {
			ids := firingIn(tx, a.Fingerprint)
			if len(ids) == 0 || !newestSeen(tx, a.Fingerprint).Equal(a.LastSeen) {
				continue
			}
			n++
			for _, id := range ids {
				in := tx.edit(id)
				in.end(a.Fingerprint, Ended{At: tx.now, Seen: tx.now, By: endedByAbsence}, tx.now)
				in.note(tx.now, "absent", a.Fingerprint+": no Alertmanager lists it any more")
				in.trim()
				tx.count(CountedAbsent)
			}
		}
		return nil
	})
	return n, err
}

// Vouch marks firing members as coming from an Alertmanager that can be asked;
// source names all that are.
func (s *Store) Vouch(ctx context.Context, fingerprints []string, source string) error {
	return s.change(ctx, func(tx *transaction) error {
		for _, fp := range fingerprints {
			for _, id := range firingIn(tx, fp) {
				in := tx.edit(id)
				c := *in.Members[fp]
				c.Vouched = source
				in.put(fp, &c)
			}
		}
		return nil
	})
}

// firingIn lists the incidents of which the alert is a firing member, muted or
// not, of origin alertmanager.
func firingIn(t table, fp string) []string {
	var ids []string
	for _, id := range t.holding(fp) {
		in := t.incident(id)
		if in == nil {
			continue
		}
		if m := in.Members[fp]; m != nil && m.Firing && m.Origin == mapping.OriginAlertmanager {
			ids = append(ids, id)
		}
	}
	return ids
}

// newestSeen is when the alert was last seen firing in any of these.
func newestSeen(t table, fp string) time.Time {
	var newest time.Time
	for _, id := range firingIn(t, fp) {
		if m := t.incident(id).Members[fp]; m.LastSeen.After(newest) {
			newest = m.LastSeen
		}
	}
	return newest
}
