package oncall

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

// few is how many are looked up one by one rather than by listing all that there are.
const few = 10

// source is where things of one kind are looked up.
type source[T any] struct {
	id, name func(T) string
	// list gives a page of those whose name holds query.
	list func(ctx context.Context, query string, offset int) (pagerduty.Page[T], error)
	// get gives one by its id.
	get func(ctx context.Context, id string) (T, error)
}

// found is what a look-up came to.
type found[T any] struct {
	items map[string]T // by id.
	// ids are those that bear what was wanted: none, if there is no such thing.
	ids map[string][]string
	// failed are those of which that is not known, and absent the ids that PagerDuty
	// answers 404 to.
	failed, absent map[string]error
}

// lookup finds things by what is wanted of them: names or ids, and certainly ids where
// isID says so.
// A thing that a page holds costs nothing more; so all are listed, until single
// requests for what is not certain yet cost no more than the pages so far: at worst
// it takes twice as many requests as are needed.
func lookup[T any](ctx context.Context, p *pass, wanted []string, isID func(string) bool, src source[T]) found[T] {
	f := found[T]{items: map[string]T{}, ids: map[string][]string{}, failed: map[string]error{}, absent: map[string]error{}}
	wanted = slices.Clone(wanted)
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	byName := map[string][]string{}
	// settled says whether a want is certain without the rest of the listing: an id is.
	settled := func(want string) bool { _, ok := f.items[want]; return ok }
	unsettled := func() []string { return slices.DeleteFunc(slices.Clone(wanted), settled) }

	var refused error
	complete := false
	for pages, offset := 0, 0; !complete; pages++ {
		left := unsettled()
		if len(left) <= max(few, pages) && pages == 0 || len(left) <= pages {
			break
		}
		var page pagerduty.Page[T]
		err := p.call(ctx, func(ctx context.Context) (err error) {
			page, err = src.list(ctx, "", offset)
			return err
		})
		if err != nil {
			if !errors.Is(err, pagerduty.ErrTooMany) {
				refused = err
			}
			break
		}
		for _, item := range page.Items {
			if _, again := f.items[src.id(item)]; !again {
				f.items[src.id(item)] = item
				byName[src.name(item)] = append(byName[src.name(item)], src.id(item))
			}
		}
		p.step(0)
		offset = page.Next
		complete = offset == 0
	}
	g := guard{}
	for _, want := range wanted {
		switch {
		case settled(want):
			f.ids[want] = []string{want}
		case complete && !isID(want):
			f.ids[want] = byName[want]
		case refused != nil:
			f.failed[want] = refused
		default:
			f.single(ctx, p, &g, want, isID(want), src)
		}
	}
	return f
}

// single looks up one thing: by its id first if it looks like one, otherwise by its
// name first: of that PagerDuty need not be asked twice.
func (f *found[T]) single(ctx context.Context, p *pass, g *guard, want string, isID bool, src source[T]) {
	steps := []func(context.Context, *pass, *guard, string, source[T]) error{f.byName, f.byID}
	switch {
	case isID:
		steps = steps[1:]
	case looksLikeID(want):
		slices.Reverse(steps)
	case !pagerduty.IsID(want):
		steps = steps[:1]
	}
	for _, step := range steps {
		if err := step(ctx, p, g, want, src); err != nil {
			f.failed[want] = err
			return
		}
		if len(f.ids[want]) > 0 {
			return
		}
	}
}

func (f *found[T]) byID(ctx context.Context, p *pass, g *guard, want string, src source[T]) error {
	err := g.call(ctx, p, func(ctx context.Context) error {
		item, err := src.get(ctx, want)
		if err == nil {
			f.items[want] = item
			f.ids[want] = []string{want}
		}
		return err
	})
	if status(err) == http.StatusNotFound {
		f.absent[want] = err
		return nil
	}
	return err
}

func (f *found[T]) byName(ctx context.Context, p *pass, g *guard, want string, src source[T]) error {
	var items []T
	err := g.call(ctx, p, func(ctx context.Context) (err error) {
		items, err = pagerduty.All(ctx, func(ctx context.Context, offset int) (pagerduty.Page[T], error) {
			return src.list(ctx, want, offset)
		})
		return err
	})
	for _, item := range items {
		if id := src.id(item); src.name(item) == want && !slices.Contains(f.ids[want], id) {
			f.items[id] = item
			f.ids[want] = append(f.ids[want], id)
		}
	}
	return err
}

// looksLikeID says whether text may be an id of PagerDuty: P, Q or R, then capital
// letters and digits. What is both an id and the name of something else is the id,
// here as in a listing.
func looksLikeID(text string) bool {
	if text == "" || text[0] < 'P' || text[0] > 'R' || !pagerduty.IsID(text) {
		return false
	}
	return !slices.ContainsFunc([]byte(text), func(b byte) bool { return b >= 'a' && b <= 'z' })
}
