package fhirjson

// What the walking methods return instead of the place behind the value.
const (
	bad   = -1 // the line is invalid: the fault is noted
	wrong = -2 // the value is not what its column holds; nothing was emitted
)

// object walks the members of an object that has some, from the first on, and
// returns the place behind the closing brace.
//
// Objects of one element are much alike. So each node remembers which sibling
// followed it the last time, and that one's name is compared with the line in
// place; only when it is another is the name looked up.
func (w *Walker) object(n *Node, i int) int {
	b := w.line
	base := len(w.names.all)
	if n.Parent == nil {
		base = 0 // where the resourceType is noted already
	}
	var have uint64
	guess := &n.first
	for {
		if i < len(b) && b[i] == ' ' {
			i++
		}
		c := *guess
		if c == nil || !c.key.matches(b, i) {
			c = n.match(b, i)
		}
		if c != nil {
			i += c.key.size
			if c.bit == 0 && !w.names.addName(b, base, c.Name()) {
				return w.fail(i, reasonDuplicate)
			}
		} else {
			if c, i = w.member(n, base, i); i < 0 {
				return bad
			}
			if c == nil {
				goto next
			}
		}
		if have&c.bit != 0 {
			return w.fail(i, reasonDuplicate)
		}
		have |= c.bit
		if *guess != c {
			*guess = c
		}
		guess = &c.next
		if i < len(b) && b[i] <= ' ' {
			i = space(b, i)
		}
		if end := w.content(c, i); end >= 0 {
			i = end
		} else if end == bad {
			return bad
		} else if i = w.strayValue(c, i); i < 0 {
			return bad
		}
	next:
		if i < len(b) && b[i] <= ' ' {
			i = space(b, i)
		}
		if i >= len(b) {
			return w.fail(i, reasonEnd)
		}
		switch b[i] {
		case ',':
			i++
		case '}':
			if len(w.names.all) > base {
				w.names.pop(base)
			}
			return i + 1
		default:
			return w.fail(i, reasonComma)
		}
	}
}

// content walks the value of a member.
func (w *Walker) content(c *Node, i int) int {
	if c.shape == shapeList {
		return w.list(c, i)
	}
	return w.value(c, i)
}

// list walks an array and returns the place behind it.
func (w *Walker) list(c *Node, i int) int {
	b := w.line
	if i >= len(b) || b[i] != '[' {
		return wrong
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == ']' {
		return wrong
	}
	for c.Depth >= len(w.item) {
		w.item = append(w.item, 0)
	}
	h := w.h
	if h != nil {
		h.List(c)
	}
	for k := 0; ; k++ {
		w.item[c.Depth] = k
		if end := w.value(c, i); end >= 0 {
			i = end
		} else if end == bad {
			return bad
		} else if i = w.strayItem(c, i); i < 0 {
			return bad
		}
		if i < len(b) && b[i] <= ' ' {
			i = space(b, i)
		}
		if i >= len(b) {
			return w.fail(i, reasonEnd)
		}
		switch b[i] {
		case ',':
			i++
			if i < len(b) && b[i] <= ' ' {
				i = space(b, i)
			}
		case ']':
			if h != nil {
				h.EndList(c)
			}
			return i + 1
		default:
			return w.fail(i, reasonComma)
		}
	}
}

// value walks a single value or one item of a list.
func (w *Walker) value(c *Node, i int) int {
	b, h := w.line, w.h
	if i >= len(b) {
		return w.fail(i, reasonEnd)
	}
	switch c.item {
	case shapeString:
		if b[i] != '"' {
			return wrong
		}
		end, t := w.str(i + 1)
		if end < 0 {
			return bad
		}
		if t&textLone != 0 {
			return wrong
		}
		if !c.seen {
			w.see(c)
		}
		if c.mark != markNone {
			w.note(c.mark, b[i+1:end], t)
		}
		if h != nil {
			h.Scalar(c, Scalar{Raw: b[i+1 : end], Escaped: t != 0})
		}
		return end + 1

	case shapeStruct:
		if b[i] != '{' {
			return wrong
		}
		i = space(b, i+1)
		if i < len(b) && b[i] == '}' {
			return wrong
		}
		if h != nil {
			h.Struct(c)
		}
		if i = w.object(c, i); i >= 0 && h != nil {
			h.EndStruct(c)
		}
		return i
	}
	end := w.token(c, i)
	if end < 0 {
		return end
	}
	if !c.seen {
		w.see(c)
	}
	if h != nil {
		h.Scalar(c, Scalar{Raw: b[i:end]})
	}
	return end
}

// token returns the end of a number, a boolean or a contained resource.
func (w *Walker) token(c *Node, i int) int {
	first := w.line[i]
	switch c.item {
	case shapeInteger, shapeDecimal:
		if first != '-' && first-'0' > 9 {
			return wrong
		}
		end, integer := w.number(i)
		if end >= 0 && c.item == shapeInteger && !(integer && int32Text(w.line[i:end])) {
			return wrong
		}
		return end
	case shapeBoolean:
		switch first {
		case 't':
			return w.literal(i, "true")
		case 'f':
			return w.literal(i, "false")
		}
	case shapeResource:
		if first == '{' {
			depth := nesting(c.Parent)
			if c.shape == shapeList {
				depth++
			}
			return w.skip(i, depth)
		}
	}
	return wrong
}
