package web

import (
	"cmp"
	"slices"
)

// Level is how bad something is that people are told on the status page.
type Level string

// The levels, the worst first.
const (
	CostsPages Level = "costs" // pages do not reach anybody, or may be lost.
	WillCost   Level = "will"  // they will not, unless somebody acts.
	Normal     Level = "note"  // nothing to do, as after a restart.
)

// Notice is a sentence for the status page. It holds no alert text and no secret.
type Notice struct {
	Level Level
	Text  string
}

// Notices makes notices of one level.
func Notices(level Level, texts ...string) []Notice {
	var list []Notice
	for _, text := range texts {
		list = append(list, Notice{level, text})
	}
	return list
}

func sortNotices(list []Notice) {
	rank := map[Level]int{CostsPages: 0, WillCost: 1, Normal: 2}
	slices.SortStableFunc(list, func(a, b Notice) int { return cmp.Compare(rank[a.Level], rank[b.Level]) })
}
