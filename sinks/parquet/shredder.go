package parquet

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/flue-fhir/flue/internal/fhirjson"
)

// cell is the state of one node of the schema within a row group: where it
// stands, and its values when it is a leaf. What is missing costs nothing.
type cell struct {
	parent    *cell
	instances uint32 // objects begun: the slots of the children
	content   content
	list      bool
	pres      presence // in the parent's slots: the single value or the list
	values    values
	items     uint32   // slots of all lists so far
	begun     uint32   // items when the open list began
	itemPres  presence // items that are not null
	lengths   counter
	booleans  []byte // one a value, 0 or 1
}

// slot returns the slot that a new value of the cell fills, and marks it.
func (c *cell) slot() {
	if c.list {
		c.itemPres.mark(c.items)
		c.items++
		return
	}
	c.pres.mark(c.parent.instances - 1)
}

// shredder spreads resources over cells. It is the fhirjson.Handler of one
// goroutine. Per event it does what the data present asks for: one slice
// access, a few comparisons, and the value.
type shredder struct {
	cells    []*cell // by Node.ID; cells[0] is the row
	unmapped cell    // the __unmapped column
	pool     *segments
	looks    []*values // columns whose dictionary is to be looked at after the row

	scratch []byte // an unescaped string
	integer []byte // a number as it is stored
	extra   []byte // the __unmapped object of the open row

	unmappedCount  int64
	containedCount int64
}

// newShredder makes the cells of a layout; tree is the walker's copy of the
// layout's tree, with the same IDs.
func newShredder(l *layout, pool *segments) *shredder {
	s := &shredder{cells: make([]*cell, len(l.tree.Nodes)), pool: pool}
	seed := rand.Uint64()
	cells := make([]cell, len(l.tree.Nodes))
	for i := range cells {
		s.cells[i] = &cells[i]
	}
	s.cells[0].list = false
	for _, f := range l.fields {
		s.bind(f)
	}
	for _, n := range l.tree.Nodes[1:] {
		s.cells[n.ID].parent = s.cells[n.Parent.ID]
		s.cells[n.ID].values.dict.seed = seed
	}
	s.unmapped.content = contentUnmapped
	s.unmapped.parent = s.cells[0]
	s.unmapped.values.sticky = true
	s.reset()
	return s
}

func (s *shredder) bind(f *field) {
	if f.node != nil && !f.content.derived() {
		c := s.cells[f.node.ID]
		c.content, c.list = f.content, f.list
		if f.content == contentInteger {
			c.values.dict.width = 4
		}
	}
	for _, child := range f.fields {
		s.bind(child)
	}
}

// cell returns that of a column which is not derived.
func (s *shredder) cell(f *field) *cell {
	if f.content == contentUnmapped {
		return &s.unmapped
	}
	return s.cells[f.node.ID]
}

// rows is how many rows the row group has.
func (s *shredder) rows() uint32 { return s.cells[0].instances }

// begin opens a row.
func (s *shredder) begin() { s.cells[0].instances++ }

// end closes the row.
func (s *shredder) end() {
	if len(s.extra) > 0 {
		s.extra = append(s.extra, '}')
		s.unmapped.slot()
		s.unmapped.values.add(s.extra, s.pool)
		s.extra = s.extra[:0]
	}
	if len(s.looks) > 0 {
		for _, t := range s.looks {
			t.settle(s.pool)
		}
		s.looks = s.looks[:0]
	}
}

// Struct implements fhirjson.Handler.
func (s *shredder) Struct(n *fhirjson.Node) {
	c := s.cells[n.ID]
	c.slot()
	c.instances++
}

// EndStruct implements fhirjson.Handler.
func (s *shredder) EndStruct(*fhirjson.Node) {}

// List implements fhirjson.Handler.
func (s *shredder) List(n *fhirjson.Node) {
	c := s.cells[n.ID]
	c.pres.mark(c.parent.instances - 1)
	c.begun = c.items
}

// EndList implements fhirjson.Handler.
func (s *shredder) EndList(n *fhirjson.Node) {
	c := s.cells[n.ID]
	c.lengths.add(c.items - c.begun)
}

