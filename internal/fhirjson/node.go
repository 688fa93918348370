package fhirjson

import (
	"encoding/binary"

	"github.com/flue-fhir/flue/internal/definition"
)

// Node is an element of a resource type as it occurs in the data: the tree of
// Nodes holds only what was seen, so its size follows the data and not the
// definitions. Nodes are created by a Walker and never removed, except those
// of a line that proves to be invalid.
type Node struct {
	ID      int                 // dense within the Tree, from 0 (the root) in order of creation
	Parent  *Node               // nil for the root
	Element *definition.Element // nil for the root
	// Companion marks the "_name" member of a primitive element: an object with
	// id and extension, or, when the element is a list, a list of those with
	// nulls. Element is that of the primitive.
	Companion bool
	Struct    *definition.Struct // members below this node; nil for primitives and contained resources
	Depth     int                // 0 for the root
	Children  []*Node            // in order of creation

	nodeState
}

// IsList reports whether the node's value is a JSON array.
func (n *Node) IsList() bool { return n.Element != nil && n.Element.List }

// Leaf reports whether the node is a column of values: a primitive or a
// contained resource.
func (n *Node) Leaf() bool { return n.Struct == nil }

// Name is the node's JSON member name: "valueQuantity", "_birthDate".
func (n *Node) Name() string {
	return n.name
}

// order is the node's place among its siblings in definition order, a companion
// directly after its element.
func (n *Node) order() int {
	order := 2 * n.Element.Order
	if n.Companion {
		order++
	}
	return order
}

// shape is what the walker expects as a node's value, or as each item of it.
type shape uint8

const (
	shapeString shape = iota
	shapeBoolean
	shapeInteger
	shapeDecimal
	shapeStruct
	shapeResource
	shapeList // of any of the above; see nodeState.item
)

// mark names the nodes whose values go into a Line.
type mark uint8

const (
	markNone mark = iota
	markID
	markVersionID
	markLastUpdated
	markTag
)

// nodeState is what the walker keeps with a node.
type nodeState struct {
	name  string
	key   memberKey
	bit   uint64 // of the node in its parent's set of members, 0 from the 65th on
	first *Node  // the child that came first the last time
	next  *Node  // the sibling that followed the last time
	shape shape
	item  shape // of the value, or of each item of the list
	mark  mark
	nulls bool // a list of it may hold null: primitives and companions
	seen  bool // a leaf had a value
}

// memberKey is a member name as it mostly stands in JSON, `"name":`, in a form
// that compares with two loads.
type memberKey struct {
	head, mask uint64 // the first 8 bytes; mask covers a shorter key
	tail       uint64 // the last 8 bytes of a key longer than 8
	size       int
	middle     string // the bytes between head and tail of a key longer than 16
}

func newMemberKey(name string) memberKey {
	text := `"` + name + `":`
	var head [8]byte
	n := copy(head[:], text)
	k := memberKey{size: len(text), mask: ^uint64(0), head: binary.LittleEndian.Uint64(head[:])}
	if n < 8 {
		k.mask = 1<<(8*n) - 1
	}
	if len(text) > 8 {
		k.tail = binary.LittleEndian.Uint64([]byte(text[len(text)-8:]))
	}
	if len(text) > 16 {
		k.middle = text[8 : len(text)-8]
	}
	return k
}

// newNode returns a child for parent, not yet linked to it.
func newNode(parent *Node, e *definition.Element, companion bool) *Node {
	n := &Node{Parent: parent, Element: e, Companion: companion, Depth: parent.Depth + 1, Struct: e.Struct}
	if companion {
		n.Struct = definition.PrimitiveCompanion()
	}
	n.name = e.Name
	if companion {
		n.name = "_" + e.Name
	}
	n.key = newMemberKey(n.name)
	switch {
	case companion || e.Kind == definition.Complex:
		n.item = shapeStruct
	case e.Kind == definition.Resource:
		n.item = shapeResource
	case e.Kind == definition.Boolean:
		n.item = shapeBoolean
	case e.Kind == definition.Integer:
		n.item = shapeInteger
	case e.Kind == definition.Decimal:
		n.item = shapeDecimal
	default:
		n.item = shapeString
	}
	n.shape = n.item
	if e.List {
		n.shape = shapeList
	}
	n.nulls = e.Kind.Primitive()
	n.mark = markOf(n)
	return n
}

// markOf tells whether the node's value belongs into a Line.
func markOf(n *Node) mark {
	if n.Companion {
		return markNone
	}
	switch name := n.Element.Name; {
	case n.Depth == 1 && name == "id":
		return markID
	case n.Depth == 2 && name == "versionId" && n.Parent.Element.Name == "meta":
		return markVersionID
	case n.Depth == 2 && name == "lastUpdated" && n.Parent.Element.Name == "meta":
		return markLastUpdated
	case n.Depth == 3 && name == "code" && n.Parent.Element.Name == "tag" && n.Parent.Parent.Element.Name == "meta":
		return markTag
	}
	return markNone
}

// link appends the child to n.
func (n *Node) link(child *Node) {
	if slot := len(n.Children); slot < 64 {
		child.bit = 1 << slot
	}
	n.Children = append(n.Children, child)
}

// child returns the child with the member name, or nil.
func (n *Node) child(name []byte) *Node {
	for _, c := range n.Children {
		if c.name == string(name) {
			return c
		}
	}
	return nil
}

// define returns the definition of the member name below n: the element, and
// whether the name is that of its companion. It returns nil when there is none.
func (n *Node) define(name []byte) (e *definition.Element, companion bool) {
	if len(name) > 0 && name[0] == '_' {
		if e = n.Struct.FieldBytes(name[1:]); e != nil && e.Companion() {
			return e, true
		}
		return nil, false
	}
	return n.Struct.FieldBytes(name), false
}
