package fhirjson

// maxNesting is how deep objects and arrays of a line may be nested. It is the
// limit of Go's encoding/json, far above anything in use and low enough for a
// stack.
const maxNesting = 10_000

// nesting is how many containers are open around a member of the object n.
func nesting(n *Node) int {
	depth := 0
	for ; n != nil; n = n.Parent {
		depth++
		if n.IsList() {
			depth++
		}
	}
	return depth
}

// skip validates the value at i, which lies in depth containers, and returns
// the place behind it. It is for what has no node: unknown members, wrong
// kinds, contained resources.
func (w *Walker) skip(i, depth int) int {
	b := w.line
	if i >= len(b) {
		return w.fail(i, reasonEnd)
	}
	switch c := b[i]; c {
	case '"':
		end, _ := w.str(i + 1)
		if end < 0 {
			return bad
		}
		return end + 1
	case '{', '[':
		if depth >= maxNesting {
			return w.fail(i, reasonNesting)
		}
		if c == '{' {
			return w.skipObject(i+1, depth+1)
		}
		return w.skipArray(i+1, depth+1)
	case 't':
		return w.literal(i, "true")
	case 'f':
		return w.literal(i, "false")
	case 'n':
		return w.literal(i, "null")
	default:
		if c != '-' && c-'0' > 9 {
			return w.fail(i, reasonValue)
		}
		end, _ := w.number(i)
		return end
	}
}

func (w *Walker) skipObject(i, depth int) int {
	b := w.line
	base := len(w.names.all)
	if i = space(b, i); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(b) {
			return w.fail(i, reasonEnd)
		}
		at, size, value := w.name(i)
		if value < 0 {
			return bad
		}
		if !w.names.add(b, base, at, size) {
			return w.fail(i, reasonDuplicate)
		}
		if i = w.skip(value, depth); i < 0 {
			return bad
		}
		if i = space(b, i); i >= len(b) {
			return w.fail(i, reasonEnd)
		}
		switch b[i] {
		case ',':
			i = space(b, i+1)
		case '}':
			w.names.pop(base)
			return i + 1
		default:
			return w.fail(i, reasonComma)
		}
	}
}

func (w *Walker) skipArray(i, depth int) int {
	b := w.line
	if i = space(b, i); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = w.skip(i, depth); i < 0 {
			return bad
		}
		if i = space(b, i); i >= len(b) {
			return w.fail(i, reasonEnd)
		}
		switch b[i] {
		case ',':
			i = space(b, i+1)
		case ']':
			return i + 1
		default:
			return w.fail(i, reasonComma)
		}
	}
}
