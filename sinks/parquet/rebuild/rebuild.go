// Package rebuild makes the JSON of resources from the rows of the Parquet
// files that package parquet writes. It is the proof that nothing is lost: what
// it yields has the same Canonical form as the line that was converted, with
// contained resources, primitive extensions, the text of decimals and what
// stands in __unmapped.
//
// It reads with another implementation of the format than the one that wrote.
package rebuild

import (
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/schema"

	"github.com/flue-fhir/flue/internal/definition"
)

// Rebuild yields the JSON text of each row's resource, in the order of the
// rows. The bytes are valid until the next call. It stops at the first error,
// which may be one of yield's. The members of an object come in the order of
// the columns.
func Rebuild(r io.ReaderAt, size int64, yield func(json []byte) error) (err error) {
	defer func() {
		// The reader panics on some broken files.
		if p := recover(); p != nil {
			if e, ok := p.(yieldPanic); ok {
				panic(e.value)
			}
			err = fmt.Errorf("read parquet: broken file")
		}
	}()
	f, err := file.NewParquetReader(io.NewSectionReader(r, 0, size))
	if err != nil {
		return fmt.Errorf("open parquet: %w", err)
	}
	defer f.Close()
	s, err := newShape(f)
	if err != nil {
		return err
	}
	var out []byte
	for g := range f.NumRowGroups() {
		rows, err := s.open(f.RowGroup(g))
		if err != nil {
			return err
		}
		for range rows {
			v, err := s.row()
			if err != nil {
				return err
			}
			out = v.append(out[:0])
			if err := guard(yield, out); err != nil {
				return err
			}
		}
	}
	return nil
}

// yieldPanic carries a panic of the caller's function past our recover.
type yieldPanic struct{ value any }

func guard(yield func([]byte) error, out []byte) error {
	defer func() {
		if p := recover(); p != nil {
			panic(yieldPanic{p})
		}
	}()
	return yield(out)
}

// shape is what the schema of a file says about resources.
type shape struct {
	typ      string
	def      *definition.Struct
	leaves   []*leaf
	unmapped *leaf
}

// newShape binds the schema to the definitions.
func newShape(f *file.Reader) (*shape, error) {
	kv := f.MetaData().KeyValueMetadata().FindValue("flue.resourceType")
	if kv == nil {
		return nil, fmt.Errorf("no resource type in the footer")
	}
	s := &shape{typ: *kv, def: definition.Type(*kv)}
	if s.def == nil {
		return nil, fmt.Errorf("unknown resource type in the footer")
	}
	b := binder{shape: s, schema: f.MetaData().Schema}
	if err := b.group(b.schema.Root(), s.def, nil, 0, 0); err != nil {
		return nil, err
	}
	return s, nil
}

// binder walks over the schema and makes the leaves.
type binder struct {
	shape  *shape
	schema *schema.Schema
	next   int // number of the next leaf column
}

// group binds the fields of a group. def and rep are the levels of the group.
func (b *binder) group(g *schema.GroupNode, def *definition.Struct, prefix []step, defLevel, repLevel int16) error {
	for i := range g.NumFields() {
		n := g.Field(i)
		name := n.Name()
		top := len(prefix) == 0
		switch {
		case top && name == "resourceType":
			b.add(prefix, step{name: name, def: defLevel}, quoted)
			continue
		case top && name == "__unmapped":
			b.shape.unmapped = b.leaf([]step{{name: name, def: defLevel + 1}}, raw)
			continue
		case len(name) > 2 && name[:2] == "__":
			b.next += leaves(n)
			continue
		}
		if err := b.element(n, def, prefix, defLevel, repLevel); err != nil {
			return err
		}
	}
	return nil
}

func (b *binder) element(n schema.Node, def *definition.Struct, prefix []step, defLevel, repLevel int16) error {
	st := step{name: n.Name(), def: defLevel + 1, item: defLevel + 1}
	e, inner := def.Field(st.name), (*definition.Struct)(nil)
	switch {
	case e != nil:
		inner = e.Struct
	case st.name[0] == '_' && def.Field(st.name[1:]) != nil:
		e, inner = def.Field(st.name[1:]), definition.PrimitiveCompanion()
	default:
		return fmt.Errorf("column %s is no element of %s", st.name, def.Name)
	}
	if e.List {
		g, ok := n.(*schema.GroupNode)
		if !ok || g.NumFields() != 1 || g.Field(0).RepetitionType() != parquet.Repetitions.Repeated {
			return fmt.Errorf("column %s is no list", st.name)
		}
		repLevel++
		st.list, st.rep, st.item = true, repLevel, defLevel+3
		n = g.Field(0).(*schema.GroupNode).Field(0)
	}
	if inner != nil {
		g, ok := n.(*schema.GroupNode)
		if !ok {
			return fmt.Errorf("column %s is no struct", st.name)
		}
		return b.group(g, inner, append(prefix[:len(prefix):len(prefix)], st), st.item, repLevel)
	}
	kind := quoted
	switch e.Kind {
	case definition.Decimal, definition.Resource:
		kind = raw
	case definition.Integer:
		kind = integer
	case definition.Boolean:
		kind = boolean
	}
	b.add(prefix, st, kind)
	return nil
}

func (b *binder) add(prefix []step, last step, k kind) {
	b.shape.leaves = append(b.shape.leaves, b.leaf(append(prefix[:len(prefix):len(prefix)], last), k))
}

func (b *binder) leaf(path []step, k kind) *leaf {
	l := &leaf{column: b.next, path: path, kind: k, index: make([]int, len(path)), max: b.schema.Column(b.next).MaxDefinitionLevel()}
	b.next++
	return l
}

// leaves counts the leaf columns of a node.
func leaves(n schema.Node) int {
	g, ok := n.(*schema.GroupNode)
	if !ok {
		return 1
	}
	count := 0
	for i := range g.NumFields() {
		count += leaves(g.Field(i))
	}
	return count
}

// open begins a row group and tells how many rows it has.
func (s *shape) open(g *file.RowGroupReader) (int64, error) {
	all := s.leaves
	if s.unmapped != nil {
		all = append(all[:len(all):len(all)], s.unmapped)
	}
	for _, l := range all {
		r, err := g.Column(l.column)
		if err != nil {
			return 0, fmt.Errorf("open column %s: %w", l.path[len(l.path)-1].name, err)
		}
		l.reader = r
		l.have, l.at, l.value = 0, 0, 0
	}
	return g.NumRows(), nil
}

// row reads the next row.
func (s *shape) row() (*value, error) {
	v := &value{kind: object}
	for _, l := range s.leaves {
		if err := l.row(func(text []byte, def int16) { l.insert(v, text, def) }); err != nil {
			return nil, err
		}
	}
	if s.unmapped == nil {
		return v, nil
	}
	var err error
	if e := s.unmapped.row(func(text []byte, def int16) {
		if def == s.unmapped.max {
			err = place(v, s.def, text)
		}
	}); e != nil {
		return nil, e
	}
	return v, err
}
