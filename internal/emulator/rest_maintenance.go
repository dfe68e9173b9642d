package emulator

import (
	"fmt"
	"slices"
	"time"
)

type restWindow struct {
	reference
	Sequence    int         `json:"sequence_number"`
	StartTime   string      `json:"start_time"`
	EndTime     string      `json:"end_time"`
	Description string      `json:"description"`
	Services    []reference `json:"services"`
	Teams       []reference `json:"teams"`
	window      Window
}

func listWindows(c *restCall) (any, error) {
	if _, err := c.includes("services"); err != nil {
		return nil, err
	}
	filter := c.query.Get("filter")
	setDefault(&filter, "all")
	if !slices.Contains([]string{"past", "future", "ongoing", "open", "all"}, filter) {
		return nil, errInvalid("filter %q is not one of past, future, ongoing, open, all", filter)
	}
	service := c.wanted("service_ids[]")
	list := slices.DeleteFunc(c.windows(), func(w restWindow) bool {
		return !service(w.Services[0].ID) || !w.window.is(filter, c.now)
	})
	list = named(c, list, func(w restWindow) string { return w.Description })
	list, page, err := paged(c, list, 25, 100)
	if err != nil {
		return nil, err
	}
	return struct {
		Windows []restWindow `json:"maintenance_windows"`
		restPage
	}{list, page}, nil
}

func getWindow(c *restCall) (any, error) {
	if _, err := c.includes("services"); err != nil {
		return nil, err
	}
	for _, w := range c.windows() {
		if w.ID == c.id {
			return map[string]any{"maintenance_window": w}, nil
		}
	}
	return nil, errNotFound()
}

// is says whether the window is in a state that PagerDuty filters by; open ones
// are ongoing or to come.
func (w Window) is(filter string, now time.Time) bool {
	switch filter {
	case "past":
		return !w.End.After(now)
	case "future":
		return w.Start.After(now)
	case "ongoing":
		return w.contains(now)
	case "open":
		return w.End.After(now)
	default:
		return true
	}
}

// windows are those of all services, each with one service.
func (c *restCall) windows() []restWindow {
	out := []restWindow{}
	for _, s := range c.Services {
		for i, w := range c.states[s.ID].windows {
			id := fmt.Sprintf("%s-M%d", s.ID, i+1)
			out = append(out, restWindow{
				reference: linked("maintenance_window", "/maintenance_windows/", id, "Maintenance of "+s.Name),
				Sequence:  len(out) + 1, Description: "Maintenance of " + s.Name,
				StartTime: c.in(w.Start, "UTC"), EndTime: c.in(w.End, "UTC"),
				Services: []reference{serviceRef(s)}, Teams: []reference{}, window: w,
			})
		}
	}
	return out
}
