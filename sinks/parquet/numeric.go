package parquet

import "math/bits"

// decimalBytes is the width of a DECIMAL(32,6): the least number of bytes whose
// two's complement holds 10^32-1.
const (
	decimalPrecision = 32
	decimalScale     = 6
	decimalBytes     = 14
)

// verdict is what became of a decimal in its numeric column.
type verdict uint8

const (
	exact verdict = iota
	rounded
	overflow // from 10^26 up: NULL
)

// number is an unsigned 128-bit integer.
type number struct{ hi, lo uint64 }

// limit is 10^32, the first unscaled value that a DECIMAL(32,6) cannot hold.
var limit = number{hi: 0x4ee2d6d415b, lo: 0x85acef8100000000}

func (n number) less(o number) bool {
	return n.hi < o.hi || n.hi == o.hi && n.lo < o.lo
}

// push returns 10·n + digit; n is below 10^37.
func (n number) push(digit uint64) number {
	carry, lo := bits.Mul64(n.lo, 10)
	hi := n.hi*10 + carry
	lo, c := bits.Add64(lo, digit, 0)
	return number{hi: hi + c, lo: lo}
}

// parseDecimal turns the text of a JSON number into its value times 10^6,
// rounded half away from zero, as the big-endian two's complement that Parquet
// stores. Its work is in proportion to the text: exponents are never expanded.
func parseDecimal(text []byte, out *[decimalBytes]byte) verdict {
	i, negative := 0, false
	if i < len(text) && text[i] == '-' {
		negative = true
		i++
	}
	begin := i
	digits, point := 0, -1 // digits of the mantissa, and those before the point
	significant := -1      // position of the first digit that is not 0
	end := i
	for ; end < len(text); end++ {
		c := text[end]
		if c == '.' {
			point = digits
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		if c != '0' && significant < 0 {
			significant = digits
		}
		digits++
	}
	if point < 0 {
		point = digits
	}
	*out = [decimalBytes]byte{}
	if significant < 0 {
		return exact // zero, whatever the exponent
	}
	exponent := parseExponent(text[end:])
	// keep is how many digits of the mantissa stand before the last kept place.
	keep := int64(point) + exponent + decimalScale
	if keep-int64(significant) > decimalPrecision {
		return overflow
	}
	var n number
	var at int64
	half, rest := false, false // the first digit dropped is 5 or more; any dropped one is not 0
	for _, c := range text[begin:end] {
		if c == '.' {
			continue
		}
		if at < keep {
			n = n.push(uint64(c - '0'))
		} else {
			if at == keep && c >= '5' {
				half = true
			}
			if c != '0' {
				rest = true
				if at > keep {
					break
				}
			}
		}
		at++
	}
	for ; at < keep; at++ {
		n = n.push(0)
	}
	if half {
		var c uint64
		n.lo, c = bits.Add64(n.lo, 1, 0)
		n.hi += c
	}
	if !n.less(limit) {
		return overflow
	}
	if negative {
		var borrow uint64
		n.lo, borrow = bits.Sub64(0, n.lo, 0)
		n.hi, _ = bits.Sub64(0, n.hi, borrow)
	}
	for k := range 8 {
		out[decimalBytes-1-k] = byte(n.lo >> (8 * k))
	}
	for k := range decimalBytes - 8 {
		out[decimalBytes-9-k] = byte(n.hi >> (8 * k))
	}
	if rest {
		return rounded
	}
	return exact
}

// farExponent stands for every exponent beyond it: no text is long enough for
// its digits to matter.
const farExponent = 1 << 40

// parseExponent reads "e+12"; an absent exponent is 0.
func parseExponent(text []byte) int64 {
	if len(text) == 0 {
		return 0
	}
	text = text[1:] // e or E
	negative := false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		negative = text[0] == '-'
		text = text[1:]
	}
	var e int64
	for _, c := range text {
		e = min(e*10+int64(c-'0'), farExponent)
	}
	if negative {
		return -e
	}
	return e
}
