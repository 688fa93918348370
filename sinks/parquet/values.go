package parquet

import (
	"encoding/binary"
	"slices"
	"sync"
)

// segmentSize is how much PLAIN text one segment holds, unless a single value
// is longer.
const segmentSize = 256 << 10

// When a dictionary is looked at, and when it is given up. A column whose
// values hardly repeat is written PLAIN from the start; one whose dictionary
// grows too large goes on PLAIN, and what it has stays dictionary-encoded.
const (
	firstLookCount = 2048
	firstLookBytes = 128 << 10
	maxDictBytes   = 4 << 20
	maxDistinct    = 0.7 // distinct values over all
)

// segments is a pool of segments. Several goroutines may use it at once.
type segments struct {
	mu   sync.Mutex
	free [][]byte
}

func (s *segments) get() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		b := s.free[n-1]
		s.free = s.free[:n-1]
		return b[:0]
	}
	return make([]byte, 0, segmentSize)
}

func (s *segments) put(b []byte) {
	if cap(b) == segmentSize {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.free = append(s.free, b)
	}
}

// values holds the values of a column of one row group: first those that are
// dictionary-encoded, then those that are PLAIN. Values are bytes: texts of any
// length, or numbers of the dictionary's width.
type values struct {
	plain     bool // values are appended to open
	sticky    bool // the next row groups begin PLAIN
	lastIndex uint32
	last      []byte // the value of lastIndex
	indexes   []uint32
	joined    [][]uint32 // indexes of other workers' rows that follow
	dict      dictionary
	lookCount int // sizes of the dictionary at which it is looked at
	lookBytes int

	open       []byte
	plainCount uint32
	plainBytes int
	sealed     [][]byte
}

// add appends a value. It reports whether the dictionary is to be looked at by
// calling settle, between two rows: pages begin where rows do.
func (t *values) add(v []byte, pool *segments) (look bool) {
	if t.plain {
		t.addPlain(v, pool)
		return false
	}
	t.indexes = room(t.indexes, 1)
	if string(v) == string(t.last) && len(t.indexes) > 0 {
		t.indexes = append(t.indexes, t.lastIndex)
		return false
	}
	i, isNew := t.dict.index(v)
	t.indexes = append(t.indexes, i)
	t.last, t.lastIndex = t.dict.value(i), i
	return isNew && (len(t.dict.offsets) >= t.lookCount || len(t.dict.plain) >= t.lookBytes)
}

// settle decides whether the column goes on with its dictionary.
func (t *values) settle(pool *segments) {
	if t.plain {
		return
	}
	if float64(t.dict.len()) > maxDistinct*float64(len(t.indexes)) {
		t.plain, t.sticky = true, true
		for _, i := range t.indexes {
			t.addPlain(t.dict.value(i), pool)
		}
		t.dict.reset()
		t.indexes, t.last = t.indexes[:0], nil
		return
	}
	if len(t.dict.plain) >= maxDictBytes {
		t.plain = true
		return
	}
	t.lookCount = max(t.lookCount, 2*t.dict.len())
	t.lookBytes = max(t.lookBytes, min(2*len(t.dict.plain), maxDictBytes))
}

func (t *values) addPlain(v []byte, pool *segments) {
	need := len(v)
	if t.dict.width == 0 {
		need += 4
	}
	if len(t.open)+need > segmentSize && len(t.open) > 0 {
		t.sealed = append(t.sealed, t.open)
		t.open = nil
		if need <= segmentSize {
			t.open = pool.get()
		}
	}
	if n := len(t.open); n >= segmentSize/16 && cap(t.open) < segmentSize && n+need <= segmentSize {
		t.open = append(pool.get(), t.open...)
	}
	t.open = room(t.open, need)
	if t.dict.width == 0 {
		t.open = binary.LittleEndian.AppendUint32(t.open, uint32(len(v)))
	}
	t.open = append(t.open, v...)
	t.plainCount++
	t.plainBytes += need
}

// room makes room for n more elements. It doubles what there is: append would
// grow large slices by a quarter and copy them four times over.
func room[T any](s []T, n int) []T {
	if len(s)+n <= cap(s) {
		return s
	}
	return slices.Grow(s, max(n, len(s), 64))
}

// mostReused is the greatest buffer that is kept for the next value or page: what
// a long string needed is given back.
const mostReused = 2 * maxDictBytes

// reusable empties the buffer.
func reusable(b []byte) []byte {
	if cap(b) > mostReused {
		return nil
	}
	return b[:0]
}

// join appends the values of another worker's rows, which that worker must not
// touch until both have been reset.
func (t *values) join(u *values, pool *segments) {
	switch {
	case u.dict.len() == 0:
	case t.plainCount > 0 && u.short():
		// Behind PLAIN values no page has a dictionary again.
		for _, i := range u.indexes {
			t.addPlain(u.dict.value(i), pool)
		}
	default:
		t.fold(pool)
		now := make([]uint32, u.dict.len()) // index here by index there
		for i := range now {
			now[i], _ = t.dict.index(u.dict.value(uint32(i)))
		}
		for i, k := range u.indexes {
			u.indexes[i] = now[k]
		}
		t.joined = append(t.joined, u.indexes)
	}
	if u.plainCount > 0 {
		t.joinPlain(u, pool)
	}
}

