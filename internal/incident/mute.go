package incident

import (
	"time"
)

// MuteAction is what a mute in Alertmanager does to the incident of an alert that
// still fires.
type MuteAction string

// The effects. A mute without effect is not recorded at all.
const (
	MuteAcknowledge MuteAction = "acknowledge" // once everything that fires is muted.
	MuteResolve     MuteAction = "resolve"     // as if the alert were over.
)

// Mute says what mutes a member, and to what effect.
type Mute struct {
	By string     `json:"by"` // silence or inhibition.
	Do MuteAction `json:"do"`
}

// Muting is the beginning or the end of a mute.
type Muting struct {
	Fingerprint string
	// LastSeen is Incident.Members' newest LastSeen of the alert when it was found
	// muted: a webhook that came since says otherwise, and wins.
	LastSeen time.Time
	// Mute is nil where a mute has ended.
	Mute *Mute
}

// ObserveMutes records that Alertmanager mutes alerts, or no longer does, wherever they
// are members; it returns how many alerts that changed. A mute that ends while
// its alert fires is a new firing, which pages. Only origin alertmanager can be
// muted.
func ObserveMutes(t Table, changes []Muting, now time.Time) int {
	n := 0
	for _, c := range changes {
		changed := false
		unseen := newestSeen(t, c.Fingerprint).Equal(c.LastSeen)
		for _, id := range firingIn(t, c.Fingerprint) {
			switch in := t.Incident(id); {
			case c.Mute == nil && in.Members[c.Fingerprint].Muted != nil:
				t.Edit(id).unmute(t, c.Fingerprint, now)
				changed = true
			case c.Mute != nil && unseen && in.Mutable(c.Fingerprint, *c.Mute):
				t.Edit(id).Mute(c.Fingerprint, *c.Mute, t.Limited(in.Service), now)
				changed = true
			}
		}
		if changed {
			n++
		}
	}
	return n
}

// Mutable says whether a mute would change anything about a member. What it
// resolved stays so until the mute ends: to open it again only to acknowledge it
// would page.
func (in *Incident) Mutable(fingerprint string, to Mute) bool {
	m := in.Members[fingerprint]
	if m == nil || !m.Firing || m.resolvedByMute() || (m.Muted != nil && *m.Muted == to) {
		return false
	}
	return in.Urgency.Opens() && (!in.Urgency.AutoAcks() || to.Do == MuteResolve)
}

// Mute marks a member as muted. limited: as for End.
func (in *Incident) Mute(fp string, to Mute, limited bool, now time.Time) {
	was := in.Firing()
	c := *in.Members[fp]
	c.Muted = &to
	in.Put(fp, &c)
	in.lapse(was, limited, now)
	if was > 0 && in.Firing() == 0 && !in.guaranteed() {
		in.missAll(now)
	}
	if in.loud() == 0 {
		in.RepeatAt = time.Time{}
		in.wantChanged() // a trigger would open it for everybody to see.
	}
	in.Note(now, "muted", fp+" by "+to.By+": "+string(to.Do))
	in.settle(now)
}

func (in *Incident) unmute(t Table, fp string, now time.Time) {
	by := in.Members[fp].Muted.By
	if in.Parted { // the incident under the new key pages.
		c := *in.Members[fp]
		c.Muted = nil
		in.Put(fp, &c)
		in.settle(now)
		return
	}
	in.begin(t, fp, now)
	in.Note(now, "unmuted", fp+" still fires after its "+by)
}

// resolvedByMute says whether a mute makes the member count as over.
func (m *Member) resolvedByMute() bool { return m.Muted != nil && m.Muted.Do == MuteResolve }

// muted says whether any member is muted.
func (in *Incident) muted() bool {
	for _, m := range in.Members {
		if m.Firing && m.Muted != nil {
			return true
		}
	}
	return false
}

// loud counts the members that fire and are not muted. From none to one is a new
// epoch: an incident that was acknowledged or closed for the others' being muted
// must not swallow it.
func (in *Incident) loud() int { return in.tallied().loud }
