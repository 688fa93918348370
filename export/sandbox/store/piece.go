package store

import (
	"fmt"
	"sort"
)

// Piece is a run of whole lines of one file of the folder.
type Piece struct {
	Path   string // of the file
	Offset int64
	Length int64
	Lines  int
}

// Pieces cuts the files of a pristine type at line ends into pieces of at most
// maxBytes and maxLines; a line that is longer makes a piece of its own, and 0
// is no limit. Together the pieces are the files, byte for byte.
func (v *View) Pieces(typ string, maxBytes int64, maxLines int) ([]Piece, error) {
	if !v.Pristine(typ) {
		return nil, fmt.Errorf("%s has changed since the folder was read", typ)
	}
	t := v.types[typ].base
	var out []Piece
	r := v.Reader(typ)
	defer r.Close()
	for i, s := range t.segments {
		if s.Rows == 0 {
			continue
		}
		end := t.first[i] + s.Rows
		offset := int64(0) // blank lines before the first belong to it
		for n := t.first[i]; n < end; {
			next := end
			if maxLines > 0 {
				next = min(next, n+uint32(maxLines))
			}
			if maxBytes > 0 {
				var failed error
				// The first row that ends beyond the limit, and at least one row on.
				fit := sort.Search(int(next-n), func(k int) bool {
					row, err := r.row(n + uint32(k))
					if err != nil {
						failed = err
						return true
					}
					return row.offset+int64(row.length)+1-offset > maxBytes
				})
				if failed != nil {
					return nil, failed
				}
				next = n + uint32(max(fit, 1))
			}
			stop := s.Size
			if next < end {
				row, err := r.row(next)
				if err != nil {
					return nil, err
				}
				stop = row.offset
			}
			out = append(out, Piece{Path: s.Path, Offset: offset, Length: stop - offset, Lines: int(next - n)})
			n, offset = next, stop
		}
	}
	return out, nil
}
