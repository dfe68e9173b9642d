package emulator

import "time"

// bounded is a queue that forgets its oldest elements when it holds more than
// maxLen of them or their sizes add up to more than maxSize.
type bounded[T any] struct {
	maxLen, maxSize int

	items []sized[T]
	head  int // items before it are forgotten.
	size  int
}

type sized[T any] struct {
	value T
	size  int
}

func (b *bounded[T]) push(v T, size int) {
	b.items = append(b.items, sized[T]{v, size})
	b.size += size
	for len(b.items)-b.head > b.maxLen || b.size > b.maxSize {
		b.size -= b.items[b.head].size
		b.items[b.head] = sized[T]{}
		b.head++
	}
	if b.head > len(b.items)/2 {
		n := copy(b.items, b.items[b.head:])
		clear(b.items[n:])
		b.items, b.head = b.items[:n], 0
	}
}

func (b *bounded[T]) all(yield func(T) bool) {
	for _, it := range b.items[b.head:] {
		if !yield(it.value) {
			return
		}
	}
}

func (b *bounded[T]) reset() { b.items, b.head, b.size = nil, 0, 0 }

// window counts the calls of one routing key in the last 60 s.
type window struct{ calls []time.Time }

const windowLength = time.Minute

// take counts a call at now, unless limit were made in the last minute: then it
// says how long until the next is let in.
func (w *window) take(now time.Time, limit int) (wait time.Duration, ok bool) {
	n := 0
	for n < len(w.calls) && now.Sub(w.calls[n]) >= windowLength {
		n++
	}
	w.calls = w.calls[n:]
	if len(w.calls) >= limit {
		return windowLength - now.Sub(w.calls[len(w.calls)-limit]), false
	}
	w.calls = append(w.calls, now)
	return 0, true
}
