package fhirjson

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// text tells what is special about a JSON string.
type text uint8

const (
	textEscaped text = 1 << iota // it holds escapes
	textLone                     // it holds an escaped lone surrogate
)

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

func load(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

// special marks, in the high bit of its byte, the first byte of x that ends the
// plain part of a string: a quote, a backslash, a control character or one that
// is not ASCII. Marks above the first may be wrong.
func special(x uint64) uint64 {
	quote := x ^ lows*'"'
	slash := x ^ lows*'\\'
	return ((quote-lows)&^quote | (slash-lows)&^slash | (x-lows*0x20)&^x | x) & highs
}

// specialASCII is special without the bytes that are not ASCII.
func specialASCII(x uint64) uint64 {
	quote := x ^ lows*'"'
	slash := x ^ lows*'\\'
	return ((quote-lows)&^quote | (slash-lows)&^slash | (x-lows*0x20)&^x) & highs
}

// str scans the string whose content begins at i and returns the place of its
// closing quote, or -1 after a fault.
func (w *Walker) str(i int) (end int, t text) {
	b := w.line
	for len(b)-i >= 8 {
		if m := special(load(b, i)); m != 0 {
			i += bits.TrailingZeros64(m) >> 3
			if b[i] == '"' {
				return i, 0
			}
			return w.strSlow(i)
		}
		i += 8
	}
	return w.strSlow(i)
}

// strSlow is str from the first byte on that is not plain, or near the end of
// the line.
func (w *Walker) strSlow(i int) (end int, t text) {
	b := w.line
	start, ascii := i, true
	for {
		for len(b)-i >= 8 {
			x := load(b, i)
			if x&highs != 0 {
				ascii = false
			}
			if m := specialASCII(x); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return w.fail(len(b), reasonEnd), 0
		}
		switch c := b[i]; {
		case c == '"':
			if !ascii && !utf8.Valid(b[start:i]) {
				return w.fail(start+validUTF8(b[start:i]), reasonUTF8), 0
			}
			return i, t
		case c == '\\':
			n, lone := escape(b, i)
			if n < 0 {
				return w.fail(i, reasonEscape), 0
			}
			i += n
			t |= textEscaped
			if lone {
				t |= textLone
			}
		case c < 0x20:
			return w.fail(i, reasonControl), 0
		default:
			if c >= utf8.RuneSelf {
				ascii = false
			}
			i++
		}
	}
}

// validUTF8 returns the length of b's part before the first fault.
func validUTF8(b []byte) int {
	i := 0
	for i < len(b) {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		i += size
	}
	return i
}

// escape returns the length of the escape at b[i], a surrogate pair being one,
// and whether it is a lone surrogate; -1 when it is none.
func escape(b []byte, i int) (n int, lone bool) {
	if i+1 >= len(b) {
		return -1, false
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, false
	case 'u':
	default:
		return -1, false
	}
	r := hex4(b, i+2)
	switch {
	case r < 0:
		return -1, false
	case r < 0xd800 || r > 0xdfff:
		return 6, false
	case r < 0xdc00 && i+7 < len(b) && b[i+6] == '\\' && b[i+7] == 'u':
		if low := hex4(b, i+8); low >= 0xdc00 && low <= 0xdfff {
			return 12, false
		}
	}
	return 6, true
}

// hex4 reads four hexadecimal digits, -1 when they are not there.
func hex4(b []byte, i int) rune {
	if i+4 > len(b) {
		return -1
	}
	r := rune(0)
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// number scans the number at i and returns its end, or -1 after a fault.
// integer is false when it has a fraction or an exponent.
func (w *Walker) number(i int) (end int, integer bool) {
	b := w.line
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		return w.fail(i, reasonEnd), false
	case b[i] == '0':
		i++
	case b[i] >= '1' && b[i] <= '9':
		i = digits(b, i)
	default:
		return w.fail(i, reasonNumber), false
	}
	integer = true
	if i < len(b) && b[i] == '.' {
		integer = false
		start := i + 1
		if i = digits(b, start); i == start {
			return w.fail(i, reasonNumber), false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		integer = false
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start := i
		if i = digits(b, start); i == start {
			return w.fail(i, reasonNumber), false
		}
	}
	return i, integer
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' < 10 {
		i++
	}
	return i
}

// int32Text reports whether the text of an integer is what a 32-bit column
// gives back: -0 is not, nor is anything out of its range.
func int32Text(b []byte) bool {
	negative := b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) > 10 || negative && b[0] == '0' {
		return false
	}
	n := int64(0)
	for _, c := range b {
		n = n*10 + int64(c-'0')
	}
	return n <= 1<<31-1 || negative && n == 1<<31
}

// space skips white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// literal returns the end of the word at i, or -1 after a fault.
func (w *Walker) literal(i int, word string) int {
	if len(w.line)-i < len(word) {
		return w.fail(len(w.line), reasonEnd)
	}
	if string(w.line[i:i+len(word)]) != word {
		return w.fail(i, reasonValue)
	}
	return i + len(word)
}
