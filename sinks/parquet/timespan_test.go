package parquet

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flue-fhir/flue/internal/definition"
)

func TestParseSpan(t *testing.T) {
	const (
		d  = definition.Date
		dt = definition.DateTime
		in = definition.Instant
	)
	for _, c := range []struct {
		text       string
		kind       definition.Kind
		start, end string // RFC 3339; "" when the text is not valid
	}{
		{"2015", d, "2015-01-01T00:00:00Z", "2015-12-31T23:59:59.999999Z"},
		{"2015-02", d, "2015-02-01T00:00:00Z", "2015-02-28T23:59:59.999999Z"},
		{"2016-12", dt, "2016-12-01T00:00:00Z", "2016-12-31T23:59:59.999999Z"},
		{"2016-02-29", d, "2016-02-29T00:00:00Z", "2016-02-29T23:59:59.999999Z"},
		{"0001", d, "0001-01-01T00:00:00Z", "0001-12-31T23:59:59.999999Z"},
		{"9999-12-31", d, "9999-12-31T00:00:00Z", "9999-12-31T23:59:59.999999Z"},
		{"2015-02-07T13:28:17Z", dt, "2015-02-07T13:28:17Z", "2015-02-07T13:28:17.999999Z"},
		{"2015-02-07T13:28:17-05:00", dt, "2015-02-07T18:28:17Z", "2015-02-07T18:28:17.999999Z"},
		{"2015-02-07T13:28:17+05:30", dt, "2015-02-07T07:58:17Z", "2015-02-07T07:58:17.999999Z"},
		{"2015-02-07T13:28:17+14:00", dt, "2015-02-06T23:28:17Z", "2015-02-06T23:28:17.999999Z"},
		{"2015-02-07T13:28:17", dt, "2015-02-07T13:28:17Z", "2015-02-07T13:28:17.999999Z"},
		{"2015-02-07T13:28:17.1Z", in, "2015-02-07T13:28:17.1Z", "2015-02-07T13:28:17.199999Z"},
		{"2015-02-07T13:28:17.239+02:00", in, "2015-02-07T11:28:17.239Z", "2015-02-07T11:28:17.239999Z"},
		{"2015-02-07T13:28:17.123456Z", in, "2015-02-07T13:28:17.123456Z", "2015-02-07T13:28:17.123456Z"},
		{"2015-02-07T13:28:17.123456789Z", in, "2015-02-07T13:28:17.123456Z", "2015-02-07T13:28:17.123456Z"},
		{"2016-12-31T23:59:60Z", in, "2016-12-31T23:59:59.999999Z", "2016-12-31T23:59:59.999999Z"},
		{"2016-12-31T23:59:60.5Z", in, "2016-12-31T23:59:59.999999Z", "2016-12-31T23:59:59.999999Z"},
		{"1969-12-31T23:59:59.999999Z", in, "1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
		{"", d, "", ""},
		{"0000", d, "", ""},
		{"201", d, "", ""},
		{"20155", d, "", ""},
		{"2015-", d, "", ""},
		{"2015-13", d, "", ""},
		{"2015-00", d, "", ""},
		{"2015-02-29", d, "", ""},
		{"1900-02-29", d, "", ""},
		{"2015-04-31", d, "", ""},
		{"2015-1-1", d, "", ""},
		{"2015-02-07T13:28:17Z", d, "", ""},
		{"2015-02-07", in, "", ""},
		{"2015", in, "", ""},
		{"2015-02-07T13:28Z", dt, "", ""},
		{"2015-02-07T24:00:00Z", dt, "", ""},
		{"2015-02-07T13:60:00Z", dt, "", ""},
		{"2015-02-07T13:28:61Z", dt, "", ""},
		{"2015-02-07T13:28:17.Z", dt, "", ""},
		{"2015-02-07T13:28:17z", dt, "", ""},
		{"2015-02-07 13:28:17Z", dt, "", ""},
		{"2015-02-07T13:28:17+15:00", dt, "", ""},
		{"2015-02-07T13:28:17+0500", dt, "", ""},
		{"2015-02-07T13:28:17Zx", dt, "", ""},
		{" 2015", d, "", ""},
		{"２０１５", d, "", ""},
	} {
		start, end, ok := parseSpan([]byte(c.text), c.kind)
		if !ok {
			if c.start != "" {
				t.Errorf("parseSpan(%q) is not valid", c.text)
			}
			continue
		}
		got := fmt.Sprint(stamp(start), " ", stamp(end))
		if want := c.start + " " + c.end; got != want {
			t.Errorf("parseSpan(%q) = %s, want %s", c.text, got, want)
		}
	}
}

func stamp(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339Nano) }

// TestCivilAgainstTime compares the calendar with that of package time.
func TestCivilAgainstTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := time.Date(rapid.IntRange(1, 10000).Draw(t, "year"), time.Month(rapid.IntRange(1, 12).Draw(t, "month")), rapid.IntRange(1, 28).Draw(t, "day"), 0, 0, 0, 0, time.UTC)
		if got := civil(want.Year(), int(want.Month()), want.Day()); got != want.UnixMicro() {
			t.Fatalf("%v: got %d, want %d", want, got, want.UnixMicro())
		}
	})
}

// FuzzParseSpan: what is accepted with seconds and offset is what package time
// reads, and a span never ends before it begins.
func FuzzParseSpan(f *testing.F) {
	for _, s := range []string{"2015", "2015-02", "2015-02-07", "2015-02-07T13:28:17.239+02:00", "2016-12-31T23:59:60Z"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		start, end, ok := parseSpan(text, definition.DateTime)
		if !ok {
			return
		}
		if end < start {
			t.Fatalf("%q ends before it begins", text)
		}
		if want, err := time.Parse(time.RFC3339Nano, string(text)); err == nil && want.Year() > 0 {
			if start != want.UnixMicro() {
				t.Fatalf("%q: got %s, want %s", text, stamp(start), stamp(want.UnixMicro()))
			}
		}
	})
}
