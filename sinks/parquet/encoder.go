package parquet

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/flue-fhir/flue/sinks"
)

// encoder encodes columns of row groups. It belongs to one goroutine.
type encoder struct {
	layout     *layout
	compressor *compressor
	run        []byte
	pool       *segments

	leaf     int           // of the column in hand, in the order of the schema
	taken    bool          // the column in hand, and with it those derived of it
	segments [][]byte      // with the bytes of the chunks
	chunks   []chunk       // of the row group in hand
	streams  []*stream     // one a depth, reused
	reps     []*repetition // one a depth, reused
	source   source        // the column that derived ones follow
	derived  derivation
	hybrid   hybrid
	tails    tails
	far      bool   // the PLAIN pages in hand are worth the slower compression
	page     []byte // before compression
	packed   []byte // the page compressed
	header   []byte // and its header

	losses sinks.Losses // rounded and overflow
}

// source is a column of values just encoded.
type source struct {
	stream *stream
	values *values
	chunk  chunk
}

// encode encodes the columns of the row group that nobody else takes. The chunks
// are valid until the encoder is reset.
func (e *encoder) encode(g *rowGroup) error {
	e.leaf = -1
	rows := g.rows()
	root := &stream{
		defs:      appendRun(nil, 0, rows),
		instances: rows,
		reps:      &repetition{runs: appendRun(nil, 0, rows), entries: rows},
	}
	for _, f := range e.layout.fields {
		if err := e.field(g, f, root, 0); err != nil {
			return fmt.Errorf("encode %s: %w", e.layout.typ, err)
		}
	}
	e.release()
	return nil
}

// release gives up the values of the last column: those that follow from it are
// encoded.
func (e *encoder) release() {
	if e.source.values != nil {
		e.source.values.reset(e.pool)
	}
	e.source, e.far = source{}, false
}

// field encodes a column, or the columns of a group, below the parent's stream.
func (e *encoder) field(g *rowGroup, f *field, parent *stream, depth int) error {
	if f.content == contentGroup {
		return e.fields(g, f, parent, depth)
	}
	e.leaf++
	if f.content.derived() {
		if !e.taken {
			return nil
		}
		return e.derive(f)
	}
	if e.taken = g.take(e.leaf); !e.taken {
		return nil
	}
	e.release()
	switch f.content {
	case contentType:
		e.constant(parent, []byte(e.layout.typ))
		return nil
	case contentRun:
		st, _ := e.at(depth)
		*st = stream{defs: appendRun(st.defs[:0], 1, parent.instances), max: 1, instances: parent.instances, reps: parent.reps}
		e.constant(st, e.run)
		return nil
	}
	c := g.column(f)
	have := c.values.count()
	if f.content == contentBoolean {
		have = uint32(len(c.booleans))
	}
	st, err := e.refine(f, c, have, parent, depth)
	if err != nil {
		return err
	}
	if f.content == contentBoolean {
		e.booleans(st, c.booleans)
		return nil
	}
	ch, err := e.column(st, &c.values, f.stats)
	if err != nil {
		return fmt.Errorf("column %s: %w", f.name, err)
	}
	e.source = source{stream: st, values: &c.values, chunk: ch}
	return nil
}

// looksFar reports whether PLAIN values have in common what lies far apart. Long
// ones are taken to be prose or markup.
func (e *encoder) looksFar(v *values) bool {
	const long = 100
	if v.plainCount == 0 || v.dict.width > 0 {
		return false
	}
	return v.plainBytes/int(v.plainCount) > long || e.tails.repeat(v.cursor())
}

