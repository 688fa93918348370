package config

import (
	"testing"
	"time"
)

func TestUnits(t *testing.T) {
	durations := map[string]time.Duration{
		"10m": 10 * time.Minute, "36h": 36 * time.Hour, "7d": 168 * time.Hour, "1d12h": 36 * time.Hour,
		"1.5h": 90 * time.Minute, "250ms": 250 * time.Millisecond, "2w": 336 * time.Hour,
	}
	for in, want := range durations {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "7", "d", "-1h", "1 h", "1y", "1e3s", "9999999w9999999w9999999999w"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", in, got)
		}
	}
	sizes := map[string]int64{"0B": 0, "1KB": 1000, "1KiB": 1024, "256MiB": 256 << 20, "1.5GiB": 3 << 29, "2TB": 2e12, "4 MiB": 4 << 20}
	for in, want := range sizes {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "5", "5M", "-1MB", "99999999999TB", "1mib"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %v, want an error", in, got)
		}
	}
}
