package fhirjson

import (
	"bytes"
	"unicode/utf8"
)

// AppendUnescaped appends the text that the raw content of a JSON string
// stands for: raw is valid and has no quotes around it. A lone surrogate, which
// stands for no text, becomes U+FFFD.
func AppendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 || i+1 >= len(raw) {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		n := 2
		switch c := raw[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			var r rune
			if r, n = unescapeRune(raw, i); n < 0 {
				return append(dst, raw[i:]...)
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
		raw = raw[i+n:]
	}
}

// unescapeRune reads the \u escape, or the pair of them, at raw[i].
func unescapeRune(raw []byte, i int) (r rune, n int) {
	n, lone := escape(raw, i)
	switch {
	case n < 0:
		return 0, -1
	case lone:
		return utf8.RuneError, n
	}
	r = hex4(raw, i+2)
	if n == 12 {
		r = (r-0xd800)<<10 + (hex4(raw, i+8) - 0xdc00) + 0x10000
	}
	return r, n
}
