// Package nearest finds the known word that somebody may have meant by an unknown one.
package nearest

import "strings"

// Word is the word of known that is nearest to word, without regard to case; "" if
// none is near enough to be a misspelling. A third of the letters may differ, three at
// most; of two that are equally near it is the first.
func Word(word string, known []string) string {
	const longest = 64 // bytes; longer words are no misspellings, and cost time.
	if len(word) > longest {
		return ""
	}
	best, nearest := "", min(3, max(1, len(word)/3))+1
	for _, k := range known {
		if len(k) > longest {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < nearest {
			best, nearest = k, d
		}
	}
	return best
}

// distance is how many bytes have to be put in, left out, replaced, or swapped with
// their neighbour, to make b of a (optimal string alignment).
func distance(a, b string) int {
	var before, last []int // the two rows above.
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(replaced, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
