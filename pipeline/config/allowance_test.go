package config

import "testing"

func TestAllowance(t *testing.T) {
	for text, want := range map[string]Allowance{
		"0": {}, "0%": {}, "10": {Lines: 10}, "0.1%": {Share: 1000}, "0.0001%": {Share: 1},
		"33.3%": {Share: 333_000}, "100%": {Share: 1_000_000}, "100.0000%": {Share: 1_000_000},
	} {
		if got, err := ParseAllowance(text); err != nil || got != want {
			t.Errorf("ParseAllowance(%q) = %v, %v; want %v", text, got, err, want)
		}
		if got, err := ParseAllowance(want.String()); err != nil || got != want {
			t.Errorf("ParseAllowance(%q) = %v, %v; want %v", want.String(), got, err, want)
		}
	}
	for _, text := range []string{"", "%", "-1", "-1%", "1.5", "100.1%", "1000%", "0.00001%", ".1%", "1 %", "1%%", "ten", "99999999999999"} {
		if got, err := ParseAllowance(text); err == nil {
			t.Errorf("ParseAllowance(%q) = %v, want an error", text, got)
		}
	}
	for _, tt := range []struct {
		text           string
		bad, delivered int64
		want           bool
	}{
		{"0", 0, 0, true},
		{"0", 1, 1000, false},
		{"3", 3, 3, true},
		{"3", 4, 1 << 40, false},
		{"0.1%", 0, 0, true},
		{"0.1%", 1, 999, false},
		{"0.1%", 1, 1000, true},
		{"0.1%", 2, 1999, false},
		{"29%", 29, 100, true}, // no binary fraction
		{"29%", 30, 100, false},
		{"0.0001%", 1, 1_000_000, true},
		{"0.0001%", 1, 999_999, false},
		{"100%", 7, 7, true},
		{"99.9999%", 1 << 40, 1 << 40, false},
	} {
		a, err := ParseAllowance(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Allows(tt.bad, tt.delivered); got != tt.want {
			t.Errorf("%s of %d lines allows %d: %t, want %t", tt.text, tt.delivered, tt.bad, got, tt.want)
		}
		if early := a.Exceeded(tt.bad); early && tt.want || early && a.Share > 0 {
			t.Errorf("%s: %d bad lines are too many before the end", tt.text, tt.bad)
		}
	}
}
