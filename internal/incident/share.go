package incident

// maxShared bounds the texts that a Sharer knows.
const maxShared = 16 << 10

// Sharer keeps equal texts of many incidents in memory once. It is for one goroutine.
type Sharer struct{ texts map[string]string }

func (s *Sharer) text(t *string) {
	if *t == "" {
		return
	}
	if known, ok := s.texts[*t]; ok {
		*t = known
		return
	}
	if s.texts == nil || len(s.texts) >= maxShared {
		s.texts = map[string]string{}
	}
	s.texts[*t] = *t
}

func share[T ~string](s *Sharer, t *T) {
	text := string(*t)
	s.text(&text)
	*t = T(text)
}

// Share makes an incident, which nobody else has seen, share its texts with those that
// were given before. What it holds stays the same.
func (s *Sharer) Share(in *Incident) {
	for _, t := range []*string{
		&in.Service, &in.Rule, &in.Tier, &in.Severity, &in.Receiver, &in.ExternalURL, &in.GroupKey,
		&in.KeyHash, &in.KeyFault, &in.FallbackFrom, &in.FallbackReason,
	} {
		s.text(t)
	}
	share(s, &in.Urgency)
	share(s, &in.Origin)
	share(s, &in.Have)
	for fp, m := range in.Members {
		if m.Alert.Fingerprint == fp {
			m.Alert.Fingerprint = fp
		}
		for _, t := range []*string{&m.Alert.Status, &m.ExternalURL, &m.Ended.By, &m.Vouched} {
			s.text(t)
		}
		share(s, &m.Urgency)
		share(s, &m.Origin)
	}
	history := make([]Entry, len(in.History)) // no longer than it needs to be.
	for i, e := range in.History {
		s.text(&e.What)
		if e.What != "received" && e.What != "resolved" { // these name an alert.
			s.text(&e.Text)
		}
		history[i] = e
	}
	in.History = history
}