// fields encodes the columns of a group.
func (e *encoder) fields(g *rowGroup, f *field, parent *stream, depth int) error {
	c := g.column(f)
	st, err := e.refine(f, c, c.instances, parent, depth)
	if err != nil {
		return err
	}
	for _, child := range f.fields {
		if err := e.field(g, child, st, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// refine makes the stream of a column, or of a group, which has so many values.
func (e *encoder) refine(f *field, c *cell, have uint32, parent *stream, depth int) (*stream, error) {
	st, reps := e.at(depth)
	if c.list {
		parent.list(&c.pres, &c.lengths, &c.itemPres, st, reps)
	} else {
		parent.single(&c.pres, st)
	}
	if have != st.instances {
		// Every value stands in a slot that its parents have, or the file would
		// tell another story than the lines.
		return nil, fmt.Errorf("column %s: %d values for %d slots", f.name, have, st.instances)
	}
	return st, nil
}

// at returns the stream and the repetition levels that are kept for a depth.
func (e *encoder) at(depth int) (*stream, *repetition) {
	for len(e.streams) <= depth {
		e.streams = append(e.streams, &stream{})
		e.reps = append(e.reps, &repetition{})
	}
	return e.streams[depth], e.reps[depth]
}

// column encodes a column of values.
func (e *encoder) column(st *stream, v *values, stats bool) (chunk, error) {
	width := indexWidth(v.dict.len())
	e.far = e.looksFar(v)
	c := e.begin(st, len(v.dict.plain)+v.plainBytes+int(v.count()-v.plainCount)*width/8+2*len(st.defs))
	if stats {
		c.min, c.max = bounds(v)
	}
	if v.dict.len() > 0 {
		e.dictionaryPage(&c, &v.dict)
	}
	e.beginData(&c)
	cut := newCutter(st)
	if err := e.dictPages(&c, &cut, v, width); err != nil {
		return c, err
	}
	if err := e.plainPages(&c, &cut, v); err != nil {
		return c, err
	}
	e.finish(&c)
	return c, nil
}

// dictPages writes the values that are dictionary-encoded.
func (e *encoder) dictPages(c *chunk, cut *cutter, v *values, width int) error {
	perPage := uint32(pageBytes * 8 / width)
	left := v.count() - v.plainCount
	for indexes := v.indexed(); left > 0; {
		want := min(left, perPage)
		if want == left && v.plainCount == 0 {
			want = all
		}
		from := *cut
		entries, n := cut.next(want)
		if n > left {
			return fmt.Errorf("dictionary ends within a row")
		}
		left -= n
		e.dataPage(c, from, entries, encodingDict, func(dst []byte) []byte {
			e.hybrid.reset(append(dst, byte(width)), width)
			for n > 0 {
				p := indexes.take(int(n))
				e.hybrid.addAll(p)
				n -= uint32(len(p))
			}
			return e.hybrid.finish()
		})
	}
	return nil
}

// indexWidth is the number of bits of the indexes into a dictionary. From the
// fifth bit on it is whole bytes: in those zstd finds what repeats.
func indexWidth(values int) int {
	width := max(widthOf(values-1), 1)
	if width > 4 {
		width = (width + 7) &^ 7
	}
	return width
}

// plainPages writes the other values, and the entries without a value that are
// left.
func (e *encoder) plainPages(c *chunk, cut *cutter, v *values) error {
	cursor := v.cursor()
	left := v.plainCount
	for !cut.done() {
		want := uint32(all)
		if fit := cursor.fit(pageBytes); fit < left {
			want = fit
		}
		from := *cut
		entries, n := cut.next(want)
		if n > left {
			return fmt.Errorf("%d values for %d slots", left, n)
		}
		e.dataPage(c, from, entries, encodingPlain, func(dst []byte) []byte {
			return cursor.appendTo(dst, n)
		})
		left -= n
	}
	return nil
}

// constant encodes a column that has the same value in every row.
func (e *encoder) constant(st *stream, value []byte) {
	c := e.begin(st, 0)
	var d dictionary
	d.index(value)
	e.dictionaryPage(&c, &d)
	e.beginData(&c)
	for cut := newCutter(st); !cut.done(); {
		from := cut
		entries, n := cut.next(all)
		e.dataPage(&c, from, entries, encodingDict, func(dst []byte) []byte {
			e.hybrid.reset(append(dst, 1), 1)
			e.hybrid.add(0, n)
			return e.hybrid.finish()
		})
	}
	e.finish(&c)
}

// booleans encodes a column of booleans, packed least significant bit first.
func (e *encoder) booleans(st *stream, values []byte) {
	c := e.begin(st, len(values)/8+2*len(st.defs))
	e.beginData(&c)
	for cut := newCutter(st); !cut.done(); {
		from := cut
		entries, n := cut.next(all)
		e.dataPage(&c, from, entries, encodingPlain, func(dst []byte) []byte {
			for i := 0; i < int(n); i += 8 {
				var b byte
				for k, v := range values[i:min(i+8, int(n))] {
					b |= v << k
				}
				dst = append(dst, b)
			}
			return dst
		})
		values = values[n:]
	}
	e.finish(&c)
}

// maxBound is the longest value that is kept as a minimum or maximum.
const maxBound = 256

// bounds returns the least and the greatest value: of texts by bytes, of
// timestamps by time. It returns nil when there is none or one is too long.
func bounds(v *values) (low, high []byte) {
	compare := bytes.Compare
	if v.dict.width == 8 {
		compare = func(a, b []byte) int {
			x, y := int64(binary.LittleEndian.Uint64(a)), int64(binary.LittleEndian.Uint64(b))
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		}
	}
	take := func(b []byte) {
		if low == nil || compare(b, low) < 0 {
			low = b
		}
		if high == nil || compare(b, high) > 0 {
			high = b
		}
	}
	for i := range v.dict.len() {
		take(v.dict.value(uint32(i)))
	}
	rest := v.cursor()
	for b := rest.next(); b != nil; b = rest.next() {
		take(b)
	}
	if len(low) > maxBound || len(high) > maxBound {
		return nil, nil
	}
	return bytes.Clone(low), bytes.Clone(high)
}
