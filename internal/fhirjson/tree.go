package fhirjson

import (
	"slices"
	"strings"

	"github.com/flue-fhir/flue/internal/definition"
)

// Tree is the set of elements seen in the resources of one type: its leaf
// columns. Nodes come into being as the data brings them; MarshalText and
// Columns put them in the order of the definitions, a companion directly after
// its element, whatever the order of sight.
type Tree struct {
	Type   string
	Nodes  []*Node // by ID; Nodes[0] is the root
	Limits Limits
	// Frozen keeps a Walker from adding Nodes: a member without a Node goes to
	// Unmapped, whole.
	Frozen bool

	leaves  int    // among Nodes
	settled int    // how many Nodes valid lines brought
	header  []byte // `{"resourceType":"Patient"`
}

// NewTree returns a tree with nothing but its root; nil when R4 has no such
// type.
func NewTree(typ string, limits Limits) *Tree {
	s := definition.Type(typ)
	if s == nil {
		return nil
	}
	t := newTree(s, limits)
	t.Type = typ
	t.header = []byte(`{"resourceType":"` + typ + `"`)
	return t
}

// addMeta adds the nodes whose values go into a Line, so that no limit keeps
// them out.
func (t *Tree) addMeta() {
	add := func(parent *Node, name string) *Node { return t.add(parent, parent.Struct.Field(name), false) }
	root := t.Nodes[0]
	add(root, "id")
	meta := add(root, "meta")
	add(meta, "versionId")
	add(meta, "lastUpdated")
	add(add(meta, "tag"), "code")
	t.settled = len(t.Nodes)
}

func newTree(s *definition.Struct, limits Limits) *Tree {
	root := &Node{Struct: s}
	root.shape, root.item = shapeStruct, shapeStruct
	return &Tree{Limits: limits, Nodes: []*Node{root}, settled: 1}
}

// add creates the child of parent for the element.
func (t *Tree) add(parent *Node, e *definition.Element, companion bool) *Node {
	n := newNode(parent, e, companion)
	n.ID = len(t.Nodes)
	t.Nodes = append(t.Nodes, n)
	parent.link(n)
	if n.Leaf() {
		t.leaves++
	}
	return n
}

// room reports whether the limits allow for a child of parent.
func (t *Tree) room(parent *Node, leaf bool) bool {
	if parent.Depth >= t.Limits.depth() {
		return false
	}
	if leaf {
		return t.leaves < t.Limits.columns()
	}
	return len(t.Nodes)-t.leaves <= t.Limits.columns()
}

// cut removes the nodes from the given ID on: those of a line that is invalid.
func (t *Tree) cut(id int) {
	if id == len(t.Nodes) {
		return
	}
	for i := len(t.Nodes) - 1; i >= id; i-- {
		n := t.Nodes[i]
		n.Parent.Children = n.Parent.Children[:len(n.Parent.Children)-1]
		if n.Leaf() {
			t.leaves--
		}
		t.Nodes[i] = nil
	}
	t.Nodes = t.Nodes[:id]
	for _, n := range t.Nodes {
		if n.first != nil && n.first.ID >= id {
			n.first = nil
		}
		if n.next != nil && n.next.ID >= id {
			n.next = nil
		}
	}
}

// Columns returns a frozen copy that holds only the Nodes that are leaves with
// a value seen, or lead to one, with IDs and Children in definition order. It
// is what a converter walks with: every node of it is a column.
func (t *Tree) Columns() *Tree {
	c := &Tree{Type: t.Type, Limits: t.Limits, header: t.header, Frozen: true}
	root := &Node{Struct: t.Nodes[0].Struct}
	root.shape, root.item = shapeStruct, shapeStruct
	c.Nodes = []*Node{root}
	c.copyChildren(root, t.Nodes[0], t.needed())
	c.settled = len(c.Nodes)
	return c
}

// needed tells, by ID, which nodes are leaves with a value or lead to one.
func (t *Tree) needed() []bool {
	needed := make([]bool, len(t.Nodes))
	for i := len(t.Nodes) - 1; i > 0; i-- {
		if n := t.Nodes[i]; n.seen || needed[i] {
			needed[i] = true
			needed[n.Parent.ID] = true
		}
	}
	return needed
}

func (t *Tree) copyChildren(to, from *Node, needed []bool) {
	for _, child := range from.sorted() {
		if needed[child.ID] {
			n := t.add(to, child.Element, child.Companion)
			n.seen = child.seen
			t.copyChildren(n, child, needed)
		}
	}
}

// sorted returns the children in definition order.
func (n *Node) sorted() []*Node {
	children := slices.Clone(n.Children)
	slices.SortFunc(children, func(a, b *Node) int { return a.order() - b.order() })
	return children
}

// Merge adds the columns of o, a tree of the same type, as far as t's limits
// go. It tells how many leaves had no room.
func (t *Tree) Merge(o *Tree) (left int) {
	left = t.merge(t.Nodes[0], o.Nodes[0], o.needed())
	t.settled = len(t.Nodes)
	return left
}

func (t *Tree) merge(to, from *Node, needed []bool) (left int) {
	for _, child := range from.sorted() {
		if !needed[child.ID] {
			continue
		}
		n := to.childFor(child)
		if n == nil {
			if !t.room(to, child.Leaf()) {
				left += child.count(needed)
				continue
			}
			n = t.add(to, child.Element, child.Companion)
		}
		n.seen = n.seen || child.seen
		left += t.merge(n, child, needed)
	}
	return left
}

// childFor returns the child of n for the same element as o, or nil.
func (n *Node) childFor(o *Node) *Node {
	for _, c := range n.Children {
		if c.Element == o.Element && c.Companion == o.Companion {
			return c
		}
	}
	return nil
}

// count is how many needed leaves there are at and below n.
func (n *Node) count(needed []bool) int {
	if n.Leaf() {
		return 1
	}
	leaves := 0
	for _, c := range n.Children {
		if needed[c.ID] {
			leaves += c.count(needed)
		}
	}
	return leaves
}

// Lookup finds a node by its path below the root: "name.given",
// "_birthDate.extension.url"; the empty path is the root. It returns nil when
// the tree has no such node.
func (t *Tree) Lookup(path string) *Node {
	n := t.Nodes[0]
	if path == "" {
		return n
	}
	for name := range strings.SplitSeq(path, ".") {
		if n = n.child([]byte(name)); n == nil {
			return nil
		}
	}
	return n
}
