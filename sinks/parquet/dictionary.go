package parquet

import (
	"encoding/binary"
	"math/bits"
)

// dictionary numbers the distinct values of a column in order of sight. They
// are kept in the PLAIN encoding of the dictionary page: with their length
// before them, or without when all have the same width.
type dictionary struct {
	width   int // bytes of a value; 0 when values have a length of their own
	plain   []byte
	offsets []uint32 // of each value within plain, behind its length
	slots   []slot   // open addressing; a power of two
	seed    uint64
}

type slot struct {
	hash  uint32 // 0 is an empty slot
	index uint32
}

const firstSlots = 64

func (d *dictionary) len() int { return len(d.offsets) }

// value returns the value with the index.
func (d *dictionary) value(i uint32) []byte {
	off := d.offsets[i]
	n := uint32(d.width)
	if n == 0 {
		n = binary.LittleEndian.Uint32(d.plain[off-4:])
	}
	return d.plain[off : off+n]
}

// index returns the index of the value, and whether it is new.
func (d *dictionary) index(v []byte) (uint32, bool) {
	if len(d.slots) == 0 {
		d.slots = make([]slot, firstSlots)
	}
	h := hash(v, d.seed)
	mask := uint32(len(d.slots) - 1)
	at := h & mask
	for {
		s := d.slots[at]
		if s.hash == 0 {
			break
		}
		if s.hash == h && string(d.value(s.index)) == string(v) {
			return s.index, false
		}
		at = (at + 1) & mask
	}
	i := uint32(len(d.offsets))
	d.plain = room(d.plain, 4+len(v))
	d.offsets = room(d.offsets, 1)
	if d.width == 0 {
		d.plain = binary.LittleEndian.AppendUint32(d.plain, uint32(len(v)))
	}
	d.offsets = append(d.offsets, uint32(len(d.plain)))
	d.plain = append(d.plain, v...)
	d.slots[at] = slot{hash: h, index: i}
	if len(d.offsets)*2 > len(d.slots) {
		d.grow()
	}
	return i, true
}

func (d *dictionary) grow() {
	old := d.slots
	d.slots = make([]slot, len(old)*4)
	mask := uint32(len(d.slots) - 1)
	for _, s := range old {
		if s.hash == 0 {
			continue
		}
		at := s.hash & mask
		for d.slots[at].hash != 0 {
			at = (at + 1) & mask
		}
		d.slots[at] = s
	}
}

// reset forgets the values and keeps the memory.
func (d *dictionary) reset() {
	if len(d.offsets) > 0 {
		clear(d.slots)
	}
	d.plain, d.offsets = reusable(d.plain), d.offsets[:0]
}

// bytes is how much memory the values take.
func (d *dictionary) bytes() int {
	return len(d.plain) + 32*len(d.offsets)
}

// Odd constants of the mixing steps (from the golden ratio and wyhash).
const (
	mix1 = 0x9E3779B97F4A7C15
	mix2 = 0xE7037ED1A0B428DB
	mix3 = 0x8EBC6AF09C88C6E3
)

// hash mixes the bytes with a seed of the process, so that nobody can prepare
// values that collide. It is never 0.
func hash(b []byte, seed uint64) uint32 {
	n := len(b)
	var x, y uint64
	h := seed ^ uint64(n)*mix1
	switch {
	case n > 16:
		for i := 0; i+16 < n; i += 16 {
			h = mix(binary.LittleEndian.Uint64(b[i:])^mix1^h, binary.LittleEndian.Uint64(b[i+8:])^mix2)
		}
		x = binary.LittleEndian.Uint64(b[n-16:])
		y = binary.LittleEndian.Uint64(b[n-8:])
	case n >= 8:
		x = binary.LittleEndian.Uint64(b)
		y = binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		x = uint64(binary.LittleEndian.Uint32(b))
		y = uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		x = uint64(b[0])<<16 | uint64(b[n>>1])<<8 | uint64(b[n-1])
	}
	h = mix(x^mix2^h, y^mix3)
	out := uint32(h ^ h>>32)
	if out == 0 {
		return 1
	}
	return out
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
