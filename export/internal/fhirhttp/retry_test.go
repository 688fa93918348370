package fhirhttp

import (
	"net/http"
	"testing"
	"time"
)

var noon = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

func TestF20RetryAfter(t *testing.T) {
	for _, tc := range []struct {
		header string
		want   time.Duration
		ok     bool
	}{
		{"", 0, false},
		{"  ", 0, false},
		{"soon", 0, false},
		{"12 monkeys", 0, false},
		{"NaN", 0, false},
		{"0x10", 0, false},
		{"--", 0, false},
		{"1e999", 0, false},
		{"0", 0, true},
		{"-7", 0, true},
		{"120", 2 * time.Minute, true},
		{" 120 ", 2 * time.Minute, true},
		{"0.5", 500 * time.Millisecond, true},
		{"18000", 5 * time.Hour, true},
		{noon.Add(time.Minute).Format(http.TimeFormat), time.Minute, true},
		{noon.Add(-time.Hour).Format(http.TimeFormat), 0, true},
		{noon.Add(time.Minute).Format(time.RFC850), time.Minute, true},
		// Epoch seconds and milliseconds.
		{"1740830460", time.Minute, true},
		{"1740830460000", time.Minute, true},
		{"1.7e12", 0, true}, // November 2023: over
		{"1e300", 1e9 * time.Second, true},
	} {
		got, ok := RetryAfter(tc.header, noon)
		if got != tc.want || ok != tc.ok {
			t.Errorf("RetryAfter(%q) = %v, %v; want %v, %v", tc.header, got, ok, tc.want, tc.ok)
		}
	}
}

func TestF20WaitsAreClampedAndJittered(t *testing.T) {
	w := Waits{Min: time.Second, Max: time.Minute}
	for _, tc := range []struct {
		name    string
		attempt int
		after   string
		random  float64
		want    time.Duration
	}{
		{"first back-off", 0, "", 0, time.Second},
		{"doubles", 3, "", 0, 8 * time.Second},
		{"jitter halves at most", 3, "", 0.999999, 4*time.Second + 4*time.Microsecond},
		{"never under the minimum", 0, "", 0.9, time.Second},
		{"cut to the maximum", 10, "", 0, time.Minute},
		{"no overflow", 1 << 30, "", 0, time.Minute},
		{"negative attempt", -3, "", 0, time.Second},
		{"as asked", 0, "10", 0, 10 * time.Second},
		{"never before it was asked", 9, "10", 0.5, 10*time.Second + 500*time.Millisecond},
		{"five hours", 0, "18000", 0, time.Minute},
		{"a day", 0, "86400", 0.5, time.Minute - 2950*time.Millisecond},
		{"in the past", 0, "-5", 0, time.Second},
		{"garbage backs off", 2, "soon", 0, 4 * time.Second},
	} {
		got := w.Next(noon, tc.attempt, tc.after, tc.random)
		if d := got - tc.want; d < -time.Millisecond || d > time.Millisecond {
			t.Errorf("%s: Next(%d, %q, %v) = %v, want %v", tc.name, tc.attempt, tc.after, tc.random, got, tc.want)
		}
	}
	if got := (Waits{}).Next(noon, 60, "", 0); got != 5*time.Minute {
		t.Errorf("default maximum is %v, want 5m", got)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "5", "-1", "1.7e12", "1e308", noon.Format(http.TimeFormat), "0x1p4", "+", "."} {
		f.Add(s, 3)
	}
	w := Waits{Min: time.Second, Max: time.Minute}
	f.Fuzz(func(t *testing.T, header string, attempt int) {
		if d, ok := RetryAfter(header, noon); d < 0 || !ok && d != 0 {
			t.Errorf("RetryAfter(%q) = %v, %v", header, d, ok)
		}
		for _, r := range []float64{0, 0.5, 0.9999} {
			if d := w.Next(noon, attempt, header, r); d < w.Min || d > w.Max {
				t.Errorf("Next(%d, %q, %v) = %v, out of bounds", attempt, header, r, d)
			}
		}
	})
}
