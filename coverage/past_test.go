package coverage_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/coverage"
)

// What was read of the time before now tells how long things last. What is over is
// nobody's business.
func TestWhatIsOver(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*scene)
		want   []string
	}{
		{"a gap", func(w *scene) {
			w.shifts("PPROD", "UBEN 2026-11-22 08:00/2026-11-22 20:00", "UANN 2026-11-23 08:00/2026-11-30 08:00", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
			w.shifts("PLEAD", "UDAN 2026-11-22 08:00/2026-11-22 20:00", "UCAT 2026-11-23 08:00/2026-11-30 08:00", "UDAN 2026-11-30 08:00/2026-12-07 08:00")
		}, nil},
		{"all but a moment of a gap", func(w *scene) {
			w.shifts("PPROD", "UBEN 2026-11-22 08:00/2026-11-22 20:00", "UANN 2026-11-23 08:00:10/2026-11-30 08:00", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
			w.shifts("PLEAD", "UDAN 2026-11-22 08:00/2026-11-22 20:00", "UCAT 2026-11-23 08:00:10/2026-11-30 08:00", "UDAN 2026-11-30 08:00/2026-12-07 08:00")
		}, []string{
			"critical policy_gap policy PINFRA 2026-11-22 20:00/2026-11-23 08:00:10",
			"critical policy_nobody_now policy PINFRA 2026-11-22 20:00/2026-11-23 08:00:10",
			"critical schedule_gap schedule PLEAD 2026-11-22 20:00/2026-11-23 08:00:10",
			"critical schedule_gap schedule PPROD 2026-11-22 20:00/2026-11-23 08:00:10",
			"warning below_min_people policy PINFRA 2026-11-22 20:00/2026-11-23 08:00:10",
		}},
		{"the duty of somebody of whom nothing was read", func(w *scene) {
			w.shifts("PPROD", "UOLD 2026-11-22 08:00/2026-11-23 08:00", "UANN 2026-11-23 08:00/2026-11-30 08:00", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
		}, nil},
		{"a duty of several schedules at once", func(w *scene) {
			w.shifts("PPROD", "UCAT 2026-11-22 08:00/2026-11-23 08:00", "UANN 2026-11-23 08:00/2026-11-30 08:00", "UBEN 2026-11-30 08:00/2026-12-07 08:00")
		}, nil},
		{"maintenance", func(w *scene) {
			w.Services["PCORE"].Maintenance = []coverage.Span{span("2026-11-22 08:00/2026-11-23 08:00")}
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := healthy()
			tc.change(w)
			r := w.check()
			if diff := cmp.Diff(tc.want, showAll(r)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if len(r.Unknown) > 0 {
				t.Errorf("got unknown %v", showUnknown(r))
			}
			for _, c := range r.Cover {
				if c.Window.Start != w.now {
					t.Errorf("cover of %s: got from %v, want from now", c.Subject.ID, c.Window.Start)
				}
			}
		})
	}
}

// An export begins now, and has the shift that is running whole: a calendar takes it
// for the same event each time.
func TestRotationOfARunningShift(t *testing.T) {
	begun := auditedAt().Add(-3 * day)
	uid := func(at time.Time) string {
		r := rotation(t, func(s *coverage.Snapshot) {
			s.At = at.Add(time.Millisecond)
			s.Window.Start = at.Add(-day)
			shifts := s.Schedules["PSRE"].Shifts
			shifts[0].Start = begun
			s.Schedules["PSRE"].Shifts = append(shifts, coverage.Shift{Span: coverage.Span{Start: begun.Add(-day), End: begun}, User: "PLIN"})
		})
		if len(r.Shifts) != 2 || r.Shifts[0].Start != begun || r.Window.Start != at || len(r.Gaps) != 1 {
			t.Fatalf("got %+v, want two shifts from %v on and a gap", r, at)
		}
		var b bytes.Buffer
		if err := r.WriteICS(&b); err != nil {
			t.Fatal(err)
		}
		_, text, _ := strings.Cut(b.String(), "UID:")
		text, _, _ = strings.Cut(text, "\r")
		return text
	}
	if now, later := uid(auditedAt()), uid(auditedAt().Add(time.Hour)); now != later || now == "" {
		t.Errorf("got the ids %s and, an hour later, %s, want the same", now, later)
	}
}

// Nobody in a schedule till now: that gap is over.
func TestRotationWithoutGaps(t *testing.T) {
	r := rotation(t, func(s *coverage.Snapshot) {
		s.Window.Start = s.At.Add(-day)
		s.Schedules["PSRE"].Shifts = []coverage.Shift{{Span: coverage.Span{Start: s.At, End: s.Window.End}, User: "PADA"}}
	})
	if len(r.Gaps) > 0 {
		t.Errorf("got the gaps %v, want none", r.Gaps)
	}
}

// A text about nothing that could be judged still begins now.
func TestTextBeginsNow(t *testing.T) {
	s, c := example()
	s.Window.Start = s.At.Add(-day)
	s.Schedules, s.Policies = nil, nil
	var b bytes.Buffer
	if err := coverage.NewAudit(s, c, auditedAt()).WriteText(&b, 80); err != nil {
		t.Fatal(err)
	}
	if want := "On-call coverage from Mon 2026-11-23 08:00 UTC to"; !strings.HasPrefix(b.String(), want) {
		t.Errorf("got no %q in:\n%s", want, &b)
	}
}
