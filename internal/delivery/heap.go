package delivery

// heapOf is a container/heap of elements that know their places, so that one can be
// moved or taken out. The first is at 0.
type heapOf[T placed[T]] []T

// placed is what a heap may hold.
type placed[T any] interface {
	before(other T) bool
	place() *int // its index; -1 once it is taken out.
}

func (h heapOf[T]) Len() int           { return len(h) }
func (h heapOf[T]) Less(i, j int) bool { return h[i].before(h[j]) }

func (h heapOf[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	*h[i].place(), *h[j].place() = i, j
}

// Push is for heap.Push, which gives it a T.
func (h *heapOf[T]) Push(x any) {
	e, _ := x.(T)
	*e.place() = len(*h)
	*h = append(*h, e)
}

// Pop is for heap.Pop and heap.Remove.
func (h *heapOf[T]) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	clear((*h)[last:])
	*h = (*h)[:last]
	*e.place() = -1
	return e
}
