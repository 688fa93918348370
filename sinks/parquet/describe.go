package parquet

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/internal/definition"
	"github.com/flue-fhir/flue/internal/fhirjson"
)

// ReadDocument reads a _schema.json.
func ReadDocument(text []byte) (*Document, error) {
	d := new(Document)
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("read %s: %w", SchemaName, err)
	}
	return d, nil
}

// Describe describes the columns of a type whose record the Sink left in
// Output.Schema.
func Describe(typ string, record []byte) (*Document, error) {
	tree := fhirjson.NewTree(typ, fhirjson.Limits{})
	if tree == nil {
		return nil, &TypeError{}
	}
	if err := tree.UnmarshalText(record); err != nil {
		return nil, fmt.Errorf("read columns of %s: %w", typ, err)
	}
	l, err := newLayout(tree)
	if err != nil {
		return nil, err
	}
	return l.document(typ), nil
}

// Define describes the columns that a type can have by its definition, down to
// so many levels: "birthDate" has one, "name.family" two. Extensions, ids of
// elements, companions of primitives and contained resources are left out:
// anything may have them.
func Define(typ string, depth int) (*Document, error) {
	def := definition.Type(typ)
	if def == nil {
		return nil, &TypeError{}
	}
	var b strings.Builder
	b.WriteString(typ + "{")
	defineFields(&b, def, depth, true)
	b.WriteString("}")
	return Describe(typ, []byte(b.String()))
}

// defineFields writes the fields as a column record; it reports whether there is
// any.
func defineFields(b *strings.Builder, s *definition.Struct, depth int, root bool) bool {
	some := false
	for i := range s.Fields {
		e := &s.Fields[i]
		switch {
		case e.Type == "Extension", e.Name == "contained", e.Name == "id" && !root:
			continue
		case e.Struct != nil:
			var inner strings.Builder
			if depth <= 1 || !defineFields(&inner, e.Struct, depth-1, false) {
				continue
			}
			if some {
				b.WriteByte(',')
			}
			b.WriteString(e.Name + "{" + inner.String() + "}")
		default:
			if some {
				b.WriteByte(',')
			}
			b.WriteString(e.Name)
		}
		some = true
	}
	return some
}

// Explain returns the document with the descriptions of the R4 definitions in
// front of those that it has.
func (d *Document) Explain() *Document {
	out := *d
	out.Columns = explain(d.Columns, definition.Type(d.ResourceType))
	return &out
}

// explain describes the columns of a struct; def may be nil.
func explain(columns []Column, def *definition.Struct) []Column {
	out := slices.Clone(columns)
	for i := range out {
		c := &out[i]
		e, inner := (*definition.Element)(nil), (*definition.Struct)(nil)
		if def != nil {
			if e = def.Field(c.Name); e != nil {
				inner = e.Struct
			} else if strings.HasPrefix(c.Name, "_") && def.Field(c.Name[1:]) != nil {
				inner = definition.PrimitiveCompanion()
			}
		}
		if e != nil {
			c.Doc = strings.TrimSuffix(strings.TrimSuffix(e.Doc(), ".")+". "+c.Doc, " ")
		}
		c.Columns = explain(c.Columns, inner)
	}
	return out
}
