package schedule

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestValidate(t *testing.T) {
	for _, good := range []string{"0 2 * * *", "*/15 * * * *", "30 1 1,15 * MON-FRI", " 5  4 * * sun "} {
		if err := Validate(good); err != nil {
			t.Errorf("Validate(%q) = %v, want nil", good, err)
		}
	}
	for _, bad := range []string{"", "0 2 * *", "0 2 * * * *", "61 2 * * *", "0 24 * * *", "@daily", "TZ=UTC 0 2 * * *", "a b c d e", "0 2 0 * *"} {
		if err := Validate(bad); err == nil {
			t.Errorf("Validate(%q) = nil, want an error", bad)
		}
	}
}

func TestNext(t *testing.T) {
	tests := []struct{ name, expr, tz, now, want string }{
		{"same day", "0 2 * * *", "UTC", "2025-05-01T01:59:59Z", "2025-05-01T02:00:00Z"},
		{"strictly after", "0 2 * * *", "UTC", "2025-05-01T02:00:00Z", "2025-05-02T02:00:00Z"},
		{"zone", "0 2 * * *", "Europe/Berlin", "2025-05-01T01:00:00Z", "2025-05-02T00:00:00Z"},
		{"either day field", "0 0 13 * FRI", "UTC", "2025-05-03T00:00:00Z", "2025-05-09T00:00:00Z"},
		// Berlin, 30 March 2025: 02:00 CET becomes 03:00 CEST at 01:00Z.
		{"spring, the hour is skipped", "30 2 * * *", "Europe/Berlin", "2025-03-29T12:00:00Z", "2025-03-30T01:30:00Z"},
		{"spring, the day after", "30 2 * * *", "Europe/Berlin", "2025-03-30T01:30:00Z", "2025-03-31T00:30:00Z"},
		// 26 October 2025: 03:00 CEST becomes 02:00 CET at 01:00Z; 02:30 comes twice.
		{"autumn, first", "30 2 * * *", "Europe/Berlin", "2025-10-25T12:00:00Z", "2025-10-26T00:30:00Z"},
		{"autumn, not twice", "30 2 * * *", "Europe/Berlin", "2025-10-26T00:30:00Z", "2025-10-27T01:30:00Z"},
		{"autumn, between the two", "30 2 * * *", "Europe/Berlin", "2025-10-26T01:10:00Z", "2025-10-27T01:30:00Z"},
		{"autumn, every half hour goes on", "*/30 * * * *", "Europe/Berlin", "2025-10-26T00:30:00Z", "2025-10-26T01:00:00Z"},
		{"autumn, hours later is not the repeat", "30 3 * * *", "Europe/Berlin", "2025-10-26T01:10:00Z", "2025-10-26T02:30:00Z"},
		{"half-hour change", "45 1 * * *", "Australia/Lord_Howe", "2025-04-05T14:45:00Z", "2025-04-06T15:15:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Next(tt.expr, tt.tz, at(t, tt.now))
			if err != nil {
				t.Fatal(err)
			}
			if want := at(t, tt.want); !got.Equal(want) {
				t.Errorf("Next(%q, %s, %s) = %s, want %s", tt.expr, tt.tz, tt.now, got.UTC().Format(time.RFC3339), tt.want)
			}
		})
	}
}

// Every zone, a whole year: a daily job runs exactly once on each local date,
// whatever the clocks do.
func TestNextOnceEachLocalDate(t *testing.T) {
	for _, tz := range []string{"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kolkata", "America/Havana", "Africa/Cairo"} {
		for _, expr := range []string{"30 2 * * *", "0 0 * * *", "30 1 * * *", "59 23 * * *", "15 3 * * *"} {
			zone, err := time.LoadLocation(tz)
			if err != nil {
				t.Fatal(err)
			}
			// A year with the old Brazilian rules, where midnight is skipped.
			now := time.Date(2018, 1, 1, 23, 59, 30, 0, zone)
			end := now.AddDate(1, 0, 0)
			day := now
			for {
				next, err := Next(expr, tz, now)
				if err != nil {
					t.Fatal(err)
				}
				if !next.After(now) {
					t.Fatalf("%s %q: Next(%s) = %s goes back", tz, expr, now, next)
				}
				day = time.Date(day.Year(), day.Month(), day.Day()+1, 12, 0, 0, 0, zone)
				if got, want := next.In(zone).Format(time.DateOnly), day.Format(time.DateOnly); got != want {
					t.Fatalf("%s %q after %s: date %s, want %s", tz, expr, now, got, want)
				}
				if now = next; now.After(end) {
					break
				}
			}
		}
	}
}

func TestNextNever(t *testing.T) {
	got, err := Next("0 0 30 2 *", "UTC", at(t, "2025-01-01T00:00:00Z"))
	if err != nil || !got.IsZero() {
		t.Errorf("Next of 30 February = %v, %v; want zero, nil", got, err)
	}
}

func TestNextBadZone(t *testing.T) {
	_, err := Next("0 0 * * *", "Middle/Earth", time.Now())
	if err == nil || !strings.Contains(err.Error(), "IANA") {
		t.Errorf("error = %v, want one that names IANA zones", err)
	}
}

func TestDue(t *testing.T) {
	tests := []struct{ name, expr, last, now, want string }{
		{"nothing yet", "0 2 * * *", "", "2025-05-01T03:00:00Z", ""},
		{"missed one", "0 2 * * *", "2025-04-30T02:00:00Z", "2025-05-01T03:00:00Z", "2025-05-01T02:00:00Z"},
		{"missed many, newest", "0 2 * * *", "2025-01-01T02:00:00Z", "2025-05-01T03:00:00Z", "2025-05-01T02:00:00Z"},
		{"up to date", "0 2 * * *", "2025-05-01T02:00:00Z", "2025-05-01T03:00:00Z", ""},
		{"on the dot", "0 2 * * *", "2025-04-30T02:00:00Z", "2025-05-01T02:00:00Z", "2025-05-01T02:00:00Z"},
		{"rare", "0 0 1 1 *", "2020-05-01T00:00:00Z", "2025-05-01T00:00:00Z", "2025-01-01T00:00:00Z"},
		{"each minute for years", "* * * * *", "2015-05-01T00:00:00Z", "2025-05-01T00:00:30Z", "2025-05-01T00:00:00Z"},
		{"clock went back", "0 2 * * *", "2025-06-01T00:00:00Z", "2025-05-01T00:00:00Z", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var last time.Time
			if tt.last != "" {
				last = at(t, tt.last)
			}
			got, ok, err := Due(tt.expr, "UTC", last, at(t, tt.now))
			if err != nil {
				t.Fatal(err)
			}
			if ok != (tt.want != "") || ok && !got.Equal(at(t, tt.want)) {
				t.Errorf("Due = %v, %v; want %q", got, ok, tt.want)
			}
		})
	}
}

func FuzzValidate(f *testing.F) {
	for _, s := range []string{"0 2 * * *", "*/5 1-3,9 L * 1#2", "60 * * * *", "\x00 * * * *"} {
		f.Add(s)
	}
	now := time.Date(2025, 10, 25, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, expr string) {
		if Validate(expr) != nil {
			return
		}
		next, err := Next(expr, "Europe/Berlin", now)
		if err != nil {
			t.Fatalf("valid %q: %v", expr, err)
		}
		if !next.IsZero() && !next.After(now) {
			t.Fatalf("Next(%q) = %s is not after now", expr, next)
		}
	})
}
