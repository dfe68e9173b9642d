package incident

import (
	"time"

	"github.com/pagerelay/pagerelay/mapping"
)

// maxResolved bounds the resolved members of an open incident; the oldest go first.
const maxResolved = 100

// Member is an alert that belongs to an incident.
type Member struct {
	Alert   Alert           `json:"alert"`
	Urgency mapping.Urgency `json:"urgency"`
	Origin  mapping.Origin  `json:"origin"`
	Firing  bool            `json:"firing,omitempty"`
	Epoch   int             `json:"epoch,omitempty"` // the incident's, of its last firing.
	// Revision is the one of the incident that its last firing made; 0 once that was
	// found to have been missed.
	Revision int       `json:"revision,omitempty"`
	LastSeen time.Time `json:"last_seen"`
	// ExternalURL is the Alertmanager whose clock StartsAt follows.
	ExternalURL string `json:"external_url,omitempty"`
	// Late is a late firing of it that is held; nil if there is none.
	Late *Late `json:"late,omitempty"`
	// ExpiresAt ends a member whose origin says of itself when it is over.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Ended is the last resolve; zero if there was none.
	Ended Ended `json:"ended,omitzero"`
	// MovedTo is the incident that a changed route opened for this alert; it is
	// left here once that one is accepted.
	MovedTo string `json:"moved_to,omitempty"`
	// Muted is set while Alertmanager mutes the alert and that is to have an effect.
	Muted *Mute `json:"muted,omitempty"`
	// Vouched names the Alertmanagers that can be asked and have listed an alert
	// from ExternalURL, so that their not listing others of it means something.
	Vouched string `json:"vouched,omitempty"`
}

// Late is a firing that was told after its own resolve, as far as anybody can know. It
// counts for nothing while Alertmanager is asked about it.
type Late struct {
	// Until is when it pages if Alertmanager has not answered.
	Until time.Time `json:"until"`
	// As is the firing itself: what it makes of the incident if it is admitted.
	As *mapping.Observation `json:"as"`
	// Routes are the incidents that its webhook mapped it to: if it is admitted, it
	// leaves all others.
	Routes []string `json:"routes,omitempty"`
}

// tally counts members: those for which the incident should be open, and those
// that fire and are not muted.
type tally struct{ open, loud int }

func (c *tally) add(m *Member, n int) {
	if m != nil && m.counts() {
		c.open += n
	}
	if m != nil && m.Firing && m.Muted == nil {
		c.loud += n
	}
}

// tallied counts the members if nobody has: before the incident is handed out it
// has been done, and put keeps it up.
func (in *Incident) tallied() tally {
	if in.tally != nil {
		return *in.tally
	}
	var c tally
	for _, m := range in.Members {
		c.add(m, 1)
	}
	return c
}

// HandOut makes the incident one that is only read from now on.
func (in *Incident) HandOut() {
	counted := in.tallied()
	in.tally = &counted
}

// Firing is the number of members for which the incident should be open.
func (in *Incident) Firing() int { return in.tallied().open }

// counts says whether the incident should be open for the member.
func (m *Member) counts() bool { return m.Firing && !m.resolvedByMute() }

// Put replaces a member.
func (in *Incident) Put(fp string, m *Member) {
	c := in.tallied()
	c.add(in.Members[fp], -1)
	c.add(m, 1)
	in.tally = &c
	in.Members[fp] = m
}
