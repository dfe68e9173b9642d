package coverage_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/pagerelay/pagerelay/coverage"
)

// needed is when a schedule that nobody is on call in would have to be covered,
// within the window.
func needed(window coverage.Span, text string) []coverage.Span {
	s := &coverage.Snapshot{Window: window, Schedules: map[string]*coverage.Schedule{"S": {ID: "S"}}}
	cfg := coverage.Config{
		Horizon:           model.Duration(90 * day),
		IgnoreShorterThan: model.Duration(time.Second),
		Schedules:         []coverage.ScheduleConfig{{Name: "S", Required: []string{"a"}}},
		TimeIntervals:     intervals("[{name: a, time_intervals: [" + text + "]}]"),
	}
	return coverage.Check(s, cfg, window.Start).Cover[0].Gaps
}

func TestRequired(t *testing.T) {
	for _, tc := range []struct {
		name, window, text string
		want               []string // in UTC.
	}{
		{
			"UTC without a location", "2026-11-22 00:00/2026-11-25 00:00",
			`{times: [{start_time: "09:00", end_time: "17:00"}], weekdays: ["monday:friday"]}`,
			[]string{"2026-11-23 09:00/2026-11-23 17:00", "2026-11-24 09:00/2026-11-24 17:00"},
		},
		{
			"days that touch are one", "2026-11-20 12:00/2026-11-24 12:00",
			`{times: [{start_time: "00:00", end_time: "24:00"}], weekdays: ["saturday", "sunday"]}`,
			[]string{"2026-11-21 00:00/2026-11-23 00:00"},
		},
		{
			"Berlin's short day", "2026-03-28 12:00/2026-03-30 12:00",
			`{location: Europe/Berlin, weekdays: ["sunday"]}`,
			[]string{"2026-03-28 23:00/2026-03-29 22:00"},
		},
		{
			"Berlin's long day", "2026-10-24 12:00/2026-10-26 12:00",
			`{location: Europe/Berlin, weekdays: ["sunday"]}`,
			[]string{"2026-10-24 22:00/2026-10-25 23:00"},
		},
		{
			"the hour that Berlin skips", "2026-03-28 12:00/2026-03-30 12:00",
			`{location: Europe/Berlin, times: [{start_time: "01:30", end_time: "03:30"}]}`,
			[]string{"2026-03-29 00:30/2026-03-29 01:30", "2026-03-29 23:30/2026-03-30 01:30"},
		},
		{
			"only the hour that Berlin skips", "2026-03-28 12:00/2026-03-29 12:00",
			`{location: Europe/Berlin, times: [{start_time: "02:00", end_time: "03:00"}]}`,
			nil,
		},
		{
			"the hour that Berlin repeats", "2026-10-24 12:00/2026-10-25 12:00",
			`{location: Europe/Berlin, times: [{start_time: "02:30", end_time: "03:00"}]}`,
			[]string{"2026-10-25 00:30/2026-10-25 01:00", "2026-10-25 01:30/2026-10-25 02:00"},
		},
		{
			"the half hour that Lord Howe skips", "2026-10-03 00:00/2026-10-04 12:00",
			`{location: Australia/Lord_Howe, times: [{start_time: "01:00", end_time: "03:00"}]}`,
			[]string{"2026-10-03 14:30/2026-10-03 16:00"}, // 01:00 to 02:00 at +10:30, 02:30 to 03:00 at +11:00.
		},
		{
			"the half hour that Lord Howe repeats", "2026-04-04 00:00/2026-04-05 00:00",
			`{location: Australia/Lord_Howe, times: [{start_time: "01:30", end_time: "02:00"}]}`,
			[]string{"2026-04-04 14:30/2026-04-04 15:30"}, // twice, the one after the other.
		},
		{
			"the day that Apia skips", "2011-12-29 00:00/2012-01-01 00:00",
			`{location: Pacific/Apia, times: [{start_time: "08:00", end_time: "10:00"}]}`,
			// The 29th at -10:00; no 30th; the 31st at +14:00.
			[]string{"2011-12-29 18:00/2011-12-29 20:00", "2011-12-30 18:00/2011-12-30 20:00", "2011-12-31 18:00/2011-12-31 20:00"},
		},
		{
			"Apia's Friday that never was", "2011-12-29 00:00/2012-01-01 00:00",
			`{location: Pacific/Apia, weekdays: ["friday"]}`,
			nil,
		},
		{
			"a leap day", "2028-02-27 00:00/2028-03-02 00:00",
			`{location: Europe/Berlin, days_of_month: ["29"]}`,
			[]string{"2028-02-28 23:00/2028-02-29 23:00"},
		},
		{
			"no leap day", "2027-02-27 00:00/2027-03-02 00:00",
			`{location: Europe/Berlin, days_of_month: ["29"]}`,
			nil,
		},
		{
			"the last day of February in a leap year", "2028-02-27 00:00/2028-03-02 00:00",
			`{days_of_month: ["-1"]}`,
			[]string{"2028-02-29 00:00/2028-03-01 00:00"},
		},
		{
			"the last day of a month with a short day", "2026-03-28 12:00/2026-04-02 00:00",
			`{location: Europe/Berlin, days_of_month: ["-1"]}`,
			[]string{"2026-03-30 22:00/2026-03-31 22:00"},
		},
		{
			"a weekend that begins on Friday and wraps around the end of the week", "2026-11-18 00:00/2026-11-26 00:00",
			`{weekdays: ["friday:monday"]}`,
			[]string{"2026-11-20 00:00/2026-11-24 00:00"},
		},
		{
			"months and years", "2026-12-20 00:00/2027-01-10 00:00",
			`{months: ["january"], years: ["2027"], days_of_month: ["1:2"]}`,
			[]string{"2027-01-01 00:00/2027-01-03 00:00"},
		},
		{
			"several intervals at once", "2026-11-23 00:00/2026-11-24 00:00",
			`{times: [{start_time: "09:00", end_time: "12:00"}, {start_time: "13:00", end_time: "17:00"}]},
			 {times: [{start_time: "11:00", end_time: "13:00"}]}`,
			[]string{"2026-11-23 09:00/2026-11-23 17:00"},
		},
		{
			"cut at the ends of the window", "2026-11-23 10:30:30/2026-11-23 11:00:10",
			`{times: [{start_time: "09:00", end_time: "12:00"}]}`,
			[]string{"2026-11-23 10:30:30/2026-11-23 11:00:10"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, s := range needed(span(tc.window), tc.text) {
				got = append(got, showSpan(s))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("required (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRequiredAgreesWithAlertmanager asks Alertmanager's own package every minute
// around changes of clocks.
func TestRequiredAgreesWithAlertmanager(t *testing.T) {
	for _, zone := range []string{
		"UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns", "Africa/Casablanca",
		"Asia/Kathmandu", "Antarctica/Troll", "America/Sao_Paulo",
	} {
		for _, days := range []string{
			`weekdays: ["sunday", "friday:saturday"]`, `weekdays: ["saturday:sunday"]`, `days_of_month: ["-1", "26:28"]`,
		} {
			text := `{location: ` + zone + `, times: [{start_time: "00:10", end_time: "02:20"}, {start_time: "23:00", end_time: "24:00"}], ` + days + `}`
			agree(t, text)
		}
	}
}

func agree(t *testing.T, text string) {
	t.Helper()
	list := intervals("[{name: a, time_intervals: [" + text + "]}]")
	for _, window := range []string{
		"2026-03-27 00:00/2026-04-01 12:00", "2026-10-23 00:00/2026-10-27 00:00",
		"2026-10-02 00:00/2026-10-06 00:00", "2011-12-28 00:00/2012-01-02 00:00", "2028-02-27 13:07/2028-03-03 00:00",
	} {
		w := span(window)
		spans := needed(w, text)
		for at := w.Start; at.Before(w.End); at = at.Add(time.Minute) {
			got := false
			for _, s := range spans {
				got = got || covers(s, at)
			}
			if want := list[0].TimeIntervals[0].ContainsTime(at); got != want {
				t.Fatalf("%s, %v: got %v, want %v", text, at, got, want)
			}
		}
	}
}

func covers(s coverage.Span, at time.Time) bool { return !at.Before(s.Start) && at.Before(s.End) }
