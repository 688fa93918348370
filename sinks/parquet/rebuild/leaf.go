package rebuild

import (
	"fmt"
	"strconv"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"
)

// kind says how the value of a leaf becomes JSON.
type kind uint8

const (
	quoted  kind = iota // text that becomes a JSON string
	raw                 // text that is JSON already
	integer             // INT32
	boolean             // BOOLEAN
)

// step is a member on the way from the root to a leaf.
type step struct {
	name string
	def  int16 // definition level from which the member is there
	item int16 // definition level from which its value, or the list's item, is not null
	rep  int16 // repetition level of the list's items
	list bool
}

// batch is how many entries of a column are read at once.
const batch = 1024

// leaf reads one column.
type leaf struct {
	column int
	path   []step
	kind   kind
	max    int16
	index  []int // the open item of each list of the path

	reader file.ColumnChunkReader
	defs   []int16
	reps   []int16
	texts  []parquet.ByteArray
	ints   []int32
	bools  []bool
	have   int // entries in the buffers
	at     int // the next one
	value  int // the next value
	text   []byte
}

// row yields the entries of the next row: the value as JSON where the level is
// max, nil elsewhere.
func (l *leaf) row(yield func(text []byte, def int16)) error {
	for first := true; ; first = false {
		if l.at == l.have {
			more, err := l.fill()
			if err != nil {
				return err
			}
			if !more {
				if first {
					return fmt.Errorf("column %s has fewer rows than its group", l.path[len(l.path)-1].name)
				}
				return nil
			}
		}
		rep := l.reps[l.at]
		if rep == 0 && !first {
			return nil
		}
		for i, s := range l.path {
			switch {
			case !s.list:
			case rep < s.rep:
				l.index[i] = 0
			case rep == s.rep:
				l.index[i]++
			}
		}
		def := l.defs[l.at]
		l.at++
		if def != l.max {
			yield(nil, def)
			continue
		}
		yield(l.json(l.value), def)
		l.value++
	}
}

// fill reads the next entries.
func (l *leaf) fill() (bool, error) {
	if l.defs == nil {
		l.defs, l.reps = make([]int16, batch), make([]int16, batch)
	}
	clear(l.reps)
	var n int64
	var err error
	switch r := l.reader.(type) {
	case *file.ByteArrayColumnChunkReader:
		if l.texts == nil {
			l.texts = make([]parquet.ByteArray, batch)
		}
		n, _, err = r.ReadBatch(batch, l.texts, l.defs, l.reps)
	case *file.Int32ColumnChunkReader:
		if l.ints == nil {
			l.ints = make([]int32, batch)
		}
		n, _, err = r.ReadBatch(batch, l.ints, l.defs, l.reps)
	case *file.BooleanColumnChunkReader:
		if l.bools == nil {
			l.bools = make([]bool, batch)
		}
		n, _, err = r.ReadBatch(batch, l.bools, l.defs, l.reps)
	default:
		return false, fmt.Errorf("column %s has an unexpected physical type", l.path[len(l.path)-1].name)
	}
	if err == nil {
		err = l.reader.Err()
	}
	if err != nil {
		return false, fmt.Errorf("read column %s: %w", l.path[len(l.path)-1].name, err)
	}
	if l.max == 0 {
		clear(l.defs)
	}
	l.have, l.at, l.value = int(n), 0, 0
	return n > 0, nil
}

// json is the i-th value of the batch as JSON text; for __unmapped, which is
// JSON in itself, and raw leaves it is the text.
func (l *leaf) json(i int) []byte {
	switch l.kind {
	case integer:
		l.text = strconv.AppendInt(l.text[:0], int64(l.ints[i]), 10)
	case boolean:
		l.text = strconv.AppendBool(l.text[:0], l.bools[i])
	case raw:
		return l.texts[i]
	default:
		l.text = appendString(l.text[:0], l.texts[i])
	}
	return l.text
}

// insert puts an entry into the row's tree.
func (l *leaf) insert(v *value, text []byte, def int16) {
	last := len(l.path) - 1
	for i, s := range l.path {
		if def < s.def {
			return
		}
		at := v.member(s.name)
		if s.list {
			at.kind = array
			if def < s.item-1 {
				return // an empty list
			}
			at = at.item(l.index[i])
			if def < s.item {
				return // a null item
			}
		}
		if i == last {
			at.kind, at.text = scalar, append(at.text[:0], text...)
			return
		}
		at.kind = object
		v = at
	}
}
