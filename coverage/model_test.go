package coverage_test

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/coverage"
)

// FuzzCheck compares the arithmetic with a model that asks every minute who is on
// call, in windows of up to three days around both changes of Berlin's clock.
func FuzzCheck(f *testing.F) {
	f.Add([]byte{0, 10, 0, 5})
	f.Add([]byte("the quick brown fox jumps over the lazy dog, twice and then once more"))
	f.Add([]byte{1, 200, 120, 3, 0, 0, 0, 200, 200, 1, 1, 0, 100, 255, 0, 2, 2, 0, 50, 90, 90, 3, 1, 0, 10, 255, 255, 4, 0, 1, 0})
	for seed := range 100 {
		f.Add(random(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newMinutes(data)
		all, s := m.paint(), m.snapshot()
		want := m.judge(all)
		var got []string
		r := coverage.Check(s, m.cfg, m.now)
		for _, f := range r.Findings {
			if slices.Contains(modelled(), f.Check) {
				got = append(got, show(f))
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("findings (-want +got):\n%s", diff)
		}
		for _, c := range r.Cover {
			gaps := ""
			for _, g := range c.Gaps {
				gaps += " " + showSpan(g)
			}
			wantGaps, wantRatio := m.cover(all, c.Subject.ID)
			if gaps != wantGaps || math.Abs(c.Ratio-wantRatio) > 1e-9 {
				t.Errorf("cover of %s: got%s, %v, want%s, %v", c.Subject.ID, gaps, c.Ratio, wantGaps, wantRatio)
			}
		}
		hearing := coverage.NewHearing(s, m.cfg)
		for i := 0; i < len(all); i += 1 + len(all)/100 {
			at := m.window.Start.Add(time.Duration(i) * time.Minute)
			for _, seconds := range []int{0, 54, 55} {
				at := at.Add(time.Duration(seconds) * time.Second)
				is, until := m.hole(all, i, seconds)
				if got, hole := hearing.Heard("relay", at); (got == coverage.NobodyHears) != is || !hole.Until.Equal(until) {
					t.Fatalf("heard at %v: got %q until %v, want a hole: %v until %v", at, got, hole.Until, is, until)
				}
			}
		}
	})
}

func modelled() []coverage.CheckID {
	return []coverage.CheckID{
		coverage.PolicyGap, coverage.PolicyNobodyNow, coverage.BelowMinPeople, coverage.SamePersonOnLevels,
		coverage.PredictedCollision, coverage.EmptyMember,
	}
}

// minutes is a random snapshot of whole minutes, and its model.
type minutes struct {
	window coverage.Span
	now    time.Time
	cfg    coverage.Config
	turns  []turn
	empty  []coverage.Span
}

// turn is somebody's time on a level, in a schedule of the level's number.
type turn struct {
	coverage.Span
	user  string
	level int
}

func newMinutes(data []byte) *minutes {
	next := func() int {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return int(b)
	}
	m := &minutes{}
	// The clocks of Berlin change on 2026-10-25 and 2027-03-28.
	start := instant("2026-10-24 00:00")
	if next()%2 == 1 {
		start = instant("2027-03-27 00:00")
	}
	length := 1 + next()*17%(3*24*60)
	m.window = coverage.Span{Start: start, End: start.Add(time.Duration(length) * time.Minute)}
	m.now = start.Add(time.Duration(next()*length/512) * time.Minute)
	ignore := 1 + next()%90
	m.cfg = coverage.Config{
		Horizon:           model.Duration(3 * day),
		IgnoreShorterThan: model.Duration(time.Duration(ignore) * time.Minute),
		Policies:          []coverage.PolicyConfig{{Name: "P", MinPeople: 2 + next()%2, Services: []string{"relay"}}},
		TimeIntervals: intervals(`[{name: some, time_intervals: [
			{location: Europe/Berlin, times: [{start_time: "01:30", end_time: "02:45"}, {start_time: "08:00", end_time: "24:00"}]},
			{location: Australia/Lord_Howe, weekdays: ["sunday"]}]}]`),
	}
	if next()%2 == 1 {
		m.cfg.Policies[0].Required = []string{"some"}
	}
	for _, name := range []string{"S0", "S1", "S2"} {
		s := coverage.ScheduleConfig{Name: name}
		if next()%3 == 1 {
			s.Required = []string{"some"}
		}
		m.cfg.Schedules = append(m.cfg.Schedules, s)
	}
	for len(data) > 0 && len(m.turns) < 40 {
		from, long, kind := next()*length/200-length/8, 1+next()*length/300, next()
		s := coverage.Span{Start: start.Add(time.Duration(from) * time.Minute)}
		s.End = s.Start.Add(time.Duration(long) * time.Minute)
		switch kind / 5 % 16 {
		case 0:
			s.Start = time.Time{}
		case 1:
			s.End = time.Time{}
		case 2:
			s = coverage.Span{}
		case 3:
			m.empty = append(m.empty, s)
			continue
		}
		m.turns = append(m.turns, turn{s, []string{"A", "B", "C", "D", "GONE"}[kind%5], kind / 80 % 3})
	}
	return m
}

func (m *minutes) snapshot() *coverage.Snapshot {
	s := &coverage.Snapshot{
		At: m.now, Window: m.window,
		Schedules: map[string]*coverage.Schedule{},
		Policies:  map[string]*coverage.Policy{"P": {ID: "P", Name: "P", Levels: make([]coverage.Level, 3)}},
		Services: map[string]*coverage.Service{
			"V": {ID: "V", Policy: "P", Relays: []string{"relay"}, Status: "active", Urgency: "severity_based"},
		},
		Users: map[string]*coverage.User{"GONE": {ID: "GONE", Gone: true}},
	}
	for _, name := range []string{"S0", "S1", "S2"} {
		s.Schedules[name] = &coverage.Schedule{ID: name, Name: name, Policies: []string{"P"}}
	}
	s.Schedules["S0"].Empty = m.empty
	for _, t := range m.turns {
		schedule := s.Schedules["S"+string(rune('0'+t.level))]
		schedule.Shifts = append(schedule.Shifts, coverage.Shift{Span: t.Span, User: t.user})
		s.OnCalls = append(s.OnCalls, coverage.OnCall{Span: t.Span, Policy: "P", Level: t.level + 1, User: t.user})
	}
	return s
}

// minute is what holds at one.
type minute struct {
	on          [3]uint // by level, a bit for each of people.
	some, empty bool
}

// people are those that can be paged; a bit of a minute each.
func people() []string { return []string{"A", "B", "C", "D"} }

// paint writes down every minute of the window.
func (m *minutes) paint() []minute {
	all := make([]minute, m.window.End.Sub(m.window.Start)/time.Minute)
	each := func(s coverage.Span, set func(*minute)) {
		for i := range all {
			at := m.window.Start.Add(time.Duration(i) * time.Minute)
			if (s.Start.IsZero() || !at.Before(s.Start)) && (s.End.IsZero() || at.Before(s.End)) {
				set(&all[i])
			}
		}
	}
	for _, t := range m.turns {
		if u := slices.Index(people(), t.user); u >= 0 {
			each(t.Span, func(x *minute) { x.on[t.level] |= 1 << u })
		}
	}
	for _, s := range m.empty {
		each(s, func(x *minute) { x.empty = true })
	}
	for i := range all {
		for _, t := range m.cfg.TimeIntervals[0].TimeIntervals {
			all[i].some = all[i].some || t.ContainsTime(m.window.Start.Add(time.Duration(i)*time.Minute))
		}
	}
	return all
}

// judge is what is to be found.
func (m *minutes) judge(all []minute) []string {
	needed := func(required []string, x minute) bool { return len(required) == 0 || x.some }
	policy := m.cfg.Policies[0].Required
	questions := map[string]func(minute) bool{
		"critical policy_gap policy P": func(x minute) bool { return needed(policy, x) && x.nobody() },
		"warning below_min_people policy P": func(x minute) bool {
			return needed(policy, x) && bits.OnesCount(x.on[0]|x.on[1]|x.on[2]) < m.cfg.Policies[0].MinPeople
		},
		"warning same_person_on_levels policy P": func(x minute) bool {
			return needed(policy, x) && (x.on[1] != 0 && x.on[1]&^x.on[0] == 0 || x.on[2] != 0 && x.on[2]&^(x.on[0]|x.on[1]) == 0)
		},
		"warning empty_member schedule S0": func(x minute) bool {
			return needed(m.cfg.Schedules[0].Required, x) && x.empty
		},
	}
	for u, name := range people() {
		questions["warning predicted_collision user "+name] = func(x minute) bool {
			n := 0
			for level, on := range x.on {
				if on&(1<<u) != 0 && needed(m.cfg.Schedules[level].Required, x) {
					n++
				}
			}
			return n > 1
		}
	}
	var out []string
	for q, is := range questions {
		since := m.window.Start
		if strings.Contains(q, "predicted_collision") {
			since = m.now
		}
		line, now := m.runs(all, since, is)
		if line != "" {
			out = append(out, q+line)
		}
		if now != "" && strings.Contains(q, "policy_gap") {
			out = append(out, "critical policy_nobody_now policy P"+now)
		}
	}
	return out
}

// cover is where a schedule or the policy has gaps, and how much of it is covered.
func (m *minutes) cover(all []minute, id string) (gaps string, ratio float64) {
	required := m.cfg.Policies[0].Required
	level := slices.Index([]string{"S0", "S1", "S2"}, id)
	if level >= 0 {
		required = m.cfg.Schedules[level].Required
	}
	nobody := func(x minute) bool { return level >= 0 && x.on[level] == 0 || x.nobody() }
	needed := func(x minute) bool { return len(required) == 0 || x.some }
	need, have := 0, 0
	for _, x := range all[m.now.Sub(m.window.Start)/time.Minute:] {
		if needed(x) {
			need++
			if !nobody(x) {
				have++
			}
		}
	}
	gaps, _ = m.runs(all, m.window.Start, func(x minute) bool { return needed(x) && nobody(x) })
	if need == 0 {
		return gaps, 1
	}
	return gaps, float64(have) / float64(need)
}

func (x minute) nobody() bool { return x.on[0]|x.on[1]|x.on[2] == 0 }

// runs are the times of which something is true, long enough and not over, from
// since on; now is the one that contains this minute.
func (m *minutes) runs(all []minute, since time.Time, is func(minute) bool) (line, now string) {
	for i := 0; i < len(all); i++ {
		from := i
		for i < len(all) && is(all[i]) {
			i++
		}
		s := coverage.Span{
			Start: m.window.Start.Add(time.Duration(from) * time.Minute),
			End:   m.window.Start.Add(time.Duration(i) * time.Minute),
		}
		if from == i || s.End.Sub(s.Start) < time.Duration(m.cfg.IgnoreShorterThan) || !s.End.After(m.now) {
			continue
		}
		if s.Start.Before(since) {
			s.Start = since
		}
		line += " " + showSpan(s)
		if !s.Start.After(m.now) {
			now = " " + showSpan(s)
		}
	}
	return line, now
}

// hole says whether a page may be lost some seconds into a minute, and until when: if
// nobody is on call in this minute, or was in the one before, or in five seconds.
func (m *minutes) hole(all []minute, i, seconds int) (bool, time.Time) {
	lost := func(i int) bool { return i < len(all) && (all[i].nobody() || i > 0 && all[i-1].nobody()) }
	if !lost(i) && seconds >= 55 {
		i++
	}
	if !lost(i) {
		return false, time.Time{}
	}
	for lost(i) {
		i++
	}
	if i == len(all) {
		return true, time.Time{} // it is not known.
	}
	return true, m.window.Start.Add(time.Duration(i) * time.Minute)
}

// random is bytes that are the same each time.
func random(seed int) []byte {
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	data := make([]byte, 8+r.IntN(70))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// TestModelFinds makes sure that the model is about something.
func TestModelFinds(t *testing.T) {
	found := map[string]bool{}
	for seed := range 100 {
		data := random(seed)
		for _, f := range coverage.Check(newMinutes(data).snapshot(), newMinutes(data).cfg, newMinutes(data).now).Findings {
			found[string(f.Check)] = true
		}
	}
	for _, c := range modelled() {
		if !found[string(c)] {
			t.Errorf("got no %s in random snapshots", c)
		}
	}
}
