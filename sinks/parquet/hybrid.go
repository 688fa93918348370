package parquet

import (
	"encoding/binary"
	"math/bits"
)

// This file encodes the RLE/bit-packed hybrid of the Parquet format: levels and
// dictionary indexes.
//
// Source: https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE

// run is a repeated level: n entries of one value.
type run struct {
	n     uint32
	level uint32
}

// appendRun adds n entries of a level and joins them with the run before where
// they can be.
func appendRun(runs []run, level, n uint32) []run {
	if n == 0 {
		return runs
	}
	if k := len(runs); k > 0 && runs[k-1].level == level {
		runs[k-1].n += n
		return runs
	}
	return append(runs, run{n: n, level: level})
}

// hybrid writes values of a fixed bit width. Short runs are gathered in groups
// of eight for bit packing, a run that covers a whole group or more becomes an
// RLE run.
type hybrid struct {
	dst     []byte
	width   uint
	pending []uint32 // bit-packed values not written yet; full groups but for the last
}

// maxPending bounds a bit-packed run: 64 groups have a header of two bytes.
const maxPending = 64 * 8

func (h *hybrid) reset(dst []byte, width int) {
	h.dst, h.width = dst, uint(width)
	h.pending = h.pending[:0]
}

// add appends n times the value.
func (h *hybrid) add(value, n uint32) {
	if open := uint32(len(h.pending)) & 7; open != 0 {
		k := min(8-open, n)
		for range k {
			h.pending = append(h.pending, value)
		}
		n -= k
	}
	if n >= 8 {
		h.flush()
		h.dst = binary.AppendUvarint(h.dst, uint64(n)<<1)
		for s := uint(0); s < h.width; s += 8 {
			h.dst = append(h.dst, byte(value>>s))
		}
		return
	}
	if n > 0 {
		if len(h.pending) >= maxPending {
			h.flush()
		}
		for range n {
			h.pending = append(h.pending, value)
		}
	}
}

// addAll appends the values. It looks for runs only at group borders, which is
// where an RLE run can begin without loss.
func (h *hybrid) addAll(values []uint32) {
	for len(values) > 0 {
		v := values[0]
		n := 1
		for n < len(values) && values[n] == v { // the run that begins here
			n++
		}
		if n < 8 && len(h.pending)&7 == 0 {
			// No long run begins here: pack one group at once.
			k := min(8, len(values))
			if len(h.pending) >= maxPending {
				h.flush()
			}
			h.pending = append(h.pending, values[:k]...)
			values = values[k:]
			continue
		}
		h.add(v, uint32(n))
		values = values[n:]
	}
}

// flush writes what is pending as one bit-packed run. Only the last run of a
// stream may hold a group that is not full; it is filled with zeros.
func (h *hybrid) flush() {
	if len(h.pending) == 0 {
		return
	}
	for len(h.pending)&7 != 0 {
		h.pending = append(h.pending, 0)
	}
	h.dst = binary.AppendUvarint(h.dst, uint64(len(h.pending)/8)<<1|1)
	h.dst = appendPacked(h.dst, h.pending, h.width)
	h.pending = h.pending[:0]
}

// finish returns the encoded bytes.
func (h *hybrid) finish() []byte {
	h.flush()
	dst := h.dst
	h.dst = nil
	return dst
}

// appendPacked appends the values, a multiple of eight, with width bits each,
// least significant bit first.
func appendPacked(dst []byte, values []uint32, width uint) []byte {
	var acc uint64
	var have uint
	for _, v := range values {
		acc |= uint64(v) << have
		have += width
		if have >= 32 {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(acc))
			acc >>= 32
			have -= 32
		}
	}
	for ; have > 0; have -= min(have, 8) {
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	return dst
}

// widthOf is the number of bits that hold the values 0 to most.
func widthOf(most int) int { return bits.Len(uint(most)) }
