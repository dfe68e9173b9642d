package intake_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/intake"
	"github.com/pagerelay/pagerelay/mapping"
)

// router makes an observation with a fault of each alert, but of the last lost ones none.
type router struct{ lost int }

func (r router) Route(g *mapping.Group) []mapping.Observation {
	var obs []mapping.Observation
	for _, a := range g.Alerts[:len(g.Alerts)-r.lost] {
		obs = append(obs, mapping.Observation{DedupKey: a.Fingerprint, Faults: []mapping.Fault{mapping.FaultNoRule}})
	}
	return obs
}

// sink remembers the dedup keys of each transaction.
type sink struct {
	err  error
	keys [][]string
}

func (s *sink) Observe(_ context.Context, obs []mapping.Observation) error {
	var keys []string
	for _, o := range obs {
		keys = append(keys, o.DedupKey)
	}
	s.keys = append(s.keys, keys)
	return s.err
}

func group(fingerprints ...string) *mapping.Group {
	g := &mapping.Group{}
	for _, fp := range fingerprints {
		g.Alerts = append(g.Alerts, template.Alert{Fingerprint: fp})
	}
	return g
}

func TestPost(t *testing.T) {
	disk := errors.New("disk is full")
	both := []*mapping.Group{group("a", "b"), group("c")}
	cases := []struct {
		name   string
		rules  intake.Router
		sink   error
		groups []*mapping.Group
		want   error
		stored [][]string
		faults int
	}{
		{"groups are stored in one transaction, and their faults counted", router{}, nil, both, nil, [][]string{{"a", "b", "c"}}, 3},
		{"a group without alerts stores nothing", router{}, nil, []*mapping.Group{group()}, nil, nil, 0},
		{"before the first configuration", nil, nil, both, intake.ErrNoRules, nil, 0},
		{"rules that lose an alert store nothing", router{lost: 1}, nil, both, intake.ErrUnrouted, nil, 0},
		{"what was not stored has no faults", router{}, disk, both, disk, [][]string{{"a", "b", "c"}}, 0},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := &sink{err: tc.sink}
			faults := 0
			door := intake.New(s, intake.Config{OnFault: func(mapping.Fault) { faults++ }})
			if tc.rules != nil {
				door.Apply(tc.rules)
			}
			if err := door.Post(t.Context(), tc.groups...); !errors.Is(err, tc.want) {
				t.Errorf("got error %v, want %v", err, tc.want)
			}
			if diff := cmp.Diff(tc.stored, s.keys); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
			if faults != tc.faults {
				t.Errorf("got %d faults counted, want %d", faults, tc.faults)
			}
		})
	}
}

func TestApplyReplacesTheRules(t *testing.T) {
	s := &sink{}
	door := intake.New(s, intake.Config{})
	door.Apply(router{lost: 1})
	door.Apply(router{})
	if err := door.Post(t.Context(), group("a")); err != nil {
		t.Errorf("got error %v after the rules were replaced, want none", err)
	}
}
