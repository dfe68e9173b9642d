package incident

import (
	"slices"
	"time"
)

// part splits an incident whose trigger is about to leave under another routing
// key than before: the old one keeps what PagerDuty holds under the old key and
// closes once the new one is accepted.
func part(t Table, in *Incident, now time.Time) {
	old := in.Clone()
	old.ID = partedID(in.ID, in.KeyHash)
	old.Parted, old.Version, old.Intent, old.Missed = true, 0, nil, nil
	old.AcceptedRevision = old.Revision
	if old.Have == StateClosed { // for now: a trigger that timed out can still land.
		old.Have = StateUnknown
	}
	for fp, m := range old.Members {
		c := *m
		c.Revision = 0 // what is missed is missed under the new key.
		if c.Firing {
			c.MovedTo = in.ID
		}
		c.Late = nil
		old.Put(fp, &c)
		t.Hold(fp, old.ID)
	}
	old.Note(now, "rekey", "the routing key of the service has changed; this is what the old one holds")
	old.settle(now)
	if t.Incident(old.ID) == nil {
		t.Create(old)
	}
	for fp, m := range in.Members {
		if m.Revision <= in.AcceptedRevision { // it was confirmed, if under the old key.
			c := *m
			c.Revision = 0
			in.Put(fp, &c)
		}
	}
	in.KeyHash, in.Have, in.HaveEpoch, in.AcceptedRevision, in.Settled, in.Doubts = "", StateClosed, 0, 0, 0, nil
}

// absorb takes back what was parted from an incident when its trigger leaves under
// that key again, as when a wrong key is taken back: it is one alert at PagerDuty.
func absorb(t Table, in *Incident, keyHash string) {
	old := t.Edit(partedID(in.ID, keyHash))
	if old == nil || in.Parted {
		return
	}
	in.Have, in.HaveEpoch, in.Doubts = old.Have, in.Epoch, slices.Clone(old.Doubts)
	in.wantChanged()
	t.Archive(old, "the routing key was taken back")
}

func partedID(id, keyHash string) string { return id + "-" + keyHash[:min(8, len(keyHash))] }
