package coverage_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"
	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/coverage"
)

func rotation(t *testing.T, change ...func(*coverage.Snapshot)) *coverage.Rotation {
	t.Helper()
	s, _ := example()
	for _, f := range change {
		f(s)
	}
	r, err := s.Rotation("PSRE")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A calendar program reads the calendar: this one's library is not the one that
// wrote it.
func TestWriteICS(t *testing.T) {
	var b bytes.Buffer
	if err := rotation(t).WriteICS(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "rotation.ics", b.String())
	type event struct{ Summary, Start, End, Stamp, URL string }
	var got []event
	ids := map[string]bool{}
	for _, e := range events(t, b.String()) {
		start, err := e.DateTimeStart(time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		end, err := e.DateTimeEnd(time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		ids[text(t, &e, ical.PropUID)] = true
		got = append(got, event{
			text(t, &e, ical.PropSummary), start.Format(time.RFC3339), end.Format(time.RFC3339),
			e.Props.Get(ical.PropDateTimeStamp).Value, e.Props.Get(ical.PropURL).Value,
		})
	}
	const url = "https://example.pagerduty.com/schedules/PSRE"
	want := []event{
		{"Ada Lovelace on call: platform-sre", "2026-11-23T08:00:00Z", "2026-11-28T02:00:00Z", "20261123T080000Z", url},
		{"Lin Chen on call: platform-sre", "2026-11-29T02:00:00Z", "2026-12-07T08:00:00Z", "20261123T080000Z", url},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if len(ids) != 2 {
		t.Errorf("got the ids %v, want two", ids)
	}
}

func events(t *testing.T, calendar string) []ical.Event {
	t.Helper()
	if n := strings.Count(calendar, "\n"); n != strings.Count(calendar, "\r\n") {
		t.Errorf("got %d ends of lines, not all of them CRLF", n)
	}
	for line := range strings.SplitSeq(calendar, "\r\n") {
		if len(line) > 75 {
			t.Errorf("got a line of %d bytes, want at most 75 (RFC 5545, 3.1): %s", len(line), line)
		}
	}
	cal, err := ical.NewDecoder(strings.NewReader(calendar)).Decode()
	if err != nil {
		t.Fatalf("decode: %v in\n%s", err, calendar)
	}
	// What it writes, it has checked.
	if err := ical.NewEncoder(io.Discard).Encode(cal); err != nil {
		t.Errorf("encode again: %v", err)
	}
	return cal.Events()
}

func text(t *testing.T, e *ical.Event, name string) string {
	t.Helper()
	s, err := e.Props.Text(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Neither a calendar nor a spreadsheet does what a name says.
func TestExportIsSafe(t *testing.T) {
	for _, name := range []string{
		"Eve\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:hacked", "a,b;c\\n\\", strings.Repeat("ä", 200), "=cmd|' /C calc'!A0",
		"+1", "-1", "@SUM(A1)", "\t=1", "＝1", "x;=1+1;;@1; -1", ";;+1", "\u202e\x1b[2J", "", "\xff",
	} {
		r := rotation(t, func(s *coverage.Snapshot) { s.Users["PADA"].Name, s.Schedules["PSRE"].Name = name, name })
		var calendar, table bytes.Buffer
		if err := errors.Join(r.WriteICS(&calendar), r.WriteCSV(&table)); err != nil {
			t.Fatal(err)
		}
		list := events(t, calendar.String())
		if len(list) != 2 {
			t.Errorf("%q: got %d events, want 2", name, len(list))
			continue
		}
		if got, want := text(t, &list[0], ical.PropSummary), r.Shifts[0].User+" on call: "+r.Name; got != want {
			t.Errorf("%q: got summary %q, want %q", name, got, want)
		}
		rows, err := csv.NewReader(&table).ReadAll()
		if err != nil || len(rows) != 3 {
			t.Errorf("%q: got %d rows and %v, want 3", name, len(rows), err)
		}
		for _, row := range rows {
			for _, field := range row {
				for cell := range strings.SplitSeq(field, ";") { // as many spreadsheets do.
					if strings.ContainsAny(cell, "\r\n\x1b") || cell != "" && strings.ContainsRune("=+-@\t＝", []rune(cell)[0]) {
						t.Errorf("%q: got the cell %q", name, cell)
					}
				}
			}
		}
	}
}

// Names are words with one space between them, however they are written.
func TestNamesAreWords(t *testing.T) {
	for name, want := range map[string]string{
		"a b": "a b", " a": "a", "a ": "a", "a  b": "a b", "a\tb": "a b", "a\x7fb": "a b", "~!": "~!", " ": "PSRE", "ä  ö": "ä ö",
		strings.Repeat("x", 100): strings.Repeat("x", 100), strings.Repeat("x", 101): strings.Repeat("x", 99) + "…",
	} {
		if got := rotation(t, func(s *coverage.Snapshot) { s.Schedules["PSRE"].Name = name }).Name; got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestWriteCSV(t *testing.T) {
	var b bytes.Buffer
	if err := rotation(t).WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	want := `schedule,schedule_id,user,user_id,start,end
platform-sre,PSRE,Ada Lovelace,PADA,2026-11-23T08:00:00Z,2026-11-28T02:00:00Z
platform-sre,PSRE,Lin Chen,PLIN,2026-11-29T02:00:00Z,2026-12-07T08:00:00Z
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRotation(t *testing.T) {
	r := rotation(t, func(s *coverage.Snapshot) {
		s.Users["PLIN"].Gone = true
		s.Schedules["PSRE"].Shifts = append(s.Schedules["PSRE"].Shifts, coverage.Shift{Span: s.Window}) // of somebody who was deleted.
	})
	if len(r.Shifts) != 1 || r.Shifts[0].UserID != "PADA" {
		t.Errorf("got the shifts %v, want Ada's: the others have no account", r.Shifts)
	}
	hour := func(h int) time.Time { return auditedAt().Add(time.Duration(h) * time.Hour) }
	if diff := cmp.Diff([]coverage.Span{{Start: hour(114), End: hour(14 * 24)}}, r.Gaps); diff != "" {
		t.Errorf("gaps: somebody without an account is nobody (-want +got):\n%s", diff)
	}
	for _, tc := range []struct {
		name, ask string
		change    func(*coverage.Snapshot)
		want      string
	}{
		{"not there", "gone", func(*coverage.Snapshot) {}, `find schedule "gone": PagerDuty has none of that name or id`},
		{"two of them", "twin", func(s *coverage.Snapshot) {
			s.Missing = []coverage.Missing{{Kind: coverage.KindSchedule, Name: "twin", Same: []string{"P1", "P2"}}}
		}, `find schedule "twin": PagerDuty has several of that name; give the id: P1, P2`},
		{"not read", "platform-sre", func(s *coverage.Snapshot) {
			s.Unread = []coverage.Unread{{Kind: coverage.KindSchedule, ID: "PSRE", Reason: "500"}}
		}, `read schedule "platform-sre": 500`},
		{"nothing read", "gone", func(s *coverage.Snapshot) {
			s.Unread = []coverage.Unread{{Kind: coverage.KindSchedule, Reason: "402"}}
		}, `read schedule "gone": 402`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := example()
			tc.change(s)
			if _, err := s.Rotation(tc.ask); err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}
