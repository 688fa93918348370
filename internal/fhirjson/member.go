package fhirjson

import "github.com/flue-fhir/flue/internal/definition"

// matches reports whether the key stands at b[i:]. Close to the end of the line
// it says no, even if it does: the caller then reads the name.
func (k *memberKey) matches(b []byte, i int) bool {
	if len(b)-i < k.size+8 {
		return false
	}
	if (load(b, i)^k.head)&k.mask != 0 {
		return false
	}
	if k.size <= 8 {
		return true
	}
	end := i + k.size
	return load(b, end-8) == k.tail && (k.size <= 16 || string(b[i+8:end-8]) == k.middle)
}

// match returns the child whose key stands at b[i:], or nil.
func (n *Node) match(b []byte, i int) *Node {
	for _, c := range n.Children {
		if c.key.matches(b, i) {
			return c
		}
	}
	return nil
}

// member reads the member name at i and returns its node and the place of the
// value. When there is no node for it, the node is nil and the place is behind
// the value, which went to Unmapped.
func (w *Walker) member(n *Node, base, i int) (*Node, int) {
	b := w.line
	i = space(b, i)
	if i >= len(b) {
		return nil, w.fail(i, reasonEnd)
	}
	at, size, i := w.name(i)
	if i < 0 {
		return nil, bad
	}
	name := w.names.text(b, at, size)
	if c := n.child(name); c != nil {
		if c.bit == 0 && !w.names.add(b, base, at, size) {
			return nil, w.fail(i, reasonDuplicate)
		}
		return c, i
	}
	if !w.names.add(b, base, at, size) {
		return nil, w.fail(i, reasonDuplicate)
	}
	if n.Parent == nil && string(name) == "resourceType" {
		return nil, w.skip(i, 1)
	}
	if e, companion := n.define(name); e != nil && w.grows(n, e, companion, i) {
		return w.tree.add(n, e, companion), i
	}
	return nil, w.stray(n, string(name), i)
}

// name reads the member name at i, its colon and the space around that, and
// returns where the name lies, as in names.add, and the place of the value.
func (w *Walker) name(i int) (at, size, value int) {
	b := w.line
	if b[i] != '"' {
		return 0, 0, w.fail(i, reasonName)
	}
	at = i + 1
	end, t := w.str(at)
	switch {
	case end < 0:
		return 0, 0, bad
	case t&textLone != 0:
		return 0, 0, w.fail(at, reasonSurrogate)
	}
	size = end - at
	if t != 0 {
		start := len(w.names.arena)
		w.names.arena = AppendUnescaped(w.names.arena, b[at:end])
		at, size = ^start, len(w.names.arena)-start
	}
	i = space(b, end+1)
	switch {
	case i >= len(b):
		return 0, 0, w.fail(i, reasonEnd)
	case b[i] != ':':
		return 0, 0, w.fail(i, reasonColon)
	}
	return at, size, space(b, i+1)
}

// grows reports whether the value at i may bring a node for the element below n.
func (w *Walker) grows(n *Node, e *definition.Element, companion bool, i int) bool {
	b := w.line
	leaf := !companion && e.Kind != definition.Complex
	if w.tree.Frozen || i >= len(b) || !w.tree.room(n, leaf) {
		return false
	}
	first := b[i]
	if e.List {
		if first != '[' {
			return false
		}
		i = space(b, i+1)
		return i < len(b) && b[i] != ']'
	}
	switch {
	case !leaf:
		i = space(b, i+1)
		return first == '{' && i < len(b) && b[i] != '}'
	case e.Kind == definition.Resource:
		return first == '{'
	case e.Kind == definition.Boolean:
		return first == 't' || first == 'f'
	case e.Kind == definition.Integer || e.Kind == definition.Decimal:
		return first == '-' || first-'0' <= 9
	}
	return first == '"'
}

// typeName finds the resourceType of the resource whose brace is at i without
// validating anything; the walk that follows does. It returns nil when the
// member is missing or no string.
func (w *Walker) typeName(i int) []byte {
	b := w.line
	for i = space(b, i+1); i < len(b) && b[i] == '"'; i = space(b, i+1) {
		name, end := rawString(b, i)
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
			name, _ = rawString(b, i)
			return name
		}
		if i = space(b, rawValue(b, i)); i >= len(b) || b[i] != ',' {
			return nil
		}
	}
	return nil
}

// rawString returns the text of the string whose opening quote is at i, and the
// place behind its closing quote.
func rawString(b []byte, i int) (content []byte, end int) {
	i++
	start, escaped := i, false
	for i < len(b) && b[i] != '"' {
		if b[i] == '\\' {
			escaped = true
			i++
		}
		i++
	}
	if i >= len(b) {
		return nil, len(b)
	}
	if escaped {
		return AppendUnescaped(nil, b[start:i]), i + 1
	}
	return b[start:i], i + 1
}

// rawValue returns the place behind the value at i.
func rawValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			_, i = rawString(b, i)
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
