package alertmanager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
)

const (
	maxFiltered    = 16      // alerts for which a filter is worth its making.
	maxFilterBytes = 4 << 10 // of all filters; proxies refuse long URLs.
)

// errEnough ends a stream whose rest nobody needs.
var errEnough = errors.New("enough")

// Check gives the verdict for each fingerprint, and the reason for any
// uncertainty. All members are asked at once; ctx bounds the whole, 5 s where it
// has no deadline. labels, if given for every fingerprint, narrow the question
// with filters. It returns as soon as all are known to fire.
func (c *Client) Check(ctx context.Context, fingerprints []string, labels map[string]map[string]string) (map[string]Verdict, string) {
	return c.check(ctx, c.minUptime, fingerprints, labels)
}

// CheckTold is Check for alerts that a member has told of just now. It need not have
// been up for long for what it no longer lists to be over: it must only be known not
// to have started since it told.
func (c *Client) CheckTold(ctx context.Context, fingerprints []string, labels map[string]map[string]string) (map[string]Verdict, string) {
	return c.check(ctx, toldUptime, fingerprints, labels)
}

func (c *Client) check(ctx context.Context, minUptime time.Duration, fingerprints []string, labels map[string]map[string]string) (map[string]Verdict, string) {
	verdicts := make(map[string]Verdict, len(fingerprints))
	for _, f := range fingerprints {
		verdicts[f] = Uncertain
	}
	if len(verdicts) == 0 {
		return verdicts, ""
	}
	var mtx sync.Mutex
	open := len(verdicts)
	reasons := c.reasons(ctx, minUptime, func(ctx context.Context, _ int, m *member) error {
		return list(ctx, m, filters(fingerprints, labels), func(p presence, at clocks) error {
			mtx.Lock()
			defer mtx.Unlock()
			if v, asked := verdicts[p.Fingerprint]; asked && v != Firing && p.Fingerprint != "" && !over(p.EndsAt, at.earlier) {
				verdicts[p.Fingerprint] = Firing
				open--
			}
			if open == 0 {
				return errEnough
			}
			return nil
		})
	})
	if open == 0 {
		return verdicts, ""
	}
	if _, ok := verdicts[""]; ok {
		reasons = append(reasons, "an alert without a fingerprint cannot be asked for")
	}
	for f, v := range verdicts {
		if v == Uncertain && len(reasons) == 0 {
			verdicts[f] = Gone
		}
	}
	return verdicts, strings.Join(reasons, "; ")
}

// AnyFiring says whether any alert that match accepts is firing (Firing), none
// is (Gone), or nobody knows (Uncertain, with the reason). match is never called
// by two goroutines at once. ctx bounds the whole, 5 s where it has no deadline.
func (c *Client) AnyFiring(ctx context.Context, match func(Alert) bool) (Verdict, string) {
	var mtx sync.Mutex
	found := false
	reasons := c.reasons(ctx, c.minUptime, func(ctx context.Context, _ int, m *member) error {
		return list(ctx, m, nil, func(w wireAlert, at clocks) error {
			mtx.Lock()
			defer mtx.Unlock()
			if !found && !over(w.EndsAt, at.earlier) && match(w.alert()) {
				found = true
			}
			if found {
				return errEnough
			}
			return nil
		})
	})
	switch {
	case found:
		return Firing, ""
	case len(reasons) > 0:
		return Uncertain, strings.Join(reasons, "; ")
	}
	return Gone, ""
}

// reasons is ask for those who want the reasons alone; none means that absence
// is evidence.
func (c *Client) reasons(ctx context.Context, minUptime time.Duration, read func(context.Context, int, *member) error) []string {
	if len(c.members) == 0 {
		return []string{"no alertmanager.urls are configured"}
	}
	var texts []string
	for _, d := range c.ask(ctx, minUptime, read).Doubts {
		texts = append(texts, d.Text)
	}
	return texts
}

// Doubt is a reason for which what is not listed is not evidence of absence.
type Doubt struct {
	Kind DoubtKind
	Text string // one bounded line for people.
}

// DoubtKind is a closed set: it is a metric's label.
type DoubtKind string

// The kinds of doubt.
const (
	DoubtUnreachable DoubtKind = "unreachable" // a member did not answer, or not to the end.
	DoubtYoung       DoubtKind = "young"       // a member has not been up for long, or is settling.
	DoubtUncovered   DoubtKind = "uncovered"   // the cluster has members that are not configured.
)

