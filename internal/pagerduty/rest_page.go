package pagerduty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// pageLimit is the most that one page of a listing may hold, and maxOffset how far
	// a listing goes (PagerDuty, REST API, "Pagination").
	pageLimit = 100
	maxOffset = 10_000
	// shiftPageLimit is pageLimit for shift-based schedules (/v3/schedules).
	shiftPageLimit = 1000
)

// ErrTooMany says that a listing is longer than PagerDuty lists: 10,000 entries.
var ErrTooMany = errors.New("there are more than the 10,000 that PagerDuty lists")

// ErrID says that what was given cannot be an id.
var ErrID = errors.New("is not an id of PagerDuty")

// Page is a part of a listing.
type Page[T any] struct {
	Items []T
	Next  int // the offset of the next page; 0: this was the last.
}

// All reads a listing from its first page to its last.
func All[T any](ctx context.Context, page func(ctx context.Context, offset int) (Page[T], error)) ([]T, error) {
	var all []T
	for offset := 0; ; {
		p, err := page(ctx, offset)
		if err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if offset = p.Next; offset == 0 {
			return all, nil
		}
	}
}

// checkOffset is asked before a page is: PagerDuty answers 400 beyond its limit.
func checkOffset(offset, limit int) error {
	if offset+limit > maxOffset {
		return ErrTooMany
	}
	return nil
}

// next is the offset after a page of n items at offset. PagerDuty may have given
// fewer a page than it was asked for, and then says so.
func next(offset, limit, echoed, n int, more bool) (int, error) {
	if !more {
		return 0, nil
	}
	if n == 0 {
		return 0, errors.New("it is an empty page that says there are more")
	}
	if echoed > 0 && echoed < limit {
		limit = echoed
	}
	return offset + limit, nil
}

// list reads one page of a listing, one item at a time: a whole page of rendered
// schedules takes megabytes.
func list[T any](ctx context.Context, c *REST, path, key string, query url.Values, offset, limit int) (Page[T], error) {
	if err := checkOffset(offset, limit); err != nil {
		return Page[T]{}, fmt.Errorf("GET %s: %w", path, err)
	}
	query.Set("limit", strconv.Itoa(limit))
	query.Set("offset", strconv.Itoa(offset))
	var page Page[T]
	err := c.get(ctx, path, query, func(r io.Reader) error {
		page = Page[T]{}
		var echoed int
		var more *bool
		found := false
		err := readObject(json.NewDecoder(r), func(dec *json.Decoder, name string) error {
			switch name {
			case key:
				found = true
				return readArray(dec, &page.Items)
			case "limit":
				return dec.Decode(&echoed)
			case "more":
				return dec.Decode(&more)
			}
			var skipped json.RawMessage
			return dec.Decode(&skipped)
		})
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("it has no %s", key)
		}
		if more == nil { // v3 need not say.
			page.Next, _ = next(offset, limit, echoed, len(page.Items), len(page.Items) >= limit)
			return nil
		}
		page.Next, err = next(offset, limit, echoed, len(page.Items), *more)
		return err
	})
	return page, err
}

func readObject(dec *json.Decoder, field func(dec *json.Decoder, name string) error) error {
	if err := readDelim(dec, '{'); err != nil {
		return err
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		if err := field(dec, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return readDelim(dec, '}')
}

func readArray[T any](dec *json.Decoder, items *[]T) error {
	if err := readDelim(dec, '['); err != nil {
		return err
	}
	for dec.More() {
		var item T
		if err := dec.Decode(&item); err != nil {
			return err
		}
		*items = append(*items, item)
	}
	return readDelim(dec, ']')
}

func readDelim(dec *json.Decoder, want json.Delim) error {
	token, err := dec.Token()
	if bad := (*json.SyntaxError)(nil); errors.As(err, &bad) {
		return errors.New("not JSON") // where the answer is a web page, its first character says less.
	}
	if err != nil {
		return err
	}
	if got, ok := token.(json.Delim); !ok || got != want {
		return fmt.Errorf("got %.20q, want %s", fmt.Sprint(token), want)
	}
	return nil
}

// one reads an answer that is an object under key, from the path that ends in id.
func one[T any](ctx context.Context, c *REST, path, id, key string, query url.Values) (T, error) {
	var item T
	if !IsID(id) {
		return item, notAnID(id)
	}
	err := c.get(ctx, path+id, query, func(r io.Reader) error {
		var none T
		item = none
		found := false
		err := readObject(json.NewDecoder(r), func(dec *json.Decoder, name string) error {
			if name == key {
				found = true
				return dec.Decode(&item)
			}
			var skipped json.RawMessage
			return dec.Decode(&skipped)
		})
		if err == nil && !found {
			err = fmt.Errorf("it has no %s", key)
		}
		return err
	})
	return item, err
}

// IsID says whether text can be an id of PagerDuty. They are letters and digits (P, Q
// or R and six or more, in those of the REST API); nothing else may become part of a path.
func IsID(text string) bool {
	notOfID := func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}
	return text != "" && len(text) <= 64 && !strings.ContainsFunc(text, notOfID)
}

func notAnID(text string) error { return fmt.Errorf("%.70q %w", text, ErrID) }

// ParseTime reads a time of the REST API: ISO 8601 with an offset, the form of RFC
// 3339 or the one of some of PagerDuty's examples (+0000).
func ParseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("time %.40q is not ISO 8601 with an offset", text)
}

// formatTime writes a time as the REST API takes it, to the second.
func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
