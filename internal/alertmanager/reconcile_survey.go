package alertmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Listing is an alert of GET /api/v2/alerts as the reconciler reads it: what says
// whether it fires and is heard, and the rest as it came. Of most alerts nobody
// wants to know more.
type Listing struct {
	Fingerprint  string          `json:"fingerprint"`
	Labels       json.RawMessage `json:"labels"`
	Annotations  json.RawMessage `json:"annotations"`
	StartsAt     string          `json:"startsAt"`
	EndsAt       string          `json:"endsAt"`
	GeneratorURL string          `json:"generatorURL"`
	Status       struct {
		State       string `json:"state"` // active, suppressed or unprocessed.
		SilencedBy  filled `json:"silencedBy"`
		InhibitedBy filled `json:"inhibitedBy"`
		MutedBy     filled `json:"mutedBy"` // time intervals.
	} `json:"status"`
	Receivers []struct {
		Name string `json:"name"`
	} `json:"receivers"`

	later time.Time // when it was listed, by the later of Alertmanager's clock and ours.
}

// filled says of a JSON list that it has an element.
type filled bool

func (f *filled) UnmarshalJSON(b []byte) error {
	*f = len(b) > len("[]") && b[0] == '['
	return nil
}

// What mutes an alert.
const (
	bySilence    = "silence"
	byInhibition = "inhibition"
)

// mutedBy is silence, inhibition or "". A silence comes first: a person made it.
func (l *Listing) mutedBy() string {
	switch {
	case bool(l.Status.SilencedBy):
		return bySilence
	case bool(l.Status.InhibitedBy):
		return byInhibition
	}
	return ""
}

// heard says whether Alertmanager notifies of the alert.
func (l *Listing) heard() bool {
	return l.Status.State == "active" && !bool(l.Status.MutedBy) // suppressed is what is silenced or inhibited.
}

// alert reads the rest. A label that cannot be read would change the alert's
// identity, so that is an error.
func (l *Listing) alert() (Alert, error) {
	a := Alert{
		Fingerprint: l.Fingerprint, StartsAt: l.StartsAt, EndsAt: l.EndsAt,
		GeneratorURL: l.GeneratorURL, State: l.Status.State,
	}
	if err := json.Unmarshal(l.Labels, &a.Labels); err != nil {
		return a, errors.New("read alert: its labels are no object of strings")
	}
	if len(l.Annotations) > 0 {
		if err := json.Unmarshal(l.Annotations, &a.Annotations); err != nil {
			return a, errors.New("read alert: its annotations are no object of strings")
		}
	}
	for _, r := range l.Receivers {
		a.Receivers = append(a.Receivers, r.Name)
	}
	return a, nil
}

// Survey calls each for every alert that a member lists and that is not over, one
// call at a time, as they arrive, and says what the members' answers are worth.
// The lists are never held in memory. An error of each ends the survey and is
// returned as it is. ctx bounds the whole, 5 s where it has no deadline.
func (c *Client) Survey(ctx context.Context, each func(member int, l *Listing) error) (Standing, error) {
	var mtx sync.Mutex
	var failure error
	standing := c.ask(ctx, c.minUptime, func(ctx context.Context, member int, m *member) error {
		return list(ctx, m, nil, func(l Listing, at clocks) error {
			mtx.Lock()
			defer mtx.Unlock()
			if failure == nil && !over(l.EndsAt, at.earlier) {
				l.later = at.later
				failure = each(member, &l)
			}
			if failure != nil {
				return errEnough
			}
			return nil
		})
	})
	if failure != nil {
		return Standing{}, fmt.Errorf("survey alerts: %w", failure)
	}
	return standing, nil
}
