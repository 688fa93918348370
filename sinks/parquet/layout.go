package parquet

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/schema"

	"github.com/flue-fhir/flue/internal/definition"
	"github.com/flue-fhir/flue/internal/fhirjson"
)

// Names of the columns that belong to the row and not to the resource.
const (
	columnType     = "resourceType"
	columnUnmapped = "__unmapped"
	columnRun      = "__run"
)

// content says what a leaf column holds and how it is stored.
type content uint8

const (
	contentGroup   content = iota // no leaf
	contentType                   // resourceType: REQUIRED, the same in every row
	contentText                   // string, or the lexical text of a decimal or a date
	contentJSON                   // text of a contained resource
	contentInteger                // INT32
	contentBoolean
	contentNumeric  // DECIMAL(32,6) derived from the text
	contentStart    // TIMESTAMP derived from the text
	contentEnd      // TIMESTAMP derived from the text
	contentRefType  // resource type derived from the text of a reference
	contentRefID    // id derived from the text of a reference
	contentUnmapped // what has no column
	contentRun      // the run that delivered the row
)

// derived reports whether the column follows from the text column before it.
func (c content) derived() bool { return c >= contentNumeric && c <= contentRefID }

// field is a column of the schema, or a group of them. Fields stand in the
// order in which their chunks are written.
type field struct {
	name    string
	content content
	node    *fhirjson.Node // of the element; nil for the row's own columns
	list    bool
	stats   bool // min and max are kept (they prune, and are no free text)
	fields  []*field
}

// layout is the schema of all files of one resource type in a snapshot.
type layout struct {
	typ    string
	tree   *fhirjson.Tree // frozen, without leafless nodes; walkers get copies
	fields []*field
	leaves int
	schema *schema.Schema
}

// newLayout derives the columns from a tree: type, cardinality and order come
// from the definitions, presence from the tree.
func newLayout(tree *fhirjson.Tree) (*layout, error) {
	tree = tree.Columns()
	l := &layout{typ: tree.Type, tree: tree}
	l.fields = append(l.fields, &field{name: columnType, content: contentType})
	for _, n := range tree.Nodes[0].Children {
		l.fields = append(l.fields, newFields(n)...)
	}
	l.fields = append(l.fields,
		&field{name: columnUnmapped, content: contentUnmapped},
		&field{name: columnRun, content: contentRun})
	for _, f := range l.fields {
		l.leaves += f.countLeaves()
	}
	nodes, err := schemaNodes(l.fields)
	if err != nil {
		return nil, fmt.Errorf("build schema of %s: %w", l.typ, err)
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, nodes, -1)
	if err != nil {
		return nil, fmt.Errorf("build schema of %s: %w", l.typ, err)
	}
	l.schema = schema.NewSchema(root)
	return l, nil
}

// newFields returns the element's column and those derived from it.
func newFields(n *fhirjson.Node) []*field {
	f := &field{name: n.Name(), node: n, list: n.IsList()}
	if n.Struct != nil {
		for _, c := range n.Children {
			f.fields = append(f.fields, newFields(c)...)
		}
		return []*field{f}
	}
	f.stats = keepsStats(n)
	derive := func(name string, c content) *field {
		return &field{name: name, content: c, node: n, list: f.list, stats: f.stats}
	}
	switch n.Element.Kind {
	case definition.Boolean:
		f.content = contentBoolean
	case definition.Integer:
		f.content = contentInteger
	case definition.Resource:
		f.content = contentJSON
	case definition.Decimal:
		f.content = contentText
		return []*field{f, derive("__"+f.name+"_numeric", contentNumeric)}
	case definition.Date, definition.DateTime, definition.Instant:
		f.content = contentText
		return []*field{f, derive("__"+f.name+"_start", contentStart), derive("__"+f.name+"_end", contentEnd)}
	default:
		f.content = contentText
		if isReferenceText(n) {
			return []*field{f, derive("__reference_type", contentRefType), derive("__reference_id", contentRefID)}
		}
	}
	return []*field{f}
}

// isReferenceText reports whether the node is Reference.reference.
func isReferenceText(n *fhirjson.Node) bool {
	return n.Element.Name == "reference" && n.Parent.Element != nil && n.Parent.Element.Type == "Reference"
}

// keepsStats picks the columns with minimum and maximum: the id, when a
// resource was last updated, the dates and times of the resource itself, and
// whose it is.
func keepsStats(n *fhirjson.Node) bool {
	top := n.Parent.Element == nil
	switch n.Element.Kind {
	case definition.Date, definition.DateTime, definition.Instant:
		return top || n.Parent.Depth == 1 && n.Parent.Name() == "meta" && n.Name() == "lastUpdated"
	}
	return top && n.Name() == "id" || n.Parent.Depth == 1 && isReferenceText(n) && slices.Contains(patientReferences(), path(n))
}

func (f *field) countLeaves() int {
	if f.content != contentGroup {
		return 1
	}
	n := 0
	for _, c := range f.fields {
		n += c.countLeaves()
	}
	return n
}

// schemaNodes turns fields into Parquet's schema.
func schemaNodes(fields []*field) (schema.FieldList, error) {
	var out schema.FieldList
	for _, f := range fields {
		n, err := f.schemaNode()
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func (f *field) schemaNode() (schema.Node, error) {
	optional := parquet.Repetitions.Optional
	var n schema.Node
	var err error
	switch f.content {
	case contentGroup:
		var nodes schema.FieldList
		if nodes, err = schemaNodes(f.fields); err == nil {
			n, err = schema.NewGroupNode(f.name, optional, nodes, -1)
		}
	case contentType:
		n, err = schema.NewPrimitiveNodeLogical(f.name, parquet.Repetitions.Required, schema.StringLogicalType{}, parquet.Types.ByteArray, -1, -1)
	case contentInteger:
		n = schema.NewInt32Node(f.name, optional, -1)
	case contentBoolean:
		n = schema.NewBooleanNode(f.name, optional, -1)
	case contentNumeric:
		n, err = schema.NewPrimitiveNodeLogical(f.name, optional, schema.NewDecimalLogicalType(decimalPrecision, decimalScale), parquet.Types.FixedLenByteArray, decimalBytes, -1)
	case contentStart, contentEnd:
		n, err = schema.NewPrimitiveNodeLogical(f.name, optional, schema.NewTimestampLogicalType(true, schema.TimeUnitMicros), parquet.Types.Int64, -1, -1)
	default:
		n, err = schema.NewPrimitiveNodeLogical(f.name, optional, schema.StringLogicalType{}, parquet.Types.ByteArray, -1, -1)
	}
	if err != nil || !f.list {
		return n, err
	}
	return schema.ListOfWithName(f.name, n, optional, -1)
}

// path is the element's path below the resource type: "valueQuantity.value".
func path(n *fhirjson.Node) string {
	var names []string
	for ; n != nil && n.Element != nil; n = n.Parent {
		names = append(names, n.Name())
	}
	for i, j := 0, len(names)-1; i < j; i, j = i+1, j-1 {
		names[i], names[j] = names[j], names[i]
	}
	return strings.Join(names, ".")
}
