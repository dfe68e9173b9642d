package coverage

import (
	"cmp"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"

	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// Rotation is who is on call by a schedule, for export.
type Rotation struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	TimeZone string    `json:"time_zone"`
	URL      string    `json:"url,omitempty"`
	At       time.Time `json:"at"`     // when it was read.
	Window   Span      `json:"window"` // from At on.
	// Shifts are in the order of their start. One that is running has its own start, as
	// far as it was read: it is the same shift in the next export. Those of people
	// without an account are left out.
	Shifts []Rostered `json:"shifts"`
	Gaps   []Span     `json:"gaps"` // nobody is on call.
}

// Rostered is a shift with the name of the person.
type Rostered struct {
	Span
	UserID string `json:"user_id"`
	User   string `json:"user"`
}

// Rotation finds a schedule that was read, by its name or id.
func (s *Snapshot) Rotation(name string) (*Rotation, error) {
	sched := byName(s.Schedules, func(s *Schedule) string { return s.Name })(name)
	if sched == nil {
		for _, m := range s.Missing {
			if m.Kind == KindSchedule && m.Name == name && len(m.Same) > 0 {
				return nil, fmt.Errorf("find schedule %q: PagerDuty has several of that name; give the id: %s", name, strings.Join(m.Same, ", "))
			}
		}
		if err := s.whyUnread(name); err != nil {
			return nil, fmt.Errorf("read schedule %q: %w", name, err)
		}
		return nil, fmt.Errorf("find schedule %q: PagerDuty has none of that name or id", name)
	}
	if err := s.whyUnread(name, sched.ID, sched.Name); err != nil {
		return nil, fmt.Errorf("read schedule %q: %w", name, err)
	}
	window := s.ahead()
	r := &Rotation{
		ID: sched.ID, Name: named(sched.Name, sched.ID), TimeZone: oneline.Short(sched.TimeZone, maxName), URL: link(sched.URL),
		At: s.At.UTC(), Window: window, Shifts: []Rostered{},
	}
	var covered []Span
	for _, shift := range sched.Shifts {
		if _, ok := shift.within(window); !ok || !s.live(shift.User) {
			continue // it is over, or nobody's: who has no account is not paged.
		}
		user := named("", shift.User)
		if u := s.Users[shift.User]; u != nil {
			user = named(u.Name, u.ID)
		}
		r.Shifts = append(r.Shifts, Rostered{Span{shift.Start.UTC(), shift.End.UTC()}, shift.User, user})
		covered = append(covered, shift.Span)
	}
	slices.SortStableFunc(r.Shifts, func(a, b Rostered) int {
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), cmp.Compare(a.User, b.User))
	})
	r.Gaps = append([]Span{}, subtract([]Span{window}, normalise(covered, window))...)
	return r, nil
}

// whyUnread is why the schedule of any of these names could not be read; nil if it was.
func (s *Snapshot) whyUnread(names ...string) error {
	for _, u := range s.Unread {
		if u.Kind == KindSchedule && (u.ID == "" || slices.Contains(names, u.ID)) {
			return errors.New(oneline.Short(u.Reason, maxReason))
		}
	}
	return nil
}

// WriteICS writes the rotation as a calendar (RFC 5545): an event for each shift.
func (r *Rotation) WriteICS(w io.Writer) error {
	cal := ics.NewCalendarFor("Pagerelay")
	cal.SetProductId("-//Pagerelay//On-call rotation//EN")
	cal.SetMethod(ics.MethodPublish)
	cal.SetXWRCalName("On call: " + r.Name)
	for _, s := range r.Shifts {
		e := cal.AddEvent(s.uid(r.ID))
		e.SetDtStampTime(r.At)
		e.SetStartAt(s.Start)
		e.SetEndAt(s.End)
		e.SetSummary(s.User + " on call: " + r.Name)
		e.SetTimeTransparency(ics.TransparencyTransparent) // on call is not busy.
		if r.URL != "" {
			e.SetURL(r.URL)
		}
	}
	if err := cal.SerializeTo(w, ics.WithNewLineWindows); err != nil {
		return fmt.Errorf("write calendar: %w", err)
	}
	return nil
}

// uid is the same in every export that has the shift from its start.
func (s *Rostered) uid(schedule string) string {
	sum := sha256.Sum256([]byte(schedule + "\x00" + s.UserID + "\x00" + s.Start.UTC().Format(time.RFC3339)))
	return hex.EncodeToString(sum[:16]) + "@pagerelay"
}

// WriteCSV writes a line for each shift, below a line of headings. No field is taken
// for a formula by a spreadsheet.
func (r *Rotation) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"schedule", "schedule_id", "user", "user_id", "start", "end"}}
	for _, s := range r.Shifts {
		rows = append(rows, []string{
			plain(r.Name), plain(r.ID), plain(s.User), plain(s.UserID),
			s.Start.UTC().Format(time.RFC3339), s.End.UTC().Format(time.RFC3339),
		})
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

// plain marks as text what a spreadsheet would run as a formula (OWASP, "CSV
// Injection"). Line breaks are gone already.
func plain(s string) string {
	var b strings.Builder
	begins := true // a cell does, also where the spreadsheet separates them by semicolons.
	for _, r := range s {
		if begins && strings.ContainsRune("=+-@\t\r＝＋－＠", r) {
			b.WriteByte('\'')
		}
		b.WriteRune(r)
		begins = r == ';' || r == '\t'
	}
	return b.String()
}
