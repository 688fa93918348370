// Package fhirjson is the one walker over NDJSON bytes. Everything that flue
// knows about a resource it learns here, in one pass over its line that is led
// by the R4 definitions: that the line is valid JSON and UTF-8 without
// duplicate members, its type, id, version and lastUpdated, which elements
// occur (the leaf columns), and the values themselves as shred events.
//
// A Walker and its Trees belong to one goroutine; Trees of several goroutines
// are merged afterwards. Nothing is allocated per line in the steady state.
// Byte slices that are handed to a Handler, and those in a Line, point into
// the line or the Walker and are valid only until the next call of Walk.
//
// Landing a part: walk each line without a Handler, keep Walker.Trees.
// Converting: merge the trees of the parts, take Columns, give each converter
// its own copy with Walker.Use, and walk the lines again with a Handler.
package fhirjson

// Scalar is one primitive value, or one contained resource.
type Scalar struct {
	// Raw is the JSON text. For a string it excludes the quotes; for a number
	// it is the number's text as sent; for a contained resource the object's
	// text from brace to brace.
	Raw     []byte
	Escaped bool // Raw is a string with backslash escapes: use AppendUnescaped before storing it
}

// Handler receives one resource's content in document order. A list is
// bracketed by List and EndList; its items come as Struct/EndStruct, Scalar or
// Null for the same Node. What the definitions cannot place is not lost:
// it arrives as Unmapped. The root is not announced: Walk begins and ends it,
// and resourceType is Line.Type.
type Handler interface {
	Struct(n *Node)           // one object begins: a single element or one list item
	EndStruct(n *Node)        //
	List(n *Node)             // an array begins; it has at least one item
	EndList(n *Node)          //
	Scalar(n *Node, v Scalar) // one primitive or contained resource: a single element or one list item
	// Null is a null list item: a JSON null in a primitive's list or in its
	// companion's, or the place of an item that goes to Unmapped next.
	Null(n *Node)
	// Unmapped is a value that its column cannot reproduce exactly: an unknown
	// member, a wrong JSON kind, `1.0` in an integer, a lone surrogate, {}, [],
	// null, anything beyond the limits, or, when the tree is frozen, anything
	// without a Node. pointer is its RFC 6901 JSON Pointer within the resource,
	// raw its JSON text.
	Unmapped(pointer, raw []byte)
}

// Line is what a walk found out about a line. The slices are decoded text, not
// JSON.
type Line struct {
	Type        string // resourceType; "" when the member is missing or no string
	Known       bool   // Type is an R4 resource type
	ID          []byte // nil when missing
	VersionID   []byte // meta.versionId; nil when missing
	LastUpdated []byte // meta.lastUpdated; nil when missing
	Subsetted   bool   // meta.tag has the SUBSETTED code (P20 _elements, F48)
}

// Limits bound what one resource type may bring into a Tree.
type Limits struct {
	// MaxColumns is how many leaves a type may have, and how many inner nodes.
	// 0 means 5,000.
	MaxColumns int
	// MaxDepth is the greatest Node.Depth. 0 means 16, less than 3 means 3.
	MaxDepth int
}

// The defaults of Limits.
const (
	DefaultMaxColumns = 5000
	DefaultMaxDepth   = 16
)

func (l Limits) columns() int {
	if l.MaxColumns > 0 {
		return l.MaxColumns
	}
	return DefaultMaxColumns
}

func (l Limits) depth() int {
	if l.MaxDepth > 0 {
		return max(l.MaxDepth, 3)
	}
	return DefaultMaxDepth
}
