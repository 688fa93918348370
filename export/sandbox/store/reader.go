package store

import "os"

// Reader reads the rows of one type and their lines. It belongs to one
// goroutine, which closes it.
type Reader struct {
	layer *layer
	chunk []byte // of row records, from row number first on
	first int
	file  *os.File // of the segment that was read last
	open  uint32
	ahead []byte // of the file, from offset at on
	at    int64
	next  int64 // end of the line that was read last
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
		r.file, r.open, r.ahead, r.next = f, row.segment, r.ahead[:0], 0
	}
	end := row.offset + int64(row.length)
	if row.offset < r.at || end > r.at+int64(len(r.ahead)) {
		if err := r.fill(row); err != nil {
			return nil, err
		}
	}
	r.next = end
	return r.ahead[row.offset-r.at : end-r.at], nil
}

// readAhead is how many bytes are read where lines are read in a row.
const readAhead = 128 << 10

// fill reads the row's line, and what follows when the row is close behind the
// line that was read last.
func (r *Reader) fill(row Row) error {
	size := int64(row.length)
	if gap := row.offset - r.next; gap >= 0 && gap < readAhead/8 {
		size = max(size, min(readAhead, r.layer.base.segments[row.segment].Size-row.offset))
	}
	if int64(cap(r.ahead)) < size {
		r.ahead = make([]byte, size+size/4)
	}
	r.ahead, r.at = r.ahead[:size], row.offset
	if _, err := r.file.ReadAt(r.ahead, row.offset); err != nil {
		r.ahead = r.ahead[:0]
		return err
	}
	return nil
}

// IDOf returns the id of a line's resource, "" when it has none.
func IDOf(line []byte) string {
	var id string
	scan(line, idOnly, func(_ leaf, text []byte) { id = string(text) })
	return id
}

var idOnly = &node{children: map[string]*node{"id": {leaf: leafID}}}
