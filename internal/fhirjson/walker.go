package fhirjson

import (
	"bytes"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/internal/definition"
)

// Walker walks lines. The zero value is ready for use. It belongs to one
// goroutine.
type Walker struct {
	Limits Limits // of the trees that it makes

	trees   map[string]*Tree
	last    *Tree  // of the line before
	base    *Tree  // for resources of unknown types: what every resource has
	unknown string // the unknown type that came last

	// Of the line at hand.
	line  []byte
	h     Handler
	tree  *Tree
	out   Line
	names names
	fresh []*Node      // leaves that had their first value
	item  []int        // by Node.Depth, the index of the list item at hand
	meta  [4][]byte    // by mark, the decoded text of values with escapes
	path  []byte       // a JSON Pointer
	fault *SyntaxError // the first one
}

// Walk validates the line, a JSON text without its line end, and tells what it
// is. With a nil Handler that is all, besides that the tree of the line's type
// grows by the elements that are new (landing). Otherwise the same pass hands
// the content to h, unless the type is unknown.
//
// The error is a *SyntaxError; the trees are then as before. The Handler may
// have received a part of the resource: the caller drops it.
func (w *Walker) Walk(line []byte, h Handler) (Line, error) { return w.walk(line, "", h) }

// WalkType is Walk where h receives resources of one type only: lines of other
// types are validated, as with a nil Handler.
func (w *Walker) WalkType(line []byte, typ string, h Handler) (Line, error) {
	return w.walk(line, typ, h)
}

// Use makes the Walker walk resources of t.Type against t, instead of a tree
// that grows from nothing. A converter uses what Tree.Columns returns: its
// Nodes are the columns, and what has none goes to Unmapped. The tree belongs
// to the Walker from then on.
func (w *Walker) Use(t *Tree) {
	if w.trees == nil {
		w.trees = map[string]*Tree{}
	}
	w.trees[t.Type] = t
	w.last = t
}

// Tree returns the tree of a type, nil when no line of the type was walked.
func (w *Walker) Tree(typ string) *Tree { return w.trees[typ] }

// Trees returns all trees, sorted by type.
func (w *Walker) Trees() []*Tree {
	all := make([]*Tree, 0, len(w.trees))
	for _, t := range w.trees {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *Tree) int { return strings.Compare(a.Type, b.Type) })
	return all
}

// Reset forgets the trees.
func (w *Walker) Reset() { w.trees, w.last = nil, nil }

func (w *Walker) walk(line []byte, only string, h Handler) (Line, error) {
	w.line, w.h, w.out, w.fault, w.tree = line, h, Line{}, nil, nil
	w.fresh = w.fresh[:0]
	w.names.reset()
	if w.resource(only) < 0 {
		w.undo()
		return Line{}, w.fault
	}
	return w.out, nil
}

// undo takes back what an invalid line did to its tree.
func (w *Walker) undo() {
	for _, n := range w.fresh {
		n.seen = false
	}
	if w.tree != nil {
		w.tree.cut(w.tree.settled)
	}
}

// resource walks the line.
func (w *Walker) resource(only string) int {
	b := w.line
	i := space(b, 0)
	if i >= len(b) {
		return w.fail(i, reasonEnd)
	}
	if b[i] != '{' {
		return w.fail(i, reasonObject)
	}
	open, t := i, w.last
	if t != nil && bytes.HasPrefix(b[i:], t.header) {
		w.begin(t, t.Type, only)
		w.names.add(b, 0, i+len(`{"`), len("resourceType"))
		i = space(b, i+len(t.header))
	} else {
		t = w.find(i, only)
		i = w.firstMember(t, i+1)
	}
	i = w.members(t, i, open)
	if i < 0 {
		return i
	}
	if i = space(b, i); i < len(b) {
		return w.fail(i, reasonTrailing)
	}
	t.settled = len(t.Nodes)
	return i
}

// firstMember returns the place behind the resourceType of t when that stands
// in the first member, with white space around it; otherwise i.
func (w *Walker) firstMember(t *Tree, i int) int {
	b := w.line
	name := space(b, i)
	if t.Type == "" || !bytes.HasPrefix(b[name:], []byte(`"resourceType"`)) {
		return i
	}
	colon := space(b, name+len(`"resourceType"`))
	if colon >= len(b) || b[colon] != ':' {
		return i
	}
	value := space(b, colon+1)
	if !bytes.HasPrefix(b[value:], t.header[len(`{"resourceType":`):]) {
		return i
	}
	w.names.add(b, 0, name+1, len("resourceType"))
	return space(b, value+len(t.Type)+len(`""`))
}

// members walks the members of the resource that begins at open, of which i may
// be behind the first one already.
func (w *Walker) members(t *Tree, i, open int) int {
	b := w.line
	if i > open+1 {
		switch {
		case i >= len(b):
			return w.fail(i, reasonEnd)
		case b[i] == '}':
			return i + 1
		case b[i] != ',':
			return w.fail(i, reasonComma)
		}
		return w.object(t.Nodes[0], i+1)
	}
	if i = space(b, i); i < len(b) && b[i] == '}' {
		return i + 1
	}
	return w.object(t.Nodes[0], i)
}

// begin makes ready for a resource of the type with the tree.
func (w *Walker) begin(t *Tree, typ, only string) {
	w.tree = t
	w.out.Type, w.out.Known = typ, t != w.base
	if !w.out.Known || only != "" && only != typ {
		w.h = nil
	}
}

// find makes ready for a resource whose type is not that of the line before, or
// does not stand in its first member.
func (w *Walker) find(i int, only string) *Tree {
	name := w.typeName(i)
	t := w.trees[string(name)]
	if t == nil && (w.base == nil || w.unknown != string(name)) {
		t = w.firstOf(string(name))
	}
	if t == nil {
		w.begin(w.base, w.unknown, only)
		return w.base
	}
	w.last = t
	w.begin(t, t.Type, only)
	return t
}

// firstOf makes the tree of a type that has none. It returns nil when R4 has no
// such type.
func (w *Walker) firstOf(typ string) *Tree {
	if t := NewTree(typ, w.Limits); t != nil {
		t.addMeta()
		w.Use(t)
		return t
	}
	if w.base == nil {
		w.base = newTree(definition.Base(), Limits{})
		w.base.addMeta()
		w.base.Frozen = true
	}
	w.unknown = typ
	return nil
}

// see notes the first value of a leaf.
func (w *Walker) see(n *Node) {
	n.seen = true
	w.fresh = append(w.fresh, n)
}

// note keeps a value that belongs into the Line.
func (w *Walker) note(m mark, raw []byte, t text) {
	if t != 0 {
		w.meta[m-1] = AppendUnescaped(w.meta[m-1][:0], raw)
		raw = w.meta[m-1]
	}
	switch m {
	case markID:
		w.out.ID = raw
	case markVersionID:
		w.out.VersionID = raw
	case markLastUpdated:
		w.out.LastUpdated = raw
	case markTag:
		w.out.Subsetted = w.out.Subsetted || string(raw) == "SUBSETTED"
	}
}

// fail notes the first fault of the line and returns bad.
func (w *Walker) fail(at int, reason string) int {
	if w.fault == nil {
		w.fault = &SyntaxError{Offset: int64(at), Reason: reason}
	}
	return bad
}
