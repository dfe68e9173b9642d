package alertmanager

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pagerelay/pagerelay/internal/mutant"
	"github.com/pagerelay/pagerelay/mapping"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// pass is one comparison. It holds the fingerprints that the outbox holds, not
// those that Alertmanager lists.
type pass struct {
	r        *Reconciler
	settings *ReconcileSettings
	began    time.Time
	open     []*incident.Incident
	ours     map[string]string // receiver -> externalURL.
	adopting bool              // take in what is unknown ...
	after    time.Duration     // ... once it has fired for as long.

	index   map[string]int32 // fingerprint -> place in held, or -1: being checked.
	held    []held
	unknown map[string]struct{}
	others  map[string]struct{} // of what is listed and not held here, at most maxOthers.
	shapes  map[string][]*groupShape
	batch   []mapping.Observation
	batched int // alerts in batch.

	report Report
}

// held is an alert that fires here.
type held struct {
	fp   string
	seen time.Time // newest, of all its incidents.
	from string    // externalURL.
	in   *incident.Incident
	more []*incident.Incident // further incidents that hold it.

	// The members that list it: a bit each.
	listed    uint64
	silenced  uint64
	inhibited uint64
	loud      uint64 // neither of these.
}

// mutedBy is silence, inhibition or "". A silence counts once every member shows it:
// one that has not got it, as when it was too large to gossip, still notifies, or will
// when it hears of the alert. An inhibition is each member's own finding about what it
// lists. Where they differ nothing begins and nothing ends.
func (h *held) mutedBy(members int) string {
	switch everybody := uint64(1)<<members - 1; {
	case h.silenced != 0 && h.silenced == everybody:
		return bySilence
	case h.inhibited != 0 && h.inhibited == h.listed:
		return byInhibition
	}
	return ""
}

func (r *Reconciler) newPass(s *ReconcileSettings, began time.Time) *pass {
	p := &pass{
		r: r, settings: s, began: began, open: r.store.List(),
		adopting: s.Policy.Adopt, after: r.cfg.UnknownAfter,
		unknown: map[string]struct{}{}, others: map[string]struct{}{},
	}
	if r.adopting() {
		p.adopting, p.after = true, r.cfg.UnknownAfter/4
	}
	p.index = make(map[string]int32, len(p.open))
	p.held = make([]held, 0, len(p.open))
	for _, in := range p.open {
		if in.Origin.KnownToAlertmanager() {
			r.Heard(in.Receiver, in.ExternalURL)
		}
		for fp, m := range in.Members {
			if !m.Origin.KnownToAlertmanager() {
				continue
			}
			p.hold(in, fp, m)
			if m.Vouched == r.source {
				r.vouched[m.ExternalURL] = true
			}
		}
	}
	r.heardMtx.Lock()
	p.ours = maps.Clone(r.heard)
	r.heardMtx.Unlock()
	r.keep(p.ours)
	if names := s.Policy.Receivers; len(names) > 0 {
		all := p.ours
		p.ours = make(map[string]string, len(names))
		for _, name := range names {
			p.ours[name] = all[name]
		}
	}
	if p.adopting && len(p.ours) == 0 && !r.unable {
		r.unable = true
		r.log.Error("Alerts may have been lost, and no receiver is known to adopt what fires for; it is done once a webhook tells one, or at once with reconcile.receivers")
	}
	return p
}

// keep writes the receivers to their file if they have changed.
func (r *Reconciler) keep(receivers map[string]string) {
	if r.cfg.ReceiversFile == "" || len(receivers) == 0 || maps.Equal(receivers, r.kept) {
		return
	}
	if err := remember(r.cfg.ReceiversFile, receivers); err != nil {
		r.log.Warn("The receivers that webhooks come from could not be written down; it is tried again", "err", err)
		return
	}
	r.kept = maps.Clone(receivers)
}

func (p *pass) hold(in *incident.Incident, fp string, m *incident.Member) {
	at, ok := p.index[fp]
	switch {
	case !m.Firing && m.Late == nil:
		return
	case !m.Firing:
		if !ok {
			p.index[fp] = -1
		}
		return
	case !ok || at < 0:
		p.index[fp] = int32(len(p.held)) //nolint:gosec // as many as fit into memory.
		p.held = append(p.held, held{fp: fp, seen: m.LastSeen, from: m.ExternalURL, in: in})
		return
	}
	h := &p.held[at]
	h.more = append(h.more, in)
	if m.LastSeen.After(h.seen) {
		h.seen, h.from = m.LastSeen, m.ExternalURL
	}
}

func (p *pass) run(ctx context.Context) error {
	standing, err := p.settings.Source.Survey(ctx, func(member int, l *Listing) error { return p.see(ctx, member, l) })
	if err == nil {
		err = p.adopt(ctx)
	}
	p.report.Unknown = len(p.unknown)
	if err != nil {
		p.r.streaks = nil
		return ignoreClosed(err)
	}
	p.report.Doubts = standing.Doubts
	if err := p.vouch(ctx); err != nil {
		return err
	}
	if err := p.mutes(ctx, standing); err != nil {
		return err
	}
	return p.absences(ctx, standing)
}

