package alertmanager_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
)

// slowSource takes its time for a list, and notes what each was about.
type slowSource struct {
	source
	mtx   sync.Mutex
	takes time.Duration
	lists []string
}

func (s *slowSource) CheckTold(ctx context.Context, fps []string, _ map[string]map[string]string) (map[string]alertmanager.Verdict, string) {
	s.mtx.Lock()
	s.lists = append(s.lists, strings.Join(fps, " "))
	takes := s.takes
	s.mtx.Unlock()
	verdicts := map[string]alertmanager.Verdict{}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return verdicts, "it did not answer"
	}
	for _, fp := range fps {
		verdicts[fp] = alertmanager.Gone
	}
	return verdicts, ""
}

func (s *slowSource) become(takes time.Duration) {
	s.mtx.Lock()
	defer s.mtx.Unlock()
	s.takes = takes
}

// inquire asks about an alert of its own for each name, all at once, for as long as
// high pages wait, and returns the verdicts and how long the slowest took.
func inquire(t *testing.T, a *alertmanager.Asker, names ...string) (map[incident.Verdict]int, time.Duration) {
	t.Helper()
	var mtx sync.Mutex
	got := map[incident.Verdict]int{}
	began := time.Now()
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), incident.OpenAskHigh)
			defer cancel()
			in := &incident.Incident{Members: map[string]*incident.Member{name: member(name, true, false)}}
			v, _ := a.Ask(ctx, incident.QuestionOpen, in)
			mtx.Lock()
			defer mtx.Unlock()
			got[v]++
		})
	}
	all.Wait()
	return got, time.Since(began)
}

// A storm costs two lists, not one a page: those that come while one is under way share
// the next.
func TestOneListAnswersAllThatWait(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := &slowSource{takes: 100 * time.Millisecond}
		a := alertmanager.NewAsker(s, nil, voucher{"http://am-0"})
		var names []string
		for i := range 500 {
			names = append(names, fmt.Sprintf("n%03d", i))
		}
		got, took := inquire(t, a, names...)
		if diff := cmp.Diff(map[incident.Verdict]int{incident.VerdictGone: 500}, got); diff != "" {
			t.Errorf("verdicts (-want +got):\n%s", diff)
		}
		if took > 200*time.Millisecond {
			t.Errorf("took %s, want no more than two lists do", took)
		}
		if len(s.lists) > 2 {
			t.Errorf("got %d lists, want at most 2", len(s.lists))
		}
		asked := strings.Fields(strings.Join(s.lists, " "))
		if slices.Sort(asked); !slices.Equal(asked, names) {
			t.Errorf("asked about %d alerts, want each once", len(asked))
		}
	})
}

// The answer comes from a list that was begun after the question.
func TestAListUnderWayAnswersNobodyWhoComesLater(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := &slowSource{takes: 100 * time.Millisecond}
		a := alertmanager.NewAsker(s, nil, voucher{"http://am-0"})
		var first sync.WaitGroup
		first.Go(func() { inquire(t, a, "a") })
		time.Sleep(50 * time.Millisecond)
		if _, took := inquire(t, a, "b"); took != 150*time.Millisecond {
			t.Errorf("took %s, want 150 ms", took)
		}
		first.Wait()
		if diff := cmp.Diff([]string{"a", "b"}, s.lists); diff != "" {
			t.Errorf("lists (-want +got):\n%s", diff)
		}
	})
}

// Once a list has not come in time nobody waits for one, until one has come in time
// that nobody waited for.
func TestWhoCannotBeAskedDelaysNobodyTwice(t *testing.T) {
	for _, takes := range []time.Duration{time.Hour, 2 * time.Second} {
		t.Run(fmt.Sprint("a list takes ", takes), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := &slowSource{takes: takes}
				a := alertmanager.NewAsker(s, nil, voucher{"http://am-0"})
				step := func(what string, want incident.Verdict, wait time.Duration, names ...string) {
					t.Helper()
					got, took := inquire(t, a, names...)
					if diff := cmp.Diff(map[incident.Verdict]int{want: len(names)}, got); diff != "" || took != wait {
						t.Errorf("%s: after %s got %v, want %s after %s", what, took, slices.Collect(maps.Keys(got)), want, wait)
					}
				}
				step("the first", incident.VerdictUncertain, incident.OpenAskHigh, "x", "y")
				for range 100 {
					step("then", incident.VerdictUncertain, 0, "x", "y")
					time.Sleep(time.Second)
				}
				lists := len(s.lists)
				if lists < 2 || lists > 6 {
					t.Errorf("got %d lists in 100 s, want one now and then", lists)
				}
				s.become(10 * time.Millisecond)
				time.Sleep(time.Minute)
				step("those that find out", incident.VerdictUncertain, 0, "x", "y")
				synctest.Wait()
				time.Sleep(time.Second)
				step("after that", incident.VerdictGone, 10*time.Millisecond, "x")
			})
		})
	}
}