// short reports whether the values of the dictionary would not take much memory
// as PLAIN ones, each as often as it occurs (I8).
func (t *values) short() bool {
	n := 0
	for _, i := range t.indexes {
		if n += 4 + len(t.dict.value(i)); n > maxDictBytes {
			return false
		}
	}
	return true
}

// fold puts the PLAIN values into the dictionary.
func (t *values) fold(pool *segments) {
	if t.plainCount == 0 {
		return
	}
	indexes := make([]uint32, 0, t.plainCount)
	cursor := t.cursor()
	for v := cursor.next(); v != nil; v = cursor.next() {
		i, _ := t.dict.index(v)
		indexes = append(indexes, i)
	}
	t.joined = append(t.joined, indexes)
	for _, s := range t.sealed {
		pool.put(s)
	}
	clear(t.sealed)
	t.sealed, t.open = t.sealed[:0], t.open[:0]
	t.plainCount, t.plainBytes = 0, 0
}

// joinPlain takes over the PLAIN values.
func (t *values) joinPlain(u *values, pool *segments) {
	if len(u.sealed) == 0 && len(t.open)+len(u.open) <= segmentSize {
		t.open = append(room(t.open, len(u.open)), u.open...)
	} else {
		if len(t.open) > 0 {
			t.sealed = append(t.sealed, t.open)
		}
		t.sealed = append(t.sealed, u.sealed...)
		clear(u.sealed)
		t.open, u.open, u.sealed = u.open, nil, u.sealed[:0]
	}
	t.plainCount += u.plainCount
	t.plainBytes += u.plainBytes
}

// count is how many values there are.
func (t *values) count() uint32 {
	n := uint32(len(t.indexes)) + t.plainCount
	for _, p := range t.joined {
		n += uint32(len(p))
	}
	return n
}

// indexed returns the indexes of all values that are dictionary-encoded.
func (t *values) indexed() indexCursor {
	return append(indexCursor{t.indexes}, t.joined...)
}

// indexCursor reads indexes in order, stretch by stretch.
type indexCursor [][]uint32

// take returns the next indexes, at most n of them, and nil at the end.
func (c *indexCursor) take(n int) []uint32 {
	for len(*c) > 0 && len((*c)[0]) == 0 {
		*c = (*c)[1:]
	}
	if len(*c) == 0 {
		return nil
	}
	p := (*c)[0]
	p = p[:min(n, len(p))]
	(*c)[0] = (*c)[0][len(p):]
	return p
}

// cursor reads the PLAIN values.
func (t *values) cursor() plainCursor {
	return plainCursor{segments: append(t.sealed[:len(t.sealed):len(t.sealed)], t.open), width: t.dict.width}
}

// plainCursor reads encoded values in order.
type plainCursor struct {
	segments [][]byte
	at       int // within the first segment
	width    int
}

// size is the length of the encoded value at the cursor, its own length
// included; 0 at the end.
func (c *plainCursor) size() int {
	for len(c.segments) > 0 && c.at == len(c.segments[0]) {
		c.segments, c.at = c.segments[1:], 0
	}
	switch {
	case len(c.segments) == 0:
		return 0
	case c.width > 0:
		return c.width
	}
	return 4 + int(binary.LittleEndian.Uint32(c.segments[0][c.at:]))
}

// next returns the next value, nil at the end.
func (c *plainCursor) next() []byte {
	n := c.size()
	if n == 0 {
		return nil
	}
	v := c.segments[0][c.at : c.at+n]
	c.at += n
	if c.width == 0 {
		v = v[4:]
	}
	return v
}

// fit is how many of the next values have at most limit bytes together, at
// least one.
func (c plainCursor) fit(limit int) uint32 {
	var n uint32
	for used := 0; ; n++ {
		size := c.size()
		if size == 0 {
			break
		}
		if used += size; used > limit && n > 0 {
			break
		}
		c.at += size
	}
	return n
}

// appendTo appends n encoded values and moves on.
func (c *plainCursor) appendTo(dst []byte, n uint32) []byte {
	for n > 0 {
		c.size()
		from := c.at
		for n > 0 && c.at < len(c.segments[0]) {
			c.at += c.size()
			n--
		}
		dst = append(dst, c.segments[0][from:c.at]...)
	}
	return dst
}

// reset begins a new row group.
func (t *values) reset(pool *segments) {
	for _, seg := range t.sealed {
		pool.put(seg)
	}
	clear(t.sealed)
	t.sealed = t.sealed[:0]
	if cap(t.open) > segmentSize {
		t.open = nil
	}
	t.open = t.open[:0]
	t.dict.reset()
	t.indexes, t.last = t.indexes[:0], nil
	clear(t.joined)
	t.joined = t.joined[:0]
	t.plain = t.sticky
	t.plainCount, t.plainBytes = 0, 0
	t.lookCount, t.lookBytes = firstLookCount, firstLookBytes
}
