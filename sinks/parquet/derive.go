package parquet

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// derivation is the working memory of derived columns.
type derivation struct {
	values values
	remap  []int32 // index in the derived dictionary by that in the source's; -1 is null
	fates  []verdict
	valid  []bool
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

// apply derives a value; nil is null.
func (d *derivation) apply(f *field, text []byte) ([]byte, verdict) {
	switch f.content {
	case contentNumeric:
		out := (*[decimalBytes]byte)(d.buf[:])
		fate := parseDecimal(text, out)
		if fate == overflow {
			return nil, fate
		}
		return out[:], fate
	case contentStart, contentEnd:
		start, end, ok := parseSpan(text, f.node.Element.Kind)
		if !ok {
			return nil, exact
		}
		if f.content == contentEnd {
			start = end
		}
		binary.LittleEndian.PutUint64(d.buf[:], uint64(start))
		return d.buf[:8], exact
	case contentRefType:
		if bytes.HasPrefix(text, []byte(urnUUID)) {
			return nil, exact
		}
		typ, _ := splitReference(text)
		return typ, exact
	case contentRefID:
		_, id := splitReference(text)
		return id, exact
	}
	return nil, exact
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
	c.leaf, c.start = e.leaf, len(e.bytes)
	c.min, c.max = nil, nil
	if stats {
		c.min, c.max = bounds(v)
	}
	c.uncompressed = 0
	e.dictionaryPage(&c, &v.dict)
	e.beginData(&c)
	e.bytes = append(e.bytes, e.bytes[src.start+int(src.dataAt):src.end]...)
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
