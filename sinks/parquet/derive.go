package parquet

import (
	"encoding/binary"
	"fmt"
	"math"
)

// derivation is the working memory of derived columns.
type derivation struct {
	values values
	remap  []int32 // index in the derived dictionary by that in the source's; -1 is null
	fates  []verdict
	valid  []bool
	second []int64 // what the second of two columns has of each text: the first leaves it here
	at     int     // of second, to be taken next
	stream stream
	buf    [16]byte
}

// derive encodes the column that follows from the text column before it. A text
// is looked at once where it stands in the dictionary. When each entry has a
// value of its own, the data pages are those of the source, byte for byte, and
// only the dictionary page is new.
func (e *encoder) derive(f *field) error {
	d := &e.derived
	src := e.source.values
	v := &d.values
	v.dict.width = f.content.width()
	v.dict.seed = src.dict.seed
	v.sticky = false
	v.reset(e.pool)
	defer v.reset(e.pool)

	switch f.content {
	case contentStart, contentRefType:
		d.second = d.second[:0]
	}
	d.at = 0
	d.remap, d.fates = d.remap[:0], d.fates[:0]
	nulls, losses := 0, false
	for i := range src.dict.len() {
		out, fate := d.apply(f, src.dict.value(uint32(i)))
		losses = losses || fate != exact
		d.fates = append(d.fates, fate)
		if out == nil {
			d.remap = append(d.remap, -1)
			nulls++
			continue
		}
		k, _ := v.dict.index(out)
		d.remap = append(d.remap, int32(k))
	}
	if losses {
		indexes := src.indexed()
		for p := indexes.take(all); p != nil; p = indexes.take(all) {
			for _, i := range p {
				e.count(d.fates[i])
			}
		}
	}
	if src.plainCount == 0 && nulls == 0 && v.dict.len() == src.dict.len() && v.dict.len() > 0 {
		e.shared(v, f.stats)
		return nil
	}
	return e.remapped(f, nulls)
}

// width is that of the dictionary's values.
func (c content) width() int {
	switch c {
	case contentNumeric:
		return decimalBytes
	case contentStart, contentEnd:
		return 8
	case contentInteger:
		return 4
	}
	return 0
}

// apply derives a value; nil is null. Two columns follow from a date or a
// reference: the first looks at the texts, the second takes what was found.
func (d *derivation) apply(f *field, text []byte) ([]byte, verdict) {
	switch f.content {
	case contentNumeric:
		out := (*[decimalBytes]byte)(d.buf[:])
		fate := parseDecimal(text, out)
		if fate == overflow {
			return nil, fate
		}
		return out[:], fate
	case contentStart:
		start, end, ok := parseSpan(text, f.node.Element.Kind)
		if !ok {
			d.second = append(d.second, none)
			return nil, exact
		}
		d.second = append(d.second, end)
		return d.timestamp(start), exact
	case contentEnd:
		if end := d.next(); end != none {
			return d.timestamp(end), exact
		}
	case contentRefType:
		typ, id := splitReference(text)
		if id == nil {
			d.second = append(d.second, none)
			return nil, exact
		}
		from := cap(text) - cap(id) // id is a slice of text
		d.second = append(d.second, int64(from)<<32|int64(len(id)))
		return typ, exact
	case contentRefID:
		if at := d.next(); at != none {
			from := int(at >> 32)
			return text[from : from+int(uint32(at))], exact
		}
	}
	return nil, exact
}

// none stands in second for null.
const none = math.MinInt64

func (d *derivation) next() int64 {
	d.at++
	return d.second[d.at-1]
}

func (d *derivation) timestamp(at int64) []byte {
	binary.LittleEndian.PutUint64(d.buf[:], uint64(at))
	return d.buf[:8]
}

func (e *encoder) count(fate verdict) {
	switch fate {
	case rounded:
		e.losses.Rounded++
	case overflow:
		e.losses.Overflow++
	}
}

// shared writes the column with the source's data pages.
func (e *encoder) shared(v *values, stats bool) {
	src := e.source.chunk
	c := src
	c.leaf, c.pieces, c.size, c.dataPiece = e.leaf, nil, 0, 0
	c.min, c.max = nil, nil
	if stats {
		c.min, c.max = bounds(v)
	}
	c.uncompressed = 0
	e.dictionaryPage(&c, &v.dict)
	e.beginData(&c)
	c.pieces = append(c.pieces, src.pieces[src.dataPiece:]...)
	c.size += src.size - src.dataAt
	c.uncompressed += src.data
	e.finish(&c)
}

// remapped writes the column with pages of its own: values that were distinct
// as texts are equal now, or some are null.
func (e *encoder) remapped(f *field, nulls int) error {
	d := &e.derived
	src, st := e.source.values, e.source.stream
	v := &d.values
	d.valid = d.valid[:0]
	indexes := src.indexed()
	for p := indexes.take(all); p != nil; p = indexes.take(all) {
		for _, i := range p {
			k := d.remap[i]
			if k >= 0 {
				v.indexes = append(v.indexes, uint32(k))
			}
			d.valid = append(d.valid, k >= 0)
		}
	}
	// Few types occur: their dictionary serves to the end.
	v.plain = src.plainCount > 0 && f.content != contentRefType
	rest := src.cursor()
	for text := rest.next(); text != nil; text = rest.next() {
		out, fate := d.apply(f, text)
		e.count(fate)
		d.valid = append(d.valid, out != nil)
		if out == nil {
			nulls++
			continue
		}
		v.add(out, e.pool)
	}
	if nulls > 0 {
		st.without(d.valid, &d.stream)
		st = &d.stream
	}
	if v.count() != st.instances {
		return fmt.Errorf("column %s: %d values for %d slots", f.name, v.count(), st.instances)
	}
	if _, err := e.column(st, v, f.stats); err != nil {
		return fmt.Errorf("column %s: %w", f.name, err)
	}
	return nil
}
