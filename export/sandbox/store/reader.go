package store

import (
	"os"
)

// Reader reads the rows of one type and their lines. It belongs to one
// goroutine, which closes it.
type Reader struct {
	layer *layer
	chunk []byte // of row records, from row number first on
	first int
	file  *os.File // of the segment that was read last
	open  uint32
	line  []byte
}

// chunkRows is how many row records are read at a time.
const chunkRows = 1024

// Reader returns a Reader of the type's rows.
func (v *View) Reader(typ string) *Reader { return &Reader{layer: v.types[typ]} }

// Close releases the file that is open.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// Next returns the first row of the set, from number n on, that is not gone.
func (r *Reader) Next(n uint32, rows *Rows) (row Row, ok bool, err error) {
	if r.layer == nil {
		return row, false, nil
	}
	for ; ; n++ {
		if n, ok = rows.next(n); !ok || int(n) >= r.layer.rows() {
			return row, false, nil
		}
		if _, gone := r.layer.gone[n]; gone {
			continue
		}
		row, err = r.row(n)
		return row, err == nil, err
	}
}

func (r *Reader) row(n uint32) (Row, error) {
	base := r.layer.baseRows()
	if int(n) >= base {
		return r.layer.version(int(n) - base), nil
	}
	if at := int(n) - r.first; r.chunk == nil || at < 0 || at >= len(r.chunk)/rowSize {
		r.first = int(n)
		size := min(chunkRows, base-r.first) * rowSize
		if cap(r.chunk) < size {
			r.chunk = make([]byte, size)
		}
		r.chunk = r.chunk[:size]
		if err := r.layer.base.rows.read(r.chunk, r.first); err != nil {
			r.chunk = nil
			return Row{}, err
		}
	}
	return decodeRow(r.chunk[(int(n)-r.first)*rowSize:], n), nil
}

// Line returns the row's line without its line end. It is valid until the next
// call.
func (r *Reader) Line(row Row) ([]byte, error) {
	if row.segment == inMemory {
		return r.layer.added[int(row.N)-r.layer.baseRows()].line, nil
	}
	if r.file == nil || r.open != row.segment {
		if err := r.Close(); err != nil {
			return nil, err
		}
		f, err := os.Open(r.layer.base.segments[row.segment].Path)
		if err != nil {
			return nil, err
		}
		r.file, r.open = f, row.segment
	}
	if cap(r.line) < int(row.length) {
		r.line = make([]byte, int(row.length)+int(row.length)/4)
	}
	r.line = r.line[:row.length]
	_, err := r.file.ReadAt(r.line, row.offset)
	return r.line, err
}

// IDOf returns the id of a line's resource, "" when it has none.
func IDOf(line []byte) string {
	var id string
	scan(line, idOnly, func(_ leaf, text []byte) { id = string(text) })
	return id
}

var idOnly = &node{children: map[string]*node{"id": {leaf: leafID}}}
