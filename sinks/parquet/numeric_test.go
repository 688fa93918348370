package parquet

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDecimal(t *testing.T) {
	for _, c := range []struct {
		text string
		want string // unscaled
		fate verdict
	}{
		{"0", "0", exact},
		{"-0", "0", exact},
		{"1.50", "1500000", exact},
		{"1E2", "100000000", exact},
		{"-1.5e-3", "-1500", exact},
		{"0.0000005", "1", rounded},
		{"-0.0000005", "-1", rounded},
		{"0.00000049", "0", rounded},
		{"0.0000004999999", "0", rounded},
		{"2.0000000", "2000000", exact},
		{"2.00000050", "2000001", rounded},
		{"1.23456789012345678901234567890123456789012345678901", "1234568", rounded},
		{"99999999999999999999999999", "99999999999999999999999999000000", exact},
		{"-99999999999999999999999999.999999", "-99999999999999999999999999999999", exact},
		{"99999999999999999999999999.9999995", "0", overflow},
		{"100000000000000000000000000", "0", overflow},
		{"1e26", "0", overflow},
		{"1e25", "10000000000000000000000000000000", exact},
		{"1e999999999", "0", overflow},
		{"1e99999999999999999999999999", "0", overflow},
		{"0e999999999", "0", exact},
		{"1e-999999999", "0", rounded},
		{"1e-99999999999999999999999999", "0", rounded},
		{"0." + strings.Repeat("0", 400) + "5e401", "5000000", exact},
		{strings.Repeat("9", 500) + "e-499", "10000000", rounded},
		{"0.5E-6", "1", rounded},
		{"0.05E-6", "0", rounded},
		{"10.000001E+0", "10000001", exact},
	} {
		var out [decimalBytes]byte
		fate := parseDecimal([]byte(c.text), &out)
		if got := unscaled(out[:]).String(); got != c.want || fate != c.fate {
			t.Errorf("parseDecimal(%.60s) = %s, %d; want %s, %d", c.text, got, fate, c.want, c.fate)
		}
	}
}

// unscaled reads the stored form.
func unscaled(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

// TestParseDecimalAgainstRat compares with exact arithmetic.
func TestParseDecimalAgainstRat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,34})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "decimal")
		value, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Skip()
		}
		scaled := new(big.Rat).Mul(value, big.NewRat(1_000_000, 1))
		// Half away from zero: floor(|x| + 1/2).
		sum := new(big.Rat).Add(new(big.Rat).Abs(scaled), big.NewRat(1, 2))
		want := new(big.Int).Quo(sum.Num(), sum.Denom())
		fate := exact
		if !scaled.IsInt() {
			fate = rounded
		}
		if want.Cmp(new(big.Int).Exp(big.NewInt(10), big.NewInt(32), nil)) >= 0 {
			want, fate = new(big.Int), overflow
		}
		if scaled.Sign() < 0 {
			want.Neg(want)
		}
		var out [decimalBytes]byte
		got := parseDecimal([]byte(text), &out)
		if unscaled(out[:]).Cmp(want) != 0 || got != fate {
			t.Fatalf("parseDecimal(%s) = %s, %d; want %s, %d", text, unscaled(out[:]), got, want, fate)
		}
	})
}

// FuzzParseDecimal: no text takes long or panics.
func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"1", "-1.5e3", "1e999999999", "e", "-", "1e", "1e+", ".", "1.2.3"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var out [decimalBytes]byte
		begin := time.Now()
		parseDecimal(text, &out)
		if d := time.Since(begin); d > time.Second {
			t.Errorf("%d bytes took %v", len(text), d)
		}
	})
}
