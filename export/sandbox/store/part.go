package store

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// part is one segment's share of a type's index.
type part struct {
	segment
	rows, ids, refs string // paths of unsorted records
	nIDs, nRefs     int
}

// partWriter gathers a segment's index records.
type partWriter struct {
	part     *part
	typ      string
	tree     *node
	fallback int64 // lastUpdated of lines that have none: the file's time
	patient  bool
	files    [3]*os.File
	out      [3]*bufio.Writer
	buf      []byte
}

func (b *builder) newPart(i int, typ string, src source) (*partWriter, error) {
	w := &partWriter{part: new(part), typ: typ, tree: b.tree(typ), fallback: src.changed.UnixMicro(), patient: typ == "Patient"}
	for n, name := range []*string{&w.part.rows, &w.part.ids, &w.part.refs} {
		*name = filepath.Join(b.dir, fmt.Sprintf("part-%d-%s.%d", i, typ, n))
		f, err := os.OpenFile(*name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.files[n], w.out[n] = f, bufio.NewWriterSize(f, 64<<10)
	}
	return w, nil
}

func (w *partWriter) close() error {
	var errs []error
	for n, f := range w.files {
		if f != nil {
			errs = append(errs, w.out[n].Flush(), f.Close())
		}
	}
	return errors.Join(errs...)
}

// add indexes a line at the offset of its segment.
func (w *partWriter) add(offset int64, line []byte) error {
	if w.part.Rows == math.MaxUint32 || len(line) > math.MaxUint32 {
		return errors.New("the file is beyond the index's limits")
	}
	row := Row{N: w.part.Rows, offset: offset, length: uint32(len(line)), Updated: w.fallback}
	var mixed bool
	var failed error
	var last uint64
	scan(line, w.tree, func(l leaf, text []byte) {
		switch l {
		case leafType:
			mixed = mixed || string(text) != w.typ
		case leafID:
			w.part.nIDs++
			failed = errors.Join(failed, w.key(1, key{hash(string(text)), row.N}))
			if w.patient {
				w.part.nRefs++
				failed = errors.Join(failed, w.key(2, key{hash(string(text)), row.N}))
			}
		case leafUpdated:
			if at, ok := parseInstant(string(text)); ok {
				row.Updated = at
			}
		case leafReference:
			id, ok := patientOf(string(text))
			if h := hash(id); ok && h != last {
				last = h
				w.part.nRefs++
				failed = errors.Join(failed, w.key(2, key{h, row.N}))
			}
		}
	})
	if mixed {
		return errMixed
	}
	w.part.Rows++
	w.buf = appendRow(w.buf[:0], row)
	_, err := w.out[0].Write(w.buf)
	return errors.Join(failed, err)
}

func (w *partWriter) key(file int, k key) error {
	w.buf = appendKey(w.buf[:0], k)
	_, err := w.out[file].Write(w.buf)
	return err
}
