package fhirjson

import "math/bits"

// typeName finds the resourceType of the resource whose brace is at i without
// validating anything; the walk that follows does. It returns nil when the
// member is missing or no string.
func (w *Walker) typeName(i int) []byte {
	b := w.line
	for i = space(b, i+1); i < len(b) && b[i] == '"'; i = space(b, i+1) {
		name, end := w.plain(i)
		i = space(b, end)
		if i >= len(b) || b[i] != ':' {
			return nil
		}
		if i = space(b, i+1); i >= len(b) {
			return nil
		}
		if string(name) == "resourceType" {
			if b[i] != '"' {
				return nil
			}
			name, _ = w.plain(i)
			return name
		}
		if i = space(b, rawValue(b, i)); i >= len(b) || b[i] != ',' {
			return nil
		}
	}
	return nil
}

// plain returns the decoded text of the string whose opening quote is at i, and
// the place behind its closing quote.
func (w *Walker) plain(i int) (content []byte, end int) {
	end, escaped := rawString(w.line, i)
	if end > len(w.line) {
		return nil, len(w.line)
	}
	content = w.line[i+1 : end-1]
	if escaped {
		w.path = AppendUnescaped(w.path[:0], content)
		content = w.path
	}
	return content, end
}

// rawString returns the place behind the string whose opening quote is at i,
// more than the line's length when it does not end.
func rawString(b []byte, i int) (end int, escaped bool) {
	i++
	for {
		for len(b)-i >= 8 {
			if m := specialASCII(load(b, i)); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		switch {
		case i >= len(b):
			return len(b) + 1, escaped
		case b[i] == '"':
			return i + 1, escaped
		case b[i] == '\\':
			escaped = true
			i++
		}
		i++
	}
}

// rawValue returns the place behind the value at i.
func rawValue(b []byte, i int) int {
	for depth := 0; i < len(b); {
		switch b[i] {
		case '"':
			i, _ = rawString(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
			i++
		case ',':
			if depth == 0 {
				return i
			}
			i++
		default:
			i++
			continue
		}
		if depth == 0 {
			return i
		}
	}
	return i
}
