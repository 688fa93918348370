// Package fhirjson is the one walker over NDJSON bytes. Everything that flue
// knows about a resource it learns here, in one pass over its line that is led
// by the R4 definitions: that the line is valid JSON and UTF-8 without
// duplicate members, its type, id, version and lastUpdated, which elements
// occur (the leaf columns), and the values themselves as shred events.
//
// A Walker and its Trees belong to one goroutine; Trees of several goroutines
// are merged afterwards. Nothing is allocated per line in the steady state.
// Byte slices that are handed to a Handler, and those in a Line, point into
// the line and are valid only until the next call of Walk.
package fhirjson

import "github.com/flue-fhir/flue/internal/definition"

// Node is an element of a resource type as it occurs in the data: the tree of
// Nodes holds only what was seen, so its size follows the data and not the
// definitions. Nodes are created by a Walker and never removed.
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

	// unexported lookup state follows in this struct's package
	nodeState
}

// IsList reports whether the node's value is a JSON array.
func (n *Node) IsList() bool { return n.Element != nil && n.Element.List }

// Name is the node's JSON member name: "valueQuantity", "_birthDate".
func (n *Node) Name() string {
	switch {
	case n.Element == nil:
		return ""
	case n.Companion:
		return "_" + n.Element.Name
	}
	return n.Element.Name
}

// Scalar is one primitive value, or one contained resource.
type Scalar struct {
	// Raw is the JSON text. For a string it excludes the quotes; for a number
	// it is the number's text as sent; for a contained resource the object's
	// text from brace to brace.
	Raw     []byte
	Escaped bool // Raw holds backslash escapes: use AppendUnescaped before storing it
}

// Handler receives one resource's content in document order. A list is
// bracketed by List and EndList; its items come as Struct/EndStruct, Scalar or
// Null for the same Node. What the definitions cannot place is not lost:
// it arrives as Unmapped. The root is not announced: Walk begins and ends it.
type Handler interface {
	Struct(n *Node)           // one object begins: a single element or one list item
	EndStruct(n *Node)        //
	List(n *Node)             // an array begins; it has at least one item
	EndList(n *Node)          //
	Scalar(n *Node, v Scalar) // one primitive or contained resource: a single element or one list item
	// Null is a null list item: a JSON null in a primitive's list or in its
	// companion's, or the place of an item that went to Unmapped.
	Null(n *Node)
	// Unmapped is a value that its column cannot reproduce exactly: an unknown
	// member, a wrong JSON kind, `1.0` in an integer, a lone surrogate, {}, [],
	// null, or anything beyond the limits. pointer is its RFC 6901 JSON Pointer
	// within the resource, raw its JSON text.
	Unmapped(pointer, raw []byte)
}

// Line is what a walk found out about a line. The slices point into the line.
type Line struct {
	Type        string // resourceType; "" when the member is missing
	Known       bool   // Type is an R4 resource type
	ID          []byte // raw text of the id without quotes; nil when missing
	VersionID   []byte // meta.versionId
	LastUpdated []byte // meta.lastUpdated
	Subsetted   bool   // meta.tag has the SUBSETTED code (P20 _elements, F48)
}

// Limits bound what one resource may bring into a Tree.
type Limits struct {
	MaxColumns int // nodes per type; 0 means 5,000
	MaxDepth   int // nesting of nodes; 0 means 16
}

// SyntaxError says why a line is not JSON that two readers would agree on. Its
// text never holds content of the line.
type SyntaxError struct {
	Offset int64  // byte offset within the line
	Reason string // "invalid UTF-8", "duplicate member name", …
}
