package rebuild

import (
	"bytes"
	"sort"
	"unicode/utf8"
)

// Kinds of JSON values.
const (
	null   = iota // the zero value
	scalar        // true, false, a number or a string; or any JSON text, kept as it is
	object
	array
)

// value is a JSON value in memory.
type value struct {
	kind    int
	text    []byte // of a scalar, as it stands in JSON
	names   []string
	members []*value // of an object, beside names
	items   []*value
}

// member returns the member of an object; a new one is null.
func (v *value) member(name string) *value {
	for i, n := range v.names {
		if n == name {
			return v.members[i]
		}
	}
	m := &value{}
	v.names = append(v.names, name)
	v.members = append(v.members, m)
	return m
}

// find returns the member of an object, nil when there is none.
func (v *value) find(name string) *value {
	for i, n := range v.names {
		if n == name {
			return v.members[i]
		}
	}
	return nil
}

// item returns the item of an array, which is filled up with nulls.
func (v *value) item(i int) *value {
	for len(v.items) <= i {
		v.items = append(v.items, &value{})
	}
	return v.items[i]
}

// append appends the JSON text.
func (v *value) append(dst []byte) []byte {
	switch v.kind {
	case scalar:
		return append(dst, v.text...)
	case object:
		dst = append(dst, '{')
		for i, m := range v.members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, []byte(v.names[i]))
			dst = append(dst, ':')
			dst = m.append(dst)
		}
		return append(dst, '}')
	case array:
		dst = append(dst, '[')
		for i, m := range v.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = m.append(dst)
		}
		return append(dst, ']')
	}
	return append(dst, "null"...)
}

// sort puts the members of all objects in the order of their names.
func (v *value) sort() {
	sort.Sort(byName{v})
	for _, m := range v.members {
		m.sort()
	}
	for _, m := range v.items {
		m.sort()
	}
}

type byName struct{ *value }

func (b byName) Len() int           { return len(b.names) }
func (b byName) Less(i, j int) bool { return b.names[i] < b.names[j] }
func (b byName) Swap(i, j int) {
	b.names[i], b.names[j] = b.names[j], b.names[i]
	b.members[i], b.members[j] = b.members[j], b.members[i]
}

// appendString appends a text as a JSON string with the fewest escapes. Bytes
// that are a lone surrogate in the generalized UTF-8 of unquote become its
// escape again.
func appendString(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for len(text) > 0 {
		i := bytes.IndexFunc(text, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == utf8.RuneError })
		if i < 0 {
			dst = append(dst, text...)
			break
		}
		dst = append(dst, text[:i]...)
		text = text[i:]
		switch {
		case text[0] == '"' || text[0] == '\\':
			dst = append(dst, '\\', text[0])
			text = text[1:]
		case text[0] < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[text[0]>>4], hex[text[0]&15])
			text = text[1:]
		case len(text) >= 3 && text[0] == 0xED && text[1]>>5 == 5 && text[2]>>6 == 2:
			r := rune(text[0]&15)<<12 | rune(text[1]&63)<<6 | rune(text[2]&63)
			dst = append(dst, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
			text = text[3:]
		default: // U+FFFD itself
			_, n := utf8.DecodeRune(text)
			dst = append(dst, text[:n]...)
			text = text[n:]
		}
	}
	return append(dst, '"')
}
