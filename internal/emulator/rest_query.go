package emulator

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxRecords is how far paging reaches (REST API, "Pagination").
const maxRecords = 10_000

// page is what is common to all paged answers. Total is null unless it is asked for.
type restPage struct {
	Limit  int  `json:"limit"`
	Offset int  `json:"offset"`
	More   bool `json:"more"`
	Total  *int `json:"total"`
}

// number reads a parameter that is a number of at least least.
func (c *restCall) number(name string, otherwise, least int) (int, error) {
	text := c.query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		return 0, errInvalid("%s %q is not a number of at least %d", name, text, least)
	}
	return n, nil
}

func (c *restCall) boolean(name string) (bool, error) {
	switch text := c.query.Get(name); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, errInvalid("%s %q is not true or false", name, text)
	}
}

// paged cuts the page that is asked for out of list. PagerDuty does not say what
// it does with a limit over the most; here it is refused.
func paged[T any](c *restCall, list []T, usual, most int) ([]T, restPage, error) {
	limit, err := c.number("limit", usual, 1)
	if err != nil {
		return nil, restPage{}, err
	}
	offset, err := c.number("offset", 0, 0)
	if err != nil {
		return nil, restPage{}, err
	}
	total, err := c.boolean("total")
	if err != nil {
		return nil, restPage{}, err
	}
	switch {
	case limit > most:
		return nil, restPage{}, errInvalid("limit %d is over %d", limit, most)
	case offset > maxRecords-limit:
		return nil, restPage{}, errInvalid("offset %d and limit %d add up to more than %d", offset, limit, maxRecords)
	}
	p := restPage{Limit: limit, Offset: offset, More: offset+limit < len(list)}
	if total {
		p.Total = new(len(list))
	}
	return list[min(offset, len(list)):min(offset+limit, len(list))], p, nil
}

// includes reads include[]; what is not among known is refused.
func (c *restCall) includes(known ...string) (map[string]bool, error) {
	out := map[string]bool{}
	for _, name := range c.query["include[]"] {
		if !slices.Contains(known, name) {
			return nil, errInvalid("include[] %q is not one of %s that the emulator knows", name, strings.Join(known, ", "))
		}
		out[name] = true
	}
	return out, nil
}

// wanted is a filter by IDs: all are wanted if none is named.
func (c *restCall) wanted(name string) func(id string) bool {
	ids := c.query[name]
	return func(id string) bool { return len(ids) == 0 || slices.Contains(ids, id) }
}

// named filters by query, PagerDuty's search in names.
func named[T any](c *restCall, list []T, name func(T) string) []T {
	text := strings.ToLower(c.query.Get("query"))
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return !strings.Contains(strings.ToLower(name(v)), text) })
}

// byName filters by query and sorts by name, as sort_by says.
func byName[T any](c *restCall, list []T, name func(T) string) ([]T, error) {
	sign := 1
	switch by := c.query.Get("sort_by"); by {
	case "", "name", "name:asc":
	case "name:desc":
		sign = -1
	default:
		return nil, errInvalid("sort_by %q is not one of name, name:asc, name:desc", by)
	}
	list = named(c, list, name)
	slices.SortStableFunc(list, func(a, b T) int { return sign * cmp.Compare(name(a), name(b)) })
	return list, nil
}

// instant reads a time; without an offset it is in UTC.
func (c *restCall) instant(name string) (time.Time, error) {
	text := c.query.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errInvalid("%s %q is not an ISO 8601 time", name, text)
}

// span reads since and until, which stay zero where they are not given.
func (c *restCall) span() (since, until time.Time, err error) {
	if since, err = c.instant("since"); err != nil {
		return
	}
	if until, err = c.instant("until"); err != nil {
		return
	}
	if !since.IsZero() && !until.IsZero() && until.Before(since) {
		err = errInvalid("until is before since")
	}
	return since, until, err
}

// in renders t in the zone that the query names, or else in zone.
func (c *restCall) in(t time.Time, zone string) string {
	loc := c.zone
	if loc == nil {
		loc = c.zones[zone]
	}
	if loc == nil {
		loc, _ = time.LoadLocation(zone) // was checked. It reads a file: not for each shift anew.
		c.zones[zone] = loc
	}
	return t.In(loc).Format(time.RFC3339)
}