// Standing is what the members' answers are worth.
type Standing struct {
	// Mature has an entry for each member: it answered to the end, and has been
	// up for long enough.
	Mature []bool
	// Doubts are empty when what nobody lists is gone.
	Doubts []Doubt
}

// ask lets read go over the alerts of every member at once and says what their
// answers are worth. When a read returns errEnough the others are cut short, and
// the standing means nothing.
func (c *Client) ask(ctx context.Context, minUptime time.Duration, read func(context.Context, int, *member) error) Standing {
	ctx, cancel := c.bound(ctx)
	defer cancel()

	statuses := make([]status, len(c.members))
	doubts := make([]Doubt, len(c.members))
	var wg sync.WaitGroup
	for i := range c.members {
		wg.Go(func() {
			m := &c.members[i]
			err := read(ctx, i, m)
			if errors.Is(err, errEnough) {
				cancel()
				return
			}
			if err != nil {
				doubts[i] = Doubt{DoubtUnreachable, m.reason(err)}
				return
			}
			// After the alerts, not before: a member that restarts in between
			// then shows as young.
			s, up, err := m.status(ctx)
			statuses[i] = s
			switch {
			case err != nil:
				doubts[i] = Doubt{DoubtUnreachable, m.reason(err)}
			case up <= minUptime:
				doubts[i] = Doubt{DoubtYoung, m.reason(fmt.Errorf("has been up for %s only; more than %s is needed", up.Truncate(time.Second), model.Duration(c.minUptime)))}
			case s.Cluster.Status == "settling":
				doubts[i] = Doubt{DoubtYoung, m.reason(errors.New("is settling into its cluster"))}
			}
		})
	}
	wg.Wait()
	standing := Standing{Mature: make([]bool, len(c.members))}
	for i, d := range doubts {
		if standing.Mature[i] = d == (Doubt{}); !standing.Mature[i] {
			standing.Doubts = append(standing.Doubts, d)
		}
	}
	if len(standing.Doubts) == 0 {
		standing.Doubts = c.uncovered(statuses)
	}
	return standing
}

// uncovered gives a reason if the members' clusters have peers that are not
// configured: alerts are not gossiped, so a peer may know one that the others
// do not.
func (c *Client) uncovered(statuses []status) []Doubt {
	known := make(map[string]bool)
	for _, s := range statuses {
		if s.Cluster.Name != "" {
			known[s.Cluster.Name] = true
		}
	}
	for i, s := range statuses {
		if s.Cluster.Status == "disabled" {
			continue
		}
		missing := 0
		for _, p := range s.Cluster.Peers {
			if !known[p.Name] {
				missing++
			}
		}
		if missing > 0 {
			return []Doubt{{DoubtUncovered, c.members[i].reason(fmt.Errorf("is in a cluster of %d, %d of which are not in alertmanager.urls", len(s.Cluster.Peers), missing))}}
		}
	}
	return nil
}

// filters gives matchers for the labels that all the alerts asked for have in
// common; for one alert, all of its labels. None is always right, and is the
// answer whenever there is any doubt: a filter too narrow would make a firing
// alert look gone.
func filters(fingerprints []string, sets map[string]map[string]string) []string {
	if len(fingerprints) > maxFiltered {
		return nil
	}
	var common map[string]string
	for i, f := range fingerprints {
		set := make(model.LabelSet, len(sets[f]))
		for name, value := range sets[f] {
			set[model.LabelName(name)] = model.LabelValue(value)
		}
		if set.Fingerprint().String() != f {
			return nil // not the labels that this alert has in Alertmanager.
		}
		if i == 0 {
			common = maps.Clone(sets[f])
			continue
		}
		maps.DeleteFunc(common, func(name, value string) bool {
			other, ok := sets[f][name]
			return !ok || other != value
		})
	}
	var out []string
	size := 0
	for _, name := range slices.Sorted(maps.Keys(common)) {
		value := common[name]
		if value == "" || !utf8.ValidString(name) || !utf8.ValidString(value) {
			continue
		}
		m, err := labels.NewMatcher(labels.MatchEqual, name, value)
		if err != nil {
			continue
		}
		filter := m.String()
		if size += len(filter); size > maxFilterBytes {
			break
		}
		out = append(out, filter)
	}
	return out
}
