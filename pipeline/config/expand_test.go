package config

import (
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	look := env("A", "1", "EMPTY", "", "NESTED", "${A}")
	tests := []struct{ in, want, wrong string }{
		{"plain", "plain", ""},
		{"x${A}y${A}", "x1y1", ""},
		{"${EMPTY}", "", ""},
		{"${EMPTY:-d}", "d", ""},
		{"${UNSET:-d}", "d", ""},
		{"${UNSET:-}", "", ""},
		{"${NESTED}", "${A}", ""}, // once only
		{"$${A}", "${A}", ""},
		{"$A", "$A", ""},
		{"${UNSET}", "", "environment variable UNSET is not set"},
		{"${}", "", "does not hold the name"},
		{"${A-b}", "", "does not hold the name"},
		{"${A", "", "without its }"},
	}
	for _, test := range tests {
		got, err := expand(test.in, look)
		if test.wrong == "" && (err != nil || got != test.want) {
			t.Errorf("expand(%q) = %q, %v; want %q", test.in, got, err, test.want)
		}
		if test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)) {
			t.Errorf("expand(%q): %v, want %q", test.in, err, test.wrong)
		}
	}
}
