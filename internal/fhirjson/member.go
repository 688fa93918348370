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
	return nil, w.stray(n, name, i)
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