// see takes in one line of a member's list.
func (p *pass) see(ctx context.Context, member int, l *Listing) error {
	p.report.Listed++
	at, ok := p.index[l.Fingerprint]
	switch {
	case !ok:
		if len(p.others) < maxOthers {
			p.others[l.Fingerprint] = struct{}{}
		}
		return p.seeUnknown(ctx, l)
	case at < 0:
		return nil
	}
	h := &p.held[at]
	h.listed |= 1 << member
	if l.Status.SilencedBy {
		h.silenced |= 1 << member
	}
	if l.Status.InhibitedBy {
		h.inhibited |= 1 << member
	}
	if l.mutedBy() == "" && l.Status.State != "unprocessed" { // that one knows nothing of mutes yet.
		h.loud |= 1 << member
	}
	return nil
}

// vouch remembers whose alerts the source lists. Only an Alertmanager that can be
// asked says something by not listing an alert: others may post here, too.
func (p *pass) vouch(ctx context.Context) error {
	vouched := p.r.vouched
	for i := range p.held {
		if p.held[i].listed != 0 {
			vouched[p.held[i].from] = true
		}
	}
	p.r.vouchers.Store(&vouchers{source: p.r.source, urls: maps.Clone(vouched), others: p.others})
	// After a restart one open incident has to tell.
	told, marks := map[string]bool{}, map[string]string{}
	for i := range p.held {
		h := &p.held[i]
		if !vouched[h.from] || told[h.from] {
			continue
		}
		if h.in.Members[h.fp].Vouched == p.r.source {
			told[h.from] = true
			delete(marks, h.from)
		} else if marks[h.from] == "" {
			marks[h.from] = h.fp
		}
	}
	if len(marks) == 0 {
		return nil
	}
	if err := p.r.store.Vouch(ctx, slices.Collect(maps.Values(marks)), p.r.source); ignoreClosed(err) != nil {
		return fmt.Errorf("mark whose alerts are listed: %w", err)
	}
	return nil
}

// mutes finds what has become muted or ceased to be. A mute begins when everybody
// was heard and all agree (held.mutedBy); it ends when one that has been up for
// long enough says otherwise.
func (p *pass) mutes(ctx context.Context, standing Standing) error {
	var mature uint64
	everybody := true
	for i, ok := range standing.Mature {
		everybody = everybody && ok
		if ok {
			mature |= 1 << i
		}
	}
	var begin, end []incident.Muting
	for i := range p.held {
		h := &p.held[i]
		if h.listed == 0 {
			continue
		}
		by := h.mutedBy(len(standing.Mature))
		effect := p.settings.Policy.effect(by)
		switch {
		case h.loud&mature != 0, by != "" && effect == nil:
			if h.any(func(in *incident.Incident) bool { return in.Members[h.fp].Muted != nil }) {
				end = append(end, incident.Muting{Fingerprint: h.fp})
			}
		case everybody && effect != nil:
			if h.any(func(in *incident.Incident) bool { return in.Mutable(h.fp, *effect) }) {
				begin = append(begin, incident.Muting{Fingerprint: h.fp, LastSeen: h.seen, Mute: effect})
			}
		}
	}
	for _, c := range []struct {
		changes []incident.Muting
		count   *int
	}{{end, &p.report.Unmuted}, {begin, &p.report.Muted}} {
		for chunk := range slices.Chunk(c.changes, storeBatch) {
			n, err := p.r.store.Mute(ctx, chunk)
			*c.count += n
			if ignoreClosed(err) != nil {
				return fmt.Errorf("store mutes: %w", err)
			}
		}
	}
	return nil
}

func (h *held) any(is func(*incident.Incident) bool) bool {
	return is(h.in) || slices.ContainsFunc(h.more, is)
}

// absences resolves what nobody has listed for long enough.
func (p *pass) absences(ctx context.Context, standing Standing) error {
	r := p.r
	for i := range p.held {
		if p.held[i].listed == 0 {
			p.report.Missing++
		}
	}
	if len(standing.Doubts) > 0 {
		r.streaks = nil
		return nil
	}
	counts := r.counted.IsZero() || p.began.Sub(r.counted) >= r.interval()/2
	if counts {
		r.counted = p.began
	}
	streaks := map[string]streak{}
	var gone []incident.Absence
	for i := range p.held {
		h := &p.held[i]
		if h.listed != 0 {
			continue
		}
		if !r.vouched[h.from] {
			p.report.Foreign++
			continue
		}
		s := r.streaks[h.fp]
		if !s.seen.Equal(h.seen) {
			s = streak{seen: h.seen}
		}
		if counts {
			s.looks++
		}
		streaks[h.fp] = s
		if s.looks >= goneAfter || mutant.On(mutant.OneLookIsEnough) && s.looks > 0 {
			gone = append(gone, incident.Absence{Fingerprint: h.fp, LastSeen: h.seen})
		}
	}
	r.streaks = streaks
	for chunk := range slices.Chunk(gone, storeBatch) {
		n, err := r.store.Absent(ctx, chunk)
		p.report.Resolved += n
		if ignoreClosed(err) != nil {
			return fmt.Errorf("store absences: %w", err)
		}
	}
	return nil
}
