package mapping

import (
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/template"
)

// parseMatchers reads one entry of a rule's matchers: one matcher or several,
// with or without braces. It means what it means in Alertmanager's own
// configuration in its default mode: both parsers are asked, the UTF-8 one
// counts, and the classic one where only it understands the entry or where the
// two disagree.
func parseMatchers(in string) (labels.Matchers, error) {
	ms, err := parse.Matchers(in)
	classic, cErr := labels.ParseMatchers(in)
	switch {
	case err != nil && cErr != nil:
		return nil, err
	case err != nil, cErr == nil && !sameMatchers(ms, classic):
		ms = classic
	}
	if len(ms) == 0 {
		return nil, errors.New("no matcher in it; a rule that takes everything has no matchers")
	}
	for _, m := range ms {
		if m.Name == "" {
			return nil, fmt.Errorf("the matcher %s names no label", m)
		}
	}
	return ms, nil
}

func sameMatchers(a, b labels.Matchers) bool {
	return slices.EqualFunc(a, b, func(x, y *labels.Matcher) bool {
		return x.Type == y.Type && x.Name == y.Name && x.Value == y.Value
	})
}

// matches says whether all of ms match. A label that is missing equals "".
func matches(ms labels.Matchers, ls template.KV) bool {
	for _, m := range ms {
		if !m.Matches(ls[m.Name]) {
			return false
		}
	}
	return true
}

// index finds the rules that an alert can match without trying all of them. A
// rule with an equality matcher is filed under that label and value; the others
// are tried for every alert. Lists hold positions of rules, in order.
type index struct {
	labels []labelIndex
	byName map[string]int // position in labels.
	rest   []int
}

type labelIndex struct {
	name   string
	values map[string][]int
}

type pair struct{ name, value string }

// newIndex files each rule under its rarest equality matcher, so that what all
// rules have in common does not put them all in one list.
func newIndex(rules []labels.Matchers) *index {
	count := map[pair]int{}
	for _, ms := range rules {
		for _, m := range ms {
			if filable(m) {
				count[pair{m.Name, m.Value}]++
			}
		}
	}
	ix := &index{byName: map[string]int{}}
	for i, ms := range rules {
		var best *labels.Matcher
		for _, m := range ms {
			if filable(m) && (best == nil || count[pair{m.Name, m.Value}] < count[pair{best.Name, best.Value}]) {
				best = m
			}
		}
		if best == nil {
			ix.rest = append(ix.rest, i)
			continue
		}
		at, ok := ix.byName[best.Name]
		if !ok {
			at = len(ix.labels)
			ix.byName[best.Name] = at
			ix.labels = append(ix.labels, labelIndex{best.Name, map[string][]int{}})
		}
		ix.labels[at].values[best.Value] = append(ix.labels[at].values[best.Value], i)
	}
	return ix
}

// filable: a matcher for "" also matches alerts without the label.
func filable(m *labels.Matcher) bool { return m.Type == labels.MatchEqual && m.Value != "" }

// lists appends the lists of rules that ls can match to buf.
func (ix *index) lists(buf [][]int, ls template.KV) [][]int {
	add := func(l []int) {
		if len(l) > 0 {
			buf = append(buf, l)
		}
	}
	add(ix.rest)
	if len(ix.labels) <= len(ls) {
		for i := range ix.labels {
			if v := ls[ix.labels[i].name]; v != "" {
				add(ix.labels[i].values[v])
			}
		}
		return buf
	}
	for name, v := range ls {
		if i, ok := ix.byName[name]; ok {
			add(ix.labels[i].values[v])
		}
	}
	return buf
}

// next takes the first rule off the lists; false when they are empty.
func next(lists [][]int) (int, bool) {
	best := -1
	for i, l := range lists {
		if len(l) > 0 && (best < 0 || l[0] < lists[best][0]) {
			best = i
		}
	}
	if best < 0 {
		return 0, false
	}
	rule := lists[best][0]
	lists[best] = lists[best][1:]
	return rule, true
}
