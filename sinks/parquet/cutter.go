package parquet

import (
	"encoding/binary"
	"math"
)

// Bounds of a data page.
const (
	pageBytes   = 2 << 20 // of encoded values; a single row may exceed it
	pageEntries = 1 << 20
)

// cutter walks over the entries of a leaf and cuts them into pages at the
// borders of rows.
type cutter struct {
	stream *stream
	defs   runCursor
	reps   runCursor
}

func newCutter(s *stream) cutter {
	return cutter{stream: s, defs: runCursor{runs: s.defs}, reps: runCursor{runs: s.reps.runs}}
}

// done reports whether all entries are taken.
func (c *cutter) done() bool { return len(c.defs.runs) == 0 }

// next takes entries up to the first border of rows where at least want values
// are together, and tells how many entries and values they are.
func (c *cutter) next(want uint32) (entries, values uint32) {
	for !c.done() {
		def, n := c.defs.left()
		if c.stream.reps.max > 0 {
			rep, m := c.reps.left()
			n = min(n, m)
			if rep > 0 {
				// The rest of a row begun stays with it.
				entries += n
				if def == c.stream.max {
					values += n
				}
				c.defs.take(n)
				c.reps.take(n)
				continue
			}
		}
		if values >= want || entries >= pageEntries {
			return entries, values
		}
		n = min(n, pageEntries-entries)
		if def == c.stream.max {
			n = min(n, want-values)
			values += n
		}
		entries += n
		c.defs.take(n)
		if c.stream.reps.max > 0 {
			c.reps.take(n)
		}
	}
	return entries, values
}

// appendLevels appends the encoded levels of the next entries, as a data page
// begins. The cutter is one that has not taken them yet.
func (c cutter) appendLevels(dst []byte, entries uint32, h *hybrid) []byte {
	if c.stream.reps.max > 0 {
		whole := entries == c.stream.reps.entries
		if !whole || c.stream.reps.encoded == nil {
			at := len(dst)
			dst = appendRuns(dst, c.reps, entries, c.stream.reps.max, h)
			if whole {
				c.stream.reps.encoded = append([]byte{}, dst[at:]...)
			}
		} else {
			dst = append(dst, c.stream.reps.encoded...)
		}
	}
	if c.stream.max > 0 {
		dst = appendRuns(dst, c.defs, entries, c.stream.max, h)
	}
	return dst
}

// appendRuns appends the levels of the next entries behind their length.
func appendRuns(dst []byte, c runCursor, entries, most uint32, h *hybrid) []byte {
	at := len(dst)
	h.reset(append(dst, 0, 0, 0, 0), widthOf(int(most)))
	for entries > 0 {
		level, n := c.take(entries)
		h.add(level, n)
		entries -= n
	}
	dst = h.finish()
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// all asks for every value that is left.
const all = math.MaxUint32