// Null implements fhirjson.Handler.
func (s *shredder) Null(n *fhirjson.Node) { s.cells[n.ID].items++ }

// Scalar implements fhirjson.Handler.
func (s *shredder) Scalar(n *fhirjson.Node, v fhirjson.Scalar) {
	c := s.cells[n.ID]
	c.slot()
	text := v.Raw
	switch c.content {
	case contentBoolean:
		var b byte
		if text[0] == 't' {
			b = 1
		}
		c.booleans = append(c.booleans, b)
		return
	case contentInteger:
		s.integer = binary.LittleEndian.AppendUint32(s.integer[:0], uint32(parseInteger(text)))
		text = s.integer
	case contentJSON:
		s.containedCount++
	default:
		if v.Escaped {
			s.scratch = fhirjson.AppendUnescaped(s.scratch[:0], text)
			text = s.scratch
		}
	}
	if c.values.add(text, s.pool) {
		s.looks = append(s.looks, &c.values)
	}
}

// Unmapped implements fhirjson.Handler.
func (s *shredder) Unmapped(pointer, raw []byte) {
	s.unmappedCount++
	if len(s.extra) == 0 {
		s.extra = append(s.extra, '{')
	} else {
		s.extra = append(s.extra, ',')
	}
	s.extra = appendQuoted(s.extra, pointer)
	s.extra = append(s.extra, ':')
	s.extra = appendQuoted(s.extra, raw)
}

// reset begins a new row group.
func (s *shredder) reset() {
	for _, c := range s.cells {
		c.reset(s.pool)
	}
	s.unmapped.reset(s.pool)
	s.scratch, s.extra = reusable(s.scratch), reusable(s.extra)
}

// bytes is how much memory the row group's values take. The buffers may be
// twice as large.
func (s *shredder) bytes() int64 {
	n := s.unmapped.bytes()
	for _, c := range s.cells {
		n += c.bytes()
	}
	return int64(n)
}

func (c *cell) bytes() int {
	v := &c.values
	return 4*(len(c.pres.runs)+len(c.itemPres.runs)+len(c.lengths.runs)+len(v.indexes)) +
		len(c.booleans) + v.dict.bytes() + v.plainBytes
}

func (c *cell) reset(pool *segments) {
	c.instances, c.items, c.begun = 0, 0, 0
	c.pres.reset()
	c.itemPres.reset()
	c.lengths.reset()
	c.values.reset(pool)
	c.booleans = c.booleans[:0]
}

// join appends the rows of other, but for their values: those are joined column
// by column. Both are closed.
func (s *shredder) join(other *shredder) {
	s.unmapped.join(&other.unmapped)
	// The children first: their slots begin where their parents' instances end.
	for i := len(s.cells) - 1; i > 0; i-- {
		s.cells[i].join(other.cells[i])
	}
	s.cells[0].instances += other.cells[0].instances
}

func (c *cell) join(other *cell) {
	c.pres.join(&other.pres, c.parent.instances)
	c.itemPres.join(&other.itemPres, c.items)
	c.lengths.runs = append(c.lengths.runs, other.lengths.runs...)
	c.booleans = append(c.booleans, other.booleans...)
	c.items += other.items
	c.instances += other.instances
}

// close ends the open stretches of the row group before it is encoded.
func (s *shredder) close() {
	for _, c := range s.cells {
		c.close()
	}
	s.unmapped.close()
}

func (c *cell) close() {
	c.pres.close()
	c.itemPres.close()
	c.lengths.close()
}

// parseInteger reads the text of an integer, which the walker has found to be
// in range and without exponent or fraction.
func parseInteger(text []byte) int32 {
	negative := text[0] == '-'
	if negative {
		text = text[1:]
	}
	var v int64
	for _, c := range text {
		v = v*10 + int64(c-'0')
	}
	if negative {
		v = -v
	}
	return int32(v)
}

// appendQuoted appends text, which is valid UTF-8, as a JSON string.
func appendQuoted(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i, b := range text {
		if b >= ' ' && b != '"' && b != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		if b == '"' || b == '\\' {
			dst = append(dst, '\\', b)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		}
	}
	dst = append(dst, text[from:]...)
	return append(dst, '"')
}
