package incident

import (
	"slices"
	"time"
)

// maxHistory bounds the ledger of one incident; the oldest entries go first, but for the very first.
const maxHistory = 40

// Entry is a line of the ledger.
type Entry struct {
	At    time.Time `json:"at"`
	What  string    `json:"what"` // received, resolved, answer, ... : a closed set.
	Text  string    `json:"text,omitempty"`
	Count int       `json:"count,omitempty"` // of equal entries in a row, if more than one.
	Last  time.Time `json:"last,omitzero"`   // the newest of them.
}

// Note adds an entry to the ledger; equal entries in a row are counted.
func (in *Incident) Note(now time.Time, what, text string) {
	if n := len(in.History); n > 0 {
		if last := in.History[n-1]; last.What == what && last.Text == text {
			last.Count = max(last.Count, 1) + 1
			last.Last = now
			in.History = append(slices.Clone(in.History[:n-1]), last)
			return
		}
	}
	if len(in.History) >= maxHistory {
		in.History = slices.Delete(slices.Clone(in.History), 1, 2)
		in.Omitted++
	}
	in.History = append(in.History, Entry{At: now, What: what, Text: text})
}
