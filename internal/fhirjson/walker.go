package fhirjson

import "errors"

// Walker walks lines. The zero value is ready for use. It belongs to one
// goroutine.
type Walker struct {
	Limits Limits
}

// Walk validates the line, a JSON text without its line end, and tells what it
// is. With a nil Handler that is all, besides that the tree of the line's type
// grows by the elements that are new (landing). Otherwise the same pass hands
// the content to h, unless the type is unknown.
//
// The error is a *SyntaxError; the trees are then as before. The Handler may
// have received a part of the resource: the caller drops it.
func (w *Walker) Walk(line []byte, h Handler) (Line, error) { return Line{}, errors.ErrUnsupported }

// WalkType is Walk where h receives resources of one type only: lines of other
// types are validated, as with a nil Handler.
func (w *Walker) WalkType(line []byte, typ string, h Handler) (Line, error) {
	return Line{}, errors.ErrUnsupported
}

// Use makes the Walker walk resources of t.Type against t, instead of a tree
// that grows from nothing. A converter uses what Tree.Columns returns: its
// Nodes are the columns, and what has none goes to Unmapped. The tree belongs
// to the Walker from then on.
func (w *Walker) Use(t *Tree) {}

// Tree returns the tree of a type, nil when no line of the type was walked.
func (w *Walker) Tree(typ string) *Tree { return nil }

// Trees returns all trees, sorted by type.
func (w *Walker) Trees() []*Tree { return nil }

// Reset forgets the trees.
func (w *Walker) Reset() {}

// AppendUnescaped appends the text that the raw content of a JSON string
// stands for: raw is valid and has no quotes around it.
func AppendUnescaped(dst, raw []byte) []byte { return append(dst, raw...) }
