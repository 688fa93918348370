package fhirjson

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
}

// NewTree returns a tree with nothing but its root; nil when R4 has no such
// type.
func NewTree(typ string, limits Limits) *Tree { return nil }

// Columns returns a frozen copy that holds only the Nodes that are leaves with
// a value seen, or lead to one, with IDs and Children in definition order.
func (t *Tree) Columns() *Tree { return nil }

// Merge adds the columns of o, a tree of the same type, as far as t's limits
// go. It tells how many leaves had no room.
func (t *Tree) Merge(o *Tree) (left int) { return 0 }

// Leaf reports whether the node is a column of values: a primitive or a
// contained resource.
func (n *Node) Leaf() bool { return n.Struct == nil }

// Lookup finds a node by its path below the root: "name.given",
// "_birthDate.extension.url"; the empty path is the root. It returns nil when
// the tree has no such node.
func (t *Tree) Lookup(path string) *Node { return nil }

// MarshalText returns the columns as text in definition order, which does not
// depend on the order of sight:
//
//	Patient{id,meta{lastUpdated},name{family,given,_given{extension{url,valueString}}}}
func (t *Tree) MarshalText() ([]byte, error) { return nil, nil }

// UnmarshalText is the inverse of MarshalText; the Nodes are bound to the
// definitions again. A member that the definitions do not know is an error.
// The limits do not apply: what was a column once stays one.
func (t *Tree) UnmarshalText(text []byte) error { return nil }

type nodeState struct{}
